//! A backup gives way: while others write, it rests longer than it works, so that webhooks are answered nearly as fast as
//! without it. While nobody does, it goes on at once.

use std::time::{Duration, Instant};

use crate::store::Store;

/// So many times as long as it has worked, it rests.
const REST: u32 = 3;

/// So long it works at least. Shorter rests are not kept by the system.
const WORK: Duration = Duration::from_millis(2);

/// So long it rests at most, whatever took so long: who gives it up should not wait.
const LONGEST: Duration = Duration::from_millis(250);

/// How hard a backup works.
pub(super) struct Gait {
    store: Store,
    /// How many entries the log had when it was last looked.
    entries: u64,
    since: Instant,
}

impl Gait {
    /// Beside the others who use that store.
    pub(super) fn beside(store: &Store) -> Self {
        Self { store: store.clone(), entries: store.counts().entries, since: Instant::now() }
    }

    /// To be called between two small pieces of work. Blocks.
    pub(super) fn rest(&mut self) {
        let worked = self.since.elapsed();
        if worked < WORK {
            return;
        }
        let entries = self.store.counts().entries;
        if entries != self.entries || self.store.figures().waiting > 0 {
            std::thread::sleep((worked * REST).min(LONGEST));
        }
        self.entries = entries;
        self.since = Instant::now();
    }
}
