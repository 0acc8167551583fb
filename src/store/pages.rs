//! Checking every page of a data file.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend};

use super::at_rest::AtRest;
use super::error::{Error, OpenError};
use super::{schema, sound};

/// After so many bytes it is said how far the check is.
const STEP: u64 = 256 * 1024;

/// Checks every page of the data file at `path`, which nobody may have open, against the checksum it was written with, and
/// makes good what was left undone when it was copied: what this changes holds nothing. Opening a file looks at no more of it
/// than it takes to open it. `watch` hears how many bytes are read, of about how many, and says whether to go on. Blocks.
///
/// # Errors
/// When the file is in use, cannot be read and written, is not Rollbook's, or is not whole, and when the watch said stop.
pub fn check_pages(
    path: &Path,
    cache_bytes: usize,
    watch: &mut dyn FnMut(u64, u64) -> ControlFlow<()>,
) -> Result<(), OpenError> {
    let store = |cause| OpenError::Store { path: path.to_owned(), cause };
    let head = || AtRest::open(path, cache_bytes)?.evidence().and_then(|rows| rows.head()).map_err(store);
    let length = std::fs::metadata(path).map_err(|cause| store(failed(cause)))?.len();
    let before = head()?;
    // It cannot be asked how far it is, nor told to stop: what it reads can.
    let (tell, reads) = sync_channel(0);
    let checked = thread::scope(|scope| {
        let check = scope.spawn(move || sound(path, || check(path, cache_bytes, &tell)));
        let stopped = reads.into_iter().any(|read: u64| watch(read.min(length), length).is_break());
        let checked = check.join().unwrap_or_else(|_| Err(OpenError::Damaged(path.to_owned())));
        if stopped { Err(OpenError::Stopped) } else { checked }
    });
    checked?;
    // What the newest write has left torn was rolled back to the one before.
    if head()? == before { Ok(()) } else { Err(OpenError::Damaged(path.to_owned())) }
}

fn check(path: &Path, cache_bytes: usize, tell: &SyncSender<u64>) -> Result<(), OpenError> {
    let open = || {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        schema::builder(cache_bytes).create_with_backend(Heard::new(file, tell.clone())?)
    };
    let mut db = schema::open_patiently(path, open)?;
    db.check_integrity().map_err(|cause| schema::refused(path, cause))?;
    Ok(())
}

fn failed(cause: io::Error) -> Error {
    Error::Storage(Box::new(redb::Error::Io(cause)))
}

/// A file of which somebody hears how much is read, and waits with it until that was heard. Once nobody listens any more
/// nothing can be read.
#[derive(Debug)]
struct Heard {
    file: FileBackend,
    read: AtomicU64,
    by: SyncSender<u64>,
}

impl Heard {
    fn new(file: File, by: SyncSender<u64>) -> Result<Self, DatabaseError> {
        Ok(Self { file: FileBackend::new(file)?, read: AtomicU64::new(0), by })
    }
}

impl StorageBackend for Heard {
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let length = out.len() as u64;
        let before = self.read.fetch_add(length, Ordering::Relaxed);
        if before / STEP != (before + length) / STEP && self.by.send(before + length).is_err() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        self.file.read(offset, out)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }
}
