//! A disk in memory that does as real ones do when they break: it fails at a given call and from then on,
//! and what was written but not synced may be there afterwards, or in part, or not at all.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;

/// What a disk can be asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Read,
    Write,
    Resize,
    Sync,
}

/// What becomes of writes that were not synced when the disk broke.
#[derive(Debug, Clone, Copy)]
pub enum Survival {
    /// They are all there: a process was killed, the machine ran on.
    All,
    /// None of them is.
    None,
    /// Some are, and of some only a few sectors: the power was cut. The number picks which.
    Some(u64),
}

/// The disk. A clone is the same disk.
#[derive(Debug, Clone, Default)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// As it reads now.
    image: Vec<u8>,
    /// As it was at the last sync.
    synced: Vec<u8>,
    /// What was asked since.
    pending: Vec<Change>,
    /// The call to fail at, and how many of its kind go well before.
    fault: Option<(Call, u64)>,
    broken: bool,
    /// How many calls of each kind there were.
    calls: [u64; 4],
}

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Resize(usize),
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>, mut survives: impl FnMut() -> bool) {
        const SECTOR: usize = 512;
        match self {
            Self::Resize(length) => image.resize(*length, 0),
            Self::Write(at, data) => {
                if image.len() < at + data.len() {
                    image.resize(at + data.len(), 0);
                }
                for (n, sector) in data.chunks(SECTOR).enumerate().filter(|_| survives()) {
                    image[at + n * SECTOR..][..sector.len()].copy_from_slice(sector);
                }
            }
        }
    }
}

impl Disk {
    /// A disk that holds these bytes.
    pub fn of(image: Vec<u8>) -> Self {
        let state = State { synced: image.clone(), image, ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// From now on so many calls of the kind go well; the next one fails, and everything after it.
    pub fn break_at(&self, call: Call, after: u64) {
        self.state().fault = Some((call, after));
    }

    /// How long it is, in bytes.
    pub fn length(&self) -> usize {
        self.state().image.len()
    }

    /// Changes the bytes in that range, behind the back of whoever has it open.
    pub fn damage(&self, range: std::ops::Range<usize>, damage: fn(&mut [u8])) {
        let mut state = self.state();
        damage(&mut state.image[range.clone()]);
        damage(&mut state.synced[range]);
    }

    /// How many calls of the kind there were.
    pub fn calls(&self, call: Call) -> u64 {
        self.state().calls[call as usize]
    }

    /// Whether it has broken.
    pub fn is_broken(&self) -> bool {
        self.state().broken
    }

    /// Another disk that holds what is left of this one.
    pub fn salvage(&self, survival: Survival) -> Self {
        let state = self.state();
        let mut image = state.synced.clone();
        let mut dice = match survival {
            Survival::Some(seed) => seed | 1,
            Survival::All | Survival::None => 1,
        };
        for change in &state.pending {
            // Marsaglia's xorshift: the same number always picks the same sectors.
            let mut roll = || {
                dice ^= dice << 13;
                dice ^= dice >> 7;
                dice ^= dice << 17;
                dice
            };
            match survival {
                Survival::All => change.apply(&mut image, || true),
                Survival::Some(_) if matches!(change, Change::Resize(_)) || !roll().is_multiple_of(4) => {
                    let torn = roll().is_multiple_of(4);
                    change.apply(&mut image, || !torn || roll().is_multiple_of(2));
                }
                Survival::Some(_) | Survival::None => {}
            }
        }
        Self::of(image)
    }

    fn call(&self, call: Call) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        match &mut state.fault {
            Some((kind, 0)) if *kind == call => state.broken = true,
            Some((kind, left)) if *kind == call => *left -= 1,
            _ => {}
        }
        state.calls[call as usize] += 1;
        if state.broken { Err(io::Error::other("the disk is broken")) } else { Ok(state) }
    }

    fn change(&self, call: Call, change: Change) -> io::Result<()> {
        let mut state = match self.call(call) {
            Ok(state) => state,
            Err(error) => {
                // The write that broke it may have got through.
                self.state().pending.push(change);
                return Err(error);
            }
        };
        change.apply(&mut state.image, || true);
        state.pending.push(change);
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().image.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.call(Call::Read)?;
        let at = usize::try_from(offset).unwrap();
        let found = state.image.get(at..at + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Call::Resize, Change::Resize(usize::try_from(len).unwrap()))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.call(Call::Sync)?;
        let State { synced, pending, .. } = &mut *state;
        pending.drain(..).for_each(|change| change.apply(synced, || true));
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Call::Write, Change::Write(usize::try_from(offset).unwrap(), data.to_vec()))
    }
}
