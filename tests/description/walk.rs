//! Every operation, called by strangers, by one user about another, and wrongly.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::operations::{Operation, all};
use crate::common::{Answer, TestServer, sign, token, user_event};
use crate::file::state;

const ANN: &str = "user_ann";
const BOB: &str = "user_bob";

/// What is Bob's alone, and what a session and a membership of his say.
const BOBS: [&str; 5] = ["user_bob", "Bobson", "sess_bobs", "orgmem_bobs", "203.0.113.77"];

/// A server that knows two users, with a session and a membership of Bob's.
async fn with_two() -> (TestServer, String) {
    let server = TestServer::start().await;
    assert_eq!(server.outcome(&user_event("user.created", ANN, 1_700_000_000_000, "Ann")).await, "applied");
    assert_eq!(server.outcome(&user_event("user.created", BOB, 1_700_000_000_000, "Bobson")).await, "applied");
    let session = json!({
        "type": "session.created", "object": "event", "timestamp": 1_700_000_000_000_i64, "instance_id": "ins_test",
        "data": {
            "object": "session", "id": "sess_bobs", "user_id": BOB, "client_id": "client_1", "status": "active",
            "latest_activity": { "id": "a", "is_mobile": false, "ip_address": "203.0.113.77" },
            "expire_at": 4_000_000_000_000_i64, "abandon_at": 4_000_000_000_000_i64,
            "created_at": 1_700_000_000_000_i64, "updated_at": 1_700_000_000_000_i64,
        },
    });
    assert_eq!(server.outcome(&session).await, "applied");
    let membership = json!({
        "type": "organizationMembership.created", "object": "event", "timestamp": 1_700_000_000_000_i64,
        "instance_id": "ins_test",
        "data": {
            "object": "organization_membership", "id": "orgmem_bobs", "role": "org:admin",
            "organization": { "object": "organization", "id": "org_1", "name": "Acme", "slug": "acme" },
            "public_user_data": { "user_id": BOB, "first_name": "Bobson", "identifier": "user_bob@example.org" },
            "created_at": 1_700_000_000_000_i64, "updated_at": 1_700_000_000_000_i64,
        },
    });
    assert_eq!(server.outcome(&membership).await, "applied");
    let bob = server.user(BOB).unwrap().id.to_string();
    (server, bob)
}

async fn call(server: &TestServer, operation: &Operation, path: &str, token: Option<&str>) -> Answer {
    let mut request = server.request(operation.method.clone(), path);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(body) = operation.body() {
        request = request.json(&body);
    }
    Answer::of(request.send().await.unwrap()).await
}

#[tokio::test]
async fn no_route_shows_one_user_anything_of_another() {
    let (server, bob) = with_two().await;
    let ann = token(ANN);
    let before = server.user(BOB).unwrap();
    for operation in all(&server).await {
        for id in [BOB, &bob, "org_1", "sess_bobs"] {
            let path = operation.path(id);
            let answer = call(&server, &operation, &path, Some(&ann)).await;
            let what = format!("{} {path}: {} {}", operation.method, answer.status, answer.text);
            for theirs in BOBS.iter().chain([&bob.as_str()]) {
                assert!(!answer.text.contains(theirs), "{what}");
                assert!(!format!("{:?}", answer.headers).contains(theirs), "{what}");
            }
            if operation.path.contains("{id}") {
                assert!(answer.status.is_client_error(), "{what}");
            }
        }
    }
    assert_eq!(server.user(BOB).unwrap(), before, "nothing of his was changed");
    let own = server.get_as(&token(BOB), &format!("/api/users/{bob}")).await;
    assert_eq!((own.status, own.json()["first_name"].as_str()), (StatusCode::OK, Some("Bobson")));
}

#[tokio::test]
async fn without_a_token_only_open_operations_answer() {
    let (server, bob) = with_two().await;
    let before = state(&server.data());
    for operation in all(&server).await {
        let path = operation.path(&bob);
        let signed = operation.schemes() == ["signature"];
        for token in [None, Some("nonsense"), Some("rbk_nonsense")] {
            let answer = call(&server, &operation, &path, token).await;
            let what = format!("{} {path}: {} {}", operation.method, answer.status, answer.text);
            // It lets strangers pass only where the proxy asks it to.
            let verifies = operation.path == "/api/auth/verify";
            let open = operation.is_open() && !verifies;
            let nearby = operation.path == "/metrics";
            let closed = !signed && !nearby && (!open || token.is_some() && !operation.schemes().is_empty());
            assert_eq!(answer.status == StatusCode::UNAUTHORIZED, closed, "{what}");
            if closed {
                assert!(operation.documents(401), "{what}");
                assert!(answer.header("www-authenticate").starts_with("Bearer"), "{what}");
            }
            if signed {
                assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{what}");
            }
            assert!(operation.documents(answer.status.as_u16()), "{what}");
        }
    }
    assert_eq!(state(&server.data()), before);
}

#[tokio::test]
async fn what_is_documented_is_all_that_is_answered() {
    let (server, bob) = with_two().await;
    let (ann, boss) = (token(ANN), server.admin("user_boss").await);
    for operation in all(&server).await {
        for id in [&bob, BOB, "user_nobody", "sess_bobs", "org_1", "org_none"] {
            for token in [&ann, &boss] {
                let path = operation.path(id);
                let answer = call(&server, &operation, &path, Some(token)).await;
                let what = format!("{} {path}: {} {}", operation.method, answer.status, answer.text);
                assert!(operation.documents(answer.status.as_u16()), "{what}");
            }
        }
    }
}

#[tokio::test]
async fn a_method_that_is_not_described_is_refused() {
    let server = TestServer::start().await;
    let all = all(&server).await;
    let methods = [Method::GET, Method::POST, Method::PATCH, Method::DELETE, Method::OPTIONS];
    for operation in &all {
        let at_path = |method: &Method| all.iter().any(|o| o.path == operation.path && o.method == *method);
        for method in methods.iter().filter(|method| !at_path(method)) {
            let path = operation.path("user_x");
            let answer = Answer::of(server.request(method.clone(), &path).send().await.unwrap()).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            let allowed: Vec<&str> = answer.header("allow").split(", ").collect();
            let described: Vec<&str> = ["GET", "HEAD", "POST", "PATCH", "DELETE"]
                .into_iter()
                .filter(|m| at_path(&(if *m == "HEAD" { "GET" } else { m }).parse().unwrap()))
                .collect();
            assert_eq!(allowed, described, "{path}");
        }
    }
}

#[tokio::test]
async fn every_operation_is_refused_under_another_host() {
    let server = TestServer::start().await;
    for operation in all(&server).await {
        let request =
            server.request(operation.method.clone(), &operation.path("user_x")).header("host", "evil.example");
        let answer = Answer::of(request.send().await.unwrap()).await;
        assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{} {}", operation.method, operation.path);
        assert!(operation.documents(421), "{}", operation.path);
    }
}

#[tokio::test]
async fn what_takes_a_body_takes_no_other_form_nor_any_length() {
    let server = TestServer::start().await;
    let boss = server.admin("user_boss").await;
    for operation in all(&server).await.iter().filter(|operation| operation.body().is_some()) {
        let path = operation.path("user_boss");
        let send = |kind: &'static str, encoding: Option<&'static str>, body: String| {
            let mut request = server.request(operation.method.clone(), &path).header("content-type", kind);
            if operation.schemes() == ["signature"] {
                for (name, value) in sign::sign(crate::common::SECRET, "msg_1", sign::now_seconds(), body.as_bytes()) {
                    request = request.header(name, value);
                }
            } else {
                request = request.bearer_auth(&boss);
            }
            if let Some(encoding) = encoding {
                request = request.header("content-encoding", encoding);
            }
            async { request.body(body).send().await.unwrap().status() }
        };
        let long = format!("{{\"x\":\"{}\"}}", "x".repeat(2 * 1024 * 1024));
        assert_eq!(send("application/json", None, long).await, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
        let zipped = send("application/json", Some("gzip"), "{}".to_owned()).await;
        assert_eq!(zipped, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path}");
        for status in [400, 408, 413, 415] {
            assert!(operation.documents(status), "{path}: {status}");
        }
    }
}
