//! The JSON API through the front door: records, lists, the book, and how it says no.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;
#[path = "common/file.rs"]
mod file;
#[path = "common/jwks_server.rs"]
mod jwks_server;
#[path = "api/lists.rs"]
mod lists;
#[path = "api/problems.rs"]
mod problems;
#[path = "api/review.rs"]
mod review;

use common::tokens::{claims, with};
use common::{Answer, CLERK, TestServer, deleted_event, sign, token, user_event};
use file::state;
use futures_util::future;
use reqwest::{Method, StatusCode};
use rollbook::audit::{Actor, Source};
use rollbook::clock::Clock;
use rollbook::store::{By, UserPatch};
use rollbook::user::UserId;
use serde_json::{Value, json};

/// When Clerk's events were, in milliseconds.
const T: i64 = 1_750_000_000_000;

/// Assigns a role and a practice, as an operator does.
async fn assign(server: &TestServer, id: &str, role: &str, practice: Option<&str>) {
    let patch = UserPatch {
        role: Some(role.parse().unwrap()),
        practice_id: Some(practice.map(|practice| practice.to_owned().try_into().unwrap())),
        ..UserPatch::default()
    };
    let by = By { actor: Actor::Cli, source: Source::Cli };
    let entry = by.entry("user.assigned");
    server.app.store.set_user(UserId::of(&common::clerk_id(id)), patch, None, entry).await.unwrap().unwrap();
}

fn names(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

#[tokio::test]
async fn health_and_readiness_are_for_everybody() {
    let server = TestServer::start().await;
    for path in ["/health", "/ready"] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({"status": "ok"})), "{path}");
        assert_eq!(server.get_as("no token", path).await.status, StatusCode::OK, "{path}");
    }
    for path in ["/api/webhooks/clerk", "/api/webhooks", "/api/webhook/clerk"] {
        let version = env!("CARGO_PKG_VERSION");
        let expected = json!({"status": "ok", "service": "rollbook", "version": version});
        assert_eq!(server.get(path).await.json(), expected, "{path}");
    }
}

/// The fields of a record, in the order of their names.
const FIELDS: [&str; 23] = [
    "banned",
    "clerk_user_id",
    "created_at",
    "deleted_at",
    "email",
    "email_verified",
    "external_id",
    "first_name",
    "id",
    "image_url",
    "last_name",
    "last_sign_in_at",
    "locked",
    "phone",
    "practice_id",
    "public_metadata",
    "role",
    "source",
    "subscription",
    "two_factor_enabled",
    "updated_at",
    "usage",
    "username",
];

fn full_event() -> Value {
    let mut event = user_event("user.created", "user_1", T, "Ann");
    let data = &mut event["data"];
    data["username"] = "ann".into();
    data["image_url"] = "https://img.example.org/1".into();
    data["external_id"] = "ext-1".into();
    data["two_factor_enabled"] = true.into();
    data["last_sign_in_at"] = (T - 1000).into();
    data["primary_phone_number_id"] = "idn_2".into();
    data["phone_numbers"] = json!([
        {"id": "idn_3", "phone_number": "+15550199"}, {"id": "idn_2", "phone_number": "+15550100"},
    ]);
    // The primary address is the one that is named so, and not the first.
    let other = json!({"id": "idn_0", "email_address": "other@example.org", "verification": null});
    data["email_addresses"].as_array_mut().unwrap().insert(0, other);
    event
}

#[tokio::test]
async fn a_record_says_what_the_design_promises() {
    let server = TestServer::start().await;
    server.outcome(&full_event()).await;
    let id = server.user("user_1").unwrap().id.to_string();
    let expected = json!({
        "id": id, "clerk_user_id": "user_1", "email": "user_1@example.org", "email_verified": true,
        "phone": "+15550100", "username": "ann", "first_name": "Ann", "last_name": "Tester",
        "image_url": "https://img.example.org/1", "external_id": "ext-1", "banned": false, "locked": false,
        "two_factor_enabled": true, "public_metadata": {"plan": "x"}, "created_at": "2023-11-14T22:13:20.000Z",
        "updated_at": "2025-06-15T15:06:40.000Z", "last_sign_in_at": "2025-06-15T15:06:39.000Z", "deleted_at": null,
        "source": "webhook", "role": "USER", "practice_id": null,
        "subscription": {"plan": "free", "status": "active"}, "usage": {},
    });
    assert_eq!(names(&expected), FIELDS);
    let mine = token("user_1");
    for path in ["/api/auth/me", "/auth/me", "/api/users/user_1", &format!("/api/users/{id}")] {
        let answer = server.get_as(&mine, path).await;
        assert_eq!((answer.status, answer.json()), (StatusCode::OK, expected.clone()), "{path}");
        assert_eq!(answer.header("content-type"), "application/json");
    }
    let session = server.get_as(&mine, "/api/session").await.json();
    assert_eq!(session, json!({"signed_in": true, "user": expected}));
    assert_eq!(server.get("/api/session").await.json(), json!({"signed_in": false}));
    assert_eq!(id.as_bytes()[14], b'7', "a UUID of version 7");
    assert_eq!(server.count("user.read").await, 0, "one's own record is nobody's business");
}

#[tokio::test]
async fn admins_see_the_private_side_and_leave_an_entry() {
    let server = TestServer::start().await;
    server.outcome(&full_event()).await;
    let admin = server.admin("user_boss").await;
    let record = server.get_as(&admin, "/api/users/user_1").await.json();
    assert_eq!(record["private_metadata"], json!({"note": "for admins"}));
    assert_eq!(record["unsafe_metadata"], json!({}));
    assert_eq!(names(&record).len(), FIELDS.len() + 2);
    let mirrored = server.get_as(&admin, "/api/users/user_1?include=clerk").await.json();
    assert_eq!(mirrored["clerk"]["private_metadata"], json!({"note": "for admins"}));
    assert_eq!(mirrored["clerk"]["email_addresses"].as_array().unwrap().len(), 2);
    let entries = server.entries().await;
    let read: Vec<_> = entries.iter().filter(|entry| entry.leaf.action == "user.read").collect();
    assert_eq!(read.len(), 2);
    assert_eq!(read[0].actor_user, Some(common::clerk_id("user_boss")));
    assert_eq!(read[0].target_user, Some(common::clerk_id("user_1")));
    // The owner is not told what is kept from them, by either way.
    for path in ["/api/auth/me", "/api/users/user_1"] {
        let answer = server.get_as(&token("user_1"), &format!("{path}?include=clerk")).await;
        assert!(!answer.text.contains("for admins") && !answer.text.contains("unsafe_metadata"), "{}", answer.text);
        assert_eq!(answer.json()["clerk"]["id"], "user_1");
    }
    assert_eq!(server.get_as(&admin, "/api/users/user_nobody").await.status, StatusCode::NOT_FOUND);
    assert_eq!(server.count("user.read").await, 2);
}

#[tokio::test]
async fn a_deleted_users_record_stays_without_its_clerk_id() {
    let server = TestServer::start().await;
    let admin = server.admin("user_boss").await;
    server.outcome(&full_event()).await;
    let id = server.user("user_1").unwrap().id.to_string();
    server.outcome(&deleted_event("user_1", T + 5000)).await;
    for name in ["user_1", &id] {
        let record = server.get_as(&admin, &format!("/api/users/{name}")).await.json();
        assert_eq!((&record["id"], &record["clerk_user_id"]), (&json!(id), &Value::Null));
        assert_eq!(record["deleted_at"], "2025-06-15T15:06:45.000Z");
        assert_eq!(record["first_name"], "Ann");
    }
}

#[tokio::test]
async fn a_valid_token_creates_its_user_once() {
    let server = TestServer::start().await;
    let mut said = claims("user_1", sign::now_seconds());
    for (name, value) in [("email", "ann@example.org"), ("first_name", "Ann"), ("role", "ADMIN"), ("id", "user_2")] {
        said = with(&said, name, value);
    }
    let token = CLERK.mint(&said);
    let asked = (0..50).map(|_| server.get_as(&token, "/api/auth/me"));
    let answers: Vec<Answer> = future::join_all(asked).await;
    for answer in &answers {
        assert_eq!((answer.status, answer.json()), (StatusCode::OK, answers[0].json()));
    }
    let record = answers[0].json();
    assert_eq!((&record["email"], &record["first_name"]), (&json!("ann@example.org"), &json!("Ann")));
    assert_eq!((&record["role"], &record["source"]), (&json!("USER"), &json!("token")));
    assert_eq!((&record["clerk_user_id"], &record["email_verified"]), (&json!("user_1"), &json!(false)));
    assert_eq!(server.count("user.provisioned").await, 1);
    assert_eq!(server.app.store.counts().users, 1);
    // What Clerk then says is the truth, whenever it was said; the id is the same.
    assert_eq!(server.outcome(&user_event("user.created", "user_1", T, "Anna")).await, "applied");
    let after = server.get_as(&token, "/api/auth/me").await.json();
    assert_eq!((&after["first_name"], &after["source"]), (&json!("Anna"), &json!("webhook")));
    assert_eq!(after["id"], record["id"]);
}

#[tokio::test]
async fn without_provisioning_who_is_not_synced_is_not_found() {
    let server = TestServer::with(&[("ROLLBOOK_PROVISION", "off")]).await;
    let before = state(&server.data());
    for path in ["/api/auth/me", "/api/session", "/api/users", "/api/users/user_1", "/api/audit"] {
        assert_eq!(server.get_as(&token("user_1"), path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(state(&server.data()), before);
    server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    assert_eq!(server.get_as(&token("user_1"), "/api/auth/me").await.status, StatusCode::OK);
}

#[tokio::test]
async fn roles_count_from_the_next_request_on() {
    let server = TestServer::start().await;
    let admin = server.admin("user_boss").await;
    for path in ["/api/users", "/api/audit"] {
        assert_eq!(server.get_as(&admin, path).await.status, StatusCode::OK);
    }
    for role in ["USER", "admin", "ADMINISTRATOR", "Admin"] {
        assign(&server, "user_boss", role, None).await;
        for path in ["/api/users", "/api/audit"] {
            assert_eq!(server.get_as(&admin, path).await.status, StatusCode::FORBIDDEN, "{role} {path}");
        }
        assert_eq!(server.get_as(&admin, "/api/users/user_1").await.status, StatusCode::NOT_FOUND, "{role}");
    }
    assert!(server.count("api.denied").await > 0);
}

#[tokio::test]
async fn nothing_is_read_in_an_impersonated_session_without_an_entry() {
    let server = TestServer::start().await;
    server.outcome(&full_event()).await;
    server.admin("user_boss").await;
    let act = |user: &str| {
        let acted = with(&claims(user, sign::now_seconds()), "act", json!({"sub": "user_ghost"}));
        CLERK.mint(&acted)
    };
    let (own, boss) = (act("user_1"), act("user_boss"));
    let paths = [
        (&own, "/api/auth/me"),
        (&own, "/auth/me"),
        (&own, "/api/session"),
        (&own, "/api/users/user_1"),
        (&own, "/api/users/user_1/audit"),
        (&boss, "/api/auth/me"),
        (&boss, "/api/users"),
        (&boss, "/api/users/user_1"),
        (&boss, "/api/users/user_1/audit"),
        (&boss, "/api/audit"),
    ];
    for (n, (token, path)) in paths.iter().enumerate() {
        assert_eq!(server.get_as(token, path).await.status, StatusCode::OK, "{path}");
        let entries = server.entries().await;
        let by_ghost = entries.iter().filter(|e| e.impersonator_user == Some(common::clerk_id("user_ghost")));
        assert_eq!(by_ghost.count(), n + 1, "{path}");
    }
    // Whose session it was learns that somebody else was there, and not who.
    let own = server.get_as(&token("user_1"), "/api/users/user_1/audit?action=user.read").await;
    assert!(own.json()["items"].as_array().unwrap().iter().any(|item| item["impersonator"] == "[REDACTED]"));
    assert!(!own.text.contains("user_ghost"));
}

#[tokio::test]
async fn other_methods_are_named_in_the_refusal() {
    let server = TestServer::start().await;
    let admin = server.admin("user_boss").await;
    let before = state(&server.data());
    let paths =
        ["/health", "/ready", "/api/auth/me", "/auth/me", "/api/session", "/api/users/user_1/audit", "/api/audit"];
    for path in paths {
        for method in [Method::POST, Method::PATCH, Method::DELETE, Method::OPTIONS, Method::PUT] {
            let request = server.request(method.clone(), path).bearer_auth(&admin).body("{}");
            let answer = Answer::of(request.send().await.unwrap()).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert!(answer.header("allow").starts_with("GET, HEAD"), "{method} {path}");
        }
    }
    assert_eq!(state(&server.data()), before);
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let server = TestServer::start().await;
    let admin = server.admin("user_boss").await;
    server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    let paths = ["/health", "/ready", "/api/auth/me", "/auth/me", "/api/session", "/api/webhooks", "/api/users/user_1"];
    for path in paths {
        let get = server.get_as(&admin, path).await;
        let head = Answer::of(server.request(Method::HEAD, path).bearer_auth(&admin).send().await.unwrap()).await;
        assert_eq!((head.status, head.text.as_str()), (StatusCode::OK, ""), "{path}");
        for name in ["content-length", "content-type", "cache-control", "x-content-type-options"] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
        assert!(!get.text.is_empty());
    }
    let head = server.request(Method::HEAD, "/api/users").send().await.unwrap();
    assert_eq!(head.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(head.text().await.unwrap(), "");
    assert_eq!(server.request(Method::HEAD, "/nothing").send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_restart_changes_no_answer() {
    let server = TestServer::start().await;
    server.outcome(&full_event()).await;
    assign(&server, "user_1", "NURSE", Some("north")).await;
    let mine = token("user_1");
    let before = server.get_as(&mine, "/api/auth/me").await.json();
    let again = TestServer::open(server.stop().await, &[], Clock::system()).await;
    assert_eq!(again.get_as(&mine, "/api/auth/me").await.json(), before);
    assert_eq!((&before["role"], &before["practice_id"]), (&json!("NURSE"), &json!("north")));
}
