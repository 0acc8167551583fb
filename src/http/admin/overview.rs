//! The first page: how much there is, what came in, what needs somebody's attention, what happened last.

use askama::Template;
use serde::Deserialize;
use warp::http::StatusCode;
use warp::reply::Response;

use super::attention::{self, Attention};
use super::chart::{Bars, Curve};
use super::entry::{Row, Rows};
use super::span::{Choice, Span, Traffic};
use super::view::{Frame, html, number};
use super::when::When;
use super::{Stop, session, view};
use crate::audit::Filter;
use crate::clock::Timestamp;
use crate::event::EVENT_TYPES;
use crate::http::App;
use crate::http::call::Call;
use crate::page::PageRequest;
use crate::store::Counts;

/// How many of the newest entries are shown.
const SHOWN: usize = 8;

#[derive(Template)]
#[template(path = "overview.html")]
struct Page {
    frame: Frame,
    spans: Vec<Choice>,
    span: Span,
    tiles: Tiles,
    first_run: Option<FirstRun>,
    /// Whether a test was sent just now.
    tested: bool,
    attention: Vec<Attention>,
    deliveries: Bars,
    users: Option<Curve>,
    /// The last comparison with Clerk's users.
    compared: Option<Compared>,
    /// The newest backup.
    backup: Saved,
    rows: Vec<Row>,
    log: Option<Log>,
}

/// The numbers at the top.
struct Tiles {
    users: String,
    deleted: String,
    grown: Option<String>,
    taken: String,
    success: Option<String>,
    latency: Option<(String, String)>,
    last_event: Option<When>,
}

/// What is to be done until Clerk's first event comes.
struct FirstRun {
    endpoint: String,
    /// Whether Clerk cannot reach that.
    local: bool,
    kinds: Vec<Kinds>,
    /// Whether a test has come through.
    tested: bool,
}

/// The event types of one object.
struct Kinds {
    object: &'static str,
    verbs: String,
}

/// How far the log is vouched for.
struct Log {
    entries: String,
    size: String,
    signed: Option<When>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    span: Option<String>,
    tested: Option<String>,
}

/// `GET /admin`.
pub(super) async fn show(call: Call) -> Result<Response, Stop> {
    let admin = session::reader(&call, "/admin").await?;
    let query: Query = call.query()?;
    let span = Span::read(query.span.as_deref())?;
    let (store, now) = (&call.app.store, call.app.clock.now());
    let counts = store.counts();
    // Looks at the page are left out: the overview would show little but itself.
    let done = Filter { without_looks: true, ..Filter::default() };
    let mut newest = store.audit(done, PageRequest::default()).await?.items;
    newest.truncate(SHOWN);
    if newest.iter().any(|entry| entry.target_user.is_some() || entry.actor_user.is_some()) {
        let mut look = admin.did("audit.listed");
        look.count = u64::try_from(newest.len()).ok();
        store.record(look).await?;
    }
    let traffic = span.traffic(&call.app, now).await?;
    let day = if span == Span::Day { None } else { Some(Span::Day.traffic(&call.app, now).await?) };
    let attention = attention::of(&call.app, now, day.as_ref().unwrap_or(&traffic)).await?;
    let page = Page {
        frame: Frame::new(&call.app, &admin, "/admin"),
        spans: span.choices("/admin"),
        span,
        tiles: Tiles::new(&counts, &traffic, now),
        first_run: (counts.last_event_at.is_none())
            .then(|| FirstRun::new(&call.app, query.tested.is_some() || traffic.total.outcomes.test > 0)),
        tested: query.tested.is_some(),
        deliveries: traffic.chart(),
        users: traffic.users(counts.users),
        compared: store.last_walk()?.map(|walked| Compared {
            at: When::ago(walked.ended_at, now),
            is_first: walked.is_first,
            is_even: walked.drift() == 0,
            drift: number(walked.drift()),
        }),
        backup: Saved {
            has_folder: call.app.backups.rules().is_some(),
            // Nothing else about backups is as bad.
            is_unreadable: attention.iter().any(|what| what.tone == "bad" && what.href == "/admin/backups"),
            at: call.app.backups.newest().map(|at| When::ago(at, now)),
        },
        attention,
        rows: Rows::new(store, now).of(newest)?,
        log: Log::of(&call.app, counts.entries, now),
    };
    Ok(html(StatusCode::OK, &page)?)
}

/// When the newest backup was begun, as far as there are any.
struct Saved {
    has_folder: bool,
    /// Whether the folder cannot be read now.
    is_unreadable: bool,
    at: Option<When>,
}

/// When the users were last compared with Clerk's, and how many differed then.
struct Compared {
    at: When,
    is_first: bool,
    is_even: bool,
    drift: String,
}

impl Tiles {
    fn new(counts: &Counts, traffic: &Traffic, now: Timestamp) -> Self {
        let grown = traffic.grown(counts.users).filter(|grown| *grown != 0);
        Self {
            users: number(counts.users),
            deleted: number(counts.deleted),
            grown: grown.map(|grown| {
                let sign = if grown > 0 { '+' } else { '−' };
                format!("{sign}{}", number(grown.unsigned_abs()))
            }),
            taken: number(traffic.total.outcomes.taken()),
            success: traffic.success(),
            latency: traffic.latency(),
            last_event: counts.last_event_at.map(|at| When::ago(at, now)),
        }
    }
}

impl FirstRun {
    fn new(app: &App, tested: bool) -> Self {
        let origin = &app.settings.public_origin;
        let mut kinds: Vec<Kinds> = Vec::new();
        for (object, verb) in EVENT_TYPES.iter().filter_map(|kind| kind.split_once('.')) {
            match kinds.last_mut().filter(|last| last.object == object) {
                Some(last) => {
                    last.verbs.push_str(", ");
                    last.verbs.push_str(verb);
                }
                None => kinds.push(Kinds { object, verbs: verb.to_owned() }),
            }
        }
        Self { endpoint: view::endpoint(app), local: origin.starts_with("http://"), kinds, tested }
    }
}

impl Log {
    fn of(app: &App, entries: u64, now: Timestamp) -> Option<Self> {
        let published = app.notary.published()?;
        Some(Self {
            entries: number(entries),
            size: number(published.checkpoint.size),
            signed: published.signed_at.map(|at| When::ago(at, now)),
        })
    }
}
