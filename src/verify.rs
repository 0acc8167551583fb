//! Whether a log is what it was when it was written: every byte of it recomputed, from a data file or from an export.
//!
//! One pass goes over the log in steps and needs the same memory at any size. Each step looks at the rows as they are
//! at that moment, so a server may go on writing meanwhile; the pass ends when it has caught up. What it checks:
//!
//! - every leaf: its form to the byte, that time never goes back, its hash (`entries`)
//! - every tile of every level, the root and the size that the log states (`tree`)
//! - every checkpoint that is kept with the log, the high-water mark, and those that somebody kept elsewhere: who
//!   signed them, and whether the log still begins with what they speak of (`signed`)
//! - every detail against what its leaf commits to, and of every one that is missing whether the log says why
//!   (`absent`)
//! - every person a leaf refers to: that the reference follows from salt and id, or that an erasure is in the log
//! - that the lists by action and by person hold the entry, for those who look through them
//!
//! It does not say who is right when two logs differ, and nothing about events that were never written. Against
//! somebody who has the signing key only a checkpoint that was kept elsewhere helps.

mod absent;
mod data_file;
mod directory;
mod entries;
mod flaws;
mod pass;
mod report;
mod signed;
mod source;
mod tree;

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::store::{self, AtRest, Store};
use crate::tlog::note::VerifierKey;

pub use self::report::{Details, Findings, Newest, People, Report};
pub use self::signed::{Kept, NoCheckpoint};

/// What a log is held against besides itself.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// Keys whose word counts, whatever the log says of its own. With any given, the newest checkpoint and those in
    /// `kept` must be signed by one of them.
    pub keys: Vec<VerifierKey>,
    /// Checkpoints that were kept elsewhere.
    pub kept: Vec<Kept>,
}

/// How hard to work.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Entries in a step, a multiple of 256.
    step: u64,
    /// How many threads share a step.
    threads: usize,
}

impl Pace {
    /// In small steps on one thread, for who has other things to do.
    pub const GENTLE: Self = Self { step: 256, threads: 1 };

    /// As fast as the machine allows.
    #[must_use]
    pub fn full() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get().min(4));
        Self { step: 2048 * threads as u64, threads }
    }
}

/// Is told after each step how many entries are done and how many there are; says whether to go on.
pub type Watch<'a> = &'a mut dyn FnMut(u64, u64) -> ControlFlow<()>;

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The watch said so.
    #[error("interrupted")]
    Stopped,
    /// The directory holds no log.
    #[error("{} is no export of a log: it has neither a checkpoint nor tiles", .0.display())]
    NoExport(PathBuf),
    /// A file cannot be read.
    #[error("{} cannot be read: {cause}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The data file cannot be read.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Verifies the log in an open store, which may be at work.
///
/// # Errors
/// When the file cannot be read, or the watch says stop. What speaks against the log is no error, it is in the report.
pub fn store(store: &Store, terms: &Terms, pace: Pace, watch: Watch<'_>) -> Result<Report, Error> {
    let rows = || store.evidence();
    pass::run(data_file::DataFile::new(store.path(), &rows), terms, pace, watch)
}

/// Verifies the log in a data file that nobody has open.
///
/// # Errors
/// As [`store()`].
pub fn file(file: &AtRest, terms: &Terms, pace: Pace, watch: Watch<'_>) -> Result<Report, Error> {
    let rows = || file.evidence();
    pass::run(data_file::DataFile::new(file.path(), &rows), terms, pace, watch)
}

/// Verifies a log that was exported: a directory in the layout of C2SP tlog-tiles, with `vkey`, and with
/// `details.jsonl` and `subjects.jsonl` unless those are withheld.
///
/// # Errors
/// As [`store()`], and when the directory holds no log.
pub fn directory(path: &Path, terms: &Terms, pace: Pace, watch: Watch<'_>) -> Result<Report, Error> {
    pass::run(directory::Directory::open(path)?, terms, pace, watch)
}
