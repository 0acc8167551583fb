//! `/api/events`: what happened, in order, to be replayed from any entry on. As pages, or as a stream that stays open.

mod stream;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use warp::http::header::ACCEPT;
use warp::reply::Response;

use super::call::Call;
use super::caller::Caller;
use super::mirror::{self, PersonJson};
use super::problem::{Kind, Problem};
use super::route::{Header, Operation, Route, Who};
use super::{query, reply, users};
use crate::api_key::Scope;
use crate::audit::feed::Types;
use crate::clock::Timestamp;
use crate::page::Limit;
use crate::store::{FeedError, FeedItem, FeedPage, FeedRequest, Subject};

/// The header by which a reader that was cut off says which event it had last (WHATWG HTML, server-sent events).
const LAST_EVENT_ID: &str = "last-event-id";

/// Something that happened.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Event")]
struct EventJson<'a> {
    /// The number of its entry in the log.
    seq: u64,
    /// Clerk's name for it, or the action of the log's entry.
    r#type: &'a str,
    /// When it was written down.
    at: String,
    /// When it happened, as Clerk says.
    event_at: Option<String>,
    outcome: &'a str,
    reason: Option<&'a str>,
    /// The message's id, for what Clerk said.
    request: Option<&'a str>,
    /// The person it is about; null for nobody, and for somebody who was erased.
    user: Option<PersonJson>,
    /// The object of Clerk's that it is about, if that is not a user: `session:sess_…`.
    object: Option<String>,
    /// The fields that changed.
    changed: &'a [String],
    /// Their values before and after, by name, where they are kept.
    changes: Option<&'a Map<String, Value>>,
    /// The user or object as it is now, which may be later than the event; null when there is none any more, and for
    /// keys without `users:read`.
    data: Option<Value>,
}

/// A page of events.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Events")]
struct EventsJson<'a> {
    /// Oldest first. May be fewer than asked for although more follow.
    items: Vec<EventJson<'a>>,
    /// What to give as `after` to go on, also when there are no items.
    next_after: Option<u64>,
}

impl<'a> EventJson<'a> {
    fn new(item: &'a FeedItem, now: Timestamp) -> Self {
        let (entry, leaf) = (&item.entry, &item.entry.leaf);
        let (object, data) = match &item.subject {
            Some(Subject::User(_, user)) => (None, user.as_deref().map(users::record)),
            Some(Subject::Object(key, object)) => {
                (Some(key.to_string()), object.as_ref().and_then(|object| mirror::show(key, object, now)))
            }
            None => (None, None),
        };
        Self {
            seq: entry.seq,
            r#type: &leaf.action,
            at: leaf.at.to_string(),
            event_at: leaf.event_at.map(|at| at.to_string()),
            outcome: &leaf.outcome,
            reason: leaf.reason.as_deref(),
            request: leaf.request.as_deref(),
            user: entry.target_user.as_ref().map(PersonJson::new),
            object,
            changed: &leaf.changed,
            changes: entry.detail.as_ref().and_then(|detail| detail.get("changes")?.as_object()),
            data,
        }
    }
}

/// An event as those who may read everything see it.
#[must_use]
pub fn event(item: &FeedItem, now: Timestamp) -> Value {
    serde_json::to_value(EventJson::new(item, now)).unwrap_or_default()
}

/// The number of an entry, as a query or a header gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seq(u64);

impl Seq {
    /// Digits, and no more than JSON numbers can hold exactly.
    fn parse(text: &str) -> Option<Self> {
        let number = text.parse().ok().filter(|number| *number < 1 << 53);
        number.filter(|_| text.bytes().all(|b| b.is_ascii_digit())).map(Self)
    }
}

impl<'de> Deserialize<'de> for Seq {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not the number of an entry"))
    }
}

/// The schema of [`Seq`].
fn seq(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "integer", "minimum": 0, "maximum": 9_007_199_254_740_991_u64,
        "description": "Begin behind this event; without it, with the oldest there is.",
    })
}

/// The schema of [`Types`].
fn types(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "pattern": r"^[A-Za-z0-9_.]{1,64}(\.\*)?(,[A-Za-z0-9_.]{1,64}(\.\*)?){0,31}$",
        "description": "Only these types, separated by commas; `user.*` means every type that begins so.",
        "examples": ["user.created,user.deleted", "user.*"],
    })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    #[serde(default)]
    #[schemars(schema_with = "seq")]
    after: Option<Seq>,
    // Or the description would name nothing at all as what is wanted by default.
    #[serde(default, skip_serializing_if = "Types::are_all")]
    #[schemars(schema_with = "types")]
    types: Types,
    #[serde(default)]
    #[schemars(schema_with = "query::limit")]
    limit: Limit,
}

/// The feed.
pub(super) fn routes() -> Vec<Route> {
    let list = Operation::new("listEvents", "Follow what happens", list)
        .tag("Events")
        .describe(
            "What Clerk said and what changed people's records, oldest first. A poller asks again with `after` set to \
             `next_after`. With `Accept: text/event-stream` the answer stays open and brings the same items as \
             server-sent events, each with its number as `id`; a reader that was cut off goes on where it was.",
        )
        .by(Who::Admin(Scope::AuditRead))
        .query::<ListQuery>()
        .header(Header {
            name: "Last-Event-ID",
            about: "The event a stream goes on behind; wins over `after`. For streams alone.",
            pattern: "^[0-9]{1,15}$",
            required: false,
        })
        .answers::<EventsJson<'_>>(200, "A page of events.")
        .answers_in::<String>(200, "text/event-stream", "Events.")
        .problems(&[409, 410]);
    vec![Route::at("/api/events").get(list)]
}

/// A page of events, or all of them from there on, for admins.
async fn list(call: Call) -> Result<Response, Problem> {
    let caller = call.caller().await?;
    call.require(&caller, Scope::AuditRead).await?;
    let ListQuery { after, types, limit } = call.query()?;
    let last = last_event(&call)?;
    let mut request = FeedRequest { after: after.map(|Seq(seq)| seq), types, limit };
    if wants_stream(&call) {
        request.after = last.or(request.after);
        return stream::open(call, &caller, request).await;
    }
    let page = call.app.store.feed(request).await?;
    if let (Some(first), Some(last)) = (page.items.first(), page.items.last()) {
        let mut look = caller.entry(&call, "events.read");
        look.count = Some(page.items.len() as u64);
        let look = look.with("from", Some(first.entry.seq)).with("to", Some(last.entry.seq));
        call.app.store.record(look).await?;
    }
    Ok(reply::json(&shown(&page, &caller, call.app.clock.now())))
}

/// The page as its reader may see it: with the records for whoever may read those.
fn shown<'a>(page: &'a FeedPage, reader: &Caller, now: Timestamp) -> EventsJson<'a> {
    let sees_records = reader.may(Scope::UsersRead);
    let event = |item: &'a FeedItem| {
        let event = EventJson::new(item, now);
        EventJson { data: event.data.filter(|_| sees_records), ..event }
    };
    EventsJson { items: page.items.iter().map(event).collect(), next_after: page.next_after }
}

/// Whether the caller takes an event stream. Whoever takes anything gets a page.
fn wants_stream(call: &Call) -> bool {
    let values = call.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = values.flat_map(|value| value.split(',')).map(|kind| kind.split(';').map(str::trim));
    kinds.any(|mut kind| {
        // A weight of nothing is a refusal (RFC 9110 §12.4.2).
        let is_stream = kind.next().is_some_and(|kind| kind.eq_ignore_ascii_case("text/event-stream"));
        is_stream
            && !kind
                .any(|weight| matches!(weight.to_ascii_lowercase().as_str(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

/// The number of an entry, of digits alone.
pub(super) fn number(text: &str) -> Option<u64> {
    Seq::parse(text).map(|Seq(seq)| seq)
}

/// The event that the caller had last, if it says so.
pub(super) fn last_event(call: &Call) -> Result<Option<u64>, Problem> {
    let mut values = call.headers.get_all(LAST_EVENT_ID).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let seq = value.to_str().ok().and_then(Seq::parse).filter(|_| values.next().is_none());
    seq.map(|Seq(seq)| Some(seq)).ok_or_else(|| Problem::bad_request("Last-Event-ID is not the number of an entry."))
}

impl From<FeedError> for Problem {
    fn from(error: FeedError) -> Self {
        match error {
            FeedError::Ahead => Self::new(
                Kind::Conflict,
                "The log ends before that entry: it was restored from a copy, or the number is another log's.",
            ),
            FeedError::Pruned => Self::new(
                Kind::Gone,
                "Entries behind that one were pruned. Without a number, events begin with the oldest entry kept.",
            ),
            FeedError::Store(error) => error.into(),
        }
    }
}
