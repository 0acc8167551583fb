//! Which copies of a data file are safe to restore from, and which are not.
//!
//! A snapshot of a real volume needs root and a loop device; where those are missing, that test says SKIPPED, and the one
//! with a process that is stopped stands for it.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;
#[path = "common/deliveries.rs"]
mod deliveries;
#[path = "common/file.rs"]
mod file;
#[path = "common/process.rs"]
mod process;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::{TestServer, user_event, wait};
use deliveries::received;
use process::{Line, Process, Said, rollbook, serve};
use rollbook::audit::{Actor, Source};
use rollbook::backup;
use rollbook::clock::Clock;
use rollbook::notary::Notary;
use rollbook::store::{By, Store};
use rollbook::sync::Policy;
use tempfile::TempDir;

const T: i64 = 1_750_000_000_000;

fn data(dir: &Path) -> PathBuf {
    dir.join("rollbook.redb")
}

fn event(n: u64) -> String {
    user_event("user.created", &format!("user_{n}"), T, "Ann").to_string()
}

fn deliver(server: &Process, range: std::ops::Range<u64>) {
    let mut line = server.connect();
    for n in range {
        assert_eq!(line.deliver(&format!("msg_{n}"), &event(n)).unwrap().0, 200);
    }
}

fn stop(server: Process) {
    server.terminate();
    let (status, said) = server.wait();
    assert!(status.success(), "{said}");
}

/// Restores a copy of the file in `from`, beside the key and the mark that are there.
fn restore(from: &Path, bytes: &[u8]) -> (TempDir, Said) {
    let dir = tempfile::tempdir().unwrap();
    for name in ["rollbook.redb.key", "rollbook.redb.hwm"] {
        fs::copy(from.join(name), dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("copy"), bytes).unwrap();
    let said = rollbook(dir.path(), &["restore", "copy"]);
    (dir, said)
}

/// The messages that the file has.
fn messages(path: &Path) -> BTreeSet<String> {
    let db = file::open(path);
    file::Witness::default().follow(&db);
    file::deliveries(&db).into_keys().collect()
}

fn acknowledged(count: u64) -> BTreeSet<String> {
    (0..count).map(|n| format!("msg_{n}")).collect()
}

/// The first bytes of one and the rest of the other.
fn joined(first: &[u8], rest: &[u8], at: usize) -> Vec<u8> {
    [&first[..at], &rest[at..]].concat()
}

async fn ingest(store: &Store, range: std::ops::Range<u64>) {
    for n in range {
        store.ingest(received(&format!("msg_{n}"), &event(n))).await.unwrap();
    }
}

/// `cp` reads a file from its beginning to its end, and the server writes meanwhile. Here that is done step by step.
#[tokio::test]
async fn a_plain_copy_of_a_live_file_is_torn_or_lacks_what_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let path = data(dir.path());
    let read = || fs::read(&path).unwrap();
    let store = Store::open(&path, 1 << 20, Policy::default(), Clock::system()).unwrap();
    let notary = Notary::open(store.clone(), Clock::system(), "rollbook.example.com").await.unwrap();
    ingest(&store, 0..200).await;
    let before = read();
    ingest(&store, 200..201).await;
    let one_later = read();
    ingest(&store, 201..600).await;
    let after = read();
    notary.publish().await.unwrap();
    drop(notary);
    store.close().await;
    assert_eq!(messages(&path), acknowledged(600));

    // The first page, which says where everything is, was read before a write, and the rest after it: what was
    // acknowledged in between is not in the copy, and nothing in the copy says so. The mark beside it does.
    let (there, said) = restore(dir.path(), &joined(&before, &one_later, 4096));
    assert!(said.code == Some(0) && said.out.contains("THE COPY IS OLDER"), "{}{}", said.out, said.err);
    assert_eq!(messages(&data(there.path())), acknowledged(200), "message 200 was acknowledged");

    // The writes went on for longer: pages that the first one speaks of hold something else by now.
    let (_, said) = restore(dir.path(), &joined(&before, &after, 4096));
    assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{}", said.err);
    let refused = |said: &Said| {
        said.err.contains("is not a Rollbook data file, or not a whole one")
            || said.err.contains("is not what was written")
    };
    assert!(refused(&said), "{}", said.err);

    // Wherever the writes fell, no such copy passes for the whole log.
    for at in (1..16).map(|part| before.len() / 16 * part / 4096 * 4096) {
        let (there, said) = restore(dir.path(), &joined(&before, &after, at));
        match said.code {
            Some(1) => assert!(refused(&said), "{at}: {}", said.err),
            Some(0) => {
                assert!(said.out.contains("THE COPY IS OLDER"), "{at}: {}", said.out);
                assert!(messages(&data(there.path())).len() < 600, "{at}");
            }
            other => panic!("{at}: {other:?}: {}", said.err),
        }
    }
}

#[test]
fn the_file_of_a_stopped_server_is_a_safe_copy() {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::start(serve(dir.path()));
    deliver(&server, 0..100);
    stop(server);
    let (there, said) = restore(dir.path(), &fs::read(data(dir.path())).unwrap());
    assert!(
        said.code == Some(0) && said.out.contains("NOTHING THAT WAS SIGNED IS MISSING"),
        "{}{}",
        said.out,
        said.err
    );
    assert_eq!(messages(&data(there.path())), acknowledged(100));
}

/// Senders at work until told to stop, each message new; and the ids of what was acknowledged.
#[derive(Default)]
struct Load {
    next: AtomicU64,
    is_over: AtomicBool,
    acknowledged: Mutex<BTreeSet<String>>,
}

impl Load {
    fn send(&self, address: SocketAddr) {
        let mut line = Line::to(address).unwrap();
        while !self.is_over.load(Ordering::Relaxed) {
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            let id = format!("msg_{n}");
            assert_eq!(line.deliver(&id, &event(n)).unwrap().0, 200);
            self.acknowledged.lock().unwrap().insert(id);
        }
    }

    /// What was acknowledged, once that is so many.
    fn at_least(&self, count: usize) -> BTreeSet<String> {
        wait::blocking("acknowledgements", || self.acknowledged.lock().unwrap().len() >= count);
        self.acknowledged.lock().unwrap().clone()
    }

    /// Does that while senders are at work.
    fn during<T>(&self, address: SocketAddr, act: impl FnOnce() -> T) -> T {
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| self.send(address));
            }
            let done = act();
            self.is_over.store(true, Ordering::Relaxed);
            done
        })
    }
}

/// Everything beside the file belongs to the snapshot: it starts as after a power cut, and has all that was acknowledged.
fn assert_whole(dir: &Path, acknowledged: &BTreeSet<String>) {
    let server = Process::start(serve(dir));
    assert_eq!(server.connect().deliver("msg_new", &event(0)).unwrap().0, 200, "it is not read only");
    stop(server);
    let messages = messages(&data(dir));
    assert!(acknowledged.is_subset(&messages), "lost: {:?}", acknowledged.difference(&messages));
    assert_eq!(rollbook(dir, &["verify"]).code, Some(0));
}

#[test]
fn a_snapshot_of_one_moment_is_a_safe_copy_under_load() {
    let dir = tempfile::tempdir().unwrap();
    for round in 1..=3 {
        let (load, there) = (Load::default(), tempfile::tempdir().unwrap());
        let server = Process::start(serve(dir.path()));
        load.next.store(round * 1_000_000, Ordering::Relaxed);
        let acknowledged = load.during(server.address, || {
            let acknowledged = load.at_least(200);
            // Between two instructions of the server nothing of its file moves.
            server.signal("STOP");
            for name in ["rollbook.redb", "rollbook.redb.key", "rollbook.redb.hwm"] {
                fs::copy(dir.path().join(name), there.path().join(name)).unwrap();
            }
            server.signal("CONT");
            load.at_least(acknowledged.len() + 50);
            acknowledged
        });
        stop(server);
        let (restored, said) = restore(dir.path(), &fs::read(data(there.path())).unwrap());
        assert_eq!(said.code, Some(0), "{}", said.err);
        assert!(acknowledged.is_subset(&messages(&data(restored.path()))));
        assert_whole(there.path(), &acknowledged);
    }
}

#[test]
fn a_backup_made_under_load_is_a_safe_copy() {
    let dir = tempfile::tempdir().unwrap();
    let (load, server) = (Load::default(), Process::start(serve(dir.path())));
    load.during(server.address, || {
        for count in (200..=1000).step_by(200) {
            let (acknowledged, there) = (load.at_least(count), tempfile::tempdir().unwrap());
            let backup = there.path().join("backup.redb");
            rollbook(dir.path(), &["backup", backup.to_str().unwrap()]).done();
            let (restored, said) = restore(dir.path(), &fs::read(&backup).unwrap());
            assert_eq!(said.code, Some(0), "{}", said.err);
            let messages = messages(&data(restored.path()));
            assert!(acknowledged.is_subset(&messages), "lost: {:?}", acknowledged.difference(&messages));
        }
    });
    stop(server);
}

/// A file system in a file. It is unmounted when this goes.
struct Volume {
    folder: TempDir,
}

impl Volume {
    /// `None` where it cannot be had.
    fn mount(image: &Path) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount = Command::new("mount").args(["-o", "loop"]).arg(image).arg(folder.path()).output();
        mount.is_ok_and(|done| done.status.success()).then_some(Self { folder })
    }

    fn freeze(&self, how: &str) -> bool {
        Command::new("fsfreeze").arg(how).arg(self.folder.path()).output().is_ok_and(|done| done.status.success())
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.folder.path()).status();
    }
}

#[test]
fn a_snapshot_of_a_volume_is_a_safe_copy_under_load() {
    let images = tempfile::tempdir().unwrap();
    let (image, snapshot) = (images.path().join("volume"), images.path().join("snapshot"));
    fs::File::create(&image).unwrap().set_len(96 << 20).unwrap();
    let made = Command::new("mkfs.ext4").arg("-q").arg(&image).output().is_ok_and(|done| done.status.success());
    let Some(volume) = made.then(|| Volume::mount(&image)).flatten() else {
        // Not by macro: what that prints a passing test keeps to itself.
        writeln!(std::io::stderr(), "SKIPPED a snapshot of a volume: none can be mounted here").unwrap();
        return;
    };
    let (load, dir) = (Load::default(), volume.folder.path());
    let server = Process::start(serve(dir));
    let taken = load.during(server.address, || {
        let acknowledged = load.at_least(200);
        let frozen = volume.freeze("--freeze");
        fs::copy(&image, &snapshot).unwrap();
        // Whatever else fails: what is frozen would stay so.
        let thawed = volume.freeze("--unfreeze");
        (frozen && thawed).then_some(acknowledged)
    });
    stop(server);
    let Some(acknowledged) = taken else {
        writeln!(std::io::stderr(), "SKIPPED a snapshot of a volume: none can be frozen here").unwrap();
        return;
    };
    let snapshot = Volume::mount(&snapshot).unwrap();
    assert_whole(snapshot.folder.path(), &acknowledged);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_the_backup_folder_is_a_safe_copy() {
    let (server, folder) = (TestServer::start().await, tempfile::tempdir().unwrap());
    for n in 0..50 {
        server.outcome(&user_event("user.created", &format!("user_{n}"), T, "Ann")).await;
    }
    let by = By { actor: Actor::Cli, source: Source::Cli };
    let watch: backup::Watch = Box::new(|_| std::ops::ControlFlow::Continue(()));
    let (store, notary) = (&server.app.store, &server.app.notary);
    let order = backup::Order { to: None, folder: Some(folder.path().to_owned()), by };
    let made = backup::make(store, notary, &Clock::system(), order, watch).await.unwrap();
    // It is as of its beginning: what came later is not in it, and that is said.
    server.outcome(&user_event("user.created", "user_later", T, "Bo")).await;
    let dir = server.stop().await;
    let (there, said) = restore(dir.path(), &fs::read(made.path).unwrap());
    assert!(said.code == Some(0) && said.out.contains("THE COPY IS OLDER"), "{}{}", said.out, said.err);
    let users = file::users(&file::open(&data(there.path())));
    assert!(users.len() == 50 && !users.contains_key("user_later"));
}
