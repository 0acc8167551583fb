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
    /// How many entries were signed; `None` when the mark that says so cannot be read.
    pub signed: Option<u64>,
    /// The newest backup, where one is known.
    pub newest: Option<PathBuf>,
    /// Whether a file is there, without an entry.
    pub is_empty: bool,
}

/// Looks whether the data file at `data` is gone while the mark beside it says that entries were signed. One that is
/// garbled says so too: nothing else writes it.
///
/// # Errors
/// When the mark cannot be read.
pub fn lost(data: &Path) -> Result<Option<Lost>, Error> {
    // A link that leads nowhere, to a volume that is not mounted, is no file either.
    if data.exists() {
        return Ok(None);
    }
    let data = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    signed_at(&data, false)
}

/// The same of a file without an entry.
pub(super) fn emptied(data: &Path) -> Result<Option<Lost>, Error> {
    signed_at(data, true)
}

/// What is lost there according to the mark; `None` when nothing was signed.
fn signed_at(data: &Path, is_empty: bool) -> Result<Option<Lost>, Error> {
    let Some(note) = read_mark(&mark_path(data))? else { return Ok(None) };
    let signed = Checkpoint::unverified(&note).ok().map(|checkpoint| checkpoint.size);
    Ok((signed != Some(0)).then(|| Lost { path: data.to_owned(), signed, newest: None, is_empty }))
}

fn sentence(lost: &Lost) -> String {
    let Lost { path, signed, newest, is_empty } = lost;
    let (key, mark) = (key_path(path), mark_path(path));
    let entries = match signed {
        Some(1) => "1 entry was signed here".to_owned(),
        Some(signed) => format!("{signed} entries were signed here"),
        None => format!("entries were signed here, how many cannot be read from {}", mark.display()),
    };
    let newest = newest.as_ref().map(|newest| format!(" (the newest backup: {})", quoted(newest))).unwrap_or_default();
    let (found, first) =
        if *is_empty { ("has no entries", "stop the server, move that file away, and ") } else { ("is not there", "") };
    format!(
        "{} {found}, but {entries}: {first}put a copy in its place with `rollbook restore FILE`{newest}; to begin \
         a new log, move {} and {} away first",
        path.display(),
        key.display(),
        mark.display()
    )
}
