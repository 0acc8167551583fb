//! Files that are whole or not there: written beside their place, brought to the disk, then given their name. And how
//! much room there is for them, and how that is said.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::ControlFlow;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::Path;

/// Writes a file that its owner alone can read (mode 0600), in the place of an older one if there is one. When we are root,
/// its owner is that of the older one, or else of the folder: whoever runs the server has to read it. When this
/// returns, content and name are on the disk; until then the older one is whole.
///
/// # Errors
/// When the folder or the disk does not take it; then nothing has changed.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".").tempfile_in(folder(path))?;
    give(file.as_file(), &owned_alike(path)?)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_folder(path)
}

/// Makes an empty file that its owner alone can read (mode 0600). When we are root, that is the owner of `like`.
///
/// # Errors
/// When something of that name is there, or the folder or the disk does not take it.
pub fn create_private(path: &Path, like: &Metadata) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
    give(&file, like)?;
    Ok(file)
}

/// What a file at `path` should belong to the owner of: the one that is there, or else its folder.
///
/// # Errors
/// When neither is there.
pub fn owned_alike(path: &Path) -> io::Result<Metadata> {
    fs::metadata(path).or_else(|_| fs::metadata(folder(path)))
}

/// Makes the owner of `like` the owner of the file, if we are root and may.
fn give(file: &File, like: &Metadata) -> io::Result<()> {
    let ours = file.metadata()?;
    if rustix::process::geteuid().is_root() && (ours.uid(), ours.gid()) != (like.uid(), like.gid()) {
        fchown(file, Some(like.uid()), Some(like.gid()))?;
    }
    Ok(())
}

/// What the system says went wrong, in its words: without the number, which says the same.
pub fn cause(error: &io::Error) -> String {
    let said = error.to_string();
    match (error.raw_os_error(), said.split_once(" (os error ")) {
        (Some(_), Some((words, _))) => words.to_owned(),
        _ => said,
    }
}

/// Copies all bytes of a file into an empty one, and brings them to the disk. Room that holds nothing but zeros is not
/// taken. `watch` hears how many bytes are copied, and says whether to go on.
///
/// # Errors
/// When one cannot be read or the other written; of the kind `Interrupted` when the watch said stop.
pub fn copy(from: &mut File, to: &mut File, watch: &mut dyn FnMut(u64) -> ControlFlow<()>) -> io::Result<()> {
    const PIECE: usize = 64 * 1024;
    let mut piece = vec![0; PIECE];
    let mut done = 0;
    loop {
        let read = from.read(&mut piece)?;
        if read == 0 {
            break;
        }
        if piece[..read].iter().any(|byte| *byte != 0) {
            to.seek(SeekFrom::Start(done))?;
            to.write_all(&piece[..read])?;
        }
        done += read as u64;
        if watch(done).is_break() {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
    to.set_len(done)?;
    to.sync_all()
}

/// Removes what a process that was killed left behind, if it did.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn remove_left_over(path: &Path) -> io::Result<()> {
    fs::remove_file(path).or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Whether both paths lead to one file.
pub fn is_same(one: &Path, other: &Path) -> bool {
    let of = |path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
    matches!((of(one), of(other)), (Ok(one), Ok(other)) if one == other)
}

/// Makes the names in the folder of `path` durable.
///
/// # Errors
/// When the folder cannot be opened or synced.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path))?.sync_all()
}

/// The folder a file is in or would be.
#[must_use]
pub fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// How much more the disk of a folder takes from us, in bytes.
///
/// # Errors
/// When the folder is not there or cannot be asked.
pub fn free(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// What a file takes on the disk, in bytes: redb doubles its length in advance, and the system keeps room for what is
/// written only.
#[must_use]
pub fn used(file: &Metadata) -> u64 {
    const BLOCK: u64 = 512;
    file.blocks() * BLOCK
}

/// A path as an argument of a command that is typed into a POSIX shell: in quotes when the shell would read anything into it.
#[must_use]
pub fn quoted(path: impl AsRef<Path>) -> String {
    let path = path.as_ref().to_string_lossy();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:@%,".contains(c);
    if !path.is_empty() && path.chars().all(is_plain) {
        path.into_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

/// So many bytes, for people.
#[must_use]
pub fn size(bytes: u64) -> String {
    const KIB: u64 = 1 << 10;
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;
    let tenths = |unit: u64| format!("{}.{}", bytes / unit, bytes % unit * 10 / unit);
    match bytes {
        ..KIB => format!("{bytes} bytes"),
        KIB..MIB => format!("{} KiB", bytes / KIB),
        MIB..GIB => format!("{} MiB", tenths(MIB)),
        _ => format!("{} GiB", tenths(GIB)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_path_is_one_word_to_a_shell() {
        assert_eq!(quoted("/data/roll-1.redb"), "/data/roll-1.redb");
        for name in ["", "a b", "it's", "$HOME", "a;b", "*", "~", "a\\b", "`x`", "\"q\"", "a\nb", "''"] {
            let command = format!("printf %s {}", quoted(name));
            let said = std::process::Command::new("/bin/sh").args(["-c", &command]).output().unwrap();
            assert_eq!(String::from_utf8(said.stdout).unwrap(), name);
        }
    }

    #[test]
    fn a_copy_has_every_byte_and_takes_no_room_for_zeros() {
        let dir = tempfile::tempdir().unwrap();
        let mut bytes = vec![0; 4_000_001];
        for at in [0, 70_000, 3_999_999] {
            bytes[at] = 7;
        }
        let from = dir.path().join("from");
        std::fs::write(&from, &bytes).unwrap();
        let to = dir.path().join("to");
        let copy_to = |stop_at: u64| {
            let mut from = File::open(&from).unwrap();
            let mut to = create_private(&to, &from.metadata()?)?;
            let goes_on = |done| if done < stop_at { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
            copy(&mut from, &mut to, &mut { goes_on })
        };
        copy_to(u64::MAX).unwrap();
        assert!(std::fs::read(&to).unwrap() == bytes);
        let meta = std::fs::metadata(&to).unwrap();
        assert!(used(&meta) < 1_000_000, "{}", used(&meta));
        assert_eq!(meta.mode() & 0o777, 0o600);
        assert_eq!(copy_to(u64::MAX).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        std::fs::remove_file(&to).unwrap();
        assert_eq!(copy_to(1_000_000).unwrap_err().kind(), io::ErrorKind::Interrupted);
    }

    #[test]
    fn sizes_are_for_people() {
        let said = [0, 1023, 1024, 1_048_575, 1_048_576, 1_992_294, 5_476_083_303].map(size);
        assert_eq!(said, ["0 bytes", "1023 bytes", "1 KiB", "1023 KiB", "1.0 MiB", "1.8 MiB", "5.1 GiB"]);
        assert_eq!(size(u64::MAX), "17179869183.9 GiB");
    }
}
