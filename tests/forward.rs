//! Other services are told what happens: every event, in order, signed, and again until they take it; and none of them
//! holds up another, nor the webhooks.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "forward/addresses.rs"]
mod addresses;
#[path = "forward/calls.rs"]
mod calls;
mod common;
#[path = "forward/failures.rs"]
mod failures;
#[path = "forward/kills.rs"]
mod kills;
#[path = "forward/places.rs"]
mod places;
#[path = "common/process.rs"]
mod process;
#[path = "forward/receiver.rs"]
mod receiver;
#[path = "forward/settings.rs"]
mod settings;

use std::time::Duration;

use common::{TestServer, clerk_id, deleted_event, user_event};
use receiver::{Receiver, SECRET};
use rollbook::audit::{Actor, Source};
use rollbook::clock::Clock;
use rollbook::forward::{Error, Origin, Start, Status};
use rollbook::store::By;
use rollbook::target::{Kind, Target, TargetName};
use serde_json::Value;

/// When Clerk's events were, in milliseconds.
const T: i64 = 1_750_000_000_000;

/// Targets on this machine may be called.
const NEAR: (&str, &str) = ("ROLLBOOK_FORWARD_PRIVATE", "127.0.0.0/8");

fn by() -> By {
    By { actor: Actor::Cli, source: Source::Cli }
}

fn name(text: &str) -> TargetName {
    text.parse().unwrap()
}

/// A target for events, of all types.
fn events(called: &str, url: &str) -> Target {
    Target {
        name: name(called),
        url: url.to_owned(),
        kind: Kind::Events,
        types: rollbook::audit::feed::Types::default(),
        bearer: false,
    }
}

async fn start() -> TestServer {
    TestServer::with(&[NEAR]).await
}

/// Adds the receiver as a target that is told what comes from now on.
async fn add(server: &TestServer, target: Target) {
    let secret = server.app.forwarder.add(target, Some(SECRET.parse().unwrap()), Start::Now, by()).await.unwrap();
    assert_eq!(secret.reveal(), SECRET);
}

fn status(server: &TestServer, called: &str) -> Status {
    server.app.forwarder.status(&name(called)).unwrap()
}

/// Waits until that is so of the target.
async fn until(server: &TestServer, called: &str, so: impl Fn(&Status) -> bool) -> Status {
    let since = std::time::Instant::now();
    loop {
        let status = status(server, called);
        if so(&status) {
            return status;
        }
        assert!(since.elapsed() < Duration::from_mins(1), "{status:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The numbers of the events that the feed tells behind `after`.
async fn told(server: &TestServer, after: Option<u64>) -> Vec<u64> {
    let request = rollbook::store::FeedRequest { after, limit: rollbook::page::Limit::MAX, ..Default::default() };
    server.app.store.feed(request).await.unwrap().items.iter().map(|item| item.entry.seq).collect()
}

fn seqs(calls: &[receiver::Call]) -> Vec<u64> {
    calls.iter().map(receiver::Call::seq).collect()
}

async fn create(server: &TestServer, id: &str) {
    assert_eq!(server.outcome(&user_event("user.created", id, T, "Ann")).await, "applied");
}

/// A server with users, sessions and roles in its log, and as many other entries.
async fn busy(server: &TestServer) {
    let boss = server.admin("user_boss").await;
    for n in 0..40 {
        let id = format!("user_{n}");
        create(server, &id).await;
        server.get_as(&boss, "/api/users").await;
        if n % 3 == 0 {
            server.outcome(&user_event("user.updated", &id, T + 1, "Beth")).await;
        }
        if n % 10 == 0 {
            server.outcome(&deleted_event(&id, T + 2)).await;
        }
    }
}

#[tokio::test]
async fn a_target_is_told_every_event_once_and_in_order_as_the_feed_shows_it() {
    let (server, receiver) = (start().await, Receiver::start().await);
    add(&server, events("crm", &format!("{}/hooks", receiver.url))).await;
    let after = status(&server, "crm").course.after;
    busy(&server).await;
    let expected = told(&server, after).await;
    assert_eq!(expected.len(), 2 + 40 + 14 + 4);
    let calls = receiver.after(expected.len()).await;
    assert_eq!(seqs(&calls), expected);
    let last = until(&server, "crm", |status| status.behind == 0).await;
    assert_eq!((last.course.delivered, last.course.failing), (60, None));
    assert_eq!(receiver.calls().len(), 60, "nothing more came");
    let mark = calls[0].header("webhook-id").rsplit_once('_').unwrap().0.to_owned();
    assert!(mark.starts_with("evt_") && mark.len() == 12, "{mark}");
    let boss = common::token("user_boss");
    let query = format!("/api/events?limit=500&after={}", after.unwrap());
    let items = server.get_as(&boss, &query).await.json();
    for (call, item) in calls.iter().zip(items["items"].as_array().unwrap()) {
        assert!(call.is_genuine && call.line() == "POST /hooks", "{call:?}");
        assert_eq!(call.header("webhook-id"), format!("{mark}_{}", item["seq"]));
        assert_eq!(call.header("content-type"), "application/json");
        assert!(call.header("user-agent").starts_with("rollbook/"));
        let mut event = call.json();
        assert_eq!(event["timestamp"], item["at"]);
        event.as_object_mut().unwrap().remove("timestamp");
        // The record is as it was when the event was told, and has changed since.
        let without_data = |event: &Value| {
            let mut event = event.clone();
            event["data"] = Value::Null;
            event
        };
        assert_eq!(without_data(&event), without_data(item));
        assert_eq!(event["data"]["id"], event["user"]["id"]);
    }
}

#[tokio::test]
async fn a_target_is_told_its_types_alone() {
    let (server, receiver) = (start().await, Receiver::start().await);
    let types = "user.deleted,session.*".parse().unwrap();
    add(&server, Target { types, ..events("crm", &receiver.url) }).await;
    busy(&server).await;
    let calls = receiver.after(4).await;
    assert!(calls.iter().all(|call| call.json()["type"] == "user.deleted"));
    until(&server, "crm", |status| status.behind == 0).await;
    assert_eq!(receiver.calls().len(), 4);
}

#[tokio::test]
async fn what_is_done_with_targets_stands_in_the_log() {
    let (server, receiver) = (start().await, Receiver::start().await);
    let forwarder = &server.app.forwarder;
    add(&server, events("crm", &receiver.url)).await;
    let crm = name("crm");
    forwarder.pause(crm.clone(), by()).await.unwrap();
    forwarder.resume(crm.clone(), by()).await.unwrap();
    forwarder.replay(crm.clone(), Start::Beginning, by()).await.unwrap();
    forwarder.change(events("crm", &format!("{}/other", receiver.url)), by()).await.unwrap();
    forwarder.renew_secret(crm.clone(), None, by()).await.unwrap();
    forwarder.remove(crm.clone(), by()).await.unwrap();
    let entries = server.entries().await;
    let of_targets: Vec<_> = entries.iter().filter(|entry| entry.leaf.action.starts_with("target.")).collect();
    let actions: Vec<&str> = of_targets.iter().map(|entry| entry.leaf.action.as_str()).collect();
    let expected = ["created", "paused", "resumed", "replayed", "changed", "changed", "removed"];
    assert_eq!(actions, expected.map(|what| format!("target.{what}")));
    for entry in of_targets {
        assert_eq!((entry.leaf.actor.as_str(), entry.leaf.target.as_deref()), ("cli", Some("target:crm")));
    }
    assert!(forwarder.all().is_empty() && matches!(forwarder.retry_now(&crm), Err(Error::Unknown)));
    assert!(matches!(forwarder.pause(crm, by()).await, Err(Error::Unknown)));
    assert_eq!(std::fs::read_to_string(format!("{}.targets", server.data().display())).unwrap().trim(), "{}");
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let (server, receiver) = (start().await, Receiver::start().await);
    let add = async |target| server.app.forwarder.add(target, None, Start::Now, by()).await.map(drop);
    let crm = events("crm", &receiver.url);
    add(crm.clone()).await.unwrap();
    assert!(matches!(add(crm.clone()).await, Err(Error::Taken)));
    assert!(matches!(add(events("settings", &receiver.url)).await, Err(Error::Taken)));
    assert!(matches!(add(Target { bearer: true, ..events("a", &receiver.url) }).await, Err(Error::BearerOfEvents)));
    let calls = Target { bearer: true, kind: Kind::Api, ..events("a", &receiver.url) };
    assert!(matches!(add(calls).await, Err(Error::NoKey)));
    let far = Start::At(server.app.store.counts().entries + 100);
    assert!(matches!(server.app.forwarder.replay(name("crm"), far, by()).await, Err(Error::Ahead)));
    assert!(matches!(server.app.forwarder.skip(name("crm"), 1, by()).await, Err(Error::NotFailing)));
    assert!(matches!(server.app.forwarder.change(events("b", &receiver.url), by()).await, Err(Error::Unknown)));
    for n in 1..rollbook::forward::MOST {
        add(events(&format!("t{n}"), &receiver.url)).await.unwrap();
    }
    assert!(matches!(add(events("more", &receiver.url)).await, Err(Error::TooMany)));
}

#[tokio::test]
async fn the_target_of_the_settings_keeps_its_place_when_its_address_changes() {
    let (one, two) = (Receiver::start().await, Receiver::start().await);
    let set = |url| [NEAR, ("ROLLBOOK_FORWARD_URL", url), ("ROLLBOOK_FORWARD_SECRET", SECRET)];
    let server = TestServer::with(&set(&one.url)).await;
    create(&server, "user_1").await;
    let first = one.after(1).await;
    assert!(first[0].is_genuine && first[0].json()["user"]["clerk_user_id"] == "user_1");
    // It is with the receiver before its answer is with us.
    until(&server, "settings", |status| status.course.delivered == 1).await;
    let of_settings = status(&server, "settings");
    assert_eq!((of_settings.origin, of_settings.has_secret), (Origin::Settings, true));
    let forwarder = &server.app.forwarder;
    let settings = TargetName::of_settings();
    assert!(matches!(forwarder.remove(settings.clone(), by()).await, Err(Error::OfSettings)));
    assert!(matches!(forwarder.renew_secret(settings.clone(), None, by()).await, Err(Error::OfSettings)));
    forwarder.pause(settings.clone(), by()).await.unwrap();
    create(&server, "user_2").await;
    let dir = server.stop().await;
    assert!(!dir.path().join("rollbook.redb.targets").exists());
    let server = TestServer::open(dir, &set(&two.url), Clock::system()).await;
    assert!(status(&server, "settings").course.paused, "that is kept too");
    server.app.forwarder.resume(settings, by()).await.unwrap();
    let calls = two.after(1).await;
    assert_eq!(calls[0].json()["user"]["clerk_user_id"], "user_2");
    until(&server, "settings", |status| status.behind == 0).await;
    assert_eq!((one.calls().len(), two.calls().len()), (1, 1));
}

#[tokio::test]
async fn a_copy_has_no_secrets_and_stands_still_until_it_gets_some() {
    let (server, receiver) = (start().await, Receiver::start().await);
    add(&server, events("crm", &receiver.url)).await;
    let dir = server.stop().await;
    std::fs::remove_file(dir.path().join("rollbook.redb.targets")).unwrap();
    let server = TestServer::open(dir, &[NEAR], Clock::system()).await;
    create(&server, "user_1").await;
    let stuck = until(&server, "crm", |status| status.stuck.is_some()).await;
    assert!(!stuck.has_secret && stuck.stuck.unwrap().to_string().contains("secret"));
    assert!(server.app.forwarder.test(&name("crm")).await.is_err());
    server.app.forwarder.renew_secret(name("crm"), Some(SECRET.parse().unwrap()), by()).await.unwrap();
    assert!(receiver.after(1).await[0].is_genuine);
    until(&server, "crm", |status| status.stuck.is_none() && status.has_secret).await;
}

#[tokio::test]
async fn without_a_usable_file_of_secrets_the_pages_targets_alone_stand_still() {
    let (receiver, other) = (Receiver::start().await, Receiver::start().await);
    let set = [NEAR, ("ROLLBOOK_FORWARD_URL", &*other.url), ("ROLLBOOK_FORWARD_SECRET", SECRET)];
    let server = TestServer::with(&set).await;
    add(&server, events("crm", &receiver.url)).await;
    let mut dir = server.stop().await;
    let path = dir.path().join("rollbook.redb.targets");
    let right = std::fs::read(&path).unwrap();
    let mode = |mode| {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&path, mode).unwrap();
    };
    for (n, spoil) in [&(|| mode(0o644)) as &dyn Fn(), &|| std::fs::write(&path, "{").unwrap(), &|| {
        std::fs::rename(&path, path.with_extension("elsewhere")).unwrap();
        std::os::unix::fs::symlink(path.with_extension("elsewhere"), &path).unwrap();
    }]
    .into_iter()
    .enumerate()
    {
        spoil();
        let server = TestServer::open(dir, &set, Clock::system()).await;
        create(&server, &format!("user_{n}")).await;
        let stuck = until(&server, "crm", |status| status.stuck.is_some()).await.stuck.unwrap().to_string();
        assert!(stuck.contains(path.to_str().unwrap()), "{stuck}");
        until(&server, "settings", |status| status.behind == 0).await;
        assert_eq!((receiver.calls().len(), other.calls().len()), (n, n + 1));
        let check = rollbook::checks::targets(&server.app.forwarder.all(), common::now());
        let check = check.iter().find(|check| check.found.contains("crm")).unwrap();
        assert!(check.level == rollbook::checks::Level::Failure && check.found.contains(&stuck), "{check:?}");
        let added = server.app.forwarder.add(events("more", &receiver.url), None, Start::Now, by()).await;
        assert_eq!(added.unwrap_err().to_string(), stuck);
        assert_eq!(server.app.forwarder.all().len(), 2);
        // Once it is right again, it goes on.
        let _ = std::fs::remove_file(&path);
        std::fs::write(&path, &right).unwrap();
        mode(0o600);
        server.app.forwarder.retry_now(&name("crm")).unwrap();
        receiver.after(n + 1).await;
        until(&server, "crm", |status| status.behind == 0 && status.stuck.is_none()).await;
        dir = server.stop().await;
    }
}

#[tokio::test]
async fn that_a_secret_was_renewed_is_said_only_when_it_was() {
    let (server, receiver) = (start().await, Receiver::start().await);
    add(&server, events("crm", &receiver.url)).await;
    let path = format!("{}.targets", server.data().display());
    // What is to be renamed over a folder stays where it is.
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir_all(format!("{path}/taken")).unwrap();
    assert!(server.app.forwarder.renew_secret(name("crm"), None, by()).await.is_err());
    assert_eq!(server.count("target.changed").await, 0);
    create(&server, "user_1").await;
    assert!(receiver.after(1).await[0].is_genuine);
}

#[tokio::test]
async fn for_a_day_the_former_secret_signs_too() {
    let clock = Clock::adjustable();
    let (server, receiver) = (TestServer::with_clock(&[NEAR], clock.clone()).await, Receiver::start().await);
    add(&server, events("crm", &receiver.url)).await;
    let next = server.app.forwarder.renew_secret(name("crm"), None, by()).await.unwrap();
    create(&server, "user_1").await;
    let calls = receiver.after(1).await;
    assert!(calls[0].is_genuine && calls[0].is_signed_with(next.reveal()));
    assert_eq!(calls[0].header("webhook-signature").split(' ').count(), 2);
    clock.set(Clock::system().now().plus_millis(25 * 60 * 60 * 1000));
    create(&server, "user_2").await;
    let calls = receiver.after(2).await;
    assert_eq!(calls[1].header("webhook-signature").split(' ').count(), 1);
}

#[tokio::test]
async fn a_test_message_is_signed_and_a_target_of_calls_is_knocked_at() {
    let (server, receiver) = (start().await, Receiver::start().await);
    add(&server, events("crm", &receiver.url)).await;
    add(&server, Target { kind: Kind::Api, ..events("app", &format!("{}/api", receiver.url)) }).await;
    receiver.say(|_| Some((418, "", "a teapot")));
    let answer = server.app.forwarder.test(&name("crm")).await.unwrap();
    assert_eq!((answer.status, answer.said.as_deref()), (418, Some("a teapot")));
    assert_eq!(server.app.forwarder.test(&name("app")).await.unwrap().status, 418);
    let calls = receiver.calls();
    assert!(calls[0].is_genuine && calls[0].json()["type"] == "rollbook.test", "{calls:?}");
    // It has the members of an event, so that who reads those can read it too.
    create(&server, "user_1").await;
    let is_event = |call: &receiver::Call| call.path == "/" && call.body.contains("user_1");
    let calls = receiver.once(|calls| calls.iter().any(is_event)).await;
    let event = calls.iter().find(|call| is_event(call)).unwrap().json();
    let members = |event: &Value| event.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let test = calls[0].json();
    assert_eq!(members(&test), members(&event));
    assert!(test["seq"].is_null() && test["user"].is_null() && test["changed"] == serde_json::json!([]), "{test}");
    assert_eq!(calls[1].line(), "GET /api");
}
