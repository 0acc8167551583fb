//! Who may sign in to this page: the list, and adding, resetting and removing them. An admin here is no user: those whom
//! the API obeys have the role `ADMIN`.

use std::collections::BTreeMap;

use askama::Template;
use serde::Deserialize;
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::brief::{FIELD, cut};
use super::password::Password;
use super::session::Admin;
use super::sessions::{self, Open};
use super::sure::{self, Question};
use super::view::{Frame, html};
use super::when::When;
use super::{Desk, Stop, form, link, session, sign_in};
use crate::clock::Timestamp;
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::reply;
use crate::store::{Admins, Link};

pub(super) const HERE: &str = "/admin/admins";

/// So many admins are shown.
const MOST: usize = 50;

/// The way back from the pages that belong to this one.
const BACK: (&str, &str) = (HERE, "Admins");

#[derive(Template)]
#[template(path = "admins.html")]
struct Page<'a> {
    frame: Frame,
    done: &'static str,
    alert: &'a str,
    name: &'a str,
    admins: Vec<Row>,
    /// How many admins are not shown.
    others: usize,
    sessions: Vec<Open>,
    more: usize,
}

/// An admin in the list.
struct Row {
    name: String,
    is_me: bool,
    /// When the password was set; `None` for somebody who has a link and has not used it yet.
    set: Option<When>,
    /// Until when there is a link.
    link: Option<When>,
    seen: Option<When>,
    sessions: usize,
}

#[derive(Template)]
#[template(path = "admin_link.html")]
struct Minted<'a> {
    frame: Frame,
    name: &'a str,
    url: &'a str,
    until: When,
    is_new: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Query {
    removed: Option<String>,
    ended: Option<String>,
    changed: Option<String>,
}

impl Query {
    /// What the page says was done.
    fn done(&self) -> &'static str {
        match self {
            Self { removed: Some(_), .. } => "Removed.",
            Self { ended: Some(_), .. } => "Signed out.",
            Self { changed: Some(_), .. } => "Your password is changed, and your other sessions have ended.",
            _ => "",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    name: String,
    password: Password,
}

/// `GET` and `POST /admin/admins`.
pub(super) async fn serve(desk: &Desk, mut call: Call) -> Result<Response, Stop> {
    match call.method {
        Method::GET => {
            let admin = session::reader(&call, HERE).await?;
            let query: Query = call.query()?;
            list(&call, &admin, StatusCode::OK, query.done(), "", "").await
        }
        Method::POST => {
            let admin = session::writer(&call).await?;
            let form = form::posted(&mut call).await?;
            add(desk, &call, &admin, form).await
        }
        _ => Err(Problem::method_not_allowed("GET, HEAD, POST").into()),
    }
}

/// `GET` and `POST /admin/admins/{name}/link`: a new link for somebody who is on the list.
pub(super) async fn reset(desk: &Desk, mut call: Call, name: &str) -> Result<Response, Stop> {
    let admin = session::either(&call, HERE).await?;
    known(&call, name).await?;
    let action = format!("{HERE}/{name}/link");
    let question = Question {
        here: HERE,
        back: BACK,
        verb: "Make a new link for",
        name,
        lines: &[
            "You are shown a link, once. Whoever opens it sets the password for this name; it works once, within 24 hours.",
            "A link made for them before stops working.",
            "Their old password goes on working until the new one is set. Then all their sessions end.",
        ],
        action: &action,
        button: "Make the link",
        is_loss: false,
    };
    match sure::ask(desk, &mut call, &admin, question).await? {
        Some(page) => Ok(page),
        None => mint(&call, &admin, name, false).await,
    }
}

/// `GET` and `POST /admin/admins/{name}/remove`.
pub(super) async fn remove(desk: &Desk, mut call: Call, name: &str) -> Result<Response, Stop> {
    let admin = session::either(&call, HERE).await?;
    known(&call, name).await?;
    if name == admin.name {
        return Err(Problem::bad_request("You cannot remove yourself; another admin can.").into());
    }
    let action = format!("{HERE}/{name}/remove");
    let question = Question {
        here: HERE,
        back: BACK,
        verb: "Remove",
        name,
        lines: &[
            "They are signed out everywhere, at once.",
            "Their password stops working, any link they have, and any they made for others.",
            "What they did stays in the log under their name.",
        ],
        action: &action,
        button: "Remove",
        is_loss: true,
    };
    if let Some(page) = sure::ask(desk, &mut call, &admin, question).await? {
        return Ok(page);
    }
    let entry = link::about(admin.did("admin.removed"), name);
    call.app.store.remove_admin(admin.session, name.to_owned(), entry).await.map_err(Problem::from)?;
    Ok(reply::see_other(&format!("{HERE}?removed")))
}

async fn add(desk: &Desk, call: &Call, admin: &Admin, form: Form) -> Result<Response, Stop> {
    let name = form.name.trim();
    let (all, now) = (call.app.store.admins().await?, call.app.clock.now());
    let taken = all.admins.iter().map(|admin| &admin.name).chain(live(&all, now).map(|link| &link.admin));
    let alert = if !link::is_admin_name(name) {
        "Nobody was added: a name is 1 to 64 letters, digits, '_', '-' and '.', and begins with a letter or digit."
    } else if taken.into_iter().any(|taken| taken.eq_ignore_ascii_case(name)) {
        "Nobody was added: somebody of that name is on the list. To let them set a new password, make a new link there."
    } else if sign_in::is_theirs(desk, call, admin, form.password).await? {
        return mint(call, admin, name, true).await;
    } else {
        return list(call, admin, StatusCode::FORBIDDEN, "", "That is not your password. Nobody was added.", name)
            .await;
    };
    list(call, admin, StatusCode::BAD_REQUEST, "", alert, name).await
}

/// The page with the link. It is the answer to the form itself, and nothing leads to it again.
async fn mint(call: &Call, admin: &Admin, name: &str, is_new: bool) -> Result<Response, Stop> {
    let action = if is_new { "admin.added" } else { "admin.link_minted" };
    let (url, until) = link::mint_for(call, admin, name, action).await.map_err(Problem::from)?;
    let frame = Frame::new(&call.app, admin, HERE);
    Ok(html(StatusCode::OK, &Minted { frame, name, url: &url, until: When::minute(until), is_new })?)
}

/// The links that can still be used.
fn live(all: &Admins, now: Timestamp) -> impl Iterator<Item = &Link> {
    all.links.iter().filter(move |link| now < link.expires_at)
}

/// Refuses a name that is not on the list.
async fn known(call: &Call, name: &str) -> Result<(), Stop> {
    let all = call.app.store.admins().await?;
    let known = all.admins.iter().any(|a| a.name == name) || all.links.iter().any(|link| link.admin == name);
    if known { Ok(()) } else { Err(Problem::not_found().into()) }
}

/// The list with the form, which is filled in as it was sent, but for the password.
async fn list(
    call: &Call,
    admin: &Admin,
    status: StatusCode,
    done: &'static str,
    alert: &str,
    name: &str,
) -> Result<Response, Stop> {
    let now = call.app.clock.now();
    let all = call.app.store.admins().await?;
    call.app.store.record(admin.did("admins.listed")).await?;
    let open = sessions::open(&all, now);
    let (sessions, more) = sessions::shown(&open, admin, now);
    let sessions_of = |name: &str| open.iter().filter(|(_, session)| session.admin == name).count();
    let admins = rows(&all, admin, sessions_of, now);
    let page = Page {
        frame: Frame::new(&call.app, admin, HERE),
        done,
        alert,
        name: cut(name, FIELD).0,
        others: admins.len().saturating_sub(MOST),
        admins: admins.into_iter().take(MOST).collect(),
        sessions,
        more,
    };
    Ok(html(status, &page)?)
}

/// Those with a password and those with a link, by name.
fn rows(all: &Admins, me: &Admin, sessions: impl Fn(&str) -> usize, now: Timestamp) -> Vec<Row> {
    let links: BTreeMap<&str, &Link> = live(all, now).map(|link| (link.admin.as_str(), link)).collect();
    let link = |name: &str| links.get(name).map(|link| When::minute(link.expires_at));
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    for admin in &all.admins {
        let name = admin.name.as_str();
        let row = Row {
            name: name.to_owned(),
            is_me: name == me.name,
            set: Some(When::minute(admin.changed_at)),
            link: link(name),
            seen: admin.seen_at.map(|at| When::ago(at, now)),
            sessions: sessions(name),
        };
        rows.insert(name, row);
    }
    for name in links.keys() {
        let invited =
            || Row { name: (*name).to_owned(), is_me: false, set: None, link: link(name), seen: None, sessions: 0 };
        rows.entry(name).or_insert_with(invited);
    }
    rows.into_values().collect()
}
