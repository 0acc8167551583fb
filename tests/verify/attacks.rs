//! Attacks on a whole installation: the data file, the files beside it, and the clock. What the server does at the next
//! start, and what a verifier says who kept something elsewhere.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use redb::{ReadableTable as _, WriteTransaction};
use rollbook::clock::{Clock, Timestamp};
use rollbook::merkle::{Frontier, leaf_hash};
use rollbook::notary::Notary;
use rollbook::store::Store;
use rollbook::sync::Policy;
use serde_json::Value;

use crate::common::{sign, user_event};
use crate::log::*;
use crate::process::{Process, serve};

/// Nothing here takes this long. What does is a failure, not a slow machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until the server takes no writes any more, and makes sure that it takes none.
fn until_read_only(server: &Process) {
    let since = Instant::now();
    while server.connect().get("/ready").unwrap().0 != 503 {
        assert!(since.elapsed() < PATIENCE, "the server has noticed nothing");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(deliver(server), 503);
}

fn deliver(server: &Process) -> u16 {
    let event = user_event("user.updated", "user_1", T, "Ada").to_string();
    server.connect().deliver(&sign::fresh_id(), &event).unwrap().0
}

/// Makes the tree, the head and the time of a file fit its leaves, as hands do that know how.
fn make_consistent(txn: &WriteTransaction) {
    let mut tree = Frontier::default();
    let mut tiles = Vec::new();
    let mut at = 0;
    for row in txn.open_table(LEAVES).unwrap().iter().unwrap() {
        let leaf = row.unwrap().1.value().to_vec();
        at = serde_json::from_slice::<Value>(&leaf).unwrap()["at"].as_i64().unwrap();
        tree.push(leaf_hash(&leaf), &mut tiles);
    }
    let head = [&tree.size().to_be_bytes()[..], &tree.root()].concat();
    tiles.extend(tree.take_partial());
    let mut rows = txn.open_table(TILES).unwrap();
    rows.retain(|_, _| false).unwrap();
    for tile in tiles {
        rows.insert((tile.level, tile.index), tile.hashes.as_flattened()).unwrap();
    }
    drop(rows);
    put(txn, META, "head", &head);
    put(txn, META, "last_at", &at.to_be_bytes());
}

/// Removes every trace of the entries from one on.
fn cut(txn: &WriteTransaction, size: u64) {
    txn.open_table(LEAVES).unwrap().retain(|seq, _| seq < size).unwrap();
    txn.open_table(DETAILS).unwrap().retain(|seq, _| seq < size).unwrap();
    txn.open_table(BY_ACTION).unwrap().retain(|(_, seq), ()| seq < size).unwrap();
    txn.open_table(BY_SUBJECT).unwrap().retain(|(_, seq), ()| seq < size).unwrap();
    txn.open_table(BY_FACET).unwrap().retain(|(_, seq), ()| seq < size).unwrap();
    txn.open_table(CHECKPOINTS).unwrap().retain(|(_, signed), _| signed <= size).unwrap();
    make_consistent(txn);
}

/// What the quick look at the start finds, and what the check in the background finds.
#[tokio::test]
async fn a_server_on_a_changed_file_takes_no_writes() {
    let whole = Log::of(300).await;
    let harms: [fn(&WriteTransaction); 7] = [
        |txn| flip(txn, LEAVES, 299, 9),
        |txn| flip(txn, META, "head", 30),
        |txn| flip(txn, LEAVES, 37, 9),
        // A byte of the salt, and one of the detail behind it.
        |txn| flip(txn, DETAILS, 37, 9),
        |txn| flip(txn, DETAILS, 37, 50),
        |txn| flip(txn, TILES, (0, 0), 9),
        |txn| flip(txn, CHECKPOINTS, (1, 300), 40),
    ];
    for harm in harms {
        let log = whole.copy();
        log.change(harm);
        let server = Process::start(serve(log.dir.path()));
        until_read_only(&server);
        // Who looks is told what it is, by the server itself.
        let found = log.run(&["verify"]).tampered();
        assert!(!found.is_empty());
        server.kill();
    }
    let server = Process::start(serve(whole.dir.path()));
    assert_eq!(deliver(&server), 200);
    server.kill();
}

/// Without the key, the newest entries removed and all that is left made to fit.
#[tokio::test]
async fn entries_taken_from_the_end() {
    let log = Log::of(300).await;
    fs::copy(log.path("rollbook.redb.hwm"), log.path("kept.txt")).unwrap();
    let key = log.vkey();
    log.change(|txn| cut(txn, 250));
    let server = Process::start(serve(log.dir.path()));
    until_read_only(&server);
    server.kill();
    let found = log.run(&["verify"]).tampered();
    assert_eq!(
        found,
        [
            "the high-water mark beside the file speaks of more entries than the 250 there are: some were taken from the \
             end, or this is an older copy"
        ]
    );
    // Whoever can write the file can remove the mark as well. Then only what was kept elsewhere tells.
    fs::remove_file(log.path("rollbook.redb.hwm")).unwrap();
    let said = log.run(&["verify"]).whole();
    assert!(said.contains("only --vkey or --against, with something kept elsewhere, shows"), "{said}");
    let found = log.run(&["verify", "--against", "kept.txt"]).tampered();
    assert_eq!(
        found,
        [
            "kept.txt: the checkpoint of 300 entries speaks of more entries than the 250 there are: some were taken from \
             the end, or this is an older copy"
        ]
    );
    log.run(&["verify", "--vkey", &key]).whole();
}

/// A past that was rewritten, with more and more of what was signed rewritten too.
#[tokio::test]
async fn a_forged_past() {
    let log = Log::of(300).await;
    fs::copy(log.path("rollbook.redb.hwm"), log.path("kept.txt")).unwrap();
    let key = log.vkey();
    log.change(|txn| {
        let leaf = String::from_utf8(row(txn, LEAVES, 150)).unwrap().replace("req_150", "req_051");
        put(txn, LEAVES, 150, leaf.as_bytes());
        make_consistent(txn);
    });
    let found = log.run(&["verify"]).tampered();
    assert_eq!(
        found,
        [
            "the checkpoint of 200 entries was signed over other entries than those that are there, and 1 more \
             checkpoint likewise",
            "the high-water mark beside the file was signed over other entries than those that are there",
        ]
    );
    // Without anything signed.
    fs::remove_file(log.path("rollbook.redb.hwm")).unwrap();
    log.change(|txn| txn.open_table(CHECKPOINTS).unwrap().retain(|_, _| false).unwrap());
    assert!(log.run(&["verify"]).whole().contains("nothing was signed yet"));
    let found = log.run(&["verify", "--vkey", &key]).tampered();
    assert_eq!(found, ["no checkpoint is kept with the log, and so none is signed by your key"]);
    // Signed anew by another key, under the same name.
    fs::remove_file(log.path("rollbook.redb.key")).unwrap();
    log.change(|txn| remove(txn, META, "identity"));
    log.grow_to(301).await;
    log.run(&["verify"]).whole();
    let found = log.run(&["verify", "--vkey", &key]).tampered();
    let why = "is not signed by your key: the note is not signed by a known key";
    assert_eq!(found, [format!("the newest checkpoint, of 302 entries, {why}")]);
    let found = log.run(&["verify", "--against", "kept.txt"]).tampered();
    assert_eq!(found, ["kept.txt: a checkpoint cannot be believed: the note is not signed by a known key"]);
    let found = log.run(&["verify", "--vkey", &key, "--against", "kept.txt"]).tampered();
    assert_eq!(found.len(), 2, "{found:?}");
}

#[tokio::test]
async fn an_older_copy_of_the_file() {
    let log = Log::of(150).await;
    let older = fs::read(log.data()).unwrap();
    log.grow_to(300).await;
    fs::copy(log.path("rollbook.redb.hwm"), log.path("kept.txt")).unwrap();
    fs::write(log.data(), older).unwrap();
    let server = Process::start(serve(log.dir.path()));
    until_read_only(&server);
    server.kill();
    let found = log.run(&["verify", "--against", "kept.txt"]).tampered();
    assert!(found.len() == 2 && found.iter().all(|found| found.contains("than the 150 there are")), "{found:?}");
    // As an honest copy in its own folder it is whole.
    fs::remove_file(log.path("rollbook.redb.hwm")).unwrap();
    log.run(&["verify"]).whole();
    // Taken for the log, it goes on under another name; what was signed before keeps its meaning.
    let said = log.run(&["adopt", "--reason", "the disk broke"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let server = Process::start(serve(log.dir.path()));
    assert_eq!(deliver(&server), 200);
    let said = log.run(&["verify"]).whole();
    assert!(said.contains("an operator has adopted the file as it was (log.forked): entry 150"), "{said}");
    server.kill();
    let found = log.run(&["verify", "--against", "kept.txt"]).tampered();
    assert!(found[0].starts_with("kept.txt: the checkpoint of 300 entries "), "{found:?}");
}

/// The mark gone; the key gone; another's key in its place.
#[tokio::test]
async fn files_beside_the_data_file() {
    let (whole, other) = (Log::of(120).await, Log::of(5).await);
    let harms: [&dyn Fn(&Log); 4] = [
        &|log| fs::remove_file(log.path("rollbook.redb.hwm")).unwrap(),
        &|log| fs::write(log.path("rollbook.redb.hwm"), [0xff; 90]).unwrap(),
        &|log| fs::remove_file(log.path("rollbook.redb.key")).unwrap(),
        &|log| assert!(fs::copy(other.path("rollbook.redb.key"), log.path("rollbook.redb.key")).unwrap() > 0),
    ];
    for harm in harms {
        let log = whole.copy();
        harm(&log);
        let server = Process::start(serve(log.dir.path()));
        until_read_only(&server);
        let said = log.run(&["adopt", "--reason", "a new machine"]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        assert_eq!(deliver(&server), 200, "it works again at once");
        let said = log.run(&["verify"]).whole();
        assert!(said.contains("an operator has adopted the file as it was (log.forked): entry 120"), "{said}");
        server.terminate();
        assert!(server.wait().0.success());
        let server = Process::start(serve(log.dir.path()));
        assert_eq!(deliver(&server), 200);
        server.kill();
        log.run(&["verify"]).whole();
    }
}

/// What an operator has adopted is told, and does not stop the server once more.
#[tokio::test]
async fn a_changed_detail_in_an_adopted_log() {
    let log = Log::of(120).await;
    log.change(|txn| flip(txn, DETAILS, 37, 50));
    fs::remove_file(log.path("rollbook.redb.hwm")).unwrap();
    assert_eq!(log.run(&["adopt", "--reason", "the detail is lost"]).code, Some(0));
    let found = log.run(&["verify"]).tampered();
    assert_eq!(
        found,
        ["entry 37: the detail or its salt was changed, the leaf commits to another (before an operator adopted the \
             file as it was)"]
    );
    let report = log.verified();
    assert!(report.findings.is_empty() && report.adopted.count == 1, "{report:?}");
    // What comes after the adoption is no such thing.
    log.grow_to(130).await;
    log.change(|txn| flip(txn, DETAILS, 125, 50));
    assert_eq!((log.verified().findings.count, log.verified().adopted.count), (1, 1));
}

/// A tree that was adopted with a changed leaf: what was signed before does not fit it, and that is no secret.
#[tokio::test]
async fn a_changed_leaf_in_an_adopted_log() {
    let log = Log::of(120).await;
    fs::copy(log.path("rollbook.redb.hwm"), log.path("kept.txt")).unwrap();
    log.change(|txn| {
        let leaf = String::from_utf8(row(txn, LEAVES, 50)).unwrap().replace("req_50", "req_05");
        put(txn, LEAVES, 50, leaf.as_bytes());
    });
    fs::remove_file(log.path("rollbook.redb.hwm")).unwrap();
    assert_eq!(log.run(&["adopt", "--reason", "no better copy"]).code, Some(0));
    let said = log.run(&["verify"]).whole();
    let note = "(log.forked): entry 120. From before that, the checkpoint of 120 entries was signed over other entries \
                than those that are there";
    assert!(said.contains(note), "{said}");
    let found = log.run(&["verify", "--against", "kept.txt"]).tampered();
    assert!(found[0].starts_with("kept.txt: the checkpoint of 120 entries was signed over other entries"), "{found:?}");
}

#[tokio::test]
async fn a_clock_that_is_turned_back() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log { dir };
    let clock = Clock::fixed(Timestamp::from_millis(T));
    let store = Store::open(&log.data(), 1 << 20, Policy::default(), clock.clone()).unwrap();
    let notary = Notary::open(store.clone(), clock.clone(), "log.example.com").await.unwrap();
    let hour = 60 * 60 * 1000;
    // Corrected a little; an hour back; a second time; forward, and back again within the minute.
    for at in [T + 1000, T, T - hour, T - hour + 5, T - 2 * hour, T + hour, T] {
        clock.set(Timestamp::from_millis(at));
        store.record(entry(1)).await.unwrap();
    }
    notary.publish().await.unwrap();
    drop(notary);
    let leaves = store.evidence().unwrap().leaves(0..100).unwrap();
    store.close().await;
    let leaves: Vec<Value> = leaves.iter().map(|(_, leaf)| serde_json::from_slice(leaf).unwrap()).collect();
    let times: Vec<i64> = leaves.iter().map(|leaf| leaf["at"].as_i64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    let actions: Vec<&str> = leaves.iter().map(|leaf| leaf["action"].as_str().unwrap()).collect();
    let steps: BTreeSet<usize> =
        actions.iter().enumerate().filter(|(_, action)| **action == "system.clock_step").map(|(at, _)| at).collect();
    // After the key and two entries.
    assert_eq!(steps, BTreeSet::from([3]), "{actions:?}");
    let detail = log.read(|txn| row(txn, DETAILS, 3));
    let detail: Value = serde_json::from_slice(&detail[32..]).unwrap();
    let told = |at: i64| Value::from(Timestamp::from_millis(at).to_string());
    assert_eq!((&detail["from"], &detail["to"]), (&told(T), &told(T - hour)));
    log.run(&["verify"]).whole();
}
