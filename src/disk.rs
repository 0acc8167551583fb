//! Files that are whole or not there: written beside their place, brought to the disk, then given their name. And how
//! much room there is for them.

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
