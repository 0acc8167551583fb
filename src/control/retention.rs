//! What is kept no longer: the oldest entries of the log, and in the data file the bytes of what was removed.

use jiff::civil::Date;

use super::answer::cli;
use super::{Desk, Feed, Reply};
use crate::audit::retention::Cutoff;

impl Desk {
    /// Removes the entries from before that day, or says which would go.
    pub(super) async fn prune(&self, before: Date, override_retention: bool, go: bool, feed: &Feed) -> Reply {
        let cutoff = match Cutoff::new(before, self.clock.now(), override_retention) {
            Ok(cutoff) => cutoff,
            Err(kept) => return Reply::Refused { reason: kept.to_string() },
        };
        let entries =
            if go { self.store.prune(cutoff, cli(), progress(feed)).await } else { self.store.prunable(cutoff).await };
        match entries {
            Ok(entries) => Reply::Pruned { entries, done: go },
            Err(error) => Reply::Refused { reason: error.to_string() },
        }
    }

    /// Rewrites the data file.
    pub(super) async fn scrub(&self, feed: &Feed) -> Reply {
        match self.store.scrub(cli(), progress(feed)).await {
            Ok(scrubbed) => Reply::Scrubbed { before: scrubbed.before, after: scrubbed.after },
            Err(error) => Reply::Refused { reason: error.to_string() },
        }
    }
}

/// Passes on how much is done, of how much.
fn progress(feed: &Feed) -> impl FnMut(u64, u64) + Send + use<> {
    let feed = feed.clone();
    // From now on it is a long answer. Whether anybody is there to hear of it is the connection's business.
    let _ = feed.progress(0, None);
    move |done, total| {
        let _ = feed.progress(done, Some(total));
    }
}
