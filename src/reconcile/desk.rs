//! Where walks are asked for: one goes on at a time, whoever asked, and all can see how far it is.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::Error;
use super::schedule::Counted;
use super::walker::Walker;
use crate::clerk::backend::Backend;
use crate::clock::{Clock, Timestamp};
use crate::store::{By, Store};
use crate::sync::{Named, Stage, Walk, Walked};

/// How far a walk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Whether it changes nothing.
    pub is_dry: bool,
    /// Whether it is through Clerk's list, and asks for those who were not in it.
    pub is_confirming: bool,
    /// How many users were looked at.
    pub done: u64,
    /// Of how many, as far as Clerk said.
    pub of: Option<u64>,
}

impl Step {
    const fn first(is_dry: bool) -> Self {
        Self { is_dry, is_confirming: false, done: 0, of: None }
    }

    pub(super) fn of(walk: &Walk, of: Option<u64>) -> Self {
        let done = walk.report.fetched + walk.report.deleted + walk.report.failed;
        let is_confirming = matches!(walk.stage, Stage::Missing(_));
        Self { is_dry: walk.is_dry, is_confirming, done, of: of.map(|of| of.max(done)) }
    }

    /// How much is done, in percent; `None` while that is not known.
    #[must_use]
    pub fn percent(&self) -> Option<u64> {
        self.of.map(|of| self.done.saturating_mul(100).checked_div(of).unwrap_or(100).min(100))
    }
}

/// How the last walk ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// When.
    pub at: Timestamp,
    /// Whether it changed nothing.
    pub is_dry: bool,
    /// What it came to, or a sentence that says why it did not come to its end.
    pub result: Result<Walked, String>,
    /// Some of those whom it found, if it changed nothing.
    pub named: Named,
}

/// Why none was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotBegun {
    /// Clerk cannot be asked.
    #[error(
        "Clerk cannot be asked for its users: set CLERK_SECRET_KEY (sk_…; Clerk Dashboard, API keys), and restart the server if one runs"
    )]
    NoKey,
    /// One goes on.
    #[error("the users are being compared already; the admin page shows how far that is (System, Clerk)")]
    Busy,
    /// The server stops.
    #[error("the server stops")]
    Stopping,
}

/// The walks over one store. Clones share what they know.
#[derive(Debug, Clone)]
pub struct Desk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    backend: Option<Backend>,
    clock: Clock,
    /// How far the one is that goes on.
    running: watch::Sender<Option<Step>>,
    /// Told to break it off.
    suspend: watch::Sender<()>,
    last: Mutex<Option<Outcome>>,
    counted: Mutex<Option<Counted>>,
    stopping: AtomicBool,
}

impl Desk {
    /// Walks that ask that API; without one, there are none.
    #[must_use]
    pub fn new(store: Store, backend: Option<Backend>, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            store,
            backend,
            clock,
            running: watch::Sender::new(None),
            suspend: watch::Sender::new(()),
            last: Mutex::default(),
            counted: Mutex::default(),
            stopping: AtomicBool::default(),
        }))
    }

    /// Whether there is a key to ask Clerk with.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.0.backend.is_some()
    }

    /// How far the walk is that goes on, if one does.
    #[must_use]
    pub fn running(&self) -> Option<Step> {
        *self.0.running.borrow()
    }

    /// How the last one ended, since the start of the server.
    #[must_use]
    pub fn last(&self) -> Option<Outcome> {
        self.0.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the last count came to, since the start of the server.
    #[must_use]
    pub fn counted(&self) -> Option<Counted> {
        *self.0.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a walk, or goes on with the one that was broken off. It goes on whoever hangs up.
    ///
    /// # Errors
    /// When none can be begun now.
    pub fn begin(&self, is_dry: bool, by: By) -> Result<(), NotBegun> {
        let backend = self.0.backend.clone().ok_or(NotBegun::NoKey)?;
        let begun = self.0.running.send_if_modified(|running| {
            let is_free = running.is_none();
            *running = running.or(Some(Step::first(is_dry)));
            is_free
        });
        if !begun {
            return Err(NotBegun::Busy);
        }
        let turn = Turn(Arc::clone(&self.0));
        let suspended = self.0.suspend.subscribe();
        // Only now: whoever stops looks whether one is running after that was said.
        if self.0.stopping.load(Ordering::SeqCst) {
            return Err(NotBegun::Stopping);
        }
        tokio::spawn(run(turn, backend, is_dry, by, suspended));
        Ok(())
    }

    /// Begins a walk as [`Desk::begin`] does and follows it to its end; `watch` hears how far it is. When this is dropped
    /// before, the walk is broken off.
    ///
    /// # Errors
    /// When none can be begun now.
    pub async fn follow(&self, is_dry: bool, by: By, mut watch: impl FnMut(Step)) -> Result<Outcome, NotBegun> {
        let mut running = self.0.running.subscribe();
        self.begin(is_dry, by)?;
        let mut guard = BreakOff(Some(self));
        loop {
            let step = *running.borrow_and_update();
            match step {
                Some(step) => watch(step),
                None => break,
            }
            if running.changed().await.is_err() {
                break;
            }
        }
        guard.0 = None;
        self.last().ok_or(NotBegun::Stopping)
    }

    /// Breaks off the walk that goes on, if one does. [`Desk::idle`] says when it has ended.
    pub fn suspend(&self) {
        self.0.suspend.send_replace(());
    }

    /// The same, and no other is begun.
    pub fn stop(&self) {
        self.0.stopping.store(true, Ordering::SeqCst);
        self.suspend();
    }

    /// Returns once none goes on.
    pub async fn idle(&self) {
        let mut running = self.0.running.subscribe();
        let _ = running.wait_for(Option::is_none).await;
    }

    pub(super) fn backend(&self) -> Option<&Backend> {
        self.0.backend.as_ref()
    }

    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(super) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    pub(super) fn note_count(&self, counted: Counted) {
        *self.0.counted.lock().unwrap_or_else(PoisonError::into_inner) = Some(counted);
    }
}

/// Walks until the end or until told to stop, and says in the log when it did not come to its end.
async fn run(turn: Turn, backend: Backend, is_dry: bool, by: By, mut suspended: watch::Receiver<()>) {
    let inner = &*turn.0;
    let walk = Walker::new(&inner.store, &backend, &inner.clock, by.clone(), &inner.running).walk(is_dry);
    let result = tokio::select! {
        biased;
        _ = suspended.changed() => Err(Error::Stopped),
        walked = walk => walked,
    };
    if let Err(error) = &result {
        tracing::warn!(cause = %error, "sync.not_finished");
        let entry = by.entry("sync.finished").with("dry_run", is_dry.then_some(true)).ended("error", error.as_str());
        if let Err(cause) = inner.store.record(entry).await {
            tracing::warn!(%cause, "audit.not_written");
        }
    }
    let (result, named) = match result {
        Ok((walked, named)) => (Ok(walked), named),
        Err(error) => (Err(error.to_string()), Named::default()),
    };
    let outcome = Outcome { at: inner.clock.now(), is_dry, result, named };
    *inner.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
}

/// The right to walk, given back when it goes.
struct Turn(Arc<Inner>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.running.send_replace(None);
    }
}

/// Breaks off the walk when whoever follows it goes.
struct BreakOff<'a>(Option<&'a Desk>);

impl Drop for BreakOff<'_> {
    fn drop(&mut self) {
        if let Some(desk) = self.0 {
            desk.suspend();
        }
    }
}
