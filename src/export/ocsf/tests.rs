#![allow(clippy::unwrap_used, clippy::panic, clippy::needless_pass_by_value)]
use sha2::{Digest as _, Sha256};

use super::*;
use crate::sample::EVENT_TYPES;

const REF: &str = "s1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// An entry with these members in its leaf, the others as plain as they can be.
fn entry(members: Value, detail: Value) -> Entry {
    let mut leaf = json!({ "action": "a", "actor": "cli", "at": 1_000, "outcome": "ok", "source": "cli", "v": 1 });
    leaf.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let leaf: Leaf = serde_json::from_value(leaf).unwrap();
    let bytes = leaf.to_bytes().into();
    let detail = detail.as_object().cloned();
    Entry { seq: 7, leaf, bytes, detail, target_user: None, actor_user: None, impersonator_user: None }
}

fn of(action: &str) -> Value {
    event(&entry(json!({ "action": action }), Value::Null), "localhost/log-1")
}

fn class_and_activity(event: &Value) -> (u64, u64) {
    (event["class_uid"].as_u64().unwrap(), event["activity_id"].as_u64().unwrap())
}

/// What every event must have, and what its class asks for.
fn check(event: &Value) {
    let number = |name: &str| event[name].as_i64().unwrap_or_else(|| panic!("no {name} in {event}"));
    let (class, activity) = (number("class_uid"), number("activity_id"));
    assert_eq!(number("type_uid"), class * 100 + activity);
    assert_eq!(number("category_uid"), class / 1000);
    assert!((0..=6).contains(&number("severity_id")) && [1, 2].contains(&number("status_id")));
    number("time");
    assert_eq!(event["metadata"]["version"], "1.8.0");
    assert_eq!(event["metadata"]["product"]["name"], "Rollbook");
    assert_eq!(event["metadata"]["product"]["vendor_name"], "Rollbook");
    assert!(event["metadata"].get("profiles").is_none());
    let one_of = |object: &Value, names: &[&str]| names.iter().any(|name| !object[*name].is_null());
    let actor = ["process", "user", "session", "app_name", "app_uid"];
    assert!(one_of(&event["actor"], &actor) && one_of(&event["src_endpoint"], &["ip", "name"]), "{event}");
    match class {
        3001 => {
            assert!(one_of(&event["user"], &["uid", "name"]));
            assert!([1, 2, 3, 4, 5, 6, 9, 10, 11, 99].contains(&activity));
        }
        3002 => {
            assert!(one_of(&event["user"], &["uid", "name"]) && [1, 2, 99].contains(&activity));
            assert!(event["service"]["name"].is_string());
        }
        6003 => {
            assert!(event["api"]["operation"].is_string() && [0, 1, 2, 3, 4, 99].contains(&activity));
            assert!(event.get("user").is_none());
        }
        _ => panic!("{event}"),
    }
    let members = event.as_object().unwrap();
    assert!(members.values().all(|value| !value.is_null()), "{event}");
}

#[test]
fn every_action_is_an_event_of_its_class() {
    let ours = [
        ("user.provisioned", 3001, 1),
        ("user.assigned", 3001, 99),
        ("admin.password_set", 3001, 3),
        ("admin.link_minted", 3001, 4),
        ("admin.added", 3001, 1),
        ("admin.removed", 3001, 6),
        ("admin.password_changed", 3001, 3),
        ("admin.signed_in", 3002, 1),
        ("admin.signed_out", 3002, 2),
        ("admin.sign_in_failed", 3002, 1),
        ("api.denied", 6003, 0),
        ("api.limited", 6003, 0),
        ("api.unauthenticated", 6003, 0),
        ("webhook.rejected", 6003, 0),
        ("webhook.quarantined", 6003, 99),
        ("user.read", 6003, 2),
        ("user.audit_read", 6003, 2),
        ("users.listed", 6003, 2),
        ("audit.exported", 6003, 2),
        ("value.looked_up", 6003, 2),
        ("user.erased", 3001, 99),
        ("log.key_made", 6003, 1),
        ("log.key_rotated", 6003, 3),
        ("log.pruned", 6003, 4),
        ("keys.changed", 6003, 3),
        ("system.started", 6003, 99),
    ];
    for (action, class, activity) in ours {
        let event = of(action);
        check(&event);
        assert_eq!(class_and_activity(&event), (class, activity), "{action}");
    }
    for action in EVENT_TYPES {
        let event = of(action);
        check(&event);
        let (object, verb) = action.split_once('.').unwrap();
        let expected = match (object, verb) {
            ("user", "created") => (3001, 1),
            ("user", "updated") => (3001, 99),
            ("user", "deleted") => (3001, 6),
            ("session", "created") => (3002, 1),
            ("session", "pending") => (3002, 99),
            ("session", _) => (3002, 2),
            (_, "created") => (6003, 1),
            (_, "deleted" | "revoked") => (6003, 4),
            _ => (6003, 3),
        };
        assert_eq!(class_and_activity(&event), expected, "{action}");
    }
    assert_eq!(of("user.assigned")["activity_name"], "assigned", "what has no number keeps our word");
}

#[test]
fn an_update_says_what_it_came_to() {
    let update = |changes: Value| {
        let event = event(&entry(json!({ "action": "user.updated" }), json!({ "changes": changes })), "l");
        check(&event);
        event["activity_id"].as_u64().unwrap()
    };
    let flag = |after: bool| json!({ "before": !after, "after": after });
    assert_eq!(update(json!({ "banned": flag(true), "two_factor_enabled": flag(false) })), 5);
    assert_eq!(update(json!({ "banned": flag(false) })), 2);
    assert_eq!(update(json!({ "locked": flag(true) })), 9);
    assert_eq!(update(json!({ "locked": flag(false) })), 99);
    assert_eq!(update(json!({ "two_factor_enabled": flag(true) })), 10);
    assert_eq!(update(json!({ "two_factor_enabled": flag(false) })), 11);
    assert_eq!(update(json!({ "password_last_updated_at": { "before": 1, "after": 2 } })), 3);
    assert_eq!(update(json!({ "first_name": { "before": "A", "after": "B" } })), 99);
}

#[test]
fn people_are_named_while_they_are_known() {
    let leaf = json!({
        "action": "user.read", "actor": format!("user:{REF}"), "source": "api", "target": REF,
        "impersonator": REF, "request": "req_1", "event_at": 500,
    });
    let mut known = entry(leaf, json!({ "ip": "203.0.113.9", "user_agent": "curl/8", "session": "sess_1" }));
    (known.actor_user, known.target_user) = ("user_a".parse().ok(), "user_b".parse().ok());
    let shown = event(&known, "roll.example.com/log-1");
    check(&shown);
    assert_eq!(shown["actor"], json!({ "user": { "uid": "user_a", "uid_alt": REF, "type_id": 1 } }));
    assert_eq!(shown["resources"], json!([{ "type": "user", "uid": "user_b" }]));
    assert_eq!(shown["src_endpoint"], json!({ "ip": "203.0.113.9" }));
    assert_eq!(shown["http_request"], json!({ "user_agent": "curl/8" }));
    assert_eq!((&shown["time"], &shown["metadata"]["logged_time"]), (&json!(500), &json!(1_000)));
    assert_eq!(shown["metadata"]["uid"], "roll.example.com/log-1/7");
    assert_eq!(shown["unmapped"]["impersonator"], REF);

    let erased = Entry { actor_user: None, target_user: None, detail: None, ..known };
    let shown = event(&erased, "roll.example.com/log-1");
    check(&shown);
    assert_eq!(shown["actor"], json!({ "user": { "uid": REF, "type_id": 1 } }));
    assert_eq!(shown["resources"], json!([{ "type": "user", "uid": REF }]));
    assert_eq!(shown["src_endpoint"], json!({ "name": "unknown" }));
    assert!(!shown.to_string().contains("user_a"));
}

#[test]
fn what_was_refused_failed_and_what_questions_the_log_is_grave() {
    let leaf = json!({
        "action": "admin.sign_in_failed", "actor": "anonymous", "source": "admin",
        "outcome": "denied", "reason": "refused", "count": 12,
    });
    let refused = event(&entry(leaf, Value::Null), "l");
    check(&refused);
    assert_eq!((&refused["status_id"], &refused["severity_id"], &refused["count"]), (&json!(2), &json!(2), &json!(12)));
    assert_eq!((&refused["status_code"], &refused["status_detail"]), (&json!("denied"), &json!("refused")));
    assert_eq!(refused["user"], json!({ "name": "unknown", "type_id": 0 }));
    assert_eq!(of("log.forked")["severity_id"], 4);
    let listed = event(&entry(json!({ "action": "users.listed", "count": 3 }), Value::Null), "l");
    assert_eq!((&listed["unmapped"]["count"], listed.get("count")), (&json!(3), None));
}

#[test]
fn keys_are_no_people_and_what_they_repeat_is_counted() {
    let by_key = |action: &str| {
        let leaf = json!({ "action": action, "actor": "key:key_0123456789abcdef", "source": "api", "count": 12 });
        let shown = event(&entry(leaf, Value::Null), "l");
        check(&shown);
        assert_eq!(shown["actor"]["user"], json!({ "uid": "key_0123456789abcdef", "type": "key", "type_id": 99 }));
        shown
    };
    for (action, activity) in [("log.read", 2), ("metrics.read", 2), ("api.denied", 0)] {
        let shown = by_key(action);
        assert_eq!((class_and_activity(&shown), &shown["count"]), ((6003, activity), &json!(12)), "{action}");
    }
    assert_eq!((&by_key("users.listed")["unmapped"]["count"], by_key("users.listed").get("count")), (&json!(12), None));
    let leaf = json!({ "action": "key.created", "actor": "admin:ada", "target": "key:key_0123456789abcdef" });
    let made = event(&entry(leaf, Value::Null), "l");
    check(&made);
    assert_eq!(class_and_activity(&made), (6003, 1));
    assert_eq!(made["resources"], json!([{ "type": "key", "uid": "key_0123456789abcdef" }]));
}

#[test]
fn sessions_and_objects_have_their_ids() {
    let leaf = |target: &str| json!({ "action": "session.created", "actor": "clerk", "source": "webhook", "outcome": "recorded", "target": target });
    let object = json!({ "object": "session:sess_1", "ip": "not an address" });
    let shown = event(&entry(leaf(REF), object), "l");
    check(&shown);
    assert_eq!((&shown["session"]["uid"], &shown["service"]["name"]), (&json!("sess_1"), &json!("Clerk")));
    assert_eq!((&shown["user"]["uid"], &shown["src_endpoint"]["name"]), (&json!(REF), &json!("Clerk")));
    let shown = event(&entry(leaf("session:sess_2"), Value::Null), "l");
    check(&shown);
    assert_eq!(shown["session"]["uid"], "sess_2");
    let leaf = json!({ "action": "organization.deleted", "target": "organization:org_1" });
    let shown = event(&entry(leaf, Value::Null), "l");
    assert_eq!(shown["resources"], json!([{ "type": "organization", "uid": "org_1" }]));
}

#[test]
fn an_event_leads_back_to_the_log() {
    let entry = entry(json!({ "action": "user.read", "request": "msg_1" }), Value::Null);
    let shown = event(&entry, "l");
    assert_eq!(shown["raw_data"].as_str().unwrap().as_bytes(), &*entry.bytes);
    let hash = Sha256::new().chain_update([0]).chain_update(&entry.bytes).finalize();
    assert_eq!(shown["raw_data_hash"]["value"], hex(&hash));
    assert_eq!(shown["raw_data_hash"]["algorithm_id"], 99, "no plain SHA-256 of the text");
}
