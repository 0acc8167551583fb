//! How targets stand, as pages, metrics and checks see it.

use crate::clerk::courier::{BadAddress, BadCourier};
use crate::clock::Timestamp;
use crate::target::{Course, Target};

/// Where a target is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The settings; it can only be changed there.
    Settings,
    /// The admin page.
    Page,
}

/// How a target stands.
#[derive(Debug, Clone)]
pub struct Status {
    /// The target.
    pub target: Target,
    /// Where it is from.
    pub origin: Origin,
    /// How far it has come, whether it is paused, and what is wrong at the other end.
    pub course: Course,
    /// So many entries of the log were not looked at for it yet; not all of them are told.
    pub behind: u64,
    /// When it is tried again, after a failure.
    pub next_try_at: Option<Timestamp>,
    /// How the answer of the last failure begins. It is the other's text, and not kept.
    pub said: Option<String>,
    /// What is wrong at this end, so that nothing is tried.
    pub stuck: Option<Stuck>,
    /// How often it did not take what it was sent, since the start.
    pub failures: u64,
    /// Whether there is a secret to sign with.
    pub has_secret: bool,
}

impl Status {
    /// Whether it takes what it is told, as far as is known; whatever is paused does not.
    #[must_use]
    pub const fn is_well(&self) -> bool {
        !self.course.paused && self.stuck.is_none() && self.course.failing.is_none()
    }
}

/// Why nothing is sent to a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stuck {
    /// There is no secret to sign with.
    #[error("its secret is not here: it is not in copies of the data file; give it a new one")]
    NoSecret,
    /// Its address cannot be called, or no longer.
    #[error("{0}")]
    Address(#[from] BadAddress),
    /// It cannot be called.
    #[error("{0}")]
    Courier(#[from] BadCourier),
    /// It wants session tokens, which Clerk does not make without the key.
    #[error("its calls are to carry session tokens, for which CLERK_SECRET_KEY has to be set")]
    NoKey,
    /// Its place is not in the log.
    #[error("the log ends before its place; replay from another one")]
    Ahead,
    /// The log may not be what it says.
    #[error("the log is in doubt")]
    Doubt,
    /// The log cannot be read.
    #[error("the data file cannot be read")]
    Store,
    /// What tells it has ended by a fault of its own.
    #[error("what tells it has failed; pause and resume it, and please report this")]
    Failed,
}
