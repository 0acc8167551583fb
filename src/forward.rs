//! Tells other services what happens. Each is a consumer of the ordered feed with a place of its own in the log: it is told
//! every event at least once and in order, one call at a time, and again until it takes it. Nobody waits for it but it
//! alone, and nothing is queued for it: what comes next is read when it took what came before.

mod bearer;
mod change;
mod compose;
mod course;
mod error;
mod secrets;
mod status;
mod worker;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::audit::{Actor, Draft, Source};
use crate::clerk::backend::Backend;
use crate::clerk::courier::{Address, BadAddress};
use crate::clock::{Clock, Timestamp};
use crate::store::{self, FeedItem, Store};
use crate::target::{Course, Kind, Target, TargetName};

pub use self::error::Error;
pub use self::secrets::{BadSecret, NoRandomness, Secret, SecretsError, secrets_path};
pub use self::status::{Origin, Status, Stuck};

use self::compose::Mark;
use self::secrets::{Kept, Secrets};
use self::worker::Worker;

/// So many targets can be added at most.
pub const MOST: usize = 32;

/// An event as the API shows it, at a time.
pub type Shape = Arc<dyn Fn(&FeedItem, Timestamp) -> Value + Send + Sync>;

/// What a [`Forwarder`] works with.
pub struct Setup {
    /// Where events are read from, and places are kept.
    pub store: Store,
    /// The time.
    pub clock: Clock,
    /// Makes session tokens; `None` without a secret key.
    pub backend: Option<Backend>,
    /// Private networks that targets may be in.
    pub private: Vec<IpNet>,
    /// The log's name, which tells its events from those of other logs.
    pub log: String,
    /// How an event is shown.
    pub shape: Shape,
    /// The target of the settings, which goes by [`TargetName::of_settings`], and its secret.
    pub set: Option<(Target, Secret)>,
}

/// Tells the targets. Clones share what they know.
#[derive(Clone)]
pub struct Forwarder(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Clock,
    backend: Option<Backend>,
    private: Arc<[IpNet]>,
    mark: Mark,
    shape: Shape,
    secrets: Mutex<Secrets>,
    lines: Mutex<BTreeMap<TargetName, Line>>,
    /// Held while a target is changed, so that it is done one by one.
    turn: tokio::sync::Mutex<()>,
    started: AtomicBool,
    stopping: AtomicBool,
}

/// One target, and what tells it.
struct Line {
    target: Target,
    origin: Origin,
    /// Its secret when it is that of the settings; the others' are in the file.
    set: Option<Kept>,
    live: Live,
    retry: Arc<Notify>,
    running: Option<Running>,
}

/// The task that tells a target. It ends when `stop` is dropped.
struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// How a target stands, shared with what tells it.
#[derive(Clone, Default)]
struct Live(Arc<Mutex<Standing>>);

#[derive(Clone, Default)]
struct Standing {
    course: Course,
    next_try_at: Option<Timestamp>,
    said: Option<String>,
    stuck: Option<Stuck>,
    /// How often it took nothing, since the start.
    failures: u64,
}

impl Live {
    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where in the log a target goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With what comes from now on.
    Now,
    /// With the oldest entry there is.
    Beginning,
    /// With the entry of that number.
    At(u64),
    /// With the first entry written at that time or later.
    Since(Timestamp),
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup").field("private", &self.private).field("set", &self.set).finish_non_exhaustive()
    }
}

impl fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwarder").field("targets", &self.lines().keys()).finish_non_exhaustive()
    }
}

impl Forwarder {
    /// Reads which targets there are. Nothing is sent before [`Forwarder::start`]. The target of the settings begins, the
    /// first time and after it was gone, with what comes from then on. That it is new, another or gone is written down.
    /// Without a usable file of secrets the other targets stand still.
    ///
    /// # Errors
    /// When the target of the settings cannot be called so, or the store cannot be read or takes no writes.
    pub async fn open(setup: Setup) -> Result<Self, Error> {
        let Setup { store, clock, backend, private, log, shape, set } = setup;
        let data = store.path().to_owned();
        let secrets = tokio::task::spawn_blocking(move || Secrets::open(&data)).await;
        let secrets = secrets.map_err(|_| store::Error::Panicked)?;
        let forwarder = Self(Arc::new(Inner {
            store,
            clock,
            backend,
            private: private.into(),
            mark: Mark::of(&log),
            shape,
            secrets: Mutex::new(secrets),
            lines: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            started: AtomicBool::default(),
            stopping: AtomicBool::default(),
        }));
        for target in forwarder.0.store.targets().await? {
            let course = forwarder.0.store.course(&target.name)?.unwrap_or_default();
            forwarder.put_line(target, Origin::Page, None, course);
        }
        if let Some((target, secret)) = set {
            forwarder.check(&target)?;
            let course = forwarder.course_of_settings(&target).await?;
            forwarder.put_line(target, Origin::Settings, Some(Kept::of(secret)), course);
        } else {
            forwarder.settings_name_none().await?;
        }
        Ok(forwarder)
    }

    /// Begins to send.
    pub async fn start(&self) {
        let _turn = self.0.turn.lock().await;
        self.0.started.store(true, Ordering::SeqCst);
        let names: Vec<TargetName> = self.lines().keys().cloned().collect();
        for name in names {
            self.run(&name);
        }
    }

    /// Gives up the calls under way, which are made again after the next start, and begins no other. [`Forwarder::idle`]
    /// says when that is done.
    pub fn stop(&self) {
        self.0.stopping.store(true, Ordering::SeqCst);
        for line in self.lines().values_mut() {
            if let Some(running) = &line.running {
                running.stop.send_replace(true);
            }
        }
    }

    /// Returns once nothing is sent and every place is written down. For after [`Forwarder::stop`].
    pub async fn idle(&self) {
        let _turn = self.0.turn.lock().await;
        let running: Vec<Running> = self.lines().values_mut().filter_map(|line| line.running.take()).collect();
        for Running { stop, task } in running {
            drop(stop);
            let _ = task.await;
        }
    }

    /// Every target and how it stands, that of the settings first, then by name.
    #[must_use]
    pub fn all(&self) -> Vec<Status> {
        let mut all: Vec<Status> = self.lines().values().map(|line| self.status_of(line)).collect();
        all.sort_by_key(|status| status.origin != Origin::Settings);
        all
    }

    /// How the target of that name stands, if there is one.
    #[must_use]
    pub fn status(&self, name: &TargetName) -> Option<Status> {
        self.lines().get(name).map(|line| self.status_of(line))
    }

    fn status_of(&self, line: &Line) -> Status {
        let Standing { course, next_try_at, said, stuck, failures } = line.live.lock().clone();
        // It ends by itself only by a panic; when it is to stop, nobody looks any more.
        let has_failed = line.running.as_ref().is_some_and(|running| running.task.is_finished());
        let next = course.after.map_or(0, |after| after.saturating_add(1));
        Status {
            behind: self.0.store.counts().entries.saturating_sub(next),
            has_secret: line.set.is_some() || self.secrets().find(&line.target.name).is_some(),
            target: line.target.clone(),
            origin: line.origin,
            course,
            next_try_at,
            said,
            stuck: stuck.or_else(|| has_failed.then_some(Stuck::Failed)),
            failures,
        }
    }

    fn lines(&self) -> MutexGuard<'_, BTreeMap<TargetName, Line>> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn secrets(&self) -> MutexGuard<'_, Secrets> {
        self.0.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_line(&self, target: Target, origin: Origin, set: Option<Kept>, course: Course) {
        let live = Live(Arc::new(Mutex::new(Standing { course, ..Standing::default() })));
        let name = target.name.clone();
        self.lines().insert(name, Line { target, origin, set, live, retry: Arc::default(), running: None });
    }

    async fn course_of_settings(&self, target: &Target) -> Result<Course, Error> {
        let (store, former) = (&self.0.store, self.0.store.target_of_settings()?);
        let known = store.course(&target.name)?;
        let (action, course) = match known {
            Some(course) if former.as_ref() == Some(target) => return Ok(course),
            // What failed was told to the former one.
            Some(course) => ("target.changed", Course { failing: None, ..course }),
            None => {
                let after = store.counts().entries.checked_sub(1);
                ("target.created", Course { after, ..Course::default() })
            }
        };
        // In doubt nothing is sent, and nothing written: it is when that is over.
        if store.doubt().is_none() {
            let entry = change::about(target, Draft::new(action, Actor::System, Source::System));
            store.put_target(target.clone(), course.clone(), entry).await?;
        }
        Ok(course)
    }

    /// Forgets the target that the settings named before, if they did.
    async fn settings_name_none(&self) -> Result<(), Error> {
        let store = &self.0.store;
        if let Some(former) = store.target_of_settings()?
            && store.doubt().is_none()
        {
            let entry = change::about(&former, Draft::new("target.removed", Actor::System, Source::System));
            store.remove_target(former.name, entry).await?;
        }
        Ok(())
    }

    /// Lets the target of that name be told, unless it is, or nothing is to be sent.
    fn run(&self, name: &TargetName) {
        if !self.0.started.load(Ordering::SeqCst) {
            return;
        }
        let kept = self.secrets().find(name).cloned();
        let mut lines = self.lines();
        // Only under the lock: whoever stops looks for those that run after saying so.
        if self.0.stopping.load(Ordering::SeqCst) {
            return;
        }
        if let Some(line) = lines.get_mut(name).filter(|line| line.running.is_none()) {
            let (stop, stopped) = watch::channel(false);
            let (live, retry) = (line.live.clone(), line.retry.clone());
            let kept = line.set.clone().or(kept);
            let worker = Worker::new(self.clone(), line.target.clone(), kept, live, retry, stopped);
            line.running = Some(Running { stop, task: tokio::spawn(worker.run()) });
        }
    }

    /// Lets the target of that name be told no more for now, and returns how far it has come.
    async fn halt(&self, name: &TargetName) -> Result<(Target, Origin, Course), Error> {
        let running = {
            let mut lines = self.lines();
            let line = lines.get_mut(name).ok_or(Error::Unknown)?;
            line.running.take()
        };
        if let Some(Running { stop, task }) = running {
            drop(stop);
            let _ = task.await;
        }
        let lines = self.lines();
        let line = lines.get(name).ok_or(Error::Unknown)?;
        Ok((line.target.clone(), line.origin, line.live.lock().course.clone()))
    }

    /// The address of a target, if it may be called now.
    fn address(&self, target: &Target) -> Result<Address, BadAddress> {
        if target.name == TargetName::of_settings() {
            Address::of_settings(&target.url, &self.0.private)
        } else {
            Address::parse(&target.url, &self.0.private)
        }
    }

    /// Whether a target can be told.
    fn check(&self, target: &Target) -> Result<(), Error> {
        self.address(target)?;
        match (target.bearer, target.kind) {
            (true, Kind::Events) => Err(Error::BearerOfEvents),
            (true, Kind::Api) if self.0.backend.is_none() => Err(Error::NoKey),
            _ => Ok(()),
        }
    }
}
