//! Retention: the oldest entries go, and nothing that rests on them falls.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;
#[path = "common/deliveries.rs"]
mod deliveries;
#[path = "common/file.rs"]
mod file;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{TestServer, deleted_event, user_event};
use deliveries::received;
use futures_util::future::join_all;
use reqwest::StatusCode;
use rollbook::audit::retention::Cutoff;
use rollbook::audit::{Actor, Filter, Source};
use rollbook::clock::{Clock, Timestamp};
use rollbook::control::{Reply, Request, feed, follow};
use rollbook::event::Outcome;
use rollbook::page::{Limit, PageRequest};
use rollbook::store::{By, Prunable, Store};
use rollbook::sync::Policy;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

const DAY: i64 = 24 * 60 * 60 * 1000;

/// So many messages come every day.
const A_DAY: i64 = 24;

/// 2010-01-01, the first of the days.
const BEGIN: i64 = 1_262_304_000_000;

/// So many messages come before somebody looks: the last ones on 2010-03-25.
const MESSAGES: i64 = 2000;

/// The n-th message. The first two are about somebody who is never heard of again, every hundredth is no event, and
/// the others are about one of twenty users, of whom some change their addresses.
fn nth(n: i64) -> (String, String) {
    let at = day(n) + n;
    let body = match n {
        0 => user_event("user.created", "user_forgotten", at, "Zoe").to_string(),
        1 => deleted_event("user_forgotten", at).to_string(),
        n if n % 100 == 50 => format!("{{\"no event\": {n}}}"),
        n => {
            let mut event = user_event("user.updated", &format!("user_{}", n % 20), at, &format!("Ann {n}"));
            if n % 20 < 3 {
                event["data"]["email_addresses"][0]["email_address"] = format!("{n}@example.org").into();
            }
            event.to_string()
        }
    };
    (format!("msg_{n}"), body)
}

/// The day on which the n-th message comes.
const fn day(n: i64) -> i64 {
    BEGIN + n / A_DAY * DAY
}

fn open(path: &Path, clock: &Clock) -> Store {
    Store::open(path, 16 * 1024 * 1024, Policy::default(), clock.clone()).unwrap()
}

/// Hands in those messages, each on its day.
async fn hand_in(store: &Store, clock: &Clock, messages: std::ops::Range<i64>) {
    let all: Vec<i64> = messages.collect();
    for today in all.chunk_by(|one, next| day(*one) == day(*next)) {
        clock.set(Timestamp::from_millis(day(today[0])));
        let deliveries = today.iter().map(|n| nth(*n)).map(|(id, body)| received(&id, &body));
        for ingested in join_all(deliveries.map(|delivery| store.ingest(delivery))).await {
            ingested.unwrap();
        }
    }
}

/// A folder with a data file of those messages, and a witness of its log.
async fn written() -> (TempDir, file::Witness) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rollbook.redb");
    let clock = Clock::fixed(Timestamp::from_millis(BEGIN));
    let store = open(&path, &clock);
    hand_in(&store, &clock, 0..MESSAGES).await;
    store.close().await;
    let mut witness = file::Witness::default();
    witness.follow(&file::open(&path));
    (folder, witness)
}

fn cli() -> By {
    By { actor: Actor::Cli, source: Source::Cli }
}

/// The last day of January 2010: 720 entries are older, so that 512 go.
const JANUARY: &str = "2010-01-31";
const GONE: u64 = 512;

fn january() -> Cutoff {
    Cutoff::new(JANUARY.parse().unwrap(), Clock::system().now(), false).unwrap()
}

async fn prune(server: &TestServer, before: &str, override_retention: bool, go: bool) -> Reply {
    let request = Request::Prune { before: before.parse().unwrap(), override_retention, go };
    let (feed, _parts) = feed();
    follow(&server.data(), &request, &feed).await.unwrap().unwrap()
}

fn refusal(reply: Reply) -> String {
    match reply {
        Reply::Refused { reason } => reason,
        other => panic!("{other:?}"),
    }
}

fn which(reply: Reply) -> (Prunable, bool) {
    match reply {
        Reply::Pruned { entries, done } => (entries, done),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn old_entries_go_when_they_may_and_everything_else_stays() {
    let (folder, mut witness) = written().await;
    let (roll, tags) = {
        let db = file::open(&folder.path().join("rollbook.redb"));
        (file::roll(&db), file::tags(&db))
    };
    let server = TestServer::open(folder, &[], Clock::system()).await;
    let admin = server.admin("user_boss").await;
    let size = server.app.store.counts().entries;

    let kept = refusal(prune(&server, "2024-01-01", false, true).await);
    assert!(kept.contains("45 CFR 164.316") && kept.contains("--override-retention"), "{kept}");
    let today = Clock::system().now().to_string();
    assert!(refusal(prune(&server, &today[..10], true, true).await).contains("90 days"));
    assert_eq!(server.app.store.counts().entries, size);

    let (would, done) = which(prune(&server, JANUARY, false, false).await);
    let written = Some((Timestamp::from_millis(BEGIN), Timestamp::from_millis(day(511))));
    assert_eq!((would, done), (Prunable { first: 0, end: GONE, written, quarantined: 5 }, false));
    assert_eq!((server.app.store.counts().entries, server.app.store.first_entry().unwrap()), (size, 0));

    let quarantined = server.app.store.counts().quarantined;
    assert_eq!(which(prune(&server, JANUARY, false, true).await), (would, true));
    assert_eq!(server.app.store.first_entry().unwrap(), GONE);
    assert_eq!(server.app.store.counts().quarantined, quarantined - 5);
    let entry = server.entries().await.pop().unwrap();
    assert_eq!(
        (entry.leaf.action.as_str(), entry.leaf.actor.as_str(), entry.leaf.count),
        ("log.pruned", "cli", Some(512))
    );
    assert_eq!(Value::Object(entry.detail.unwrap()), json!({ "before": JANUARY, "first": GONE }));
    assert_eq!(which(prune(&server, JANUARY, false, true).await).0.count(), 0, "they go once");
    assert_eq!(server.entries().await.pop().unwrap().seq, entry.seq, "and nothing is said of nothing");

    lists_end_where_the_log_now_begins(&server, &admin).await;
    let (outcome, known) = (Outcome::Duplicate, nth(GONE.cast_signed()));
    assert_eq!(server.app.store.ingest(received(&known.0, &known.1)).await.unwrap().outcome, outcome);
    let folder = server.stop().await;
    let db = file::open(&folder.path().join("rollbook.redb"));
    witness.follow(&db);
    assert_eq!(file::first(&db), GONE);
    let mut after = file::roll(&db);
    assert!(after.users.remove("user_boss").is_some());
    after.index.retain(|(_, id)| id != "user_boss");
    assert_eq!(after, roll, "the roll is as it was");
    assert!(file::quarantined(&db).iter().all(|seq| *seq >= GONE));
    let mut tags = tags;
    let known = tags.len();
    tags.retain(|_, (_, until)| *until >= GONE);
    assert!(tags.len() < known, "some addresses were given up in January");
    let boss = file::subjects(&db)["user_boss"];
    let now: BTreeMap<_, _> = file::tags(&db).into_iter().filter(|((person, _), _)| *person != boss).collect();
    assert_eq!(now, tags, "what was given up since, or not at all, can still be asked for");
}

async fn lists_end_where_the_log_now_begins(server: &TestServer, admin: &str) {
    let walk = async |filter: &str| {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = server.get_as(admin, &format!("/api/audit?limit=500{filter}{cursor}")).await;
            assert_eq!(page.status, StatusCode::OK, "{}", page.text);
            let page = page.json();
            found.extend(page["items"].as_array().unwrap().iter().map(|item| item["seq"].as_u64().unwrap()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return found,
            }
        }
    };
    let of = |n: i64| n % 20 == 7 && n % 100 != 50;
    let about_seven =
        |from: i64, to: i64| (from..to).rev().filter(|n| of(*n)).map(i64::cast_unsigned).collect::<Vec<_>>();
    assert_eq!(walk("").await.last(), Some(&GONE));
    assert_eq!(walk("&subject=user_7").await, about_seven(512, MESSAGES));
    assert_eq!(walk("&subject=user_7&action=user.updated").await, about_seven(512, MESSAGES));
    assert_eq!(walk("&action=webhook.quarantined&to=2010-02-01").await, [650, 550]);
    assert!(walk("&subject=user_forgotten").await.is_empty());
    assert!(walk("&to=2010-01-10").await.is_empty());
    // From a moment that fell among what is gone, and from one after it.
    assert_eq!(walk("&subject=user_7&from=2010-01-10&to=2010-02-01").await, about_seven(512, 744));
    assert_eq!(walk("&subject=user_7&from=2010-01-30&to=2010-02-01").await, about_seven(696, 744));

    let get = async |path: &str| server.get_as(admin, path).await.status.as_u16();
    for (path, status) in [
        ("/log/entries/0", 410),
        ("/log/entries/511", 410),
        ("/log/entries/512", 200),
        ("/log/tile/entries/001", 410),
        ("/log/tile/entries/002", 200),
        ("/log/tile/0/000", 200),
        ("/log/proof/inclusion?index=3&size=700", 200),
        ("/log/proof/consistency?from=100&to=1999", 200),
    ] {
        assert_eq!(get(path).await, status, "{path}");
    }
}

#[tokio::test]
async fn cut_short_it_goes_on_the_next_time() {
    let (folder, mut witness) = written().await;
    let path = folder.path().join("rollbook.redb");
    let store = open(&path, &Clock::fixed(Timestamp::from_millis(day(MESSAGES))));
    let march = Cutoff::new("2010-03-25".parse().unwrap(), Clock::system().now(), false).unwrap();
    let (seen, stop) = oneshot::channel::<()>();
    let mut seen = Some(seen);
    tokio::select! {
        biased;
        _ = stop => {}
        pruned = store.prune(march, cli(), move |_, _| drop(seen.take())) => panic!("not cut short: {pruned:?}"),
    }
    store.close().await;
    let db = file::open(&path);
    witness.follow(&db);
    let first = file::first(&db);
    assert!((256..1792).contains(&first), "some were gone by then: {first}");
    drop(db);

    let clock = Clock::fixed(Timestamp::from_millis(day(MESSAGES)));
    let store = open(&path, &clock);
    let told = Arc::new(AtomicU64::new(0));
    let telling = told.clone();
    let progress = move |done: u64, total: u64| {
        assert!(done <= total);
        telling.fetch_max(done, Ordering::Relaxed);
    };
    // Others write meanwhile.
    let (pruned, ()) = tokio::join!(store.prune(march, cli(), progress), hand_in(&store, &clock, 2000..2100));
    let pruned = pruned.unwrap();
    let rest = 1792 - first;
    assert_eq!((pruned.first, pruned.end, told.load(Ordering::Relaxed)), (first, 1792, rest));
    let page = PageRequest { limit: Limit::MAX, cursor: None };
    let filter = Filter { action: Some(rollbook::audit::Actions::Named("log.pruned".to_owned())), ..Filter::default() };
    let entries = store.audit(filter, page).await.unwrap().items;
    assert_eq!(entries.iter().map(|entry| entry.leaf.count).collect::<Vec<_>>(), [Some(rest), Some(1792)]);
    store.close().await;
    let db = file::open(&path);
    witness.follow(&db);
    assert_eq!(file::first(&db), 1792);
}

#[tokio::test]
async fn who_has_no_entries_left_is_still_who_they_were() {
    let (folder, mut witness) = written().await;
    let path = folder.path().join("rollbook.redb");
    let clock = Clock::fixed(Timestamp::from_millis(day(MESSAGES)));
    let store = open(&path, &clock);
    let about = || Filter { subject: Some(common::clerk_id("user_forgotten")), ..Filter::default() };
    let before = store.audit(about(), PageRequest::default()).await.unwrap().items;
    assert_eq!(before.len(), 2);
    store.prune(january(), cli(), |_, _| {}).await.unwrap();
    assert!(store.audit(about(), PageRequest::default()).await.unwrap().items.is_empty());
    // Deleted is deleted, whatever of it is still in the log.
    let late = user_event("user.updated", "user_forgotten", BEGIN, "Zoe").to_string();
    assert_eq!(store.ingest(received("msg_late", &late)).await.unwrap().outcome, Outcome::Stale);
    let after = store.audit(about(), PageRequest::default()).await.unwrap().items;
    assert_eq!(after.len(), 1);
    assert_eq!(after[0].leaf.target, before[0].leaf.target);
    store.close().await;
    witness.follow(&file::open(&path));
}

/// The commands on a file that no server has open.
#[tokio::test]
async fn the_commands_say_what_they_do_and_the_log_is_still_proved() {
    let (folder, _) = written().await;
    let path = folder.path().join("rollbook.redb");
    let run = |line: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollbook"));
        command.args(line.split(' ')).env("ROLLBOOK_DATA", &path).current_dir(folder.path());
        let output = command.env_remove("ROLLBOOK_LOG").stdin(Stdio::null()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    for wrong in
        ["prune", "prune --before yesterday", "prune --before 2010-01-31T12:00:00Z", "prune --before 2010-1-31"]
    {
        assert_eq!(run(wrong).0, Some(2), "{wrong}");
    }
    let (code, out, err) = run("prune --before 2025-01-01");
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("six years") && err.contains("45 CFR 164.316"), "{err}");
    let (code, out, err) = run("prune --before 2010-01-31");
    assert_eq!((code, err.trim_end()), (Some(1), "nothing was done; to go ahead, add --yes"));
    assert!(out.starts_with("512 entries would go, 0 to 511, written from 2010-01-01 to 2010-01-22\n"), "{out}");
    assert_eq!(file::first(&file::open(&path)), 0);
    let (code, out, err) = run("prune --before 2010-01-31 --yes");
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.starts_with("512 entries are gone, 0 to 511, ") && out.contains("`rollbook scrub`"), "{out}");
    let (code, out, _) = run("prune --before 2010-01-31");
    assert!(code == Some(0) && out.starts_with("nothing to prune"), "{out}");

    let size = || fs::metadata(&path).unwrap().blocks();
    let before = size();
    let (code, out, err) = run("scrub");
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.starts_with("rewritten: ") && size() < before, "{out}");
    let (code, out, err) = run("verify rollbook.redb");
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert_eq!(run("prune --before 2030-01-01 --override-retention").0, Some(1));
    assert_eq!(file::first(&file::open(&path)), GONE);
}
