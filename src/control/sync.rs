//! Comparing the users with Clerk's.

use super::answer::cli;
use super::{Desk, Feed, Reply};

impl Desk {
    /// Walks over Clerk's users. When nobody waits for it any more, it is broken off where it is.
    pub(super) async fn sync(&self, dry_run: bool, feed: &Feed) -> Reply {
        // From now on it is a long answer. Whether anybody is there to hear of it is the connection's business.
        let _ = feed.progress(0, None);
        let walked = self.walks.follow(dry_run, cli(), |step| {
            let _ = feed.progress(step.done, step.of);
        });
        match walked.await {
            Ok(outcome) => match outcome.result {
                Ok(walked) => Reply::Synced { walked, named: outcome.named },
                Err(reason) => Reply::Refused { reason },
            },
            Err(error) => Reply::Refused { reason: error.to_string() },
        }
    }
}
