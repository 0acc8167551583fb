//! Who vouches for the log: the signing key and the high-water mark beside the data file, and the checkpoints signed
//! with the one under the watch of the other.
//!
//! A checkpoint says "the log had this root when it had this many entries" (C2SP tlog-checkpoint). Whoever holds one can
//! prove later that nothing before it was changed, so two that contradict each other must never be signed. Against that
//! stands the high-water mark, a copy of the newest checkpoint outside the data file: it is written before the
//! checkpoint is told to anybody, and nothing is signed that does not continue from it. A data file that was put back to
//! an older state is noticed by it at the next start.

mod adopt;
mod key_file;
mod lost;
mod recognise;
mod rotate;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::audit::{Actor, Doubt, Draft, Source};
use crate::clock::{Clock, Timestamp};
use crate::disk;
use crate::store::{self, Identity, Store};
use crate::tlog::checkpoint::{BadCheckpoint, Checkpoint};
use crate::tlog::note::{BadKey, SigningKey, VerifierKey};

use self::key_file::Keys;
use self::recognise::{Standing, contradiction, read_mark};

pub use self::lost::{Lost, lost};
pub use self::recognise::{Foreseen, Marked, foresee};

/// Why the log cannot be vouched for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log is in doubt.
    #[error("{0}; `rollbook adopt` takes the file as it is and says so in the log, or put the missing file back")]
    InDoubt(Doubt),
    /// The key file cannot be used.
    #[error(transparent)]
    Key(#[from] key_file::Error),
    /// The high-water mark cannot be read or written.
    #[error("{path} cannot be read or written: {cause}")]
    Mark {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The store cannot be read or takes no writes.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A key cannot be made.
    #[error("cannot make a signing key: {0}")]
    BadKey(#[from] BadKey),
    /// A checkpoint cannot be signed.
    #[error("cannot sign: {0}")]
    Checkpoint(#[from] BadCheckpoint),
    /// The file has no entry, and others were signed.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// There is nothing to settle.
    #[error("nothing speaks against the log; there is nothing to adopt")]
    NoDoubt,
    /// A key is being retired already.
    #[error("the key was changed less than 30 days ago and the former one still signs; wait until it is retired")]
    Rotating,
}

/// A checkpoint that others may know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// The signed note.
    pub note: String,
    /// When it was signed; `None` for one from before the start.
    pub signed_at: Option<Timestamp>,
}

/// Signs checkpoints of one store's log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Notary(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: Clock,
    /// The first part of the log's name: the host it is known by.
    host: String,
    key_path: PathBuf,
    mark_path: PathBuf,
    keys: Mutex<Option<Arc<Keys>>>,
    /// Whether the key was made by this process.
    is_new: AtomicBool,
    published: watch::Sender<Option<Arc<Published>>>,
    /// Held while something is signed, so that it is done one by one.
    turn: tokio::sync::Mutex<()>,
}

/// Where the signing key of a data file is: beside it, `.key` behind its name.
#[must_use]
pub fn key_path(data: &Path) -> PathBuf {
    beside(data, ".key")
}

/// Where the high-water mark of a data file is: beside it, `.hwm` behind its name.
#[must_use]
pub fn mark_path(data: &Path) -> PathBuf {
    beside(data, ".hwm")
}

fn beside(data: &Path, suffix: &str) -> PathBuf {
    let mut path = data.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

impl Notary {
    /// Looks whether the log in the store is the one that was signed before; if something speaks against it, the store
    /// takes no writes from here on. A log that was never signed gets its key now, under the name `<host>/log-1`.
    ///
    /// # Errors
    /// When the key cannot be used or made, or the store cannot be read. A doubt is not an error: [`Store::doubt`].
    pub async fn open(store: Store, clock: Clock, host: &str) -> Result<Self, Error> {
        let notary = Self(Arc::new(Inner {
            key_path: key_path(store.path()),
            mark_path: mark_path(store.path()),
            store,
            clock,
            host: host.to_owned(),
            keys: Mutex::default(),
            is_new: AtomicBool::default(),
            published: watch::Sender::new(None),
            turn: tokio::sync::Mutex::default(),
        }));
        *notary.keys_mut() = Keys::read(&notary.0.key_path)?.map(Arc::new);
        match notary.0.store.doubt() {
            Some(_) => {}
            None => match notary.recognise().await? {
                Some(doubt) => notary.0.store.refuse_writes(doubt),
                None => notary.finish_rotation().await?,
            },
        }
        Ok(notary)
    }

    /// The newest checkpoint that others may know of.
    #[must_use]
    pub fn published(&self) -> Option<Arc<Published>> {
        self.0.published.borrow().clone()
    }

    /// Whether the log got its key just now: then somebody should take down what it is checked with.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.0.is_new.load(Ordering::Relaxed)
    }

    /// The keys to check the log's signatures with, the one that stays first; none when the key file is gone.
    #[must_use]
    pub fn verifiers(&self) -> Vec<VerifierKey> {
        self.keys().map(|keys| keys.verifiers()).unwrap_or_default()
    }

    /// Until when the second of these keys signs beside the first; `None` when there is one.
    #[must_use]
    pub fn retires_at(&self) -> Option<Timestamp> {
        self.keys().and_then(|keys| keys.retiring.as_ref().map(|(_, until)| *until))
    }

    /// Signs a checkpoint of the log as it is on disk now, unless the newest one is of that size already.
    ///
    /// # Errors
    /// When the log is in doubt, also when that shows only now; when a file or the store cannot be written. Then the
    /// checkpoint before is still the newest.
    pub async fn publish(&self) -> Result<Arc<Published>, Error> {
        let _turn = self.0.turn.lock().await;
        self.sign().await
    }

    /// The caller has the turn.
    async fn sign(&self) -> Result<Arc<Published>, Error> {
        let Inner { store, clock, .. } = &*self.0;
        if let Some(doubt) = store.doubt() {
            return Err(Error::InDoubt(doubt));
        }
        self.retire_key(clock.now()).await?;
        let keys = self.keys().ok_or(Error::InDoubt(Doubt::NoKey))?;
        let (head, epoch) = {
            let evidence = store.evidence()?;
            (evidence.head()?, evidence.identity()?.map_or(1, |identity| identity.epoch))
        };
        if let Some(last) = self.published() {
            let same_name = last.checkpoint.origin == keys.active.verifier().name();
            if same_name && last.checkpoint.size == head.size && last.checkpoint.root == head.root {
                return Ok(last);
            }
            if let Some(doubt) = contradiction(&store.evidence()?, &last.checkpoint, head)? {
                store.refuse_writes(doubt.clone());
                return Err(Error::InDoubt(doubt));
            }
        }
        let checkpoint =
            Checkpoint { origin: keys.active.verifier().name().to_owned(), size: head.size, root: head.root };
        let note = checkpoint.sign(&keys.signing())?;
        self.write_mark(note.clone()).await?;
        store.put_checkpoint(epoch, head.size, note.clone()).await?;
        let published = Arc::new(Published { checkpoint, note, signed_at: Some(clock.now()) });
        self.0.published.send_replace(Some(published.clone()));
        tracing::info!(size = head.size, checkpoint = published.note, "log.checkpoint");
        Ok(published)
    }

    /// Whether key, mark and log belong together; what speaks against it if they do not.
    async fn recognise(&self) -> Result<Option<Doubt>, Error> {
        let (keys, mark) = (self.keys(), read_mark(&self.0.mark_path)?);
        let verifiers = keys.as_ref().map(|keys| keys.verifiers());
        let standing = recognise::judge(&self.0.store.evidence()?, verifiers.as_deref(), mark)?;
        Ok(match standing {
            Standing::Nameless => {
                self.introduce(keys).await?;
                None
            }
            Standing::Unsigned => None,
            Standing::Continued(checkpoint, note) => {
                self.0.published.send_replace(Some(Arc::new(Published { checkpoint, note, signed_at: None })));
                None
            }
            Standing::Doubtful(doubt) => Some(doubt),
        })
    }

    /// Gives a log that was never signed its key and its name.
    async fn introduce(&self, keys: Option<Arc<Keys>>) -> Result<(), Error> {
        let keys = match keys {
            // Made before, by a start that got no further.
            Some(keys) => keys,
            None => self.replace_keys(Keys::of(SigningKey::generate(&self.name(1))?)).await?,
        };
        let vkey = keys.active.verifier();
        let entry = Draft::new("log.key_made", Actor::System, Source::System).with("vkey", Some(vkey.to_string()));
        let identity = Identity { epoch: 1, vkey: vkey.to_string(), former: Vec::new() };
        self.0.store.identify(identity, entry).await?;
        self.0.is_new.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The log's name in that epoch (the origin of its checkpoints).
    fn name(&self, epoch: u64) -> String {
        format!("{}/log-{epoch}", self.0.host)
    }

    fn keys(&self) -> Option<Arc<Keys>> {
        self.keys_mut().clone()
    }

    fn keys_mut(&self) -> MutexGuard<'_, Option<Arc<Keys>>> {
        self.0.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the key file, and signs with these keys once it is on the disk.
    async fn replace_keys(&self, keys: Keys) -> Result<Arc<Keys>, Error> {
        let (keys, path) = (Arc::new(keys), self.0.key_path.clone());
        let written = keys.clone();
        blocking(move || written.write(&path)).await?;
        *self.keys_mut() = Some(keys.clone());
        Ok(keys)
    }

    async fn write_mark(&self, note: String) -> Result<(), Error> {
        let path = self.0.mark_path.clone();
        blocking(move || disk::write_private(&path, note.as_bytes()).map_err(|cause| Error::Mark { path, cause })).await
    }
}

async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, Error>
where
    T: Send + 'static,
    E: Send + 'static,
    Error: From<E>,
{
    let done = tokio::task::spawn_blocking(work).await.map_err(|_| store::Error::Panicked)?;
    Ok(done?)
}
