//! A data file that is gone although its log was signed: nothing may take its name but a copy.

use std::path::{Path, PathBuf};

use super::recognise::read_mark;
use super::{Error, key_path, mark_path};
use crate::disk::quoted;
use crate::tlog::checkpoint::Checkpoint;

/// There is no data file, and entries of its log were signed. An empty file in its place would be another log, and would
/// stand in the way of a copy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", sentence(self))]
pub struct Lost {
    /// Where the data file was.
    pub path: PathBuf,
    /// How many entries were signed.
    pub signed: u64,
    /// The newest backup, where one is known.
    pub newest: Option<PathBuf>,
    /// Whether a file is there, without an entry.
    pub is_empty: bool,
}

/// Looks whether the data file at `data` is gone while the mark beside it says that entries were signed. A mark that
/// cannot be read as one says nothing.
///
/// # Errors
/// When the mark cannot be read.
pub fn lost(data: &Path) -> Result<Option<Lost>, Error> {
    // A link that leads nowhere, to a volume that is not mounted, is no file either.
    if data.exists() {
        return Ok(None);
    }
    let data = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    Ok(signed(&mark_path(&data))?.map(|signed| Lost { path: data, signed, newest: None, is_empty: false }))
}

/// The same of a file without an entry.
pub(super) fn emptied(data: &Path) -> Result<Option<Lost>, Error> {
    Ok(signed(&mark_path(data))?.map(|signed| Lost { path: data.to_owned(), signed, newest: None, is_empty: true }))
}

/// How many entries were signed; `None` when there were none, as far as is known.
fn signed(mark: &Path) -> Result<Option<u64>, Error> {
    let checkpoint = read_mark(mark)?.and_then(|note| Checkpoint::unverified(&note).ok());
    Ok(checkpoint.map(|checkpoint| checkpoint.size).filter(|size| *size > 0))
}

fn sentence(lost: &Lost) -> String {
    let Lost { path, signed, newest, is_empty } = lost;
    let (key, mark) = (key_path(path), mark_path(path));
    let entries = if *signed == 1 { "1 entry was".to_owned() } else { format!("{signed} entries were") };
    let newest = newest.as_ref().map(|newest| format!(" (the newest backup: {})", quoted(newest))).unwrap_or_default();
    let (found, first) =
        if *is_empty { ("has no entries", "stop the server, move that file away, and ") } else { ("is not there", "") };
    format!(
        "{} {found}, but {entries} signed here: {first}put a copy in its place with `rollbook restore FILE`{newest}; to begin \
         a new log, move {} and {} away first",
        path.display(),
        key.display(),
        mark.display()
    )
}
