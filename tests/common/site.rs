//! A store with its notary: the data file on a disk in memory, the files beside it in a folder.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};

use rollbook::clock::{Clock, Timestamp};
use rollbook::notary::{Notary, key_path, mark_path};
use rollbook::store::Store;
use rollbook::sync::Policy;
use tempfile::TempDir;

use crate::disk::Disk;

/// When everything here happens, but for what is old.
pub const T: i64 = 1_750_000_000_000;

/// A data file and the files beside it, as they are on the disk.
#[derive(Debug)]
pub struct Place {
    pub disk: Disk,
    folder: TempDir,
    /// Where the files are when they are not in that folder.
    elsewhere: Option<PathBuf>,
}

impl Place {
    /// With nothing in it yet.
    pub fn new() -> Self {
        Self::on(Disk::default())
    }

    fn on(disk: Disk) -> Self {
        // Every checkpoint is synced to the folder, and most tests need no disk for that.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
        Self { disk, folder: folder.unwrap(), elsewhere: None }
    }

    /// Another place with that disk, and with the files that are beside this one.
    pub fn beside(&self, disk: Disk) -> Self {
        let other = Self::on(disk);
        self.copy_files(other.folder.path());
        other
    }

    /// The same, with the files in that folder.
    pub fn moved(self, to: &Path) -> Self {
        self.copy_files(to);
        Self { elsewhere: Some(to.to_owned()), ..self }
    }

    fn copy_files(&self, to: &Path) {
        for file in [key_path, mark_path].map(|path| path(&self.data())).iter().filter(|file| file.exists()) {
            fs::copy(file, to.join(file.file_name().unwrap())).unwrap();
        }
    }

    /// What the data file would be called.
    pub fn data(&self) -> PathBuf {
        self.elsewhere.as_deref().unwrap_or(self.folder.path()).join("roll.redb")
    }

    /// What the high-water mark says.
    pub fn mark(&self) -> Option<String> {
        fs::read_to_string(mark_path(&self.data())).ok()
    }
}

/// A place that is open.
#[derive(Debug)]
pub struct Site {
    pub store: Store,
    pub notary: Notary,
    pub clock: Clock,
}

impl Site {
    /// Opens it, with so little cache that it must read too.
    pub async fn open(place: &Place) -> Result<Self, String> {
        Self::open_with(place, Policy::default(), Clock::fixed(Timestamp::from_millis(T))).await
    }

    /// The same by that policy and that clock.
    pub async fn open_with(place: &Place, policy: Policy, clock: Clock) -> Result<Self, String> {
        let cache = 64 * 1024;
        let store = Store::with_backend(place.disk.clone(), &place.data(), cache, policy, clock.clone())
            .map_err(|error| error.to_string())?;
        match Notary::open(store.clone(), clock.clone(), "rollbook.example.com").await {
            Ok(notary) => Ok(Self { store, notary, clock }),
            Err(error) => {
                store.close().await;
                Err(error.to_string())
            }
        }
    }

    pub async fn close(self) {
        drop(self.notary);
        self.store.close().await;
    }
}

/// Runs it to its end.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}
