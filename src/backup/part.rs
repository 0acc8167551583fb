//! Where a backup goes, and the file on its way there: beside its place until it is proved.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::Error;
use super::folder::{PART, name, open_plain, time_in};
use crate::clock::Timestamp;
use crate::disk;

/// Where a backup goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Into this folder, under a name that says when it was begun.
    Folder(PathBuf),
    /// Here, where nothing is yet.
    File(PathBuf),
}

impl Place {
    /// What somebody means by that path: a folder if one is there or it ends like one, else the name of a new file.
    pub(super) fn meant_by(path: PathBuf) -> Self {
        let ends_like_one = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        if ends_like_one || path.is_dir() { Self::Folder(path) } else { Self::File(path) }
    }

    /// Whether it is in that folder, under a name of ours.
    pub(super) fn is(&self, folder: &Path) -> bool {
        match self {
            Self::Folder(ours) => {
                ours == folder
                    || fs::canonicalize(ours)
                        .ok()
                        .is_some_and(|ours| fs::canonicalize(folder).is_ok_and(|folder| folder == ours))
            }
            Self::File(_) => false,
        }
    }

    /// The folder that the file will be in.
    pub(super) fn folder(&self) -> &Path {
        match self {
            Self::Folder(folder) => folder,
            Self::File(file) => disk::folder(file),
        }
    }
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
    /// A free name at that place, for a backup of the data file at `data` that begins now.
    pub(super) fn new(place: &Place, data: &Path, at: Timestamp) -> Result<Self, Error> {
        let failed = |cause| Error::Folder { folder: place.folder().to_owned(), cause };
        match place {
            Place::Folder(folder) => Self::in_folder(folder, at).map_err(failed),
            Place::File(name) => {
                let path = with_part(name);
                if is_there(name).map_err(failed)? {
                    return Err(Error::Taken(name.clone()));
                }
                if belongs_to(data, name) {
                    return Err(Error::Reserved(name.clone()));
                }
                // In a folder of ours it would go. Here it may be anybody's.
                if is_there(&path).map_err(failed)? {
                    return Err(Error::InTheWay(path));
                }
                Ok(Self { path, name: name.clone() })
            }
        }
    }

    /// What a process that was killed has left there is removed first.
    fn in_folder(folder: &Path, at: Timestamp) -> io::Result<Self> {
        remove_left_over(folder)?;
        // A second backup within the second of the first is named for the next.
        let mut at = at;
        loop {
            let name = folder.join(name(at));
            let path = with_part(&name);
            if !is_there(&name)? && !is_there(&path)? {
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
            rename_to_new(&self.path, &self.name)?;
            disk::sync_folder(&self.name)?;
            Ok(fs::metadata(&self.name)?.len())
        };
        let bytes = kept().map_err(|cause: io::Error| match cause.kind() {
            ErrorKind::AlreadyExists => Error::Taken(self.name.clone()),
            _ => Error::Write { path: self.name.clone(), cause },
        })?;
        Ok((self.name.clone(), bytes))
    }
}

/// Renames a file to a name that nothing else has, not even something that has come there since it was looked.
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        // Not every file system knows how. Then a look before has to do.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
            if is_there(to)? {
                Err(ErrorKind::AlreadyExists.into())
            } else {
                fs::rename(from, to)
            }
        }
        Err(cause) => Err(cause.into()),
    }
}

/// Whether the file of that name would be taken for one of those beside the data file: its key, its mark, its targets'
/// secrets, its socket, a copy from before it was brought up to date, or one of these in the making.
fn belongs_to(data: &Path, path: &Path) -> bool {
    let [Some(own), Some(name)] =
        [data, path].map(|path| path.file_name().map(|name| name.to_string_lossy().into_owned()))
    else {
        return false;
    };
    let is_counted = |rest: &str| rest.split('.').all(|number| number.parse::<u32>().is_ok());
    let is_beside = |rest: &str| {
        ["", ".key", ".hwm", ".targets", ".sock"].contains(&rest)
            || rest.strip_prefix(".schema").is_some_and(is_counted)
    };
    let in_the_making = name.strip_prefix('.').and_then(|name| name.strip_prefix(&*own));
    let is_theirs =
        name.strip_prefix(&*own).is_some_and(is_beside) || in_the_making.is_some_and(|rest| rest.starts_with('.'));
    is_theirs && disk::is_same(disk::folder(data), disk::folder(path))
}

/// Whether there is anything of that name, be it a link that leads nowhere.
fn is_there(path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(cause),
    }
}

/// Removes parts that nobody writes any more.
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs::File;

    use super::*;

    const AT: Timestamp = Timestamp::from_millis(1_795_284_191_000);

    fn in_folder(dir: &tempfile::TempDir) -> Part {
        Part::new(&Place::Folder(dir.path().to_owned()), Path::new("roll.redb"), AT).unwrap()
    }

    #[test]
    fn a_pipe_in_the_way_of_a_backup_holds_nothing_up() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("rollbook-20261121T180311Z.redb.part");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
        let beside = in_folder(&dir);
        assert!(pipe.exists() && beside.path().ends_with("rollbook-20261121T180312Z.redb.part"));
    }

    #[test]
    fn what_was_left_half_made_goes_unless_somebody_works_on_it() {
        let dir = tempfile::tempdir().unwrap();
        let left = dir.path().join("rollbook-20261121T180311Z.redb.part");
        fs::write(&left, "half").unwrap();
        let lock = File::open(&left).unwrap();
        lock.try_lock().unwrap();
        let beside = in_folder(&dir);
        assert!(left.exists() && beside.path().ends_with("rollbook-20261121T180312Z.redb.part"));
        drop(lock);
        fs::write(beside.path(), "half").unwrap();
        drop(beside);
        let again = in_folder(&dir);
        assert_eq!((again.path(), left.exists()), (&*left, false));
        fs::write(again.path(), "whole").unwrap();
        let (path, bytes) = again.keep().unwrap();
        assert_eq!((fs::read_to_string(path).unwrap().as_str(), bytes), ("whole", 5));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn nothing_that_is_there_is_written_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("copy.redb");
        let made = || Part::new(&Place::File(path.clone()), Path::new("roll.redb"), AT);
        fs::write(&path, "mine").unwrap();
        assert!(matches!(made(), Err(Error::Taken(taken)) if taken == path));
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        assert!(matches!(made(), Err(Error::Taken(_))), "a link that leads nowhere is something");
        fs::remove_file(&path).unwrap();
        let left = dir.path().join("copy.redb.part");
        fs::write(&left, "whose?").unwrap();
        assert!(matches!(made(), Err(Error::InTheWay(way)) if way == left));
        fs::remove_file(&left).unwrap();
        // It may come while the backup is made, too.
        let part = made().unwrap();
        fs::write(part.path(), "copy").unwrap();
        fs::write(&path, "mine").unwrap();
        assert!(matches!(part.keep(), Err(Error::Taken(_))));
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), left.exists()), ("mine", false));
    }

    #[test]
    fn what_belongs_to_the_data_file_keeps_its_names() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let data = dir.path().join("roll.redb");
        fs::create_dir(dir.path().join("sub")).unwrap();
        let made = |path: PathBuf| Part::new(&Place::File(path), &data, AT).map(drop);
        for name in [
            "roll.redb",
            "roll.redb.key",
            "roll.redb.hwm",
            "roll.redb.targets",
            "roll.redb.sock",
            "roll.redb.schema3",
            "roll.redb.schema12.2",
            ".roll.redb.new",
            ".roll.redb.schema3.part",
        ] {
            assert!(
                matches!(made(dir.path().join(name)), Err(Error::Reserved(path)) if path.ends_with(name)),
                "{name}"
            );
            let around = made(dir.path().join("sub/..").join(name));
            assert!(matches!(around, Err(Error::Reserved(_))), "by a way around: {name}");
            made(other.path().join(name)).unwrap();
        }
        for name in ["roll.redb.bak", "roll.redb.key.old", "roll.redb.schema", "copy.redb", ".roll.redb", "roll"] {
            made(dir.path().join(name)).unwrap();
        }
    }

    #[test]
    fn a_path_means_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().to_owned();
        assert_eq!(Place::meant_by(folder.clone()), Place::Folder(folder.clone()));
        assert_eq!(Place::meant_by(folder.join("new")), Place::File(folder.join("new")));
        assert!(matches!(Place::meant_by(folder.join("new/")), Place::Folder(_)));
        assert_eq!(Place::meant_by(folder.join("new")).folder(), folder);
    }
}
