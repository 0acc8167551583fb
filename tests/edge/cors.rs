//! Which pages may call from a browser.

use reqwest::Method;

use crate::common::{Answer, TestServer, token, user_event};

const PAGE: &str = "https://app.example";

async fn server() -> TestServer {
    TestServer::with(&[("ROLLBOOK_CORS_ORIGINS", "https://app.example, http://localhost:3000")]).await
}

async fn ask(server: &TestServer, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = headers.iter().fold(server.request(method, path), |r, (name, value)| r.header(*name, *value));
    Answer::of(request.send().await.unwrap()).await
}

async fn preflight(server: &TestServer, path: &str, origin: &str) -> Answer {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "PATCH"),
        ("access-control-request-headers", "authorization,content-type"),
    ];
    ask(server, Method::OPTIONS, path, &headers).await
}

/// The headers by which a browser would take a permission.
fn permissions(answer: &Answer) -> Vec<&str> {
    answer
        .headers
        .keys()
        .map(reqwest::header::HeaderName::as_str)
        .filter(|n| n.starts_with("access-control-"))
        .collect()
}

#[tokio::test]
async fn a_page_that_is_named_may_call_and_is_told_what_with() {
    let server = server().await;
    for origin in [PAGE, "http://localhost:3000"] {
        let said = preflight(&server, "/api/users/x", origin).await;
        assert_eq!((said.status.as_u16(), said.text.as_str()), (200, ""));
        assert_eq!(said.header("access-control-allow-origin"), origin);
        assert_eq!(said.header("access-control-allow-methods"), "GET,HEAD,POST,PATCH,DELETE");
        assert_eq!(said.header("access-control-allow-headers"), "authorization,content-type,if-match,last-event-id");
        assert_eq!(said.header("access-control-max-age"), "600");
        assert!(!said.headers.contains_key("access-control-allow-credentials"));
        assert!(said.header("vary").contains("origin"));
        assert_eq!(said.header("x-content-type-options"), "nosniff");
    }
    server.outcome(&user_event("user.created", "user_Ann", 1_700_000_000_000, "Ann")).await;
    let token = format!("Bearer {}", token("user_Ann"));
    for path in ["/api/auth/me", "/auth/me", "/health", "/openapi.json", "/api/none"] {
        let said = ask(&server, Method::GET, path, &[("origin", PAGE), ("authorization", &token)]).await;
        assert_eq!(said.header("access-control-allow-origin"), PAGE, "{path}");
        assert_eq!(said.header("access-control-expose-headers"), "etag,location,retry-after,www-authenticate");
        assert!(said.header("vary").contains("origin"), "{path}");
    }
    // What goes wrong has to be readable too.
    let said = ask(&server, Method::GET, "/api/auth/me", &[("origin", PAGE)]).await;
    assert_eq!((said.status.as_u16(), said.header("access-control-allow-origin")), (401, PAGE));
}

#[tokio::test]
async fn no_other_page_may_call() {
    let server = server().await;
    for origin in ["https://evil.example", "null", "https://app.example.evil.example", "http://app.example", "*", ""] {
        let said = preflight(&server, "/api/users/x", origin).await;
        assert_eq!(said.header("access-control-allow-origin"), "", "{origin}");
        let said = ask(&server, Method::GET, "/health", &[("origin", origin)]).await;
        assert_eq!((said.status.as_u16(), said.header("access-control-allow-origin")), (200, ""), "{origin}");
        assert!(said.header("vary").contains("origin"), "{origin}");
    }
}

#[tokio::test]
async fn it_is_for_the_api_alone_and_comes_after_the_host() {
    let server = server().await;
    for path in [
        "/admin",
        "/admin/users",
        "/api/webhooks/clerk",
        "/api/webhooks",
        "/api/users/webhook/user_1",
        "/metrics",
        "/ready",
        "/",
    ] {
        let said = preflight(&server, path, PAGE).await;
        assert!(permissions(&said).is_empty() && said.status.as_u16() >= 300, "{path}: {said:?}");
        let said = ask(&server, Method::GET, path, &[("origin", PAGE)]).await;
        assert!(permissions(&said).is_empty(), "{path}: {said:?}");
    }
    let elsewhere = [("host", "evil.example"), ("origin", PAGE)];
    let said = ask(&server, Method::GET, "/health", &elsewhere).await;
    assert!(said.status.as_u16() == 421 && permissions(&said).is_empty(), "{said:?}");
}

#[tokio::test]
async fn a_question_that_is_none_is_a_request_as_any_other() {
    let (open, closed) = (server().await, TestServer::start().await);
    let asks: [&[(&str, &str)]; 3] = [&[], &[("origin", PAGE)], &[("access-control-request-method", "PATCH")]];
    for headers in asks {
        let said = ask(&open, Method::OPTIONS, "/api/users/user_1", headers).await;
        let as_without = ask(&closed, Method::OPTIONS, "/api/users/user_1", headers).await;
        assert_eq!((said.status, said.header("allow")), (as_without.status, as_without.header("allow")));
        assert_eq!(said.status.as_u16(), 405);
    }
}

#[tokio::test]
async fn unset_there_is_nothing_of_it() {
    let server = TestServer::start().await;
    for path in ["/api/auth/me", "/health", "/openapi.json"] {
        for said in [preflight(&server, path, PAGE).await, ask(&server, Method::GET, path, &[("origin", PAGE)]).await] {
            assert!(permissions(&said).is_empty() && said.header("vary").is_empty(), "{path}: {said:?}");
        }
        assert_eq!(preflight(&server, path, PAGE).await.status.as_u16(), 405, "{path}");
    }
}

#[tokio::test]
async fn headers_credentials_and_time_are_settings() {
    let server = TestServer::with(&[
        ("ROLLBOOK_CORS_ORIGINS", PAGE),
        ("ROLLBOOK_CORS_HEADERS", "X-Custom"),
        ("ROLLBOOK_CORS_CREDENTIALS", "true"),
        ("ROLLBOOK_CORS_MAX_AGE", "5"),
    ])
    .await;
    let said = preflight(&server, "/api/users", PAGE).await;
    assert_eq!(said.header("access-control-allow-headers"), "x-custom");
    assert_eq!(said.header("access-control-allow-credentials"), "true");
    assert_eq!(said.header("access-control-max-age"), "5");
}
