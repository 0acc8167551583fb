//! Verifying the log of a server that runs.

use std::ops::ControlFlow;

use super::{Desk, Feed, Reply, Verify};
use crate::audit::{Actor, Draft, Source};
use crate::store;
use crate::tlog::note::BadKey;
use crate::verify::{self, Error, Pace, Report, Terms};

impl Desk {
    /// Verifies the log, and notes that and what came of it in the log.
    pub(super) async fn verify(&self, verify: Verify, feed: &Feed) -> Reply {
        let refused = |error: String| Reply::Refused { reason: error };
        let terms = match terms(verify) {
            Ok(terms) => terms,
            Err(error) => return refused(error.to_string()),
        };
        let (store, feed) = (self.store.clone(), feed.clone());
        let work = move || {
            let mut watch = |done, total| match feed.progress(done, Some(total)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            };
            if watch(0, store.counts().entries).is_break() {
                return Err(Error::Stopped);
            }
            verify::store(&store, &terms, Pace::full(), &mut watch)
        };
        let verified = tokio::task::spawn_blocking(work).await.unwrap_or(Err(store::Error::Panicked.into()));
        match verified {
            Ok(report) => match self.store.record(entry(&report)).await {
                Ok(()) => Reply::Verified(Box::new(report)),
                Err(error) => refused(error.to_string()),
            },
            Err(error) => refused(error.to_string()),
        }
    }
}

fn terms(Verify { keys, kept }: Verify) -> Result<Terms, BadKey> {
    Ok(Terms { keys: keys.iter().map(|key| key.parse()).collect::<Result<_, _>>()?, kept })
}

/// What the log says of it: how many entries were verified, and how that ended.
fn entry(report: &Report) -> Draft {
    let mut entry = Draft::new("log.verified", Actor::Cli, Source::Cli).with("root", Some(report.root.clone()));
    entry.count = Some(report.entries);
    if report.is_whole() {
        return entry;
    }
    let told: Vec<&str> = report.findings.told.iter().chain(&report.adopted.told).map(String::as_str).collect();
    entry.ended("error", "tampered").with("findings", Some(report.count())).with("first", Some(told))
}
