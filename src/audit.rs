//! The audit log: what one line of it says, in the exact bytes that are hashed.
//!
//! A leaf is one line of canonical JSON (RFC 8785): ASCII keys in order, strings and whole numbers only,
//! at most 4 KiB. It holds no personal data: a person stands in it as a salted reference, and whatever
//! else is personal (addresses, user agents, values before and after) is in the entry's detail, which
//! can be erased and is bound to the leaf by a salted hash.
//!
//! Erasing a person takes away their salt and reference, and the details of the entries they are in. The leaves stay, so
//! the proof does too. For whoever verifies, this is the rule by which an erasure differs from tampering:
//!
//! - An entry whose leaf commits to a detail has that detail, or is named by an [`Erasure`] behind it.
//! - A reference in a leaf has a mapping that fits it, or is the person of an [`Erasure`].

mod actor;
mod doubt;
mod erasure;
pub mod feed;
mod filter;
mod ranges;
pub mod retention;

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::api_key::KeyId;
use crate::clock::Timestamp;
use crate::event::ObjectKey;
use crate::json::Object;
use crate::user::{ClerkId, Handle, HandleChanges};

pub use self::actor::{Actor, ActorRef, BadActor};
pub use self::doubt::Doubt;
pub use self::erasure::{BadErasure, Erasure};
pub use self::filter::{Actions, BadActions, Filter, is_look};
pub use self::ranges::{BadRanges, Ranges};

/// The longest leaf, in bytes.
pub const MAX_LEAF: usize = 4096;

/// The longest detail, in bytes.
pub const MAX_DETAIL: usize = 64 * 1024;

/// By which way something was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A webhook.
    Webhook,
    /// The JSON API.
    Api,
    /// The admin page.
    Admin,
    /// A command.
    Cli,
    /// A walk over Clerk's lists.
    Sync,
    /// Rollbook itself.
    System,
}

/// What something was done to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A person.
    User(ClerkId),
    /// A mirrored object that is no person's: an organisation, a role.
    Object(ObjectKey),
    /// An API key.
    Key(KeyId),
}

/// An entry to be written. What the store adds (place, time, references, commitment) is not in it.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What was done: `user.created`, `users.listed`, `admin.signed_in`.
    pub action: String,
    /// Who did it.
    pub actor: Actor,
    /// By which way.
    pub source: Source,
    /// How it ended: `ok`, `denied`, `error`, or a delivery's outcome.
    pub outcome: &'static str,
    /// To what.
    pub target: Option<Target>,
    /// On whose session somebody else acted, the other's id.
    pub impersonator: Option<ClerkId>,
    /// The names of the fields that changed.
    pub changed: Vec<String>,
    /// How many, for entries that stand for several events.
    pub count: Option<u64>,
    /// When the thing itself happened, where that is known.
    pub event_at: Option<Timestamp>,
    /// Why, as one word.
    pub reason: Option<&'static str>,
    /// The message id or the request's id.
    pub request: Option<String>,
    /// What is personal or long: erasable.
    pub detail: Map<String, Value>,
    /// Whom the detail names besides, as its `members`: by their references, so that erasing one of them leaves the
    /// detail of the others whole.
    pub members: Vec<ClerkId>,
    /// What came on file for the person the entry is about, or was taken away: its tags are the detail's `tags`.
    pub handles: HandleChanges,
}

impl Draft {
    /// An entry that says somebody did something, and that it went well.
    #[must_use]
    pub fn new(action: impl Into<String>, actor: Actor, source: Source) -> Self {
        Self {
            action: action.into(),
            actor,
            source,
            outcome: "ok",
            target: None,
            impersonator: None,
            changed: Vec::new(),
            count: None,
            event_at: None,
            reason: None,
            request: None,
            detail: Map::new(),
            members: Vec::new(),
            handles: HandleChanges::default(),
        }
    }

    /// The same entry about a person.
    #[must_use]
    pub fn about(mut self, user: &ClerkId) -> Self {
        self.target = Some(Target::User(user.clone()));
        self
    }

    /// The same entry about a page of people: how many in the leaf, who in the detail.
    #[must_use]
    pub fn listing<'a>(mut self, people: impl IntoIterator<Item = &'a ClerkId>) -> Self {
        self.members = people.into_iter().cloned().collect();
        self.count = Some(self.members.len() as u64);
        self
    }

    /// The same entry about a person whose user object went from one state to another; `None` where there is none.
    #[must_use]
    pub fn filing(mut self, before: Option<&Object>, after: Option<&Object>) -> Self {
        self.handles = HandleChanges::between(before, after);
        self
    }

    /// The same entry, ended so and for that reason.
    #[must_use]
    pub const fn ended(mut self, outcome: &'static str, reason: &'static str) -> Self {
        self.outcome = outcome;
        self.reason = Some(reason);
        self
    }

    /// The same entry with one more member in its detail; `None` adds nothing.
    #[must_use]
    pub fn with(mut self, name: &str, value: Option<impl Into<Value>>) -> Self {
        if let Some(value) = value {
            self.detail.insert(name.to_owned(), value.into());
        }
        self
    }
}

/// One line of the log, its members declared in the order their names sort, which is the order RFC 8785 asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf {
    /// What was done.
    pub action: String,
    /// Who: `clerk`, `user:<ref>`, `admin:<name>`, `key:<id>`, `cli`, `system`, `anonymous`.
    pub actor: String,
    /// When it was written, milliseconds since 1970; never less than the entry before.
    pub at: Timestamp,
    /// The names of the fields that changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
    /// How many events the entry stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// The commitment to the detail, see [`commitment`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// When the thing itself happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_at: Option<Timestamp>,
    /// The reference of the person who acted on somebody else's session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impersonator: Option<String>,
    /// How it ended.
    pub outcome: String,
    /// Why, as one word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The message id or the request's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// By which way.
    pub source: Source,
    /// To what: `s1.…` for a person, `kind:id` for another object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// The form of the leaf, 1.
    pub v: u8,
}

impl Leaf {
    /// The references of everybody the entry is about or by.
    pub fn people(&self) -> impl Iterator<Item = &str> {
        let people = [self.target.as_deref(), self.actor.strip_prefix("user:"), self.impersonator.as_deref()];
        people.into_iter().flatten().filter(|person| person.starts_with("s1."))
    }

    /// The bytes that are stored, hashed and exported.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // A struct of strings and whole numbers always serialises.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// An entry as read back.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its place in the log, from 0.
    pub seq: u64,
    /// The line itself.
    pub leaf: Leaf,
    /// The line's exact bytes.
    pub bytes: Box<[u8]>,
    /// Its detail, unless there was none or it was erased.
    pub detail: Option<Map<String, Value>>,
    /// The person it is about, unless erased.
    pub target_user: Option<ClerkId>,
    /// The person who did it, unless erased.
    pub actor_user: Option<ClerkId>,
    /// The person who did it on somebody else's session, unless erased.
    pub impersonator_user: Option<ClerkId>,
}

/// 32 random bytes that keep a hash from being guessed.
pub type Salt = [u8; 32];

/// `base64url(SHA-256(salt ‖ detail))` without padding: what a leaf says of its detail. Checkable with
/// `cat salt detail | sha256sum`.
#[must_use]
pub fn commitment(salt: &Salt, detail: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, &[salt, detail].concat()))
}

/// `s1.` and `base64url(SHA-256(salt ‖ Clerk id))` without padding: how a person stands in the log. With
/// the salt anybody can check whom it means; without it nobody can find out.
#[must_use]
pub fn subject_ref(salt: &Salt, id: &ClerkId) -> String {
    format!("s1.{}", URL_SAFE_NO_PAD.encode(digest(&SHA256, &[salt, id.as_str().as_bytes()].concat())))
}

/// How a value that identifies a person stands in details and in the list of what was ever on file: the bytes of
/// `HMAC-SHA256(salt, "val\0" ‖ member ‖ "\0" ‖ value)`, where `member` is the member of Clerk's user object that holds such
/// values. With the person's salt anybody can check a guess; without it nobody can make one.
#[must_use]
pub fn value_tag(salt: &Salt, handle: &Handle) -> Tag {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, salt));
    for part in ["val\0", handle.kind().member(), "\0", handle.as_str()] {
        context.update(part.as_bytes());
    }
    let mut tag = [0; 32];
    tag.copy_from_slice(context.sign().as_ref());
    tag
}

/// A value's tag, see [`value_tag`].
pub type Tag = [u8; 32];

/// A tag as details show it: `hmac-sha256:` and lower-case hexadecimal.
#[must_use]
pub fn show_tag(tag: &Tag) -> String {
    let mut text = "hmac-sha256:".to_owned();
    for byte in tag {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The names of changed fields as a leaf may carry them: ASCII, sorted, bounded. A name that does not
/// fit (it could be anything the sender wrote) is shown as `other`.
#[must_use]
pub fn field_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let plain = |name: &str| {
        (1..=48).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let mut kept: Vec<String> =
        names.into_iter().map(|name| if plain(name) { name } else { "other" }.to_owned()).collect();
    if kept.len() > 48 {
        kept.truncate(47);
        kept.push("other".to_owned());
    }
    kept.sort();
    kept.dedup();
    kept
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::user::HandleKind;

    fn fullest() -> Leaf {
        Leaf {
            action: "a".repeat(64),
            actor: format!("user:s1.{}", "r".repeat(43)),
            at: Timestamp::from_millis(1),
            changed: field_names((0..60).map(|n| format!("{n:048}")).collect::<Vec<_>>().iter().map(String::as_str)),
            count: Some(u64::MAX >> 11),
            detail: Some("d".repeat(43)),
            event_at: Some(Timestamp::from_millis(2)),
            impersonator: Some(format!("s1.{}", "r".repeat(43))),
            outcome: "quarantined".to_owned(),
            reason: Some("other_instance".to_owned()),
            request: Some("m".repeat(128)),
            source: Source::Webhook,
            target: Some(format!("{}:{}", "k".repeat(64), "i".repeat(128))),
            v: 1,
        }
    }

    #[test]
    fn of_more_than_48_fields_the_first_are_named() {
        let names = |count: usize| {
            let names: Vec<String> = (0..count).map(|n| format!("f{n:02}")).collect();
            field_names(names.iter().map(String::as_str))
        };
        assert!(names(48).len() == 48 && !names(48).contains(&"other".to_owned()));
        assert_eq!((names(49).len(), names(49).last().unwrap().as_str()), (48, "other"));
    }

    #[test]
    fn a_leaf_is_canonical_json_of_bounded_size() {
        let bytes = fullest().to_bytes();
        assert!(bytes.len() <= MAX_LEAF, "{}", bytes.len());
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(serde_json_canonicalizer::to_vec(&value).unwrap(), bytes);
        assert_eq!(serde_json::from_slice::<Leaf>(&bytes).unwrap(), fullest());
    }

    #[test]
    fn a_value_can_be_checked_by_whoever_has_the_salt() {
        let handle = Handle::new(HandleKind::Email, "Ada@example.org").unwrap();
        // printf 'val\0email_address\0ada@example.org' | openssl dgst -sha256 -mac HMAC -macopt hexkey:$(printf '07%.0s' {1..32})
        let expected = "hmac-sha256:4540eaca34b0a89086ce489f967427e271d4e8297a052c1e69b285370bf996c2";
        assert_eq!(show_tag(&value_tag(&[7; 32], &handle)), expected);
        assert_ne!(show_tag(&value_tag(&[8; 32], &handle)), expected);
    }

    #[test]
    fn strange_field_names_stay_out() {
        assert_eq!(field_names(["first_name", "Jane Doe", "b", ""]), ["b", "first_name", "other"]);
    }
}
