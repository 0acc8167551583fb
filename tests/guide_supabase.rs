//! The guide to Clerk with Supabase: a users table fed by webhooks, rows removed on deletion, routes with required and with
//! optional authentication, users who read only their own row, a health check and documentation to read. Each step as that
//! guide has it, at the real binary.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;
#[path = "common/guide.rs"]
mod guide;
#[path = "common/process.rs"]
mod process;

use common::tokens::{claims, with};
use common::{CLERK, deleted_event, sign, token, user_event};
use guide::Guide;
use serde_json::{Value, json};

/// When Clerk's events were, in milliseconds.
const T: i64 = 1_750_000_000_000;

/// Everything that the guide's table has a column for.
fn john() -> Value {
    let mut event = user_event("user.created", "user_2john", T, "John");
    let data = &mut event["data"];
    data["last_name"] = "Doe".into();
    data["username"] = "johndoe".into();
    data["image_url"] = "https://img.example.com/john.png".into();
    data["last_sign_in_at"] = (T - 1000).into();
    // The first address is not the primary one.
    data["email_addresses"] = json!([
        { "id": "idn_0", "email_address": "old@example.com", "verification": { "status": "verified" } },
        { "id": "idn_1", "email_address": "john@example.com", "verification": { "status": "verified" } },
    ]);
    data["public_metadata"] = json!({ "theme": "dark", "nested": { "n": 1 } });
    data["private_metadata"] = json!({ "ledger": "L-1" });
    event
}

#[test]
fn a_user_is_a_row_with_these_columns() {
    let Some(guide) = Guide::start(&[]) else { return };
    assert_eq!(guide.outcome(&john()), "applied");
    let key = guide.key(&["users:read"]);
    let row = guide.get(&key, "/api/users/user_2john").json();
    for (column, value) in [
        ("clerk_user_id", json!("user_2john")),
        ("email", json!("john@example.com")),
        ("first_name", json!("John")),
        ("last_name", json!("Doe")),
        ("image_url", json!("https://img.example.com/john.png")),
        ("username", json!("johndoe")),
        ("created_at", json!("2023-11-14T22:13:20.000Z")),
        ("updated_at", json!("2025-06-15T15:06:40.000Z")),
        ("last_sign_in_at", json!("2025-06-15T15:06:39.000Z")),
        ("public_metadata", json!({ "theme": "dark", "nested": { "n": 1 } })),
        ("private_metadata", json!({ "ledger": "L-1" })),
        ("unsafe_metadata", json!({})),
    ] {
        assert_eq!(row[column], value, "{column}");
    }
    let id: uuid::Uuid = row["id"].as_str().unwrap().parse().unwrap();
    // `clerk_user_id` is unique: whatever comes about the user, there is one row, under one id.
    assert_eq!(guide.outcome(&user_event("user.updated", "user_2john", T + 1, "Johnny")), "applied");
    assert_eq!(guide.outcome(&user_event("user.created", "user_2john", T + 2, "Jon")), "applied");
    let list = guide.get(&key, "/api/users").json();
    let [only] = &list["items"].as_array().unwrap()[..] else { panic!("{list}") };
    assert_eq!((&only["id"], &only["first_name"]), (&id.to_string().into(), &"Jon".into()));
}

#[test]
fn the_guides_shortened_event_is_taken() {
    let Some(guide) = Guide::start(&[]) else { return };
    let event = json!({
        "type": "user.created",
        "data": {
            "id": "user_short", "first_name": "John", "last_name": "Doe", "username": "johndoe",
            "email_addresses": [{ "email_address": "user@example.com", "primary": true }],
            "image_url": "https://img.example.com/john.png",
        },
    });
    assert_eq!(guide.outcome(&event), "applied");
    let user = guide.user("user_short");
    assert_eq!((&user["first_name"], &user["username"]), (&"John".into(), &"johndoe".into()));
    // Nothing says by its id which address is the primary one, and none is guessed.
    assert!(user["email"].is_null(), "{user}");
}

#[test]
fn a_deletion_removes_the_row() {
    let Some(guide) = Guide::start(&[("ROLLBOOK_DELETE", "hard")]) else { return };
    guide.outcome(&john());
    let key = guide.key(&["users:read", "users:write", "audit:read"]);
    let id = guide.user("user_2john")["id"].as_str().unwrap().to_owned();
    assert_eq!(guide.outcome(&deleted_event("user_2john", T + 1)), "applied");
    for path in ["/api/users/user_2john", &format!("/api/users/{id}")] {
        guide.get(&key, path).problem(404);
    }
    for path in ["/api/users", "/api/users?deleted=true", "/api/users?email=john@example.com"] {
        assert_eq!(guide.get(&key, path).json(), json!({ "items": [], "next_cursor": null }), "{path}");
    }
    // Gone is gone: neither a late event nor a token makes the row again.
    assert_eq!(guide.outcome(&user_event("user.updated", "user_2john", T + 2, "John")), "stale");
    guide.get_as("user_2john", "/api/auth/me").problem(403);
    guide.get(&key, "/api/users/user_2john").problem(404);
    // That it happened is in the book.
    let entries = guide.get(&key, "/api/audit?action=user.deleted").json();
    assert_eq!(entries["items"].as_array().unwrap().len(), 1, "{entries}");
    // The same by the operator's own hand.
    guide.outcome(&user_event("user.created", "user_2", T, "Ann"));
    let removed =
        guide.run(r#"curl -X DELETE "$URL/api/users/user_2" -H "Authorization: Bearer $TOKEN""#, &[("TOKEN", &key)]);
    assert_eq!((removed.status, removed.body.as_str()), (204, ""));
    guide.get(&key, "/api/users/user_2").problem(404);
}

#[test]
fn a_route_may_require_a_session_or_only_look_for_one() {
    let Some(guide) = Guide::start(&[]) else { return };
    guide.outcome(&john());
    let (good, late) = (token("user_2john"), CLERK.mint(&with(&claims("user_2john", sign::now_seconds()), "exp", 1)));
    let ask = |path: &str| guide.run(&format!(r#"curl "$URL{path}""#), &[]);
    // Required.
    for path in ["/api/auth/me", "/api/auth/verify", "/api/users/user_2john"] {
        let reply = ask(path);
        reply.problem(401);
        assert!(reply.header("www-authenticate").starts_with("Bearer"), "{path}");
        guide.get(&late, path).problem(401);
        assert_eq!(guide.get(&good, path).status, 200, "{path}");
    }
    // Optional: a guest is a guest, a user is named, and a token that is no good is no guest's.
    assert_eq!(ask("/api/session").json(), json!({ "signed_in": false }));
    let session = guide.get(&good, "/api/session").json();
    assert_eq!((&session["signed_in"], &session["user"]["first_name"]), (&true.into(), &"John".into()));
    guide.get(&late, "/api/session").problem(401);
    // The same for routes of another program behind a proxy.
    let headers = ["x-rollbook-clerk-user", "x-rollbook-email", "x-rollbook-role"];
    let named = guide.get(&good, "/api/auth/verify");
    assert_eq!(headers.map(|name| named.header(name)), ["user_2john", "john@example.com", "USER"]);
    assert_eq!(named.header("x-rollbook-user"), session["user"]["id"].as_str().unwrap());
    let guest = ask("/api/auth/verify?optional=true");
    assert_eq!((guest.status, headers.map(|name| guest.header(name))), (200, ["", "", ""]));
    guide.get(&late, "/api/auth/verify?optional=true").problem(401);
}

#[test]
fn users_read_their_own_row_and_no_other() {
    let Some(guide) = Guide::start(&[]) else { return };
    guide.outcome(&john());
    guide.outcome(&user_event("user.created", "user_eve", T, "Eve"));
    let id = guide.user("user_2john")["id"].as_str().unwrap().to_owned();
    for path in ["/api/users/user_2john".to_owned(), format!("/api/users/{id}")] {
        let own = guide.get_as("user_2john", &path);
        assert_eq!((own.status, &own.json()["email"]), (200, &"john@example.com".into()));
        assert!(own.json().get("private_metadata").is_none(), "for admins");
        // For Eve the row is not there, and what is not there looks the same.
        let (theirs, nobodys) = (guide.get_as("user_eve", &path), guide.get_as("user_eve", "/api/users/user_nobody"));
        theirs.problem(404);
        assert_eq!(theirs.json()["detail"], nobodys.json()["detail"]);
        for more in ["/audit", "/sessions"] {
            guide.get_as("user_eve", &format!("{path}{more}")).problem(404);
            assert_eq!(guide.get_as("user_2john", &format!("{path}{more}")).status, 200, "{more}");
        }
    }
    for list in ["/api/users", "/api/audit", "/api/organizations", "/api/events"] {
        guide.get_as("user_eve", list).problem(403);
    }
    guide.rollbook("users set user_eve --role ADMIN").done();
    assert_eq!(
        guide.get_as("user_eve", "/api/users/user_2john").json()["private_metadata"],
        json!({ "ledger": "L-1" })
    );
}

#[test]
fn health_webhook_and_documentation_are_where_the_guide_looks() {
    let Some(guide) = Guide::start(&[]) else { return };
    let health = guide.run(r#"curl "$URL/health""#, &[]);
    assert_eq!((health.status, health.json()), (200, json!({ "status": "ok" })));
    let by_hand = r#"curl -X POST "$URL/api/webhooks/clerk" -H "Content-Type: application/json" -H "svix-id: test" \
        -H "svix-timestamp: 1234567890" -H "svix-signature: test" -d '{}'"#;
    guide.run(by_hand, &[]).problem(401);
    let docs = guide.run(r#"curl "$URL/docs""#, &[]);
    assert_eq!((docs.status, docs.header("content-type")), (200, "text/html; charset=utf-8"));
    let description = guide.run(r#"curl "$URL/openapi.json""#, &[]).json();
    assert!(description["openapi"].as_str().unwrap().starts_with("3."), "{description}");
    for (path, method) in [
        ("/api/webhooks/clerk", "post"),
        ("/api/auth/me", "get"),
        ("/api/session", "get"),
        ("/api/users/{id}", "get"),
        ("/health", "get"),
    ] {
        assert!(description["paths"][path][method].is_object(), "{method} {path}");
        assert!(docs.body.contains(path), "{path}");
    }
}
