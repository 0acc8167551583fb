//! What is known of deliveries beside their transactions: those that were refused, how long the others took, which secret
//! they carried. Counted by the hour here, and added to the file every minute.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::traffic::{Hour, SecretUse, hour_of};

/// Deliveries as they came.
#[derive(Debug, Default)]
pub struct Deliveries(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// What the file does not have yet, by the hour.
    fresh: BTreeMap<u64, Hour>,
}

impl Deliveries {
    /// Counts a request that was not taken, for a reason that is a word of ours.
    pub(super) fn refused(&self, at: Timestamp, reason: &'static str) {
        self.lock().hour(at).note_refused(reason, 1);
    }

    /// Counts a delivery that carried the signature of the secret at that place, counted from 1.
    pub(super) fn signed(&self, at: Timestamp, place: usize, fingerprint: &str) {
        self.lock().hour(at).note_secret(fingerprint, SecretUse { place, count: 1, last_at: at });
    }

    /// Counts how long one took that was taken.
    pub(super) fn took(&self, at: Timestamp, took: Duration) {
        self.lock().hour(at).took.note(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// What was counted since the last call, for the file.
    pub fn take(&self) -> Vec<Hour> {
        std::mem::take(&mut self.lock().fresh).into_values().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn hour(&mut self, at: Timestamp) -> &mut Hour {
        let hour = hour_of(at);
        self.fresh.entry(hour).or_insert_with(|| Hour::new(hour))
    }
}
