//! The book: every entry, newest first, with filters, and how far it was reviewed.

mod export;
mod live;
mod one;
mod review;
mod search;

use askama::Template;
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::entry::{Row, Rows};
use super::paging::{Pager, Place};
use super::session::{self, Admin};
use super::view::{Frame, html};
use super::{Stop, assets};
use crate::audit::Draft;
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::page::Page as Listed;

use self::review::{Refused, Review};
use self::search::Search;

pub(super) use self::export::serve as export;
pub(super) use self::live::open as live;
pub(super) use self::one::{File, file, show as one};

const HERE: &str = "/admin/audit";

/// At most so many actions are offered; there are as many types as Clerk may think of.
const OFFERED: usize = 200;

#[derive(Template)]
#[template(path = "audit.html")]
struct Page<'a> {
    frame: Frame,
    search: &'a Search,
    actions: Vec<String>,
    actors: Vec<String>,
    filtered: bool,
    alert: &'static str,
    review: Option<Review>,
    rows: Vec<Row>,
    pager: Pager,
    links: Links,
    live: Option<Live>,
}

/// Where the same filter leads.
struct Links {
    csv: String,
    jsonl: String,
    live: String,
    still: String,
}

/// What the page needs to show what comes.
struct Live {
    script: &'static str,
    stream: String,
}

/// `GET` and `POST /admin/audit`.
pub(super) async fn serve(call: Call) -> Result<Response, Stop> {
    match call.method {
        Method::GET => {
            let search = Search::read(&call, &["cursor", "trail", "reviewed", "live"]);
            // A page that asks for itself every ten seconds does not show that somebody sits there.
            let is_live = search.as_ref().is_ok_and(is_live);
            let admin = if is_live { session::watcher(&call, HERE).await } else { session::reader(&call, HERE).await }?;
            show(&call, &admin, &search?, None).await
        }
        Method::POST => {
            let admin = session::writer(&call).await?;
            review::take(call, &admin).await
        }
        _ => Err(Problem::method_not_allowed("GET, HEAD, POST").into()),
    }
}

fn is_live(search: &Search) -> bool {
    search.given("live").is_some()
}

async fn show(call: &Call, admin: &Admin, search: &Search, refused: Option<Refused>) -> Result<Response, Stop> {
    let place = Place::read(search.given("cursor"), search.given("trail"))?;
    let store = &call.app.store;
    let newest_before = store.counts().entries.checked_sub(1);
    let mut look = admin.did("audit.listed");
    let (mut status, alert, listed) = match search.filter(store).await? {
        Ok(filter) => {
            look = filter.subject.iter().fold(look, Draft::about);
            (StatusCode::OK, "", store.audit(filter, place.request()).await?)
        }
        Err(alert) => (StatusCode::BAD_REQUEST, alert, Listed { items: Vec::new(), next_cursor: None }),
    };
    let filters = search.filters();
    let mut rows = Rows::new(store, call.app.clock.now());
    let first = listed.items.first().map(|entry| entry.seq);
    let reviewed = if filters.is_empty() { Some(store.reviewed().await?) } else { None };
    let reviewed_to = reviewed.as_ref().and_then(|reviewed| Some(reviewed.last.as_ref()?.to));
    let is_top = search.given("cursor").is_none() && !is_live(search);
    let mut review = match (reviewed, first) {
        (Some(reviewed), Some(newest)) if is_top => {
            Some(Review::new(reviewed, newest, search.given("reviewed").is_some(), &mut rows)?)
        }
        _ => None,
    };
    if let (Some(review), Some(refused)) = (&mut review, refused) {
        status = review.refuse(refused);
    }
    look.count = u64::try_from(listed.items.len()).ok();
    store.record(look).await?;
    let mut listed_rows = rows.of(listed.items)?;
    mark_reviewed(&mut listed_rows, reviewed_to);
    let page = Page {
        frame: Frame::new(&call.app, admin, HERE),
        actions: offered(store.actions().await?),
        actors: actors(call, admin).await?,
        filtered: !filters.is_empty(),
        alert,
        pager: place.pager(HERE, &filters, listed.next_cursor.as_ref())?,
        links: Links::new(&filters),
        live: is_live(search).then(|| Live::new(&filters, first.max(newest_before))),
        review,
        rows: listed_rows,
        search,
    };
    Ok(html(status, &page)?)
}

/// Marks the first row up to which the log was reviewed, where others stand above it.
fn mark_reviewed(rows: &mut [Row], to: Option<u64>) {
    let Some(to) = to else { return };
    if let Some(row) = rows.iter_mut().find(|row| row.seq <= to) {
        row.reviewed = true;
    }
}

/// Who is offered as having done something.
async fn actors(call: &Call, admin: &Admin) -> Result<Vec<String>, Problem> {
    /// So many keys are named.
    const KEYS: usize = 20;
    let keys = call.app.store.api_keys().await?.into_iter().take(KEYS).map(|key| key.name.into());
    let words = search::actors().map(ToOwned::to_owned);
    Ok(words.chain([format!("admin:{}", admin.name)]).chain(keys).collect())
}

impl Links {
    fn new(filters: &[(&'static str, &str)]) -> Self {
        let link = |path: &str, more: &[(&'static str, &str)]| address(path, &[more, filters].concat());
        Self {
            csv: link("/admin/audit/export", &[("format", "csv")]),
            jsonl: link("/admin/audit/export", &[("format", "jsonl")]),
            live: link(HERE, &[("live", "on")]),
            still: link(HERE, &[]),
        }
    }
}

impl Live {
    fn new(filters: &[(&'static str, &str)], after: Option<u64>) -> Self {
        let after = after.map(|after| after.to_string());
        let after: Vec<_> = after.iter().map(|after| ("after", after.as_str())).collect();
        Self { script: assets::named("live"), stream: address("/admin/audit/live", &[&after[..], filters].concat()) }
    }
}

/// The path with that query. Text can always be written so.
fn address(path: &str, query: &[(&str, &str)]) -> String {
    let query = serde_urlencoded::to_string(query).unwrap_or_default();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// Actions to be offered while typing: those there are, each kind of which there are several as one too.
fn offered(actions: Vec<String>) -> Vec<String> {
    let mut offered: Vec<String> = Vec::with_capacity(actions.len());
    for action in actions.into_iter().take(OFFERED) {
        let kind = action.split_once('.').map(|(kind, _)| format!("{kind}.*"));
        if let (Some(kind), Some(last)) = (kind, offered.last())
            && last.starts_with(kind.trim_end_matches('*'))
            && !offered.contains(&kind)
        {
            offered.insert(offered.len() - 1, kind);
        }
        offered.push(action);
    }
    offered
}
