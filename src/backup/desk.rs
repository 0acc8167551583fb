//! Where backups are asked for while the server runs: one is made at a time, in the background.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::{Made, make};
use crate::clock::{Clock, Timestamp};
use crate::notary::Notary;
use crate::store::{By, Store};

/// How far a backup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Whether it is written and now being checked.
    pub is_checking: bool,
    /// How much of this step is done, in percent.
    pub percent: u64,
}

impl Step {
    /// So many rows are copied, of so many.
    pub(super) fn copying(done: u64, of: u64) -> Self {
        Self { is_checking: false, percent: percent(done, of) }
    }

    /// So many entries are checked, of so many.
    pub(super) fn checking(done: u64, of: u64) -> Self {
        Self { is_checking: true, percent: percent(done, of) }
    }
}

fn percent(done: u64, of: u64) -> u64 {
    done.saturating_mul(100).checked_div(of).unwrap_or(100).min(100)
}

/// How the last one ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// When.
    pub at: Timestamp,
    /// What was made, or a sentence that says why there is nothing.
    pub result: Result<Made, String>,
}

/// Why none is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotBegun {
    /// No folder is set.
    #[error("no folder for backups is set (ROLLBOOK_BACKUP_DIR)")]
    NoFolder,
    /// One is being made.
    #[error("a backup is being made already")]
    Busy,
    /// The server stops.
    #[error("the server stops")]
    Stopping,
}

/// The backups of one server. Clones share what they know.
#[derive(Debug, Clone)]
pub struct Backups(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: Option<PathBuf>,
    /// How far the one is that is being made.
    running: watch::Sender<Option<Step>>,
    last: Mutex<Option<Outcome>>,
    stopping: AtomicBool,
}

impl Backups {
    /// Those in that folder; without one, none can be made.
    #[must_use]
    pub fn new(folder: Option<PathBuf>) -> Self {
        let inner = Inner {
            folder,
            running: watch::Sender::new(None),
            last: Mutex::default(),
            stopping: AtomicBool::default(),
        };
        Self(Arc::new(inner))
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        self.0.folder.as_deref()
    }

    /// How far the one is that is being made, if one is.
    #[must_use]
    pub fn running(&self) -> Option<Step> {
        *self.0.running.borrow()
    }

    /// How the last one ended, since the start of the server.
    #[must_use]
    pub fn last(&self) -> Option<Outcome> {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins one, which goes on whoever hangs up.
    ///
    /// # Errors
    /// When none can be begun now.
    pub fn begin(&self, store: Store, notary: Notary, clock: Clock, by: By) -> Result<(), NotBegun> {
        let folder = self.folder().ok_or(NotBegun::NoFolder)?.to_owned();
        let begun = self.0.running.send_if_modified(|running| {
            let is_free = running.is_none();
            *running = running.or(Some(Step::copying(0, 1)));
            is_free
        });
        if !begun {
            return Err(NotBegun::Busy);
        }
        let turn = Turn(self.0.clone());
        // Only now: whoever stops looks whether one is running after that was said.
        if self.0.stopping.load(Ordering::SeqCst) {
            return Err(NotBegun::Stopping);
        }
        tokio::spawn(async move {
            let inner = turn.0.clone();
            let watch = Box::new(move |step| {
                inner.running.send_replace(Some(step));
                if inner.stopping.load(Ordering::SeqCst) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            let made = make(&store, &notary, &clock, &folder, by, watch).await;
            let outcome = Outcome { at: clock.now(), result: made.map_err(|error| error.to_string()) };
            *turn.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        });
        Ok(())
    }

    /// Returns once none is being made.
    pub async fn idle(&self) {
        let mut running = self.0.running.subscribe();
        let _ = running.wait_for(Option::is_none).await;
    }

    /// Gives up the one that is being made, and begins no other. [`Backups::idle`] says when it is gone.
    pub fn stop(&self) {
        self.0.stopping.store(true, Ordering::SeqCst);
    }
}

/// The right to make one, given back when it goes.
struct Turn(Arc<Inner>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.running.send_replace(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_told_in_percent() {
        let steps = [(0, 0), (0, 3), (2, 3), (3, 3), (4, 3), (u64::MAX, u64::MAX)];
        assert_eq!(steps.map(|(done, of)| Step::copying(done, of).percent), [100, 0, 66, 100, 100, 1]);
    }
}
