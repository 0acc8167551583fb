//! The folder that backups are in: which of its files are ours, and files on the way to become one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rustix::fs::OFlags;

use super::Error;
use crate::clock::Timestamp;
use crate::disk;

/// How the time stands in a name.
const TIME: &str = "%Y%m%dT%H%M%SZ";

/// The ending of a backup that is not proved yet.
const PART: &str = ".part";

/// A backup in the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// The name of its file.
    pub name: String,
    /// When it was begun, to the second.
    pub at: Timestamp,
    /// How long the file is, in bytes.
    pub bytes: u64,
}

/// The backups in that folder, newest first. Files that are empty or not named as ours are, links and folders are passed over.
///
/// # Errors
/// When the folder cannot be read.
pub fn list(folder: &Path) -> io::Result<Vec<Backup>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
        let Some(at) = time_in(&name) else { continue };
        // One that was removed a moment ago is none.
        if let Ok(meta) = entry.metadata()
            && meta.is_file()
            && meta.len() > 0
        {
            found.push(Backup { name, at, bytes: meta.len() });
        }
    }
    found.sort_unstable_by(|a, b| b.name.cmp(&a.name));
    Ok(found)
}

/// The newest backup in that folder.
///
/// # Errors
/// As [`list`].
pub fn newest(folder: &Path) -> io::Result<Option<Backup>> {
    Ok(list(folder)?.into_iter().next())
}

/// Opens the backup of that name, and says how long it is; `None` when the folder has none of that name.
///
/// # Errors
/// When it cannot be read.
pub fn open(folder: &Path, name: &str) -> io::Result<Option<(File, u64)>> {
    // A name of ours has no other characters than letters, digits, `-` and `.`, so it leads nowhere else.
    if time_in(name).is_none() {
        return Ok(None);
    }
    match open_plain(&folder.join(name)) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        file => file,
    }
}

/// Opens a file to read it, and says how long it is; `None` for what is none. Opening a pipe would wait for somebody to write
/// into it, and opening a device may do anything at all, so neither is.
fn open_plain(path: &Path) -> io::Result<Option<(File, u64)>> {
    let found = path.symlink_metadata()?;
    if !found.is_file() && !found.is_symlink() {
        return Ok(None);
    }
    // Something else may have come in its place since.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let meta = file.metadata()?;
    Ok(meta.is_file().then_some((file, meta.len())))
}

/// A backup in the making. It goes when this goes, unless it was kept.
pub(super) struct Part {
    path: PathBuf,
    name: PathBuf,
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Part {
    /// A free name in the folder, for a backup that begins now. What a process that was killed has left there is removed.
    pub(super) fn new(folder: &Path, at: Timestamp) -> Result<Self, Error> {
        let failed = |cause| Error::Folder { folder: folder.to_owned(), cause };
        remove_left_over(folder).map_err(failed)?;
        // A second backup within the second of the first is named for the next.
        let mut at = at;
        loop {
            let name = folder.join(name(at));
            let path = with_part(&name);
            if !name.try_exists().map_err(failed)? && !path.try_exists().map_err(failed)? {
                return Ok(Self { path, name });
            }
            at = at.plus_millis(1000);
        }
    }

    /// Where it is written.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name, and returns that with the file's length in bytes.
    pub(super) fn keep(self) -> Result<(PathBuf, u64), Error> {
        let kept = || {
            fs::rename(&self.path, &self.name)?;
            disk::sync_folder(&self.name)?;
            Ok(fs::metadata(&self.name)?.len())
        };
        let bytes = kept().map_err(|cause| Error::Write { path: self.name.clone(), cause })?;
        Ok((self.name.clone(), bytes))
    }
}

/// Removes what is half made and nobody is working on.
fn remove_left_over(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(PART));
        let is_idle = || matches!(open_plain(&path), Ok(Some((file, _))) if file.try_lock().is_ok());
        if name.and_then(time_in).is_some() && is_idle() {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn with_part(name: &Path) -> PathBuf {
    let mut path = name.as_os_str().to_owned();
    path.push(PART);
    path.into()
}

/// The name of a backup that began then.
fn name(at: Timestamp) -> String {
    let civil = jiff::Timestamp::from_millisecond(at.as_millis()).map(|at| TimeZone::UTC.to_datetime(at));
    format!("rollbook-{}.redb", civil.unwrap_or_default().strftime(TIME))
}

/// When the backup of that name began; `None` for a name that is not as we write them.
fn time_in(text: &str) -> Option<Timestamp> {
    let time = text.strip_prefix("rollbook-")?.strip_suffix(".redb")?;
    let civil = DateTime::strptime(TIME, time).ok()?;
    let at = Timestamp::from_millis(civil.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond());
    (name(at) == text).then_some(at)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_says_when_and_nothing_else_is_a_name() {
        let at = Timestamp::from_millis(1_795_284_191_000);
        assert_eq!(name(at.plus_millis(999)), "rollbook-20261121T180311Z.redb");
        assert_eq!(time_in("rollbook-20261121T180311Z.redb"), Some(at));
        for other in [
            "",
            "rollbook.redb",
            "rollbook-20261121T180311Z.redb.part",
            "rollbook-20261321T180311Z.redb",
            "rollbook-2026112T1180311Z.redb",
            "rollbook-20261121T180311Z.redb/",
            "../rollbook-20261121T180311Z.redb",
            "./rollbook-20261121T180311Z.redb",
            "rollbook- 20261121T180311Z.redb",
            "rollbook-+20261121T180311Z.redb",
        ] {
            assert_eq!(time_in(other), None, "{other}");
        }
    }

    #[test]
    fn only_whole_files_of_ours_are_listed_and_opened() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str| fs::write(dir.path().join(name), name).unwrap();
        put("rollbook-20261121T180311Z.redb");
        put("rollbook-20261122T000000Z.redb");
        put("rollbook-20261123T000000Z.redb.part");
        put("notes.txt");
        fs::create_dir(dir.path().join("rollbook-20261124T000000Z.redb")).unwrap();
        let link = "rollbook-20261125T000000Z.redb";
        std::os::unix::fs::symlink(dir.path().join("notes.txt"), dir.path().join(link)).unwrap();
        fs::write(dir.path().join("rollbook-20261126T000000Z.redb"), "").unwrap();
        let pipe = "rollbook-20261127T000000Z.redb";
        make_pipe(&dir.path().join(pipe));
        let names: Vec<String> = list(dir.path()).unwrap().into_iter().map(|backup| backup.name).collect();
        assert_eq!(names, ["rollbook-20261122T000000Z.redb", "rollbook-20261121T180311Z.redb"]);
        assert_eq!(newest(dir.path()).unwrap().unwrap().bytes, 30);
        assert!(open(dir.path(), &names[0]).unwrap().is_some());
        for none in
            ["rollbook-20261120T000000Z.redb", "notes.txt", "../notes.txt", "rollbook-20261124T000000Z.redb", pipe]
        {
            assert!(open(dir.path(), none).unwrap().is_none(), "{none}");
        }
        assert!(open(dir.path(), link).is_err());
        assert!(list(&dir.path().join("missing")).is_err());
    }

    fn make_pipe(path: &Path) {
        rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    }

    #[test]
    fn a_pipe_in_the_way_of_a_backup_holds_nothing_up() {
        let dir = tempfile::tempdir().unwrap();
        let at = Timestamp::from_millis(1_795_284_191_000);
        let pipe = dir.path().join("rollbook-20261121T180311Z.redb.part");
        make_pipe(&pipe);
        let beside = Part::new(dir.path(), at).unwrap();
        assert!(pipe.exists() && beside.path().ends_with("rollbook-20261121T180312Z.redb.part"));
    }

    #[test]
    fn what_was_left_half_made_goes_unless_somebody_works_on_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = Timestamp::from_millis(1_795_284_191_000);
        let left = dir.path().join("rollbook-20261121T180311Z.redb.part");
        fs::write(&left, "half").unwrap();
        let lock = File::open(&left).unwrap();
        lock.try_lock().unwrap();
        let beside = Part::new(dir.path(), at).unwrap();
        assert!(left.exists() && beside.path().ends_with("rollbook-20261121T180312Z.redb.part"));
        drop(lock);
        fs::write(beside.path(), "half").unwrap();
        drop(beside);
        let again = Part::new(dir.path(), at).unwrap();
        assert_eq!((again.path(), left.exists()), (&*left, false));
        fs::write(again.path(), "whole").unwrap();
        let (path, bytes) = again.keep().unwrap();
        assert_eq!((fs::read_to_string(path).unwrap().as_str(), bytes), ("whole", 5));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
