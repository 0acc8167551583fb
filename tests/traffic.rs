//! What came in, by the hour, as the file keeps it.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/deliveries.rs"]
mod deliveries;
#[path = "common/disk.rs"]
mod disk;
#[path = "common/file.rs"]
mod file;

use std::collections::BTreeMap;
use std::path::Path;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{SECRET, TestServer, deleted_event, sign, user_event};
use deliveries::received;
use disk::Disk;
use redb::TableDefinition;
use rollbook::clock::{Clock, Timestamp};
use rollbook::store::Store;
use rollbook::sync::Policy;
use rollbook::traffic::{Hour, Outcomes, SecretUse, hour_of};
use serde_json::json;

/// The start of an hour, in milliseconds.
const T: i64 = 486_111 * HOUR;
const HOUR: i64 = 3_600_000;
const HOURS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("hours-1");
const OLD_SECRET: &str = "whsec_dGhlIHNlY3JldCBiZWZvcmUgdGhlIHJvdGF0aW9u";

fn at(millis: i64) -> Clock {
    Clock::fixed(Timestamp::from_millis(millis))
}

fn store(disk: &Disk, clock: &Clock) -> Store {
    Store::with_backend(disk.clone(), Path::new("a disk in memory"), 1 << 20, Policy::default(), clock.clone()).unwrap()
}

/// Everything there is of a server's hours, after it wrote down what it had.
async fn stopped(server: TestServer) -> Vec<Hour> {
    let dir = server.stop().await;
    let server = TestServer::open(dir, &[], at(T + HOUR)).await;
    let hours = server.app.store.hours(0..hour_of(Timestamp::from_millis(T)) + 100).await.unwrap();
    server.stop().await;
    hours
}

/// The first eight digits of a hash that others compute as well.
fn fingerprint(secret: &str) -> String {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let hash = digest::digest(&digest::SHA256, &[b"rollbook secret fingerprint\0", &key[..]].concat());
    hash.as_ref()[..4].iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

#[tokio::test]
async fn every_delivery_is_counted_in_its_hour_by_what_became_of_it() {
    let clock = at(T);
    let secrets = format!("{SECRET},{OLD_SECRET}");
    let server = TestServer::with_clock(&[("CLERK_WEBHOOK_SIGNING_SECRET", &secrets)], clock.clone()).await;
    let ann = user_event("user.created", "user_1", T, "Ann");
    server.deliver_as("msg_1", &ann).await;
    server.deliver_as("msg_1", &ann).await;
    server.outcome(&user_event("user.updated", "user_1", T + 1, "Ann")).await;
    server.outcome(&user_event("user.updated", "user_1", T - 1, "Al")).await;
    server.outcome(&json!({ "type": "new.thing", "data": {}, "timestamp": T })).await;
    clock.set(Timestamp::from_millis(T + HOUR - 1));
    server.outcome(&json!({ "type": "user.created", "data": {}, "timestamp": T })).await;
    clock.set(Timestamp::from_millis(T + HOUR));
    server.outcome(&deleted_event("user_1", T + 2)).await;
    let body = user_event("user.created", "user_2", T, "Bo").to_string();
    let old = sign::sign(OLD_SECRET, "msg_old", sign::now_seconds(), body.as_bytes());
    assert_eq!(server.post_signed(&old, &body).await.status, 200);
    assert_eq!(server.post_signed(&old, "{}").await.status, 401);
    assert_eq!(server.post_signed(&old, "[]").await.status, 401);
    assert_eq!(server.post_signed(&[], "{}").await.status, 400);
    let late = sign::sign(SECRET, "msg_late", sign::now_seconds() - 1000, b"{}");
    assert_eq!(server.post_signed(&late, "{}").await.status, 401);

    let hours = stopped(server).await;
    let first = hours.iter().find(|hour| hour.hour == hour_of(Timestamp::from_millis(T))).unwrap();
    let outcomes = Outcomes { applied: 1, unchanged: 1, stale: 1, duplicate: 1, recorded: 1, quarantined: 1, test: 0 };
    assert_eq!((first.outcomes, first.took.count(), first.refused.len()), (outcomes, 6, 0));
    assert_eq!((first.users, first.deleted), (1, 0));
    let new =
        |count, last_at| (fingerprint(SECRET), SecretUse { place: 1, count, last_at: Timestamp::from_millis(last_at) });
    assert_eq!(first.secrets, BTreeMap::from([new(6, T + HOUR - 1)]));
    let next = hours.iter().find(|hour| hour.hour == first.hour + 1).unwrap();
    assert_eq!((next.outcomes.applied, next.outcomes.taken(), next.took.count()), (2, 2, 2));
    assert_eq!((next.users, next.deleted), (1, 1));
    let old = SecretUse { place: 2, count: 1, last_at: Timestamp::from_millis(T + HOUR) };
    assert_eq!(next.secrets, BTreeMap::from([new(1, T + HOUR), (fingerprint(OLD_SECRET), old)]));
    let refused = [("bad_headers", 1), ("bad_signature", 2), ("bad_timestamp", 1)];
    assert_eq!(next.refused, refused.map(|(reason, count)| (reason.to_owned(), count)).into());
}

#[tokio::test]
async fn tests_of_its_own_are_counted_apart_and_are_no_news_from_clerk() {
    let clock = at(T);
    let server = TestServer::with_clock(&[], clock.clone()).await;
    let test = json!({ "type": "rollbook.doctor", "object": "event", "timestamp": T, "data": {} });
    server.deliver_as("msg_test", &test).await;
    server.deliver_as("msg_test", &test).await;
    server.outcome(&json!({ "type": "rollbook.odd", "data": 1 })).await;
    assert_eq!(server.app.store.counts().last_event_at, None);
    clock.set(Timestamp::from_millis(T + 5));
    server.outcome(&json!({ "type": "rollbooks.event", "data": {} })).await;
    assert_eq!(server.app.store.counts().last_event_at, Some(Timestamp::from_millis(T + 5)));
    server.deliver_as("msg_test", &test).await;

    let hours = stopped(server).await;
    let hour = hours.iter().find(|hour| hour.hour == hour_of(Timestamp::from_millis(T))).unwrap();
    assert_eq!(hour.outcomes, Outcomes { recorded: 1, test: 4, ..Outcomes::default() });
    assert_eq!((hour.took.count(), hour.secrets[&fingerprint(SECRET)].count), (1, 1));
}

#[tokio::test]
async fn what_is_added_later_leaves_the_users_of_an_hour_alone() {
    let (disk, clock) = (Disk::default(), at(T));
    let opened = store(&disk, &clock);
    let ingest = async |id: &str, user: &str| {
        let delivery = received(id, &user_event("user.created", user, T, "Ann").to_string());
        opened.ingest(delivery).await.unwrap();
    };
    ingest("msg_1", "user_1").await;
    clock.set(Timestamp::from_millis(T + HOUR));
    ingest("msg_2", "user_2").await;
    let number = hour_of(Timestamp::from_millis(T));
    let mut counted = [Hour::new(number - 1), Hour::new(number), Hour::new(number + 1)];
    for hour in &mut counted {
        hour.took.note(400);
    }
    opened.count(counted.to_vec()).await.unwrap();
    ingest("msg_3", "user_3").await;

    let hours = opened.hours(number - 5..number + 5).await.unwrap();
    let seen = hours.iter().map(|hour| (hour.hour, hour.users, hour.outcomes.applied, hour.took.sum()));
    assert_eq!(seen.collect::<Vec<_>>(), [(number - 1, 2, 0, 400), (number, 1, 1, 400), (number + 1, 3, 2, 400)]);
    assert_eq!(opened.hours(number..number + 1).await.unwrap(), hours[1..2]);
    opened.close().await;
    let again = store(&disk, &clock);
    assert_eq!(again.hours(0..u64::MAX).await.unwrap(), hours);
    again.ingest(received("msg_1", "{}")).await.unwrap();
    assert_eq!(again.hours(number + 1..number + 2).await.unwrap()[0].outcomes.duplicate, 1, "it counts on");
}

#[tokio::test]
async fn hours_are_kept_for_400_days() {
    let (disk, clock) = (Disk::default(), at(T));
    let opened = store(&disk, &clock);
    let number = hour_of(Timestamp::from_millis(T));
    let oldest = number - 400 * 24;
    opened.count((oldest - 6..oldest + 2).map(Hour::new).collect()).await.unwrap();
    let kept = async || opened.hours(0..number).await.unwrap().into_iter().map(|hour| hour.hour).collect::<Vec<_>>();
    assert_eq!(kept().await, (oldest - 6..oldest + 2).collect::<Vec<_>>());
    for (hours, from) in [(0, oldest - 2), (1, oldest + 1), (3, oldest + 2)] {
        clock.set(Timestamp::from_millis(T + hours * HOUR));
        opened.ingest(received(&format!("msg_{hours}"), "{}")).await.unwrap();
        assert_eq!(kept().await, (from..oldest + 2).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_file_of_schema_3_begins_to_count() {
    let disk = Disk::default();
    let opened = store(&disk, &at(T));
    opened.ingest(received("msg_1", &user_event("user.created", "user_1", T, "Ann").to_string())).await.unwrap();
    opened.close().await;
    let (roll, log) = {
        let db = file::open_disk(&disk);
        let before = (file::roll(&db), file::leaves(&db));
        let txn = db.begin_write().unwrap();
        assert!(txn.delete_table(HOURS).unwrap());
        let meta: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta-1");
        drop(txn.open_table(meta).unwrap().insert("schema", &3_u32.to_be_bytes()[..]).unwrap());
        txn.commit().unwrap();
        before
    };
    let opened = store(&disk, &at(T + HOUR));
    assert_eq!(opened.hours(0..u64::MAX).await.unwrap(), []);
    opened.ingest(received("msg_2", "{}")).await.unwrap();
    let hours = opened.hours(0..u64::MAX).await.unwrap();
    assert_eq!(hours.iter().map(|hour| (hour.users, hour.outcomes.quarantined)).collect::<Vec<_>>(), [(1, 1)]);
    opened.close().await;
    let db = file::open_disk(&disk);
    assert_eq!(file::roll(&db), roll);
    assert!(file::leaves(&db).starts_with(&log));
}
