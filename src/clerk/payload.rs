//! Clerk's JSON as sent, read into our words. Lenient in what it does not need, strict where two readers
//! could disagree; what cannot be read becomes a value that says why.

use serde_json::{Map, Value};

use super::clean;
use crate::clock::Timestamp;
use crate::event::{Change, Client, Event, ObjectKey, Reason, Unusable};
use crate::json::{self, Object, parse_strict};
use crate::user::ClerkId;

/// A kind of object that is mirrored.
struct Kind {
    /// The part of the event type before the dot.
    object: &'static str,
    /// The parts after it that Clerk documents. What another verb would mean nobody knows, so it changes nothing.
    verbs: &'static [&'static str],
    /// Where `data` names the objects it is listed by.
    parents: &'static [Parent],
}

/// The kind of a parent, and where its id stands.
struct Parent(&'static str, &'static [&'static str]);

const CHANGES: &[&str] = &["created", "updated", "deleted"];
const MEMBER: Parent = Parent("user", &["public_user_data", "user_id"]);
const PAYER: &[Parent] =
    &[Parent("user", &["payer", "user_id"]), Parent("organization", &["payer", "organization_id"])];
const OF_ORGANIZATION: &[Parent] = &[Parent("organization", &["organization_id"])];

const MIRRORED: [Kind; 12] = [
    Kind { object: "user", verbs: CHANGES, parents: &[] },
    Kind {
        object: "session",
        verbs: &["created", "pending", "ended", "removed", "revoked"],
        parents: &[Parent("user", &["user_id"])],
    },
    Kind { object: "organization", verbs: CHANGES, parents: &[] },
    Kind {
        object: "organizationMembership",
        verbs: CHANGES,
        parents: &[Parent("organization", &["organization", "id"]), MEMBER],
    },
    Kind { object: "organizationInvitation", verbs: &["created", "accepted", "revoked"], parents: OF_ORGANIZATION },
    Kind { object: "organizationDomain", verbs: CHANGES, parents: OF_ORGANIZATION },
    Kind { object: "role", verbs: CHANGES, parents: &[] },
    Kind { object: "permission", verbs: CHANGES, parents: &[] },
    Kind { object: "subscription", verbs: &["created", "updated", "active", "pastDue"], parents: PAYER },
    Kind {
        object: "subscriptionItem",
        verbs: &[
            "created",
            "updated",
            "active",
            "canceled",
            "upcoming",
            "ended",
            "abandoned",
            "incomplete",
            "pastDue",
            "freeTrialEnding",
        ],
        parents: PAYER,
    },
    Kind { object: "paymentAttempt", verbs: &["created", "updated"], parents: PAYER },
    Kind { object: "waitlistEntry", verbs: &["created", "updated"], parents: &[] },
];

/// Messages: recorded, never kept.
const MESSAGES: [&str; 2] = ["email", "sms"];

/// The members of an envelope that are read; others are kept as they are.
const KNOWN: [&str; 5] = ["type", "object", "timestamp", "instance_id", "event_attributes"];

/// The longest note that an entry's detail has room for, in bytes.
const MAX_NOTE: usize = 48 * 1024;

/// Reads a verified body. `signed_at` stands in for an event time that is missing.
pub(super) fn read(body: &str, signed_at: Timestamp) -> Result<Event, Unusable> {
    let mut envelope = match parse_strict(body) {
        Ok(Value::Object(envelope)) => envelope,
        Ok(_) => return Err(Unusable { reason: Reason::NotAnEvent, kind: None, body: clean::scrub_text(body) }),
        Err(_) => return Err(Unusable { reason: Reason::Unparsable, kind: None, body: clean::scrub_text(body) }),
    };
    let kind = envelope.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut data = match envelope.remove("data") {
        Some(Value::Object(data)) if !kind.is_empty() => data,
        other => return Err(set_aside(Reason::NotAnEvent, kind, envelope, other)),
    };
    let subject = subject(&kind, &data);
    let impersonator = at_path(&data, &["actor", "sub"]);
    clean::clean(&kind, &mut data);
    let change = match change(&kind, &mut data) {
        None => return Err(set_aside(Reason::MissingId, kind, envelope, Some(Value::Object(data)))),
        Some(Change::Recorded { note }) if note.as_str().len() > MAX_NOTE => {
            let data = serde_json::from_str(note.as_str()).ok();
            return Err(set_aside(Reason::TooLong, kind, envelope, data));
        }
        Some(change) => change,
    };
    let request = envelope.get("event_attributes").and_then(|a| a.get("http_request"));
    let of_request = |name| request.and_then(|r| text(r.get(name)?));
    let client = Client { ip: of_request("client_ip"), user_agent: of_request("user_agent") };
    let instance = envelope.get("instance_id").and_then(text);
    let timestamp = envelope.get("timestamp").and_then(event_time);
    envelope.retain(|name, _| !KNOWN.contains(&name.as_str()));
    clean::clean(&kind, &mut envelope);
    let at = timestamp.unwrap_or(signed_at);
    Ok(Event { kind, instance, timestamp, at, client, impersonator, subject, change, more: envelope })
}

/// A body that is no text at all: what of it can be shown.
pub(super) fn unreadable(body: &[u8]) -> Unusable {
    let shown = clean::scrub_text(&String::from_utf8_lossy(body));
    Unusable { reason: Reason::Unparsable, kind: None, body: shown }
}

/// What cannot be applied, whole but for its secrets.
fn set_aside(reason: Reason, kind: String, mut envelope: Map<String, Value>, data: Option<Value>) -> Unusable {
    if let Some(data) = data {
        envelope.insert("data".to_owned(), data);
    }
    // Cleaned as the event's data would be, wherever in the envelope it stands.
    clean::clean(&kind, &mut envelope);
    Unusable { reason, kind: Some(kind).filter(|kind| !kind.is_empty()), body: Value::Object(envelope).to_string() }
}

/// The event's own time. A number that RFC 8785 could not write exactly, or that lies before 1970, is none:
/// it stands in a leaf.
fn event_time(value: &Value) -> Option<Timestamp> {
    value.as_i64().filter(|at| (0..1 << 53).contains(at)).map(Timestamp::from_seconds_or_millis)
}

/// A time in `data`.
fn time(data: &Map<String, Value>, name: &str) -> Option<Timestamp> {
    json::whole_number(data.get(name)?).map(Timestamp::from_seconds_or_millis)
}

/// What the event changes; `None` when the object it is about has no usable id.
fn change(kind: &str, data: &mut Map<String, Value>) -> Option<Change> {
    let (object, verb) = kind.split_once('.').unwrap_or((kind, ""));
    if MESSAGES.contains(&object) {
        return Some(Change::Recorded { note: Object::new(clean::note(kind, data)) });
    }
    let Some(mirrored) = MIRRORED.iter().find(|k| k.object == object && k.verbs.contains(&verb)) else {
        return Some(Change::Recorded { note: Object::new(std::mem::take(data)) });
    };
    let id = at_path(data, &["id"])?;
    let updated_at = time(data, "updated_at").unwrap_or_default();
    let parents = mirrored
        .parents
        .iter()
        .filter_map(|Parent(kind, path)| at_path(data, path).map(|id| ObjectKey { kind: (*kind).to_owned(), id }));
    let parents = parents.collect();
    let signed_in_at = if kind == "session.created" { time(data, "created_at") } else { None };
    let body = Object::new(std::mem::take(data));
    let key = || ObjectKey { kind: object.to_owned(), id: id.clone() };
    Some(match (object, verb) {
        ("user", "deleted") => Change::UserDeleted { id, note: body },
        ("user", _) => Change::UserSaved { id, updated_at, clerk: body },
        (_, "deleted") => Change::ObjectDeleted { key: key(), note: body },
        _ => Change::ObjectSaved { key: key(), updated_at, parents, signed_in_at, body },
    })
}

/// The person an event is about, wherever its type keeps them.
fn subject(kind: &str, data: &Map<String, Value>) -> Option<ClerkId> {
    match kind.split_once('.').map_or(kind, |(object, _)| object) {
        "user" => at_path(data, &["id"]),
        "organizationMembership" => at_path(data, MEMBER.1),
        "subscription" | "subscriptionItem" | "paymentAttempt" => at_path(data, &["payer", "user_id"]),
        _ => at_path(data, &["user_id"]),
    }
}

fn at_path(data: &Map<String, Value>, path: &[&str]) -> Option<ClerkId> {
    let (first, rest) = path.split_first()?;
    let value = rest.iter().try_fold(data.get(*first)?, |value, name| value.get(name))?;
    value.as_str()?.parse().ok()
}

/// A text that says something; Clerk's dashboard sends empty ones for "none".
fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}
