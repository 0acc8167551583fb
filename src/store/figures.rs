//! What the writer has done since the start, in numbers.

use std::time::Duration;

use crate::histogram::{DURATIONS, Histogram};

/// Bounds for how many operations share a transaction, up to the most that may.
const BATCHES: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256];

/// The writer's work since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// Transactions committed, by how many operations were in each.
    pub batches: Histogram,
    /// The same, by how long each took to its end on the disk, in microseconds.
    pub commits: Histogram,
    /// How many operations wait for the writer now.
    pub waiting: usize,
}

impl Default for Figures {
    fn default() -> Self {
        Self { batches: Histogram::new(BATCHES), commits: Histogram::new(DURATIONS), waiting: 0 }
    }
}

impl Figures {
    /// Counts a transaction.
    pub(super) fn note(&mut self, operations: usize, took: Duration) {
        self.batches.note(operations as u64);
        self.commits.note(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }
}
