//! The book: every entry, newest first, with filters.

use askama::Template;
use serde::Deserialize;
use warp::http::StatusCode;
use warp::reply::Response;

use super::entry::{Row, Rows};
use super::form::filled;
use super::paging::{Pager, Place};
use super::view::{Frame, html};
use super::{Stop, session, when};
use crate::audit::Filter;
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::page::{Page as Listed, PageRequest};
use crate::store::{Store, UserFilter};
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
    "audit.listed",
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
];

#[derive(Template)]
#[template(path = "audit.html")]
struct Page<'a> {
    frame: Frame,
    query: &'a Query,
    actions: &'static [&'static str],
    filtered: bool,
    alert: &'static str,
    rows: Vec<Row>,
    pager: Pager,
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
}

impl Query {
    /// The fields that are filled in, by name.
    fn filters(&self) -> Vec<(&'static str, &str)> {
        let fields = [("action", &self.action), ("subject", &self.subject), ("from", &self.from), ("to", &self.to)];
        fields.into_iter().filter_map(|(name, value)| Some((name, filled(value.as_ref())?))).collect()
    }
}

/// `GET /admin/audit`.
pub(super) async fn list(call: Call) -> Result<Response, Stop> {
    let admin = session::reader(&call, HERE).await?;
    let query: Query = call.query()?;
    let place = Place::read(query.cursor.as_deref(), query.trail.as_deref())?;
    let store = &call.app.store;
    let (status, alert, listed) = match filter(store, &query).await? {
        Ok(filter) => (StatusCode::OK, "", store.audit(filter, place.request()).await?),
        Err(alert) => (StatusCode::BAD_REQUEST, alert, Listed { items: Vec::new(), next_cursor: None }),
    };
    let mut look = admin.did("audit.listed");
    look.count = u64::try_from(listed.items.len()).ok();
    store.record(look).await?;
    let filters = query.filters();
    let page = Page {
        frame: Frame::new(&call.app, &admin, HERE),
        actions: ACTIONS,
        filtered: !filters.is_empty(),
        alert,
        pager: place.pager(HERE, &filters, listed.next_cursor.as_ref())?,
        rows: Rows::new(store, call.app.clock.now()).of(listed.items)?,
        query: &query,
    };
    Ok(html(status, &page)?)
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
    let action = filled(query.action.as_ref()).map(str::to_owned);
    Ok(from.and_then(|from| Ok(Filter { action, subject, from, to: to? })))
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
