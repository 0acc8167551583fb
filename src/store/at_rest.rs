//! A data file that no process works on: a backup, or the file while the server is stopped. It is read without a byte
//! of it being changed, whoever it belongs to and whatever it was left like.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use redb::backends::FileBackend;
use redb::{BackendError, Database, DatabaseError, StorageBackend};

use super::error::{Error, OpenError};
use super::evidence::Evidence;
use super::{schema, sound};

const PAGE: u64 = 4096;

/// A data file, open for reading.
pub struct AtRest {
    db: Arc<Database>,
    path: PathBuf,
    schema: u32,
}

impl std::fmt::Debug for AtRest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AtRest").field("path", &self.path).finish_non_exhaustive()
    }
}

impl AtRest {
    /// Opens the data file, which has to be there and in use by nobody. `cache_bytes` is how much of it is kept in
    /// memory. Blocks.
    ///
    /// # Errors
    /// When the file is in use, cannot be read, is not Rollbook's, or is not whole.
    pub fn open(path: &Path, cache_bytes: usize) -> Result<Self, OpenError> {
        let unreadable = |cause| OpenError::Unreadable { path: path.to_owned(), cause };
        let length = File::open(path).and_then(|file| file.metadata()).map_err(unreadable)?.len();
        if length == 0 {
            // Of nothing a new data file would be made.
            return Err(OpenError::NotOurs(path.to_owned()));
        }
        sound(path, || {
            let open = || {
                let overlay = Overlay::new(File::open(path)?)?;
                schema::builder(cache_bytes).create_with_backend(overlay)
            };
            let db = schema::open_patiently(path, open)?;
            let schema = schema::complete(path, &db)?;
            Ok(Self { db: Arc::new(db), path: path.to_owned(), schema })
        })
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn db(&self) -> &Database {
        &self.db
    }

    /// Whether this binary's schema is the one it was written in, and not an older one.
    #[must_use]
    pub const fn is_current(&self) -> bool {
        self.schema == schema::SCHEMA
    }

    pub(super) const fn schema(&self) -> u32 {
        self.schema
    }

    /// The log's rows.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn evidence(&self) -> Result<Evidence, Error> {
        Evidence::open(self.db.clone(), None)
    }
}

/// A file under a layer of memory that takes what is written. The database marks its file as open and, after a crash,
/// repairs it; here all of that is forgotten in the end. It is little, whatever the size of the file, since every
/// commit of ours is prepared for that repair.
#[derive(Debug)]
struct Overlay {
    file: FileBackend,
    length: u64,
    layer: RwLock<Layer>,
}

#[derive(Debug)]
struct Layer {
    length: u64,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Overlay {
    fn new(file: File) -> Result<Self, DatabaseError> {
        let length = file.metadata()?.len();
        let layer = RwLock::new(Layer { length, pages: BTreeMap::new() });
        Ok(Self { file: FileBackend::new(file)?, length, layer })
    }

    /// Reads the file as it is; behind its end there are zeros.
    fn read_below(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = self.length.saturating_sub(offset).min(out.len() as u64);
        let (below, beyond) = out.split_at_mut(usize::try_from(there).unwrap_or(usize::MAX).min(out.len()));
        beyond.fill(0);
        if below.is_empty() { Ok(()) } else { self.file.read(offset, below) }
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.layer.read().unwrap_or_else(PoisonError::into_inner).length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let layer = self.layer.read().unwrap_or_else(PoisonError::into_inner);
        let end = offset.saturating_add(out.len() as u64);
        if end > layer.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read_below(offset, out)?;
        for (index, page) in layer.pages.range(offset / PAGE..end.div_ceil(PAGE)) {
            overlap(*index, offset, out.len(), |in_page, in_out| out[in_out].copy_from_slice(&page[in_page]));
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut layer = self.layer.write().unwrap_or_else(PoisonError::into_inner);
        layer.length = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut layer = self.layer.write().unwrap_or_else(PoisonError::into_inner);
        let end = offset.saturating_add(data.len() as u64);
        for index in offset / PAGE..end.div_ceil(PAGE) {
            let page = match layer.pages.entry(index) {
                Entry::Occupied(page) => page.into_mut(),
                Entry::Vacant(place) => {
                    let mut page = vec![0; usize::try_from(PAGE).unwrap_or_default()];
                    self.read_below(index * PAGE, &mut page)?;
                    place.insert(page)
                }
            };
            overlap(index, offset, data.len(), |in_page, in_data| page[in_page].copy_from_slice(&data[in_data]));
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    /// Others may read the file at the same time, and nobody may write it.
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }
}

/// Where a page and the `length` bytes from `offset` on have bytes in common: the range in the page, and that in the
/// bytes.
fn overlap(index: u64, offset: u64, length: usize, copy: impl FnOnce(std::ops::Range<usize>, std::ops::Range<usize>)) {
    let (page, end) = (index * PAGE, offset + length as u64);
    let (from, until) = (page.max(offset), (page + PAGE).min(end));
    let at = |place: u64, start: u64| usize::try_from(place - start).unwrap_or(usize::MAX);
    copy(at(from, page)..at(until, page), at(from, offset)..at(until, offset));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write as _;

    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_the_file_stays() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let below: Vec<u8> = (0..10_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        file.write_all(&below).unwrap();
        let overlay = Overlay::new(File::open(file.path()).unwrap()).unwrap();
        let mut model = below.clone();
        overlay.set_len(20_000).unwrap();
        model.resize(20_000, 0);
        for (offset, length) in [(0, 320), (4095, 2), (4000, 9000), (9_990, 20), (19_999, 1), (12_288, 4096)] {
            let data = vec![0xee; length];
            overlay.write(offset as u64, &data).unwrap();
            model[offset..offset + length].copy_from_slice(&data);
            for (from, length) in [(0, 20_000), (4094, 3), (9_999, 2), (5, 0), (8192, 4096)] {
                let mut out = vec![1; length];
                overlay.read(from as u64, &mut out).unwrap();
                assert!(out == model[from..from + length], "{length} bytes at {from}");
            }
        }
        assert!(overlay.read(19_999, &mut [0; 2]).is_err());
        assert_eq!(std::fs::read(file.path()).unwrap(), below);
    }
}
