//! Copying the data while it is in use: every live row as of one moment, into a new file.

use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::{Database, ReadTransaction, ReadableDatabase as _};

use super::copy::{Fault, Listener, SMALL, copy};
use super::error::Error;
use super::{Store, schema, tables, watched};
use crate::disk;

/// How much of the copy is kept in memory while it is made, in bytes.
const CACHE: usize = 16 * 1024 * 1024;

/// Why there is no copy. The data file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The new file cannot be made or written.
    #[error("{0}")]
    Target(io::Error),
    /// The caller wants no more of it.
    #[error("stopped")]
    Stopped,
    /// The data file cannot be read.
    #[error(transparent)]
    Store(#[from] Error),
}

impl Store {
    /// Writes all that the data file holds now into a new file at `to`, which its owner alone can read, and brings it to
    /// the disk. Webhooks are taken meanwhile and are not in it: all is read in one transaction, and until that ends
    /// pages that are freed are not used again, so the data file grows a little more than otherwise. `progress` hears how
    /// many rows are copied, of how many, and says whether to go on. Blocks.
    ///
    /// # Errors
    /// When the copy could not be made; what there is of it is the caller's to remove, unless the file was there before.
    pub fn copy_to(&self, to: &Path, progress: &mut dyn FnMut(u64, u64) -> bool) -> Result<(), CopyError> {
        // Root may be making it for whoever runs the server.
        let like = fs::metadata(self.path()).or_else(|_| disk::owned_alike(to)).map_err(CopyError::Target)?;
        let file = disk::create_private(to, &like).map_err(CopyError::Target)?;
        // Of some damage redb does not return an error but panics.
        catch_unwind(AssertUnwindSafe(|| self.fill(to, &file, progress)))
            .unwrap_or_else(|_| Err(Error::Panicked.into()))
    }

    fn fill(&self, to: &Path, file: &File, listener: Listener<'_>) -> Result<(), CopyError> {
        // A handle to the database for as long as the transaction lasts.
        let live = self.0.live.db();
        let from = self.reading(|| Ok(live.begin_read()?))?;
        let handle = file.try_clone().map_err(CopyError::Target)?;
        let db = schema::builder(CACHE).create_file(handle).map_err(spoilt)?;
        match copy(&from, &db, SMALL, listener) {
            Ok(()) => {}
            Err(Fault::Source(cause)) => self.reading(|| Err(cause))?,
            Err(Fault::Target(Error::Storage(cause))) => return Err(spoilt(*cause)),
            Err(Fault::Target(cause)) => return Err(spoilt(cause)),
            Err(Fault::Stopped) => return Err(CopyError::Stopped),
        }
        self.compare(&from, &db)?;
        // From here on pages that are freed can be used again.
        drop(from);
        // It is not compacted: rows that came in order leave no gaps, and what redb made the file longer in advance takes no
        // room on the disk. To move the few pages at its end takes longer than the copy, and cannot be broken off.
        drop(db);
        schema::check(to, &schema::builder(CACHE).open(to).map_err(spoilt)?).map_err(spoilt)?;
        file.sync_all().map_err(CopyError::Target)
    }

    /// Whether every table has as many rows as the one it was copied from.
    fn compare(&self, from: &ReadTransaction, db: &Database) -> Result<(), CopyError> {
        let expected = self.reading(|| tables::count(from))?;
        let found = db.begin_read().map_err(Error::from).and_then(|txn| tables::count(&txn)).map_err(spoilt)?;
        if found == expected { Ok(()) } else { Err(spoilt("the copy is not what it was made from")) }
    }

    fn reading<T>(&self, read: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        watched(&self.0.failed, read)
    }
}

fn spoilt(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> CopyError {
    CopyError::Target(io::Error::other(cause))
}
