//! The events feed: the whole of it, in order, from any place on, and open to nobody but admins.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;
#[path = "common/deliveries.rs"]
mod deliveries;
#[path = "common/sse.rs"]
mod sse;
#[path = "events/stream.rs"]
mod stream;

use common::{TestServer, deleted_event, token, user_event};
use deliveries::received;
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use rollbook::api_key::{Scope, Scopes, Wanted};
use rollbook::audit::retention::Cutoff;
use rollbook::audit::{Actor, Draft, Entry, Source};
use rollbook::clock::{Clock, Timestamp};
use rollbook::store::{By, Order};
use rollbook::user::UserId;
use serde_json::{Value, json};

/// When Clerk's events were, in milliseconds.
const T: i64 = 1_750_000_000_000;

/// Whether the feed should tell the entry, by a rule of the test's own.
fn is_told(entry: &Entry) -> bool {
    entry.leaf.source == Source::Webhook || ["user.assigned", "user.provisioned"].contains(&entry.leaf.action.as_str())
}

async fn told(server: &TestServer) -> Vec<u64> {
    server.entries().await.iter().filter(|entry| is_told(entry)).map(|entry| entry.seq).collect()
}

/// The feed, page by page, until a page is empty and stands at the end of the log.
async fn walk(server: &TestServer, token: &str, query: &str) -> Vec<Value> {
    let (mut items, mut after) = (Vec::new(), String::new());
    loop {
        let size = server.app.store.counts().entries;
        let answer = server.get_as(token, &format!("/api/events?{query}{after}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let page = answer.json();
        let next = page["next_after"].as_u64().unwrap();
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        after = format!("&after={next}");
        if page["items"] == json!([]) && next >= size - 1 {
            return items;
        }
    }
}

fn seqs(items: &[Value]) -> Vec<u64> {
    items.iter().map(|item| item["seq"].as_u64().unwrap()).collect()
}

fn types(items: &[Value]) -> Vec<&str> {
    items.iter().map(|item| item["type"].as_str().unwrap()).collect()
}

/// Users who come, change and go, one of them an admin, and all that reading leaves in the log besides.
async fn busy() -> (TestServer, String) {
    let server = TestServer::start().await;
    let boss = server.admin("user_boss").await;
    for n in 0..30 {
        let id = format!("user_{n}");
        server.outcome(&user_event("user.created", &id, T, "Ann")).await;
        server.get_as(&boss, &format!("/api/users/{id}")).await;
        if n % 3 == 0 {
            server.outcome(&user_event("user.updated", &id, T + 1, "Beth")).await;
            server.get_as(&token(&id), "/api/users").await;
        }
        if n % 10 == 0 {
            server.outcome(&deleted_event(&id, T + 2)).await;
        }
    }
    (server, boss)
}

#[tokio::test]
async fn the_feed_tells_what_clerk_said_and_what_changed_once_and_in_order() {
    let (server, boss) = busy().await;
    let expected = told(&server).await;
    assert_eq!(expected.len(), 2 + 30 + 10 + 3);
    for limit in [1, 2, 7, 45, 500] {
        assert_eq!(seqs(&walk(&server, &boss, &format!("limit={limit}")).await), expected, "{limit}");
    }
    let page = server.get_as(&boss, &format!("/api/events?limit=500&after={}", expected[20])).await.json();
    assert_eq!(seqs(page["items"].as_array().unwrap()), expected[21..]);
}

#[tokio::test]
async fn an_event_says_what_happened_and_how_things_stand_now() {
    let server = TestServer::start().await;
    let boss = server.admin("user_boss").await;
    let ours = UserId::of(&common::clerk_id("user_1")).to_string();
    server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    server.deliver_as("msg_beth", &user_event("user.updated", "user_1", T + 10, "Beth")).await;
    let session = json!({
        "type": "session.created", "object": "event", "timestamp": T + 20, "instance_id": "ins_test",
        "data": { "object": "session", "id": "sess_1", "user_id": "user_1", "status": "active", "created_at": T,
            "updated_at": T },
    });
    server.outcome(&session).await;
    let role = json!({
        "type": "role.created", "object": "event", "timestamp": T + 30, "instance_id": "ins_test",
        "data": { "object": "role", "id": "role_1", "name": "Clerk" },
    });
    server.outcome(&role).await;
    let mut stale = user_event("user.updated", "user_1", T + 5, "Zoe");
    stale["timestamp"] = (T + 40).into();
    server.outcome(&stale).await;
    let items = walk(&server, &boss, "types=user.created,user.updated,session.*,role.*").await;
    assert_eq!(types(&items), ["user.created", "user.updated", "session.created", "role.created", "user.updated"]);
    let record = server.get_as(&boss, "/api/users/user_1").await.json();
    assert_eq!(items[0]["data"], record, "as it is now, and not as it was then");
    let beth = &items[1];
    let user = json!({ "id": ours, "clerk_user_id": "user_1" });
    assert_eq!((&beth["user"], &beth["object"], &beth["request"]), (&user, &Value::Null, &"msg_beth".into()));
    assert_eq!((&beth["outcome"], &beth["reason"]), (&"applied".into(), &Value::Null));
    assert_eq!(beth["changed"], json!(["first_name"]));
    assert_eq!(beth["changes"], json!({ "first_name": { "before": "Ann", "after": "Beth" } }));
    assert_eq!(beth["event_at"], Timestamp::from_millis(T + 15).to_string());
    let session = &items[2];
    assert_eq!((&session["user"], &session["object"]), (&user, &"session:sess_1".into()));
    let own_words = server.get_as(&boss, "/api/users/user_1/sessions").await.json()["items"][0].clone();
    assert_eq!(session["data"], own_words);
    assert_eq!((&items[3]["user"], &items[3]["object"]), (&Value::Null, &"role:role_1".into()));
    assert_eq!(items[3]["data"]["name"], "Clerk");
    assert_eq!((&items[4]["outcome"], &items[4]["reason"]), (&"stale".into(), &"older".into()));
}

#[tokio::test]
async fn types_are_names_and_beginnings() {
    let (server, boss) = busy().await;
    let kinds = |items: &[Value]| {
        let mut kinds: Vec<String> = types(items).into_iter().map(str::to_owned).collect();
        kinds.sort();
        kinds.dedup();
        kinds
    };
    for (wanted, count, expected) in [
        ("user.deleted", 3, vec!["user.deleted"]),
        ("user.deleted,user.updated", 13, vec!["user.deleted", "user.updated"]),
        ("user.*", 45, vec!["user.assigned", "user.created", "user.deleted", "user.provisioned", "user.updated"]),
        (
            "user.*,user.created",
            45,
            vec!["user.assigned", "user.created", "user.deleted", "user.provisioned", "user.updated"],
        ),
        ("use.*", 0, vec![]),
        ("user.read", 0, vec![]),
        ("users.*,api.*,system.*,events.*", 0, vec![]),
    ] {
        let items = walk(&server, &boss, &format!("types={wanted}")).await;
        assert_eq!(
            (items.len(), kinds(&items)),
            (count, expected.iter().map(ToString::to_string).collect()),
            "{wanted}"
        );
    }
    for bad in ["", "*", "user*", "user.created,", "us%20er", &vec!["a"; 33].join(",")] {
        let answer = server.get_as(&boss, &format!("/api/events?types={bad}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
    }
}

/// Where much lies between two events, they are found by their actions, and must be the same ones.
#[tokio::test]
async fn what_lies_between_is_passed_over() {
    let server = TestServer::start().await;
    let boss = server.admin("user_boss").await;
    let store = &server.app.store;
    let noise = |action: &'static str, count: usize| {
        let drafts = (0..count).map(move |_| Draft::new(action, Actor::System, Source::System));
        async move { drop(join_all(drafts.map(|draft| store.record(draft))).await) }
    };
    for n in 0..4 {
        server.outcome(&user_event("user.created", &format!("user_{n}"), T, "Ann")).await;
        noise("user.read", 400).await;
        // What the feed does not know of is looked at one by one, a page at a time.
        noise("unheard.of", 1_800).await;
        server.outcome(&deleted_event(&format!("user_{n}"), T + 1)).await;
    }
    let expected = told(&server).await;
    assert_eq!(expected.len(), 2 + 8);
    for limit in [1, 3, 500] {
        assert_eq!(seqs(&walk(&server, &boss, &format!("limit={limit}")).await), expected, "{limit}");
    }
    // A rare type is one look away, whatever there is besides.
    let page = server.get_as(&boss, "/api/events?types=user.deleted").await.json();
    assert_eq!(page["items"].as_array().unwrap().len(), 4);
    let page = server.get_as(&boss, "/api/events?types=role.created").await.json();
    assert_eq!((&page["items"], page["next_after"].as_u64().unwrap()), (&json!([]), store.counts().entries - 1));
}

#[tokio::test]
async fn reading_the_feed_is_noted_and_not_told() {
    let (server, boss) = busy().await;
    let first = server.get_as(&boss, "/api/events?limit=500").await.json();
    let items = first["items"].as_array().unwrap();
    let looks: Vec<Entry> =
        server.entries().await.into_iter().filter(|entry| entry.leaf.action == "events.read").collect();
    assert_eq!(looks.len(), 1);
    assert_eq!(looks[0].leaf.count, Some(items.len() as u64));
    assert_eq!(looks[0].actor_user.as_ref().unwrap().as_str(), "user_boss");
    let detail = looks[0].detail.as_ref().unwrap();
    assert_eq!((&detail["from"], &detail["to"]), (&items[0]["seq"], &items[items.len() - 1]["seq"]));
    // An empty page is no look at anybody.
    let before = server.app.store.counts().entries;
    let mut after = first["next_after"].as_u64().unwrap();
    for _ in 0..3 {
        let page = server.get_as(&boss, &format!("/api/events?after={after}")).await.json();
        assert_eq!(page["items"], json!([]));
        after = page["next_after"].as_u64().unwrap();
    }
    assert_eq!((server.app.store.counts().entries, after), (before, before - 1));
}

#[tokio::test]
async fn the_feed_is_for_admins() {
    let server = TestServer::start().await;
    let boss = server.admin("user_boss").await;
    let streams = [None, Some("text/event-stream")];
    for accept in streams {
        let get = |token: Option<&str>, query: &str| {
            let request = server.request(Method::GET, &format!("/api/events{query}"));
            let request = token.into_iter().fold(request, reqwest::RequestBuilder::bearer_auth);
            let request = accept.into_iter().fold(request, |request, accept| request.header("accept", accept));
            async move { request.send().await.unwrap().status() }
        };
        assert_eq!(get(None, "").await, StatusCode::UNAUTHORIZED, "{accept:?}");
        assert_eq!(get(Some(&token("user_1")), "").await, StatusCode::FORBIDDEN, "{accept:?}");
        let end = server.app.store.counts().entries;
        for (bad, expected) in [
            ("?after=-1", StatusCode::BAD_REQUEST),
            ("?after=%2B1", StatusCode::BAD_REQUEST),
            ("?after=", StatusCode::BAD_REQUEST),
            ("?after=9007199254740992", StatusCode::BAD_REQUEST),
            ("?limit=501", StatusCode::BAD_REQUEST),
            ("?cursor=a00", StatusCode::BAD_REQUEST),
            ("?after=9007199254740991", StatusCode::CONFLICT),
            (&format!("?after={}", end + 1), StatusCode::CONFLICT),
        ] {
            assert_eq!(get(Some(&boss), bad).await, expected, "{accept:?} {bad}");
        }
    }
}

#[tokio::test]
async fn of_somebody_erased_the_feed_says_no_more_than_that_something_was() {
    let server = TestServer::start().await;
    let boss = server.admin("user_boss").await;
    let before = server.app.store.counts().entries - 1;
    server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    server.outcome(&user_event("user.updated", "user_1", T + 1, "Beth")).await;
    server.outcome(&deleted_event("user_1", T + 2)).await;
    let by = By { actor: Actor::Cli, source: Source::Cli };
    let order = Order { by, reason: None, even_if_live: false, even_if_untold: false };
    server.app.store.erase(&"user_1".parse().unwrap(), order, |_| {}).await.unwrap();
    let answer = server.get_as(&boss, &format!("/api/events?after={before}")).await;
    for word in ["user_1", "Ann", "Beth", "Tester"] {
        assert!(!answer.text.contains(word), "{word}: {}", answer.text);
    }
    let items = answer.json()["items"].as_array().unwrap().clone();
    assert_eq!(types(&items), ["user.created", "user.updated", "user.deleted", "user.erased"]);
    for item in &items {
        assert_eq!((&item["user"], &item["changes"], &item["data"]), (&Value::Null, &Value::Null, &Value::Null));
    }
    assert_eq!(items[1]["changed"], json!(["first_name"]));
}

#[tokio::test]
async fn a_page_is_bounded_however_long_records_are() {
    let server = TestServer::start().await;
    let boss = server.admin("user_boss").await;
    for n in 0..8 {
        let mut event = user_event("user.created", &format!("user_{n}"), T, "Ann");
        event["data"]["public_metadata"] = json!({ "filler": "x".repeat(300_000) });
        assert_eq!(server.outcome(&event).await, "applied");
    }
    let first = server.get_as(&boss, "/api/events?limit=500&types=user.created").await;
    assert!(first.text.len() < 2 * 1024 * 1024, "{}", first.text.len());
    let items = walk(&server, &boss, "types=user.created&limit=500").await;
    assert_eq!(items.len(), 8);
}

#[tokio::test]
async fn a_key_sees_records_only_if_it_may_read_users() {
    let server = TestServer::start().await;
    server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    for (scopes, sees) in [(vec![Scope::AuditRead], false), (vec![Scope::AuditRead, Scope::UsersRead], true)] {
        let wanted = Wanted { name: "k".parse().unwrap(), scopes: Scopes::new(scopes).unwrap(), expires_at: None };
        let entry = Draft::new("key.created", Actor::Cli, Source::Cli);
        let (_, secret) = server.app.store.create_api_key(wanted, entry).await.unwrap();
        let page = server.get_as(secret.reveal(), "/api/events?types=user.created").await.json();
        assert_eq!((page["items"][0]["data"].is_object(), page["items"].as_array().unwrap().len()), (sees, 1));
    }
}

#[tokio::test]
async fn a_reader_who_missed_what_was_pruned_is_told_so() {
    // 2010: old enough to be pruned.
    let clock = Clock::fixed(Timestamp::from_millis(1_262_304_000_000));
    let server = TestServer::with_clock(&[], clock.clone()).await;
    let store = &server.app.store;
    for n in 0..300 {
        let event = user_event("user.created", &format!("user_{n}"), T, "Ann").to_string();
        store.ingest(received(&format!("msg_{n}"), &event)).await.unwrap();
    }
    clock.set(common::now());
    let boss = server.admin("user_boss").await;
    let cutoff = Cutoff::new("2010-02-01".parse().unwrap(), clock.now(), false).unwrap();
    let pruned = store.prune(cutoff, By { actor: Actor::Cli, source: Source::Cli }, |_, _| {}).await.unwrap();
    assert_eq!((pruned.first, pruned.end), (0, 256));
    for (after, expected) in [(0, StatusCode::GONE), (254, StatusCode::GONE), (255, StatusCode::OK)] {
        let answer = server.get_as(&boss, &format!("/api/events?after={after}")).await;
        assert_eq!(answer.status, expected, "{after}");
    }
    let all = server.get_as(&boss, "/api/events?limit=1").await.json();
    assert_eq!(seqs(all["items"].as_array().unwrap()), [256], "from the first that is kept");
}
