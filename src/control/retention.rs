//! What is kept no longer: the oldest entries of the log, and in the data file the bytes of what was removed.

use jiff::civil::Date;

use super::answer::cli;
use super::{Desk, Reply};
use crate::audit::retention::Cutoff;

impl Desk {
    /// Removes the entries from before that day, or says which would go.
    pub(super) async fn prune(&self, before: Date, override_retention: bool, go: bool) -> Reply {
        let cutoff = match Cutoff::new(before, self.clock.now(), override_retention) {
            Ok(cutoff) => cutoff,
            Err(kept) => return Reply::Refused { reason: kept.to_string() },
        };
        let entries =
            if go { self.store.prune(cutoff, cli(), |_, _| {}).await } else { self.store.prunable(cutoff).await };
        match entries {
            Ok(entries) => Reply::Pruned { entries, done: go },
            Err(error) => Reply::Refused { reason: error.to_string() },
        }
    }

    /// Rewrites the data file.
    pub(super) async fn scrub(&self) -> Reply {
        match self.store.scrub(cli(), |_, _| {}).await {
            Ok(scrubbed) => Reply::Scrubbed { before: scrubbed.before, after: scrubbed.after },
            Err(error) => Reply::Refused { reason: error.to_string() },
        }
    }
}
