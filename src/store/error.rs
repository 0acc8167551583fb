//! What can go wrong in the store, by what a caller can do about it.

use std::io::ErrorKind;
use std::path::PathBuf;

use crate::disk::size;

/// Why a verb of the store failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store has stopped: an earlier write failed, or it is being closed. Nothing was acknowledged; try again later.
    #[error("the store has stopped taking writes")]
    Failed,
    /// The log is in doubt ([`crate::audit::Doubt`]); nothing is written until an operator has settled that.
    #[error("the log is in doubt, and nothing is written until that is settled")]
    ReadOnly,
    /// Reading or writing the file failed.
    #[error("the data file cannot be read or written: {0}")]
    Storage(Box<redb::Error>),
    /// The operation panicked; nothing of it was kept.
    #[error("the operation panicked and was undone")]
    Panicked,
    /// A row does not have the form it was written in.
    #[error("the data file holds a row that cannot be read: {0}")]
    Corrupt(&'static str),
    /// The cursor belongs to another list.
    #[error("the cursor belongs to another list")]
    BadCursor,
}

impl Error {
    /// Whether the file itself is in question, so that nothing more may be written.
    pub(super) const fn is_fatal(&self) -> bool {
        matches!(self, Self::Storage(_) | Self::Failed)
    }

    /// Whether it is what the file holds that is wrong, and not the disk or the machine.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Corrupt(_) | Self::Panicked => true,
            Self::Storage(error) => match &**error {
                // A place behind the end of the file was asked for.
                redb::Error::Io(cause) => matches!(cause.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData),
                redb::Error::PreviousIo | redb::Error::DatabaseClosed => false,
                _ => true,
            },
            Self::Failed | Self::ReadOnly | Self::BadCursor => false,
        }
    }
}

macro_rules! from_redb {
    ($($error:ident),+) => {
        $(impl From<redb::$error> for Error {
            fn from(error: redb::$error) -> Self {
                Self::Storage(Box::new(error.into()))
            }
        })+
    };
}

from_redb!(CommitError, CursorError, DatabaseError, SetDurabilityError, StorageError, TableError, TransactionError);

impl From<crate::page::BadCursor> for Error {
    fn from(_: crate::page::BadCursor) -> Self {
        Self::BadCursor
    }
}

/// Why a data file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Whoever wanted it does not any more.
    #[error("stopped before it was done")]
    Stopped,
    /// Another process has it.
    #[error("{0} is in use by another process; stop the other Rollbook first, or set ROLLBOOK_DATA to another file")]
    Locked(PathBuf),
    /// The file or its folder cannot be read or written.
    #[error(
        "{path} cannot be opened for reading and writing ({cause}); check that its folder exists and belongs to the user Rollbook runs as, or set ROLLBOOK_DATA"
    )]
    Inaccessible {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The file cannot even be read.
    #[error("{path} cannot be read: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The file is something else.
    #[error(
        "{0} is not a Rollbook data file, or is a torn copy of one; restore a backup or set ROLLBOOK_DATA to another file"
    )]
    NotOurs(PathBuf),
    /// The file says it has a table that is not there.
    #[error("{path} lacks the table `{table}` it should have: it is a torn copy of a data file; restore a backup")]
    Torn {
        /// The file.
        path: PathBuf,
        /// The table.
        table: String,
    },
    /// The file is ours, but not as it was written.
    #[error("{0} is damaged and cannot be read; restore a backup")]
    Damaged(PathBuf),
    /// A newer Rollbook wrote the file.
    #[error(
        "{path} was written by a newer Rollbook (schema {found}, this one knows {known}); install that version again"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The file's schema.
        found: u32,
        /// The newest schema this binary knows.
        known: u32,
    },
    /// An older Rollbook wrote the file, and there is no room for the copy that is kept before it is brought up to date.
    #[error(
        "{path} was written by an older Rollbook (schema {found}) and is as it was: before it is brought up to date a copy \
         of it is kept, which needs {}, and {folder} has {}; make room and start again", size(*.need), size(*.free)
    )]
    NoRoom {
        /// The file.
        path: PathBuf,
        /// The file's schema.
        found: u32,
        /// The folder of the copy.
        folder: PathBuf,
        /// What is needed, in bytes.
        need: u64,
        /// What there is.
        free: u64,
    },
    /// An older Rollbook wrote the file, and the copy that is kept before it is brought up to date could not be made.
    #[error(
        "{path} was written by an older Rollbook (schema {found}) and is as it was: before it is brought up to date a copy \
         of it is kept, and {copy} could not be made ({cause}); see to its folder and start again"
    )]
    NotKept {
        /// The file.
        path: PathBuf,
        /// The file's schema.
        found: u32,
        /// The copy.
        copy: PathBuf,
        /// What went wrong.
        cause: std::io::Error,
    },
    /// Anything else.
    #[error("{path} cannot be opened: {cause}")]
    Store {
        /// The file.
        path: PathBuf,
        /// What the store said.
        cause: Error,
    },
}
