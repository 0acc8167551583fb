//! Clerk's JSON as sent, read into our words. Lenient in what it does not need, strict where two readers
//! could disagree; what cannot be read becomes a value that says why.

use serde_json::{Map, Value};

use super::clean;
use crate::clock::Timestamp;
use crate::event::{Change, Client, Event, ObjectKey, Reason, Unusable};
use crate::json::{Object, parse_strict};
use crate::user::ClerkId;

/// The kinds of object that are mirrored, and the members of `data` that name the objects each is listed by.
const MIRRORED: [(&str, &[Parent]); 11] = [
    ("session", &[Parent("user", &["user_id"])]),
    ("organization", &[]),
    ("organizationMembership", &[Parent("organization", &["organization", "id"]), MEMBER]),
    ("organizationInvitation", &[Parent("organization", &["organization_id"])]),
    ("organizationDomain", &[Parent("organization", &["organization_id"])]),
    ("role", &[]),
    ("permission", &[]),
    ("subscription", PAYER),
    ("subscriptionItem", PAYER),
    ("paymentAttempt", PAYER),
    ("waitlistEntry", &[]),
];

const MEMBER: Parent = Parent("user", &["public_user_data", "user_id"]);
const PAYER: &[Parent] =
    &[Parent("user", &["payer", "user_id"]), Parent("organization", &["payer", "organization_id"])];

/// Messages: recorded, never kept.
const MESSAGES: [&str; 2] = ["email", "sms"];

/// The longest note that an entry's detail has room for, in bytes.
const MAX_NOTE: usize = 48 * 1024;

/// The kind of a parent, and where its id stands.
struct Parent(&'static str, &'static [&'static str]);

/// Reads a verified body. `signed_at` stands in for an event time that is missing.
pub(super) fn read(body: &str, signed_at: Timestamp) -> Result<Event, Unusable> {
    let unusable = |reason, kind: Option<&str>, body: String| Unusable { reason, kind: kind.map(str::to_owned), body };
    let Ok(envelope) = parse_strict(body) else {
        return Err(unusable(Reason::Unparsable, None, clean::scrub_text(body)));
    };
    let Value::Object(mut envelope) = envelope else {
        return Err(unusable(Reason::NotAnEvent, None, clean::scrub_text(body)));
    };
    let kind = envelope.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let Some(Value::Object(mut data)) = envelope.remove("data") else {
        clean::clean(&kind, &mut envelope);
        return Err(unusable(Reason::NotAnEvent, Some(&kind), Value::Object(envelope).to_string()));
    };
    let subject = subject(&kind, &data);
    let impersonator = at_path(&data, &["actor", "sub"]);
    clean::clean(&kind, &mut data);
    if kind.is_empty() {
        envelope.insert("data".to_owned(), Value::Object(data));
        return Err(unusable(Reason::NotAnEvent, None, Value::Object(envelope).to_string()));
    }
    let change = change(&kind, &mut data).ok_or(Reason::MissingId).and_then(|change| match change {
        Change::Recorded { note } if note.as_str().len() > MAX_NOTE => {
            data = serde_json::from_str(note.as_str()).unwrap_or_default();
            Err(Reason::TooLong)
        }
        change => Ok(change),
    });
    let change = match change {
        Ok(change) => change,
        Err(reason) => {
            envelope.insert("data".to_owned(), Value::Object(data));
            return Err(unusable(reason, Some(&kind), Value::Object(envelope).to_string()));
        }
    };
    let request = envelope.get("event_attributes").and_then(|a| a.get("http_request"));
    let of_request = |name| request.and_then(|r| text(r.get(name)?));
    Ok(Event {
        instance: envelope.get("instance_id").and_then(text),
        at: envelope.get("timestamp").and_then(event_time).unwrap_or(signed_at),
        client: Client { ip: of_request("client_ip"), user_agent: of_request("user_agent") },
        impersonator,
        subject,
        change,
        kind,
    })
}

/// The event's own time. A number that RFC 8785 could not write exactly, or that lies before 1970, is none:
/// it stands in a leaf.
fn event_time(value: &Value) -> Option<Timestamp> {
    value.as_i64().filter(|at| (0..1 << 53).contains(at)).map(Timestamp::from_seconds_or_millis)
}

/// What the event changes; `None` when the object it is about has no usable id.
fn change(kind: &str, data: &mut Map<String, Value>) -> Option<Change> {
    let (object, verb) = kind.split_once('.').unwrap_or((kind, ""));
    if MESSAGES.contains(&object) {
        return Some(Change::Recorded { note: Object::new(clean::note(kind, data)) });
    }
    let parents = match MIRRORED.iter().find(|(kind, _)| *kind == object) {
        Some((_, parents)) => *parents,
        None if object == "user" => &[],
        None => return Some(Change::Recorded { note: Object::new(std::mem::take(data)) }),
    };
    let id = at_path(data, &["id"])?;
    let deleted = verb == "deleted";
    let updated_at = data
        .get("updated_at")
        .and_then(Value::as_i64)
        .map_or_else(Timestamp::default, Timestamp::from_seconds_or_millis);
    if object == "user" {
        return Some(if deleted {
            Change::UserDeleted { id }
        } else {
            Change::UserSaved { id, updated_at, clerk: Object::new(std::mem::take(data)) }
        });
    }
    let key = ObjectKey { kind: object.to_owned(), id };
    if deleted {
        return Some(Change::ObjectDeleted { key });
    }
    let parents = parents
        .iter()
        .filter_map(|Parent(kind, path)| at_path(data, path).map(|id| ObjectKey { kind: (*kind).to_owned(), id }));
    let parents = parents.collect();
    let created_at = data.get("created_at").and_then(Value::as_i64).map(Timestamp::from_seconds_or_millis);
    let signed_in_at = if kind == "session.created" { created_at } else { None };
    Some(Change::ObjectSaved { key, updated_at, parents, signed_in_at, body: Object::new(std::mem::take(data)) })
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
