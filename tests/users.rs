//! What changes users besides Clerk's user events: operators, counters, deletions, registrations, Clerk Billing.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "users/billing.rs"]
mod billing;
#[path = "users/change.rs"]
mod change;
mod common;
#[path = "users/create.rs"]
mod create;
#[path = "users/delete.rs"]
mod delete;
#[path = "common/file.rs"]
mod file;
#[path = "users/places.rs"]
mod places;
#[path = "users/upgrade.rs"]
mod upgrade;
#[path = "users/usage.rs"]
mod usage;

use common::{Answer, TestServer, user_event};
use reqwest::{Method, StatusCode};
use rollbook::api_key::{Scope, Scopes, Wanted};
use rollbook::audit::{Actor, Draft, Source};
use serde_json::Value;

/// When Clerk's events were, in milliseconds.
const T: i64 = 1_750_000_000_000;

/// Requests come as fast as they can here.
const NO_LIMITS: [(&str, &str); 2] = [("ROLLBOOK_RATE_ADDRESS", "off"), ("ROLLBOOK_RATE_TOKEN", "off")];

/// A server with an admin and `user_1`, whom an event brought.
async fn server(changed: &[(&str, &str)]) -> (TestServer, String) {
    let server = TestServer::with(&[&NO_LIMITS[..], changed].concat()).await;
    let admin = server.admin("user_boss").await;
    server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    (server, admin)
}

/// Sends a body of JSON; `If-Match` unless it is empty.
async fn send(server: &TestServer, token: &str, method: Method, path: &str, body: &str, if_match: &str) -> Answer {
    let mut request = server.request(method, path).bearer_auth(token);
    if !body.is_empty() {
        request = request.header("content-type", "application/json").body(body.to_owned());
    }
    if !if_match.is_empty() {
        request = request.header("if-match", if_match);
    }
    Answer::of(request.send().await.unwrap()).await
}

/// An API key with that scope.
async fn key(server: &TestServer, scope: Scope) -> String {
    let scopes = Scopes::new([scope]).unwrap();
    let wanted = Wanted { name: "test".parse().unwrap(), scopes, expires_at: None };
    let entry = Draft::new("key.created", Actor::Cli, Source::Cli);
    server.app.store.create_api_key(wanted, entry).await.unwrap().1.reveal().to_owned()
}

/// The newest entry with that action.
async fn last(server: &TestServer, action: &str) -> rollbook::audit::Entry {
    server.entries().await.into_iter().rfind(|entry| entry.leaf.action == action).unwrap()
}

/// The record as the admin sees it.
async fn record(server: &TestServer, admin: &str, id: &str) -> Value {
    let answer = server.get_as(admin, &format!("/api/users/{id}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    answer.json()
}
