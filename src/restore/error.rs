//! Why nothing was restored. Whoever reads these has other worries: each says what is there as it was, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{quoted, size};
use crate::notary;
use crate::store::OpenError;
use crate::verify;

/// Why nothing was restored. The copy is as it was, and so is everything beside the place of the data file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The copy is the data file that is in use.
    #[error("{0} is the data file itself: there is nothing to restore; start the server, or name a copy")]
    Itself(PathBuf),
    /// There is a data file.
    #[error(
        "there is a file at {}, and nothing was changed: what is there is never overwritten.\n\
         If it is to be given up, stop the server and move it away first:\n\n  mv {} {}", .0.display(), quoted(.0), quoted(before(.0))
    )]
    Exists(PathBuf),
    /// The copy is not there or out of reach.
    #[error("{path} cannot be read: {cause}")]
    Source {
        /// The copy.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// A folder was named.
    #[error("{} is a folder; name one file{}", .path.display(), newest_in(.newest.as_deref()))]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The newest backup in it.
        newest: Option<PathBuf>,
    },
    /// It is no file.
    #[error("{0} is not a file")]
    NoFile(PathBuf),
    /// A server runs on the copy.
    #[error(
        "{} is in use: a server has it open, and what is copied from it meanwhile may be torn.\n\
         Let that server make a backup, and restore that:\n\n  rollbook backup --data {}", .0.display(), quoted(.0)
    )]
    InUse(PathBuf),
    /// The copy is something else, or not all of a data file.
    #[error(
        "{0} is not a Rollbook data file, or not a whole one: it may have been copied while a server wrote to it, or in part. \
         Nothing was changed. Take another copy, such as one that `rollbook backup` made"
    )]
    NotWhole(PathBuf),
    /// A newer Rollbook wrote it.
    #[error(
        "{path} was written by a newer Rollbook (schema {found}, this one knows {known}); restore it with that version"
    )]
    Newer {
        /// The copy.
        path: PathBuf,
        /// Its schema.
        found: u32,
        /// The newest schema this binary knows.
        known: u32,
    },
    /// The log in the copy is not what it was.
    #[error(
        "the log in {} is not what was written: {finding}{}. Nothing was changed. Take another copy; `rollbook verify {}` \
         tells all that was found", .path.display(), and_more(*.more), quoted(.path)
    )]
    Unsound {
        /// The copy.
        path: PathBuf,
        /// What was found first.
        finding: String,
        /// How much more.
        more: u64,
    },
    /// The disk is too full.
    #[error("restoring needs {}, and {} has {}; nothing was changed", size(*.need), .folder.display(), size(*.free))]
    NoRoom {
        /// The folder of the data file.
        folder: PathBuf,
        /// What is needed, in bytes.
        need: u64,
        /// What there is.
        free: u64,
    },
    /// The file cannot be written.
    #[error("{path} cannot be written: {cause}; see to its folder, which must belong to the user Rollbook runs as")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// Somebody else is restoring.
    #[error("another restore is under way ({0} is in use)")]
    Busy(PathBuf),
    /// It was copied and cannot be opened.
    #[error("what was copied cannot be checked: {0}")]
    Check(OpenError),
    /// The log could not be read to its end.
    #[error("what was copied cannot be checked: {0}")]
    Verify(#[from] verify::Error),
    /// The key or the mark beside the place cannot be read.
    #[error("{0}; then restore again")]
    Notary(#[from] notary::Error),
    /// It was broken off.
    #[error("interrupted; nothing was changed")]
    Stopped,
}

impl Error {
    /// Why the copy cannot be read.
    pub(super) fn of_source(error: OpenError) -> Self {
        match error {
            OpenError::Stopped => Self::Stopped,
            OpenError::Locked(path) => Self::InUse(path),
            OpenError::NotOurs(path) | OpenError::Torn { path, .. } | OpenError::Damaged(path) => Self::NotWhole(path),
            OpenError::Newer { path, found, known } => Self::Newer { path, found, known },
            OpenError::Unreadable { path, cause } | OpenError::Inaccessible { path, cause } => {
                Self::Source { path, cause }
            }
            OpenError::Store { path, cause } if cause.is_damage() => Self::NotWhole(path),
            error => Self::Check(error),
        }
    }
}

/// What a file that is given up can be called.
fn before(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".before");
    name.into()
}

fn newest_in(newest: Option<&Path>) -> String {
    match newest {
        Some(newest) => format!(". The newest backup in it: {}", newest.display()),
        None => ", and there is no backup in it".to_owned(),
    }
}

fn and_more(more: u64) -> String {
    match more {
        0 => String::new(),
        more => format!(", and {more} more"),
    }
}
