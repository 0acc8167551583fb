//! Deliveries with a good signature that could not be applied: why, what can be done about it, and the two ways out.

use std::time::{Duration, Instant};

use askama::Template;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use warp::http::StatusCode;
use warp::reply::Response;

use super::brief::{brief, cut, visible};
use super::form::Nothing;
use super::paging::{Pager, Place};
use super::session::Admin;
use super::view::{self, Frame, html, number, pretty};
use super::when::When;
use super::{Stop, csrf, form, session};
use crate::audit::{Actor, Source};
use crate::clerk::webhook::read_again;
use crate::clock::Timestamp;
use crate::event::{Event, Reason, Unusable};
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::reply;
use crate::page::{Limit, PageRequest};
use crate::store::{By, Quarantined};
use crate::traffic::Outcomes;

const HERE: &str = "/admin/quarantine";

/// How many are on a page.
const SHOWN: Limit = Limit::near(25);

/// How much of a body the list shows, in bytes of HTML, how much of all together, and what the name of a type may weigh.
const EXCERPT: usize = 2048;
const EXCERPTS: usize = 22 * 1024;
const KIND: usize = 96;

/// A body longer than this, in bytes, is not laid out to be read: only its beginning is shown.
const LAID_OUT: usize = 16 * 1024;

/// How long deliveries are tried again for one press of the button; what is left then has to wait for the next.
const PATIENCE: Duration = Duration::from_secs(4);

#[derive(Template)]
#[template(path = "quarantine.html")]
struct Page {
    frame: Frame,
    items: Vec<Item>,
    /// Why those on this page are here, each reason once.
    reasons: Vec<Why>,
    pager: Pager,
    said: Option<String>,
    /// How to go on with those that were not tried yet, and how many they are.
    more: Option<(Progress, String)>,
}

/// A delivery in quarantine.
struct Item {
    seq: u64,
    delivery: String,
    kind: Option<String>,
    reason: &'static str,
    at: When,
    body: String,
    is_cut: bool,
}

/// A reason in words.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Why {
    /// One of them, of the delivery.
    pub(super) short: &'static str,
    /// What the matter is.
    pub(super) sentence: &'static str,
    /// What can be done about it.
    pub(super) advice: &'static str,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Query {
    cursor: Option<String>,
    trail: Option<String>,
    /// What was just done.
    applied: Option<u64>,
    unchanged: Option<u64>,
    stayed: Option<u64>,
    next: Option<u64>,
    discarded: Option<String>,
    gone: Option<String>,
}

/// How far a pass through the quarantine is: the form that begins it is empty.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
struct Progress {
    applied: u64,
    unchanged: u64,
    stayed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sure {
    #[serde(rename = "sure")]
    _sure: String,
}

/// `GET /admin/quarantine`.
pub(super) async fn list(call: Call) -> Result<Response, Stop> {
    let admin = session::reader(&call, HERE).await?;
    let query: Query = call.query()?;
    let place = Place::read(query.cursor.as_deref(), query.trail.as_deref())?;
    let store = &call.app.store;
    let listed = store.quarantine(PageRequest { limit: SHOWN, ..place.request() }).await?;
    let mut look = admin.did("quarantine.listed");
    look.count = u64::try_from(listed.items.len()).ok();
    store.record(look).await?;
    let now = call.app.clock.now();
    let mut reasons: Vec<Why> = Vec::new();
    for item in &listed.items {
        let why = why(item.reason);
        if !reasons.contains(&why) {
            reasons.push(why);
        }
    }
    let room = EXCERPT.min(EXCERPTS / listed.items.len().max(1));
    let waiting = store.counts().quarantined;
    let page = Page {
        frame: Frame::new(&call.app, &admin, HERE),
        pager: place.pager(HERE, &[("", ""); 0], listed.next_cursor.as_ref())?,
        items: listed.items.into_iter().map(|item| Item::new(item, room, now)).collect(),
        reasons,
        said: query.said(),
        more: query.progress().filter(|progress| progress.next.is_some()).map(|progress| {
            let left = waiting.saturating_sub(progress.stayed);
            (progress, number(left))
        }),
    };
    Ok(html(StatusCode::OK, &page)?)
}

/// `GET /admin/quarantine/{entry}`: the body whole, as text that no browser takes for anything else.
pub(super) async fn one(call: Call, seq: &str) -> Result<Response, Stop> {
    csrf::check_get(&call.headers, &call.app.settings.public_origin)?;
    let admin = session::reader(&call, HERE).await?;
    call.no_query()?;
    let item = call.app.store.quarantined(place(seq)?)?.ok_or_else(Problem::not_found)?;
    let mut look = admin.did("quarantine.read");
    look.request = Some(item.delivery.to_string());
    call.app.store.record(look).await?;
    let body = Response::new(visible(&laid_out(&item.body)).into());
    Ok(view::attachment(&format!("delivery-{}.txt", item.seq), "text/plain; charset=utf-8", body))
}

/// `POST /admin/quarantine/reprocess`: all of them, or those that a former press did not come to.
pub(super) async fn reprocess_all(mut call: Call) -> Result<Response, Stop> {
    let admin = session::writer(&call).await?;
    let mut progress: Progress = form::posted(&mut call).await?;
    let began = Instant::now();
    let mut next = Some(progress.next.unwrap_or_default());
    while let Some(from) = next.filter(|_| began.elapsed() < PATIENCE) {
        let done = call.app.store.reprocess(from..u64::MAX, again, by(&admin)).await?;
        progress.note(&done.outcomes);
        next = done.next;
    }
    progress.next = next;
    told(&progress)
}

/// `POST /admin/quarantine/{entry}/reprocess`.
pub(super) async fn reprocess(mut call: Call, seq: &str) -> Result<Response, Stop> {
    let admin = session::writer(&call).await?;
    let Nothing {} = form::posted(&mut call).await?;
    let seq = place(seq)?;
    let done = call.app.store.reprocess(seq..seq.saturating_add(1), again, by(&admin)).await?;
    if done.outcomes == Outcomes::default() {
        return Ok(reply::see_other(&format!("{HERE}?gone")));
    }
    let mut progress = Progress::default();
    progress.note(&done.outcomes);
    told(&progress)
}

/// `POST /admin/quarantine/{entry}/discard`.
pub(super) async fn discard(mut call: Call, seq: &str) -> Result<Response, Stop> {
    let admin = session::writer(&call).await?;
    let _: Sure = form::posted(&mut call).await?;
    let was_there = call.app.store.discard(place(seq)?, by(&admin)).await?;
    Ok(reply::see_other(&format!("{HERE}?{}", if was_there { "discarded" } else { "gone" })))
}

fn told(progress: &Progress) -> Result<Response, Stop> {
    let query = serde_urlencoded::to_string(progress).map_err(|_| Problem::bad_request("Nothing was tried."))?;
    Ok(reply::see_other(&format!("{HERE}?{query}")))
}

fn by(admin: &Admin) -> By {
    By { actor: Actor::Admin(admin.name.clone()), source: Source::Admin }
}

fn again(item: &Quarantined) -> Result<Event, Unusable> {
    read_again(&item.body, item.received_at, item.reason)
}

/// The entry of an address.
fn place(seq: &str) -> Result<u64, Problem> {
    let plain = seq.bytes().all(|b| b.is_ascii_digit());
    seq.parse().ok().filter(|_| plain).ok_or_else(Problem::not_found)
}

impl Progress {
    const fn note(&mut self, outcomes: &Outcomes) {
        // What was counted before comes with the form, which can say anything.
        self.applied = self.applied.saturating_add(outcomes.applied);
        self.unchanged = self.unchanged.saturating_add(outcomes.unchanged + outcomes.stale + outcomes.recorded);
        self.stayed = self.stayed.saturating_add(outcomes.quarantined);
    }
}

impl Query {
    const fn progress(&self) -> Option<Progress> {
        match (self.applied, self.unchanged, self.stayed) {
            (Some(applied), Some(unchanged), Some(stayed)) => {
                Some(Progress { applied, unchanged, stayed, next: self.next })
            }
            _ => None,
        }
    }

    /// What was just done, in a sentence.
    fn said(&self) -> Option<String> {
        if self.gone.is_some() {
            return Some("That one is not in quarantine any more. Nothing was done.".to_owned());
        }
        if self.discarded.is_some() {
            return Some("Discarded. Its entry stays in the log.".to_owned());
        }
        let Progress { applied, unchanged, stayed, .. } = self.progress()?;
        let parts = [
            (applied, "applied"),
            (unchanged, "taken without a change"),
            (stayed, if stayed == 1 { "still cannot be applied" } else { "still cannot be" }),
        ];
        let parts: Vec<String> =
            parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", number(*n))).collect();
        Some(if parts.is_empty() { "There was nothing to try.".to_owned() } else { format!("{}.", parts.join(", ")) })
    }
}

impl Item {
    fn new(item: Quarantined, room: usize, now: Timestamp) -> Self {
        let body = if item.body.len() > LAID_OUT { item.body } else { laid_out(&item.body) };
        let body = visible(cut(&body, LAID_OUT).0);
        let (excerpt, is_cut) = cut(&body, room);
        Self {
            seq: item.seq,
            delivery: item.delivery.to_string(),
            kind: item.kind.map(|kind| brief(&visible(&kind), KIND)),
            reason: why(item.reason).short,
            at: When::second(item.received_at, now),
            is_cut,
            body: excerpt.to_owned(),
        }
    }
}

/// JSON to be read by people; what is none, as it is.
fn laid_out(body: &str) -> String {
    serde_json::from_str::<Value>(body).map_or_else(|_| body.to_owned(), |value| pretty(&value))
}

/// Why a delivery could not be applied, for people.
pub(super) const fn why(reason: Reason) -> Why {
    const SENDER: &str =
        "Clerk sends no such thing: look who else has the signing secret. A newer Rollbook may read it.";
    const NEWER: &str = "A newer Rollbook may know what to do with it: update, then try again.";
    match reason {
        Reason::Unparsable => Why {
            short: "unreadable",
            sentence: "The body is not JSON that can be read in only one way.",
            advice: SENDER,
        },
        Reason::NotAnEvent => {
            Why { short: "no event", sentence: "The body is JSON, but not an event of Clerk's.", advice: SENDER }
        }
        Reason::MissingId => {
            Why { short: "no id", sentence: "The object it is about has no usable id.", advice: NEWER }
        }
        Reason::TooLong => Why {
            short: "too long",
            sentence: "Its type is unknown, and its body is too long for the log.",
            advice: NEWER,
        },
        Reason::OtherInstance => Why {
            short: "another instance",
            sentence: "It comes from another Clerk instance than the one this file belongs to.",
            advice: "Remove this endpoint from that instance in the Clerk Dashboard, and discard these. If it is the right \
                     one, name it in CLERK_INSTANCE_ID, restart, and try again.",
        },
    }
}
