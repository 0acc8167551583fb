//! A disk in memory that does as real ones do: it fails at a given call, once or from then on; it is full; and what was
//! written but not synced when it broke may be there afterwards, or in part, or not at all.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
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

/// Every kind of them.
pub const CALLS: [Call; 4] = [Call::Read, Call::Write, Call::Resize, Call::Sync];

/// What is wrong with a disk.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// So many calls of the kind go well; the next one fails, and everything after it.
    Breaks(Call, u64),
    /// The same, but only that one call fails.
    Hiccups(Call, u64),
    /// It takes no more than so many bytes: a file cannot be made longer, which is how a limit or a quota shows.
    Short(usize),
    /// So many more blocks get their place on it; the next one does not. A file can be made longer than there is room
    /// for, which is how a full file system shows.
    Full(usize),
}

/// What becomes of writes that were not synced when the disk broke.
#[derive(Debug, Clone, Copy)]
pub enum Survival {
    /// They are all there: a process was killed, the machine ran on.
    All,
    /// None of them is.
    None,
    /// Some are, whichever, and of some only a few sectors: the power was cut. The number picks which.
    Some(u64),
    /// Those up to one of them are, and of that one a few sectors: the power was cut, and the disk kept the order.
    First(u64),
    /// Each is there in part at most: the power was cut.
    Torn(u64),
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
    fault: Option<Fault>,
    /// Whether a call has failed.
    broken: bool,
    /// How many calls of each kind there were.
    calls: [u64; 4],
    /// The blocks that have their place.
    blocks: BTreeSet<usize>,
    /// The longest it was, and the most of them there were.
    peak: (usize, usize),
    /// How it was after each sync, once somebody wants to know.
    kept: Option<Vec<Disk>>,
}

const SECTOR: usize = 512;
const BLOCK: usize = 4096;

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Resize(usize),
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>, mut survives: impl FnMut() -> bool) {
        match self {
            Self::Resize(length) => {
                image.truncate(*length);
                lengthen(image, *length);
            }
            Self::Write(at, data) => {
                lengthen(image, at + data.len());
                for (n, sector) in data.chunks(SECTOR).enumerate().filter(|_| survives()) {
                    image[at + n * SECTOR..][..sector.len()].copy_from_slice(sector);
                }
            }
        }
    }
}

/// Makes it that long at least, with zeros. Unoptimised, `resize` writes them one by one.
fn lengthen(image: &mut Vec<u8>, length: usize) {
    image.extend_from_slice(&vec![0; length.saturating_sub(image.len())]);
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

    /// From now on this is wrong with it.
    pub fn suffer(&self, fault: Fault) {
        let mut state = self.state();
        state.blocks = blocks(&state.image).collect();
        state.peak = (state.image.len(), state.blocks.len());
        state.fault = Some(fault);
    }

    /// From now on nothing is wrong with it.
    pub fn recover(&self) {
        let mut state = self.state();
        state.fault = None;
        state.broken = false;
    }

    /// How long it was at its longest, in bytes, and the most blocks that had their place on it, since something was
    /// wrong with it.
    pub fn peak(&self) -> (usize, usize) {
        self.state().peak
    }

    /// From now on so many calls of the kind go well; the next one fails, and everything after it.
    pub fn break_at(&self, call: Call, after: u64) {
        self.suffer(Fault::Breaks(call, after));
    }

    /// From now on it keeps how it was after each sync.
    pub fn keep_states(&self) {
        self.state().kept = Some(Vec::new());
    }

    /// How it was after each sync since the last time this was asked.
    pub fn kept_states(&self) -> Vec<Self> {
        self.state().kept.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// How long it is, in bytes.
    pub fn length(&self) -> usize {
        self.state().image.len()
    }

    /// Changes the bytes in that range, behind the back of whoever has it open.
    pub fn damage(&self, range: Range<usize>, damage: fn(&mut [u8])) {
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
        let mut dice = Dice::of(survival);
        let last = match survival {
            Survival::First(_) => dice.below(state.pending.len() + 1),
            _ => state.pending.len(),
        };
        for (n, change) in state.pending.iter().enumerate() {
            match survival {
                Survival::All => change.apply(&mut image, || true),
                Survival::First(_) if n < last => change.apply(&mut image, || true),
                Survival::First(_) if n == last => change.apply(&mut image, || dice.below(2) == 0),
                Survival::Torn(_) => change.apply(&mut image, || dice.below(2) == 0),
                Survival::Some(_) if dice.below(4) > 0 => {
                    let torn = dice.below(4) == 0;
                    change.apply(&mut image, || !torn || dice.below(2) == 0);
                }
                Survival::First(_) | Survival::Some(_) | Survival::None => {}
            }
        }
        Self::of(image)
    }

    fn call(&self, call: Call) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        state.calls[call as usize] += 1;
        let fails = match &mut state.fault {
            Some(Fault::Breaks(kind, 0)) => *kind == call || state.broken,
            Some(Fault::Hiccups(kind, 0)) => *kind == call && !state.broken,
            Some(Fault::Breaks(kind, left) | Fault::Hiccups(kind, left)) => {
                *left -= u64::from(*kind == call);
                false
            }
            Some(Fault::Short(_) | Fault::Full(_)) | None => false,
        };
        state.broken |= fails;
        if fails { Err(io::Error::other("the disk is broken")) } else { Ok(state) }
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
        let (fits, change) = state.fit(change);
        change.apply(&mut state.image, || true);
        state.pending.push(change);
        state.peak = (state.peak.0.max(state.image.len()), state.peak.1.max(state.blocks.len()));
        state.broken |= !fits;
        if fits { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }
}

impl State {
    /// Whether there is room for the change, and as much of it as there is room for.
    fn fit(&mut self, change: Change) -> (bool, Change) {
        match (self.fault, change) {
            (Some(Fault::Short(length)), Change::Resize(wanted)) if wanted > length => {
                (false, Change::Resize(self.image.len()))
            }
            (Some(Fault::Full(room)), Change::Resize(length)) => {
                let freed = self.blocks.split_off(&length.div_ceil(BLOCK)).len();
                self.fault = Some(Fault::Full(room + freed));
                (true, Change::Resize(length))
            }
            (Some(Fault::Full(mut room)), Change::Write(at, mut data)) => {
                let mut written = 0;
                while written < data.len() {
                    let block = (at + written) / BLOCK;
                    if !self.blocks.contains(&block) {
                        if room == 0 {
                            break;
                        }
                        room -= 1;
                        self.blocks.insert(block);
                    }
                    written = ((block + 1) * BLOCK - at).min(data.len());
                }
                self.fault = Some(Fault::Full(room));
                let fits = written == data.len();
                data.truncate(written);
                (fits, Change::Write(at, data))
            }
            (_, change) => (true, change),
        }
    }
}

/// The blocks of a file that have their place: in the others nothing was ever written.
fn blocks(image: &[u8]) -> impl Iterator<Item = usize> {
    image.chunks(BLOCK).enumerate().filter(|(_, block)| block.iter().any(|byte| *byte != 0)).map(|(n, _)| n)
}

/// Marsaglia's xorshift: the same number always picks the same sectors.
struct Dice(u64);

impl Dice {
    fn of(survival: Survival) -> Self {
        match survival {
            Survival::Some(seed) | Survival::First(seed) | Survival::Torn(seed) => {
                // Numbers that follow each other must not pick alike.
                Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
            }
            Survival::All | Survival::None => Self(1),
        }
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % end
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
        let State { image, synced, pending, kept, .. } = &mut *state;
        pending.drain(..).for_each(|change| change.apply(synced, || true));
        if let Some(kept) = kept {
            kept.push(Self::of(image.clone()));
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Call::Write, Change::Write(usize::try_from(offset).unwrap(), data.to_vec()))
    }
}
