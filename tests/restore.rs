//! `rollbook restore`: what is put in place, what is said of it, and what is refused.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;
#[path = "common/file.rs"]
mod file;
#[path = "common/older.rs"]
mod older;
#[path = "common/process.rs"]
mod process;

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::user_event;
use futures_util::future::join_all;
use older::{CURRENT, change, make_older, stamp};
use process::{Process, Said, rollbook, said, serve};
use redb::{ReadableTable as _, TableDefinition};
use rollbook::audit::{Actor, Draft, Source};
use rollbook::clock::{Clock, Timestamp};
use rollbook::restore::{Error, Source as Copy};
use rollbook::store::Store;
use rollbook::sync::Policy;
use rollbook::target::{Course, Kind, Target};
use tempfile::TempDir;

const T: i64 = 1_750_000_000_000;

fn data(dir: &Path) -> PathBuf {
    dir.join("rollbook.redb")
}

/// Delivers these messages, each a user of its own.
fn deliver(server: &Process, range: std::ops::Range<i64>) {
    let mut line = server.connect();
    for n in range {
        let event = user_event("user.created", &format!("user_{n}"), T + n, "Ann").to_string();
        assert_eq!(line.deliver(&format!("msg_{n}"), &event).unwrap().0, 200);
    }
}

/// Serves until these messages are taken, then stops.
fn run(dir: &Path, range: std::ops::Range<i64>) {
    let server = Process::start(serve(dir));
    deliver(&server, range);
    server.terminate();
    let (status, said) = server.wait();
    assert!(status.success(), "{said}");
}

/// A data file with its key and its mark, whose server was stopped, and a copy of it as of then: the file `copy`.
fn with_copy() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), 0..20);
    fs::copy(data(dir.path()), dir.path().join("copy")).unwrap();
    dir
}

/// The same, and the file went on afterwards and is lost.
fn with_older_copy() -> TempDir {
    let dir = with_copy();
    run(dir.path(), 20..30);
    fs::remove_file(data(dir.path())).unwrap();
    dir
}

fn restore(dir: &Path, from: &str) -> Said {
    rollbook(dir, &["restore", from])
}

/// What was said when it was done.
fn restored(dir: &Path, from: &str) -> String {
    let said = restore(dir, from);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{}", said.out);
    said.out
}

fn entries(path: &Path) -> usize {
    file::leaves(&file::open(path)).len()
}

/// Name and content of everything in the folder.
fn everything(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(dir).unwrap().map(Result::unwrap).filter(|entry| entry.file_type().unwrap().is_file());
    files.map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())).collect()
}

fn adopt(dir: &Path) {
    let said = rollbook(dir, &["adopt", "--reason", "restored copy"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
}

/// The log's name, as the newest checkpoint has it.
fn log_name(dir: &Path) -> String {
    rollbook(dir, &["checkpoint"]).out.lines().next().unwrap().to_owned()
}

/// The server takes nothing until the file is adopted, and all is well afterwards.
fn settle(dir: &Path) {
    let server = Process::start(serve(dir));
    let event = user_event("user.created", "user_new", T, "Bo").to_string();
    assert_eq!(server.connect().deliver("msg_new", &event).unwrap().0, 503, "read only");
    adopt(dir);
    assert_eq!(server.connect().deliver("msg_new", &event).unwrap().0, 200);
    server.terminate();
    assert!(server.wait().0.success());
    assert_eq!(rollbook(dir, &["verify"]).code, Some(0));
}

/// These stand in the text in this order.
fn assert_in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        rest = rest.split_once(part).unwrap_or_else(|| panic!("{part} is missing, or too late:\n{text}")).1;
    }
}

#[test]
fn a_copy_with_all_that_was_signed_goes_on_as_if_nothing_had_been() {
    let dir = with_copy();
    let copy = fs::read(dir.path().join("copy")).unwrap();
    fs::remove_file(data(dir.path())).unwrap();
    fs::set_permissions(dir.path().join("copy"), Permissions::from_mode(0o444)).unwrap();
    let said = restored(dir.path(), "copy");
    let place = data(dir.path()).display().to_string();
    assert_in_order(
        &said,
        &["The copy is whole: 2", &place, "NOTHING THAT WAS SIGNED IS MISSING.", "1. Start", "sync"],
    );
    assert!(!said.contains("adopt") && !said.contains("erased"), "{said}");
    assert!(fs::read(dir.path().join("copy")).unwrap() == copy, "the copy was changed");
    assert_eq!(fs::metadata(data(dir.path())).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!dir.path().join(".rollbook.redb.restoring").exists());
    run(dir.path(), 20..22);
    assert_eq!(file::users(&file::open(&data(dir.path()))).len(), 22);
    assert_eq!(rollbook(dir.path(), &["verify"]).code, Some(0));
}

#[test]
fn no_empty_file_is_made_where_a_signed_one_was() {
    let dir = with_older_copy();
    let mark = dir.path().join("rollbook.redb.hwm");
    let marked = fs::read_to_string(&mark).unwrap().lines().nth(1).unwrap().to_owned();
    let backups = dir.path().join("my backups");
    fs::create_dir(&backups).unwrap();
    let newest = backups.join("rollbook-20261121T180311Z.redb");
    fs::copy(dir.path().join("copy"), &newest).unwrap();
    let before = everything(dir.path());
    let sentence = format!("{} is not there, but {marked} entries were signed here:", data(dir.path()).display());

    let started = said(serve(dir.path()).env("ROLLBOOK_BACKUP_DIR", &backups));
    assert_eq!(started.code, Some(1), "{}", started.err);
    assert_in_order(
        &started.err,
        &[&sentence, "rollbook restore FILE", &format!("newest backup: '{}'", newest.display())],
    );
    for command in [&["checkpoint"][..], &["adopt", "--reason", "none"], &["users", "list"]] {
        let said = rollbook(dir.path(), command);
        assert!(said.code == Some(1) && said.err.contains(&sentence), "{command:?}: {}", said.err);
    }
    let doctor = rollbook(dir.path(), &["doctor"]).out;
    assert!(doctor.contains("FAIL  data file") && doctor.contains(&sentence), "{doctor}");
    assert!(everything(dir.path()) == before, "something was made");

    // A mark that nobody can read any more says no less that there was a log.
    let whole = fs::read(&mark).unwrap();
    for garbled in [&b""[..], b"garbled", &[0xff, 0], &whole[..whole.len() / 3]] {
        fs::write(&mark, garbled).unwrap();
        let before = everything(dir.path());
        for said in [said(&mut serve(dir.path())), rollbook(dir.path(), &["adopt", "--reason", "none"])] {
            let says = "is not there, but entries were signed here, how many cannot be read from ";
            assert!(said.code == Some(1) && said.err.contains(says), "{garbled:?}: {}", said.err);
        }
        assert!(everything(dir.path()) == before, "something was made");
    }
    fs::write(&mark, whole).unwrap();

    // Who moves key and mark away begins anew.
    let said = rollbook(dir.path(), &["restore", "my backups", "--data", "it's.redb"]);
    let advice = format!("rollbook restore '{}' --data 'it'\\''s.redb'", "my backups/rollbook-20261121T180311Z.redb");
    assert!(said.code == Some(1) && said.err.contains(&advice), "{}", said.err);
    for name in ["rollbook.redb.key", "rollbook.redb.hwm"] {
        fs::rename(dir.path().join(name), backups.join(name)).unwrap();
    }
    run(dir.path(), 0..1);
}

#[test]
fn of_an_older_copy_it_is_said_what_is_missing_and_what_to_do() {
    let dir = with_older_copy();
    let has = entries(&dir.path().join("copy"));
    let marked: usize =
        fs::read_to_string(dir.path().join("rollbook.redb.hwm")).unwrap().lines().nth(1).unwrap().parse().unwrap();
    assert!(marked > has);
    let said = restored(dir.path(), "copy");
    let gone = format!("Missing: entries {has} to {}", marked - 1);
    assert_in_order(
        &said,
        &[
            "THE COPY IS OLDER THAN WHAT WAS SIGNED HERE.",
            &format!("{marked} entries were signed (the mark was last written at 20"),
            &format!("the copy has {has}."),
            &gone,
            "can\nprove that they were there",
            "whoever was erased since is in it again",
            "1. Start the server",
            "While it is read only",
            "2. If it says that it is read only",
            "rollbook adopt --reason 'restored copy'\n",
            "rollbook sync\n",
            "Replay all messages that were sent since 20",
            "rollbook doctor\n",
        ],
    );
    settle(dir.path());
    assert_eq!(file::users(&file::open(&data(dir.path()))).len(), 21);

    // The same copy once more: what is signed now must not have the name of what was signed after the first time.
    assert!(log_name(dir.path()).ends_with("/log-2"));
    fs::remove_file(data(dir.path())).unwrap();
    let said = restored(dir.path(), "copy");
    assert!(said.contains("the log adopted since the copy was made") && said.contains("under the name"), "{said}");
    settle(dir.path());
    assert!(log_name(dir.path()).ends_with("/log-3"));
}

#[test]
fn without_key_or_mark_it_is_said_what_cannot_be_known() {
    let dir = with_older_copy();
    let alone = |beside: &[&str]| {
        let there = tempfile::tempdir().unwrap();
        for name in ["copy"].iter().chain(beside) {
            fs::copy(dir.path().join(name), there.path().join(name)).unwrap();
        }
        there
    };
    let (key, mark) = ("rollbook.redb.key", "rollbook.redb.hwm");
    let fresh = alone(&[]);
    let said = restored(fresh.path(), "copy");
    assert_in_order(
        &said,
        &[
            "THE SIGNING KEY IS NOT HERE",
            "Neither is the high-water mark",
            "1. If you kept the signing key",
            "cp ",
            "chmod 600",
            "mark too",
            "adopt",
        ],
    );
    settle(fresh.path());
    let without_key = alone(&[mark]);
    let said = restored(without_key.path(), "copy");
    assert_in_order(&said, &["THE SIGNING KEY IS NOT HERE", "The high-water mark says that", "the copy has"]);
    settle(without_key.path());
    let without_mark = alone(&[key]);
    let said = restored(without_mark.path(), "copy");
    assert_in_order(
        &said,
        &["IT CANNOT BE TOLD WHETHER ANYTHING IS MISSING", "right high-water mark", ".hwm\n", "adopt"],
    );
    settle(without_mark.path());

    let other = with_copy();
    fs::remove_file(data(other.path())).unwrap();
    let from = dir.path().join("copy");
    let said = restored(other.path(), from.to_str().unwrap());
    assert_in_order(
        &said,
        &[
            "THE SIGNING KEY HERE IS NOT THE ONE THAT THE COPY NAMES",
            "move the one that is here away first",
            "mv ",
            "chmod 600",
            "adopt",
        ],
    );
    settle(other.path());
}

#[test]
fn a_copy_with_another_past_is_told_from_an_older_one() {
    let dir = with_copy();
    let other = tempfile::tempdir().unwrap();
    for name in ["rollbook.redb", "rollbook.redb.key", "rollbook.redb.hwm"] {
        fs::copy(dir.path().join(name), other.path().join(name)).unwrap();
    }
    run(other.path(), 40..60);
    run(dir.path(), 20..25);
    fs::remove_file(data(dir.path())).unwrap();
    let said = restored(dir.path(), data(other.path()).to_str().unwrap());
    assert_in_order(&said, &["THE COPY IS NOT OF THE LOG THAT WAS SIGNED HERE", "right copy", "adopt"]);
    settle(dir.path());
}

/// Nothing was done, and it was said why; nothing in the folder has changed.
fn assert_refused(dir: &Path, from: &str, says: &str) {
    let before = everything(dir);
    let said = restore(dir, from);
    assert_eq!(said.code, Some(1), "{from}: {}{}", said.out, said.err);
    assert!(said.err.contains(says) && said.out.is_empty(), "{from}: {}{}", said.out, said.err);
    let after = everything(dir);
    assert!(after == before, "{from}: {:?} became {:?}", before.keys(), after.keys());
}

#[test]
fn nothing_that_is_there_is_overwritten() {
    let dir = with_copy();
    let path = data(dir.path());
    assert_refused(dir.path(), "copy", &format!("mv {0} {0}.before", path.display()));
    assert_refused(dir.path(), "rollbook.redb", "is the data file itself");
    let server = Process::start(serve(dir.path()));
    let before = restore(dir.path(), "copy");
    assert!(before.code == Some(1) && before.err.contains("a server runs on"), "{}", before.err);
    // The file is gone by mistake; the server has it still.
    fs::rename(&path, dir.path().join("hidden")).unwrap();
    let said = restore(dir.path(), "copy");
    assert!(said.code == Some(1) && !path.exists(), "{}", said.err);
    assert_in_order(&said.err, &["still has it open", "Do not stop that server", "rollbook backup /", "/rescued.redb"]);
    let doctor = rollbook(dir.path(), &["doctor"]).out;
    assert!(doctor.contains("was removed while the server runs; do not stop it: `rollbook backup /"), "{doctor}");
    let rescued = path.with_file_name("rescued.redb");
    let said = rollbook(dir.path(), &["backup", rescued.to_str().unwrap()]);
    assert!(said.code == Some(0) && rescued.exists(), "{}", said.err);
    let said = restore(dir.path(), "hidden");
    assert!(said.code == Some(1), "{}", said.err);
    server.kill();
    // A link that leads nowhere is something too.
    std::os::unix::fs::symlink("nowhere", &path).unwrap();
    assert_refused(dir.path(), "copy", "is never overwritten");
}

#[test]
fn what_is_no_whole_copy_is_refused() {
    let dir = with_older_copy();
    let put = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
    let whole = fs::read(dir.path().join("copy")).unwrap();
    assert_refused(dir.path(), "missing", "missing cannot be read");
    put("diary", b"dear diary");
    put("nothing", b"");
    put("half", &whole[..whole.len() / 2]);
    for name in ["diary", "nothing", "half"] {
        assert_refused(dir.path(), name, &format!("{name} is not a Rollbook data file, or not a whole one"));
    }
    let folder = dir.path().join("backups");
    fs::create_dir(&folder).unwrap();
    assert_refused(dir.path(), "backups", "is a folder; name one file, and there is no backup in it");
    for name in ["rollbook-20261121T180311Z.redb", "rollbook-20261120T180311Z.redb"] {
        fs::copy(dir.path().join("copy"), folder.join(name)).unwrap();
    }
    assert_refused(dir.path(), "backups", "  rollbook restore backups/rollbook-20261121T180311Z.redb");
    let pipe = dir.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    assert_refused(dir.path(), "pipe", "pipe is not a file");

    let changed = |name: &str, by: &dyn Fn(&redb::WriteTransaction)| {
        put(name, &whole);
        change(&dir.path().join(name), by);
    };
    changed("newer", &|txn| stamp(txn, CURRENT + 1));
    assert_refused(
        dir.path(),
        "newer",
        "was written by a newer Rollbook (schema 6, this one knows 5); restore it with",
    );
    changed("lacking", &|txn| older::drop_table(txn, "hours-1"));
    assert_refused(dir.path(), "lacking", "lacking is not a Rollbook data file, or not a whole one");
    changed("forged", &|txn| {
        let mut leaves = txn.open_table::<u64, &[u8]>(TableDefinition::new("audit_leaf-1")).unwrap();
        let leaf = String::from_utf8(leaves.get(7).unwrap().unwrap().value().to_vec()).unwrap();
        leaves.insert(7, leaf.replace("clerk", "clork").as_bytes()).unwrap();
    });
    assert_refused(dir.path(), "forged", "the log in forged is not what was written: entry 7");

    // Over some of these the database panics, and that is nothing to show to anybody.
    for page in 1..12 {
        let mut filled = whole.clone();
        filled[page * 4096..(page + 1) * 4096].fill(0xff);
        put("filled", &filled);
        let said = restore(dir.path(), "filled");
        // A page that nothing speaks of is no loss.
        if said.code == Some(0) {
            fs::remove_file(data(dir.path())).unwrap();
        }
        assert!(!said.err.contains("panicked"), "page {page}: {}", said.err);
    }

    // A user's page is not in the log, and whatever is wrong with it is found all the same.
    let mut rotten = whole.clone();
    let user = b"user_7@example.o";
    // Some of these are in pages that nothing speaks of any more.
    for at in (0..whole.len() - user.len()).filter(|at| whole[*at..].starts_with(user)) {
        rotten[at] ^= 1;
    }
    put("rotten", &rotten);
    assert_refused(dir.path(), "rotten", "rotten is not a Rollbook data file, or not a whole one");
    restored(dir.path(), "copy");
}

#[test]
fn a_file_in_use_is_not_copied() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Process::start(serve(other.path()));
    deliver(&server, 0..3);
    let live = data(other.path());
    assert_refused(dir.path(), live.to_str().unwrap(), &format!("rollbook backup --data {}", live.display()));
    server.kill();
    // As a killed server left it, it is whole.
    restored(dir.path(), live.to_str().unwrap());
    settle(dir.path());
    assert_eq!(file::users(&file::open(&data(dir.path()))).len(), 4);
}

#[test]
fn a_key_that_others_can_read_is_seen_to_first() {
    let dir = with_older_copy();
    let key = dir.path().join("rollbook.redb.key");
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    assert_refused(dir.path(), "copy", "run chmod 600 on it");
    fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    restored(dir.path(), "copy");
}

#[test]
fn what_was_broken_off_leaves_nothing_behind() {
    let dir = with_older_copy();
    let before = everything(dir.path());
    let open = || Copy::open(&dir.path().join("copy"), &data(dir.path()), 1 << 20).unwrap();
    let stops = &mut |_| ControlFlow::Break(());
    assert!(matches!(open().copy(stops).unwrap_err(), Error::Stopped));
    assert!(everything(dir.path()) == before);
    let goes_on = &mut |_| ControlFlow::Continue(());
    let copied = open().copy(goes_on).unwrap();
    assert!(matches!(copied.prove(&mut |_, _| ControlFlow::Break(())).unwrap_err(), Error::Stopped));
    assert!(everything(dir.path()) == before);
    // Somebody put a file there meanwhile.
    let proved = open().copy(goes_on).unwrap().prove(&mut |_, _| ControlFlow::Continue(())).unwrap();
    fs::write(data(dir.path()), "mine").unwrap();
    assert!(matches!(proved.put_in_place().unwrap_err(), Error::Exists(_)));
    assert_eq!(fs::read(data(dir.path())).unwrap(), b"mine");
    fs::remove_file(data(dir.path())).unwrap();

    // One that was killed left half of it; another is at work.
    let part = dir.path().join(".rollbook.redb.restoring");
    fs::write(&part, "half").unwrap();
    let at_work = open().copy(goes_on).unwrap();
    assert_refused(dir.path(), "copy", "another restore is under way");
    let at_work = at_work.prove(&mut |_, _| ControlFlow::Continue(())).unwrap();
    assert_refused(dir.path(), "copy", "another restore is under way");
    drop(at_work);
    restored(dir.path(), "copy");
    assert!(!part.exists());
}

#[tokio::test]
async fn ctrl_c_while_pages_are_checked_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&data(dir.path()), 1 << 20, Policy::default(), Clock::system()).unwrap();
    let noted =
        |n| Draft::new("test.noted", Actor::System, Source::System).with("of", Some(format!("{n}{}", "x".repeat(900))));
    for noted in join_all((0..6_000).map(|n| store.record(noted(n)))).await {
        noted.unwrap();
    }
    store.close().await;
    let copy = dir.path().join("copy");
    fs::rename(data(dir.path()), &copy).unwrap();
    let length = fs::metadata(&copy).unwrap().len();
    let part = dir.path().join(".rollbook.redb.restoring");
    let is_copied = || fs::metadata(&part).is_ok_and(|part| part.len() == length);
    for _ in 0..50 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollbook"));
        command.args(["restore", "copy"]).current_dir(dir.path()).env_clear().stdin(Stdio::null());
        command.env("ROLLBOOK_DATA", data(dir.path())).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        while !is_copied() && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        let kill = format!("kill -INT {}", child.id());
        let _ = Command::new("/bin/sh").args(["-c", &kill]).stderr(Stdio::null()).status();
        let code = child.wait().unwrap().code();
        if code != Some(0) {
            assert_eq!(
                (code, everything(dir.path()).into_keys().collect::<Vec<_>>()),
                (Some(1), vec!["copy".to_owned()])
            );
            return;
        }
        fs::remove_file(data(dir.path())).unwrap();
    }
    panic!("never in time");
}

#[test]
fn a_disk_that_is_full_is_said_to_be() {
    let dir = with_older_copy();
    let before = everything(dir.path());
    // A file may grow to so many blocks of 512 bytes.
    let limited = "trap '' XFSZ; ulimit -f 100; exec \"$0\" restore copy";
    let mut command = Command::new("/bin/sh");
    command.args(["-c", limited, env!("CARGO_BIN_EXE_rollbook")]).current_dir(dir.path());
    let limited = said(command.env_clear().env("ROLLBOOK_DATA", data(dir.path())));
    assert!(limited.code == Some(1) && limited.err.contains(".restoring cannot be written"), "{}", limited.err);
    assert!(everything(dir.path()) == before);

    let full = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(full.path()).output();
    if !mounted.is_ok_and(|done| done.status.success()) {
        // Not by macro: what that prints a passing test keeps to itself.
        writeln!(std::io::stderr(), "SKIPPED a full disk: tmpfs cannot be mounted here").unwrap();
        return;
    }
    let said = restore(full.path(), dir.path().join("copy").to_str().unwrap());
    let left = fs::read_dir(full.path()).unwrap().count();
    let unmounted = Command::new("umount").arg(full.path()).status().is_ok_and(|status| status.success());
    assert!(unmounted, "{} is still mounted", full.path().display());
    assert!(said.code == Some(1) && said.err.contains("restoring needs") && left == 0, "{}", said.err);
}

#[test]
fn a_copy_of_an_older_schema_is_brought_up_to_date_by_the_start() {
    let dir = with_copy();
    let copy = dir.path().join("copy");
    fs::remove_file(data(dir.path())).unwrap();
    change(&copy, |txn| older::downgrade(txn, 4));
    let said = restored(dir.path(), "copy");
    assert!(said.contains("NOTHING THAT WAS SIGNED IS MISSING") && said.contains("An older Rollbook wrote"), "{said}");
    run(dir.path(), 20..21);
    assert!(dir.path().join("rollbook.redb.schema4").exists());

    // One that nobody ever signed.
    make_older(&data(dir.path()), 1);
    fs::rename(data(dir.path()), &copy).unwrap();
    let said = restored(dir.path(), "copy");
    assert!(said.contains("This log was never signed"), "{said}");
    run(dir.path(), 21..22);
    assert_eq!(file::users(&file::open(&data(dir.path()))).len(), 22);
}

#[tokio::test]
async fn targets_without_their_secrets_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy");
    let clock = Clock::fixed(Timestamp::from_millis(T));
    let store = Store::open(&copy, 1 << 20, Policy::default(), clock).unwrap();
    let target = Target {
        name: "crm".parse().unwrap(),
        url: "https://hooks.example.com/".to_owned(),
        kind: Kind::Events,
        types: rollbook::audit::feed::Types::default(),
        bearer: false,
    };
    let entry = Draft::new("target.created", Actor::Cli, Source::Cli);
    store.add_target(target, Course::default(), entry).await.unwrap();
    store.close().await;
    let said = restored(dir.path(), "copy");
    assert!(said.contains("in no backup: crm.") && said.contains("rollbook.redb.targets back"), "{said}");
    fs::remove_file(data(dir.path())).unwrap();
    fs::write(dir.path().join("rollbook.redb.targets"), "{}").unwrap();
    assert!(!restored(dir.path(), "copy").contains("crm"));
}
