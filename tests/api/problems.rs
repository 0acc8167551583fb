//! How the API says no: one form, one sentence, an id that the log shares, and nothing about what is inside.

use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex};

use redb::{Database, TableDefinition};
use reqwest::{Method, StatusCode};
use rollbook::clock::Clock;
use rollbook::user::UserId;
use serde_json::Value;
use tracing::level_filters::LevelFilter;

use crate::common::{Answer, TestServer, clerk_id, sign, token, user_event};
use crate::jwks_server::JwksServer;
use crate::{T, names};

/// Everything that anybody in this process says, at every level.
static LOG: LazyLock<Page> = LazyLock::new(|| {
    let page = Page::default();
    let writer = page.clone();
    let log = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_ansi(false);
    log.with_writer(move || writer.clone()).init();
    page
});

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The form of RFC 9457 and nothing more; the status in it is the answer's; the log has the id exactly once.
fn assert_problem(answer: &Answer, status: u16, slug: &str, case: &str) {
    assert_eq!(answer.status.as_u16(), status, "{case}: {}", answer.text);
    assert_eq!(answer.header("content-type"), "application/problem+json", "{case}");
    let body = answer.json();
    assert_eq!(names(&body), ["detail", "error_id", "status", "title", "type"], "{case}");
    assert_eq!((&body["status"], &body["type"]), (&status.into(), &format!("urn:rollbook:problem:{slug}").into()));
    assert!(!body["title"].as_str().unwrap().is_empty() && body["detail"].as_str().unwrap().ends_with('.'), "{case}");
    let id = body["error_id"].as_str().unwrap();
    assert!(id.len() == 20 && id.starts_with("ERR_"), "{case}: {id}");
    let log = LOG.text();
    let lines: Vec<_> = log.lines().filter(|line| line.contains(id)).collect();
    assert_eq!(lines.len(), 1, "{case}: {lines:?}");
    assert!(lines[0].contains(&format!("status={status}")), "{case}: {}", lines[0]);
    assert_eq!(lines[0].contains("ERROR"), status >= 500, "{case}: {}", lines[0]);
    assert_says_nothing_of_the_inside(answer, case);
    assert_secured(answer, case);
}

/// Nothing that tells an attacker what is inside: version, path, part.
fn assert_says_nothing_of_the_inside(answer: &Answer, case: &str) {
    let headers = format!("{:?}", answer.headers);
    for text in [&answer.text, &headers] {
        let inside = [env!("CARGO_PKG_VERSION"), "hyper", "warp", "redb", ".rs", "src/", "/tmp", "panick", "backtrace"];
        for word in inside {
            assert!(!text.contains(word), "{case}: {word} in {text}");
        }
    }
    assert!(!answer.headers.contains_key("server") && !answer.headers.contains_key("x-powered-by"), "{case}");
}

fn assert_secured(answer: &Answer, case: &str) {
    assert_eq!(answer.header("x-content-type-options"), "nosniff", "{case}");
    assert_eq!(answer.header("cache-control"), "no-store", "{case}");
    assert_eq!(answer.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'", "{case}");
    assert!(!answer.headers.contains_key("access-control-allow-origin"), "{case}");
    assert!(!answer.headers.contains_key("set-cookie"), "{case}");
}

#[tokio::test]
async fn every_refusal_has_one_form_and_an_id_that_the_log_shares() {
    LazyLock::force(&LOG);
    let server = TestServer::start().await;
    let admin = server.admin("user_boss").await;
    let mine = token("user_1");
    let ask = async |method: Method, path: &str, token: &str| {
        Answer::of(server.request(method, path).bearer_auth(token).send().await.unwrap()).await
    };
    let cases = [
        (Method::GET, "/api/users?limit=0", &admin, 400, "bad-request"),
        (Method::GET, "/api/users", &"x".to_owned(), 401, "unauthorized"),
        (Method::GET, "/api/users", &mine, 403, "forbidden"),
        (Method::GET, "/api/users/user_boss", &mine, 404, "not-found"),
        (Method::GET, "/api/nothing/canary-path?x=canary-query", &admin, 404, "not-found"),
        (Method::GET, "/nothing", &admin, 404, "not-found"),
        (Method::GET, "/.env", &admin, 404, "not-found"),
        (Method::GET, "/.git/config", &admin, 404, "not-found"),
        (Method::POST, "/api/auth/me", &admin, 405, "method-not-allowed"),
        (Method::TRACE, "/api/users", &admin, 405, "method-not-allowed"),
        (Method::PUT, "/api/webhooks", &admin, 405, "method-not-allowed"),
    ];
    for (method, path, token, status, slug) in cases {
        let answer = ask(method.clone(), path, token).await;
        assert_problem(&answer, status, slug, &format!("{method} {path}"));
        assert!(!answer.text.contains("canary"), "{}", answer.text);
        assert_eq!(answer.headers.contains_key("allow"), status == 405);
        assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401);
    }
    let post = async |headers: &[(&'static str, String)], body: String| server.post_signed(headers, &body).await;
    assert_problem(&post(&[], "{}".to_owned()).await, 400, "bad-request", "no headers");
    let bad = [
        ("svix-id", "msg_1".to_owned()),
        ("svix-timestamp", sign::now_seconds().to_string()),
        ("svix-signature", "v1,AAAA".to_owned()),
    ];
    assert_problem(&post(&bad, "{}".to_owned()).await, 401, "bad-signature", "a bad signature");
    let large = " ".repeat((1 << 20) + 1);
    assert_problem(&post(&bad, large).await, 413, "too-large", "a large body");
    let gzip = [&bad[..], &[("content-encoding", "gzip".to_owned())]].concat();
    assert_problem(&post(&gzip, "{}".to_owned()).await, 415, "unsupported-media-type", "an encoded body");
    let elsewhere = server.request(Method::GET, "/health").header("host", "evil.example");
    assert_problem(&Answer::of(elsewhere.send().await.unwrap()).await, 421, "misdirected", "another host");
}

#[tokio::test]
async fn our_own_trouble_is_told_to_the_log_alone() {
    LazyLock::force(&LOG);
    let server = TestServer::start().await;
    server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    let dir = server.stop().await;
    {
        let file = Database::open(dir.path().join("rollbook.redb")).unwrap();
        let txn = file.begin_write().unwrap();
        let users = TableDefinition::<u128, &[u8]>::new("users-1");
        let id = UserId::of(&clerk_id("user_1")).as_u128();
        let before = txn.open_table(users).unwrap().insert(id, &b"{\"canary\":"[..]).unwrap().map(|_| ());
        assert_eq!(before, Some(()), "a row there was");
        txn.commit().unwrap();
    }
    let server = TestServer::open(dir, &[], Clock::system()).await;
    let answer = server.get_as(&token("user_1"), "/api/auth/me").await;
    assert_problem(&answer, 500, "internal", "a damaged row");
    assert!(!answer.text.contains("canary") && !answer.text.contains("row"), "{}", answer.text);
    let id = answer.json()["error_id"].as_str().unwrap().to_owned();
    let log = LOG.text();
    assert!(log.lines().any(|line| line.contains(&id) && line.contains("a user")), "the cause is in the log");
    assert!(!log.contains("canary\":"), "and the row is not");
    assert_eq!(server.get("/health").await.status, StatusCode::OK, "one bad row is no reason to stop");
    assert_eq!(server.get_as(&token("user_2"), "/api/auth/me").await.status, StatusCode::OK);
}

#[tokio::test]
async fn trouble_that_should_pass_says_when_to_try_again() {
    LazyLock::force(&LOG);
    let keys = JwksServer::start("{}").await;
    keys.fail();
    let server = TestServer::with(&[("CLERK_JWT_KEY", ""), ("CLERK_JWKS_URL", keys.url())]).await;
    let answer = server.get_as(&token("user_1"), "/api/auth/me").await;
    assert_problem(&answer, 503, "unavailable", "no keys");
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=30).contains(&seconds));
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let server = TestServer::start().await;
    let admin = server.admin("user_boss").await;
    for path in [
        "/health",
        "/ready",
        "/api/webhooks/clerk",
        "/api/auth/me",
        "/api/session",
        "/api/users",
        "/api/users/user_boss",
        "/api/users/user_boss/audit",
        "/api/audit",
    ] {
        let answer = server.get_as(&admin, path).await;
        assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/json"), "{path}");
        assert_secured(&answer, path);
        // Another site's page learns nothing.
        for origin in ["https://evil.example", "null", "http://localhost:3000"] {
            let asked = server.request(Method::GET, path).bearer_auth(&admin).header("origin", origin);
            assert_secured(&Answer::of(asked.send().await.unwrap()).await, path);
            let asked = server.request(Method::OPTIONS, path).header("origin", origin);
            let asked = asked.header("access-control-request-method", "GET");
            let preflight = Answer::of(asked.send().await.unwrap()).await;
            assert_eq!(preflight.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
            assert_secured(&preflight, path);
        }
    }
    let event = user_event("user.created", "user_1", T, "Ann");
    let answer = server.deliver(&event).await;
    assert_eq!(answer.json(), serde_json::json!({"outcome": "applied"}));
    assert_secured(&answer, "a webhook");
}

#[tokio::test]
async fn error_ids_are_never_the_same() {
    let server = TestServer::start().await;
    let mut ids: Vec<Value> = Vec::new();
    for _ in 0..100 {
        ids.push(server.get("/nothing").await.json()["error_id"].clone());
    }
    ids.sort_by_key(ToString::to_string);
    ids.dedup();
    assert_eq!(ids.len(), 100);
}
