//! Who is asking, told to a proxy: by itself, and behind real proxies with the configurations in `deploy/`. A proxy that
//! is not installed is not tested, and the test says so.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;
#[path = "common/port.rs"]
mod port;
#[path = "forward_auth/proxies.rs"]
mod proxies;

use common::tokens::{claims, with};
use common::{Answer, CLERK, TestServer, deleted_event, sign, token, user_event};
use reqwest::{Method, StatusCode};
use rollbook::user::UserId;

/// When Clerk's events were, in milliseconds.
const T: i64 = 1_750_000_000_000;

const NAMES: [&str; 4] = ["x-rollbook-user", "x-rollbook-clerk-user", "x-rollbook-email", "x-rollbook-role"];

fn our_id(clerk: &str) -> String {
    UserId::of(&common::clerk_id(clerk)).to_string()
}

/// What the answer says of who is asking.
fn identity(answer: &Answer) -> [&str; 4] {
    NAMES.map(|name| answer.header(name))
}

async fn verify(server: &TestServer, query: &str, headers: &[(&str, &str)]) -> Answer {
    let request = server.request(Method::GET, &format!("/api/auth/verify{query}"));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    Answer::of(request.send().await.unwrap()).await
}

#[tokio::test]
async fn a_session_is_told_in_headers() {
    let server = TestServer::start().await;
    server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    let answer = server.get_as(&token("user_1"), "/api/auth/verify").await;
    assert_eq!((answer.status, answer.text.as_str()), (StatusCode::OK, ""));
    assert_eq!(identity(&answer), [&our_id("user_1"), "user_1", "user_1@example.org", "USER"]);
    assert_eq!(answer.header("cache-control"), "no-store");
    server.admin("user_1").await;
    assert_eq!(server.get_as(&token("user_1"), "/api/auth/verify").await.header("x-rollbook-role"), "ADMIN");
    // Not known yet, and no address of theirs either.
    let answer = server.get_as(&token("user_new"), "/api/auth/verify").await;
    assert_eq!(identity(&answer), [&our_id("user_new"), "user_new", "", "USER"]);
}

#[tokio::test]
async fn an_address_is_told_when_it_was_verified_and_can_stand_in_a_header() {
    let server = TestServer::start().await;
    for (user, address, status, expected) in [
        ("user_1", "ann@example.org", "verified", "ann@example.org"),
        ("user_2", "ann@example.org", "unverified", ""),
        ("user_3", "ånn@example.org", "verified", ""),
        ("user_4", "ann@example.org\r\nx-rollbook-role: ADMIN", "verified", ""),
    ] {
        let mut event = user_event("user.created", user, T, "Ann");
        event["data"]["email_addresses"][0]["email_address"] = address.into();
        event["data"]["email_addresses"][0]["verification"]["status"] = status.into();
        server.outcome(&event).await;
        let answer = server.get_as(&token(user), "/api/auth/verify").await;
        assert_eq!(identity(&answer), [&our_id(user), user, expected, "USER"], "{address}");
    }
}

#[tokio::test]
async fn strangers_may_pass_where_that_is_said_and_bad_tokens_never() {
    let server = TestServer::start().await;
    for (query, expected) in [
        ("", StatusCode::UNAUTHORIZED),
        ("?optional=false", StatusCode::UNAUTHORIZED),
        ("?optional=true", StatusCode::OK),
        ("?optional=true&cookie=true", StatusCode::OK),
        ("?cookie=true", StatusCode::UNAUTHORIZED),
    ] {
        let answer = verify(&server, query, &[]).await;
        assert_eq!((answer.status, identity(&answer)), (expected, [""; 4]), "{query}");
        let late = CLERK.mint(&with(&claims("user_1", sign::now_seconds()), "exp", 1));
        for bad in ["Bearer x.y.z", "Basic dTpw", &format!("Bearer {late}")] {
            let answer = verify(&server, query, &[("authorization", bad)]).await;
            assert_eq!((answer.status, identity(&answer)), (StatusCode::UNAUTHORIZED, [""; 4]), "{query} {bad}");
        }
    }
    for bad in ["?optional=1", "?optional", "?optional=true&optional=true", "?other=true"] {
        assert_eq!(verify(&server, bad, &[]).await.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    for method in [Method::POST, Method::DELETE] {
        let request = server.request(method, "/api/auth/verify").bearer_auth(token("user_1"));
        assert_eq!(request.send().await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}

#[tokio::test]
async fn the_cookie_counts_where_that_is_said_and_alone() {
    let server = TestServer::start().await;
    let (one, two) = (token("user_1"), token("user_2"));
    let cookie = format!("a=b; __session={one}; __session_x1={two}; c=");
    assert_eq!(verify(&server, "", &[("cookie", &cookie)]).await.status, StatusCode::UNAUTHORIZED);
    let name = |answer: &Answer| (answer.status, answer.header("x-rollbook-clerk-user").to_owned());
    let ok = |user: &str| (StatusCode::OK, user.to_owned());
    let no = (StatusCode::UNAUTHORIZED, String::new());
    let ask = async |headers: &[(&str, &str)]| name(&verify(&server, "?cookie=true", headers).await);
    assert_eq!(ask(&[("cookie", &cookie)]).await, ok("user_1"));
    assert_eq!(ask(&[("cookie", "a=b"), ("cookie", &format!("__session={one}"))]).await, ok("user_1"));
    // The header comes first, whatever it says.
    let bearer = format!("Bearer {two}");
    assert_eq!(ask(&[("cookie", &cookie), ("authorization", &bearer)]).await, ok("user_2"));
    assert_eq!(ask(&[("cookie", &cookie), ("authorization", "Bearer x")]).await, no);
    // Of two, nobody knows whose the request is.
    assert_eq!(ask(&[("cookie", &format!("{cookie}; __session={two}"))]).await, no);
    assert_eq!(ask(&[("cookie", &cookie), ("cookie", &format!("__session={one}"))]).await, no);
    for none in ["__session=", "__session", "x__session=1", "__Session=1", &format!("__session_x1={one}")] {
        assert_eq!(ask(&[("cookie", none)]).await, no, "{none}");
    }
    // Nowhere else.
    for path in ["/api/auth/me", "/api/session?cookie=true", "/api/users"] {
        let request = server.request(Method::GET, path).header("cookie", &cookie);
        let answer = Answer::of(request.send().await.unwrap()).await;
        assert!(!answer.text.contains("user_1"), "{path}: {}", answer.text);
    }
}

#[tokio::test]
async fn those_who_may_not_pass_are_refused_in_words_that_proxies_know() {
    let server = TestServer::with(&[("ROLLBOOK_PROVISION", "off")]).await;
    let mut banned = user_event("user.created", "user_1", T, "Ann");
    banned["data"]["banned"] = true.into();
    server.outcome(&banned).await;
    server.outcome(&user_event("user.created", "user_2", T, "Ann")).await;
    server.outcome(&deleted_event("user_2", T + 1)).await;
    for query in ["", "?optional=true"] {
        // Proxies take a 404 for a fault of their own.
        for user in ["user_1", "user_2", "user_unknown"] {
            let answer = verify(&server, query, &[("authorization", &format!("Bearer {}", token(user)))]).await;
            assert_eq!((answer.status, identity(&answer)), (StatusCode::FORBIDDEN, [""; 4]), "{user} {query}");
        }
    }
}
