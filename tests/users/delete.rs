//! Deletions by admins and by signed events: they leave what a webhook's deletion leaves.

use reqwest::{Method, StatusCode};
use rollbook::api_key::Scope;
use serde_json::{Value, json};

use crate::common::{Answer, SECRET, TestServer, deleted_event, sign, token, user_event};
use crate::file::state;
use crate::{T, file, key, last, record, send, server};

async fn delete(server: &TestServer, token: &str, id: &str) -> Answer {
    send(server, token, Method::DELETE, &format!("/api/users/{id}"), "", "").await
}

async fn by_event(server: &TestServer, path: &str, message: &str, event: &Value) -> Answer {
    let headers = sign::sign(SECRET, message, sign::now_seconds(), event.to_string().as_bytes());
    signed(server, path, &headers, &event.to_string()).await
}

async fn signed(server: &TestServer, path: &str, headers: &[(&'static str, String)], body: &str) -> Answer {
    let request = server.request(Method::DELETE, &format!("/api/users/webhook/{path}")).body(body.to_owned());
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
    Answer::of(request.send().await.unwrap()).await
}

#[tokio::test]
async fn a_deletion_is_what_a_webhooks_is() {
    for policy in ["soft", "hard"] {
        let (server, admin) = server(&[("ROLLBOOK_DELETE", policy)]).await;
        for id in ["user_2", "user_3"] {
            server.outcome(&user_event("user.created", id, T, "Ann")).await;
        }
        server.outcome(&deleted_event("user_2", T + 9)).await;
        let gone = delete(&server, &admin, "user_1").await;
        assert_eq!((gone.status, gone.text.as_str()), (StatusCode::NO_CONTENT, ""));
        let by_event = by_event(&server, "user_3", "msg_3", &deleted_event("user_3", T + 9)).await;
        assert_eq!(by_event.json(), json!({ "outcome": "applied" }));
        let entry = last(&server, "user.deleted").await;
        assert_eq!(entry.leaf.request.as_deref(), Some("msg_3"));
        // Again.
        let again = delete(&server, &admin, "user_1").await.status;
        assert_eq!(again, if policy == "soft" { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND });
        assert_eq!(server.count("user.deleted").await, 3);
        // It is final, for events and for tokens.
        for id in ["user_1", "user_3"] {
            assert_eq!(server.outcome(&user_event("user.updated", id, T + 99, "Ann")).await, "stale");
            assert_eq!(server.get_as(&token(id), "/api/auth/me").await.status, StatusCode::FORBIDDEN);
        }
        server.outcome(&user_event("user.updated", "user_2", T + 99, "Ann")).await;
        let db = file::open(&server.stop().await.path().join("rollbook.redb"));
        let roll = file::roll(&db);
        let blank = |id: &str| {
            let mut row = roll.users.get(id).cloned().unwrap_or_default().to_string().replace(id, "user");
            for time in [roll.tombstones[id], T + 9] {
                row = row.replace(&time.to_string(), "then");
            }
            let row = row.split("\"version\"").next().unwrap().to_owned();
            let facets = roll.index.iter().filter(|(_, user)| user == id).map(|(facet, _)| facet.replace(id, "user"));
            (row, facets.collect::<Vec<_>>())
        };
        assert_eq!(blank("user_1"), blank("user_2"), "{policy}");
        assert_eq!(blank("user_3"), blank("user_2"), "{policy}");
        assert_eq!(roll.users.contains_key("user_1"), policy == "soft");
    }
}

#[tokio::test]
async fn only_those_who_may_delete() {
    let (server, admin) = server(&[]).await;
    assert_eq!(delete(&server, &token("user_1"), "user_1").await.status, StatusCode::FORBIDDEN);
    assert_eq!(delete(&server, &token("user_1"), "user_2").await.status, StatusCode::FORBIDDEN);
    assert_eq!(delete(&server, &key(&server, Scope::UsersRead).await, "user_1").await.status, StatusCode::FORBIDDEN);
    assert_eq!(delete(&server, "x", "user_1").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(delete(&server, &admin, "user_nobody").await.status, StatusCode::NOT_FOUND);
    assert_eq!(record(&server, &admin, "user_1").await["deleted_at"], Value::Null);
    assert_eq!(delete(&server, &key(&server, Scope::UsersWrite).await, "user_1").await.status, StatusCode::NO_CONTENT);
    assert!(last(&server, "user.deleted").await.leaf.actor.starts_with("key:"));
    assert_eq!(record(&server, &admin, "user_1").await["clerk_user_id"], Value::Null);
}

#[tokio::test]
async fn an_event_deletes_whom_it_is_about_and_nobody_else() {
    let (server, admin) = server(&[]).await;
    let before = state(&server.data());
    let event = deleted_event("user_1", T + 9);
    let refused = [
        ("user_1", user_event("user.updated", "user_1", T + 9, "Ann"), 400),
        ("user_1", json!({ "type": "session.ended", "data": { "id": "sess_1", "user_id": "user_1" } }), 400),
        ("user_1", json!({ "type": "user.deleted", "data": { "deleted": true } }), 400),
        ("user_2", event.clone(), 400),
        ("0199c1a0-0000-7000-8000-000000000001", event.clone(), 400),
    ];
    for (path, event, status) in refused {
        let answer = by_event(&server, path, "msg_x", &event).await;
        assert_eq!(answer.status, status, "{path} {event}: {}", answer.text);
    }
    let body = event.to_string();
    let good = sign::sign(SECRET, "msg_1", sign::now_seconds(), body.as_bytes());
    assert_eq!(signed(&server, "user_1", &good[1..], &body).await.status, 400);
    assert_eq!(signed(&server, "user_1", &good, &body.replace("user_1", "user_2")).await.status, 401);
    let old = sign::sign(SECRET, "msg_1", sign::now_seconds() - 1000, body.as_bytes());
    assert_eq!(signed(&server, "user_1", &old, &body).await.status, 401);
    assert_eq!(state(&server.data()), before);
    let id = record(&server, &admin, "user_1").await["id"].as_str().unwrap().to_owned();
    let outcome = async |path: &str, message: &str| {
        let answer = by_event(&server, path, message, &event).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["outcome"].as_str().unwrap().to_owned()
    };
    assert_eq!(outcome(&id, "msg_1").await, "applied");
    assert_eq!(outcome("user_1", "msg_1").await, "duplicate");
    assert_eq!(server.deliver_as("msg_1", &event).await.json()["outcome"], "duplicate");
    assert_eq!(outcome("user_1", "msg_2").await, "stale");
    assert!(record(&server, &admin, "user_1").await["deleted_at"].is_string());
}
