//! API keys through the front door: what each scope opens, who is refused and how, and that nothing of a secret stays.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;
#[path = "description/operations.rs"]
#[allow(dead_code, reason = "the description's own tests use the rest of it")]
mod operations;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::{Answer, TestServer, sign, token, user_event};
use operations::Operation;
use reqwest::{Method, StatusCode};
use rollbook::api_key::{ApiKey, KeyId, Scope, Scopes, Wanted};
use rollbook::audit::{Actor, Draft, Entry, Source};
use rollbook::clock::{Clock, Timestamp};
use serde_json::{Value, json};

/// When Clerk's events were, in milliseconds.
const T: i64 = 1_750_000_000_000;

const MINUTE: i64 = 60 * 1000;

/// A key and its secret.
async fn make(server: &TestServer, scopes: &[Scope], expires_at: Option<Timestamp>) -> (KeyId, String) {
    let scopes = Scopes::new(scopes.iter().copied()).unwrap();
    let wanted = Wanted { name: "a server".parse().unwrap(), scopes, expires_at };
    let (key, secret) = server.app.store.create_api_key(wanted, by_cli("key.created")).await.unwrap();
    (key.id, secret.reveal().to_owned())
}

async fn revoke(server: &TestServer, id: &KeyId) -> ApiKey {
    server.app.store.revoke_api_key(id.clone(), by_cli("key.revoked")).await.unwrap().unwrap()
}

fn by_cli(action: &str) -> Draft {
    Draft::new(action, Actor::Cli, Source::Cli)
}

/// What opens the routes there have always been, said once more; `None` is a session alone.
const OPENED_BY: [(&str, Option<Scope>); 17] = [
    ("GET /api/users", Some(Scope::UsersRead)),
    ("GET /api/users/user_1", Some(Scope::UsersRead)),
    ("GET /api/users/user_1/sessions", Some(Scope::UsersRead)),
    ("GET /api/organizations", Some(Scope::UsersRead)),
    ("POST /api/users/ever", Some(Scope::UsersRead)),
    ("GET /api/users/user_1/audit", Some(Scope::AuditRead)),
    ("GET /api/audit", Some(Scope::AuditRead)),
    ("GET /api/audit/review", Some(Scope::AuditRead)),
    ("GET /api/events", Some(Scope::AuditRead)),
    ("GET /log/checkpoint", Some(Scope::LogRead)),
    ("GET /log/tile/0/000.p/1", Some(Scope::LogRead)),
    ("GET /log/entries/0", Some(Scope::LogRead)),
    ("GET /metrics", Some(Scope::MetricsRead)),
    ("GET /api/auth/me", None),
    ("GET /api/session", None),
    ("GET /api/auth/verify", None),
    ("POST /api/audit/review", None),
];

async fn call(server: &TestServer, operation: &Operation, secret: &str) -> Answer {
    // As from another machine: who is on the same one may have the metrics without showing anything.
    let request = server.request(operation.method.clone(), &operation.path("user_1")).header("via", "1.1 test");
    let request = match operation.body() {
        Some(body) => request.json(&body),
        None => request,
    };
    Answer::of(request.bearer_auth(secret).send().await.unwrap()).await
}

/// The scope that opens an operation to keys, as the server describes it.
fn scope(operation: &Operation) -> Option<Scope> {
    let ways = operation.object["security"].as_array().unwrap();
    ways.iter().find_map(|way| way["key"][0].as_str()).map(|scope| scope.parse().unwrap())
}

fn is_for_sessions(operation: &Operation) -> bool {
    operation.schemes().iter().any(|scheme| scheme == "session")
}

#[tokio::test]
async fn a_key_opens_what_its_scopes_say_and_nothing_else() {
    let server = TestServer::start().await;
    server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    server.app.notary.publish().await.unwrap();
    let mut secrets = Vec::new();
    for scope in Scope::ALL {
        secrets.push((scope, make(&server, &[scope], None).await.1));
    }
    let all = operations::all(&server).await;
    for operation in &all {
        for (scope, secret) in &secrets {
            let answer = call(&server, operation, secret).await;
            let said = || format!("{} {} with {scope}: {answer:?}", operation.method, operation.path);
            match self::scope(operation) {
                Some(wanted) if wanted == *scope => {
                    assert!(!matches!(answer.status.as_u16(), 401 | 403 | 405 | 500..), "{}", said());
                }
                Some(wanted) => {
                    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", said());
                    let detail = format!("This needs an API key with the scope {wanted}.");
                    assert_eq!(answer.json()["detail"], detail, "{}", said());
                }
                None if is_for_sessions(operation) => {
                    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", said());
                    assert!(answer.text.contains("an API key stands for no user"), "{}", said());
                }
                // For everybody, or for whoever can sign.
                None => assert_ne!(answer.status, StatusCode::FORBIDDEN, "{}", said()),
            }
        }
    }
    for (route, scope) in OPENED_BY {
        let found = all.iter().find(|operation| format!("{} {}", operation.method, operation.path("user_1")) == route);
        assert_eq!(found.map(|found| (self::scope(found), is_for_sessions(found))), Some((scope, true)), "{route}");
    }
}

/// The parts of a problem that are not its id.
fn refusal(answer: &Answer) -> (StatusCode, Value, String) {
    let mut problem = answer.json();
    problem["error_id"].take();
    (answer.status, problem, answer.header("www-authenticate").to_owned())
}

#[tokio::test]
async fn whatever_is_wrong_with_a_key_the_answer_is_the_same_and_only_counted() {
    let clock = Clock::fixed(Timestamp::from_millis(sign::now_seconds() * 1000));
    let server = TestServer::with_clock(&[], clock.clone()).await;
    let (_, good) = make(&server, &[Scope::UsersRead], None).await;
    let end = clock.now().plus_millis(MINUTE);
    let (_, short) = make(&server, &[Scope::UsersRead], Some(end)).await;
    let (id, revoked) = make(&server, &[Scope::UsersRead], None).await;
    clock.set(end.plus_millis(-1));
    for secret in [&good, &short, &revoked] {
        assert_eq!(server.get_as(secret, "/api/users").await.status, StatusCode::OK);
    }
    clock.set(end);
    assert_eq!(revoke(&server, &id).await.revoked_at, Some(end));

    let expected = refusal(&server.get("/api/users").await);
    assert_eq!((expected.0, expected.2.as_str()), (StatusCode::UNAUTHORIZED, "Bearer error=\"invalid_token\""));
    let before = server.app.store.counts().entries;
    let unknown = format!("rbk_{}", "A".repeat(43));
    let cut = &good[..good.len() - 1];
    let other_case = good.replacen("rbk_", "RBK_", 1);
    for secret in [&short, &revoked, &unknown, cut, &format!("{good}A"), "rbk_", "rbk_.a.b", &other_case] {
        assert_eq!(refusal(&server.get_as(secret, "/api/users").await), expected, "{secret}");
        assert_eq!(server.get_as(secret, "/api/session").await.status, StatusCode::UNAUTHORIZED, "{secret}");
    }
    let two = server.request(Method::GET, "/api/users").bearer_auth(&good).bearer_auth(&good).send().await.unwrap();
    assert_eq!(refusal(&Answer::of(two).await), expected);
    assert_eq!(server.app.store.counts().entries, before, "attempts leave no entries");
    let tallied: Vec<Draft> = server.app.tally.take();
    let count = |reason| tallied.iter().find(|draft| draft.reason == Some(reason)).and_then(|draft| draft.count);
    assert!(tallied.iter().all(|draft| draft.actor == Actor::Anonymous && draft.action == "api.unauthenticated"));
    assert_eq!((count("expired_key"), count("revoked_key"), count("unknown_key")), (Some(2), Some(2), Some(2)));
    assert_eq!(count("malformed_key"), Some(8));
    assert_eq!(server.get_as(&good, "/api/users").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_refused_from_the_moment_it_is_revoked() {
    let server = Arc::new(TestServer::start().await);
    let (id, secret) = make(&server, &[Scope::UsersRead], None).await;
    let (revoking, revoked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (server, secret, revoking, revoked) =
                (server.clone(), secret.clone(), revoking.clone(), revoked.clone());
            tokio::spawn(async move {
                let mut count = 0;
                loop {
                    let was_revoked = revoked.load(Ordering::SeqCst);
                    let status = server.get_as(&secret, "/api/users").await.status;
                    match status {
                        StatusCode::OK if !was_revoked => count += 1,
                        StatusCode::UNAUTHORIZED if was_revoked => return count,
                        // It came while the key was being revoked.
                        StatusCode::UNAUTHORIZED if revoking.load(Ordering::SeqCst) => {}
                        other => panic!("{other}, revoked: {was_revoked}"),
                    }
                }
            })
        })
        .collect();
    while server.count("users.listed").await < 20 && !clients.iter().any(tokio::task::JoinHandle::is_finished) {
        tokio::task::yield_now().await;
    }
    revoking.store(true, Ordering::SeqCst);
    revoke(&server, &id).await;
    revoked.store(true, Ordering::SeqCst);
    let mut answered = 0;
    for client in clients {
        answered += client.await.unwrap();
    }
    assert!(answered >= 20, "{answered}");
    let entries = server.entries().await;
    let at = |action: &str| entries.iter().rposition(|entry| entry.leaf.action == action).unwrap();
    assert!(entries[at("key.revoked")..].iter().filter(|entry| entry.leaf.action == "users.listed").count() <= 4);
}

/// Who did it, from where, and to whom, of an entry.
fn told(entry: &Entry) -> (&str, Option<&str>, bool) {
    let detail = entry.detail.as_ref().unwrap();
    let target = entry.target_user.as_ref().map(rollbook::user::ClerkId::as_str);
    (&entry.leaf.actor, target, detail.get("ip").is_some() && detail["user_agent"] == "a server/1")
}

#[tokio::test]
async fn what_a_key_does_is_in_the_log_under_its_id() {
    let server = TestServer::start().await;
    server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    let (id, secret) = make(&server, &[Scope::UsersRead, Scope::AuditRead, Scope::LogRead], None).await;
    let actor = format!("key:{id}");
    let made = server.entries().await.pop().unwrap();
    assert_eq!((made.leaf.actor.as_str(), made.leaf.target.as_deref()), ("cli", Some(actor.as_str())));
    assert_eq!(made.detail.unwrap()["scopes"], json!(["users:read", "audit:read", "log:read"]));
    let get = async |path: &str| {
        let request = server.request(Method::GET, path).bearer_auth(&secret).header("user-agent", "a server/1");
        let answer = Answer::of(request.send().await.unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
        answer
    };
    for (path, action, target) in [
        ("/api/users", "users.listed", None),
        ("/api/users/user_1", "user.read", Some("user_1")),
        ("/api/users/user_1/audit", "user.audit_read", Some("user_1")),
        ("/api/audit?subject=user_1", "audit.listed", Some("user_1")),
        ("/log/entries/1", "log.entry_read", None),
    ] {
        get(path).await;
        let entry = server.entries().await.pop().unwrap();
        assert_eq!(entry.leaf.action, action);
        assert_eq!(told(&entry), (actor.as_str(), target, true), "{path}");
    }
    // A record as an admin sees it.
    assert_eq!(get("/api/users/user_1").await.json()["private_metadata"], json!({ "note": "for admins" }));
    // The user is told that it was a key, and not which.
    let own = server.get_as(&token("user_1"), "/api/users/user_1/audit?action=user.read").await;
    assert_eq!(own.json()["items"][0]["actor"], "key");
    assert!(!own.text.contains(id.as_str()), "{}", own.text);
}

#[tokio::test]
async fn what_servers_read_every_few_seconds_is_one_entry_a_minute() {
    let server = TestServer::start().await;
    let (id, secret) = make(&server, &[Scope::LogRead, Scope::MetricsRead], None).await;
    server.app.notary.publish().await.unwrap();
    let entries = server.app.store.counts().entries;
    for _ in 0..10 {
        assert_eq!(server.get_as(&secret, "/log/checkpoint").await.status, StatusCode::OK);
        let entry = server.get_as(&secret, "/log/entries/0").await;
        assert_eq!(entry.status, StatusCode::OK, "{}", entry.text);
        let entry = entry.json();
        assert!(entry["leaf"]["action"].is_string() && entry.get("detail").is_none() && entry.get("salt").is_none());
        for _ in 0..2 {
            let scrape = server.request(Method::GET, "/metrics").header("via", "1.1 test").bearer_auth(&secret);
            assert_eq!(scrape.send().await.unwrap().status(), StatusCode::OK);
        }
    }
    // So much is refused in one second that only the first time is an entry, and the rest is counted.
    for _ in 0..200 {
        assert_eq!(server.get_as(&secret, "/api/users").await.status, StatusCode::FORBIDDEN);
    }
    let denied = server.app.store.counts().entries - entries;
    let folder = server.stop().await;
    let server = TestServer::open(folder, &[], Clock::system()).await;
    let found = server.entries().await;
    let mine = |action: &str| -> Vec<_> {
        let actor = format!("key:{id}");
        found.iter().filter(|entry| entry.leaf.action == action && entry.leaf.actor == actor).collect()
    };
    for action in ["log.read", "metrics.read"] {
        let reads = mine(action);
        let told: Vec<_> = reads.iter().map(|entry| (entry.leaf.outcome.as_str(), entry.leaf.count)).collect();
        assert_eq!(told, [("ok", Some(20))], "{action}");
    }
    let denials = mine("api.denied");
    assert_eq!(denials.len() as u64, denied + 1);
    assert!(denials.iter().all(|entry| entry.leaf.reason.as_deref() == Some("no_scope")));
    let counted: u64 = denials.iter().map(|entry| entry.leaf.count.unwrap_or(1)).sum();
    assert_eq!(counted, 200);
}

#[tokio::test]
async fn a_public_log_is_open_to_keys_of_any_scope_and_its_details_to_those_that_may_read_them() {
    let server = TestServer::with(&[("ROLLBOOK_PUBLIC_LOG", "true")]).await;
    server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    server.app.notary.publish().await.unwrap();
    let entries = server.entries().await;
    let index = entries.iter().position(|entry| entry.leaf.action == "user.created").unwrap();
    let path = format!("/log/entries/{index}");
    for (scopes, told) in [
        (&[Scope::UsersRead][..], false),
        (&[Scope::AuditRead][..], false),
        (&[Scope::LogRead][..], false),
        (&[Scope::LogRead, Scope::AuditRead][..], true),
    ] {
        let (_, secret) = make(&server, scopes, None).await;
        let answer = server.get_as(&secret, &path).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.json().get("detail").is_some(), told, "{scopes:?}");
    }
    assert_eq!(server.get_as("rbk_nonsense", &path).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn when_a_key_was_last_used_is_kept_to_the_minute() {
    let clock = Clock::fixed(Timestamp::from_millis(sign::now_seconds() * 1000));
    let server = TestServer::with_clock(&[], clock.clone()).await;
    let (id, secret) = make(&server, &[Scope::UsersRead], None).await;
    let used = async || {
        let keys = server.app.store.api_keys().await.unwrap();
        keys.into_iter().find(|key| key.id == id).unwrap().last_used_at
    };
    let start = clock.now();
    assert_eq!(used().await, None);
    for (later, expected) in
        [(0, 0), (MINUTE - 1, 0), (MINUTE, MINUTE), (MINUTE + 30_000, MINUTE), (9 * MINUTE, 9 * MINUTE)]
    {
        clock.set(start.plus_millis(later));
        // What is refused for want of a scope was a use all the same.
        server.get_as(&secret, if later == 0 { "/api/audit" } else { "/api/users" }).await;
        assert_eq!(used().await, Some(start.plus_millis(expected)), "{later}");
    }
    let others = server.app.store.api_keys().await.unwrap().len();
    revoke(&server, &id).await;
    clock.set(start.plus_millis(20 * MINUTE));
    server.get_as(&secret, "/api/users").await;
    assert_eq!((used().await, others), (Some(start.plus_millis(9 * MINUTE)), 1));
    let revocations = server.count("key.revoked").await;
    revoke(&server, &id).await;
    assert_eq!(server.count("key.revoked").await, revocations, "revoked before: nothing happens");
}

#[tokio::test]
async fn no_secret_is_in_any_file() {
    let server = TestServer::start().await;
    let (id, secret) = make(&server, &Scope::ALL, None).await;
    for path in [
        "/api/users",
        "/api/audit",
        "/api/auth/me",
        &format!("/api/users/{secret}"),
        &format!("/api/users?query={secret}"),
    ] {
        server.get_as(&secret, path).await;
    }
    server.get_as(&format!("{secret}x"), "/api/users").await;
    let audit = server.get_as(&secret, "/api/audit").await;
    assert!(audit.text.contains(id.as_str()) && !audit.text.contains(&secret[4..]));
    revoke(&server, &id).await;
    let folder = server.stop().await;
    let bytes = URL_SAFE_NO_PAD.decode(&secret[4..]).unwrap();
    let mut seen = false;
    for file in std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path()) {
        let content = std::fs::read(&file).unwrap();
        let holds = |what: &[u8]| content.windows(what.len()).any(|window| window == what);
        assert!(!holds(&secret.as_bytes()[4..]) && !holds(&bytes), "{}", file.display());
        seen |= holds(id.as_str().as_bytes());
    }
    assert!(seen, "the key itself is in the file");
}

#[tokio::test]
async fn a_key_that_would_be_over_before_it_begins_is_not_made() {
    let server = TestServer::start().await;
    let scopes = Scopes::new([Scope::LogRead]).unwrap();
    let wanted = Wanted { name: "late".parse().unwrap(), scopes, expires_at: Some(Timestamp::from_millis(T)) };
    assert!(server.app.store.create_api_key(wanted, by_cli("key.created")).await.is_err());
    assert_eq!(server.count("key.created").await, 0);
}
