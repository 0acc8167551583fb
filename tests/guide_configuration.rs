//! The guide to configuring Clerk: a `.env` as its dashboard gives it, an internal id beside Clerk's, keys that are cached,
//! the guide's shorter paths, and with every new user a free subscription and empty counters. Each step as that guide has it,
//! at the real binary.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;
#[path = "common/guide.rs"]
mod guide;
#[path = "common/jwks_server.rs"]
mod jwks_server;
#[path = "common/process.rs"]
mod process;

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::tokens::claims;
use common::{CLERK, SECRET, deleted_event, now, sign, token, user_event};
use guide::{Guide, Signed};
use jwks_server::JwksServer;
use serde_json::{Value, json};

/// When Clerk's events were, in milliseconds.
const T: i64 = 1_750_000_000_000;

fn created(user: &str) -> Value {
    user_event("user.created", user, T, "Ann")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_env_file_is_all_it_takes() {
    let jwks = JwksServer::start(&CLERK.jwks()).await;
    let dir = tempfile::tempdir().unwrap();
    // The publishable key is where the issuer stands, as Clerk writes it.
    let publishable = format!("pk_test_{}", STANDARD.encode("clerk.example.com$"));
    let env = format!(
        "# Clerk Authentication\nCLERK_SECRET_KEY=sk_test_notneeded\nCLERK_PUBLISHABLE_KEY={publishable}\n\
         CLERK_WEBHOOK_SECRET={SECRET}\nCLERK_JWKS_URL={}\n",
        jwks.url()
    );
    fs::write(dir.path().join(".env"), env).unwrap();
    let unset = [("CLERK_WEBHOOK_SIGNING_SECRET", ""), ("CLERK_ISSUER", ""), ("CLERK_JWT_KEY", "")];
    let Some(guide) = Guide::start_in(dir, &unset) else { return };
    // The flow to test: signed up, the event comes, the front end has a token and asks who it is.
    assert_eq!(guide.outcome(&created("user_1")), "applied");
    let me = guide.get_as("user_1", "/auth/me");
    assert_eq!((me.status, &me.json()["email"]), (200, &"user_1@example.org".into()));
    assert_eq!(jwks.hits(), 1);
}

#[test]
fn a_user_has_an_internal_id_that_stays() {
    let Some(guide) = Guide::start(&[]) else { return };
    guide.outcome(&created("user_1"));
    let me = guide.get_as("user_1", "/auth/me").json();
    let id = me["id"].as_str().unwrap();
    assert!(id.parse::<uuid::Uuid>().is_ok() && me["clerk_user_id"] == "user_1", "{me}");
    guide.outcome(&user_event("user.updated", "user_1", T + 1, "Anne"));
    assert_eq!(guide.get_as("user_1", "/auth/me").json()["id"], id);
    for name in [id, "user_1"] {
        assert_eq!(guide.get_as("user_1", &format!("/api/users/{name}")).json()["id"], id);
    }
    // Clerk's goes with the deletion, ours does not.
    guide.outcome(&deleted_event("user_1", T + 2));
    let gone = guide.user(id);
    assert_eq!((&gone["id"], &gone["clerk_user_id"]), (&id.into(), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_once_for_many_tokens() {
    let jwks = JwksServer::start(&CLERK.jwks()).await;
    let Some(guide) = Guide::start(&[("CLERK_JWT_KEY", ""), ("CLERK_JWKS_URL", jwks.url())]) else { return };
    for n in 0..30 {
        let token = CLERK.mint(&claims(&format!("user_{}", n % 7), sign::now_seconds() - n));
        assert_eq!(guide.get(&token, "/auth/me").status, 200);
    }
    assert_eq!(jwks.hits(), 1);
}

#[test]
fn the_guides_paths_lead_to_the_same() {
    let Some(guide) = Guide::start(&[]) else { return };
    let message = Signed::new(&created("user_1"));
    assert_eq!(guide.signed("POST", "/api/webhooks", &message).json(), json!({ "outcome": "applied" }));
    assert_eq!(guide.signed("POST", "/api/webhooks/clerk", &message).json(), json!({ "outcome": "duplicate" }));
    guide.run(r#"curl -X POST "$URL/api/webhooks" -d '{}'"#, &[]).problem(400);
    let [short, long] = ["/auth/me", "/api/auth/me"].map(|path| guide.get_as("user_1", path));
    assert_eq!((short.status, short.json()), (200, long.json()));
    guide.run(r#"curl "$URL/auth/me""#, &[]).problem(401);
}

/// An event of Clerk Billing about an item of that user's, last changed then.
fn item(kind: &str, id: &str, plan: &str, status: &str, at: i64) -> Value {
    json!({
        "type": kind, "object": "event", "timestamp": at, "instance_id": "ins_test",
        "data": {
            "object": "commerce_subscription_item", "id": id, "status": status, "interval": "month",
            "plan_id": format!("cplan_{plan}"),
            "plan": { "id": format!("cplan_{plan}"), "slug": plan, "name": plan, "is_recurring": true, "amount": 1900 },
            "payer": {
                "object": "commerce_payer", "id": "cpayer_1", "user_id": "user_1", "email": "user_1@example.org",
                "organization_id": "", "organization_name": "",
            },
            "subscription_id": "csub_1", "period_start": T, "created_at": T, "updated_at": at,
        },
    })
}

#[test]
fn a_new_user_is_on_the_free_plan_and_billing_moves_it() {
    let Some(guide) = Guide::start(&[]) else { return };
    let subscription = || guide.get_as("user_1", "/auth/me").json()["subscription"].clone();
    let on = |plan: &str, status: &str| json!({ "plan": plan, "status": status });
    guide.outcome(&created("user_1"));
    assert_eq!(subscription(), on("free", "active"));
    assert_eq!(guide.outcome(&item("subscriptionItem.active", "csub_item_1", "pro", "active", T + 10)), "applied");
    assert_eq!(subscription(), on("pro", "active"));
    guide.outcome(&item("subscriptionItem.pastDue", "csub_item_1", "pro", "past_due", T + 20));
    assert_eq!(subscription(), on("pro", "past_due"));
    // Late news of what was before.
    assert_eq!(guide.outcome(&item("subscriptionItem.active", "csub_item_1", "pro", "active", T + 15)), "stale");
    assert_eq!(subscription(), on("pro", "past_due"));
    guide.outcome(&item("subscriptionItem.ended", "csub_item_1", "pro", "ended", T + 30));
    assert_eq!(subscription(), on("pro", "ended"));
    // What the profile says moves none of it.
    guide.outcome(&user_event("user.updated", "user_1", T + 40, "Anne"));
    assert_eq!(subscription(), on("pro", "ended"));
    // The operator's word stands until Clerk has newer.
    let key = guide.key(&["users:write"]);
    let changed = guide.send(
        &key,
        "PATCH",
        "/api/users/user_1",
        &json!({ "subscription": { "plan": "gift", "status": "active" } }),
    );
    assert_eq!((changed.status, subscription()), (200, on("gift", "active")));
    guide.outcome(&item("subscriptionItem.active", "csub_item_2", "team", "active", T + 50));
    assert_eq!(subscription(), on("gift", "active"));
    let later = now().as_millis() + 60_000;
    guide.outcome(&item("subscriptionItem.updated", "csub_item_2", "team", "active", later));
    assert_eq!(subscription(), on("team", "active"));
}

#[test]
fn billing_may_speak_before_the_user_comes() {
    let Some(guide) = Guide::start(&[]) else { return };
    assert_eq!(guide.outcome(&item("subscriptionItem.active", "csub_item_1", "pro", "active", T)), "applied");
    guide.outcome(&created("user_1"));
    assert_eq!(guide.user("user_1")["subscription"], json!({ "plan": "pro", "status": "active" }));
}

#[test]
fn counters_begin_empty_and_go_up() {
    let Some(guide) = Guide::start(&[]) else { return };
    guide.outcome(&created("user_1"));
    assert_eq!(guide.get_as("user_1", "/auth/me").json()["usage"], json!({}));
    let key = guide.key(&["users:write"]);
    let add = |counts: &Value| guide.send(&key, "POST", "/api/users/user_1/usage", counts);
    assert_eq!(add(&json!({ "campaigns": 1 })).json()["usage"], json!({ "campaigns": 1 }));
    let both = add(&json!({ "campaigns": 2, "tokens": 1500 }));
    assert_eq!((both.status, &both.json()["usage"]), (200, &json!({ "campaigns": 3, "tokens": 1500 })));
    for bad in
        [json!({}), json!({ "campaigns": -1 }), json!({ "campaigns": 0.5 }), json!({ "no such name": 1 }), json!([1])]
    {
        add(&bad).problem(400);
    }
    // Nobody counts for themselves.
    guide.send(&token("user_1"), "POST", "/api/users/user_1/usage", &json!({ "campaigns": 1 })).problem(403);
    guide.outcome(&user_event("user.updated", "user_1", T + 1, "Anne"));
    let usage = json!({ "campaigns": 3, "tokens": 1500 });
    assert_eq!(guide.get_as("user_1", "/auth/me").json()["usage"], usage);
}
