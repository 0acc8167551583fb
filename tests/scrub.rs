//! Rewriting the data file: what was removed is gone to the last byte, and nothing else is lost on the way, whatever
//! goes on or goes wrong meanwhile.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod common;
#[path = "common/deliveries.rs"]
mod deliveries;
#[path = "common/disk.rs"]
mod disk;
#[path = "common/file.rs"]
mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use common::{TestServer, deleted_event, user_event};
use deliveries::received;
use disk::Disk;
use futures_util::future::join_all;
use reqwest::StatusCode;
use rollbook::audit::{Actor, Source};
use rollbook::clock::Clock;
use rollbook::control::{Reply, Request, feed, follow};
use rollbook::store::{By, Error, ScrubError, Scrubbed, Store};
use rollbook::sync::{DeletePolicy, Policy};

const T: i64 = 1_750_000_000_000;

/// What must not be found any more.
const CANARY: &str = "Persephone-Quillfeather";

/// What must.
const SONGBIRD: &str = "Ottoline-Blackthorn";

fn cli() -> By {
    By { actor: Actor::Cli, source: Source::Cli }
}

fn open(path: &Path) -> Store {
    let policy = Policy { delete: DeletePolicy::Hard, ..Policy::default() };
    Store::open(path, 4 * 1024 * 1024, policy, Clock::system()).unwrap()
}

/// Hands in events, each under an id of its own, many at a time.
async fn hand_in(store: &Store, ids: &str, events: impl IntoIterator<Item = serde_json::Value>) {
    let deliveries =
        events.into_iter().enumerate().map(|(n, event)| received(&format!("{ids}_{n}"), &event.to_string()));
    for ingested in join_all(deliveries.map(|delivery| store.ingest(delivery))).await {
        ingested.unwrap();
    }
}

/// So many users of that name.
fn users(name: &str, count: i64) -> impl Iterator<Item = serde_json::Value> {
    (0..count).map(move |n| user_event("user.created", &format!("user_{name}_{n}"), T + n, name))
}

fn found(path: &Path, text: &str) -> usize {
    let bytes = fs::read(path).unwrap();
    bytes.windows(text.len()).filter(|window| *window == text.as_bytes()).count()
}

/// The sizes that a rewrite reports, and its entry.
async fn scrub(store: &Store) -> Result<Scrubbed, ScrubError> {
    store.scrub(cli(), |_, _| {}).await
}

#[tokio::test]
async fn nothing_of_what_was_removed_is_left_and_all_else_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rollbook.redb");
    let store = open(&path);
    hand_in(&store, "b", users(SONGBIRD, 300)).await;
    hand_in(&store, "c", users(CANARY, 300)).await;
    // Hard deletion: their rows go, and what they are found by.
    hand_in(&store, "d", (0..300).map(|n| deleted_event(&format!("user_{CANARY}_{n}"), T + 1000 + n))).await;
    store.close().await;
    let mut witness = file::Witness::default();
    let before = {
        let db = file::open(&path);
        witness.follow(&db);
        file::dump(&db)
    };
    // The log still knows the deleted by their ids, but neither by name nor by address.
    let traces = [format!("\"{CANARY}"), CANARY.to_lowercase()];
    for trace in &traces {
        assert!(before.values().flatten().all(|(key, value)| !key.contains(trace) && !value.contains(trace)));
        assert!(found(&path, trace) > 100, "the bytes of removed rows are expected to be there still: {trace}");
    }
    let old = fs::metadata(&path).unwrap();

    let store = open(&path);
    let (sender, progress) = std::sync::mpsc::channel();
    let scrubbed = store.scrub(cli(), move |done, total| sender.send((done, total)).unwrap()).await.unwrap();
    let new = fs::metadata(&path).unwrap();
    assert_ne!(old.ino(), new.ino());
    assert_eq!((new.uid(), new.gid(), new.permissions().mode() & 0o777), (old.uid(), old.gid(), 0o600));
    assert!(scrubbed.before == old.blocks() * 512 && scrubbed.after < scrubbed.before, "{scrubbed:?}");
    let rows: usize = before.values().map(BTreeMap::len).sum();
    assert_eq!(progress.iter().last(), Some((rows as u64, rows as u64)));
    store.close().await;

    for trace in &traces {
        assert_eq!(found(&path, trace), 0, "{trace}");
    }
    assert!(found(&path, &format!("\"{SONGBIRD}\"")) >= 300);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside the file");
    let db = file::open(&path);
    witness.follow(&db);
    assert_same_but_for_the_entry(&before, file::dump(&db), scrubbed);
    drop(db);

    // The store goes on where it was; another rewrite has nothing to take away.
    let store = open(&path);
    hand_in(&store, "b", users(SONGBIRD, 301)).await;
    let again = scrub(&store).await.unwrap();
    assert_eq!(again.seq, scrubbed.seq + 2, "one message was new");
    assert!(again.after < scrubbed.before);
    store.close().await;
    witness.follow(&file::open(&path));
}

/// The rewrite left its entry, and nothing else is other than it was.
fn assert_same_but_for_the_entry(
    before: &BTreeMap<String, file::Table>,
    mut after: BTreeMap<String, file::Table>,
    scrubbed: Scrubbed,
) {
    let (seq, action) = (scrubbed.seq.to_string(), "(\"log.scrubbed\", ".to_owned() + &scrubbed.seq.to_string() + ")");
    assert!(after.get_mut("audit_leaf").unwrap().remove(&seq).unwrap().contains("log.scrubbed"));
    let detail = after.get_mut("audit_detail").unwrap().remove(&seq).unwrap().replace('\\', "");
    let said = format!("{{\"bytes_after\":{},\"bytes_before\":{}}}", scrubbed.after, scrubbed.before);
    assert!(detail.ends_with(&said), "{detail}");
    assert!(after.get_mut("audit_by_action").unwrap().remove(&action).is_some());
    let actor = action.replace("log.scrubbed", "actor:cli");
    assert!(after.get_mut("audit_by_facet").unwrap().remove(&actor).is_some());
    // An hour may have begun with the entry.
    let hours = after.get_mut("hours").unwrap();
    hours.retain(|hour, _| before["hours"].contains_key(hour));
    for (name, rows) in before {
        match name.as_str() {
            // Checked by the witness.
            "audit_meta" | "audit_tile" => {}
            _ => assert!(after[name] == *rows, "{name} has changed"),
        }
    }
}

/// Webhooks and reads of the running server, while its file is rewritten again and again by the command that does.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_under_load_is_rewritten_and_nobody_notices() {
    let server = TestServer::start().await;
    let admin = server.admin("user_boss").await;
    let (next, done) = (AtomicI64::new(0), AtomicBool::new(false));
    let senders = (0..8).map(async |_| {
        let mut acknowledged = Vec::new();
        while !done.load(Ordering::Relaxed) {
            let n = next.fetch_add(1, Ordering::Relaxed);
            let answer = server.deliver_as(&format!("msg_{n}"), &event(n)).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
            acknowledged.push(n);
        }
        acknowledged
    });
    let readers = (0..2).map(async |_| {
        while !done.load(Ordering::Relaxed) {
            for path in ["/api/auth/me", "/api/users?limit=5", "/api/audit?limit=5", "/ready", "/log/checkpoint"] {
                let answer = server.get_as(&admin, path).await;
                assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
            }
        }
    });
    let rewrites = async {
        for round in 0..10 {
            // Something is written between two of them.
            let before = next.load(Ordering::Relaxed);
            while next.load(Ordering::Relaxed) < before + 30 {
                tokio::task::yield_now().await;
            }
            let (feed, _parts) = feed();
            let reply = follow(&server.data(), &Request::Scrub, &feed).await.unwrap().unwrap();
            assert!(matches!(reply, Reply::Scrubbed { .. }), "round {round}: {reply:?}");
        }
        done.store(true, Ordering::Relaxed);
    };
    let (acknowledged, _, ()) = tokio::join!(join_all(senders), join_all(readers), rewrites);
    let acknowledged: BTreeSet<i64> = acknowledged.into_iter().flatten().collect();
    assert_eq!(server.count("log.scrubbed").await, 10);
    let folder = server.stop().await;
    let db = file::open(&folder.path().join("rollbook.redb"));
    file::Witness::default().follow(&db);
    let (deliveries, users) = (file::deliveries(&db), file::users(&db));
    for n in &acknowledged {
        assert!(deliveries.contains_key(&format!("msg_{n}")), "message {n} was acknowledged and is lost");
    }
    for (user, row) in users.iter().filter(|(user, _)| *user != "user_boss") {
        let newest = acknowledged.iter().rev().find(|n| user_of(**n) == *user).unwrap();
        assert!(row["version"]["updated_at"].as_i64().unwrap() >= T + newest, "{user} is older than message {newest}");
    }
    println!("{} messages, 10 rewrites", acknowledged.len());
}

fn user_of(n: i64) -> String {
    format!("user_{}", n % 20)
}

fn event(n: i64) -> serde_json::Value {
    user_event("user.updated", &user_of(n), T + n, "Ann")
}

/// What began to be read before a rewrite is read to its end after it.
#[tokio::test]
async fn reading_outlives_the_file_it_began_in() {
    let folder = tempfile::tempdir().unwrap();
    // With so little cache that it must be read from the file.
    let path = folder.path().join("rollbook.redb");
    let store = Store::open(&path, 16 * 1024, Policy::default(), Clock::system()).unwrap();
    hand_in(&store, "b", users(SONGBIRD, 600)).await;
    let evidence = store.evidence().unwrap();
    let head = evidence.head().unwrap();
    scrub(&store).await.unwrap();
    scrub(&store).await.unwrap();
    hand_in(&store, "c", users(CANARY, 50)).await;
    assert_eq!((evidence.head().unwrap(), head.size), (head, 600));
    assert_eq!(evidence.leaves(0..1000).unwrap().len(), 600);
    assert_eq!(evidence.root_at(600).unwrap(), store.evidence().unwrap().root_at(600).unwrap());
    assert_eq!(store.evidence().unwrap().head().unwrap().size, 652);
    assert!(store.is_ready());
    store.close().await;
}

/// The file is as it was, and the store goes on in it.
async fn assert_goes_on(store: &Store, path: &Path, inode: u64) {
    assert_eq!(fs::metadata(path).unwrap().ino(), inode);
    assert!(store.is_ready());
    hand_in(store, "on", users("Late", 3)).await;
}

#[tokio::test]
async fn what_goes_wrong_before_the_end_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rollbook.redb");
    let store = open(&path);
    hand_in(&store, "b", users(SONGBIRD, 100)).await;
    let inode = fs::metadata(&path).unwrap().ino();

    // Something that cannot be overwritten stands where the new file belongs.
    let beside = folder.path().join(".rollbook.redb.scrub");
    fs::create_dir(&beside).unwrap();
    let error = scrub(&store).await.unwrap_err();
    assert!(matches!(error, ScrubError::Undone { .. }) && error.to_string().contains("as it was"), "{error}");
    assert_goes_on(&store, &path, inode).await;
    assert!(beside.is_dir());
    fs::remove_dir(&beside).unwrap();

    // It breaks in the middle: whoever hears how far it is, panics.
    let error = store.scrub(cli(), |_, _| panic!("on purpose")).await.unwrap_err();
    assert!(matches!(error, ScrubError::Store(Error::Panicked)), "{error:?}");
    assert_goes_on(&store, &path, inode).await;
    assert!(!beside.exists());

    // The name has come to belong to another file.
    let away = folder.path().join("away.redb");
    fs::rename(&path, &away).unwrap();
    assert!(matches!(scrub(&store).await, Err(ScrubError::Moved(_))));
    fs::write(&path, "somebody's notes").unwrap();
    assert!(matches!(scrub(&store).await, Err(ScrubError::Moved(_))));
    assert_eq!(fs::read_to_string(&path).unwrap(), "somebody's notes");
    fs::rename(&away, &path).unwrap();
    assert_goes_on(&store, &path, inode).await;

    // What an earlier one left when it was killed is in nobody's way.
    fs::write(&beside, "half a file").unwrap();
    scrub(&store).await.unwrap();
    assert!(!beside.exists());
    store.close().await;
    let db = file::open(&path);
    file::Witness::default().follow(&db);
    assert_eq!(file::users(&db).len(), 103);

    let store = Store::with_backend(Disk::default(), &path, 64 * 1024, Policy::default(), Clock::system()).unwrap();
    assert!(matches!(scrub(&store).await, Err(ScrubError::NoFile)));
}

#[tokio::test]
async fn nobody_waits_for_a_rewrite_that_nobody_wants() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rollbook.redb");
    let store = open(&path);
    hand_in(&store, "b", users(SONGBIRD, 1000)).await;
    let inode = fs::metadata(&path).unwrap().ino();
    // As soon as something is copied the caller goes, and the copy waits for that.
    let (begun, copying) = tokio::sync::oneshot::channel::<()>();
    let (gone, go_on) = std::sync::mpsc::channel::<()>();
    let mut begun = Some(begun);
    let rewrite = store.scrub(cli(), move |_, _| {
        drop(begun.take());
        let _ = go_on.recv();
    });
    tokio::select! {
        biased;
        _ = copying => {}
        scrubbed = rewrite => panic!("{scrubbed:?}"),
    }
    drop(gone);
    assert_goes_on(&store, &path, inode).await;
    assert!(!folder.path().join(".rollbook.redb.scrub").exists());
    store.close().await;
    let db = file::open(&path);
    file::Witness::default().follow(&db);
    assert!(file::dump(&db)["audit_by_action"].keys().all(|key| !key.contains("log.scrubbed")));
}

#[tokio::test]
async fn a_link_to_the_file_stays_one() {
    let folder = tempfile::tempdir().unwrap();
    let (real, link) = (folder.path().join("disk").join("real.redb"), folder.path().join("rollbook.redb"));
    fs::create_dir(real.parent().unwrap()).unwrap();
    open(&real).close().await;
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let inode = fs::metadata(&real).unwrap().ino();
    let store = open(&link);
    hand_in(&store, "b", users(SONGBIRD, 10)).await;
    scrub(&store).await.unwrap();
    store.close().await;
    assert!(fs::symlink_metadata(&link).unwrap().file_type().is_symlink());
    assert_ne!(fs::metadata(&real).unwrap().ino(), inode);
    assert_eq!(file::users(&file::open(&real)).len(), 10);
}

/// The command, killed while it rewrites: the file is whole, and what it left goes at the next start.
#[tokio::test]
async fn killed_at_any_moment_it_leaves_the_file_whole() {
    const ROUNDS: u32 = 12;
    let folder = tempfile::tempdir().unwrap();
    let (path, beside) = (folder.path().join("rollbook.redb"), folder.path().join(".rollbook.redb.scrub"));
    let store = open(&path);
    let padded = users(SONGBIRD, 3000).map(|mut event| {
        event["data"]["public_metadata"]["padding"] = "x".repeat(4000).into();
        event
    });
    hand_in(&store, "b", padded).await;
    store.close().await;
    let mut witness = file::Witness::default();
    witness.follow(&file::open(&path));
    let (mut halfway, mut took) = (0, Duration::from_millis(500));
    for round in 0..ROUNDS {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollbook"));
        command.args(["scrub", "--data"]).arg(&path).current_dir(folder.path()).env_clear();
        let mut command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begun = loop {
            if beside.exists() || command.try_wait().unwrap().is_some() {
                break Instant::now();
            }
            std::thread::yield_now();
        };
        // Later in each round: while it copies, checks, renames, ends.
        while begun.elapsed() < took * round / (ROUNDS - 2) && command.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        if command.try_wait().unwrap().is_some() {
            took = took.min(begun.elapsed());
        }
        command.kill().unwrap();
        command.wait().unwrap();
        halfway += u32::from(beside.exists());
        let store = open(&path);
        assert!(!beside.exists(), "round {round}: half a copy is left");
        hand_in(&store, &format!("round{round}"), users(&format!("Round{round}"), 3)).await;
        store.close().await;
        let db = file::open(&path);
        witness.follow(&db);
        assert_eq!(file::users(&db).len(), 3003 + 3 * round as usize);
    }
    println!("killed {ROUNDS} times, {halfway} of them halfway");
    assert!(halfway > 0, "never killed halfway");
}
