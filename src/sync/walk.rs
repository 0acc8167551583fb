//! A walk over all of Clerk's users: how far it has come, and what it finds.

use serde::{Deserialize, Serialize};

use super::{Fetched, Named, Report};
use crate::clock::Timestamp;
use crate::user::{ClerkId, UserId};

/// Members of the user object that move without an event. That they differ says nothing of lost webhooks.
pub const UNTOLD: [&str; 4] =
    ["last_active_at", "last_sign_in_at", "lockout_expires_in_seconds", "verification_attempts_remaining"];

/// A walk under way. One that was suspended goes on from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    /// When it began.
    pub started_at: Timestamp,
    /// Whether it changes nothing.
    pub is_dry: bool,
    /// Whether none ever came to its end before: what differs then need not be lost webhooks.
    pub is_first: bool,
    /// How far it is.
    pub stage: Stage,
    /// What it found so far.
    pub report: Report,
    /// Whom a dry one found. It is for whoever asked, and not for the file.
    #[serde(skip)]
    pub named: Named,
}

/// How far a walk is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// In Clerk's list, behind that user; at its beginning when `None`.
    List(Option<ClerkId>),
    /// At those whom the list did not name, behind that one.
    Missing(Option<UserId>),
}

/// One thing that a walk found.
#[derive(Debug, Clone)]
pub enum Found {
    /// Clerk has this user.
    User(Fetched),
    /// Clerk has no user of that id.
    Nobody(ClerkId),
    /// So many could not be read or asked after.
    Failed(u64),
}

/// A walk that came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walked {
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Whether it changed nothing.
    pub is_dry: bool,
    /// Whether none ever came to its end before.
    pub is_first: bool,
    /// What it found.
    pub report: Report,
}

impl Walked {
    /// How many users differed from Clerk's.
    #[must_use]
    pub const fn drift(&self) -> u64 {
        self.report.drift()
    }

    /// How many lost webhooks may be behind that: the first walk finds whoever was there before the first webhook.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        if self.is_first { 0 } else { self.report.drift() }
    }
}
