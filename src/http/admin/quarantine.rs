//! Deliveries with a good signature that could not be applied.

use askama::Template;
use serde::Deserialize;
use warp::http::StatusCode;
use warp::reply::Response;

use super::overview::Waiting;
use super::paging::{Pager, Place};
use super::view::{Frame, html};
use super::{Stop, session};
use crate::http::call::Call;

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
