//! The roll: a list to search, filter and page through.

use askama::Template;
use serde::Deserialize;
use warp::http::StatusCode;
use warp::reply::Response;

use super::brief::brief;
use super::form::filled;
use super::paging::{Pager, Place};
use super::session::Admin;
use super::view::{Frame, html, number};
use super::when::When;
use super::{Stop, entry, session, view};
use crate::audit::Filter;
use crate::clock::Timestamp;
use crate::http::call::Call;
use crate::http::reply;
use crate::page::{Limit, Page as Listed, PageRequest};
use crate::store::{Counts, UserFilter};
use crate::user::{User, UserRef};

const HERE: &str = "/admin/users";

/// What a plan's name may weigh, in bytes of HTML.
const PLAN: usize = 64;

#[derive(Template)]
#[template(path = "users.html")]
struct Page<'a> {
    frame: Frame,
    query: &'a Query,
    deleted: bool,
    filtered: bool,
    /// How many there are in all; not said of a list that is filtered.
    count: Option<String>,
    removed: bool,
    alert: &'static str,
    people: Vec<Person>,
    pager: Pager,
}

/// A user in the list.
struct Person {
    href: String,
    name: String,
    /// What stands under the name: the address, unless that is the name.
    email: Option<String>,
    role: String,
    is_admin: bool,
    practice: Option<String>,
    plan: String,
    /// How the subscription is, where that is not as it should be.
    standing: Option<String>,
    marks: Vec<&'static str>,
    created: Option<When>,
    last_sign_in: Option<When>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Query {
    #[serde(rename = "query")]
    text: Option<String>,
    role: Option<String>,
    practice: Option<String>,
    deleted: Option<String>,
    cursor: Option<String>,
    trail: Option<String>,
    removed: Option<String>,
}

impl Query {
    /// The fields that are filled in, by name.
    fn filters(&self) -> Vec<(&'static str, &str)> {
        let fields =
            [("query", &self.text), ("role", &self.role), ("practice", &self.practice), ("deleted", &self.deleted)];
        fields.into_iter().filter_map(|(name, value)| Some((name, filled(value.as_ref())?))).collect()
    }

    /// What they ask for, or what is wrong with them.
    fn filter(&self) -> Result<UserFilter, &'static str> {
        let name = "A role or practice is written with letters, digits, '_', '-', '.' and ':'.";
        let deleted = match filled(self.deleted.as_ref()) {
            None => false,
            Some("true") => true,
            Some(_) => return Err("Users are either on the roll or deleted."),
        };
        Ok(UserFilter {
            query: filled(self.text.as_ref()).map(str::to_owned),
            email: None,
            role: filled(self.role.as_ref()).map(str::parse).transpose().map_err(|_| name)?,
            practice: filled(self.practice.as_ref()).map(str::parse).transpose().map_err(|_| name)?,
            deleted,
        })
    }
}

/// `GET /admin/users`.
pub(super) async fn list(call: Call) -> Result<Response, Stop> {
    let admin = session::reader(&call, HERE).await?;
    let query: Query = call.query()?;
    let place = Place::read(query.cursor.as_deref(), query.trail.as_deref())?;
    let store = &call.app.store;
    if let Some(address) = named(&call, &admin, &query).await? {
        return Ok(reply::see_other(&address));
    }
    let (status, alert, listed) = match query.filter() {
        Ok(filter) => (StatusCode::OK, "", store.users(filter, place.request()).await?),
        Err(alert) => (StatusCode::BAD_REQUEST, alert, Listed { items: Vec::new(), next_cursor: None }),
    };
    let look = admin.did("users.listed");
    store.record(look.listing(listed.items.iter().map(|user| &user.clerk_id))).await?;
    let (filters, now) = (query.filters(), call.app.clock.now());
    let page = Page {
        frame: Frame::new(&call.app, &admin, HERE),
        deleted: filters.contains(&("deleted", "true")),
        filtered: !filters.is_empty(),
        count: count(&filters, store.counts()).map(number),
        removed: query.removed.is_some(),
        alert,
        pager: place.pager(HERE, &filters, listed.next_cursor.as_ref())?,
        people: listed.items.iter().map(|user| Person::new(user, now)).collect(),
        query: &query,
    };
    Ok(html(status, &page)?)
}

/// The page of the one person whom a search names: by an id, or by an e-mail address that nobody else has.
async fn named(call: &Call, admin: &Admin, query: &Query) -> Result<Option<String>, Stop> {
    let ("query", text) = query.filters().first().copied().unwrap_or_default() else { return Ok(None) };
    let store = &call.app.store;
    if let Some(id) = pasted(text) {
        if store.user(id.id())?.is_some() {
            return Ok(Some(format!("{}{}", view::USER, id.id())));
        }
        let UserRef::Clerk(id) = id else { return Ok(None) };
        let page = PageRequest { limit: Limit::MIN, cursor: None };
        let told = store.audit(Filter { subject: Some(id.clone()), ..Filter::default() }, page).await?;
        return Ok((!told.items.is_empty()).then(|| format!("{}{id}", view::USER)));
    }
    let Ok(filter) = query.filter() else { return Ok(None) };
    if !text.contains('@') || query.cursor.is_some() {
        return Ok(None);
    }
    let whole = UserFilter { email: filter.query, query: None, ..filter };
    let found = store.users(whole, PageRequest::default()).await?;
    let [user] = &found.items[..] else { return Ok(None) };
    store.record(admin.did("users.listed").listing([&user.clerk_id])).await?;
    Ok(Some(format!("{}{}", view::USER, user.id)))
}

/// The id that a text is, ours or Clerk's. A user name may look like many things, but hardly like these.
fn pasted(text: &str) -> Option<UserRef> {
    let is_clerks = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    match text.parse().ok()? {
        UserRef::Clerk(id) => id.as_str().strip_prefix("user_").is_some_and(is_clerks).then_some(UserRef::Clerk(id)),
        id @ UserRef::Id(_) => Some(id),
    }
}

/// How many are in the list, where that is counted.
fn count(filters: &[(&str, &str)], counts: Counts) -> Option<u64> {
    match filters {
        [] => Some(counts.users),
        [("deleted", "true")] => Some(counts.deleted),
        _ => None,
    }
}

impl Person {
    fn new(user: &User, now: Timestamp) -> Self {
        let profile = user.profile();
        let name = entry::call_name(user);
        let email = profile.email.as_ref().filter(|email| **email != name);
        let subscription = &user.subscription;
        Self {
            href: format!("{}{}", view::USER, user.id),
            email: email.map(|email| view::name(email)),
            name: view::name(&name),
            role: user.role.to_string(),
            is_admin: user.role.is_admin(),
            practice: user.practice_id.as_ref().map(ToString::to_string),
            plan: brief(&subscription.plan, PLAN),
            standing: (subscription.status != "active").then(|| subscription.status.clone()),
            marks: view::marks(user, &profile),
            created: profile.created_at.map(|at| When::day(at, now)),
            last_sign_in: profile.last_sign_in_at.map(|at| When::ago(at, now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_from_names() {
        for id in ["user_2abcDEF", "0199c1a0-0000-7000-8000-000000000001", "user_x_1"] {
            assert!(pasted(id).is_some(), "{id}");
        }
        for other in
            ["", "user_", "user", "ann", "ann@example.org", "user_a/b", "user_é", "0199c1a0000070008000000000000001"]
        {
            assert!(pasted(other).is_none(), "{other}");
        }
    }
}
