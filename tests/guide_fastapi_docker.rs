//! The guide to Clerk with a `FastAPI` backend in Docker: tokens verified by JWKS and never otherwise, pages of another origin
//! let in by name, users made from a valid token, and one command that looks over the whole flow. Each step as that guide has
//! it, at the real binary.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;
#[path = "common/guide.rs"]
mod guide;
#[path = "common/jwks_server.rs"]
mod jwks_server;
#[path = "common/process.rs"]
mod process;

use common::tokens::{self, ISSUER, Issuer, claims, with};
use common::{CLERK, SECRET, sign, token, user_event};
use guide::Guide;
use jwks_server::JwksServer;
use serde_json::{Value, json};

/// Where the guide's front end runs.
const PAGES: &str = "http://localhost:3000,http://127.0.0.1:3000";

/// Tokens for that user that nobody verified: no signature, one cut off, somebody else's, one moved from another token.
fn unverified(user: &str) -> [String; 4] {
    let claims = claims(user, sign::now_seconds());
    let good = CLERK.mint(&claims);
    let (message, _) = good.rsplit_once('.').unwrap();
    let other = CLERK.mint(&with(&claims, "sub", "user_other"));
    let (_, moved) = other.rsplit_once('.').unwrap();
    let none = with(&CLERK.header(), "alg", "none").to_string();
    [
        format!("{}.", tokens::message(&none, &claims.to_string())),
        format!("{message}."),
        Issuer::new(&CLERK.kid).mint(&claims),
        format!("{message}.{moved}"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_verified_by_jwks_and_never_believed_without() {
    let jwks = JwksServer::start("").await;
    jwks.fail();
    let Some(guide) = Guide::start(&[("CLERK_JWT_KEY", ""), ("CLERK_JWKS_URL", jwks.url())]) else { return };
    // Clerk cannot be reached: where the guide's server went on with what the token says of itself, this one waits.
    guide.get_as("user_1", "/api/auth/me").problem(503);
    for token in unverified("user_1") {
        let reply = guide.get(&token, "/api/auth/me");
        assert!(matches!(reply.status, 401 | 503), "{}", reply.body);
    }
    assert!(guide.rollbook("users list").done().starts_with("no users"));

    let jwks = JwksServer::start(&CLERK.jwks()).await;
    let Some(guide) = Guide::start(&[("CLERK_JWT_KEY", ""), ("CLERK_JWKS_URL", jwks.url())]) else { return };
    assert_eq!(guide.get_as("user_1", "/api/auth/me").status, 200);
    for token in unverified("user_1") {
        guide.get(&token, "/api/auth/me").problem(401);
    }
}

#[test]
fn development_without_reaching_clerk_verifies_all_the_same() {
    // The issuer is a name that leads nowhere; the key is in the settings.
    let Some(guide) = Guide::start(&[]) else { return };
    assert_eq!(guide.get_as("user_1", "/api/auth/me").status, 200);
    for token in unverified("user_1") {
        guide.get(&token, "/api/auth/me").problem(401);
    }
    // No setting turns that off: there must be keys.
    let dir = tempfile::tempdir().unwrap();
    let mut command = process::serve(dir.path());
    command.env_remove("CLERK_JWT_KEY").env_remove("CLERK_ISSUER");
    let (code, said) = process::refused(command);
    assert!(code == Some(2) && said.contains("CLERK_PUBLISHABLE_KEY: "), "{said}");
}

#[test]
fn pages_that_are_named_may_call_from_a_browser() {
    let settings = [
        ("ROLLBOOK_CORS_ORIGINS", PAGES),
        ("ROLLBOOK_CORS_HEADERS", "authorization,content-type,x-requested-with"),
        ("ROLLBOOK_CORS_CREDENTIALS", "true"),
        ("ROLLBOOK_CORS_MAX_AGE", "3600"),
    ];
    let Some(guide) = Guide::start(&settings) else { return };
    let preflight = |origin: &str, method: &str| {
        let line = r#"curl -X OPTIONS "$URL/api/users/user_1" -H "Origin: $ORIGIN" \
            -H "Access-Control-Request-Method: $METHOD" -H "Access-Control-Request-Headers: authorization,content-type""#;
        guide.run(line, &[("ORIGIN", origin), ("METHOD", method)])
    };
    let listed = |header: &str, word: &str| header.split(',').any(|item| item.trim().eq_ignore_ascii_case(word));
    for origin in PAGES.split(',') {
        for method in ["GET", "POST", "PATCH", "DELETE"] {
            let said = preflight(origin, method);
            assert_eq!((said.status, said.header("access-control-allow-origin")), (200, origin));
            assert!(listed(said.header("access-control-allow-methods"), method), "{said:?}");
            for name in ["authorization", "content-type", "x-requested-with"] {
                assert!(listed(said.header("access-control-allow-headers"), name), "{said:?}");
            }
            assert!(!listed(said.header("access-control-allow-headers"), "*"), "{said:?}");
            assert_eq!(said.header("access-control-allow-credentials"), "true");
            assert_eq!(said.header("access-control-max-age"), "3600");
        }
        let line = r#"curl "$URL/api/auth/me" -H "Origin: $ORIGIN" -H "Authorization: Bearer $TOKEN""#;
        let said = guide.run(line, &[("ORIGIN", origin), ("TOKEN", &token("user_1"))]);
        assert_eq!((said.status, said.header("access-control-allow-origin")), (200, origin));
        assert_eq!(said.header("access-control-allow-credentials"), "true");
    }
    for origin in ["http://localhost:3001", "https://localhost:3000", "null", "https://evil.example"] {
        let said = preflight(origin, "PATCH");
        assert_eq!(said.header("access-control-allow-origin"), "", "{origin}");
    }
    // "All origins" cannot be said.
    let dir = tempfile::tempdir().unwrap();
    let mut command = process::serve(dir.path());
    command.env("ROLLBOOK_CORS_ORIGINS", "*");
    let (code, said) = process::refused(command);
    assert!(code == Some(2) && said.starts_with("ROLLBOOK_CORS_ORIGINS: "), "{said}");
}

/// What a page gets to know of whoever is signed in.
fn me(guide: &Guide, claims: &Value) -> Value {
    let reply =
        guide.run(r#"curl -H "Authorization: Bearer $TOKEN" "$URL/api/auth/me""#, &[("TOKEN", &CLERK.mint(claims))]);
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()
}

#[test]
fn a_valid_token_makes_the_user_and_a_newer_one_keeps_it_up() {
    let Some(guide) = Guide::start(&[]) else { return };
    let now = sign::now_seconds();
    let says =
        |at: i64, email: &str, name: &str| with(&with(&claims("user_1", at), "email", email), "first_name", name);
    let made = me(&guide, &says(now - 30, "ann@example.org", "Ann"));
    assert_eq!((&made["email"], &made["first_name"]), (&"ann@example.org".into(), &"Ann".into()));
    assert_eq!((&made["source"], &made["role"]), (&"token".into(), &"USER".into()));
    // The same token again is the same user.
    assert_eq!(me(&guide, &says(now - 30, "ann@example.org", "Ann")), made);
    // A newer one says something else; one that says nothing takes nothing away; an older one comes too late.
    let newer = me(&guide, &says(now - 20, "anne@example.org", "Anne"));
    assert_eq!((&newer["email"], &newer["first_name"]), (&"anne@example.org".into(), &"Anne".into()));
    assert_eq!((&newer["id"], &newer["created_at"]), (&made["id"], &made["created_at"]));
    assert_eq!(me(&guide, &claims("user_1", now - 10)), newer);
    assert_eq!(me(&guide, &says(now - 25, "old@example.org", "Old")), newer);
    // Once Clerk's event has come, tokens change nothing any more.
    assert_eq!(guide.outcome(&user_event("user.created", "user_1", (now - 60) * 1000, "Annette")), "applied");
    let synced = me(&guide, &says(now, "eve@example.org", "Eve"));
    assert_eq!((&synced["email"], &synced["first_name"]), (&"user_1@example.org".into(), &"Annette".into()));
    let (_, entries) = guide.stop();
    let actions: Vec<&Value> =
        entries.iter().filter(|entry| entry["source"] == "api").map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["user.provisioned", "user.updated"]);
}

#[test]
fn who_is_signed_in_is_told() {
    let Some(guide) = Guide::start(&[]) else { return };
    assert_eq!(guide.run(r#"curl "$URL/health""#, &[]).json(), json!({ "status": "ok" }));
    guide.outcome(&user_event("user.created", "user_1", 1_750_000_000_000, "Ann"));
    let me = me(&guide, &claims("user_1", sign::now_seconds()));
    assert_eq!((&me["clerk_user_id"], &me["first_name"]), (&"user_1".into(), &"Ann".into()));
    // The guide's list of what goes wrong: no token, another issuer, one that has run out.
    let now = sign::now_seconds();
    guide.run(r#"curl "$URL/api/auth/me""#, &[]).problem(401);
    guide
        .get(&CLERK.mint(&with(&claims("user_1", now), "iss", "https://other.example.com")), "/api/auth/me")
        .problem(401);
    guide.get(&CLERK.mint(&claims("user_1", now - 3600)), "/api/auth/me").problem(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_looks_over_the_whole_flow() {
    let jwks = JwksServer::start(&CLERK.jwks()).await;
    let settings = [
        ("CLERK_WEBHOOK_SIGNING_SECRET", SECRET),
        ("CLERK_ISSUER", ISSUER),
        ("CLERK_JWKS_URL", jwks.url()),
        ("ROLLBOOK_CORS_ORIGINS", PAGES),
    ];
    let Some(guide) = Guide::start(&[&settings[..], &[("CLERK_JWT_KEY", "")]].concat()) else { return };
    let found = guide.rollbook_with("doctor", &settings).done();
    let line = |found: &str, beginning: &str| {
        let line = found.lines().find_map(|line| line.strip_prefix(beginning));
        line.unwrap_or_else(|| panic!("no {beginning} in {found}")).trim().to_owned()
    };
    // The server's health, Clerk's keys, who may call from a browser, and a signed event there and back.
    assert!(line(&found, "ok    server").contains(&guide.url()), "{found}");
    assert!(line(&found, "ok    token keys").contains(jwks.url()), "{found}");
    assert!(line(&found, "ok    CORS").contains("http://localhost:3000"), "{found}");
    assert!(line(&found, "ok    round trip").contains("recorded"), "{found}");
    // Clerk's keys cannot be had any more.
    jwks.say("404 Not Found", "", "");
    let found = guide.rollbook_with("doctor", &settings);
    assert_eq!(found.status.code(), Some(1), "{}", found.out);
    assert!(line(&found.out, "FAIL  token keys").contains("404"), "{}", found.out);
}
