//! How often somebody may ask.

use std::time::Instant;

use futures_util::StreamExt as _;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::common::tokens::claims;
use crate::common::{Answer, CLERK, SECRET, TestServer, sign, user_event};

/// A proxy in front, on this machine.
const BEHIND: (&str, &str) = ("ROLLBOOK_TRUSTED_PROXIES", "127.0.0.1");

async fn from(server: &TestServer, address: &str, path: &str) -> Answer {
    let request = server.request(Method::GET, path).header("x-forwarded-for", address);
    Answer::of(request.send().await.unwrap()).await
}

/// Asks until the answer is 429, and returns that and the number of answers before it. With one a second and ten at
/// once, those are ten and as many more as seconds passed.
async fn until_limited(mut ask: impl AsyncFnMut() -> Answer) -> (Answer, u64) {
    let since = Instant::now();
    for before in 0..200 {
        let said = ask().await;
        if said.status == StatusCode::TOO_MANY_REQUESTS {
            assert!(before >= 10 && before <= 11 + since.elapsed().as_secs(), "{before}");
            return (said, before);
        }
    }
    panic!("never limited");
}

/// Asks until the answer is 429, by somebody who had all of theirs: at once, or after what came back meanwhile.
async fn still_limited(mut ask: impl AsyncFnMut() -> Answer) {
    for _ in 0..100 {
        if ask().await.status == StatusCode::TOO_MANY_REQUESTS {
            return;
        }
    }
    panic!("not limited any more");
}

fn assert_says_when(said: &Answer) {
    assert_eq!(said.header("retry-after"), "1");
    assert_eq!(said.header("content-type"), "application/problem+json");
    assert_eq!(said.json()["type"], "urn:rollbook:problem:too-many-requests");
}

#[tokio::test]
async fn an_address_has_so_many_requests() {
    let server = TestServer::with(&[BEHIND, ("ROLLBOOK_RATE_ADDRESS", "1")]).await;
    let (said, _) = until_limited(async || from(&server, "203.0.113.9", "/api/none").await).await;
    assert_says_when(&said);
    // Whatever the path is, before it is looked at.
    still_limited(async || from(&server, "203.0.113.9", "/admin").await).await;
    for path in ["/health", "/ready", "/api/webhooks"] {
        assert_eq!(from(&server, "203.0.113.9", path).await.status, StatusCode::OK, "{path}");
    }
    assert_eq!(from(&server, "203.0.113.10", "/api/none").await.status, StatusCode::NOT_FOUND);
    // A limit that is set is for this machine too.
    until_limited(async || server.get("/api/none").await).await;
    let refusals = server.app.tally.take();
    let limited: Vec<_> = refusals.iter().filter(|draft| draft.action == "api.limited").collect();
    assert_eq!((limited.len(), limited[0].reason, limited[0].count), (1, Some("address"), Some(3)));
}

#[tokio::test]
async fn an_ipv6_address_counts_for_its_64() {
    let server = TestServer::with(&[BEHIND, ("ROLLBOOK_RATE_ADDRESS", "1")]).await;
    let mut n = 0;
    let next = async || {
        n += 1;
        from(&server, &format!("2001:db8:0:1::{n:x}"), "/api/none").await
    };
    until_limited(next).await;
    assert_eq!(from(&server, "2001:db8:0:2::1", "/api/none").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn left_alone_this_machine_has_no_limit_and_others_have() {
    let server = TestServer::with(&[BEHIND]).await;
    let limited = async |address: Option<&str>| {
        let asks = (0..1_500).map(|_| {
            let request = server.request(Method::GET, "/api/none");
            address.map_or(request.try_clone().unwrap(), |address| request.header("x-forwarded-for", address)).send()
        });
        let answers = futures_util::stream::iter(asks).buffer_unordered(32);
        answers.filter(|said| std::future::ready(said.as_ref().unwrap().status() == 429)).count().await
    };
    assert_eq!(limited(None).await, 0);
    assert!(limited(Some("203.0.113.9")).await > 0);
}

/// A proxy that nobody has named: whom it asks for is not believed, but that it asks for somebody is.
#[tokio::test]
async fn what_a_proxy_here_sends_on_does_not_come_from_this_machine() {
    let server = TestServer::start().await;
    let limited = async |name: &'static str, value: &'static str| {
        for _ in 0..2_000 {
            let request = server.request(Method::GET, "/api/none").header(name, value);
            if request.send().await.unwrap().status() == StatusCode::TOO_MANY_REQUESTS {
                return true;
            }
        }
        false
    };
    assert!(limited("x-forwarded-for", "203.0.113.9").await);
    assert_eq!(server.get("/api/none").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_good_signature_always_passes_and_bad_ones_count() {
    let server = TestServer::with(&[("ROLLBOOK_RATE_ADDRESS", "1")]).await;
    let event = user_event("user.created", "user_Ann", 1_700_000_000_000, "Ann");
    let forged = sign::sign(SECRET, "msg_forged", sign::now_seconds(), b"something else");
    let (said, _) = until_limited(async || {
        let said = server.post_signed(&forged, &event.to_string()).await;
        assert!([401, 429].contains(&said.status.as_u16()), "{}", said.text);
        said
    })
    .await;
    assert_says_when(&said);
    still_limited(async || server.post_signed(&[], "{}").await).await;
    // Nor does a body that is none get anybody around it, nor a path that looks like one for signed requests.
    still_limited(async || server.post_signed(&forged, &"x".repeat(1024 * 1024 + 1)).await).await;
    still_limited(async || server.get("/api/users/webhook/user_Ann").await).await;
    still_limited(async || server.get("/api/users/webhook/a/b").await).await;
    for _ in 0..30 {
        assert_eq!(server.deliver(&event).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_session_has_so_many_requests_wherever_from() {
    let server = TestServer::with(&[BEHIND, ("ROLLBOOK_RATE_ADDRESS", "off"), ("ROLLBOOK_RATE_TOKEN", "1")]).await;
    let token = |session: &str| {
        let mut claims = claims("user_Ann", sign::now_seconds());
        claims["sid"] = json!(session);
        CLERK.mint(&claims)
    };
    let (one, other) = (token("sess_one"), token("sess_other"));
    let mut n = 0;
    let (said, before) = until_limited(async || {
        n += 1;
        let request = server.request(Method::GET, "/api/auth/me").bearer_auth(&one);
        Answer::of(request.header("x-forwarded-for", format!("203.0.113.{n}")).send().await.unwrap()).await
    })
    .await;
    assert_says_when(&said);
    assert!(before >= 10);
    still_limited(async || server.get_as(&one, "/api/session").await).await;
    assert_eq!(server.get_as(&other, "/api/auth/me").await.status, StatusCode::OK);
    // Junk is nobody's session, and says nothing of anybody's limit.
    assert_eq!(server.get_as("junk", "/api/auth/me").await.status, StatusCode::UNAUTHORIZED);
}
