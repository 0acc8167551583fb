//! Deliveries with a good signature that could not be applied.

use askama::Template;
use serde::Deserialize;
use warp::http::StatusCode;
use warp::reply::Response;

use super::paging::{Pager, Place};
use super::view::{Frame, html};
use super::when::When;
use super::{Stop, session};
use crate::clock::Timestamp;
use crate::event::Reason;
use crate::http::call::Call;
use crate::store::Quarantined;

const HERE: &str = "/admin/quarantine";

#[derive(Template)]
#[template(path = "quarantine.html")]
struct Page {
    frame: Frame,
    waiting: Vec<Waiting>,
    pager: Pager,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Query {
    cursor: Option<String>,
    trail: Option<String>,
}

/// `GET /admin/quarantine`.
pub(super) async fn list(call: Call) -> Result<Response, Stop> {
    let admin = session::reader(&call, HERE).await?;
    let query: Query = call.query()?;
    let place = Place::read(query.cursor.as_deref(), query.trail.as_deref())?;
    let store = &call.app.store;
    let listed = store.quarantine(place.request()).await?;
    let mut look = admin.did("quarantine.listed");
    look.count = u64::try_from(listed.items.len()).ok();
    store.record(look).await?;
    let now = call.app.clock.now();
    let page = Page {
        frame: Frame::new(&call.app, &admin, HERE),
        pager: place.pager(HERE, &[("", ""); 0], listed.next_cursor.as_ref())?,
        waiting: listed.items.into_iter().map(|item| Waiting::new(item, now)).collect(),
    };
    Ok(html(StatusCode::OK, &page)?)
}

/// A delivery in quarantine.
#[derive(Debug)]
struct Waiting {
    delivery: String,
    kind: Option<String>,
    reason: &'static str,
    at: When,
    body: String,
}

impl Waiting {
    fn new(item: Quarantined, now: Timestamp) -> Self {
        Self {
            delivery: item.delivery.to_string(),
            kind: item.kind,
            reason: why(item.reason),
            at: When::second(item.received_at, now),
            body: item.body,
        }
    }
}

/// Why a delivery could not be applied, for people.
fn why(reason: Reason) -> &'static str {
    match reason {
        Reason::Unparsable => "The body is not JSON that can be read in only one way.",
        Reason::NotAnEvent => "The body is JSON, but not an event of Clerk's.",
        Reason::MissingId => "The object it is about has no usable id.",
        Reason::TooLong => "Its type is unknown, and its body is too long for the log.",
        Reason::OtherInstance => "It comes from another Clerk instance than the one this file belongs to.",
    }
}
