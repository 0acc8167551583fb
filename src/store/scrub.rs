//! Rewriting the data file. redb leaves the bytes of removed and overwritten rows where they are until it needs the
//! room; a new file that only ever held the live rows has none of them.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use redb::{Database, ReadableDatabase as _};

use super::copy::{Fault, Listener, copy};
use super::error::Error;
use super::live::{DataFile, Live};
use super::schema::Opened;
use super::state::State;
use super::writer::Writer;
use super::{By, Shared, Store, schema, tables};
use crate::audit::Draft;
use crate::clock::Clock;
use crate::disk;
use crate::merkle::{Frontier, Hash};

/// What a rewrite came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scrubbed {
    /// What the old file took on the disk, in bytes.
    pub before: u64,
    /// What the new one takes.
    pub after: u64,
    /// The entry.
    pub seq: u64,
}

/// Why the file was not rewritten. But for [`ScrubError::Store`] it is as it was, and the store goes on.
#[derive(Debug, thiserror::Error)]
pub enum ScrubError {
    /// The data is not in a file.
    #[error("the data is in no file that could be rewritten")]
    NoFile,
    /// Somebody moved the file, or put another in its place.
    #[error("{} is not the file that was opened any more; put that one back, or restart the server", .0.display())]
    Moved(PathBuf),
    /// The disk is too full.
    #[error(
        "rewriting needs room for a second file: {} MiB, and {} has {} MiB; the data file is as it was",
        mebibytes(*.need), .folder.display(), mebibytes(*.free)
    )]
    NoRoom {
        /// The folder of the data file.
        folder: PathBuf,
        /// What is needed, in bytes.
        need: u64,
        /// What there is.
        free: u64,
    },
    /// The new file could not be made.
    #[error("{}: {cause}; the data file is as it was", .path.display())]
    Undone {
        /// The new file.
        path: PathBuf,
        /// What went wrong.
        cause: io::Error,
    },
    /// The caller went away.
    #[error("stopped; the data file is as it was")]
    Stopped,
    /// The store failed, or takes no writes.
    #[error(transparent)]
    Store(#[from] Error),
}

impl Store {
    /// Rewrites the data file, so that nothing of removed rows is left in it, and notes that in the log. Writes wait
    /// until it is done, reads do not. `progress` hears how many rows are copied, of how many. When the caller hangs up
    /// while rows are copied, it ends there and nothing has changed.
    ///
    /// # Errors
    /// When the file could not be rewritten, or the store takes no writes.
    pub async fn scrub(
        &self,
        by: By,
        mut progress: impl FnMut(u64, u64) + Send + 'static,
    ) -> Result<Scrubbed, ScrubError> {
        if self.doubt().is_some() {
            return Err(Error::ReadOnly.into());
        }
        let (path, clock) = (self.0.path.clone(), self.0.clock.clone());
        let shared = self.0.shared.clone();
        let work = move |writer: &mut Writer, is_wanted: &dyn Fn() -> bool| {
            let _until_done = Rewriting::begin(&shared);
            let mut listener = |done, total| {
                progress(done, total);
                is_wanted()
            };
            let Sizes { before, after } = writer.rewrite(&path, &mut listener)?;
            let draft = Draft::new("log.scrubbed", by.actor, by.source)
                .with("bytes_before", Some(before))
                .with("bytes_after", Some(after));
            let seq = writer.run_alone(move |tx| tx.append(&draft, clock.now()))?;
            Ok(Scrubbed { before, after, seq })
        };
        self.0.queue.between(work).await?
    }
}

/// Whoever asks is told that the file is being rewritten, for as long as this is there.
struct Rewriting<'a>(&'a Shared);

impl<'a> Rewriting<'a> {
    fn begin(shared: &'a Shared) -> Self {
        shared.rewriting.store(true, Ordering::Relaxed);
        Self(shared)
    }
}

impl Drop for Rewriting<'_> {
    fn drop(&mut self) {
        self.0.rewriting.store(false, Ordering::Relaxed);
    }
}

/// What the old file took on the disk and the new one takes, in bytes.
struct Sizes {
    before: u64,
    after: u64,
}

impl Writer {
    fn rewrite(&mut self, path: &Path, listener: Listener<'_>) -> Result<Sizes, ScrubError> {
        if *self.failed.borrow() {
            return Err(Error::Failed.into());
        }
        // Of some damage redb does not return an error but panics.
        let rewritten = catch_unwind(AssertUnwindSafe(|| rewrite(path, &self.live, &self.state, listener)));
        let (opened, file, sizes) = rewritten.unwrap_or(Err(Error::Panicked.into())).inspect_err(|error| {
            if let ScrubError::Store(cause) = error
                && cause.is_fatal()
            {
                tracing::error!(%cause, "store.failed");
                self.failed.send_replace(true);
            }
        })?;
        self.live.replace(opened, Some(file));
        Ok(sizes)
    }
}

/// Makes the new file and puts it in the place of the old one.
fn rewrite(
    path: &Path,
    live: &Live,
    state: &State,
    listener: Listener<'_>,
) -> Result<(Opened, DataFile, Sizes), ScrubError> {
    let open = live.file().ok_or(ScrubError::NoFile)?;
    let moved = || ScrubError::Moved(path.to_owned());
    // A link stays; the file it leads to is replaced.
    let path = fs::canonicalize(path).map_err(|_| moved())?;
    let old = fs::metadata(&path).map_err(|_| moved())?;
    if !DataFile::at(&path, open.cache_bytes).is_some_and(|found| found.is(&open)) {
        return Err(moved());
    }
    ensure_room(&path, &old)?;
    let new = Beside::create(&path, &old)?;
    new.fill(&live.db(), open.cache_bytes, listener)?;
    let opened = new.reopen(&live.db(), open.cache_bytes, state)?;
    let after = disk::used(&fs::metadata(&new.path).map_err(new.undone())?);
    let file = DataFile::at(&new.path, open.cache_bytes).ok_or_else(moved)?;
    fs::rename(&new.path, &path).map_err(new.undone())?;
    // Which of the two files a power cut would leave is not known until the folder is on the disk. They hold the
    // same, but that ends with the next write.
    disk::sync_folder(&path).map_err(|cause| Error::Storage(Box::new(redb::Error::Io(cause))))?;
    Ok((opened, file, Sizes { before: disk::used(&old), after }))
}

/// A new file in the making, beside the one it is to replace. It goes when this goes, unless it was renamed.
struct Beside {
    path: PathBuf,
    file: File,
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Beside {
    /// An empty file that the owner of the old one can read, and nobody else.
    fn create(path: &Path, old: &Metadata) -> Result<Self, ScrubError> {
        let beside = schema::beside(path, schema::SCRUB);
        let undone = |cause| ScrubError::Undone { path: beside.clone(), cause };
        disk::remove_left_over(&beside).map_err(undone)?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&beside);
        let this = Self { file: file.map_err(undone)?, path: beside.clone() };
        let owner = this.file.metadata().map_err(undone)?.uid();
        if owner != old.uid() {
            // Made by root, who is not who serves it.
            fchown(&this.file, Some(old.uid()), Some(old.gid())).map_err(undone)?;
        }
        Ok(this)
    }

    fn undone<E: Into<io::Error>>(&self) -> impl Fn(E) -> ScrubError + use<E> {
        let path = self.path.clone();
        move |cause| ScrubError::Undone { path: path.clone(), cause: cause.into() }
    }

    fn spoilt(&self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ScrubError {
        self.undone()(io::Error::other(cause))
    }

    /// Copies everything, and closes the new database.
    fn fill(&self, old: &Database, cache: usize, listener: Listener<'_>) -> Result<(), ScrubError> {
        let file = self.file.try_clone().map_err(self.undone())?;
        let db = schema::builder(cache).create_file(file).map_err(|cause| self.spoilt(cause))?;
        let from = old.begin_read().map_err(Error::from)?;
        copy(&from, &db, listener).map_err(|fault| match fault {
            Fault::Stopped => ScrubError::Stopped,
            Fault::Source(cause) => cause.into(),
            Fault::Target(Error::Storage(cause)) => self.spoilt(*cause),
            Fault::Target(cause) => self.spoilt(cause),
        })
    }

    /// Opens the new database as a start would, and makes sure that it holds what the old one holds.
    fn reopen(&self, old: &Database, cache: usize, state: &State) -> Result<Opened, ScrubError> {
        let opened = schema::open_file(&self.path, cache).map_err(|cause| self.spoilt(cause))?;
        let db = &opened.db;
        schema::check(&self.path, db).map_err(|cause| self.spoilt(cause))?;
        let expected = tables::count(&old.begin_read().map_err(Error::from)?)?;
        let found = db.begin_read().map_err(Error::from).and_then(|txn| tables::count(&txn));
        let same_log = State::load(db, Clock::system())
            .is_ok_and(|(found, doubt)| doubt.is_none() && head(&found.log) == head(&state.log));
        let same_rows = found.is_ok_and(|found| found == expected);
        if !same_rows || !same_log {
            return Err(self.spoilt("the copy is not what it was made from"));
        }
        self.file.sync_all().map_err(self.undone())?;
        Ok(opened)
    }
}

fn head(log: &Frontier) -> (u64, Hash) {
    (log.size(), log.root())
}

/// Refuses when the disk of the file has no room for a second one.
fn ensure_room(path: &Path, old: &Metadata) -> Result<(), ScrubError> {
    let folder = disk::folder(path);
    let free = disk::free(folder).map_err(|cause| ScrubError::Undone { path: path.to_owned(), cause })?;
    let need = disk::used(old);
    if free < need { Err(ScrubError::NoRoom { folder: folder.to_owned(), need, free }) } else { Ok(()) }
}

const fn mebibytes(bytes: u64) -> u64 {
    bytes.div_ceil(1024 * 1024)
}
