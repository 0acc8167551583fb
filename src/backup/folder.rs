//! The folder that backups are in: which of its files are ours.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rustix::fs::OFlags;

use crate::clock::Timestamp;
use crate::disk;

/// How the time stands in a name.
const TIME: &str = "%Y%m%dT%H%M%SZ";

/// The ending of a backup that is not proved yet.
pub(super) const PART: &str = ".part";

/// As much later than now, in milliseconds, as a name may say: the second backup of a second is named for the next one, and
/// the clock may have been put right meanwhile.
const AHEAD: i64 = 60 * 1000;

/// A backup in the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// The name of its file.
    pub name: String,
    /// When it was begun, to the second.
    pub at: Timestamp,
    /// How long the file is, in bytes.
    pub bytes: u64,
    /// How much of the disk it takes, in bytes.
    pub used: u64,
}

impl Backup {
    /// Whether its name says a time that is yet to come.
    #[must_use]
    pub fn is_ahead(&self, now: Timestamp) -> bool {
        self.at > now.plus_millis(AHEAD)
    }
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
            found.push(Backup { name, at, bytes: meta.len(), used: disk::used(&meta) });
        }
    }
    found.sort_unstable_by(|a, b| b.name.cmp(&a.name));
    Ok(found)
}

/// Tries whether that folder takes files. Nothing is left in it.
///
/// # Errors
/// When it does not.
pub fn takes_files(folder: &Path) -> io::Result<()> {
    tempfile::tempfile_in(folder).map(drop)
}

/// The newest backups in a folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Newest {
    /// The newest one.
    pub backup: Option<Backup>,
    /// The one whose name says the latest time of those that are yet to come. It was made while the clock was wrong, or
    /// named by somebody's hand, so nobody knows how old it is.
    pub ahead: Option<Backup>,
}

/// The newest backups in that folder, at that time.
///
/// # Errors
/// As [`list`].
pub fn newest(folder: &Path, now: Timestamp) -> io::Result<Newest> {
    let (ahead, past): (Vec<_>, Vec<_>) = list(folder)?.into_iter().partition(|backup| backup.is_ahead(now));
    Ok(Newest { backup: past.into_iter().next(), ahead: ahead.into_iter().next() })
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
pub(super) fn open_plain(path: &Path) -> io::Result<Option<(File, u64)>> {
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

/// The name of a backup that began then.
pub(super) fn name(at: Timestamp) -> String {
    let civil = jiff::Timestamp::from_millisecond(at.as_millis()).map(|at| TimeZone::UTC.to_datetime(at));
    format!("rollbook-{}.redb", civil.unwrap_or_default().strftime(TIME))
}

/// The time in the name of that file, if it is one of ours.
pub(super) fn time_of(path: &Path) -> Option<Timestamp> {
    time_in(path.file_name()?.to_str()?)
}

/// When the backup of that name began; `None` for a name that is not as we write them.
pub(super) fn time_in(text: &str) -> Option<Timestamp> {
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
        let at = |text: &str| newest(dir.path(), text.parse().unwrap()).unwrap();
        assert_eq!(at("2026-11-22T00:00:00Z").backup.unwrap().bytes, 30);
        assert!(open(dir.path(), &names[0]).unwrap().is_some());
        for none in
            ["rollbook-20261120T000000Z.redb", "notes.txt", "../notes.txt", "rollbook-20261124T000000Z.redb", pipe]
        {
            assert!(open(dir.path(), none).unwrap().is_none(), "{none}");
        }
        assert!(open(dir.path(), link).is_err());
        assert!(list(&dir.path().join("missing")).is_err());
    }

    #[test]
    fn what_is_yet_to_come_is_not_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let at: Timestamp = "2026-11-21T18:03:11Z".parse().unwrap();
        for later in [0, 1, 60, 61, 100_000] {
            fs::write(dir.path().join(name(at.plus_millis(later * 1000))), "x").unwrap();
        }
        let found = newest(dir.path(), at).unwrap();
        assert_eq!(found.backup.map(|backup| backup.at), Some(at.plus_millis(60_000)));
        assert_eq!(found.ahead.map(|backup| backup.at), Some(at.plus_millis(100_000_000)));
        let earlier = newest(dir.path(), at.plus_millis(-100_000)).unwrap();
        assert!(earlier.backup.is_none() && earlier.ahead.is_some());
    }

    fn make_pipe(path: &Path) {
        rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    }
}
