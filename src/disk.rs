//! Files that are whole or not there: written beside their place, brought to the disk, then given their name. And how
//! much room there is for them, and how that is said.

use std::fs::{File, Metadata};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Writes a file that its owner alone can read (mode 0600), in the place of an older one if there is one. When this
/// returns, content and name are on the disk; until then the older one is whole.
///
/// # Errors
/// When the folder or the disk does not take it; then nothing has changed.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".").tempfile_in(folder(path))?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_folder(path)
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
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        let said = [0, 1023, 1024, 1_048_575, 1_048_576, 1_992_294, 5_476_083_303].map(size);
        assert_eq!(said, ["0 bytes", "1023 bytes", "1 KiB", "1023 KiB", "1.0 MiB", "1.8 MiB", "5.1 GiB"]);
        assert_eq!(size(u64::MAX), "17179869183.9 GiB");
    }
}
