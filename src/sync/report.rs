//! What a walk over Clerk's users met, and what came of it.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::event::Version;
use crate::json::Object;
use crate::user::ClerkId;

/// A user as Clerk's Backend API gave them when it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Clerk's id.
    pub id: ClerkId,
    /// `updated_at`, zero when absent.
    pub updated_at: Timestamp,
    /// When it was asked, by our clock.
    pub at: Timestamp,
    /// The user object, less secrets.
    pub clerk: Object,
}

impl Fetched {
    /// Which version of the user it is. What was fetched is what Clerk held at that moment: of two states that bear one
    /// `updated_at` it is the newer, unless an event of a later moment tells otherwise.
    #[must_use]
    pub const fn version(&self) -> Version {
        Version { updated_at: self.updated_at, event_at: self.at, delivery: String::new() }
    }
}

/// How many users a walk met, and what it found of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Users that Clerk gave.
    pub fetched: u64,
    /// Those of whom nothing had come.
    pub created: u64,
    /// Those who were out of date.
    pub updated: u64,
    /// Users whom Clerk does not have any more.
    pub deleted: u64,
    /// Those who were as Clerk has them.
    pub unchanged: u64,
    /// Those who could not be read or asked after.
    pub failed: u64,
    /// Users whom Clerk has and who were deleted or erased here: they stay so.
    pub apart: u64,
}

impl Report {
    /// How many users differed. But for the first time that all were compared, that is as many as webhooks were lost for, or
    /// are still on their way.
    #[must_use]
    pub const fn drift(&self) -> u64 {
        self.created + self.updated + self.deleted
    }

    /// How many users should be found where Clerk counts `theirs` and `known` are on the roll: those who are apart as well,
    /// and as many of those who could not be read as it takes, for some of them may be on the roll.
    #[must_use]
    pub fn counted(&self, known: u64, theirs: u64) -> u64 {
        let ours = known + self.apart;
        ours + self.failed.min(theirs.saturating_sub(ours))
    }
}

/// So many of each are named.
const NAMED: usize = 10;

/// The first of those who differ, by Clerk's ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Those of whom nothing had come.
    pub created: Vec<ClerkId>,
    /// Those who are out of date.
    pub updated: Vec<ClerkId>,
    /// Those whom Clerk does not have any more.
    pub deleted: Vec<ClerkId>,
}

impl Named {
    /// Whether there is nobody to name.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.created.is_empty() && self.updated.is_empty() && self.deleted.is_empty()
    }

    /// Takes somebody down, while there is room.
    pub(crate) fn add(names: &mut Vec<ClerkId>, id: &ClerkId) {
        if names.len() < NAMED {
            names.push(id.clone());
        }
    }
}
