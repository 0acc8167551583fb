//! The server verifies its own log now and then, out of the way of everything else: what somebody changes in a file
//! while it is in use is then not found at the next start alone.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::audit::Doubt;
use crate::store::{self, Store};
use crate::verify::{self, Error, Pace, Report, Terms};

/// How long it rests between two checks.
const EVERY: Duration = Duration::from_hours(24);

/// For each moment of work it pauses so many, which leaves it a tenth of one processor.
const REST: u32 = 9;

/// How soon it ends when the server stops.
const SOON: Duration = Duration::from_millis(20);

/// Checks the log at the start and then every day. What it finds makes the log read only.
pub(super) async fn run(store: Store, mut stopped: watch::Receiver<()>) {
    loop {
        if store.doubt().is_none() {
            check(&store, stopped.clone()).await;
        }
        if tokio::time::timeout(EVERY, stopped.changed()).await.is_ok() {
            return;
        }
    }
}

async fn check(store: &Store, stopped: watch::Receiver<()>) {
    let before = epoch(store);
    let (file, terms) = (store.clone(), Terms::default());
    let work = move || {
        let mut since = Instant::now();
        verify::store(&file, &terms, Pace::GENTLE, &mut |_, _| {
            let worked = since.elapsed();
            let going_on = pause(worked * REST, &stopped);
            since = Instant::now();
            going_on
        })
    };
    match tokio::task::spawn_blocking(work).await.unwrap_or(Err(store::Error::Panicked.into())) {
        Ok(report) if store.doubt().is_none() && epoch(store) == before => judge(store, &report),
        // Somebody has settled a doubt meanwhile: what was seen is of before and after.
        Ok(_) | Err(Error::Stopped) => {}
        Err(cause) => tracing::warn!(%cause, "log.not_checked"),
    }
}

fn judge(store: &Store, report: &Report) {
    if let Some(finding) = report.findings.told.first() {
        tracing::error!(findings = report.findings.count, first = finding, "log.check_failed");
        store.refuse_writes(Doubt::Damaged(finding.clone()));
    } else if let Some(finding) = report.adopted.told.first() {
        // An operator has decided to go on with it.
        tracing::warn!(findings = report.adopted.count, first = finding, "log.check_failed_before_adoption");
    } else {
        tracing::debug!(entries = report.entries, "log.checked");
    }
}

fn epoch(store: &Store) -> Option<u64> {
    store.evidence().and_then(|evidence| evidence.identity()).ok().flatten().map(|identity| identity.epoch)
}

/// Waits, but not for longer than the server runs.
fn pause(rest: Duration, stopped: &watch::Receiver<()>) -> ControlFlow<()> {
    let until = Instant::now() + rest;
    loop {
        if stopped.has_changed().is_err() {
            return ControlFlow::Break(());
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return ControlFlow::Continue(());
        }
        std::thread::sleep(left.min(SOON));
    }
}
