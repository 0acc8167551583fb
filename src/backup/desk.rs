//! Where backups are asked for: one is made at a time, whoever asked, and all can see how far it is.

use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{oneshot, watch};

use super::folder::list;
use super::schedule::{self, Due, Failure};
use super::{Error, IN_DOUBT, Made, NO_FOLDER, Order, folder, make, retention};
use crate::clock::{Clock, Timestamp};
use crate::disk;
use crate::notary::Notary;
use crate::store::{By, Store};

const HOUR: i64 = 60 * 60 * 1000;

/// Where backups are put, and what becomes of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// The folder.
    pub folder: PathBuf,
    /// How many hours after the newest one the server makes another by itself; `None` is never.
    pub every: Option<NonZeroU32>,
    /// How many are kept; `None` is all.
    pub keep: Option<NonZeroU32>,
}

impl Rules {
    /// Whether the file at `path` would be taken for a backup: it is one of those in the folder, or a link to one.
    #[must_use]
    pub fn take_for_backup(&self, path: &Path) -> bool {
        let found = list(&self.folder).unwrap_or_default();
        found.iter().any(|backup| disk::is_same(&self.folder.join(&backup.name), path))
    }
}

/// How far a backup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Whether it is written and now being checked.
    pub is_checking: bool,
    /// How much of this step is done, in percent.
    pub percent: u64,
}

impl Step {
    /// So many bytes are copied, of so many.
    pub(super) fn copying(done: u64, of: u64) -> Self {
        Self { is_checking: false, percent: percent(done, of) }
    }

    /// So much of it is checked.
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
    #[error("{NO_FOLDER}")]
    NoFolder,
    /// The log is in doubt: a copy could not be proved.
    #[error("{IN_DOUBT}")]
    InDoubt,
    /// One is being made.
    #[error("a backup is being made already; the admin page shows how far it is (System, Backups)")]
    Busy,
    /// The server stops.
    #[error("the server stops")]
    Stopping,
}

/// The backups of one store. Clones share what they know.
#[derive(Debug, Clone)]
pub struct Backups(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    notary: Notary,
    clock: Clock,
    rules: Option<Rules>,
    /// How far the one is that is being made.
    running: watch::Sender<Option<Step>>,
    last: Mutex<Option<Outcome>>,
    /// When the newest one in the folder was begun, as of the last look.
    newest: Mutex<Option<Timestamp>>,
    /// Of the last one that was due by the rules.
    failure: Mutex<Option<Failure>>,
    failures: AtomicU64,
    stopping: AtomicBool,
}

impl Backups {
    /// Those of that store; without rules, they are made only where somebody says.
    #[must_use]
    pub fn new(store: Store, notary: Notary, clock: Clock, rules: Option<Rules>) -> Self {
        Self(Arc::new(Inner {
            store,
            notary,
            clock,
            rules,
            running: watch::Sender::new(None),
            last: Mutex::default(),
            newest: Mutex::default(),
            failure: Mutex::default(),
            failures: AtomicU64::default(),
            stopping: AtomicBool::default(),
        }))
    }

    /// The rules, if a folder is set.
    #[must_use]
    pub fn rules(&self) -> Option<&Rules> {
        self.0.rules.as_ref()
    }

    /// How far the one is that is being made, if one is.
    #[must_use]
    pub fn running(&self) -> Option<Step> {
        *self.0.running.borrow()
    }

    /// How the last one ended, since the start of the server. Those whose failure is nobody's business but of who asked
    /// are not among them.
    #[must_use]
    pub fn last(&self) -> Option<Outcome> {
        lock(&self.0.last).clone()
    }

    /// When the newest one in the folder was begun, as of the last look a minute ago at most.
    #[must_use]
    pub fn newest(&self) -> Option<Timestamp> {
        *lock(&self.0.newest)
    }

    /// How many came to nothing, since the start of the server. Those that were given up are not among them, nor those
    /// that were to go to a place that somebody named and could not.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.0.failures.load(Ordering::Relaxed)
    }

    /// Whether none is made because the log is in doubt.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.0.store.doubt().is_some()
    }

    /// When the server makes the next one by itself, if the newest one was begun at `newest`: not before `now`. `None` is
    /// never, or not while the log is in doubt.
    #[must_use]
    pub fn due(&self, now: Timestamp, newest: Option<Timestamp>) -> Option<Due> {
        if self.is_in_doubt() {
            return None;
        }
        let every = i64::from(self.rules()?.every?.get()) * HOUR;
        Some(schedule::due(now, newest, every, *lock(&self.0.failure)))
    }

    /// Begins one in the folder of the rules, which goes on whoever hangs up.
    ///
    /// # Errors
    /// When none can be begun now.
    pub fn begin(&self, by: By) -> Result<(), NotBegun> {
        self.begin_at(None, by).map(drop)
    }

    /// Begins one, at `to` if that is given, and follows it to its end; `watch` hears how far it is. When this is dropped
    /// before, the backup is given up.
    ///
    /// # Errors
    /// When none can be begun now.
    pub async fn follow(&self, to: Option<PathBuf>, by: By, mut watch: impl FnMut(Step)) -> Result<Outcome, NotBegun> {
        let mut running = self.0.running.subscribe();
        let Begun { given_up, mut outcome } = self.begin_at(to, by)?;
        let _guard = GiveUp(given_up);
        loop {
            tokio::select! {
                biased;
                outcome = &mut outcome => return outcome.map_err(|_| NotBegun::Stopping),
                Ok(()) = running.changed() => {}
            }
            let step = *running.borrow_and_update();
            if let Some(step) = step {
                watch(step);
            }
        }
    }

    fn begin_at(&self, to: Option<PathBuf>, by: By) -> Result<Begun, NotBegun> {
        if to.is_none() && self.0.rules.is_none() {
            return Err(NotBegun::NoFolder);
        }
        if self.is_in_doubt() {
            return Err(NotBegun::InDoubt);
        }
        let begun = self.0.running.send_if_modified(|running| {
            let is_free = running.is_none();
            *running = running.or(Some(Step::copying(0, 1)));
            is_free
        });
        if !begun {
            return Err(NotBegun::Busy);
        }
        let turn = Turn(Arc::clone(&self.0));
        // Only now: whoever stops looks whether one is running after that was said.
        if self.0.stopping.load(Ordering::SeqCst) {
            return Err(NotBegun::Stopping);
        }
        let given_up = Arc::new(AtomicBool::default());
        let (done, outcome) = oneshot::channel();
        let was_named = to.is_some();
        let work = run(Arc::clone(&turn.0), to, by, Arc::clone(&given_up));
        tokio::spawn(async move {
            let made = work.await;
            let concerns_others = made.as_ref().err().is_none_or(|error| error.concerns_others(was_named));
            let outcome = Outcome { at: turn.0.clock.now(), result: made.map_err(|error| error.to_string()) };
            if concerns_others {
                *lock(&turn.0.last) = Some(outcome.clone());
                turn.0.failures.fetch_add(u64::from(outcome.result.is_err()), Ordering::Relaxed);
            }
            // The next one may begin before whoever follows this one hears of its end.
            drop(turn);
            let _ = done.send(outcome);
        });
        Ok(Begun { given_up, outcome })
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

    /// Looks into the folder, and says when the newest one there was begun. In a folder that cannot be read there is none:
    /// making one says why.
    pub(super) async fn look(&self) -> Option<Timestamp> {
        let (folder, now) = (self.rules()?.folder.clone(), self.now());
        // A disk that hangs should hold up nothing else.
        let found = tokio::task::spawn_blocking(move || folder::newest(&folder, now)).await;
        let newest = found.ok().and_then(Result::ok).and_then(|newest| newest.backup).map(|backup| backup.at);
        *lock(&self.0.newest) = newest;
        newest
    }

    pub(super) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    pub(super) fn note_failure(&self, failure: Option<Failure>) {
        *lock(&self.0.failure) = failure;
    }
}

/// Makes one, and removes what is then too many in the folder.
async fn run(inner: Arc<Inner>, to: Option<PathBuf>, by: By, given_up: Arc<AtomicBool>) -> Result<Made, Error> {
    let watch = {
        let inner = Arc::clone(&inner);
        Box::new(move |step| {
            inner.running.send_if_modified(|running| running.replace(step) != Some(step));
            let is_wanted = !inner.stopping.load(Ordering::SeqCst) && !given_up.load(Ordering::SeqCst);
            if is_wanted { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
    };
    let order = Order { to, folder: inner.rules.as_ref().map(|rules| rules.folder.clone()), by: by.clone() };
    let made = make(&inner.store, &inner.notary, &inner.clock, order, watch).await;
    let made = made?;
    if let Some((rules, at)) = inner.rules.as_ref().zip(made.named_for) {
        let newest = { *lock(&inner.newest) };
        *lock(&inner.newest) = newest.max(Some(at));
        if let Some(keep) = rules.keep {
            retention::apply(&inner.store, &rules.folder, keep, at, &by).await;
        }
    }
    Ok(made)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The right to make one, given back when it goes.
struct Turn(Arc<Inner>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.running.send_replace(None);
    }
}

/// One that was begun.
struct Begun {
    /// To be set when nobody wants it any more.
    given_up: Arc<AtomicBool>,
    outcome: oneshot::Receiver<Outcome>,
}

/// Gives up the backup when whoever follows it goes.
struct GiveUp(Arc<AtomicBool>);

impl Drop for GiveUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
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
