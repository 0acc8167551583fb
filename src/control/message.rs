//! The messages.

use std::net::IpAddr;
use std::path::PathBuf;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Progress;
use crate::api_key::{ApiKey, KeyId, Secret, Wanted};
use crate::audit::{Actions, ActorRef};
use crate::checks::{Check, Level};
use crate::clock::Timestamp;
use crate::export::{entries, users};
use crate::page::{Cursor, Limit};
use crate::store::UserFilter;
use crate::store::{Extent, Prunable, Sightings};
use crate::sync::{Named, Walked};
use crate::user::{HandleKind, Plan, PracticeId, Role, Standing, UserRef};
use crate::verify::{Kept, Report};

/// What a command asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// For a link that lets its bearer set an admin's password, once.
    AdminLink {
        /// The admin's name; nobody need have it yet.
        name: String,
    },
    /// How the server is.
    Status,
    /// What the server finds when it looks whether all is well.
    Checks,
    /// For the newest checkpoint, after signing one if the log has grown.
    Checkpoint,
    /// To change the key that signs checkpoints.
    RotateKey,
    /// To take a data file that is in doubt for the log.
    Adopt {
        /// Why, for the log.
        reason: String,
    },
    /// To remove the oldest entries of the log, or to say which would go.
    Prune {
        /// Those written before this day.
        before: Date,
        /// Whether they may be younger than six years.
        override_retention: bool,
        /// Whether it is to be done, not only said.
        go: bool,
    },
    /// To rewrite the data file, so that nothing of removed rows is left in it.
    Scrub,
    /// To make a backup.
    Backup {
        /// Where: a folder, or the name of a new file; the server's own folder for them when `None`. Absolute.
        to: Option<PathBuf>,
    },
    /// To compare the users with Clerk's.
    Sync {
        /// Whether nothing is to be changed.
        dry_run: bool,
    },
    /// For a link that signs somebody in as a user, once.
    ActorToken {
        /// The user.
        #[serde(with = "text")]
        user: UserRef,
        /// Who acts, if that is a user.
        #[serde(with = "optional_text")]
        actor: Option<UserRef>,
        /// Why, for the log.
        reason: String,
    },
    /// For one user.
    User {
        /// Which one.
        #[serde(with = "text")]
        id: UserRef,
    },
    /// For a page of the roll.
    Users(Listing),
    /// To change what is the operator's on one user.
    SetUser {
        /// Which one.
        #[serde(with = "text")]
        id: UserRef,
        /// The new role, if it is to change.
        role: Option<Role>,
        /// What becomes of the practice.
        practice: Practice,
        /// The subscription's new plan, if it is to change.
        #[serde(default)]
        plan: Option<Plan>,
        /// Its new state, if that is to change.
        #[serde(default)]
        status: Option<Standing>,
    },
    /// To erase a user, or to say what that would take.
    Erase(Erase),
    /// To verify the log.
    Verify(Verify),
    /// Whether a value was ever on file.
    EverOnFile {
        /// The value, as typed.
        value: String,
        /// What kind of value it is, if that was said.
        kind: Option<HandleKind>,
        /// Of this user alone.
        #[serde(with = "optional_text")]
        user: Option<UserRef>,
    },
    /// To make an API key.
    CreateKey(Wanted),
    /// For all API keys.
    Keys,
    /// To revoke an API key.
    RevokeKey {
        /// Which one.
        id: KeyId,
    },
    /// For all users that fit, in one file.
    ExportUsers(UsersExport),
    /// For all entries that fit, in one file.
    ExportAudit(AuditExport),
    /// For the log with all that proves it, in the files of C2SP tlog-tiles.
    ExportLog {
        /// Whether the details and the people come with it.
        details: bool,
    },
}

/// Whom to erase, and how.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Erase {
    /// Which user.
    #[serde(with = "text")]
    pub id: UserRef,
    /// Whether to do it; else what it would take is all that is asked.
    pub confirmed: bool,
    /// Whether to erase somebody whom Clerk has not deleted.
    pub even_if_live: bool,
    /// Whether to erase somebody of whom targets are still to be told something.
    #[serde(default)]
    pub even_if_untold: bool,
    /// Why, in the operator's words.
    pub reason: Option<String>,
}

/// Which users to export, and how; all members must fit.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct UsersExport {
    /// Which ones.
    pub filter: UserFilter,
    /// In which form.
    pub format: users::Format,
}

/// Which entries to export, and how; all members must fit.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AuditExport {
    /// With one of these actions.
    pub action: Option<Actions>,
    /// About this person, or done by them.
    #[serde(with = "optional_text")]
    pub subject: Option<UserRef>,
    /// Done by this one.
    #[serde(default)]
    pub actor: Option<ActorRef>,
    /// Done from this network address.
    #[serde(default)]
    pub address: Option<IpAddr>,
    /// Written at this time or later.
    pub from: Option<Timestamp>,
    /// Written before this time.
    pub to: Option<Timestamp>,
    /// In which form.
    pub format: entries::Format,
}

/// What to hold the log against.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Verify {
    /// Verifier keys whose word counts, in the text form of C2SP signed-note.
    pub keys: Vec<String>,
    /// Checkpoints that were kept elsewhere.
    pub kept: Vec<Kept>,
}

/// Which users to list; all members must fit.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Listing {
    /// Which ones.
    pub filter: UserFilter,
    /// How many at most.
    #[serde(with = "limit")]
    pub limit: Limit,
    /// Behind which one to go on.
    pub cursor: Option<Cursor>,
}

/// What becomes of a user's practice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Practice {
    /// It stays.
    Keep,
    /// The user belongs to none.
    None,
    /// It is this one.
    Is(PracticeId),
}

/// What a running server finds of itself, and what of it others have to be compared with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Health {
    /// Everything that was looked at.
    pub checks: Vec<Found>,
    /// How many users are on the roll.
    pub users: u64,
    /// How many Clerk had at the last comparison who were deleted or erased here.
    pub apart: u64,
    /// How many could not be read then.
    pub failed: u64,
    /// The Clerk instance whose events are applied, if one is known.
    pub instance: Option<String>,
}

/// What one check found, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// What was looked at.
    pub name: String,
    /// How it stands.
    pub level: Level,
    /// What was found and what to do, without a full stop.
    pub sentence: String,
}

impl From<&Check> for Found {
    fn from(check: &Check) -> Self {
        Self { name: check.name.to_owned(), level: check.level, sentence: check.sentence() }
    }
}

/// What the server answers. Users have the form that the API gives them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The link.
    AdminLink {
        /// To be opened in a browser.
        url: String,
    },
    /// How the server is.
    Status {
        /// Its version.
        version: String,
        /// Its process.
        pid: u32,
        /// Where it listens.
        address: String,
        /// Whether it speaks TLS there.
        #[serde(default)]
        tls: bool,
        /// Whether it takes writes.
        ready: bool,
        /// Why the log is read only, if it is.
        doubt: Option<String>,
    },
    /// Whether all is well with the server.
    Checks(Health),
    /// A user, after the change if one was asked for.
    User {
        /// The record.
        user: Value,
    },
    /// A page of the roll.
    Users {
        /// The records.
        items: Vec<Value>,
        /// Where to go on; `None` at the end.
        next_cursor: Option<Cursor>,
    },
    /// A checkpoint.
    Checkpoint {
        /// The signed note.
        note: String,
    },
    /// The key that signatures are checked with.
    VerifierKey {
        /// In the text form of C2SP signed-note.
        vkey: String,
    },
    /// Entries that were removed, or would be.
    Pruned {
        /// Which ones.
        entries: Prunable,
        /// Whether they were removed.
        done: bool,
    },
    /// The data file was rewritten.
    Scrubbed {
        /// What it took on the disk, in bytes.
        before: u64,
        /// What it takes now.
        after: u64,
    },
    /// A backup was made.
    BackedUp {
        /// Its file.
        path: PathBuf,
        /// How long that is, in bytes.
        bytes: u64,
        /// How many entries its log has.
        entries: u64,
        /// How long it took, in milliseconds.
        took: i64,
    },
    /// The users were compared with Clerk's.
    Synced {
        /// What that came to.
        walked: Walked,
        /// Some of those who differ, when nothing was changed.
        named: Named,
    },
    /// A link that signs its bearer in.
    ActorToken {
        /// To be opened in a browser.
        url: String,
        /// How long it works, in seconds.
        life: u32,
        /// How long the session lasts that it opens, in seconds.
        session: u32,
    },
    /// What an erasure took, or would take.
    Erasure {
        /// How much it is.
        extent: Extent,
        /// Whether it was done.
        done: bool,
    },
    /// Who had a value on file.
    Sightings(Sightings),
    /// A new API key.
    KeyCreated {
        /// The key.
        key: ApiKey,
        /// Its secret, which is not kept.
        #[serde(with = "revealed")]
        secret: Secret,
    },
    /// All API keys.
    Keys {
        /// The newest first.
        keys: Vec<ApiKey>,
    },
    /// A key that is revoked.
    KeyRevoked {
        /// The key.
        key: ApiKey,
    },
    /// Everything was exported.
    Exported {
        /// How many users or entries.
        count: u64,
    },
    /// What came of a verification.
    Verified(Box<Report>),
    /// There is no such user.
    NotFound,
    /// It was not done.
    Refused {
        /// Why, for the person at the terminal.
        reason: String,
    },
}

/// What stands on a line of the server's.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Message {
    /// How far it is.
    Progress(Progress),
    /// That a piece of a file follows this line.
    Piece {
        /// Of which file.
        file: String,
        /// How long.
        bytes: usize,
    },
    /// The end of the answer.
    #[serde(untagged)]
    Reply(Reply),
}

/// Values that are sent as their own text.
mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// The same for values that may be absent.
mod optional_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    #[expect(clippy::ref_option, reason = "serde hands over a reference")]
    pub(super) fn serialize<T: Display, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_ref().map(T::to_string).serialize(serializer)
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

/// A key's secret, on its only way to its bearer.
mod revealed {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::api_key::Secret;

    pub(super) fn serialize<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.reveal())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A limit reads itself from text; this writes it so.
mod limit {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::page::Limit;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
    pub(super) fn serialize<S: Serializer>(limit: &Limit, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&limit.get())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Limit, D::Error> {
        Limit::deserialize(deserializer)
    }
}
