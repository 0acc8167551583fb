//! Good tokens whose bearers may not do what they ask: pending, impersonated, deleted, banned, strangers to whom
//! they ask for.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::common::tokens::{claims, with, without};
use crate::common::{CLERK, clerk_id, deleted_event, user_event};
use crate::stand::{ME, OTHER, Stand, T, after_restart, assert_refused, at};

#[tokio::test]
async fn pending_sessions_are_forbidden_and_noted() {
    let stand = Stand::pinned().await;
    let pending = CLERK.mint(&with(&stand.good(), "sts", "pending"));
    let before = stand.server.app.store.counts();
    // The second time it is a remembered token, and a second later.
    for path in [ME, "/api/session"] {
        let answer = stand.server.get_as(&pending, path).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(answer.json()["type"], "urn:rollbook:problem:forbidden");
        stand.advance(1);
    }
    let denied = stand.denied().await;
    assert_eq!(denied.len(), 2);
    for entry in &denied {
        assert_eq!((entry.leaf.outcome.as_str(), entry.leaf.reason.as_deref()), ("denied", Some("session_pending")));
        assert_eq!(entry.actor_user, Some(clerk_id("user_1")));
    }
    let after = stand.server.app.store.counts();
    assert_eq!((after.users, after.entries), (before.users, before.entries + 2), "nobody was put on the roll");
    // What Clerk never says is no session, rather than one that is pending or active.
    let states = [json!("Pending"), json!(""), json!("ended"), json!(["active"]), Value::Null];
    stand.refuses_claims(states.into_iter().map(|sts| with(&stand.good(), "sts", sts))).await;
    stand.takes("no state", &CLERK.mint(&without(&stand.good(), "sts"))).await;
}

#[tokio::test]
async fn impersonation_is_noted_or_forbidden() {
    let allowed = Stand::pinned().await;
    let acted = with(&allowed.good(), "act", json!({"sub": "user_boss", "iss": "https://dashboard.clerk.com"}));
    let token = CLERK.mint(&acted);
    allowed.takes("impersonated", &token).await;
    let entries = allowed.server.entries().await;
    let read: Vec<_> = entries.iter().filter(|entry| entry.leaf.action == "user.read").collect();
    assert_eq!(read.len(), 1, "reading one's own record leaves no entry, unless somebody else does it");
    assert_eq!(read[0].impersonator_user, Some(clerk_id("user_boss")));
    assert_eq!((&read[0].actor_user, &read[0].target_user), (&Some(clerk_id("user_1")), &Some(clerk_id("user_1"))));
    assert!(read[0].leaf.impersonator.as_deref().unwrap().starts_with("s1."));
    assert!(!serde_json::to_string(&read[0].leaf).unwrap().contains("user_"));

    let forbidden = Stand::with(&[("ROLLBOOK_IMPERSONATION", "deny")]).await;
    assert_eq!(forbidden.status(&token).await, 403);
    let denied = forbidden.denied().await;
    assert_eq!((denied.len(), denied[0].leaf.reason.as_deref()), (1, Some("impersonated")));
    assert_eq!(denied[0].impersonator_user, Some(clerk_id("user_boss")));
    assert_eq!(forbidden.server.user("user_1"), None, "nobody was put on the roll");
    // An actor that names nobody could not be noted.
    for act in
        [json!({}), json!("user_boss"), json!({"sub": ""}), json!({"sub": 1}), json!({"sub": "a b"}), Value::Null]
    {
        let claims = with(&forbidden.good(), "act", act);
        assert_refused(&allowed.server.get_as(&CLERK.mint(&claims), ME).await, &claims);
        assert_refused(&forbidden.server.get_as(&CLERK.mint(&claims), ME).await, &claims);
    }
    forbidden.takes("nobody else's session", &CLERK.mint(&forbidden.good())).await;
}

#[tokio::test]
async fn deleted_and_banned_users_are_forbidden() {
    for (delete, provision) in [("soft", "on"), ("hard", "on"), ("soft", "off"), ("hard", "off")] {
        let stand = Stand::with(&[("ROLLBOOK_DELETE", delete), ("ROLLBOOK_PROVISION", provision)]).await;
        let server = &stand.server;
        let token = CLERK.mint(&stand.good());
        server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
        stand.takes("on the roll", &token).await;
        let mut banned = user_event("user.updated", "user_1", T + 1, "Ann");
        banned["data"]["banned"] = true.into();
        server.outcome(&banned).await;
        assert_forbidden(&stand, &token, "banned").await;
        server.outcome(&user_event("user.updated", "user_1", T + 2, "Ann")).await;
        stand.takes("no longer banned", &token).await;
        server.outcome(&deleted_event("user_1", T + 3)).await;
        assert_forbidden(&stand, &token, "deleted").await;
        // A late event does not bring them back, and a token provisions nobody who was deleted.
        server.outcome(&user_event("user.updated", "user_1", T + 4, "Ann")).await;
        assert_forbidden(&stand, &token, "deleted").await;
        server.outcome(&deleted_event("user_2", T)).await;
        assert_forbidden(&stand, &CLERK.mint(&claims("user_2", stand.now)), "deleted").await;
        assert_eq!(server.count("user.provisioned").await, 0);
    }
}

/// 403 wherever the token is shown, and an entry that says why.
async fn assert_forbidden(stand: &Stand, token: &str, reason: &str) {
    for path in [ME, "/auth/me", "/api/session", "/api/users", "/api/users/user_1", "/api/users/user_1/audit"] {
        stand.advance(1);
        let before = stand.denied().await.len();
        let answer = stand.server.get_as(token, path).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {reason}: {}", answer.text);
        assert!(!answer.text.contains("user_"), "{}", answer.text);
        let denied = stand.denied().await;
        assert_eq!(denied.len(), before + 1, "{path} {reason}");
        assert_eq!(denied.last().unwrap().leaf.reason.as_deref(), Some(reason), "{path}");
    }
    // The clock went on for the entries' sake; the token has its minute.
    stand.clock.set(at(stand.now));
}

#[tokio::test]
async fn other_peoples_ids_lead_nowhere() {
    let stand = Stand::pinned().await;
    let server = &stand.server;
    for id in ["user_1", "user_2"] {
        server.outcome(&user_event("user.created", id, T, "Ann")).await;
    }
    let token = CLERK.mint(&stand.good());
    let theirs = server.user("user_2").unwrap().id.to_string();
    let nobody = "0199c1a0-0000-7000-8000-000000000001";
    let mut bodies = Vec::new();
    for id in ["user_2", &theirs, "user_nobody", nobody] {
        for path in
            [format!("/api/users/{id}"), format!("/api/users/{id}/audit"), format!("/api/users/{id}?include=clerk")]
        {
            if path.contains("audit?") {
                continue;
            }
            stand.advance(1);
            let before = stand.denied().await.len();
            let answer = server.get_as(&token, &path).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
            let mut body = answer.json();
            body.as_object_mut().unwrap().remove("error_id");
            bodies.push(body);
            let denied = stand.denied().await;
            assert_eq!(denied.len(), before + 1, "{path}");
            let entry = denied.last().unwrap();
            assert_eq!(entry.leaf.reason.as_deref(), Some("not_own"));
            assert_eq!(entry.actor_user, Some(clerk_id("user_1")));
            let known = id == "user_2" || id == theirs;
            assert_eq!(entry.target_user, known.then(|| clerk_id("user_2")), "{path}");
        }
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "whether somebody is there cannot be told: {bodies:?}");
    stand.clock.set(at(stand.now));
    let mine = server.user("user_1").unwrap().id.to_string();
    for id in ["user_1", &mine] {
        assert_eq!(server.get_as(&token, &format!("/api/users/{id}")).await.status, StatusCode::OK);
    }
    for path in ["/api/users", "/api/audit"] {
        assert_eq!(server.get_as(&token, path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test]
async fn denials_of_one_second_are_counted_not_listed() {
    let stand = Stand::pinned().await;
    let token = CLERK.mint(&stand.good());
    stand.takes("themselves", &token).await;
    for _ in 0..50 {
        assert_eq!(stand.server.get_as(&token, "/api/users/user_2").await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(stand.denied().await.len(), 1);
    let entries = after_restart(stand).await;
    let counts: Vec<_> = entries.iter().filter(|e| e.leaf.action == "api.denied").map(|e| e.leaf.count).collect();
    assert_eq!(counts, [None, Some(49)]);
}

#[tokio::test]
async fn what_strangers_try_becomes_one_entry_for_each_reason() {
    let stand = Stand::pinned().await;
    for n in 1..=3 {
        for _ in 0..n {
            stand.server.get(ME).await;
            stand.server.get_as("x", ME).await;
            stand.server.get_as(&OTHER.mint(&stand.good()), "/api/session").await;
        }
    }
    assert_eq!(stand.server.count("api.unauthenticated").await, 0);
    let entries = after_restart(stand).await;
    let counted: Vec<_> = entries.iter().filter(|entry| entry.leaf.action == "api.unauthenticated").collect();
    let reasons: Vec<_> = counted.iter().map(|e| (e.leaf.reason.as_deref().unwrap(), e.leaf.count.unwrap())).collect();
    assert_eq!(reasons, [("malformed", 6), ("no_token", 6), ("signature", 6)]);
    assert!(counted.iter().all(|entry| entry.leaf.actor == "anonymous" && entry.leaf.outcome == "denied"));
}

#[tokio::test]
async fn a_remembered_token_ends_with_its_user() {
    let stand = Stand::pinned().await;
    let server = &stand.server;
    for (user, event) in [
        ("user_1", deleted_event("user_1", T + 1)),
        ("user_2", {
            let mut banned = user_event("user.updated", "user_2", T + 1, "Ann");
            banned["data"]["banned"] = true.into();
            banned
        }),
    ] {
        server.outcome(&user_event("user.created", user, T, "Ann")).await;
        let token = CLERK.mint(&claims(user, stand.now));
        for _ in 0..3 {
            assert_eq!(stand.status(&token).await, 200);
        }
        assert_eq!(server.outcome(&event).await, "applied");
        assert_eq!(stand.status(&token).await, 403, "{user}");
    }
}
