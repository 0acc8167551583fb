//! Data files of earlier versions: brought up to date by starting, after a copy was kept; or left as they are.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, missing_docs)]

mod common;
#[path = "common/disk.rs"]
mod disk;
#[path = "common/file.rs"]
mod file;
#[path = "common/older.rs"]
mod older;
#[path = "common/process.rs"]
mod process;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::{deleted_event, session_event, user_event};
use disk::{Call, Disk, Survival};
use older::{CURRENT, change, downgrade, drop_table, make_older, stamp};
use process::{Process, refused, rollbook, serve, serve_after};
use rollbook::clock::{Clock, Timestamp};
use rollbook::store::Store;
use rollbook::sync::Policy;
use serde_json::json;
use tempfile::TempDir;

const T: i64 = 1_750_000_000_000;

/// What goes on with the log, and is another after every start.
const MOVING: [&str; 9] = [
    "meta",
    "hours",
    "audit_leaf",
    "audit_detail",
    "audit_tile",
    "audit_meta",
    "audit_checkpoint",
    "audit_by_action",
    "audit_by_facet",
];

fn data(dir: &TempDir) -> PathBuf {
    dir.path().join("rollbook.redb")
}

fn beside(dir: &TempDir, suffix: &str) -> PathBuf {
    dir.path().join(format!("rollbook.redb{suffix}"))
}

/// A file of this version with something of everything in it, whose server was stopped.
fn filled() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let server = Process::start(serve(dir.path()));
    deliver(&server, 0..20);
    stop(server);
    dir
}

fn deliver(server: &Process, range: std::ops::Range<i64>) {
    let mut line = server.connect();
    for n in range {
        let user = format!("user_{n}");
        let item = json!({
            "type": "subscriptionItem.active", "object": "event", "timestamp": T + n, "instance_id": "ins_test",
            "data": { "id": format!("csub_{n}"), "status": "active", "plan": { "slug": "pro" }, "updated_at": T + n,
                "payer": { "user_id": user } },
        });
        let events = [
            user_event("user.created", &user, T + n, "Änn"),
            user_event("user.updated", &user, T + 100 + n, "Ann"),
            session_event("session.created", &user, &format!("sess_{n}"), "active"),
            item,
            json!({ "type": "user.created", "object": "event", "timestamp": T, "instance_id": "ins_test", "data": 5 }),
            deleted_event(&format!("user_{}", n - 10), T + 200 + n),
        ];
        for (kind, event) in events.iter().enumerate() {
            assert_eq!(line.deliver(&format!("msg_{n}_{kind}"), &event.to_string()).unwrap().0, 200);
        }
    }
}

fn stop(server: Process) {
    server.terminate();
    let (status, said) = server.wait();
    assert!(status.success(), "{said}");
}

fn start_and_stop(dir: &TempDir) {
    stop(Process::start(serve(dir.path())));
}

/// Every row that a start leaves alone, but for those that may be written in another order.
fn rows(path: &Path) -> BTreeMap<String, file::Table> {
    let tables = file::dump(&file::open(path)).into_iter().map(|(name, table)| (name.to_owned(), table));
    tables.filter(|(name, _)| !MOVING.contains(&name.as_str()) && name != "users").collect()
}

fn roll(path: &Path) -> file::Roll {
    file::roll(&file::open(path))
}

fn leaves(path: &Path) -> Vec<Vec<u8>> {
    file::leaves(&file::open(path))
}

fn names(dir: &TempDir) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_file_of_every_earlier_schema_is_brought_up_to_date_and_kept_as_it_was() {
    for schema in 1..CURRENT {
        let dir = filled();
        let (mut before, users, log) = (rows(&data(&dir)), roll(&data(&dir)), leaves(&data(&dir)));
        assert!(users.users.len() == 20 && !before["quarantine"].is_empty() && !before["value_tags"].is_empty());
        make_older(&data(&dir), schema);
        if schema < 2 {
            // Nobody asked yet whether a value was ever on file.
            before.get_mut("value_tags").unwrap().clear();
        }
        let old = fs::read(data(&dir)).unwrap();

        start_and_stop(&dir);
        let after = rows(&data(&dir));
        for (name, table) in &before {
            assert_eq!(&after[name], table, "{name} of schema {schema}");
        }
        assert_eq!(roll(&data(&dir)), users, "schema {schema}");
        assert!(leaves(&data(&dir)).starts_with(&log), "schema {schema}");
        file::Witness::default().follow(&file::open(&data(&dir)));
        let said = rollbook(dir.path(), &["verify"]);
        assert_eq!(said.code, Some(0), "schema {schema}: {}{}", said.out, said.err);

        let copy = beside(&dir, &format!(".schema{schema}"));
        assert!(fs::read(&copy).unwrap() == old, "the copy is not the file as it was");
        assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
        let found = names(&dir);
        start_and_stop(&dir);
        assert_eq!(names(&dir), found, "one copy is enough");
        let said = rollbook(dir.path(), &["doctor"]);
        assert!(said.out.contains(&format!("rollbook.redb.schema{schema}")), "{}", said.out);

        // Put back, it is what the older version can go on with, and this one brings it up to date again.
        fs::copy(&copy, data(&dir)).unwrap();
        start_and_stop(&dir);
        assert_eq!(names(&dir), found, "the copy is there already");
        assert!(fs::read(&copy).unwrap() == old);
    }
}

#[test]
fn a_copy_of_another_time_is_not_overwritten() {
    let dir = filled();
    make_older(&data(&dir), 4);
    start_and_stop(&dir);
    let first = fs::read(beside(&dir, ".schema4")).unwrap();
    // The older version went on with it for a while.
    let server = Process::start(serve(dir.path()));
    deliver(&server, 20..22);
    stop(server);
    make_older(&data(&dir), 4);
    let second = fs::read(data(&dir)).unwrap();
    start_and_stop(&dir);
    assert!(fs::read(beside(&dir, ".schema4")).unwrap() == first);
    assert!(fs::read(beside(&dir, ".schema4.2")).unwrap() == second);
}

#[test]
fn killed_while_it_is_brought_up_to_date_it_starts_again() {
    let dir = filled();
    let before = (rows(&data(&dir)), roll(&data(&dir)));
    for n in 0..12 {
        make_older(&data(&dir), 2 + n % 3);
        let mut child = serve(dir.path()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(u64::from(n) * 4));
        child.kill().unwrap();
        child.wait().unwrap();
        start_and_stop(&dir);
        assert_eq!((rows(&data(&dir)), roll(&data(&dir))), before, "round {n}");
        file::Witness::default().follow(&file::open(&data(&dir)));
        assert!(!names(&dir).iter().any(|name| name.ends_with(".part")), "{:?}", names(&dir));
    }
}

/// Opens what the disk holds, as a start does.
fn opened(disk: &Disk) -> Option<Store> {
    let clock = Clock::fixed(Timestamp::from_millis(T));
    Store::with_backend(disk.clone(), Path::new("disk"), 0, Policy::default(), clock).ok()
}

#[tokio::test]
async fn a_disk_that_breaks_while_it_is_brought_up_to_date_leaves_all_or_nothing() {
    let dir = filled();
    for schema in 1..CURRENT {
        let log = leaves(&data(&dir));
        make_older(&data(&dir), schema);
        let old = fs::read(data(&dir)).unwrap();
        let wanted = {
            let disk = Disk::of(old.clone());
            opened(&disk).unwrap().close().await;
            file::roll(&file::open_disk(&disk))
        };
        let mut broken = 0;
        // Reads and writes are many, and alike.
        for (call, stride) in [(Call::Read, 61), (Call::Write, 3), (Call::Resize, 1), (Call::Sync, 1)] {
            for n in 0.. {
                let disk = Disk::of(old.clone());
                disk.break_at(call, n * stride);
                if let Some(store) = opened(&disk) {
                    // The store may have been opened before, or in spite of it.
                    store.close().await;
                    if !disk.is_broken() {
                        break;
                    }
                }
                broken += 1;
                let survival = [Survival::Some(n), Survival::None, Survival::Some(n), Survival::All][n as usize % 4];
                let left = disk.salvage(survival);
                let store = opened(&left).unwrap_or_else(|| panic!("schema {schema}, {call:?} {n}, {survival:?}"));
                assert!(store.doubt().is_none());
                store.close().await;
                let db = file::open_disk(&left);
                assert!(file::roll(&db) == wanted && file::leaves(&db) == log, "{call:?} {n}, {survival:?}");
            }
        }
        assert!(broken > 10, "{broken}");
        fs::write(data(&dir), &old).unwrap();
        start_as_new(&dir);
    }
}

/// Brings the file up to date for the next round.
fn start_as_new(dir: &TempDir) {
    for copy in names(dir).into_iter().filter(|name| name.contains(".schema")) {
        fs::remove_file(dir.path().join(copy)).unwrap();
    }
    start_and_stop(dir);
}

fn assert_refused(command: Command, says: &str) {
    let (code, said) = refused(command);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(says) && said.contains("ROLLBOOK_DATA"), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "one sentence is enough: {said}");
}

#[test]
fn without_a_copy_nothing_is_changed() {
    let dir = filled();
    make_older(&data(&dir), 4);
    let (old, found) = (fs::read(data(&dir)).unwrap(), names(&dir));
    // A file may grow to so many blocks of 512 bytes.
    let blocks = old.len() / 2 / 512;
    assert_refused(
        serve_after(&format!("trap '' XFSZ; ulimit -f {blocks}"), dir.path()),
        "was written by an older Rollbook (schema 4) and is as it was",
    );
    assert!(fs::read(data(&dir)).unwrap() == old && names(&dir) == found, "{:?}", names(&dir));
    start_and_stop(&dir);
}

#[test]
fn without_room_for_a_copy_nothing_is_changed() {
    let full = tempfile::tempdir().unwrap();
    let mount = |arguments: &[&str]| {
        Command::new("mount").args(arguments).arg(full.path()).output().is_ok_and(|done| done.status.success())
    };
    let dir = filled();
    make_older(&data(&dir), 4);
    let old = fs::read(data(&dir)).unwrap();
    if !mount(&["-t", "tmpfs", "-o", &format!("size={}", old.len() * 3 / 2), "tmpfs"]) {
        // Not by macro: what that prints a passing test keeps to itself.
        writeln!(std::io::stderr(), "SKIPPED a full disk: tmpfs cannot be mounted here").unwrap();
        return;
    }
    for name in names(&dir) {
        fs::copy(dir.path().join(&name), full.path().join(&name)).unwrap();
    }
    let (code, said) = refused(serve(full.path()));
    let unchanged = fs::read(data(&full)).unwrap() == old && names(&full).iter().all(|name| !name.contains("schema"));
    let unmounted = Command::new("umount").arg(full.path()).status().is_ok_and(|status| status.success());
    assert!(unmounted, "{} is still mounted", full.path().display());
    assert!(
        code == Some(1) && said.contains("a copy of it is kept, which needs") && said.contains("make room"),
        "{said}"
    );
    assert!(unchanged, "something was changed");
}

#[test]
fn what_is_newer_or_lacks_what_its_schema_has_is_refused() {
    let dir = filled();
    let whole = fs::read(data(&dir)).unwrap();
    change(&data(&dir), |txn| stamp(txn, CURRENT + 1));
    let newer = fs::read(data(&dir)).unwrap();
    assert_refused(serve(dir.path()), "was written by a newer Rollbook (schema 6, this one knows 5)");
    assert!(fs::read(data(&dir)).unwrap() == newer);
    // A table may be missing that came later, and no other.
    for (schema, lacks) in
        [(1, "user_index-1"), (2, "erased-1"), (3, "api_keys-1"), (4, "hours-1"), (5, "audit_by_facet-1")]
    {
        fs::write(data(&dir), &whole).unwrap();
        change(&data(&dir), |txn| {
            downgrade(txn, schema);
            drop_table(txn, lacks);
        });
        assert_refused(serve(dir.path()), &format!("lacks the table `{lacks}`"));
    }
    assert!(names(&dir).iter().all(|name| !name.contains("schema")), "{:?}", names(&dir));
    fs::write(data(&dir), &whole).unwrap();
    start_and_stop(&dir);
}
