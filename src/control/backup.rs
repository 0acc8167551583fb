//! Making a backup.

use std::path::PathBuf;

use super::answer::cli;
use super::{Desk, Feed, Reply};
use crate::backup::{Made, Step};

impl Desk {
    /// Makes one. When nobody waits for it any more, it is given up.
    pub(super) async fn backup(&self, to: Option<PathBuf>, feed: &Feed) -> Reply {
        if to.as_ref().is_some_and(|to| !to.is_absolute()) {
            return Reply::Refused { reason: "the running server needs the whole path of a backup".to_owned() };
        }
        // From now on it is a long answer. Whether anybody is there to hear of it is the connection's business.
        let _ = feed.progress(0, Some(100));
        let made = self.backups.follow(to, cli(), |step| {
            let _ = feed.progress(percent(step), Some(100));
        });
        match made.await {
            Ok(outcome) => match outcome.result {
                Ok(Made { path, bytes, entries, took, .. }) => Reply::BackedUp { path, bytes, entries, took },
                Err(reason) => Reply::Refused { reason },
            },
            Err(error) => Reply::Refused { reason: error.to_string() },
        }
    }
}

/// How much of the whole is done, in percent.
const fn percent(step: Step) -> u64 {
    if step.is_checking { 50 + step.percent / 2 } else { step.percent / 2 }
}
