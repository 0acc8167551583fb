//! A small file system of its own, which can be full, or read only.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{can, skip};

/// Mounted as long as it lives.
pub(crate) struct Volume(TempDir);

impl Volume {
    /// With room for so many bytes; `None`, and said so, where that is not allowed.
    pub(crate) fn mount(bytes: u64) -> Option<Self> {
        let volume = Self(tempfile::tempdir().unwrap());
        let options = format!("size={bytes},mode=0700");
        if !can("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", volume.name()]) {
            skip("a file system of its own", "only root may mount one");
            return None;
        }
        Some(volume)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Nothing on it can be changed from here on.
    pub(crate) fn make_read_only(&self) {
        assert!(can("mount", &["-o", "remount,ro", self.name()]), "somebody still writes there");
    }

    /// Leaves room for no more than so many bytes.
    pub(crate) fn fill(&self, leave: u64) {
        let mut ballast = fs::File::create(self.ballast()).unwrap();
        let full = std::iter::repeat_with(|| ballast.write(&[0xee; 4096])).find_map(Result::err).unwrap();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        let size = ballast.metadata().unwrap().len();
        ballast.set_len(size.saturating_sub(leave)).unwrap();
    }

    /// Makes room again.
    pub(crate) fn clear(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    pub(crate) fn is_empty(&self) -> bool {
        fs::read_dir(self.path()).unwrap().next().is_none()
    }

    /// The one file there is.
    pub(crate) fn only_file(&self) -> PathBuf {
        let mut files = fs::read_dir(self.path()).unwrap().map(|file| file.unwrap().path());
        let (only, more) = (files.next().unwrap(), files.next());
        assert_eq!(more, None);
        only
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    fn name(&self) -> &str {
        self.path().to_str().unwrap()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Lazily, so that a failed test leaves nothing mounted whatever it still has open.
        can("umount", &["-l", self.name()]);
    }
}
