//! Webhooks through the front door: signatures, outcomes, order, repetition, what is kept and what is not.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/file.rs"]
mod file;

use std::fmt::Write as _;

use common::{SECRET, TestServer, clerk_id, deleted_event, sign, token, user_event};
use file::state;
use reqwest::{Method, StatusCode};
use rollbook::sample::EVENT_TYPES;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const T: i64 = 1_750_000_000_000;

fn fixture(kind: &str) -> Value {
    let path = format!("{}/tests/fixtures/{kind}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[tokio::test]
async fn a_valid_event_changes_the_user_and_leaves_one_entry() {
    let server = TestServer::start().await;
    assert_eq!(server.outcome(&user_event("user.created", "user_1", T, "Ann")).await, "applied");
    let user = server.user("user_1").unwrap();
    assert_eq!(user.profile().email.as_deref(), Some("user_1@example.org"));
    let entries = server.entries().await;
    let entry = entries.iter().find(|entry| entry.leaf.action == "user.created").unwrap();
    assert_eq!((entry.leaf.outcome.as_str(), entry.leaf.actor.as_str()), ("applied", "clerk"));
    assert_eq!(entry.target_user, Some(clerk_id("user_1")));
    assert!(entry.leaf.target.as_deref().unwrap().starts_with("s1."));
    assert_eq!(server.count("user.created").await, 1);
}

#[tokio::test]
async fn all_three_paths_take_webhooks_and_say_so() {
    let server = TestServer::start().await;
    for path in ["/api/webhooks/clerk", "/api/webhooks", "/api/webhook/clerk"] {
        let health = server.get(path).await.json();
        assert_eq!(health, json!({"status": "ok", "service": "rollbook", "version": env!("CARGO_PKG_VERSION")}));
        let body = user_event("user.created", &format!("user_{}", path.len()), T, "Ann").to_string();
        let headers = sign::sign(SECRET, &sign::fresh_id(), sign::now_seconds(), body.as_bytes());
        let request = headers.iter().fold(server.request(Method::POST, path), |r, (n, v)| r.header(*n, v));
        let answer = request.body(body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn standard_webhooks_headers_are_taken_too() {
    let server = TestServer::start().await;
    let body = user_event("user.created", "user_1", T, "Ann").to_string();
    let headers = sign::sign(SECRET, &sign::fresh_id(), sign::now_seconds(), body.as_bytes());
    let renamed: Vec<_> = headers
        .into_iter()
        .zip(["webhook-id", "webhook-timestamp", "webhook-signature"])
        .map(|((_, value), name)| (name, value))
        .collect();
    assert_eq!(server.post_signed(&renamed, &body).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_message_said_again_under_the_other_names_is_a_duplicate() {
    let server = TestServer::start().await;
    let body = user_event("user.created", "user_1", T, "Ann").to_string();
    let headers = sign::sign(SECRET, "msg_1", sign::now_seconds(), body.as_bytes());
    assert_eq!(server.post_signed(&headers, &body).await.json()["outcome"], "applied");
    let before = state(&server.data());
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let renamed: Vec<_> = headers.into_iter().zip(names).map(|((_, value), name)| (name, value)).collect();
    assert_eq!(server.post_signed(&renamed, &body).await.json()["outcome"], "duplicate");
    assert_eq!(state(&server.data()), before);
}

/// The signature is over the bytes, so nothing hangs on what they are called.
#[tokio::test]
async fn the_type_that_a_body_is_said_to_have_is_no_matter() {
    let server = TestServer::start().await;
    let types = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "x"];
    for (n, kind) in types.into_iter().enumerate() {
        let body = user_event("user.created", &format!("user_{n}"), T, "Ann").to_string();
        let mut headers = sign::sign(SECRET, &sign::fresh_id(), sign::now_seconds(), body.as_bytes());
        headers.push(("content-type", kind.to_owned()));
        assert_eq!(server.post_signed(&headers, &body).await.json()["outcome"], "applied", "{kind}");
    }
}

/// What somebody may have put into their own particulars: kept as it is, and harmless wherever it is shown.
#[tokio::test]
async fn hostile_particulars_are_kept_as_they_are() {
    let server = TestServer::start().await;
    let admin = server.admin("user_boss").await;
    let mut event = user_event("user.created", "user_1", T, "<script>alert(1)</script>");
    event["data"]["last_name"] = "=HYPERLINK(\"//evil.example\")\u{202e}\0\r\n".into();
    event["data"]["unsafe_metadata"] = json!({"filler": "x".repeat(100_000), "__proto__": {"role": "ADMIN"}});
    assert_eq!(server.outcome(&event).await, "applied");
    let shown = server.get_as(&admin, "/api/users/user_1").await.json();
    for name in ["first_name", "last_name", "unsafe_metadata"] {
        assert_eq!(shown[name], event["data"][name], "{name}");
    }
    assert_eq!(shown["role"], "USER");
}

/// Headers of a delivery, changed by hand.
struct Forged {
    id: String,
    timestamp: String,
    signature: String,
    more: Vec<(&'static str, String)>,
}

impl Forged {
    fn headers(self) -> Vec<(&'static str, String)> {
        let mut headers =
            vec![("svix-id", self.id), ("svix-timestamp", self.timestamp), ("svix-signature", self.signature)];
        headers.retain(|(_, value)| value != "-");
        headers.extend(self.more);
        headers
    }
}

async fn refused(server: &TestServer, status: u16, cases: Vec<(&str, Forged)>, body: &str) {
    let before = state(&server.data());
    for (case, forged) in cases {
        let answer = server.post_signed(&forged.headers(), body).await;
        assert_eq!(answer.status.as_u16(), status, "{case}: {}", answer.text);
        assert_eq!(answer.header("content-type"), "application/problem+json", "{case}");
        assert!(answer.json()["error_id"].as_str().unwrap().starts_with("ERR_"), "{case}");
    }
    assert_eq!(state(&server.data()), before, "something changed");
}

fn good(id: &str, timestamp: i64, body: &str) -> Forged {
    let mut values = sign::sign(SECRET, id, timestamp, body.as_bytes()).into_iter().map(|(_, value)| value);
    let mut next = || values.next().unwrap();
    Forged { id: next(), timestamp: next(), signature: next(), more: Vec::new() }
}

#[tokio::test]
async fn headers_missing_doubled_mixed_or_malformed_are_refused() {
    let server = TestServer::start().await;
    let body = user_event("user.created", "user_1", T, "Ann").to_string();
    let now = sign::now_seconds();
    let g = || good("msg_1", now, &body);
    let with_id = |id: &str| Forged { id: id.to_owned(), ..good("msg_1", now, &body) };
    let at = |timestamp: &str| Forged { timestamp: timestamp.to_owned(), ..good("msg_1", now, &body) };
    let also = |name: &'static str, value: &str| Forged { more: vec![(name, value.to_owned())], ..g() };
    refused(
        &server,
        400,
        vec![
            ("no id", with_id("-")),
            ("no timestamp", at("-")),
            ("no signature", Forged { signature: "-".to_owned(), ..g() }),
            ("two ids", also("svix-id", "msg_2")),
            ("the same id twice", also("svix-id", "msg_1")),
            ("two timestamps", also("svix-timestamp", &now.to_string())),
            ("two signatures", also("svix-signature", "v1,AAAA")),
            ("an id of the other family", also("webhook-id", "msg_2")),
            (
                "an id swapped to the other family",
                Forged { more: vec![("webhook-id", "msg_2".to_owned())], ..with_id("-") },
            ),
            ("an id with a dot", with_id("msg.1")),
            ("an empty id", with_id("")),
            ("an id of spaces", with_id("   ")),
            ("a long id", with_id(&"m".repeat(129))),
            ("a signed timestamp", at(&format!("+{now}"))),
            ("a leading zero", at(&format!("0{now}"))),
            ("a fraction", at(&format!("{now}.0"))),
            ("a negative timestamp", at(&format!("-{now}"))),
            ("milliseconds", at(&format!("{now}000"))),
            ("a far timestamp", at("100000000000000000000")),
            ("an empty timestamp", at("")),
            ("trailing letters", at(&format!("{now}abc"))),
            ("a long signature", Forged { signature: format!("v1,{}", "A".repeat(1100)), ..g() }),
            ("many signatures", Forged { signature: "v1,AAAA ".repeat(17).trim().to_owned(), ..g() }),
        ],
        &body,
    )
    .await;
    // A dot in the id would let one signature stand for two messages.
    let split = good("msg_1.1", now, &body);
    refused(&server, 400, vec![("a forged split", split)], &body).await;
}

#[tokio::test]
async fn wrong_signatures_are_refused() {
    let server = TestServer::start().await;
    let body = user_event("user.created", "user_1", T, "Ann").to_string();
    let now = sign::now_seconds();
    let g = || good("msg_1", now, &body);
    let signature = |text: String| Forged { signature: text, ..g() };
    let right = g().signature;
    let mac = right.strip_prefix("v1,").unwrap().to_owned();
    let other = "whsec_YW5vdGhlciBzZWNyZXQgb2YgdHdlbnR5LWZvdXI=";
    let others = sign::sign(other, "msg_1", now, body.as_bytes()).remove(2).1;
    refused(
        &server,
        401,
        vec![
            ("another secret", signature(others)),
            ("nothing", signature("v1,".to_owned())),
            ("cut short", signature(right[..11].to_owned())),
            ("no version", signature(mac.clone())),
            ("another version", signature(format!("v1a,{mac}"))),
            ("upper case", signature(format!("V1,{mac}"))),
            ("no padding", signature(right.trim_end_matches('=').to_owned())),
            ("lower case", signature(format!("v1,{}", mac.to_lowercase()))),
            ("several bad ones", signature("v1,AAAA v1,BBBB v2,CCCC".to_owned())),
            ("another id", Forged { id: "msg_2".to_owned(), ..g() }),
            ("another time", Forged { timestamp: (now + 1).to_string(), ..g() }),
            ("five minutes late", good("msg_1", now - 302, &body)),
            ("five minutes early", good("msg_1", now + 302, &body)),
        ],
        &body,
    )
    .await;
    let changed = [body.replacen("Ann", "Anm", 1), format!("{body} "), format!("{body}\n"), body.replace(':', ": ")];
    for changed in changed {
        refused(&server, 401, vec![("another body", g())], &changed).await;
    }
    let third = Forged { signature: format!("v1,AAAA v1a,BBBB {right}"), ..g() };
    assert_eq!(server.post_signed(&third.headers(), &body).await.status, StatusCode::OK, "a good one among bad ones");
    let late = good("msg_3", now - 297, &body);
    assert_eq!(server.post_signed(&late.headers(), &body).await.status, StatusCode::OK, "within five minutes");
}

#[tokio::test]
async fn a_hundred_copies_at_once_have_one_effect() {
    let server = TestServer::start().await;
    let event = user_event("user.created", "user_1", T, "Ann");
    let copies = (0..100).map(|_| server.deliver_as("msg_copies", &event));
    let answers = futures_util::future::join_all(copies).await;
    let outcomes: Vec<String> = answers.iter().map(|a| a.json()["outcome"].as_str().unwrap().to_owned()).collect();
    assert_eq!(outcomes.iter().filter(|o| *o == "applied").count(), 1);
    assert_eq!(outcomes.iter().filter(|o| *o == "duplicate").count(), 99);
    assert_eq!(server.count("user.created").await, 1);
}

#[tokio::test]
async fn late_news_changes_nothing() {
    let server = TestServer::start().await;
    assert_eq!(server.outcome(&user_event("user.updated", "user_1", T + 10, "New")).await, "applied");
    assert_eq!(server.outcome(&user_event("user.created", "user_1", T, "Old")).await, "stale");
    assert_eq!(server.outcome(&user_event("user.updated", "user_1", T + 20, "New")).await, "unchanged");
    assert_eq!(server.outcome(&deleted_event("user_1", T + 30)).await, "applied");
    assert_eq!(server.outcome(&deleted_event("user_1", T + 31)).await, "stale");
    assert_eq!(server.outcome(&user_event("user.updated", "user_1", T + 40, "Undead")).await, "stale");
    assert!(server.user("user_1").unwrap().deleted_at.is_some());
    assert_eq!(server.app.store.counts().users, 0);
    // Deleted before it was created.
    assert_eq!(server.outcome(&deleted_event("user_2", T)).await, "applied");
    assert_eq!(server.outcome(&user_event("user.created", "user_2", T - 5, "Late")).await, "stale");
    assert!(server.user("user_2").unwrap().deleted_at.is_some());
}

#[tokio::test]
async fn a_hard_deletion_leaves_no_record_whatever_comes_late() {
    let server = TestServer::with(&[("ROLLBOOK_DELETE", "hard")]).await;
    server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    assert_eq!(server.outcome(&deleted_event("user_1", T + 1)).await, "applied");
    assert_eq!(server.outcome(&user_event("user.updated", "user_1", T + 2, "Ann")).await, "stale");
    assert_eq!(server.user("user_1"), None);
    let counts = server.app.store.counts();
    assert_eq!((counts.users, counts.deleted), (0, 0));
}

#[tokio::test]
async fn what_cannot_be_applied_is_kept_with_the_reason() {
    let server = TestServer::start().await;
    let envelope = |data: &str| format!(r#"{{"type":"user.created","object":"event","timestamp":{T},"data":{data}}}"#);
    let deep = format!(r#"{{"id":"user_1","x":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    let cases = [
        ("not JSON", "<xml/>".to_owned(), "unparsable"),
        ("nothing", String::new(), "unparsable"),
        ("doubled keys", envelope(r#"{"id":"user_1","id":"user_2"}"#), "unparsable"),
        ("half a surrogate", envelope(r#"{"id":"user_1","first_name":"\ud800"}"#), "unparsable"),
        ("no number", envelope(r#"{"id":"user_1","x":1e400}"#), "unparsable"),
        ("deep", envelope(&deep), "unparsable"),
        ("an array", "[]".to_owned(), "not_an_event"),
        ("no data", r#"{"type":"user.created"}"#.to_owned(), "not_an_event"),
        ("no type", r#"{"data":{"id":"user_1"}}"#.to_owned(), "not_an_event"),
        ("no id", envelope(r#"{"first_name":"Ann"}"#), "missing_id"),
        ("an id that is a number", envelope(r#"{"id":7}"#), "missing_id"),
        ("an empty id", envelope(r#"{"id":""}"#), "missing_id"),
    ];
    for (case, body, _) in &cases {
        let headers = sign::sign(SECRET, &sign::fresh_id(), sign::now_seconds(), body.as_bytes());
        let answer = server.post_signed(&headers, body).await;
        assert_eq!((answer.status.as_u16(), answer.json()["outcome"].as_str()), (200, Some("quarantined")), "{case}");
    }
    let kept = server.app.store.quarantine(rollbook::page::PageRequest::default()).await.unwrap();
    let reasons: Vec<_> = kept.items.iter().rev().map(|item| item.reason.as_str()).collect();
    assert_eq!(reasons, cases.map(|(_, _, reason)| reason));
    assert_eq!(server.count("webhook.quarantined").await, 12);
    assert_eq!(server.outcome(&json!({"type": "rocket.launched", "data": {"height": 3}})).await, "recorded");
    assert_eq!(server.app.store.counts().quarantined, 12);
}

#[tokio::test]
async fn another_instance_is_kept_apart() {
    let server = TestServer::start().await;
    let mut event = user_event("user.created", "user_1", T, "Ann");
    assert_eq!(server.outcome(&event).await, "applied");
    event["instance_id"] = "ins_other".into();
    event["data"]["id"] = "user_2".into();
    assert_eq!(server.outcome(&event).await, "quarantined");
    assert_eq!(server.user("user_2"), None);
    let kept = server.app.store.quarantine(rollbook::page::PageRequest::default()).await.unwrap();
    let body: Value = serde_json::from_str(&kept.items[0].body).unwrap();
    assert_eq!((&body["instance_id"], &body["data"]["first_name"]), (&json!("ins_other"), &json!("Ann")));
    // Pinned by the first event, and still so after a restart; the setting overrides it.
    let dir = server.stop().await;
    let again = TestServer::open(dir, &[], rollbook::clock::Clock::system()).await;
    assert_eq!(again.outcome(&event).await, "quarantined");
    let dir = again.stop().await;
    let set = [("CLERK_INSTANCE_ID", "ins_other")];
    let moved = TestServer::open(dir, &set, rollbook::clock::Clock::system()).await;
    assert_eq!(moved.outcome(&event).await, "applied");
}

#[tokio::test]
async fn bodies_too_large_or_encoded_are_refused() {
    let server = TestServer::start().await;
    let before = state(&server.data());
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(1024 * 1024));
    let headers = sign::sign(SECRET, &sign::fresh_id(), sign::now_seconds(), large.as_bytes());
    assert_eq!(server.post_signed(&headers, &large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let chunked = reqwest::Body::wrap_stream(futures_util::stream::iter(
        large.as_bytes().chunks(64 * 1024).map(|c| Ok::<_, std::io::Error>(c.to_vec())).collect::<Vec<_>>(),
    ));
    let answer = server.request(Method::POST, "/api/webhooks/clerk").body(chunked).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let body = user_event("user.created", "user_1", T, "Ann").to_string();
    let mut headers = sign::sign(SECRET, &sign::fresh_id(), sign::now_seconds(), body.as_bytes());
    headers.push(("content-encoding", "gzip".to_owned()));
    assert_eq!(server.post_signed(&headers, &body).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(state(&server.data()), before);
}

/// One that is too short cuts the signed bytes off, and the rest is no request; one that is too long is never met.
#[tokio::test]
async fn a_length_that_lies_changes_nothing() {
    let server = TestServer::start().await;
    let before = state(&server.data());
    let body = user_event("user.created", "user_1", T, "Ann").to_string();
    for (length, statuses) in [(body.len() - 1, &[401, 400][..]), (body.len() + 1, &[400]), (0, &[401, 400])] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let mut request = format!("POST /api/webhooks/clerk HTTP/1.1\r\nhost: {}\r\n", server.address);
        for (name, value) in sign::sign(SECRET, &sign::fresh_id(), sign::now_seconds(), body.as_bytes()) {
            write!(request, "{name}: {value}\r\n").unwrap();
        }
        write!(request, "content-length: {length}\r\n\r\n{body}").unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        let answered: Vec<&str> = said.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
        let expected: Vec<String> = statuses.iter().map(ToString::to_string).collect();
        assert_eq!(answered, expected, "{length}: {said}");
    }
    assert_eq!(state(&server.data()), before);
}

#[tokio::test]
async fn only_get_and_post_are_known_there() {
    let server = TestServer::start().await;
    for method in [Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
        let answer = server.request(method, "/api/webhooks/clerk").send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.headers()["allow"], "GET, HEAD, POST");
    }
}

#[tokio::test]
async fn bad_signatures_do_not_make_the_log_grow() {
    let server = TestServer::start().await;
    let before = state(&server.data());
    for n in 0..200 {
        let headers = vec![
            ("svix-id", format!("msg_{n}")),
            ("svix-timestamp", sign::now_seconds().to_string()),
            ("svix-signature", "v1,AAAA".to_owned()),
        ];
        assert_eq!(server.post_signed(&headers, "{}").await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(state(&server.data()), before);
    let dir = server.stop().await;
    let again = TestServer::open(dir, &[], rollbook::clock::Clock::system()).await;
    let entries = again.entries().await;
    let rejected: Vec<_> = entries.iter().filter(|e| e.leaf.action == "webhook.rejected").collect();
    assert_eq!(rejected.len(), 1, "one entry for all of them");
    assert_eq!(rejected[0].leaf.count, Some(200));
}

#[tokio::test]
async fn secrets_can_be_replaced_without_a_gap() {
    let new = "whsec_YW5vdGhlciBzZWNyZXQgb2YgdHdlbnR5LWZvdXI=";
    let both = TestServer::with(&[("CLERK_WEBHOOK_SIGNING_SECRET", &format!("{new},{SECRET}"))]).await;
    let body = user_event("user.created", "user_1", T, "Ann").to_string();
    for secret in [new, SECRET] {
        let headers = sign::sign(secret, &sign::fresh_id(), sign::now_seconds(), body.as_bytes());
        assert_eq!(both.post_signed(&headers, &body).await.status, StatusCode::OK);
    }
    let only_new = TestServer::with(&[("CLERK_WEBHOOK_SIGNING_SECRET", new)]).await;
    let headers = sign::sign(SECRET, &sign::fresh_id(), sign::now_seconds(), body.as_bytes());
    assert_eq!(only_new.post_signed(&headers, &body).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn every_type_clerk_documents_ends_where_it_should() {
    let server = TestServer::start().await;
    for kind in EVENT_TYPES {
        let mut event = fixture(kind);
        // One instance for all: the fixtures name several, and others' events are set aside.
        event["instance_id"] = "ins_test".into();
        let outcome = server.outcome(&event).await;
        let expected: &[&str] = match kind.split_once('.').unwrap().0 {
            "email" | "sms" => &["recorded"],
            _ => &["applied", "unchanged", "stale"],
        };
        assert!(expected.contains(&outcome.as_str()), "{kind}: {outcome}");
    }
    assert_eq!(server.app.store.counts().quarantined, 0);
    assert_eq!(server.entries().await.iter().filter(|e| e.leaf.actor == "clerk").count(), EVENT_TYPES.len());
}

#[tokio::test]
async fn a_sign_in_moves_forward_only_and_may_come_before_its_user() {
    let server = TestServer::start().await;
    let session = |id: &str, at: i64| {
        json!({
            "type": "session.created", "object": "event", "timestamp": at, "instance_id": "ins_test",
            "data": { "object": "session", "id": id, "user_id": "user_1", "status": "active", "actor": null,
                      "created_at": at, "updated_at": at },
        })
    };
    assert_eq!(server.outcome(&session("sess_1", T + 100)).await, "applied");
    server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    let last = |server: &TestServer| server.user("user_1").unwrap().profile().last_sign_in_at.unwrap().as_millis();
    assert_eq!(last(&server), T + 100);
    server.outcome(&session("sess_2", T + 50)).await;
    assert_eq!(last(&server), T + 100, "never back");
    server.outcome(&user_event("user.updated", "user_1", T + 200, "Ann")).await;
    assert_eq!(last(&server), T + 100, "an update that knows of none leaves it");
    // The session is known to have ended already; that somebody signed in is news all the same.
    let mut ended = session("sess_3", T + 300);
    ended["type"] = "session.ended".into();
    ended["data"]["updated_at"] = (T + 400).into();
    assert_eq!(server.outcome(&ended).await, "applied");
    assert_eq!(server.outcome(&session("sess_3", T + 300)).await, "applied");
    assert_eq!(last(&server), T + 300);
    assert_eq!(server.entries().await.last().unwrap().leaf.reason, None);
}

#[tokio::test]
async fn what_changed_is_named_and_its_values_are_in_the_detail_if_wanted() {
    for (history, with_values) in [("full", true), ("fields", false)] {
        let server = TestServer::with(&[("ROLLBOOK_HISTORY", history)]).await;
        server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
        server.outcome(&user_event("user.updated", "user_1", T + 1, "Anna")).await;
        let entries = server.entries().await;
        let entry = entries.iter().find(|entry| entry.leaf.action == "user.updated").unwrap();
        assert_eq!(entry.leaf.changed, ["first_name"]);
        let values = entry.detail.as_ref().and_then(|detail| detail.get("changes")).cloned();
        let expected = with_values.then(|| json!({"first_name": {"before": "Ann", "after": "Anna"}}));
        assert_eq!(values, expected);
    }
}

#[tokio::test]
async fn operators_fields_survive_every_event() {
    let server = TestServer::start().await;
    server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    server.admin("user_1").await;
    server.outcome(&user_event("user.updated", "user_1", T + 1, "Anna")).await;
    server.outcome(&deleted_event("user_1", T + 2)).await;
    assert_eq!(server.user("user_1").unwrap().role.as_str(), "ADMIN");
    let answer = server.get_as(&token("user_1"), "/api/auth/me").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_signed_body_that_is_no_text_is_kept_and_an_unsigned_one_is_not() {
    use hmac_by_hand as hmac;
    let server = TestServer::start().await;
    let body = b"{\"type\":\"user.created\",\"data\":{\"id\":\"user_1\",\"first_name\":\"\xff\"}}".to_vec();
    for (signed, status) in [(true, StatusCode::OK), (false, StatusCode::UNAUTHORIZED)] {
        let (id, now) = (sign::fresh_id(), sign::now_seconds());
        let key = if signed { SECRET } else { "whsec_YW5vdGhlciBzZWNyZXQgb2YgdHdlbnR5LWZvdXI=" };
        let request = server.request(Method::POST, "/api/webhooks/clerk").body(body.clone());
        let request = request.header("svix-signature", hmac(key, &id, now, &body));
        let answer = request.header("svix-id", id).header("svix-timestamp", now).send().await.unwrap();
        assert_eq!(answer.status(), status);
    }
    assert_eq!(server.app.store.counts().quarantined, 1);
}

/// What svix cannot sign: a body that is no text.
fn hmac_by_hand(secret: &str, id: &str, timestamp: i64, body: &[u8]) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key);
    let message = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
    format!("v1,{}", STANDARD.encode(aws_lc_rs::hmac::sign(&key, &message)))
}

#[tokio::test]
async fn an_unknown_verb_of_a_known_object_changes_nothing() {
    let server = TestServer::start().await;
    server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    for kind in ["user.signed_in", "user", "user.", "session.exploded", "role"] {
        let event = json!({"type": kind, "data": {"id": "user_1", "updated_at": T + 9, "note": "x"}});
        assert_eq!(server.outcome(&event).await, "recorded", "{kind}");
    }
    assert_eq!(server.user("user_1").unwrap().profile().first_name.as_deref(), Some("Ann"));
    assert_eq!(server.app.store.counts().users, 1);
}

#[tokio::test]
async fn nothing_that_was_said_is_dropped_but_secrets() {
    let server = TestServer::start().await;
    let envelope = json!({"type": "foo.bar", "extra": "KEPT1", "otp_code": "CANARY1", "data": {"x": "KEPT2"}});
    assert_eq!(server.outcome(&envelope).await, "recorded");
    let list =
        json!({"type": "user.updated", "data": [{"id": "user_9", "first_name": "KEPT3", "otp_code": "CANARY2"}]});
    assert_eq!(server.outcome(&list).await, "quarantined");
    let text = json!({"type": "user.updated", "data": "KEPT4"});
    assert_eq!(server.outcome(&text).await, "quarantined");
    let nameless = json!({"type": "user.created", "otp_code": "CANARY3", "more": "KEPT5", "data": {}});
    assert_eq!(server.outcome(&nameless).await, "quarantined");
    let mut deleted = deleted_event("user_1", T);
    deleted["data"]["external_id"] = "KEPT6".into();
    assert_eq!(server.outcome(&deleted).await, "applied");
    let dir = server.stop().await;
    let file = std::fs::read(dir.path().join("rollbook.redb")).unwrap();
    let found = |text: &str| file.windows(text.len()).any(|window| window == text.as_bytes());
    for n in 1..=6 {
        assert!(found(&format!("KEPT{n}")), "KEPT{n}");
    }
    assert!(!found("CANARY"));
}

#[tokio::test]
async fn without_a_time_of_its_own_an_events_order_does_not_hang_on_its_signature() {
    let now = sign::now_seconds();
    let event = |name: &str| {
        let mut event = user_event("user.updated", "user_1", T, name);
        event.as_object_mut().unwrap().remove("timestamp");
        event.to_string()
    };
    let mut names = Vec::new();
    for order in
        [[("msg_a", "Ann", now), ("msg_b", "Bea", now - 50)], [("msg_b", "Bea", now), ("msg_a", "Ann", now - 50)]]
    {
        let server = TestServer::start().await;
        for (id, name, at) in order {
            let body = event(name);
            server.post_signed(&sign::sign(SECRET, id, at, body.as_bytes()), &body).await;
        }
        names.push(server.user("user_1").unwrap().profile().first_name);
    }
    assert_eq!(names[0], names[1]);
}

#[tokio::test]
async fn times_that_no_leaf_can_hold_give_way_to_the_signatures() {
    let server = TestServer::start().await;
    for (n, timestamp) in
        [json!(i64::MAX), json!(-5), json!(1e300), json!("now"), json!(1_i64 << 53)].iter().enumerate()
    {
        let mut event = user_event("user.created", &format!("user_{n}"), T, "Ann");
        event["timestamp"] = timestamp.clone();
        assert_eq!(server.outcome(&event).await, "applied", "{timestamp}");
    }
    for entry in server.entries().await.iter().filter(|entry| entry.leaf.action == "user.created") {
        let at = entry.leaf.event_at.unwrap().as_seconds();
        assert!((sign::now_seconds() - at).abs() < 100, "{at}");
    }
}

/// One-time codes, links, messages: sent through, and then looked for in every byte that was written.
#[tokio::test]
async fn secrets_never_reach_the_disk() {
    let server = TestServer::start().await;
    let canary = "CANARY7351";
    let message = |kind: &str| {
        let mut event = fixture(kind);
        for field in ["body", "body_plain", "message", "subject"] {
            event["data"][field] = format!("your code is {canary}").into();
        }
        event["data"]["data"] = json!({"otp_code": canary, "magic_link": format!("https://x.example/{canary}")});
        event
    };
    let mut user = user_event("user.created", "user_1", T, "Ann");
    user["data"]["phone_numbers"] = json!([{"id": "idn_2", "phone_number": "+15550100", "backup_codes": [canary]}]);
    let mut invitation = fixture("organizationInvitation.created");
    invitation["data"]["url"] = format!("https://x.example/accept?__clerk_ticket={canary}").into();
    for event in [message("email.created"), message("sms.created"), user, invitation] {
        server.deliver(&event).await;
    }
    let broken = message("email.created").to_string();
    let broken = &broken[..broken.len() - 20];
    let headers = sign::sign(SECRET, &sign::fresh_id(), sign::now_seconds(), broken.as_bytes());
    assert_eq!(server.post_signed(&headers, broken).await.json()["outcome"], "quarantined");
    let dir = server.stop().await;
    let file = std::fs::read(dir.path().join("rollbook.redb")).unwrap();
    let found = |text: &str| file.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(found("user_1@example.org"), "the file is searched as it is written");
    assert!(!found(canary));
}
