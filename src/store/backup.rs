//! Copying the data while it is in use.

use std::fs;
use std::io;
use std::path::Path;

use super::error::Error;
use super::snapshot::Fault;
use super::{Store, watched};
use crate::disk;

/// Why there is no copy. The data file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The new file cannot be made or written.
    #[error("{0}")]
    Target(io::Error),
    /// The caller wants no more of it.
    #[error("stopped")]
    Stopped,
    /// The data file cannot be read.
    #[error(transparent)]
    Store(#[from] Error),
}

impl Store {
    /// Writes all that the data file holds now into a new file at `to`, which its owner alone can read, and brings it to
    /// the disk. Webhooks are taken meanwhile and are not in it. It is what a process killed at this moment would have left
    /// behind, bytes in free pages included: [`super::check_pages`] closes it properly. `progress` hears how many bytes are
    /// copied, of how many, and says whether to go on. Blocks.
    ///
    /// # Errors
    /// When the copy could not be made; what there is of it is the caller's to remove, unless the file was there before.
    pub fn copy_to(&self, to: &Path, progress: &mut dyn FnMut(u64, u64) -> bool) -> Result<(), CopyError> {
        // Root may be making it for whoever runs the server.
        let like = fs::metadata(self.path()).or_else(|_| disk::owned_alike(to)).map_err(CopyError::Target)?;
        let file = disk::create_private(to, &like).map_err(CopyError::Target)?;
        match self.0.live.storage().copy_to(&file, progress) {
            Ok(()) => Ok(()),
            Err(Fault::Source(cause)) => Ok(watched(&self.0.failed, || Err(cause))?),
            Err(Fault::Target(cause)) => Err(CopyError::Target(cause)),
            Err(Fault::Stopped) => Err(CopyError::Stopped),
        }
    }
}
