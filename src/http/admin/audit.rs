//! The book: every entry, newest first, with filters, and how far it was reviewed.

use askama::Template;
use serde::Deserialize;
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::entry::{Row, Rows};
use super::form::{self, filled};
use super::paging::{Pager, Place};
use super::session::Admin;
use super::view::{Frame, html, number};
use super::when::When;
use super::{Stop, session, when};
use crate::audit::Filter;
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::{reply, review};
use crate::page::{Page as Listed, PageRequest};
use crate::store::{ReviewError, Reviewed, Store, UserFilter};
use crate::user::{ClerkId, UserRef};

const HERE: &str = "/admin/audit";

/// Actions that are offered while typing; any other may be typed too.
const ACTIONS: &[&str] = &[
    "user.created",
    "user.updated",
    "user.deleted",
    "user.provisioned",
    "user.assigned",
    "user.erased",
    "user.read",
    "users.listed",
    "sessions.listed",
    "organizations.listed",
    "organization.read",
    "members.listed",
    "events.read",
    "events.streamed",
    "audit.listed",
    "audit.reviewed",
    "value.looked_up",
    "session.created",
    "session.ended",
    "organization.created",
    "organizationMembership.created",
    "admin.signed_in",
    "admin.signed_out",
    "admin.sign_in_failed",
    "admin.link_minted",
    "admin.password_set",
    "api.unauthenticated",
    "log.pruned",
    "log.scrubbed",
];

#[derive(Template)]
#[template(path = "audit.html")]
struct Page<'a> {
    frame: Frame,
    query: &'a Query,
    actions: &'static [&'static str],
    filtered: bool,
    alert: &'static str,
    review: Option<Review>,
    rows: Vec<Row>,
    pager: Pager,
}

/// How far the log was reviewed, and the form to say that it was.
struct Review {
    last: Option<Last>,
    since: String,
    /// The newest entry that the page shows, for the form and for people.
    to: u64,
    number: String,
    done: bool,
    alert: &'static str,
    note: String,
}

/// The newest review.
struct Last {
    to: String,
    at: When,
    /// The review's own entry.
    row: Row,
    note: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Query {
    action: Option<String>,
    subject: Option<String>,
    from: Option<String>,
    to: Option<String>,
    cursor: Option<String>,
    trail: Option<String>,
    reviewed: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    to: u64,
    note: String,
}

impl Query {
    /// The fields that are filled in, by name.
    fn filters(&self) -> Vec<(&'static str, &str)> {
        let fields = [("action", &self.action), ("subject", &self.subject), ("from", &self.from), ("to", &self.to)];
        fields.into_iter().filter_map(|(name, value)| Some((name, filled(value.as_ref())?))).collect()
    }
}

/// What is wrong with a review, and the note that was typed.
struct Refused {
    problem: Problem,
    note: String,
}

/// `GET` and `POST /admin/audit`.
pub(super) async fn serve(call: Call) -> Result<Response, Stop> {
    match call.method {
        Method::GET => {
            let admin = session::reader(&call, HERE).await?;
            let query: Query = call.query()?;
            show(&call, &admin, &query, None).await
        }
        Method::POST => {
            let admin = session::writer(&call).await?;
            take(call, &admin).await
        }
        _ => Err(Problem::method_not_allowed("GET, HEAD, POST").into()),
    }
}

/// Takes a review.
async fn take(mut call: Call, admin: &Admin) -> Result<Response, Stop> {
    let Form { to, note } = form::posted(&mut call).await?;
    let refused = match review::noted(admin.did("audit.reviewed"), &note) {
        Err(problem) => problem,
        Ok(entry) => match call.app.store.review(to, entry).await {
            Ok(_) => return Ok(reply::see_other("/admin/audit?reviewed")),
            Err(ReviewError::Store(error)) => return Err(error.into()),
            Err(error) => error.into(),
        },
    };
    show(&call, admin, &Query::default(), Some(Refused { problem: refused, note })).await
}

async fn show(call: &Call, admin: &Admin, query: &Query, refused: Option<Refused>) -> Result<Response, Stop> {
    let place = Place::read(query.cursor.as_deref(), query.trail.as_deref())?;
    let store = &call.app.store;
    let (mut status, alert, listed) = match filter(store, query).await? {
        Ok(filter) => (StatusCode::OK, "", store.audit(filter, place.request()).await?),
        Err(alert) => (StatusCode::BAD_REQUEST, alert, Listed { items: Vec::new(), next_cursor: None }),
    };
    let filters = query.filters();
    let mut rows = Rows::new(store, call.app.clock.now());
    let newest = listed.items.first().map(|entry| entry.seq).filter(|_| filters.is_empty() && query.cursor.is_none());
    let mut review = match newest {
        Some(newest) => Some(review_of(store.reviewed().await?, newest, query, &mut rows)?),
        None => None,
    };
    if let (Some(review), Some(Refused { problem, note })) = (&mut review, refused) {
        (status, review.alert, review.note) = (problem.status(), problem.words().1, note);
    }
    let mut look = admin.did("audit.listed");
    look.count = u64::try_from(listed.items.len()).ok();
    store.record(look).await?;
    let page = Page {
        frame: Frame::new(&call.app, admin, HERE),
        actions: ACTIONS,
        filtered: !filters.is_empty(),
        alert,
        pager: place.pager(HERE, &filters, listed.next_cursor.as_ref())?,
        review,
        rows: rows.of(listed.items)?,
        query,
    };
    Ok(html(status, &page)?)
}

/// What the page says of reviews, when it shows entries up to `newest`.
fn review_of(reviewed: Reviewed, newest: u64, query: &Query, rows: &mut Rows<'_>) -> Result<Review, Problem> {
    let last = match reviewed.last {
        None => None,
        Some(last) => Some(Last {
            to: number(last.to),
            at: rows.day(last.entry.leaf.at),
            note: last.entry.detail.as_ref().and_then(|detail| Some(detail.get("note")?.as_str()?.to_owned())),
            row: rows.row(last.entry)?,
        }),
    };
    Ok(Review {
        last,
        since: number(reviewed.since),
        to: newest,
        number: number(newest),
        done: query.reviewed.is_some(),
        alert: "",
        note: String::new(),
    })
}

/// What the fields ask for, or what is wrong with them.
async fn filter(store: &Store, query: &Query) -> Result<Result<Filter, &'static str>, Problem> {
    let day = "A day is written like 2024-05-28.";
    let subject = match filled(query.subject.as_ref()) {
        None => None,
        Some(text) => match person(store, text).await? {
            Ok(id) => Some(id),
            Err(alert) => return Ok(Err(alert)),
        },
    };
    let from = filled(query.from.as_ref()).map(|text| when::day_begins(text).ok_or(day)).transpose();
    let to = filled(query.to.as_ref()).map(|text| when::day_ends(text).ok_or(day)).transpose();
    let action = filled(query.action.as_ref()).map(str::parse).transpose();
    let action = action.map_err(|_| "An action is written like user.created, or user.* for all that begin so.");
    Ok(from.and_then(|from| Ok(Filter { action: action?, subject, from, to: to?, ..Filter::default() })))
}

/// The person meant by an e-mail address, by our id or by Clerk's.
async fn person(store: &Store, text: &str) -> Result<Result<ClerkId, &'static str>, Problem> {
    if text.contains('@') {
        let mut found = Vec::new();
        for deleted in [false, true] {
            let filter = UserFilter { email: Some(text.to_owned()), deleted, ..UserFilter::default() };
            found.extend(store.users(filter, PageRequest::default()).await?.items);
        }
        return Ok(match &found[..] {
            [user] => Ok(user.clerk_id.clone()),
            [] => Err("Nobody on the roll has that address."),
            _ => Err("Several people have or had that address. Please use the id of the one you mean."),
        });
    }
    Ok(match text.parse() {
        Ok(UserRef::Clerk(id)) => Ok(id),
        Ok(UserRef::Id(id)) => store.user(id)?.map(|user| user.clerk_id).ok_or("Nobody on the roll has that id."),
        Err(_) => Err("A person is meant by e-mail address or id."),
    })
}
