//! The guide to enterprise user synchronisation (Next.js, HIPAA): an endpoint that says how it is, users with the operator's
//! own role and practice, records that outlive their deletion, an audit trail without personal data, errors with ids,
//! limits, and the means to test and to watch it. Each step as that guide has it, at the real binary.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;
#[path = "common/guide.rs"]
mod guide;
#[path = "common/jwks_server.rs"]
mod jwks_server;
#[path = "common/process.rs"]
mod process;

use common::tokens::{ISSUER, with};
use common::{CLERK, SECRET, deleted_event, now, token, user_event};
use guide::{Guide, Signed};
use jwks_server::JwksServer;
use process::{refused, serve};
use rollbook::clock::Timestamp;
use rollbook::sample::EVENT_TYPES;
use serde_json::{Value, json};

/// When Clerk's events were, in milliseconds.
const T: i64 = 1_750_000_000_000;
const OTHER_SECRET: &str = "whsec_YW5vdGhlciBzZWNyZXQsIG5vdCB0aGUgc2VydmVy";

fn created(user: &str) -> Value {
    user_event("user.created", user, T, "Ann")
}

/// The lines that are JSON, which all are but the first few.
fn lines(said: &str) -> Vec<Value> {
    said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn the_webhook_path_says_how_it_is() {
    let Some(guide) = Guide::start(&[]) else { return };
    let reply = guide.run(r#"curl "$URL/api/webhooks/clerk""#, &[]);
    let health = json!({ "status": "ok", "service": "rollbook", "version": env!("CARGO_PKG_VERSION") });
    assert_eq!((reply.status, reply.json()), (200, health));
    // The guide's own check by hand, which "will fail signature verification".
    let unsigned = r#"curl -X POST "$URL/api/webhooks/clerk" -H "Content-Type: application/json" \
        -d '{"type":"user.created","data":{"id":"test"}}'"#;
    guide.run(unsigned, &[]).problem(400);
    assert!(guide.rollbook("users list").done().starts_with("no users"));
}

#[test]
fn role_and_practice_are_the_operators_and_a_deletion_keeps_the_record() {
    let Some(guide) = Guide::start(&[]) else { return };
    // Created: the role is USER, the practice comes later.
    assert_eq!(guide.outcome(&created("user_1")), "applied");
    let made = guide.user("user_1");
    assert_eq!((&made["role"], &made["practice_id"]), (&"USER".into(), &Value::Null));
    assert_eq!((&made["email"], &made["first_name"]), (&"user_1@example.org".into(), &"Ann".into()));
    // Assigned, over the API and by command.
    let key = guide.key(&["users:read", "users:write"]);
    let assigned = guide.send(&key, "PATCH", "/api/users/user_1", &json!({ "practice_id": "practice_north" }));
    assert_eq!((assigned.status, &assigned.json()["practice_id"]), (200, &"practice_north".into()));
    let set = guide.rollbook("users set user_1 --role CLINICIAN").done();
    assert_eq!(serde_json::from_str::<Value>(&set).unwrap()["role"], "CLINICIAN");
    guide.send(&token("user_1"), "PATCH", "/api/users/user_1", &json!({ "role": "ADMIN" })).problem(403);
    // Updated: the profile moves, the two stay.
    let mut updated = user_event("user.updated", "user_1", T + 1, "Anne");
    updated["data"]["email_addresses"][0]["email_address"] = "anne@example.org".into();
    assert_eq!(guide.outcome(&updated), "applied");
    let kept = guide.user("user_1");
    assert_eq!((&kept["email"], &kept["first_name"]), (&"anne@example.org".into(), &"Anne".into()));
    assert_eq!((&kept["role"], &kept["practice_id"]), (&"CLINICIAN".into(), &"practice_north".into()));
    // Deleted: no Clerk id any more, and everything else as it was.
    assert_eq!(guide.outcome(&deleted_event("user_1", T + 2)), "applied");
    let gone = guide.get(&key, &format!("/api/users/{}", made["id"].as_str().unwrap())).json();
    assert!(gone["clerk_user_id"].is_null() && gone["deleted_at"].is_string(), "{gone}");
    for member in ["id", "email", "first_name", "last_name", "role", "practice_id", "created_at"] {
        assert_eq!(gone[member], kept[member], "{member}");
    }
    let ids = |path: &str| {
        let list = guide.get(&key, path).json();
        list["items"].as_array().unwrap().iter().map(|user| user["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!((ids("/api/users"), ids("/api/users?deleted=true")), (vec![], vec![made["id"].clone()]));
    assert_eq!(guide.outcome(&user_event("user.updated", "user_1", T + 3, "Zoe")), "stale", "for good");
}

#[test]
fn the_audit_trail_is_json_without_personal_data() {
    let Some(guide) = Guide::start(&[("ROLLBOOK_LOG", "info"), ("ROLLBOOK_LOG_FORMAT", "json")]) else { return };
    let mut changed = user_event("user.updated", "user_Canary", T + 1, "Canarina");
    changed["data"]["email_addresses"][0]["email_address"] = "canary@example.net".into();
    changed["data"]["phone_numbers"] = json!([{ "id": "idn_2", "phone_number": "+15555550199" }]);
    changed["data"]["primary_phone_number_id"] = "idn_2".into();
    changed["event_attributes"] =
        json!({ "http_request": { "client_ip": "203.0.113.99", "user_agent": "CanaryBrowser" } });
    let mut ids = Vec::new();
    for event in [created("user_Canary"), changed, deleted_event("user_Canary", T + 2)] {
        let message = Signed::new(&event);
        assert_eq!(guide.signed("POST", "/api/webhooks/clerk", &message).status, 200);
        ids.push(message.id);
    }
    let (said, entries) = guide.stop();
    let lines = lines(&said);
    let mut references = Vec::new();
    for (id, action) in ids.iter().zip(["user.created", "user.updated", "user.deleted"]) {
        let line = lines.iter().find(|line| line["request"] == **id).unwrap_or_else(|| panic!("no {action} in {said}"));
        assert!(line["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{line}");
        assert_eq!((&line["event"], &line["source"]), (&action.into(), &"webhook".into()));
        assert!(line["durationMs"].as_f64().is_some_and(|ms| ms > 0.0), "processing time: {line}");
        references.push(line["userId"].as_str().unwrap());
        // The same thing is in the book.
        let entry = entries.iter().find(|entry| entry["seq"] == line["seq"]).unwrap();
        assert_eq!((&entry["action"], &entry["target"]), (&action.into(), &line["userId"]));
        if action == "user.updated" {
            let details = line["details"].as_object().unwrap();
            for name in ["first_name", "email_addresses", "phone_numbers"] {
                assert_eq!(details[name], "[REDACTED]", "{line}");
            }
            assert!(details.values().all(|value| value == "[REDACTED]"), "{line}");
        }
    }
    assert!(references[0].starts_with("s1.") && references.iter().all(|id| *id == references[0]), "{references:?}");
    for personal in ["canar", "user_", "5555550199", "203.0.113.99", "Tester", "example.org"] {
        assert!(!said.to_lowercase().contains(&personal.to_lowercase()), "{personal} in {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_has_an_id_that_the_log_has_too_and_gives_nothing_away() {
    let jwks = JwksServer::start("").await;
    jwks.fail();
    let settings = [
        ("CLERK_JWT_KEY", ""),
        ("CLERK_JWKS_URL", jwks.url()),
        ("ROLLBOOK_LOG", "info,rollbook=debug"),
        ("ROLLBOOK_LOG_FORMAT", "json"),
    ];
    let Some(guide) = Guide::start(&settings) else { return };
    let event = with(&created("user_1"), "note", "canary-078-05-1120");
    let bad = guide.signed("POST", "/api/webhooks/clerk", &Signed::with(OTHER_SECRET, &event));
    let no_path = guide.run(r#"curl "$URL/api/nothing/canary-078-05-1120""#, &[]);
    // Our own trouble: Clerk's keys cannot be had.
    let trouble = guide.get_as("user_1", "/api/auth/me");
    assert!(trouble.header("retry-after").parse::<u64>().is_ok(), "{trouble:?}");
    let expected = [(&bad, 401, "DEBUG"), (&no_path, 404, "DEBUG"), (&trouble, 503, "ERROR")];
    let ids = expected.map(|(reply, status, level)| (reply.problem(status), status, level));
    for (reply, ..) in expected {
        for secret in ["canary", "whsec", "rollbook.redb", "/src/", "panicked", jwks.url()] {
            assert!(!reply.body.contains(secret), "{secret} in {}", reply.body);
        }
    }
    let (said, _) = guide.stop();
    let lines = lines(&said);
    for (id, status, level) in &ids {
        let with_id: Vec<&Value> = lines.iter().filter(|line| line["error_id"] == **id).collect();
        let [line] = &with_id[..] else { panic!("{id} in {said}") };
        assert_eq!((&line["level"], &line["status"]), (&Value::from(*level), &Value::from(*status)));
        assert!(!line["cause"].as_str().unwrap().is_empty(), "{line}");
    }
    assert!(!said.contains("canary"), "{said}");
}

#[test]
fn who_asks_too_often_waits_and_a_good_webhook_never_does() {
    let Some(guide) = Guide::start(&[("ROLLBOOK_RATE_ADDRESS", "1")]) else { return };
    let forged = Signed::with(OTHER_SECRET, &created("user_1"));
    let until_429 = |ask: &dyn Fn() -> guide::Reply| (0..200).map(|_| ask()).find(|reply| reply.status == 429);
    let asked = until_429(&|| guide.run(r#"curl "$URL/api/session""#, &[])).unwrap();
    asked.problem(429);
    assert!(asked.header("retry-after").parse::<u64>().unwrap() >= 1);
    until_429(&|| guide.signed("POST", "/api/webhooks/clerk", &forged)).unwrap().problem(429);
    for n in 0..20 {
        assert_eq!(guide.outcome(&created(&format!("user_{n}"))), "applied", "while the limit is used up");
    }
    assert_eq!(guide.run(r#"curl "$URL/health""#, &[]).status, 200);
}

#[test]
fn all_faults_of_the_settings_are_told_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = serve(dir.path());
    let faults = [
        ("CLERK_WEBHOOK_SIGNING_SECRET", "whsec_canary"),
        ("CLERK_ISSUER", "http://clerk.example.com"),
        ("ROLLBOOK_LISTEN", "nowhere"),
        ("ROLLBOOK_DELETE", "never"),
        ("ROLLBOOK_RATE_ADDRESS", "0"),
    ];
    let (code, said) = refused({
        command.envs(faults);
        command
    });
    assert_eq!(code, Some(2), "{said}");
    for (name, _) in faults {
        assert!(said.lines().any(|line| line.starts_with(&format!("{name}: "))), "{name} in {said}");
    }
    assert!(!said.contains("whsec_canary"), "{said}");
    assert!(!dir.path().join("rollbook.redb").exists(), "it did not start");
    // The secret is required, under either name.
    let mut command = serve(dir.path());
    command.env_remove("CLERK_WEBHOOK_SIGNING_SECRET");
    let (code, said) = refused(command);
    assert!(code == Some(2) && said.starts_with("CLERK_WEBHOOK_SIGNING_SECRET: "), "{said}");
}

/// The value of one line of the metrics.
fn value(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap()
}

#[test]
fn processing_times_and_success_rates_can_be_watched() {
    let Some(guide) = Guide::start(&[]) else { return };
    let good = Signed::new(&created("user_1"));
    for _ in 0..3 {
        guide.signed("POST", "/api/webhooks/clerk", &good);
    }
    guide.deliver(&user_event("user.updated", "user_1", T - 1, "Old"));
    guide.signed("POST", "/api/webhooks/clerk", &Signed::with(OTHER_SECRET, &created("user_2")));
    let metrics = guide.run(r#"curl "$URL/metrics""#, &[]).body;
    for (outcome, count) in [("applied", 1.0), ("duplicate", 2.0), ("stale", 1.0), ("bad_signature", 1.0)] {
        let name = format!(r#"rollbook_webhook_deliveries_total{{outcome="{outcome}"}}"#);
        assert!((value(&metrics, &name) - count).abs() < 0.5, "{name} in {metrics}");
    }
    assert!((value(&metrics, "rollbook_webhook_duration_seconds_count") - 4.0).abs() < 0.5);
    assert!(value(&metrics, "rollbook_webhook_duration_seconds_sum") > 0.0);
    assert!((value(&metrics, "rollbook_users") - 1.0).abs() < 0.5);
    // What an alert goes by: whether writes are taken, and when the last event came.
    assert!((value(&metrics, "rollbook_store_ready") - 1.0).abs() < 0.5);
    assert!(value(&metrics, "rollbook_last_event_timestamp_seconds") > 1.7e9);
    assert!(!metrics.contains("user_1"), "{metrics}");
}

#[test]
fn the_test_scripts_are_commands() {
    let Some(guide) = Guide::start(&[]) else { return };
    let settings =
        [("CLERK_WEBHOOK_SIGNING_SECRET", SECRET), ("CLERK_ISSUER", ISSUER), ("CLERK_JWT_KEY", &CLERK.pem())];
    let sent = guide.rollbook_with("send-test user.created", &settings).done();
    assert!(sent.contains(" 200  applied "), "{sent}");
    let sent = guide.rollbook_with("send-test", &settings).done();
    assert!(sent.lines().count() == EVENT_TYPES.len() && sent.lines().all(|line| line.contains(" 200  ")), "{sent}");
    let found = guide.rollbook_with("doctor", &settings).done();
    // Nothing was said of backups, which nobody is left without a word.
    let is_fine = |line: &str| line.starts_with("ok  ") || line.starts_with("warn  backups  ");
    assert!(found.lines().all(is_fine), "{found}");
    let wrong = with_secret(&settings, OTHER_SECRET);
    let found = guide.rollbook_with("doctor", &wrong);
    assert!(found.status.code() == Some(1) && found.out.contains("FAIL  round trip "), "{}", found.out);
}

fn with_secret<'a>(settings: &[(&'a str, &'a str)], secret: &'a str) -> Vec<(&'a str, &'a str)> {
    let rest = settings.iter().copied().filter(|(name, _)| *name != "CLERK_WEBHOOK_SIGNING_SECRET");
    rest.chain([("CLERK_WEBHOOK_SIGNING_SECRET", secret)]).collect()
}

fn event(kind: &str, at: i64, data: &Value) -> Value {
    json!({ "type": kind, "object": "event", "timestamp": at, "instance_id": "ins_test", "data": data })
}

#[test]
fn sign_ins_and_organisations_are_followed() {
    let Some(guide) = Guide::start(&[]) else { return };
    let began = now().as_millis() - 60_000;
    let session = |kind: &str, status: &str, at: i64| {
        let data = json!({
            "object": "session", "id": "sess_1", "user_id": "user_1", "client_id": "client_1", "status": status,
            "last_active_at": began, "expire_at": began + 604_800_000, "abandon_at": began + 2_592_000_000_i64,
            "created_at": began, "updated_at": at,
        });
        event(kind, at, &data)
    };
    assert_eq!(guide.outcome(&created("user_1")), "applied");
    assert_eq!(guide.outcome(&session("session.created", "active", began)), "applied");
    assert_eq!(guide.user("user_1")["last_sign_in_at"], Timestamp::from_millis(began).to_string());
    let key = guide.key(&["users:read"]);
    let status = || guide.get(&key, "/api/users/user_1/sessions").json()["items"][0]["status"].clone();
    assert_eq!(status(), "active");
    assert_eq!(guide.outcome(&session("session.ended", "ended", began + 1)), "applied");
    assert_eq!(status(), "ended");

    let clinic = json!({
        "object": "organization", "id": "org_1", "name": "North Clinic", "slug": "north", "members_count": 1,
        "max_allowed_memberships": 5, "created_by": "user_1", "public_metadata": {}, "private_metadata": {},
        "created_at": T, "updated_at": T,
    });
    let member = json!({
        "object": "organization_membership", "id": "orgmem_1", "role": "org:admin", "organization": clinic,
        "public_user_data": { "user_id": "user_1", "first_name": "Ann", "identifier": "user_1@example.org" },
        "public_metadata": {}, "private_metadata": {}, "created_at": T, "updated_at": T,
    });
    // In the wrong order, as they may come.
    assert_eq!(guide.outcome(&event("organizationMembership.created", T, &member)), "applied");
    assert_eq!(guide.outcome(&event("organization.created", T, &clinic)), "applied");
    let found = guide.get(&key, "/api/organizations").json();
    assert_eq!((&found["items"][0]["id"], &found["items"][0]["name"]), (&"org_1".into(), &"North Clinic".into()));
    let found = guide.get(&key, "/api/organizations/org_1/members").json();
    assert_eq!(
        (&found["items"][0]["user"]["clerk_user_id"], &found["items"][0]["role"]),
        (&"user_1".into(), &"org:admin".into())
    );
}
