//! The roll compared with Clerk's own list of users: what webhooks were lost is found and made good, and said in the log as
//! what it is.
//!
//! A walk goes through Clerk's list in the order in which the users were created, and then asks one by one for those who
//! are on the roll and were not in it: only an answer that Clerk has no such user counts as a deletion. How far it is goes
//! to the disk with what it found; broken off, it goes on from there. Only so many requests are made a second, and only
//! one walk goes on at a time.

mod desk;
mod pace;
mod schedule;
mod walker;

use crate::clerk::backend;
use crate::store;

pub use self::desk::{Desk, NotBegun, Outcome, Step};
pub use self::schedule::{Counted, keep};

/// Why a walk did not come to its end. What it found until then is applied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Clerk did not answer, or with a refusal.
    #[error("{0}")]
    Clerk(#[from] backend::Error),
    /// The key is of another Clerk instance: all its users would be strangers, and all of ours be missing.
    #[error(
        "CLERK_SECRET_KEY is of the Clerk instance {theirs}, and the events here are of {ours}; nobody was compared"
    )]
    OtherInstance {
        /// The one that the events are of.
        ours: String,
        /// The one that the key is of.
        theirs: String,
    },
    /// Clerk's list lacks too many of those whom Clerk counts.
    #[error("Clerk counts {counted} users and lists {listed}; nobody was deleted")]
    Implausible {
        /// How many users Clerk said it has.
        counted: u64,
        /// How many its list had.
        listed: u64,
    },
    /// So many users of the roll are not in Clerk's list that nobody deletes them without being asked to.
    #[error(
        "{0} users of the roll are not in Clerk's list; nobody was deleted. Run `rollbook sync --dry-run`, then `rollbook sync`, or compare on the page Clerk"
    )]
    TooManyMissing(u64),
    /// It was told to stop.
    #[error("broken off; the next one goes on from there")]
    Stopped,
    /// The store takes no writes, or cannot be read.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Error {
    /// The reason as one word, for the log.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Clerk(error) => error.as_str(),
            Self::OtherInstance { .. } => "other_instance",
            Self::Implausible { .. } => "implausible",
            Self::TooManyMissing(_) => "too_many_missing",
            Self::Stopped => "stopped",
            Self::Store(_) => "store",
        }
    }
}
