//! Entries as events of the Open Cybersecurity Schema Framework, version 1.8.0: three of its classes, with all they
//! require. What has no place in them is under `unmapped`, and the entry's own bytes are in `raw_data`.
//!
//! `raw_data_hash` is the hash by which the entry stands in the log's tree, so that an event can be taken back to the
//! log and proven there. It covers one byte more than the text, so it is not called SHA-256 but by its own name.

mod class;

use std::fmt::Write as _;
use std::net::IpAddr;

use serde_json::{Map, Value, json};

use self::class::{Activity, Class};
use crate::audit::{Entry, Leaf, Source};
use crate::clock::Timestamp;
use crate::merkle::leaf_hash;
use crate::user::ClerkId;

/// The version that the events are of: the last in which Account Change is not being replaced.
const VERSION: &str = "1.8.0";

/// How our leaf hash is called where other algorithms have a number.
const LEAF_HASH: &str = "RFC 6962 Merkle tree leaf hash with SHA-256";

/// "Other": named beside it.
const OTHER: u8 = 99;

/// The entry as an event, of the log of that name.
pub(super) fn event(entry: &Entry, log: &str) -> Value {
    let leaf = &entry.leaf;
    let Activity { class, id, name } = class::activity(entry);
    let (class_uid, category_uid) = class.uids();
    let failed = matches!(leaf.outcome.as_str(), "denied" | "error" | "quarantined");
    let mut event = json!({
        "class_uid": class_uid,
        "category_uid": category_uid,
        "activity_id": id,
        "activity_name": name,
        "type_uid": class_uid * 100 + u32::from(id),
        "time": leaf.event_at.unwrap_or(leaf.at).as_millis(),
        "severity_id": severity(leaf, failed),
        "status_id": if failed { 2 } else { 1 },
        "status_code": leaf.outcome,
        "status_detail": leaf.reason,
        "metadata": metadata(entry, log),
        "actor": actor(entry),
        "src_endpoint": source(entry),
        "http_request": detail(entry, "user_agent").map(|agent| json!({ "user_agent": agent })),
        "count": leaf.count.filter(|_| counts_events(leaf)),
        "raw_data": String::from_utf8_lossy(&entry.bytes),
        "raw_data_hash": { "algorithm_id": OTHER, "algorithm": LEAF_HASH, "value": hex(&leaf_hash(&entry.bytes)) },
        "unmapped": unmapped(leaf),
    });
    let more = match class {
        Class::AccountChange => json!({ "user": account(entry) }),
        Class::Authentication => {
            let service = if leaf.source == Source::Webhook { "Clerk" } else { "Rollbook's admin page" };
            json!({ "user": account(entry), "service": { "name": service }, "session": session(entry) })
        }
        Class::ApiActivity => json!({ "api": api(leaf), "resources": resources(entry) }),
    };
    if let (Value::Object(event), Value::Object(more)) = (&mut event, more) {
        event.extend(more);
        event.retain(|_, value| !value.is_null());
    }
    event
}

/// Whether the entry's count is how often something happened; elsewhere the log counts people and entries.
fn counts_events(leaf: &Leaf) -> bool {
    let action = leaf.action.as_str();
    leaf.actor == "anonymous"
        || leaf.actor.starts_with("key:") && matches!(action, "api.denied" | "log.read" | "metrics.read")
}

/// Informational, low, or high for what questions the log itself.
fn severity(leaf: &Leaf, failed: bool) -> u8 {
    match leaf.action.as_str() {
        "log.in_doubt" | "log.forked" => 4,
        _ if failed => 2,
        _ => 1,
    }
}

fn metadata(entry: &Entry, log: &str) -> Value {
    let product = json!({ "name": "Rollbook", "vendor_name": "Rollbook", "version": env!("CARGO_PKG_VERSION") });
    object([
        ("version", Some(VERSION.into())),
        ("product", Some(product)),
        ("uid", Some(format!("{log}/{}", entry.seq).into())),
        ("log_name", Some(log.into())),
        ("event_code", Some(entry.leaf.action.as_str().into())),
        ("logged_time", Some(entry.leaf.at.as_millis().into())),
        ("correlation_uid", entry.leaf.request.as_deref().map(Value::from)),
    ])
}

/// Who did it.
fn actor(entry: &Entry) -> Value {
    let user = match entry.leaf.actor.split_once(':') {
        Some(("user", reference)) => person(reference, entry.actor_user.as_ref()),
        Some(("admin", name)) => json!({ "name": name, "type_id": 2 }),
        Some((kind, id)) => json!({ "uid": id, "type": kind, "type_id": OTHER }),
        None if entry.leaf.actor == "anonymous" => json!({ "name": "anonymous", "type_id": 0 }),
        None if entry.leaf.actor == "clerk" => return json!({ "app_name": "Clerk" }),
        None if entry.leaf.actor == "system" => return json!({ "app_name": "Rollbook" }),
        None => return json!({ "app_name": format!("Rollbook ({})", entry.leaf.actor) }),
    };
    json!({ "user": user })
}

/// A person, by Clerk's id while it is known.
fn person(reference: &str, id: Option<&ClerkId>) -> Value {
    match id {
        Some(id) => json!({ "uid": id.as_str(), "uid_alt": reference, "type_id": 1 }),
        None => json!({ "uid": reference, "type_id": 1 }),
    }
}

/// Whose account or session it is.
fn account(entry: &Entry) -> Value {
    let leaf = &entry.leaf;
    let admin = || leaf.actor.strip_prefix("admin:").or_else(|| detail(entry, "admin"));
    match &leaf.target {
        Some(target) if target.starts_with("s1.") => person(target, entry.target_user.as_ref()),
        _ => match admin().filter(|_| leaf.action.starts_with("admin.")) {
            Some(name) => json!({ "name": name, "type_id": 2 }),
            None => json!({ "name": "unknown", "type_id": 0 }),
        },
    }
}

/// Clerk's session, where the entry is about one.
fn session(entry: &Entry) -> Option<Value> {
    let uid = detail(entry, "object").or(entry.leaf.target.as_deref())?.strip_prefix("session:")?;
    Some(json!({ "uid": uid }))
}

/// Where it came from: the address while it is known, else the sort of place.
fn source(entry: &Entry) -> Value {
    match detail(entry, "ip").and_then(|ip| ip.parse::<IpAddr>().ok()) {
        Some(ip) => json!({ "ip": ip.to_string() }),
        None => match entry.leaf.source {
            Source::Cli | Source::System | Source::Sync => json!({ "name": "localhost" }),
            Source::Webhook => json!({ "name": "Clerk" }),
            Source::Api | Source::Admin => json!({ "name": "unknown" }),
        },
    }
}

fn api(leaf: &Leaf) -> Value {
    let service = if leaf.source == Source::Webhook { "Clerk" } else { "Rollbook" };
    object([
        ("operation", Some(leaf.action.as_str().into())),
        ("service", Some(json!({ "name": service }))),
        ("request", leaf.request.as_deref().map(|uid| json!({ "uid": uid }))),
    ])
}

fn resources(entry: &Entry) -> Option<Value> {
    let target = entry.leaf.target.as_deref()?;
    let resource = match target.split_once(':') {
        Some((kind, id)) => json!({ "type": kind, "uid": id }),
        None => json!({ "type": "user", "uid": entry.target_user.as_ref().map_or(target, ClerkId::as_str) }),
    };
    Some(json!([resource]))
}

fn unmapped(leaf: &Leaf) -> Value {
    let source = serde_json::to_value(leaf.source).ok();
    object([
        ("source", source),
        ("target", leaf.target.as_deref().map(Value::from)),
        ("impersonator", leaf.impersonator.as_deref().map(Value::from)),
        ("changed", (!leaf.changed.is_empty()).then(|| json!(leaf.changed))),
        ("count", leaf.count.filter(|_| !counts_events(leaf)).map(Value::from)),
        ("event_at", leaf.event_at.map(Timestamp::as_millis).map(Value::from)),
    ])
}

fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let known = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(known.collect::<Map<_, _>>())
}

fn detail<'a>(entry: &'a Entry, name: &str) -> Option<&'a str> {
    entry.detail.as_ref()?.get(name)?.as_str()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
