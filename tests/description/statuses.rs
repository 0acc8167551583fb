//! Every status that the description names for every operation is met with: those that many share here, the others where
//! the operation is tested. What is met here is what a server answers that is made to.

use reqwest::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::operations::{Operation, all};
use crate::common::{Answer, SECRET, TestServer, sign, token, user_event};

async fn raw(server: &TestServer, request: &str) -> u16 {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// The operations that name the status, and there are some.
async fn naming(server: &TestServer, status: u16) -> Vec<Operation> {
    let naming: Vec<_> = all(server).await.into_iter().filter(|operation| operation.documents(status)).collect();
    assert!(!naming.is_empty(), "{status}");
    naming
}

/// The operation called with a token, or with a signature, and with a body if it takes one.
async fn called(server: &TestServer, operation: &Operation, id: &str, token: &str) -> StatusCode {
    let mut request =
        server.request(operation.method.clone(), &operation.path(id)).header("content-type", "application/json");
    let body = operation.body().map(|body| body.to_string()).unwrap_or_default();
    if operation.schemes() == ["signature"] {
        for (name, value) in sign::sign(SECRET, &sign::fresh_id(), sign::now_seconds(), body.as_bytes()) {
            request = request.header(name, value);
        }
    } else {
        request = request.bearer_auth(token);
    }
    request.body(body).send().await.unwrap().status()
}

#[tokio::test]
async fn s400_is_answered_by_every_operation() {
    let server = TestServer::start().await;
    for operation in naming(&server, 400).await {
        let request = format!("{} {} HTTP/1.1\r\nhost: a b\r\n\r\n", operation.method, operation.path("user_x"));
        assert_eq!(raw(&server, &request).await, 400, "{request}");
    }
}

#[tokio::test]
async fn s403_is_answered_by_every_operation_that_knows_its_callers() {
    let server = TestServer::start().await;
    let mut banned = user_event("user.created", "user_banned", 1_700_000_000_000, "Ben");
    banned["data"]["banned"] = json!(true);
    assert_eq!(server.outcome(&banned).await, "applied");
    for operation in naming(&server, 403).await.iter().filter(|operation| operation.path != "/metrics") {
        let status = called(&server, operation, "user_banned", &token("user_banned")).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{} {}", operation.method, operation.path);
    }
}

#[tokio::test]
async fn s408_is_answered_by_every_operation_that_takes_a_body() {
    let server = TestServer::start().await;
    let boss = server.admin("user_boss").await;
    let slow: Vec<String> = naming(&server, 408)
        .await
        .iter()
        .map(|operation| {
            format!(
                "{} {} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {boss}\r\ncontent-type: application/json\r\n\
                 content-length: 100\r\n\r\n{{",
                operation.method,
                operation.path("user_boss"),
                server.address
            )
        })
        .collect();
    let answers = futures_util::future::join_all(slow.iter().map(|request| raw(&server, request))).await;
    for (request, status) in slow.iter().zip(answers) {
        assert_eq!(status, 408, "{}", request.lines().next().unwrap());
    }
}

#[tokio::test]
async fn s429_is_answered_by_every_operation_that_is_limited() {
    for at in 0..naming(&TestServer::start().await, 429).await.len() {
        // A server for each: what one operation uses up is missing to the next.
        let server = TestServer::with(&[("ROLLBOOK_RATE_ADDRESS", "1")]).await;
        let operation = &naming(&server, 429).await[at];
        let mut statuses = Vec::new();
        for _ in 0..25 {
            let mut request = server.request(operation.method.clone(), &operation.path("user_x"));
            if operation.schemes() == ["signature"] {
                for (name, value) in sign::sign(SECRET, "msg_1", sign::now_seconds(), b"another body") {
                    request = request.header(name, value);
                }
            }
            let answer = Answer::of(request.body("{}").send().await.unwrap()).await;
            if answer.status == StatusCode::TOO_MANY_REQUESTS {
                assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
            }
            statuses.push(answer.status.as_u16());
        }
        assert!(statuses.contains(&429), "{} {}: {statuses:?}", operation.method, operation.path);
    }
}

#[tokio::test]
async fn s503_is_answered_where_no_key_can_be_had() {
    let nowhere = [("CLERK_JWT_KEY", ""), ("CLERK_JWKS_URL", "http://127.0.0.1:9/jwks.json")];
    let server = TestServer::with(&nowhere).await;
    for operation in naming(&server, 503).await {
        let is_about_tokens = operation.schemes().iter().any(|scheme| scheme == "session");
        if is_about_tokens && operation.path != "/metrics" {
            let status = called(&server, &operation, "user_x", &token("user_x")).await;
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{} {}", operation.method, operation.path);
        }
    }
}
