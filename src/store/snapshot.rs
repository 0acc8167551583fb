//! Storage of which a snapshot can be taken while it is written to.
//!
//! A snapshot is every byte as of one moment. It is copied from the beginning to the end, and what is about to be written over
//! before the copy is there goes into the copy first: copy on write, as volume managers do it. So it is what the storage would
//! be had the process been killed at that moment, and the database opens it as it does after that. The database itself knows
//! nothing of it: no page is held back for it, and the storage grows no more than otherwise.

use std::fs::File;
use std::io;
use std::ops::{Bound, Range};
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::backends::FileBackend;
use redb::{BackendError, DatabaseError, StorageBackend};

use super::copy::Listener;
use super::error::Error;

/// The unit in which it is known what is in the copy, in bytes: what the database writes at least, so that a
/// write saves little more than it overwrites.
const PAGE: u64 = 4096;

/// So much is read at once, in bytes.
const PIECE: u64 = 256 * 1024;

/// So much goes to the copy before it is brought to the disk: writers of the same disk wait behind it.
const SYNC: u64 = 4 * 1024 * 1024;

/// Why there is no copy.
#[derive(Debug)]
pub(super) enum Fault {
    /// What is copied cannot be read.
    Source(Error),
    /// The copy cannot be written.
    Target(io::Error),
    /// The listener wants no more of it.
    Stopped,
}

fn source(cause: io::Error) -> Fault {
    Fault::Source(Error::Storage(Box::new(redb::Error::Io(cause))))
}

/// Storage under a database. Clones are the same storage.
#[derive(Debug, Clone)]
pub(super) struct Storage(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    below: Box<dyn StorageBackend>,
    snapshot: Mutex<Option<Snapshot>>,
    /// Held by whoever takes a snapshot: one is taken at a time.
    turn: Mutex<()>,
}

impl Storage {
    /// Storage in the file.
    pub(super) fn file(file: File) -> Result<Self, DatabaseError> {
        Ok(Self::new(FileBackend::new(file)?))
    }

    /// Storage in whatever this is.
    pub(super) fn new(below: impl StorageBackend) -> Self {
        Self(Arc::new(Inner { below: Box::new(below), snapshot: Mutex::default(), turn: Mutex::default() }))
    }

    /// Writes a snapshot of now into the file, which is empty, and brings it to the disk. Room that holds nothing but zeros is
    /// not taken. Blocks.
    pub(super) fn copy_to(&self, to: &File, listener: Listener<'_>) -> Result<(), Fault> {
        let _turn = lock(&self.0.turn);
        let length = self.begin(to)?;
        let under_way = UnderWay(self);
        let mut piece = vec![0; index(PIECE.min(length))];
        let mut written = 0;
        for start in (0..length).step_by(index(PIECE)) {
            let end = (start + PIECE).min(length);
            written += under_way.copy(start..end, &mut piece[..index(end - start)], to)?;
            if written >= SYNC {
                written = 0;
                to.sync_data().map_err(Fault::Target)?;
            }
            if !listener(end, length) {
                return Err(Fault::Stopped);
            }
        }
        drop(under_way);
        to.sync_all().map_err(Fault::Target)
    }

    /// From here on, what is written over is saved first.
    fn begin(&self, to: &File) -> Result<u64, Fault> {
        let to = to.try_clone().map_err(Fault::Target)?;
        let mut snapshot = lock(&self.0.snapshot);
        let length = self.0.below.len().map_err(source)?;
        to.set_len(length).map_err(Fault::Target)?;
        *snapshot = Some(Snapshot { to, length, taken: vec![false; index(length.div_ceil(PAGE))], fault: None });
        Ok(length)
    }
}

/// A snapshot that is being taken. When this goes, nothing is saved for it any more.
struct UnderWay<'a>(&'a Storage);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        *lock(&self.0.0.snapshot) = None;
    }
}

impl UnderWay<'_> {
    /// Copies what no write has saved before; returns how much that was.
    fn copy(&self, bytes: Range<u64>, piece: &mut [u8], to: &File) -> Result<u64, Fault> {
        let below = &*self.0.0.below;
        // Writers do not wait for it. What they write over meanwhile is taken then, and read in vain.
        let read = below.read(bytes.start, piece);
        let part = |stretch: &Range<u64>| &piece[index(stretch.start - bytes.start)..index(stretch.end - bytes.start)];
        let stretches = {
            let mut snapshot = lock(&self.0.0.snapshot);
            let Some(snapshot) = &mut *snapshot else { return Err(Fault::Stopped) };
            if read.is_err() {
                // It may be that the storage has become shorter, and that was saved.
                snapshot.save(below, bytes.clone());
            }
            if let Some(fault) = snapshot.fault.take() {
                return Err(fault);
            }
            snapshot.take(bytes.clone(), |page| part(page).iter().any(|byte| *byte != 0))
        };
        for stretch in &stretches {
            to.write_all_at(part(stretch), stretch.start).map_err(Fault::Target)?;
        }
        Ok(stretches.iter().map(|stretch| stretch.end - stretch.start).sum())
    }
}

#[derive(Debug)]
struct Snapshot {
    to: File,
    /// How long the storage was, in bytes.
    length: u64,
    /// For each page, whether it is in the copy or on its way there.
    taken: Vec<bool>,
    /// Why the copy is worth nothing any more.
    fault: Option<Fault>,
}

impl Snapshot {
    /// Which of these bytes are not taken yet, in whole pages, less those that are not wanted; from now on all are.
    fn take(&mut self, bytes: Range<u64>, is_wanted: impl Fn(&Range<u64>) -> bool) -> Vec<Range<u64>> {
        let mut stretches: Vec<Range<u64>> = Vec::new();
        for page in bytes.start / PAGE..bytes.end.min(self.length).div_ceil(PAGE) {
            if std::mem::replace(&mut self.taken[index(page)], true) {
                continue;
            }
            let page = page * PAGE..((page + 1) * PAGE).min(self.length);
            match stretches.last_mut() {
                _ if !is_wanted(&page) => {}
                Some(last) if last.end == page.start => last.end = page.end,
                _ => stretches.push(page),
            }
        }
        stretches
    }

    /// Saves what is about to be written over. Whoever writes goes on if it fails: it is the copy that is lost.
    fn save(&mut self, below: &dyn StorageBackend, bytes: Range<u64>) {
        if self.fault.is_some() {
            return;
        }
        let saved = || {
            for stretch in self.take(bytes, |_| true) {
                let mut old = vec![0; index(stretch.end - stretch.start)];
                below.read(stretch.start, &mut old).map_err(source)?;
                self.to.write_all_at(&old, stretch.start).map_err(Fault::Target)?;
            }
            Ok(())
        };
        self.fault = saved().err();
    }
}

impl StorageBackend for Storage {
    fn len(&self) -> io::Result<u64> {
        self.0.below.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.below.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut snapshot = lock(&self.0.snapshot);
        if let Some(snapshot) = &mut *snapshot {
            for start in (len..snapshot.length).step_by(index(PIECE)) {
                snapshot.save(&*self.0.below, start..start + PIECE);
            }
        }
        self.0.below.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.below.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        // Held until it is written: a snapshot is of a moment before the write or after it, never in the middle.
        let mut snapshot = lock(&self.0.snapshot);
        if let Some(snapshot) = &mut *snapshot {
            snapshot.save(&*self.0.below, offset..offset + data.len() as u64);
        }
        self.0.below.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.below.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.below.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.below.try_lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.below.unlock_range(start, end)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn index(place: u64) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::{AtomicBool, Ordering};

    use proptest::prelude::*;
    use redb::backends::InMemoryBackend;

    use super::*;

    /// What happens to storage while it is copied.
    #[derive(Debug, Clone)]
    enum Act {
        /// So many of that byte, from there on.
        Write(u64, usize, u8),
        SetLen(u64),
    }

    const LENGTH: u64 = 5 * PIECE + 1000;

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let write = (0..LENGTH, 1..40_000_usize, any::<u8>());
        let act = prop_oneof![
            9 => write.prop_map(|(offset, length, byte)| Act::Write(offset, length, byte)),
            1 => (0..2 * LENGTH).prop_map(Act::SetLen),
        ];
        proptest::collection::vec(act, 0..12)
    }

    /// Storage with something else in every page, but for a stretch of zeros.
    fn storage() -> (Storage, Vec<u8>) {
        let byte = |at: u64| u8::try_from((at / 7 % 251 + at / PAGE) % 256).unwrap();
        let mut content: Vec<u8> = (0..LENGTH).map(byte).collect();
        content[index(2 * PIECE)..index(4 * PIECE)].fill(0);
        let storage = Storage::new(InMemoryBackend::new());
        storage.set_len(LENGTH).unwrap();
        storage.write(0, &content).unwrap();
        (storage, content)
    }

    fn act_on(storage: &Storage, act: &Act) {
        match act {
            Act::SetLen(len) => storage.set_len(*len).unwrap(),
            Act::Write(offset, length, byte) => {
                let end = offset + *length as u64;
                if storage.len().unwrap() < end {
                    storage.set_len(end).unwrap();
                }
                storage.write(*offset, &vec![*byte; *length]).unwrap();
            }
        }
    }

    fn content_of(file: &File) -> Vec<u8> {
        let mut content = vec![0; index(file.metadata().unwrap().len())];
        file.read_exact_at(&mut content, 0).unwrap();
        content
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn it_is_what_was_there_when_it_began_whatever_is_written_meanwhile(
            acts in proptest::collection::vec(acts(), 0..8),
        ) {
            let (storage, before) = storage();
            let file = tempfile::tempfile().unwrap();
            let mut acts = acts.iter();
            let copied = storage.copy_to(&file, &mut |_, of| {
                acts.next().into_iter().flatten().for_each(|act| act_on(&storage, act));
                of == LENGTH
            });
            copied.unwrap();
            prop_assert!(content_of(&file) == before);
            prop_assert!(lock(&storage.0.snapshot).is_none(), "what is written later is saved for nobody");
        }
    }

    #[test]
    fn writes_from_another_thread_are_in_it_wholly_or_not_at_all() {
        let (storage, _) = storage();
        let stop = AtomicBool::new(false);
        // Into two pages far from one another, the later one first.
        let places = [4 * PIECE, PIECE];
        let note = |n: u64| places.map(|place| storage.write(place, &n.to_be_bytes().repeat(512)).unwrap());
        note(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 1.. {
                    note(n);
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
            for _ in 0..30 {
                let file = tempfile::tempfile().unwrap();
                storage.copy_to(&file, &mut |_, _| true).unwrap();
                let [later, earlier] = places.map(|place| {
                    let page = &content_of(&file)[index(place)..index(place + PAGE)];
                    assert!(page.chunks(8).all(|chunk| chunk == &page[..8]));
                    u64::from_be_bytes(page[..8].try_into().unwrap())
                });
                assert!(later == earlier || later == earlier + 1, "{later} {earlier}");
            }
            stop.store(true, Ordering::Relaxed);
        });
    }

    #[test]
    fn whoever_writes_goes_on_when_the_copy_cannot_be_written() {
        let (storage, before) = storage();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("copy");
        std::fs::write(&path, "").unwrap();
        let unwritable = std::fs::OpenOptions::new().read(true).write(true).open("/dev/full").unwrap();
        assert!(matches!(storage.copy_to(&unwritable, &mut |_, _| true), Err(Fault::Target(_))));
        storage.write(0, b"goes on").unwrap();
        let stopped = storage.copy_to(&File::create(&path).unwrap(), &mut |_, _| {
            storage.write(4 * PIECE, b"goes on").unwrap();
            false
        });
        assert!(matches!(stopped, Err(Fault::Stopped)));
        let file = File::options().read(true).write(true).truncate(true).open(&path).unwrap();
        storage.copy_to(&file, &mut |_, _| true).unwrap();
        let mut expected = before;
        expected[..7].copy_from_slice(b"goes on");
        expected[index(4 * PIECE)..index(4 * PIECE) + 7].copy_from_slice(b"goes on");
        assert!(content_of(&file) == expected);
    }

    #[test]
    fn zeros_take_no_room() {
        let (storage, _) = storage();
        let file = tempfile::tempfile().unwrap();
        storage.copy_to(&file, &mut |_, _| true).unwrap();
        let used = crate::disk::used(&file.metadata().unwrap());
        assert!(used < LENGTH - PIECE, "{used} of {LENGTH}");
    }
}
