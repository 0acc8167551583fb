//! User rows: how they are written, and that the index and the counts go with them.

mod change;
mod facets;
mod list;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use redb::ReadableTable as _;
use serde::{Deserialize, Serialize};

use super::error::Error;
use super::tables::Tables;
use super::tx::Tx;
use crate::clock::Timestamp;
use crate::event::Version;
use crate::json::Object;
use crate::user::{Assignment, ClerkId, PracticeId, Role, Source, Subscription, User, UserId};

pub use self::change::{ChangeError, Expected, MAX_COUNT, UserPatch};
use self::facets::{facets, found_alike};
pub use self::list::UserFilter;
pub(super) use self::list::{Listing, Roll, SCAN_BUDGET};

/// A row as stored. The Clerk object comes last: it is the longest part.
#[derive(Serialize, Deserialize)]
struct Row<'a> {
    clerk_id: Cow<'a, ClerkId>,
    role: Cow<'a, Role>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    practice_id: Option<Cow<'a, PracticeId>>,
    #[serde(default, skip_serializing_if = "is_default")]
    subscription: Cow<'a, Subscription>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    assigned: Option<Cow<'a, Assignment>>,
    #[serde(default, skip_serializing_if = "is_empty")]
    usage: Cow<'a, BTreeMap<String, u64>>,
    source: Source,
    version: Cow<'a, Version>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signed_in_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deleted_at: Option<Timestamp>,
    clerk: Cow<'a, Object>,
}

fn is_default(subscription: &Subscription) -> bool {
    *subscription == Subscription::default()
}

fn is_empty(usage: &BTreeMap<String, u64>) -> bool {
    usage.is_empty()
}

/// A user's row as a user.
pub(super) fn decode(id: u128, row: &[u8]) -> Result<User, Error> {
    let row: Row<'_> = serde_json::from_slice(row).map_err(|_| Error::Corrupt("a user"))?;
    Ok(User {
        id: UserId::from_u128(id),
        clerk_id: row.clerk_id.into_owned(),
        role: row.role.into_owned(),
        practice_id: row.practice_id.map(Cow::into_owned),
        subscription: row.subscription.into_owned(),
        assigned: row.assigned.map(Cow::into_owned),
        usage: row.usage.into_owned(),
        source: row.source,
        version: row.version.into_owned(),
        signed_in_at: row.signed_in_at,
        deleted_at: row.deleted_at,
        clerk: row.clerk.into_owned(),
    })
}

fn encode(user: &User) -> Vec<u8> {
    let row = Row {
        clerk_id: Cow::Borrowed(&user.clerk_id),
        role: Cow::Borrowed(&user.role),
        practice_id: user.practice_id.as_ref().map(Cow::Borrowed),
        subscription: Cow::Borrowed(&user.subscription),
        assigned: user.assigned.as_ref().map(Cow::Borrowed),
        usage: Cow::Borrowed(&user.usage),
        source: user.source,
        version: Cow::Borrowed(&user.version),
        signed_in_at: user.signed_in_at,
        deleted_at: user.deleted_at,
        clerk: Cow::Borrowed(&user.clerk),
    };
    serde_json::to_vec(&row).unwrap_or_default()
}

/// Which state of a record it is, to be compared and nothing else: the first 16 bytes of the SHA-256 of its row, shown as
/// 32 hexadecimal digits. Two states that differ in anything that is kept have different ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision([u8; 16]);

/// Text that is no revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a revision is 32 lower-case hexadecimal digits")]
pub struct BadRevision;

impl Revision {
    /// The revision of that record.
    #[must_use]
    pub fn of(user: &User) -> Self {
        let mut first = [0; 16];
        first.copy_from_slice(&digest(&SHA256, &encode(user)).as_ref()[..16]);
        Self(first)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl FromStr for Revision {
    type Err = BadRevision;

    fn from_str(s: &str) -> Result<Self, BadRevision> {
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        match u128::from_str_radix(s, 16) {
            Ok(n) if s.len() == 32 && s.bytes().all(is_digit) => Ok(Self(n.to_be_bytes())),
            _ => Err(BadRevision),
        }
    }
}

impl Tx<'_> {
    /// The user, if there is a row.
    pub(super) fn user(&self, id: UserId) -> Result<Option<User>, Error> {
        let row = self.tables.users.get(id.as_u128())?;
        row.map(|row| decode(id.as_u128(), row.value())).transpose()
    }

    /// A user as first heard of, with what came about them before.
    pub(super) fn new_user(
        &mut self,
        id: &ClerkId,
        source: Source,
        version: Version,
        clerk: Object,
    ) -> Result<User, Error> {
        let mut user = User::new(id.clone(), source, version, clerk);
        user.signed_in_at = self.tables.sign_ins.remove(id.as_str())?.map(|at| Timestamp::from_millis(at.value()));
        user.subscription = self.subscription(id, None)?;
        Ok(user)
    }

    /// Writes a user and brings the index up to date with it.
    pub(super) fn put_user(&mut self, before: Option<&User>, user: &User) -> Result<(), Error> {
        self.reindex(before, Some(user))?;
        self.count(before, -1);
        self.count(Some(user), 1);
        let id = user.id.as_u128();
        self.tables.users.insert(id, &encode(user)[..])?;
        Ok(())
    }

    /// Removes a user and everything the index says of it.
    pub(super) fn remove_user(&mut self, user: &User) -> Result<(), Error> {
        self.reindex(Some(user), None)?;
        self.count(Some(user), -1);
        let id = user.id.as_u128();
        self.tables.users.remove(id)?;
        self.unmark(id)
    }

    fn count(&mut self, user: Option<&User>, by: i64) {
        if let Some(user) = user {
            let stats = &mut self.state.stats;
            let count = if user.deleted_at.is_some() { &mut stats.deleted } else { &mut stats.users };
            *count = count.saturating_add_signed(by);
        }
    }

    fn reindex(&mut self, before: Option<&User>, after: Option<&User>) -> Result<(), Error> {
        // Most events change nothing that a user is found by, and facets are many.
        if before.zip(after).is_some_and(|(before, after)| found_alike(before, after)) {
            return Ok(());
        }
        let old = before.map(facets).unwrap_or_default();
        let new = after.map(facets).unwrap_or_default();
        let Some(id) = before.or(after).map(|user| user.id.as_u128()) else { return Ok(()) };
        for gone in old.difference(&new) {
            self.tables.user_index.remove((gone.as_str(), id))?;
        }
        for come in new.difference(&old) {
            self.tables.user_index.insert((come.as_str(), id), ())?;
        }
        Ok(())
    }
}

impl Tables<'_> {
    /// Brings the rows of a file of schema 2 up to date: fills the index, which has other facets now and is empty, and
    /// works out subscriptions, which stood still then.
    pub(super) fn renew_users(&mut self) -> Result<(), Error> {
        let mut moved = Vec::new();
        for row in self.users.iter()? {
            let (id, row) = row?;
            let (id, mut user) = (id.value(), decode(id.value(), row.value())?);
            for facet in facets(&user) {
                self.user_index.insert((facet.as_str(), id), ())?;
            }
            let subscription = self.subscription(&user.clerk_id, user.assigned.as_ref())?;
            if subscription != user.subscription {
                user.subscription = subscription;
                moved.push((id, encode(&user)));
            }
        }
        for (id, row) in moved {
            self.users.insert(id, &row[..])?;
        }
        Ok(())
    }
}
