//! The recorded events the other tests feed in: one of each type, several deliberately awkward.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "common/sign.rs"]
mod sign;

use std::fs;
use std::path::PathBuf;

use reqwest::header::{HeaderMap, HeaderValue};
use rollbook::clerk::clean::clean;
use rollbook::json::parse_strict;
use rollbook::sample::EVENT_TYPES;
use serde_json::{Map, Value};

const SECRET: &str = "whsec_cm9sbGJvb2sgZml4dHVyZXMgc2lnbiB3aXRoIHRoaXM=";

fn path(kind: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures", &format!("{kind}.json")].iter().collect()
}

fn fixture(kind: &str) -> Value {
    parse_strict(&fs::read_to_string(path(kind)).unwrap()).unwrap()
}

#[test]
fn there_is_one_of_each_type() {
    for kind in EVENT_TYPES {
        let event = fixture(kind);
        assert_eq!(event["type"], kind);
        assert_eq!(event["object"], "event");
        assert!(event["data"]["id"].is_string(), "{kind}");
    }
    let files = fs::read_dir(path("x").parent().unwrap()).unwrap().count();
    assert_eq!(files, EVENT_TYPES.len(), "a file that is no fixture");
}

#[test]
fn the_awkward_cases_are_among_them() {
    let seconds = EVENT_TYPES.iter().filter(|kind| fixture(kind)["timestamp"].as_i64().unwrap() < 100_000_000_000);
    assert!(seconds.count() >= 3);
    let nameless = EVENT_TYPES.iter().filter(|kind| fixture(kind).get("instance_id").is_none());
    assert!(nameless.count() >= 3);

    let created = &fixture("user.created")["data"];
    assert_ne!(created["email_addresses"][0]["id"], created["primary_email_address_id"]);
    assert_eq!(created["external_accounts"][0]["object"], "google_account");
    assert!(created["private_metadata"].is_null());
    let updated = &fixture("user.updated")["data"];
    assert!(updated["primary_email_address_id"].is_string() && updated["email_addresses"] == Value::Array(vec![]));
    assert!(fixture("permission.deleted")["data"].get("deleted").is_none());
    assert!(fixture("role.deleted")["data"]["slug"].is_null());
    assert_eq!(fixture("subscription.created")["data"]["payer"]["organization_id"], "");
    assert!(fixture("sms.created")["data"]["created_at_ms"].is_i64());
}

#[test]
fn what_is_signed_here_svix_accepts() {
    let verifier = svix::webhooks::Webhook::new(SECRET).unwrap();
    let body = fs::read(path("user.created")).unwrap();
    let headers = |seconds| -> HeaderMap {
        sign::sign(SECRET, &sign::fresh_id(), seconds, &body)
            .into_iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::try_from(value).unwrap()))
            .collect()
    };
    verifier.verify(&body, &headers(sign::now_seconds())).unwrap();
    verifier.verify(b"{}", &headers(sign::now_seconds())).unwrap_err();
    verifier.verify(&body, &headers(sign::now_seconds() - 400)).unwrap_err();
    assert_ne!(sign::fresh_id(), sign::fresh_id());
}

#[test]
fn no_secret_in_them_survives_cleaning() {
    let mut secrets = 0;
    for kind in EVENT_TYPES {
        let mut data: Map<String, Value> = serde_json::from_value(fixture(kind)["data"].take()).unwrap();
        let text = |data: &Map<String, Value>| serde_json::to_string(data).unwrap();
        let is_secret = |text: &str| {
            ["clerk_ticket", "samplelink", "otp_code", "backup_codes\":["].iter().any(|s| text.contains(s))
        };
        secrets += usize::from(is_secret(&text(&data)));
        clean(kind, &mut data);
        assert!(!is_secret(&text(&data)), "{kind}");
        assert!(data.contains_key("id"), "{kind}");
    }
    assert!(secrets >= 4, "there was nothing to clean");
}
