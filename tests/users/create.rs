//! Registering oneself: what the token says is made, and nothing else.

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use rollbook::api_key::Scope;
use serde_json::{Value, json};

use crate::common::tokens::{claims, with};
use crate::common::{Answer, CLERK, TestServer, deleted_event, sign, token, user_event};
use crate::{NO_LIMITS, T, key, last, send};

async fn post(server: &TestServer, token: &str, body: &str) -> Answer {
    send(server, token, Method::POST, "/api/users", body, "").await
}

fn token_of(user: &str, says: &Value) -> String {
    let own = claims(user, sign::now_seconds());
    CLERK.mint(&says.as_object().unwrap().iter().fold(own, |own, (name, value)| with(&own, name, value.clone())))
}

#[tokio::test]
async fn a_user_is_made_once_of_what_the_token_says() {
    let server = TestServer::with(&[&NO_LIMITS[..], &[("ROLLBOOK_PROVISION", "off")]].concat()).await;
    let own = token_of("user_1", &json!({ "email": "ann@example.org", "first_name": "Ann" }));
    assert_eq!(server.get_as(&own, "/api/auth/me").await.status, StatusCode::NOT_FOUND);
    let body =
        r#"{"clerk_user_id":"user_1","email":"ANN@example.org","first_name":"Ann","last_name":"Liar","username":null}"#;
    let made = join_all((0..50).map(|_| post(&server, &own, body))).await;
    let (created, found): (Vec<_>, Vec<_>) = made.iter().partition(|answer| answer.status == StatusCode::CREATED);
    assert_eq!(created.len(), 1);
    assert!(found.iter().all(|answer| answer.status == StatusCode::OK));
    for answer in &made {
        assert_eq!((answer.json(), answer.header("etag")), (made[0].json(), made[0].header("etag")));
        assert_eq!(answer.header("location"), format!("/api/users/{}", made[0].json()["id"].as_str().unwrap()));
    }
    let record = made[0].json();
    assert_eq!((&record["email"], &record["first_name"]), (&json!("ann@example.org"), &json!("Ann")));
    assert_eq!(
        (&record["last_name"], &record["email_verified"]),
        (&Value::Null, &json!(false)),
        "a body proves nothing"
    );
    assert_eq!((server.count("user.provisioned").await, server.app.store.counts().users), (1, 1));
    let me = server.get_as(&own, "/api/auth/me").await;
    assert_eq!((me.json(), me.header("etag")), (record, made[0].header("etag")));
    // Without a body, and with one of nothing.
    for body in ["", "{}"] {
        assert_eq!(post(&server, &token("user_2"), body).await.status.as_u16() / 100, 2, "{body}");
    }
}

#[tokio::test]
async fn who_contradicts_their_token_is_refused() {
    let server = TestServer::with(&NO_LIMITS).await;
    let own = token_of("user_1", &json!({ "email": "ann@example.org", "username": "ann" }));
    let before = server.app.store.counts().users;
    for body in [
        r#"{"clerk_user_id":"user_2"}"#,
        r#"{"clerk_user_id":"USER_1"}"#,
        r#"{"email":"eve@example.org"}"#,
        r#"{"clerk_user_id":"user_1","username":"Ann"}"#,
    ] {
        let answer = post(&server, &own, body).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{body}: {}", answer.text);
    }
    assert_eq!(last(&server, "api.denied").await.leaf.reason.as_deref(), Some("contradiction"));
    for body in ["[]", "x", r#"{"role":"ADMIN"}"#, r#"{"email":7}"#, r#"{"email":"a","email":"a"}"#] {
        assert_eq!(post(&server, &own, body).await.status, StatusCode::BAD_REQUEST, "{body}");
    }
    let plain = server.request(Method::POST, "/api/users").bearer_auth(&own).body("{}").send().await.unwrap();
    assert_eq!(plain.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(server.app.store.counts().users, before);
    assert_eq!(post(&server, "x", "x").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(post(&server, &key(&server, Scope::UsersWrite).await, "").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_deleted_and_the_banned_stay_out() {
    let server = TestServer::with(&NO_LIMITS).await;
    server.outcome(&deleted_event("user_1", T)).await;
    let mut banned = user_event("user.created", "user_2", T, "Ann");
    banned["data"]["banned"] = true.into();
    server.outcome(&banned).await;
    for id in ["user_1", "user_2"] {
        assert_eq!(post(&server, &token(id), "").await.status, StatusCode::FORBIDDEN, "{id}");
    }
    assert_eq!(server.app.store.counts().users, 1);
}
