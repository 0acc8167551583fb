//! How many backups a folder keeps: the oldest go once there are more.

use std::fs;
use std::num::NonZeroU32;
use std::path::Path;

use super::folder::{Backup, list};
use crate::clock::Timestamp;
use crate::disk;
use crate::store::{self, By, Store};

/// Removes the oldest backups in `folder`, so that with the one that was made at `made` there are no more than `keep`, and
/// notes each in the log.
pub(super) async fn apply(store: &Store, folder: &Path, keep: NonZeroU32, made: Timestamp, by: &By) {
    let (at, data) = (folder.to_owned(), store.path().to_owned());
    let removed = tokio::task::spawn_blocking(move || {
        let mut found = list(&at)?;
        // Somebody may have begun from a backup where it lay.
        found.retain(|backup| !disk::is_same(&at.join(&backup.name), &data));
        let gone = |backup: Backup| {
            let gone = fs::remove_file(at.join(&backup.name));
            (backup, gone)
        };
        Ok::<_, std::io::Error>(surplus(found, keep, made).map(gone).collect::<Vec<_>>())
    });
    let removed = match removed.await {
        Ok(Ok(removed)) => removed,
        Ok(Err(cause)) => return tracing::warn!(%cause, "backup.not_removed"),
        Err(cause) => return tracing::warn!(%cause, "backup.not_removed"),
    };
    for (backup, gone) in removed {
        if let Err(cause) = note(store, &backup, gone.as_ref().err(), by).await {
            tracing::warn!(%cause, "audit.not_written");
        }
        if let Err(cause) = gone {
            tracing::warn!(%cause, name = backup.name, "backup.not_removed");
        }
    }
}

async fn note(store: &Store, backup: &Backup, failure: Option<&std::io::Error>, by: &By) -> Result<(), store::Error> {
    let entry = by.entry("backup.removed").with("name", Some(backup.name.as_str())).with("bytes", Some(backup.bytes));
    store.record(if failure.is_some() { entry.ended("error", "folder") } else { entry }).await
}

/// Those that go, of all that are there, newest first. What bears a later time than the one that was made is neither counted
/// nor removed: nobody knows how old it is, and it must not push out what is known to be good.
fn surplus(found: Vec<Backup>, keep: NonZeroU32, made: Timestamp) -> impl Iterator<Item = Backup> {
    let others = usize::try_from(keep.get() - 1).unwrap_or(usize::MAX);
    found.into_iter().filter(move |backup| backup.at < made).skip(others)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn gone(there: &[i64], keep: u32, made: i64) -> Vec<i64> {
        let mut there: Vec<i64> = there.to_vec();
        there.sort_unstable_by(|a, b| b.cmp(a));
        let backup = |at| Backup { name: String::new(), at: Timestamp::from_millis(at), bytes: 1, used: 1 };
        let found = there.into_iter().map(backup).collect();
        let keep = NonZeroU32::new(keep).unwrap();
        surplus(found, keep, Timestamp::from_millis(made)).map(|backup| backup.at.as_millis()).collect()
    }

    #[test]
    fn the_oldest_go_and_never_the_one_just_made() {
        assert_eq!(gone(&[10, 20, 30, 40], 4, 40), [0; 0]);
        assert_eq!(gone(&[10, 20, 30, 40], 2, 40), [20, 10]);
        assert_eq!(gone(&[10, 20, 30, 40], 1, 40), [30, 20, 10]);
        assert_eq!(gone(&[40], 1, 40), [0; 0]);
        // Names from the future push nothing out and stay.
        assert_eq!(gone(&[10, 20, 30, 800, 900], 2, 30), [10]);
        assert_eq!(gone(&[10, 20, 30, 800, 900], 1, 30), [20, 10]);
    }
}
