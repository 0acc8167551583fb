//! `/api/events`: what happened, in order, to be replayed from any entry on. As pages, or as a stream that stays open.

mod stream;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use warp::http::header::ACCEPT;
use warp::reply::Response;

use super::call::Call;
use super::mirror::{self, PersonJson};
use super::problem::{Kind, Problem};
use super::{reply, users};
use crate::audit::feed::Types;
use crate::clock::Timestamp;
use crate::page::Limit;
use crate::store::{FeedError, FeedItem, FeedPage, FeedRequest, Subject};

pub use self::stream::Streams;

/// The header by which a reader that was cut off says which event it had last (WHATWG HTML, server-sent events).
const LAST_EVENT_ID: &str = "last-event-id";

/// An event as the API shows it.
#[derive(Serialize)]
struct EventJson<'a> {
    seq: u64,
    r#type: &'a str,
    at: String,
    event_at: Option<String>,
    outcome: &'a str,
    reason: Option<&'a str>,
    request: Option<&'a str>,
    user: Option<PersonJson>,
    object: Option<String>,
    changed: &'a [String],
    changes: Option<&'a Map<String, Value>>,
    data: Option<Value>,
}

/// A page of events.
#[derive(Serialize)]
struct EventsJson<'a> {
    items: Vec<EventJson<'a>>,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    after: Option<Seq>,
    #[serde(default)]
    types: Types,
    #[serde(default)]
    limit: Limit,
}

/// A page of events, or all of them from there on, for admins.
pub(super) async fn list(call: Call) -> Result<Response, Problem> {
    call.get_only()?;
    let caller = call.caller().await?;
    call.require_admin(&caller).await?;
    let ListQuery { after, types, limit } = call.query()?;
    let mut request = FeedRequest { after: after.map(|Seq(seq)| seq), types, limit };
    if wants_stream(&call) {
        request.after = last_event(&call)?.or(request.after);
        return stream::open(call, &caller, request).await;
    }
    let page = call.app.store.feed(request).await?;
    if let (Some(first), Some(last)) = (page.items.first(), page.items.last()) {
        let mut look = caller.entry(&call, "events.read");
        look.count = Some(page.items.len() as u64);
        let look = look.with("from", Some(first.entry.seq)).with("to", Some(last.entry.seq));
        call.app.store.record(look).await?;
    }
    Ok(reply::json(&shown(&page, call.app.clock.now())))
}

fn shown(page: &FeedPage, now: Timestamp) -> EventsJson<'_> {
    EventsJson { items: page.items.iter().map(|item| EventJson::new(item, now)).collect(), next_after: page.next_after }
}

/// Whether the caller takes an event stream. Whoever takes anything gets a page.
fn wants_stream(call: &Call) -> bool {
    let values = call.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut kinds = values.flat_map(|value| value.split(',')).map(|kind| kind.split(';').next().unwrap_or_default());
    kinds.any(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// The event that the caller had last, if it says so.
fn last_event(call: &Call) -> Result<Option<u64>, Problem> {
    let Some(value) = call.headers.get(LAST_EVENT_ID) else { return Ok(None) };
    let seq = value.to_str().ok().and_then(Seq::parse);
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
