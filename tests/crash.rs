//! The real binary, killed at any moment, stopped under load, and started on what it should refuse.
//!
//! `CRASH_ROUNDS` sets how often it is killed under load: 50 times unless said; 200 before a release.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::cast_possible_truncation, missing_docs)]

mod common;
#[path = "common/file.rs"]
mod file;
#[path = "common/ledger.rs"]
mod ledger;
#[path = "common/process.rs"]
mod process;

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use ledger::{Dice, Ledger, left_behind, nth};
use process::{Line, Process, refused, serve, serve_after};
use redb::{Database, TableDefinition};
use tempfile::TempDir;

fn data(dir: &TempDir) -> std::path::PathBuf {
    ledger::data(dir.path())
}

#[test]
fn killed_under_load_it_loses_nothing_it_has_acknowledged() {
    let rounds = std::env::var("CRASH_ROUNDS").map_or(50, |rounds| rounds.parse().unwrap());
    let (dir, mut dice) = (tempfile::tempdir().unwrap(), Dice::new());
    let (ledger, mut witness, mut starts) = (Ledger::default(), file::Witness::default(), Vec::new());
    for round in 0..rounds {
        let server = Process::start(serve(dir.path()));
        starts.push(server.took);
        let (senders, acks) = (8 + dice.below(9), 1 + dice.below(250));
        // Between two acknowledgements there is more than one moment to die in.
        let moment = Duration::from_micros(dice.below(4_000));
        ledger.run(server, senders, acks, |server| {
            std::thread::sleep(moment);
            server.kill();
        });
        ledger.check(&left_behind(dir.path()), &mut witness);
        if round % 10 == 9 {
            // Killed on its way up, too.
            let mut child = serve(dir.path()).spawn().unwrap();
            std::thread::sleep(Duration::from_micros(dice.below(30_000)));
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
    let server = Process::start(serve(dir.path()));
    ledger.settle(&server);
    server.terminate();
    let (status, said) = server.wait();
    assert!(status.success(), "{status}: {said}");
    let db = file::open(&data(&dir));
    ledger.check(&db, &mut witness);
    let acknowledged = ledger.acknowledged();
    assert_eq!(file::deliveries(&db).len(), acknowledged, "every message was acknowledged in the end");
    starts.sort();
    let (middle, longest) = (starts[starts.len() / 2], starts[starts.len() - 1]);
    println!("{rounds} kills, {acknowledged} acknowledged, {} entries", witness.size());
    println!("start: shortest {:?}, median {middle:?}, longest {longest:?}", starts[0]);
}

#[test]
fn killed_while_it_makes_its_file_it_starts_again() {
    let mut dice = Dice::new();
    for _ in 0..12 {
        let dir = tempfile::tempdir().unwrap();
        let mut child = serve(dir.path()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(dice.below(40_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let server = Process::start(serve(dir.path()));
        assert_eq!(server.connect().deliver("msg_1", &nth(1).1).unwrap().0, 200);
        server.kill();
        file::Witness::default().follow(&left_behind(dir.path()));
    }
}

#[test]
fn told_to_stop_it_answers_what_it_has_accepted() {
    let (dir, ledger) = (tempfile::tempdir().unwrap(), Ledger::default());
    let server = Process::start(serve(dir.path()));
    let mut slow = server.connect();
    let (id, body) = ("msg_slow", nth(1).1);
    slow.say(&format!("{}expect: 100-continue\r\n\r\n", slow.head(id, &body))).unwrap();
    assert_eq!(slow.hear().unwrap().0, 100, "the server waits for the body");
    let address = server.address;
    let refusals = ledger.run(server, 12, 200, |server| {
        server.terminate();
        // Once nobody is let in any more, the server is stopping.
        let since = Instant::now();
        while Line::to(address).is_ok() {
            assert!(since.elapsed() < Duration::from_mins(1), "the server does not stop");
        }
        slow.say(&body).unwrap();
        assert_eq!(slow.hear().unwrap().0, 200, "an accepted request is answered");
        let (status, said) = server.wait();
        assert_eq!(status.code(), Some(0), "{said}");
    });
    assert_eq!(refusals, [] as [u16; 0]);
    let db = file::open(&data(&dir));
    ledger.check(&db, &mut file::Witness::default());
    let answered = ledger.acknowledged.lock().unwrap().iter().map(|n| format!("msg_{n}")).collect::<BTreeSet<_>>();
    let applied: BTreeSet<String> = file::deliveries(&db).into_keys().filter(|other| other != id).collect();
    assert_eq!(applied, answered, "what was done was also answered");
}

#[test]
fn told_to_stop_twice_it_still_answers_what_it_has_accepted() {
    for signal in ["TERM", "INT"] {
        let (dir, ledger) = (tempfile::tempdir().unwrap(), Ledger::default());
        let server = Process::start(serve(dir.path()));
        let refusals = ledger.run(server, 8, 100, |server| {
            server.signal(signal);
            server.signal(signal);
            let (status, said) = server.wait();
            assert_eq!(status.code(), Some(0), "{signal}: {said}");
        });
        assert_eq!(refusals, [] as [u16; 0]);
        let db = file::open(&data(&dir));
        ledger.check(&db, &mut file::Witness::default());
        assert_eq!(file::deliveries(&db).len(), ledger.acknowledged(), "{signal}: what was done was also answered");
    }
}

#[test]
fn a_terminal_that_hangs_up_loses_nothing_and_under_nohup_changes_nothing() {
    let (dir, ledger, mut witness) = (tempfile::tempdir().unwrap(), Ledger::default(), file::Witness::default());
    ledger.run(Process::start(serve(dir.path())), 8, 100, |server| {
        server.signal("HUP");
        assert_eq!(server.wait().0.code(), None, "nobody caught the signal");
    });
    ledger.check(&left_behind(dir.path()), &mut witness);
    let server = Process::start(serve_after("trap '' HUP", dir.path()));
    server.signal("HUP");
    ledger.run(server, 8, 50, Process::kill);
    ledger.check(&left_behind(dir.path()), &mut witness);
}

#[test]
fn that_nobody_listens_to_what_it_says_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = serve(dir.path());
    command.env("ROLLBOOK_LOG", "debug");
    let server = Process::start_unheard(command);
    let mut line = server.connect();
    for n in 0..20 {
        server.signal("PIPE");
        let (id, body) = nth(n);
        assert_eq!(line.deliver(&id, &body).unwrap().0, 200);
    }
    drop(line);
    server.terminate();
    assert!(server.wait().0.success());
}

fn assert_refused(dir: &Path, says: &str) {
    let (code, said) = refused(serve(dir));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(says) && said.contains("ROLLBOOK_DATA"), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "one sentence is enough: {said}");
}

#[test]
fn a_second_process_on_the_same_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let first = Process::start(serve(dir.path()));
    assert_refused(dir.path(), "is in use by another process");
    assert_eq!(first.connect().deliver("msg_1", &nth(1).1).unwrap().0, 200);
    first.kill();
    Process::start(serve(dir.path())).kill();
}

#[test]
fn a_place_that_cannot_be_written_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused_at = |path: &Path| {
        let mut command = serve(dir.path());
        command.env("ROLLBOOK_DATA", path);
        let (code, said) = refused(command);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("cannot be opened for reading and writing"), "{said}");
        assert!(said.contains(path.to_str().unwrap()), "{said}");
    };
    refused_at(&dir.path().join("missing/rollbook.redb"));
    fs::write(dir.path().join("file"), "").unwrap();
    refused_at(&dir.path().join("file/rollbook.redb"));
    refused_at(dir.path());
}

#[test]
fn what_is_no_data_file_or_not_a_whole_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let foreign: [&[u8]; 3] = [b"", b"dear diary", &[0x5a; 10_000]];
    for bytes in foreign {
        fs::write(data(&dir), bytes).unwrap();
        assert_refused(dir.path(), "is not a Rollbook data file");
        assert_eq!(fs::read(data(&dir)).unwrap(), bytes, "somebody else's file was changed");
    }
    fs::remove_file(data(&dir)).unwrap();
    let others: TableDefinition<'_, u64, u64> = TableDefinition::new("others");
    change(&dir, |txn| drop(txn.open_table(others).unwrap().insert(1, 2).unwrap()));
    assert_refused(dir.path(), "is not a Rollbook data file");
    fs::remove_file(data(&dir)).unwrap();

    let server = Process::start(serve(dir.path()));
    assert_eq!(server.connect().deliver("msg_1", &nth(1).1).unwrap().0, 200);
    server.terminate();
    assert!(server.wait().0.success());
    let whole = fs::read(data(&dir)).unwrap();
    for part in [whole.len() / 2, 4096, 100] {
        fs::write(data(&dir), &whole[..part]).unwrap();
        assert_refused(dir.path(), "torn copy");
    }

    let restored = || fs::write(data(&dir), &whole).unwrap();
    restored();
    let index: TableDefinition<'_, (&str, u128), ()> = TableDefinition::new("user_index-1");
    change(&dir, |txn| assert!(txn.delete_table(index).unwrap()));
    assert_refused(dir.path(), "lacks the table `user_index-1`");
    restored();
    Process::start(serve(dir.path())).kill();
}

/// Changes the data file by hand.
fn change(dir: &TempDir, change: impl FnOnce(&redb::WriteTransaction)) {
    let db = Database::create(data(dir)).unwrap();
    let txn = db.begin_write().unwrap();
    change(&txn);
    txn.commit().unwrap();
}

#[test]
fn only_its_owner_may_read_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
    let server = Process::start(serve_after("umask 000", dir.path()));
    assert_eq!(mode("rollbook.redb"), 0o600);
    assert_eq!(mode("rollbook.redb.sock"), 0o600);
    server.kill();
    fs::set_permissions(data(&dir), Permissions::from_mode(0o644)).unwrap();
    let server = Process::start(serve_after("umask 000", dir.path()));
    assert_eq!(mode("rollbook.redb"), 0o600, "a file copied here with an open mode is closed");
    server.kill();
}
