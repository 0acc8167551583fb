//! The roll and the book in one file. Every verb is one transaction; whoever asked hears of it after it
//! is on disk. Nothing outside this module knows what the file is made of.

mod admins;
mod api_keys;
mod at_rest;
mod backup;
mod billing;
mod book;
mod by_facet;
mod caught;
mod copy;
mod detail;
mod erase;
mod erased;
mod error;
mod evidence;
mod feed;
mod figures;
mod former;
mod hours;
mod ingest;
mod live;
mod mirror;
mod pages;
mod places;
mod provision;
mod prune;
mod quarantine;
mod reconcile;
mod review;
mod schema;
mod scrub;
mod settle;
mod snapshot;
mod state;
mod tables;
mod targets;
#[cfg(test)]
mod told;
mod tx;
mod users;
mod values;
mod walk;
mod wall;
mod writer;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redb::{ReadTransaction, ReadableDatabase as _, StorageBackend};
use tokio::sync::watch;

use crate::audit::{self, Actor, Doubt, Draft, Entry, Source};
use crate::clock::{Clock, Timestamp};
use crate::event::{Delivery, Outcome};
use crate::page::{Page, PageRequest};
use crate::sync::Policy;
use crate::user::{ClerkId, User, UserId};

pub use self::admins::{Admin, AdminError, AdminSession, Admins, Link, TokenHash};
pub use self::api_keys::KeyError;
pub use self::at_rest::AtRest;
pub use self::backup::CopyError;
pub use self::caught::caught;
pub use self::erase::{EraseError, Extent, MANY, Order, Progress};
pub use self::error::{Error, OpenError};
pub use self::evidence::{CheckpointRow, Evidence, Head, Identity, Mapping, Person, RowCounts, StoredCheckpoint};
pub use self::feed::{FeedError, FeedItem, FeedPage, FeedRequest, Subject};
pub use self::figures::Figures;
pub use self::former::former_copies;
pub use self::pages::check_pages;
pub use self::provision::Told;
pub use self::prune::Prunable;
pub use self::quarantine::{Quarantined, Reprocessed};
pub use self::reconcile::{Unmarked, Unmet};
pub use self::review::{Review, ReviewError, Reviewed};
pub use self::scrub::{ScrubError, Scrubbed};
pub use self::state::Counts;
pub use self::users::{ChangeError, Expected, MAX_COUNT, Revision, UserFilter, UserPatch};
pub use self::values::{Moment, Sighting, Sightings};
pub use self::walk::Stretch;

use self::live::{DataFile, Live};
use self::state::State;
use self::tables::open;
use self::tx::Tx;
use self::users::Roll;
use self::writer::{Queue, Writer};

/// What became of a delivery, and the entry it left (the first copy's, for a duplicate).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ingested {
    /// What became of it.
    pub outcome: Outcome,
    /// The entry.
    pub seq: u64,
}

/// What a valid token of a user not yet synced led to.
#[derive(Debug, Clone)]
pub enum Provisioned {
    /// The user, who was there.
    Found(Box<User>),
    /// The user, made now.
    Made(Box<User>),
    /// Clerk deleted this user.
    Deleted,
}

/// Who asks for a change, for the log.
#[derive(Debug, Clone)]
pub struct By {
    /// Who.
    pub actor: Actor,
    /// By which way.
    pub source: Source,
}

impl By {
    /// An entry that says they did that.
    #[must_use]
    pub fn entry(&self, action: &str) -> Draft {
        Draft::new(action, self.actor.clone(), self.source)
    }
}

/// A handle to the store. Cheap to clone; the file is closed when the last one is gone.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    path: PathBuf,
    live: Arc<Live>,
    queue: Queue,
    writer: Mutex<Option<std::thread::JoinHandle<()>>>,
    shared: Arc<Shared>,
    failed: watch::Sender<bool>,
    doubt: Mutex<Option<Doubt>>,
    policy: Policy,
    clock: Clock,
}

/// What the writer tells readers after each commit.
#[derive(Default)]
struct Shared {
    counts: Mutex<Counts>,
    /// The log's size, for those who wait for it to grow.
    size: watch::Sender<u64>,
    figures: Mutex<Figures>,
    /// Whether it rewrites the file, and comes to nothing else meanwhile.
    rewriting: AtomicBool,
}

impl Shared {
    fn publish(&self, counts: Counts, operations: usize, took: Duration) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = counts;
        self.size.send_if_modified(|size| std::mem::replace(size, counts.entries) != counts.entries);
        self.figures.lock().unwrap_or_else(PoisonError::into_inner).note(operations, took);
    }
}

/// What `open` returns. Of some damage redb does not return an error but panics.
fn sound<T>(path: &Path, open: impl FnOnce() -> Result<T, OpenError>) -> Result<T, OpenError> {
    caught(open).unwrap_or_else(|| Err(OpenError::Damaged(path.to_owned())))
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.0.path).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the data file, or makes a new one (mode 0600), and starts its writer. `cache_bytes` is how
    /// much of the file is kept in memory. Blocks; call it before the server starts.
    ///
    /// A log that does not agree with itself is opened for reading only, see [`Store::doubt`].
    ///
    /// # Errors
    /// When the file is in use, cannot be read and written, is not Rollbook's, or is not whole.
    pub fn open(path: &Path, cache_bytes: usize, policy: Policy, clock: Clock) -> Result<Self, OpenError> {
        sound(path, || {
            let opened = schema::open(path, cache_bytes)?;
            Self::start(Live::new(opened, DataFile::at(path, cache_bytes)), path, policy, clock)
        })
    }

    /// The same on storage that is no file of its own, such as memory or a disk that fails on purpose; empty
    /// storage becomes a new data file. `path` is what errors call it.
    ///
    /// # Errors
    /// When the storage cannot be read and written, is not Rollbook's, or is not whole.
    pub fn with_backend(
        backend: impl StorageBackend,
        path: &Path,
        cache_bytes: usize,
        policy: Policy,
        clock: Clock,
    ) -> Result<Self, OpenError> {
        sound(path, || {
            let opened = schema::open_backend(backend, path, cache_bytes)?;
            Self::start(Live::new(opened, None), path, policy, clock)
        })
    }

    fn start(live: Live, path: &Path, policy: Policy, clock: Clock) -> Result<Self, OpenError> {
        let live = Arc::new(live);
        let store = |cause| OpenError::Store { path: path.to_owned(), cause };
        let (state, doubt) = State::load(&live.db(), clock.clone()).map_err(store)?;
        let counts = state.stats();
        let shared =
            Shared { counts: Mutex::new(counts), size: watch::Sender::new(counts.entries), ..Shared::default() };
        let shared = Arc::new(shared);
        let failed = watch::Sender::new(false);
        let (queue, thread) = Writer::start(live.clone(), state, shared.clone(), failed.clone())
            .map_err(|cause| OpenError::Inaccessible { path: path.to_owned(), cause })?;
        let writer = Mutex::new(Some(thread));
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let doubt = Mutex::new(doubt);
        Ok(Self(Arc::new(Inner { path, live, queue, writer, shared, failed, doubt, policy, clock })))
    }

    /// Ends the writer after everything handed in before this call, and waits for it.
    pub async fn close(self) {
        self.0.queue.stop().await;
        let thread = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
        // A damaged file that redb has panicked over makes it panic once more when it is closed.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(self)));
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The operator's choices that it goes by.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.0.policy
    }

    /// Whether writes are taken.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.has_failed() && self.doubt().is_none()
    }

    /// Whether the file could not be read or written.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        *self.0.failed.borrow()
    }

    /// Returns once the file could not be read or written: from then on nothing is written until a restart.
    pub async fn failed(&self) {
        let mut failed = self.0.failed.subscribe();
        let _ = failed.wait_for(|failed| *failed).await;
    }

    /// Waits until the writer has come past all that is in line; whether it has.
    pub async fn pass_writer(&self) -> bool {
        self.0.queue.between(|_, _| ()).await.is_ok()
    }

    /// Whether the file is being rewritten, see [`Store::scrub`]. Writes wait until that is done.
    #[must_use]
    pub fn is_rewriting(&self) -> bool {
        self.0.shared.rewriting.load(Ordering::Relaxed)
    }

    /// How much there is, as of the last commit.
    #[must_use]
    pub fn counts(&self) -> Counts {
        *self.0.shared.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The log's size as of the last commit, to be waited on.
    #[must_use]
    pub fn size(&self) -> watch::Receiver<u64> {
        self.0.shared.size.subscribe()
    }

    /// What the writer has done since the start, and how many wait for it.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let figures = self.0.shared.figures.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Figures { waiting: self.0.queue.waiting(), ..figures }
    }

    /// Applies a delivery, once.
    ///
    /// # Errors
    /// When the store takes no writes; then nothing was acknowledged and the sender should try again.
    pub async fn ingest(&self, delivery: Delivery) -> Result<Ingested, Error> {
        let (now, policy) = (self.now(), self.0.policy.clone());
        self.write(move |tx| tx.ingest(&delivery, now, &policy)).await
    }

    /// The user with that id, also when deleted at Clerk.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn user(&self, id: UserId) -> Result<Option<User>, Error> {
        self.read(|txn| {
            let row = open(txn, tables::users())?.get(id.as_u128())?;
            row.map(|row| users::decode(id.as_u128(), row.value())).transpose()
        })
    }

    /// When Clerk deleted the user, if it did; somebody erased counts as deleted.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn deleted_at(&self, id: &ClerkId) -> Result<Option<Timestamp>, Error> {
        let at = self.read(|txn| {
            let at = open(txn, tables::user_tombstones())?.get(id.as_str())?;
            Ok(at.map(|at| Timestamp::from_millis(at.value())))
        })?;
        if at.is_some() { Ok(at) } else { self.erased_at(id) }
    }

    /// A page of users: newest first, or in the order of what they were found by.
    ///
    /// # Errors
    /// When the file cannot be read, or the cursor is another list's.
    pub async fn users(&self, filter: UserFilter, page: PageRequest) -> Result<Page<User>, Error> {
        self.scan(move |txn| {
            let roll = Roll { users: open(txn, tables::users())?, index: open(txn, tables::user_index())? };
            roll.list(&filter, &page)
        })
        .await
    }

    /// Appends an entry that goes with no change of state. While the log is in doubt, it becomes a line on standard
    /// output instead: what is looked at meanwhile is noted as well as it can be.
    ///
    /// # Errors
    /// When the store takes no writes; what was to be recorded must then not go ahead.
    pub async fn record(&self, entry: Draft) -> Result<(), Error> {
        if self.is_noted_elsewhere(&entry) {
            return Ok(());
        }
        self.attest(entry).await
    }

    /// The same for what may not go ahead unless it is in the log itself: while that is in doubt, this fails.
    ///
    /// # Errors
    /// When the store takes no writes; what was to be recorded must then not go ahead.
    pub async fn attest(&self, entry: Draft) -> Result<(), Error> {
        let now = self.now();
        self.write(move |tx| tx.append(&entry, now).map(drop)).await
    }

    /// A page of the log, newest first.
    ///
    /// # Errors
    /// When the file cannot be read, or the cursor is another list's.
    pub async fn audit(&self, filter: audit::Filter, page: PageRequest) -> Result<Page<Entry>, Error> {
        self.scan(move |txn| book::Book::open(txn)?.list(&filter, &page)).await
    }

    /// The actions that the log has entries of, in order.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn actions(&self) -> Result<Vec<String>, Error> {
        let all = audit::Actions::Beginning(String::new());
        self.scan(move |txn| Ok(book::Book::open(txn)?.actions(&all)?.into_iter().collect())).await
    }

    /// The last good set of Clerk's public keys, as it was kept.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn keys(&self) -> Result<Option<Vec<u8>>, Error> {
        self.read(|txn| Ok(open(txn, tables::meta())?.get("jwks")?.map(|row| row.value().to_vec())))
    }

    /// Keeps a set of Clerk's public keys over restarts, and notes in the log that it changed.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn keep_keys(&self, document: Vec<u8>) -> Result<(), Error> {
        let now = self.now();
        self.write(move |tx| {
            tx.tables.meta.insert("jwks", &document[..])?;
            tx.append(&Draft::new("keys.changed", Actor::System, Source::System), now).map(drop)
        })
        .await
    }

    fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnMut(&mut Tx<'_>) -> Result<T, Error> + Send + 'static,
    {
        if self.doubt().is_some() {
            return Err(Error::ReadOnly);
        }
        self.0.queue.write(work).await
    }

    /// A change beside the log, with its entry if it has one. It is made also while the log is in doubt: whoever comes
    /// to see what is wrong has to sign in.
    async fn write_beside<F>(&self, entry: Option<Draft>, work: F) -> Result<(), Error>
    where
        F: Fn(&mut Tx<'_>) -> Result<(), Error> + Send + 'static,
    {
        let now = self.now();
        let entry = entry.filter(|entry| !self.is_noted_elsewhere(entry));
        let work = move |tx: &mut Tx<'_>| {
            work(tx)?;
            entry.as_ref().map_or(Ok(()), |entry| tx.append(entry, now).map(drop))
        };
        self.0.queue.write(work).await
    }

    /// A point read: a few microseconds, fit for an async thread.
    fn read<T>(&self, read: impl FnOnce(&ReadTransaction) -> Result<T, Error>) -> Result<T, Error> {
        watched(&self.0.failed, || read(&self.0.live.db().begin_read()?))
    }

    /// A read of many rows, on a thread that may block.
    async fn scan<T, F>(&self, read: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&ReadTransaction) -> Result<T, Error> + Send + 'static,
    {
        let inner = self.0.clone();
        let scan = move || watched(&inner.failed, || read(&inner.live.db().begin_read()?));
        tokio::task::spawn_blocking(scan).await.unwrap_or(Err(Error::Panicked))
    }
}

/// A read that fails at the file stops the writes too: redb refuses everything after an I/O error, and only
/// a restart finds out what is still there.
fn watched<T>(failed: &watch::Sender<bool>, read: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let result = read();
    if let Err(error @ Error::Storage(_)) = &result
        && !failed.send_replace(true)
    {
        tracing::error!(cause = %error, "store.failed");
    }
    result
}
