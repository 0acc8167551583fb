//! The first page: how much there is, what happened last, what needs somebody's attention.

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use warp::http::StatusCode;
use warp::reply::Response;

use super::entry::{Row, Rows};
use super::quarantine::why;
use super::view::{Frame, html, number};
use super::when::When;
use super::{Stop, session};
use crate::audit::Filter;
use crate::clock::Timestamp;
use crate::http::App;
use crate::http::call::Call;
use crate::page::PageRequest;
use crate::store::{Counts, Quarantined};

/// How many of the newest entries are shown.
const SHOWN: usize = 10;

/// How many quarantined deliveries are named.
const NAMED: usize = 5;

/// After how long without an event somebody should look at the endpoint, in milliseconds: a week.
const QUIET: i64 = 7 * 24 * 60 * 60 * 1000;

#[derive(Template)]
#[template(path = "overview.html")]
struct Page {
    frame: Frame,
    users: String,
    deleted: String,
    entries: String,
    quarantined: String,
    last_event: Option<When>,
    quiet: bool,
    waiting: Vec<Waiting>,
    more_waiting: bool,
    proof: Option<Proof>,
    rows: Vec<Row>,
    endpoint: String,
    local: bool,
}

/// What somebody takes down to check the log with later.
struct Proof {
    size: String,
    root: String,
    verifiers: Vec<String>,
    /// How many entries there are since.
    unsigned: u64,
}

impl Proof {
    fn of(app: &App, entries: u64) -> Option<Self> {
        let published = app.notary.published()?;
        Some(Self {
            size: number(published.checkpoint.size),
            root: STANDARD.encode(published.checkpoint.root),
            verifiers: app.notary.verifiers().iter().map(ToString::to_string).collect(),
            unsigned: entries.saturating_sub(published.checkpoint.size),
        })
    }
}

/// A delivery in quarantine.
#[derive(Debug)]
struct Waiting {
    delivery: String,
    kind: Option<String>,
    reason: &'static str,
    at: When,
}

impl Waiting {
    fn new(item: Quarantined, now: Timestamp) -> Self {
        Self {
            delivery: item.delivery.to_string(),
            kind: item.kind,
            reason: why(item.reason).sentence,
            at: When::second(item.received_at, now),
        }
    }
}

/// `GET /admin`.
pub(super) async fn show(call: Call) -> Result<Response, Stop> {
    let admin = session::reader(&call, "/admin").await?;
    let (store, now) = (&call.app.store, call.app.clock.now());
    let Counts { users, deleted, entries, quarantined, last_event_at } = store.counts();
    let mut waiting = if quarantined > 0 { store.quarantine(PageRequest::default()).await?.items } else { Vec::new() };
    waiting.truncate(NAMED);
    // Looks at the page are left out: the overview would show little but itself.
    let is_look = |action: &str| matches!(action.rsplit('.').next(), Some("listed" | "read"));
    let mut newest = store.audit(Filter::default(), PageRequest::default()).await?.items;
    newest.retain(|entry| !is_look(&entry.leaf.action));
    newest.truncate(SHOWN);
    if newest.iter().any(|entry| entry.target_user.is_some() || entry.actor_user.is_some()) {
        let mut look = admin.did("audit.listed");
        look.count = u64::try_from(newest.len()).ok();
        store.record(look).await?;
    }
    let origin = &call.app.settings.public_origin;
    let page = Page {
        frame: Frame::new(&call.app, &admin, "/admin"),
        users: number(users),
        deleted: number(deleted),
        entries: number(entries),
        quarantined: number(quarantined),
        last_event: last_event_at.map(|at| When::ago(at, now)),
        quiet: last_event_at.is_some_and(|at| now.as_millis() - at.as_millis() > QUIET),
        more_waiting: quarantined > waiting.len() as u64,
        waiting: waiting.into_iter().map(|item| Waiting::new(item, now)).collect(),
        proof: Proof::of(&call.app, entries),
        rows: Rows::new(store, now).of(newest)?,
        endpoint: format!("{origin}/api/webhooks/clerk"),
        local: origin.starts_with("http://"),
    };
    Ok(html(StatusCode::OK, &page)?)
}
