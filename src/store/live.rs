//! The database that is open. The writer may put another in its place while others read.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use redb::Database;

use super::schema::Opened;
use super::snapshot::Storage;

/// The open database. Whoever uses it takes a handle for as long as that lasts: a database that was replaced is
/// closed when the last handle to it is gone, and what still reads it then would fail.
pub(super) struct Live(RwLock<Held>);

struct Held {
    db: Arc<Database>,
    storage: Storage,
    file: Option<DataFile>,
}

impl Held {
    fn new(Opened { db, storage }: Opened, file: Option<DataFile>) -> Self {
        Self { db: Arc::new(db), storage, file }
    }
}

/// The file that a database is in.
#[derive(Debug, Clone, Copy)]
pub(super) struct DataFile {
    /// How much of it is kept in memory, in bytes.
    pub(super) cache_bytes: usize,
    /// Device and inode.
    identity: (u64, u64),
}

impl DataFile {
    /// The file at `path`; `None` when there is none.
    pub(super) fn at(path: &Path, cache_bytes: usize) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        Some(Self { cache_bytes, identity: (meta.dev(), meta.ino()) })
    }

    /// Whether the other is the same file.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.identity == other.identity
    }
}

impl Live {
    /// A database, and the file it is in if it is in one.
    pub(super) fn new(opened: Opened, file: Option<DataFile>) -> Self {
        Self(RwLock::new(Held::new(opened, file)))
    }

    /// A handle to the database.
    pub(super) fn db(&self) -> Arc<Database> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).db.clone()
    }

    /// The storage the database is in.
    pub(super) fn storage(&self) -> Storage {
        self.0.read().unwrap_or_else(PoisonError::into_inner).storage.clone()
    }

    /// The file the database is in.
    pub(super) fn file(&self) -> Option<DataFile> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).file
    }

    /// Puts another database in the place of this one.
    pub(super) fn replace(&self, opened: Opened, file: Option<DataFile>) {
        let held = Held::new(opened, file);
        let old = std::mem::replace(&mut *self.0.write().unwrap_or_else(PoisonError::into_inner), held);
        // Closing may take a moment, in which others should not wait.
        drop(old);
    }
}
