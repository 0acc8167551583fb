//! The clock on the wall, and whether somebody has turned it back. The log's own time never goes back, so it has to be
//! said where it stands still.

use std::time::{Duration, Instant};

use crate::audit::{Actor, Draft, Source};
use crate::clock::{Clock, Timestamp};

/// So far back, in milliseconds, a clock may go that is being corrected.
const TOLERATED: i64 = 1000;

/// The next step back is told this long after the last one, at the earliest.
const SELDOM: Duration = Duration::from_mins(1);

/// The clock, and what it showed when an entry was last written.
#[derive(Debug, Clone)]
pub(super) struct Wall {
    clock: Clock,
    showed: Timestamp,
    told: Option<Instant>,
}

impl Wall {
    /// A clock that showed `at` when the last entry was written.
    pub(super) const fn new(clock: Clock, at: Timestamp) -> Self {
        Self { clock, showed: at, told: None }
    }

    /// Looks at the clock. If it was turned back since the last time: the entry that says so.
    pub(super) fn step(&mut self) -> Option<Draft> {
        let now = self.clock.now();
        let before = std::mem::replace(&mut self.showed, now);
        let is_told = self.told.is_some_and(|told| told.elapsed() < SELDOM);
        if now.plus_millis(TOLERATED) >= before || is_told {
            return None;
        }
        self.told = Some(Instant::now());
        let entry = Draft::new("system.clock_step", Actor::System, Source::System);
        Some(entry.with("from", Some(before.to_string())).with("to", Some(now.to_string())))
    }
}
