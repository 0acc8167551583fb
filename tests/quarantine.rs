//! Deliveries that were put aside and tried again leave the same users as if they had been applied at once.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/deliveries.rs"]
mod deliveries;
#[path = "common/disk.rs"]
mod disk;
#[path = "common/file.rs"]
mod file;

use std::path::Path;

use common::{deleted_event, user_event};
use deliveries::received;
use disk::Disk;
use rollbook::audit::{Actor, Source};
use rollbook::clerk::webhook::read_again;
use rollbook::clock::{Clock, Timestamp};
use rollbook::event::{Outcome, Reason};
use rollbook::store::{By, Quarantined, Store};
use rollbook::sync::Policy;
use serde_json::Value;

const T: i64 = 1_750_000_000_000;

fn store(disk: &Disk, instance: &str) -> Store {
    let policy = Policy { instance: Some(instance.to_owned()), ..Policy::default() };
    let clock = Clock::fixed(Timestamp::from_millis(T));
    Store::with_backend(disk.clone(), Path::new("a disk in memory"), 1 << 20, policy, clock).unwrap()
}

/// Messages in an order in which the last is not the newest; of two, only the id says which one that is.
fn messages() -> Vec<(String, String)> {
    let mut no_time = user_event("user.updated", "user_2", T, "Zoe");
    no_time.as_object_mut().unwrap().remove("timestamp");
    let events: [Value; 7] = [
        user_event("user.updated", "user_1", T + 9, "New"),
        user_event("user.created", "user_1", T, "Old"),
        user_event("user.updated", "user_2", T, "Ann"),
        no_time.clone(),
        user_event("user.created", "user_3", T, "Gone"),
        deleted_event("user_3", T + 1),
        user_event("user.updated", "user_3", T + 2, "Late"),
    ];
    (0..).map(|n| format!("msg_{n}")).zip(events.iter().map(Value::to_string)).collect()
}

fn by() -> By {
    By { actor: Actor::Admin("ada".to_owned()), source: Source::Admin }
}

fn again(item: &Quarantined) -> Result<rollbook::event::Event, rollbook::event::Unusable> {
    read_again(&item.body, item.received_at, item.reason)
}

#[tokio::test]
async fn a_second_try_ends_where_the_first_would_have() {
    let straight = Disk::default();
    let opened = store(&straight, "ins_test");
    for (id, body) in messages() {
        opened.ingest(received(&id, &body)).await.unwrap();
    }
    opened.close().await;

    let detour = Disk::default();
    let opened = store(&detour, "ins_other");
    for (id, body) in messages() {
        assert_eq!(opened.ingest(received(&id, &body)).await.unwrap().outcome, Outcome::Quarantined);
    }
    let done = opened.reprocess(0..u64::MAX, again, by()).await.unwrap();
    assert_eq!((done.outcomes.quarantined, done.outcomes.applied, done.next), (7, 0, None));
    opened.close().await;
    let opened = store(&detour, "ins_test");
    let done = opened.reprocess(3..5, again, by()).await.unwrap();
    assert_eq!(done.outcomes.taken() - done.outcomes.quarantined, 2);
    let done = opened.reprocess(0..u64::MAX, again, by()).await.unwrap();
    assert_eq!((done.outcomes.taken(), done.outcomes.quarantined), (5, 0));
    assert_eq!(opened.counts().quarantined, 0);
    for (id, body) in messages() {
        assert_eq!(opened.ingest(received(&id, &body)).await.unwrap().outcome, Outcome::Duplicate);
    }
    opened.close().await;

    let (straight, detour) = (file::open_disk(&straight), file::open_disk(&detour));
    file::Witness::default().follow(&detour);
    assert_eq!(file::roll(&detour), file::roll(&straight));
    assert_eq!(file::deliveries(&detour).len(), 7);
}

#[test]
fn what_is_kept_of_an_event_reads_as_the_same_event() {
    for timestamp in [0, 1, 99_999_999, 1_716_883_200, 99_999_999_999, 100_000_000_000, T] {
        let mut event = user_event("user.updated", "user_1", T, "Ann");
        event["timestamp"] = timestamp.into();
        let read = |body: &str| read_again(body, Timestamp::from_millis(T), Reason::OtherInstance).unwrap();
        let first = read(&event.to_string());
        let second = read(&first.to_json());
        assert_eq!((second.timestamp, second.to_json()), (first.timestamp, first.to_json()), "{timestamp}");
    }
}

#[tokio::test]
async fn what_was_not_text_is_never_taken_for_what_is_left_of_it() {
    let disk = Disk::default();
    let opened = store(&disk, "ins_test");
    let lossy = user_event("user.created", "user_1", T, "An\u{fffd}").to_string();
    let mut delivery = received("msg_1", "nothing");
    if let Err(unusable) = &mut delivery.content {
        unusable.body = lossy;
    }
    opened.ingest(delivery).await.unwrap();
    let done = opened.reprocess(0..u64::MAX, again, by()).await.unwrap();
    assert_eq!((done.outcomes.quarantined, opened.counts().users), (1, 0));
    assert!(opened.discard(0, by()).await.unwrap());
    assert!(!opened.discard(0, by()).await.unwrap());
    opened.close().await;
    file::Witness::default().follow(&file::open_disk(&disk));
}
