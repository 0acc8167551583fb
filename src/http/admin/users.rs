//! The roll: a list to search, filter and page through.

use askama::Template;
use serde::Deserialize;
use warp::http::StatusCode;
use warp::reply::Response;

use super::form::filled;
use super::paging::{Pager, Place};
use super::view::{Frame, html};
use super::when::When;
use super::{Stop, entry, session, view};
use crate::http::call::Call;
use crate::page::Page as Listed;
use crate::store::UserFilter;
use crate::user::User;

const HERE: &str = "/admin/users";

#[derive(Template)]
#[template(path = "users.html")]
struct Page<'a> {
    frame: Frame,
    query: &'a Query,
    deleted: bool,
    filtered: bool,
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
    let (status, alert, listed) = match query.filter() {
        Ok(filter) => (StatusCode::OK, "", store.users(filter, place.request()).await?),
        Err(alert) => (StatusCode::BAD_REQUEST, alert, Listed { items: Vec::new(), next_cursor: None }),
    };
    let look = admin.did("users.listed");
    store.record(look.listing(listed.items.iter().map(|user| &user.clerk_id))).await?;
    let filters = query.filters();
    let page = Page {
        frame: Frame::new(&call.app, &admin, HERE),
        deleted: filters.contains(&("deleted", "true")),
        filtered: !filters.is_empty(),
        alert,
        pager: place.pager(HERE, &filters, listed.next_cursor.as_ref())?,
        people: listed.items.iter().map(Person::new).collect(),
        query: &query,
    };
    Ok(html(status, &page)?)
}

impl Person {
    fn new(user: &User) -> Self {
        let profile = user.profile();
        let name = entry::call_name(user);
        Self {
            href: format!("{}{}", view::USER, user.id),
            email: profile.email.clone().filter(|email| *email != name),
            name,
            role: user.role.to_string(),
            is_admin: user.role.is_admin(),
            practice: user.practice_id.as_ref().map(ToString::to_string),
            marks: view::marks(user, &profile),
            created: profile.created_at.map(When::minute),
            last_sign_in: profile.last_sign_in_at.map(When::minute),
        }
    }
}
