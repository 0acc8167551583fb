//! The feed as a stream that stays open.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Method, Response, StatusCode};
use rollbook::api_key::{Scope, Scopes, Wanted};
use rollbook::clock::Clock;
use rollbook::store::UserPatch;
use rollbook::user::UserId;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use crate::common::tokens::{claims, with};
use crate::common::{self, CLERK, TestServer, deleted_event, sign, token, user_event};
use crate::sse::Blocks;
use crate::{Actor, Draft, Source, T, seqs, told};

/// Nothing here takes this long. What does is a failure, not a slow machine.
const PATIENCE: Duration = Duration::from_mins(1);

async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: still waiting"))
}

/// A reader of a stream.
struct Reader(Blocks);

/// Asks for a stream, behind that event if there is one.
async fn ask(server: &TestServer, token: &str, query: &str, last: Option<u64>) -> Response {
    let request = server.request(Method::GET, &format!("/api/events{query}")).bearer_auth(token);
    let request = request.header("accept", "text/event-stream");
    let request = last.iter().fold(request, |request, last| request.header("last-event-id", *last));
    soon("a stream", request.send()).await.unwrap()
}

impl Reader {
    async fn open(server: &TestServer, token: &str, query: &str, last: Option<u64>) -> Self {
        Self(Blocks::of(ask(server, token, query, last).await))
    }

    /// The next event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Value> {
        loop {
            let event = event(&self.0.next().await?);
            if event.is_some() {
                return event;
            }
        }
    }

    async fn take(&mut self, count: usize) -> Vec<Value> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(self.next().await.unwrap());
        }
        events
    }
}

/// The event of a block, whose three lines must agree; `None` for a sign of life.
fn event(block: &str) -> Option<Value> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let event: Value = serde_json::from_str(field("data")?).unwrap();
    assert_eq!(
        (field("id").unwrap(), field("event").unwrap()),
        (&*event["seq"].to_string(), event["type"].as_str().unwrap())
    );
    assert_eq!(block.lines().count(), 3);
    Some(event)
}

#[tokio::test]
async fn a_stream_tells_what_was_and_what_comes() {
    let server = TestServer::start().await;
    let boss = server.admin("user_boss").await;
    server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    let mut reader = Reader::open(&server, &boss, "", None).await;
    let mut events = reader.take(3).await;
    for n in 2..6 {
        server.outcome(&user_event("user.created", &format!("user_{n}"), T, "Ann")).await;
        events.push(reader.next().await.unwrap());
    }
    server.get_as(&token("user_1"), "/api/users").await;
    server.outcome(&deleted_event("user_1", T + 1)).await;
    events.push(reader.next().await.unwrap());
    assert_eq!(seqs(&events), told(&server).await);
    // The same things as a page has them.
    let page = server.get_as(&boss, "/api/events").await.json();
    assert_eq!(page["items"].as_array().unwrap().last(), events.last());
    assert_eq!((server.count("events.streamed").await, server.count("events.read").await), (1, 1));
}

#[tokio::test]
async fn a_reader_who_was_cut_off_goes_on_without_gap_or_double() {
    let server = TestServer::start().await;
    let boss = server.admin("user_boss").await;
    let deliver = async {
        for n in 0..120 {
            server.outcome(&user_event("user.created", &format!("user_{n}"), T, "Ann")).await;
        }
    };
    let read = async {
        let (mut events, mut last) = (Vec::new(), None);
        for cut in [1, 3, 17, 2, 40, 59] {
            // The number in the query is the one that was first asked for, as in a browser; the header wins.
            let mut reader = Reader::open(&server, &boss, "?after=0&limit=4", last).await;
            events.extend(reader.take(cut).await);
            last = events.last().and_then(|event: &Value| event["seq"].as_u64());
        }
        events
    };
    let (events, ()) = tokio::join!(read, deliver);
    assert_eq!(seqs(&events), told(&server).await);
}

#[tokio::test]
async fn a_stream_tells_the_types_that_are_wanted() {
    let server = TestServer::start().await;
    let boss = server.admin("user_boss").await;
    let mut reader = Reader::open(&server, &boss, "?types=user.deleted", None).await;
    for n in 0..3 {
        server.outcome(&user_event("user.created", &format!("user_{n}"), T, "Ann")).await;
        server.outcome(&deleted_event(&format!("user_{n}"), T + 1)).await;
        let event = reader.next().await.unwrap();
        assert_eq!(
            (&event["type"], &event["user"]["clerk_user_id"]),
            (&"user.deleted".into(), &format!("user_{n}").into())
        );
    }
    for bad in ["x", "-1", "", "1 "] {
        let request =
            server.request(Method::GET, "/api/events").bearer_auth(&boss).header("accept", "text/event-stream");
        let answer = request.header("last-event-id", bad).send().await.unwrap();
        // A header's value ends where its last character is.
        let expected = if bad == "1 " { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        assert_eq!(answer.status(), expected, "{bad:?}");
    }
}

/// A user who takes up so many bytes in every event.
fn large(n: usize) -> Value {
    let mut event = user_event("user.created", &format!("user_{n:03}"), T, "Ann");
    event["data"]["public_metadata"] = serde_json::json!({ "filler": "x".repeat(200_000) });
    event
}

#[tokio::test]
async fn a_reader_who_does_not_read_holds_nobody_up() {
    let server = TestServer::start().await;
    let boss = server.admin("user_boss").await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stuck = socket.connect(server.address).await.unwrap();
    let head = format!(
        "GET /api/events?types=user.created&limit=3 HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {boss}\r\n\
         Accept: text/event-stream\r\n\r\n",
        server.address
    );
    stuck.write_all(head.as_bytes()).await.unwrap();
    let mut other = Reader::open(&server, &boss, "?types=user.created", None).await;
    // 6 MB in all: far more than the system takes off the server's hands.
    for n in 0..30 {
        server.outcome(&large(n)).await;
        assert_eq!(other.next().await.unwrap()["user"]["clerk_user_id"], format!("user_{n:03}"));
    }
    // And it has lost nothing by it.
    let (mut text, mut buffer) = (String::new(), vec![0; 1 << 16]);
    let mut seen = 0;
    while seen < 30 {
        let read = soon("what was kept waiting", stuck.read(&mut buffer)).await.unwrap();
        assert!(read > 0, "the stream ended");
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
        while let Some(at) = text.find("\"clerk_user_id\":\"user_") {
            let rest = &text[at + 22..];
            let Some(name) = rest.get(..3) else { break };
            let number: usize = name.parse().unwrap();
            // Each stands there twice: the event's user, and the record.
            assert!(number == seen || number + 1 == seen, "{number} {seen}");
            seen = number + 1;
            text = rest.to_owned();
        }
        text = text.split_off(text.len().saturating_sub(64));
    }
}

#[tokio::test]
async fn a_stream_does_not_hold_up_the_servers_end() {
    let server = TestServer::start().await;
    let boss = server.admin("user_boss").await;
    let mut reader = Reader::open(&server, &boss, "", None).await;
    reader.take(2).await;
    let (end, dir) = tokio::join!(reader.next(), soon("the end", server.stop()));
    // A connection that had to be cut would have been an error to the reader.
    assert_eq!(end, None);
    drop(dir);
}

#[tokio::test]
async fn a_stream_ends_when_its_token_runs_out() {
    let clock = Clock::fixed(common::now());
    let server = TestServer::with_clock(&[], clock.clone()).await;
    server.admin("user_boss").await;
    let boss = CLERK.mint(&claims("user_boss", clock.now().as_seconds()));
    let mut reader = Reader::open(&server, &boss, "", None).await;
    reader.take(2).await;
    server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    reader.take(1).await;
    clock.set(clock.now().plus_millis(120_000));
    server.outcome(&user_event("user.created", "user_2", T, "Ann")).await;
    assert_eq!(reader.next().await, None, "not a word after that");
    assert_eq!(ask(&server, &boss, "", None).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_stream_ends_with_the_readers_rights() {
    let server = TestServer::start().await;
    let boss = server.admin("user_boss").await;
    let mut reader = Reader::open(&server, &boss, "", None).await;
    reader.take(2).await;
    let patch = UserPatch { role: Some("USER".parse().unwrap()), ..UserPatch::default() };
    let boss_id = UserId::of(&common::clerk_id("user_boss"));
    server.app.store.set_user(boss_id, patch, None, by_cli("user.assigned")).await.unwrap();
    assert_eq!(reader.next().await, None);
    assert_eq!(ask(&server, &boss, "", None).await.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_stream_ends_when_its_key_is_revoked() {
    let server = TestServer::start().await;
    let scopes = Scopes::new([Scope::AuditRead]).unwrap();
    let wanted = Wanted { name: "a server".parse().unwrap(), scopes, expires_at: None };
    let store = &server.app.store;
    let (key, secret) = store.create_api_key(wanted, by_cli("key.created")).await.unwrap();
    let mut reader = Reader::open(&server, secret.reveal(), "", None).await;
    server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    reader.take(1).await;
    store.revoke_api_key(key.id, by_cli("key.revoked")).await.unwrap().unwrap();
    server.outcome(&user_event("user.created", "user_2", T, "Ann")).await;
    assert_eq!(reader.next().await, None);
    assert_eq!(ask(&server, secret.reveal(), "", None).await.status(), StatusCode::UNAUTHORIZED);
}

/// Each chunk is sent to somebody who still may read, which is no further request of theirs.
#[tokio::test]
async fn a_stream_is_one_request() {
    let server = TestServer::with(&[("ROLLBOOK_RATE_TOKEN", "1")]).await;
    let boss = server.admin("user_boss").await;
    let mut reader = Reader::open(&server, &boss, "", None).await;
    reader.take(2).await;
    for n in 0..30 {
        server.outcome(&user_event("user.created", &format!("user_{n}"), T, "Ann")).await;
        reader.take(1).await;
    }
}

fn by_cli(action: &str) -> Draft {
    Draft::new(action, Actor::Cli, Source::Cli)
}

#[tokio::test]
async fn so_many_streams_and_no_more() {
    let server = TestServer::start().await;
    let boss = server.admin("user_boss").await;
    let other = CLERK.mint(&with(&claims("user_boss", sign::now_seconds()), "sid", "sess_other"));
    let third = CLERK.mint(&with(&claims("user_boss", sign::now_seconds()), "sid", "sess_third"));
    let mut open = join_all((0..32).map(|_| Reader::open(&server, &boss, "", None))).await;
    let refused = ask(&server, &boss, "", None).await;
    assert_eq!(
        (refused.status(), &refused.headers()["retry-after"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"30".parse().unwrap()),
        "half of them for one session"
    );
    open.extend(join_all((0..32).map(|_| Reader::open(&server, &other, "", None))).await);
    assert_eq!(ask(&server, &third, "", None).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(server.get_as(&boss, "/api/events").await.status, StatusCode::OK, "pages are no streams");
    drop(open.pop());
    let place = async { while ask(&server, &third, "", None).await.status() != StatusCode::OK {} };
    soon("a place", place).await;
    // All of them are told.
    server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    for reader in &mut open {
        assert_eq!(reader.take(3).await[2]["type"], "user.created");
    }
}
