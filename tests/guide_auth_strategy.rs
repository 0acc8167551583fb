//! The guide to an authentication strategy for Clerk's webhooks (NestJS): Svix signatures for events, RS256 tokens by JWKS
//! for people, users made when they are first seen, and deleted by a signed event. Each step as that guide has it, at the
//! real binary.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;
#[path = "common/guide.rs"]
mod guide;
#[path = "common/jwks_server.rs"]
mod jwks_server;
#[path = "common/process.rs"]
mod process;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::RSA_PKCS1_SHA512;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::tokens::{self, Issuer, claims, with};
use common::{CLERK, deleted_event, sign, token, user_event};
use guide::{Guide, Signed};
use jwks_server::JwksServer;
use serde_json::{Value, json};

/// When Clerk's events were, in milliseconds.
const T: i64 = 1_750_000_000_000;
/// The guide's own path for Clerk's events.
const WEBHOOK: &str = "/api/webhook/clerk";
const OTHER_SECRET: &str = "whsec_YW5vdGhlciBzZWNyZXQsIG5vdCB0aGUgc2VydmVy";

fn created(user: &str) -> Value {
    user_event("user.created", user, T, "Ann")
}

#[test]
fn the_webhook_is_verified_over_its_raw_body() {
    let Some(guide) = Guide::start(&[]) else { return };
    let message = Signed::new(&created("user_1"));
    // Verified and handled.
    let reply = guide.signed("POST", WEBHOOK, &message);
    assert_eq!((reply.status, reply.json()), (200, json!({ "outcome": "applied" })));
    // Another secret's signature; and our own, over the same JSON in other bytes.
    let forged = Signed::with(OTHER_SECRET, &created("user_2"));
    guide.signed("POST", WEBHOOK, &forged).problem(401);
    let reformatted = Signed { body: message.body.replacen(':', ": ", 1), ..Signed::new(&created("user_1")) };
    guide.signed("POST", WEBHOOK, &reformatted).problem(401);
    // No signature at all.
    let bare = r#"curl -X POST "$URL/api/webhook/clerk" -H "Content-Type: application/json" -d "$BODY""#;
    guide.run(bare, &[("BODY", &message.body)]).problem(400);
    assert!(guide.rollbook("users list").done().lines().count() == 2, "the header and one user");
}

/// A token signed with the public key as though that were a shared secret.
fn confused(claims: &Value) -> String {
    let header = with(&CLERK.header(), "alg", "HS256").to_string();
    let message = tokens::message(&header, &claims.to_string());
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, CLERK.pem().as_bytes()), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guard_takes_rs256_tokens_of_the_issuer_while_they_last() {
    let jwks = JwksServer::start(&CLERK.jwks()).await;
    let Some(guide) = Guide::start(&[("CLERK_JWT_KEY", ""), ("CLERK_JWKS_URL", jwks.url())]) else { return };
    let now = sign::now_seconds();
    let good = claims("user_1", now);
    assert_eq!(guide.get(&CLERK.mint(&good), "/api/auth/me").status, 200);

    let header = |alg: &str| with(&CLERK.header(), "alg", alg).to_string();
    let unsigned = format!("{}.", tokens::message(&header("none"), &good.to_string()));
    for (bad, why) in [
        (CLERK.sign_as(&RSA_PKCS1_SHA512, &header("RS512"), &good.to_string()), "RS512"),
        (confused(&good), "HS256"),
        (unsigned, "no algorithm"),
        (Issuer::new("ins_test").mint(&good), "another key under the same id"),
        (CLERK.mint(&with(&good, "iss", "https://clerk.example.net")), "another issuer"),
        (CLERK.mint(&tokens::without(&good, "iss")), "no issuer"),
        (CLERK.mint(&with(&with(&good, "iat", now - 120), "exp", now - 60)), "expired"),
        (CLERK.mint(&tokens::without(&good, "exp")), "no end"),
        (CLERK.mint(&tokens::without(&good, "sub")), "nobody"),
        ("not.a.token".to_owned(), "no token"),
    ] {
        let reply = guide.get(&bad, "/api/auth/me");
        assert_eq!(reply.status, 401, "{why}");
        reply.problem(401);
    }
    guide.run(r#"curl "$URL/api/auth/me""#, &[]).problem(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_cached_and_asking_for_them_is_limited() {
    let jwks = JwksServer::start(&CLERK.jwks()).await;
    let Some(guide) = Guide::start(&[("CLERK_JWT_KEY", ""), ("CLERK_JWKS_URL", jwks.url())]) else { return };
    for n in 0..10 {
        assert_eq!(guide.get_as(&format!("user_{n}"), "/api/auth/me").status, 200);
    }
    assert_eq!(jwks.hits(), 1, "fetched once for ten tokens");
    for n in 0..10 {
        let stranger = Issuer { kid: format!("ins_{n}"), ..Issuer::new("") };
        guide.get(&stranger.mint(&claims("user_1", sign::now_seconds())), "/api/auth/me").problem(401);
    }
    // The guide's limit is five a minute.
    assert!(jwks.hits() <= 2, "{} fetches for ten unknown keys", jwks.hits());
}

#[test]
fn a_user_who_is_not_in_the_database_is_created() {
    let Some(guide) = Guide::start(&[]) else { return };
    assert!(guide.rollbook("users list").done().starts_with("no users"));
    let me = guide.get_as("user_new", "/api/auth/me");
    assert_eq!(
        (me.status, &me.json()["clerk_user_id"], &me.json()["source"]),
        (200, &"user_new".into(), &"token".into())
    );
    // The same person, by Clerk's id and by ours.
    let id = me.json()["id"].as_str().unwrap().to_owned();
    for id in ["user_new", &id] {
        assert_eq!(guide.get_as("user_new", &format!("/api/users/{id}")).json(), me.json());
    }
    // Clerk's event comes later and fills the record in.
    assert_eq!(guide.outcome(&created("user_new")), "applied");
    let me = guide.get_as("user_new", "/api/auth/me").json();
    assert_eq!((&me["id"], &me["first_name"]), (&id.into(), &"Ann".into()));
    // Whoever does not want that turns it off, and gets the guide's other branch.
    let Some(guide) = Guide::start(&[("ROLLBOOK_PROVISION", "off")]) else { return };
    guide.get_as("user_new", "/api/auth/me").problem(404);
}

#[test]
fn post_users_creates_or_returns() {
    let Some(guide) = Guide::start(&[]) else { return };
    let body =
        json!({ "clerk_user_id": "user_1", "email": "ann@example.org", "first_name": "Ann", "last_name": "Tester" });
    let post = |token: &str, body: &Value| guide.send(token, "POST", "/api/users", body);
    let says = with(&claims("user_1", sign::now_seconds()), "email", "ann@example.org");
    let token_1 = CLERK.mint(&says);
    let made = post(&token_1, &body);
    assert_eq!((made.status, &made.json()["email"]), (201, &"ann@example.org".into()), "{}", made.body);
    let found = post(&token_1, &body);
    assert_eq!((found.status, found.json()), (200, made.json()));
    // Nobody registers somebody else, or under an address that the token says is another's.
    post(&token("user_2"), &body).problem(403);
    post(&token_1, &with(&body, "email", "eve@example.org")).problem(403);
    guide.run(r#"curl -X POST "$URL/api/users" -H "Content-Type: application/json" -d '{}'"#, &[]).problem(401);
    assert_eq!(guide.rollbook("users list").done().lines().count(), 2, "the header and one user");
}

#[test]
fn a_user_is_deleted_by_a_signed_event() {
    let Some(guide) = Guide::start(&[]) else { return };
    let path = "/api/users/webhook/user_1";
    let deleted = || deleted_event("user_1", T + 10);
    assert_eq!(guide.outcome(&created("user_1")), "applied");
    // 401: another secret; the same JSON in other bytes.
    guide.signed("DELETE", path, &Signed::with(OTHER_SECRET, &deleted())).problem(401);
    let genuine = Signed::new(&deleted());
    guide.signed("DELETE", path, &Signed { body: genuine.body.replacen(':', ": ", 1), ..genuine.clone() }).problem(401);
    // 400: another type of event; another user than the path's.
    guide.signed("DELETE", path, &Signed::new(&created("user_1"))).problem(400);
    guide.signed("DELETE", path, &Signed::new(&deleted_event("user_2", T + 10))).problem(400);
    // A session token is no authority here.
    let bearer = r#"curl -X DELETE "$URL/api/users/webhook/user_1" -H "Authorization: Bearer $TOKEN" -d '{}'"#;
    guide.run(bearer, &[("TOKEN", &token("user_1"))]).problem(400);
    assert_eq!(guide.get_as("user_1", "/api/auth/me").status, 200, "nothing of all that deleted anybody");
    // 200, and once only, also when Clerk delivers the same message as a webhook.
    let reply = guide.signed("DELETE", path, &genuine);
    assert_eq!((reply.status, &reply.json()["outcome"]), (200, &"applied".into()), "{}", reply.body);
    guide.get_as("user_1", "/api/auth/me").problem(403);
    for (method, path) in [("DELETE", path), ("POST", WEBHOOK)] {
        assert_eq!(guide.signed(method, path, &genuine).json()["outcome"], "duplicate");
    }
}

#[test]
fn every_operation_is_in_the_audit_log() {
    let Some(guide) = Guide::start(&[]) else { return };
    guide.outcome(&created("user_1"));
    guide.outcome(&user_event("user.updated", "user_1", T + 1, "Anne"));
    guide.signed("POST", WEBHOOK, &Signed::with(OTHER_SECRET, &created("user_1"))).problem(401);
    guide.send(&token("user_2"), "POST", "/api/users", &json!({}));
    guide.get_as("user_2", "/api/users/user_1").problem(404);
    guide.get("no.good.token", "/api/auth/me").problem(401);
    let reader = guide.key(&["users:read"]);
    assert_eq!(guide.get(&reader, "/api/users/user_1").status, 200);
    guide.signed("DELETE", "/api/users/webhook/user_1", &Signed::new(&deleted_event("user_1", T + 2)));
    let (_, entries) = guide.stop();
    let has = |action: &str, actor: &str, outcome: &str| {
        let fits = |entry: &&Value| {
            entry["action"] == action
                && entry["actor"].as_str().unwrap().starts_with(actor)
                && entry["outcome"] == outcome
        };
        assert!(entries.iter().filter(fits).count() == 1, "{action} {actor} {outcome} in {entries:#?}");
    };
    has("system.started", "system", "ok");
    has("user.created", "clerk", "applied");
    has("user.updated", "clerk", "applied");
    has("webhook.rejected", "anonymous", "denied");
    has("user.provisioned", "user:", "ok");
    has("api.denied", "user:", "denied");
    has("api.unauthenticated", "anonymous", "denied");
    has("key.created", "cli", "ok");
    has("user.read", "key:", "ok");
    has("user.deleted", "clerk", "applied");
    has("system.stopped", "system", "ok");
}
