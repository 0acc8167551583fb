//! Backups of data that is not what it should be: there are none. And the command that makes them.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::panic, missing_docs)]

#[path = "backup/command.rs"]
mod command;
mod common;
#[path = "common/deliveries.rs"]
mod deliveries;
#[path = "common/disk.rs"]
mod disk;

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use common::user_event;
use deliveries::received;
use disk::{Call, Disk};
use redb::{Database, ReadableTable as _, TableDefinition};
use rollbook::audit::{Actor, Draft, Source};
use rollbook::backup::{self, Error, Made, Order, Step, Watch};
use rollbook::clock::{Clock, Timestamp};
use rollbook::notary::Notary;
use rollbook::store::{By, Store};
use rollbook::sync::Policy;

const T: i64 = 1_750_000_000_000;

const LEAVES: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("audit_leaf-1");

fn clock() -> Clock {
    Clock::fixed(Timestamp::from_millis(1_795_284_191_000))
}

/// A log of so many entries, with its key and a checkpoint.
async fn log(path: &Path, entries: usize) -> (Store, Notary) {
    let store = Store::open(path, 1 << 20, Policy::default(), clock()).unwrap();
    let notary = vouch(&store).await;
    for _ in 0..entries {
        store.record(Draft::new("test.noted", Actor::System, Source::System)).await.unwrap();
    }
    notary.publish().await.unwrap();
    (store, notary)
}

async fn vouch(store: &Store) -> Notary {
    Notary::open(store.clone(), clock(), "rollbook.example.com").await.unwrap()
}

async fn make(store: &Store, notary: &Notary, folder: &Path) -> Result<Made, Error> {
    make_while(store, notary, folder, Box::new(|_| ControlFlow::Continue(()))).await
}

async fn make_while(store: &Store, notary: &Notary, folder: &Path, watch: Watch) -> Result<Made, Error> {
    let by = By { actor: Actor::Cli, source: Source::Cli };
    let order = Order { to: None, folder: Some(folder.to_owned()), by };
    backup::make(store, notary, &clock(), order, watch).await
}

/// How the newest backup ended, as the log has it.
async fn ended(store: &Store) -> (String, Option<String>) {
    let filter = rollbook::audit::Filter { action: "backup.made".parse().ok(), ..Default::default() };
    let leaf = store.audit(filter, rollbook::page::PageRequest::default()).await.unwrap().items.remove(0).leaf;
    (leaf.outcome, leaf.reason)
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

#[tokio::test]
async fn a_log_that_was_changed_is_not_kept() {
    let (dir, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = dir.path().join("roll.redb");
    let (store, notary) = log(&path, 300).await;
    let made = make(&store, &notary, folder.path()).await.unwrap();
    assert!(made.path.ends_with("rollbook-20261121T180311Z.redb"), "{made:?}");
    // The entry with the key, those of the test, and not the one that says that the backup was made.
    assert_eq!((made.entries, made.bytes), (301, fs::metadata(&made.path).unwrap().len()));
    assert_eq!(ended(&store).await, ("ok".to_owned(), None));
    // What of its length is there in advance takes no room.
    let used = |path: &Path| fs::metadata(path).unwrap().blocks();
    assert!(used(&made.path) <= used(&path), "{} blocks", used(&made.path));
    drop(notary);
    store.close().await;

    let db = Database::open(&path).unwrap();
    let txn = db.begin_write().unwrap();
    {
        let mut leaves = txn.open_table(LEAVES).unwrap();
        let leaf = leaves.get(7).unwrap().unwrap().value().to_vec();
        let leaf = String::from_utf8(leaf).unwrap().replace("test.noted", "test.other");
        leaves.insert(7, leaf.as_bytes()).unwrap();
    }
    txn.commit().unwrap();
    drop(db);

    let store = Store::open(&path, 1 << 20, Policy::default(), clock()).unwrap();
    let notary = vouch(&store).await;
    let error = make(&store, &notary, folder.path()).await.unwrap_err();
    assert!(matches!(&error, Error::Unsound(finding) if finding.starts_with("entry 7: changed")), "{error}");
    assert_eq!(ended(&store).await, ("error".to_owned(), Some("unsound".to_owned())));
    assert_eq!(count(folder.path()), 1);
}

#[tokio::test]
async fn another_log_than_was_signed_is_not_kept() {
    let (dir, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (_, notary) = log(&dir.path().join("a.redb"), 3).await;
    let (store, _) = log(&dir.path().join("b.redb"), 5).await;
    let error = make(&store, &notary, folder.path()).await.unwrap_err();
    assert!(matches!(error, Error::Unsound(_)), "{error}");
    assert_eq!(count(folder.path()), 0);
}

#[tokio::test]
async fn nothing_is_left_of_one_that_was_given_up() {
    let (dir, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, notary) = log(&dir.path().join("roll.redb"), 600).await;
    for is_checking in [false, true] {
        let watch = move |step: Step| {
            if step.is_checking == is_checking { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let error = make_while(&store, &notary, folder.path(), Box::new(watch)).await.unwrap_err();
        assert!(matches!(error, Error::Stopped), "{error}");
        assert_eq!(ended(&store).await, ("error".to_owned(), Some("stopped".to_owned())));
        assert_eq!(count(folder.path()), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_data_file_does_not_grow_for_a_backup_whatever_is_written_meanwhile() {
    const FILLED: i64 = 2000;
    let (dir, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, notary) = log(&dir.path().join("roll.redb"), 1).await;
    let user = |n: i64| {
        let event = user_event("user.updated", &format!("user_{}", n % 500), T + n, &"Ann ".repeat(400));
        received(&format!("msg_{n}"), &event.to_string())
    };
    let mut filling = tokio::task::JoinSet::new();
    for n in 0..FILLED {
        let (store, user) = (store.clone(), user(n));
        filling.spawn(async move { store.ingest(user).await.unwrap() });
    }
    filling.join_all().await;
    let taken = || fs::metadata(store.path()).unwrap().blocks() * 512;
    let before = taken();
    let (handle, writer, written) =
        (tokio::runtime::Handle::current(), store.clone(), Arc::new(AtomicI64::new(FILLED)));
    let next = written.clone();
    let write = move |_| {
        for _ in 0..10 {
            handle.block_on(writer.ingest(user(next.fetch_add(1, Ordering::Relaxed)))).unwrap();
        }
        ControlFlow::Continue(())
    };
    let made = make_while(&store, &notary, folder.path(), Box::new(write)).await.unwrap();
    let (written, grown) = (written.load(Ordering::Relaxed) - FILLED, taken().saturating_sub(before));
    println!("{before} bytes, grown by {grown} in {written} writes; the backup is {} long", made.bytes);
    // Every one of them frees some ten pages, which can be used again.
    assert!(written > 200, "{written}");
    assert!(grown < 4096 * u64::try_from(written).unwrap(), "{grown}");
}

#[tokio::test]
async fn a_disk_that_cannot_be_read_gives_no_backup() {
    let (disk, dir, folder) = (Disk::default(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = dir.path().join("roll.redb");
    let store = Store::with_backend(disk.clone(), &path, 0, Policy::default(), clock()).unwrap();
    let notary = vouch(&store).await;
    for _ in 0..2000 {
        store.record(Draft::new("test.noted", Actor::System, Source::System)).await.unwrap();
    }
    notary.publish().await.unwrap();
    disk.break_at(Call::Read, 1);
    let error = make(&store, &notary, folder.path()).await.unwrap_err();
    assert!(matches!(error, Error::Store(_)), "{error}");
    assert!(store.has_failed());
    assert_eq!(count(folder.path()), 0);
}
