//! Putting a copy of the data file in the place of one that was lost.
//!
//! Nothing that is there is overwritten, and the copy stays as it is. What is put in place was checked whole before it gets
//! the name: every page, and the log recomputed. Whether the log in it is all that was ever signed is not for us to settle:
//! it is said, and the server starts read only until its operator has decided.

mod error;

use std::fs::{self, File, Metadata};
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use crate::backup;
use crate::clock::Timestamp;
use crate::disk;
use crate::forward::secrets_path;
use crate::notary::{self, Foreseen, key_path, mark_path};
use crate::store::{AtRest, check_pages};
use crate::target::TargetName;
use crate::verify::{self, Pace, Terms};

pub use self::error::Error;

/// A copy that can be read, and a place for it that is free. While this is held, nobody can write the copy.
#[derive(Debug)]
pub struct Source {
    file: AtRest,
    to: PathBuf,
    cache_bytes: usize,
}

impl Source {
    /// Looks at the copy `from`, and at the place `to` where the data file is missing. `cache_bytes` is how much of the
    /// copy is kept in memory. Blocks, like all that follows.
    ///
    /// # Errors
    /// When the place is taken or has no room, and when the copy is none.
    pub fn open(from: &Path, to: &Path, cache_bytes: usize) -> Result<Self, Error> {
        let to = std::path::absolute(to).unwrap_or_else(|_| to.to_owned());
        let found = fs::metadata(from).map_err(|cause| Error::Source { path: from.to_owned(), cause })?;
        ensure_free(from, &to)?;
        if found.is_dir() {
            let newest = backup::list(from).ok().and_then(|all| Some(from.join(&all.first()?.name)));
            return Err(Error::Folder { path: from.to_owned(), newest });
        }
        if !found.is_file() {
            return Err(Error::NoFile(from.to_owned()));
        }
        let file = AtRest::open(from, cache_bytes).map_err(Error::of_source)?;
        ensure_room(&found, &to)?;
        Ok(Self { file, to, cache_bytes })
    }

    /// How long the copy is, in bytes.
    ///
    /// # Errors
    /// When it cannot be read any more.
    pub fn bytes(&self) -> Result<u64, Error> {
        Ok(self.metadata()?.len())
    }

    fn metadata(&self) -> Result<Metadata, Error> {
        fs::metadata(self.file.path()).map_err(|cause| Error::Source { path: self.file.path().to_owned(), cause })
    }

    /// Copies it beside its place. `watch` hears how many bytes are copied, and says whether to go on.
    ///
    /// # Errors
    /// When it cannot be read or written, or the watch said stop. Then nothing of it is left.
    pub fn copy(self, watch: &mut dyn FnMut(u64) -> ControlFlow<()>) -> Result<Copied, Error> {
        let from = self.file.path();
        let mut source = File::open(from).map_err(|cause| Error::Source { path: from.to_owned(), cause })?;
        let name = self.to.file_name().unwrap_or_default().to_string_lossy();
        let path = self.to.with_file_name(format!(".{name}.restoring"));
        let failed = |cause| Error::Write { path: path.clone(), cause };
        let turn = take_turn(&self.to)?;
        // A restore that was broken off has left it.
        disk::remove_left_over(&path).map_err(failed)?;
        let mut file = disk::create_private(&path, &owned_alike(&self.to).map_err(failed)?).map_err(failed)?;
        let part = TempPath::try_from_path(&path).map_err(failed)?;
        disk::copy(&mut source, &mut file, watch).map_err(|cause| match cause.kind() {
            ErrorKind::Interrupted => Error::Stopped,
            _ => failed(cause),
        })?;
        Ok(Copied { from: from.to_owned(), to: self.to, part, turn, cache_bytes: self.cache_bytes })
    }
}

/// What was copied, and is not checked yet. It goes when this goes.
#[derive(Debug)]
pub struct Copied {
    from: PathBuf,
    to: PathBuf,
    part: TempPath,
    turn: File,
    cache_bytes: usize,
}

impl Copied {
    /// Checks every page, and recomputes the log, each half of the work. `watch` hears how much of it is done.
    ///
    /// # Errors
    /// When it is not whole, or the key or the mark beside its place cannot be read.
    pub fn prove(self, watch: verify::Watch<'_>) -> Result<Proved, Error> {
        // What is wrong with what was copied is wrong with the copy.
        let not_whole = |error| match Error::of_source(error) {
            Error::NotWhole(_) => Error::NotWhole(self.from.clone()),
            Error::InUse(part) => Error::Busy(part),
            error => error,
        };
        check_pages(&self.part, self.cache_bytes, &mut |done, of| watch(done, 2 * of)).map_err(not_whole)?;
        let file = AtRest::open(&self.part, self.cache_bytes).map_err(not_whole)?;
        let mut watch = |done, of| watch(of + done, 2 * of);
        let report = verify::file(&file, &Terms::default(), Pace::full(), &mut watch).map_err(|error| match error {
            verify::Error::Stopped => Error::Stopped,
            error => Error::Verify(error),
        })?;
        // What an operator has adopted is no fault of the copy's.
        if let Some(finding) = report.findings.told.into_iter().next() {
            let count = report.findings.count;
            return Err(Error::Unsound { path: self.from, finding, more: count - 1 });
        }
        let foreseen = notary::foresee(&self.to, &file)?;
        let newest_at = file.evidence().and_then(|rows| rows.last_at()).map_err(verify::Error::Store)?;
        let targets = file.target_names().map_err(verify::Error::Store)?;
        let stale = !targets.is_empty() && !secrets_path(&self.to).exists();
        let standing = Standing {
            entries: report.entries,
            newest_at,
            is_older_schema: !file.is_current(),
            foreseen,
            has_key: key_path(&self.to).exists(),
            has_mark: mark_path(&self.to).exists(),
            mute: if stale { targets } else { Vec::new() },
        };
        Ok(Proved { to: self.to, part: self.part, standing, _turn: self.turn })
    }
}

/// What is known of a copy that is whole.
#[derive(Debug)]
pub struct Standing {
    /// How many entries its log has.
    pub entries: u64,
    /// When the newest of them was written; `None` when there is none.
    pub newest_at: Option<Timestamp>,
    /// Whether an older Rollbook wrote it.
    pub is_older_schema: bool,
    /// What a start will find.
    pub foreseen: Foreseen,
    /// Whether there is a signing key beside the place.
    pub has_key: bool,
    /// Whether there is a high-water mark beside the place.
    pub has_mark: bool,
    /// The targets in it whose secrets are in no file beside the place.
    pub mute: Vec<TargetName>,
}

/// A copy that was found whole, beside the place of the data file. It goes when this goes.
#[derive(Debug)]
pub struct Proved {
    to: PathBuf,
    part: TempPath,
    standing: Standing,
    /// Until it is in place, no other restore takes its name.
    _turn: File,
}

/// A data file that was put in place.
#[derive(Debug)]
pub struct Restored {
    /// The file.
    pub path: PathBuf,
    /// How long it is, in bytes.
    pub bytes: u64,
    /// What is known of it.
    pub standing: Standing,
}

impl Proved {
    /// Gives it the name of the data file.
    ///
    /// # Errors
    /// When something has taken the place meanwhile, or the folder cannot be written.
    pub fn put_in_place(self) -> Result<Restored, Error> {
        let path = self.to;
        let failed = |cause| Error::Write { path: path.clone(), cause };
        self.part.persist_noclobber(&path).map_err(|error| match error.error.kind() {
            ErrorKind::AlreadyExists => Error::Exists(path.clone()),
            _ => failed(error.error),
        })?;
        disk::sync_folder(&path).map_err(failed)?;
        let bytes = fs::metadata(&path).map_err(failed)?.len();
        Ok(Restored { bytes, standing: self.standing, path })
    }
}

/// Refuses when anything is where the data file belongs.
fn ensure_free(from: &Path, to: &Path) -> Result<(), Error> {
    match to.symlink_metadata() {
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(Error::Write { path: to.to_owned(), cause }),
        Ok(_) if fs::canonicalize(from).is_ok_and(|from| fs::canonicalize(to).is_ok_and(|to| from == to)) => {
            Err(Error::Itself(to.to_owned()))
        }
        Ok(_) => Err(Error::Exists(to.to_owned())),
    }
}

fn ensure_room(source: &Metadata, to: &Path) -> Result<(), Error> {
    let folder = disk::folder(to).to_owned();
    let free = disk::free(&folder).map_err(|cause| Error::Write { path: to.to_owned(), cause })?;
    let need = disk::used(source);
    if free < need { Err(Error::NoRoom { folder, need, free }) } else { Ok(()) }
}

/// Takes the folder, so that nobody else restores into it. The lock goes with what is returned.
fn take_turn(to: &Path) -> Result<File, Error> {
    let folder = disk::folder(to);
    let turn = File::open(folder).map_err(|cause| Error::Write { path: to.to_owned(), cause })?;
    turn.try_lock().map_err(|_| Error::Busy(folder.to_owned()))?;
    Ok(turn)
}

/// Something beside the place that belongs to who runs the server: root may be restoring, and somebody else starts it.
fn owned_alike(to: &Path) -> std::io::Result<Metadata> {
    fs::metadata(key_path(to)).or_else(|_| fs::metadata(disk::folder(to)))
}
