//! The targets: the list, and the form that adds one.

pub(super) mod acts;
mod fields;
pub(super) mod one;
pub(super) mod secret;

use askama::Template;
use serde::Deserialize;
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use self::fields::{Choice, KINDS, Typed, WAYS, Wrong, refusal, start, target};
use super::alert::Alert;
use super::brief::brief;
use super::password::Password;
use super::session::{self, Admin};
use super::view::{Frame, html, number};
use super::when::When;
use super::{Desk, Stop, form, sign_in};
use crate::audit::{Actor, Source};
use crate::checks::{self, Level};
use crate::clock::Timestamp;
use crate::forward::{Origin, Status};
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::reply;
use crate::store::By;
use crate::target::TargetName;

const HERE: &str = "/admin/targets";

/// What an address may weigh in the list, in bytes of HTML, and what is said about a target.
const ADDRESS: usize = 256;
const SENTENCE: usize = 512;

/// What a name is, and that the one given is none.
const NAME: Wrong = ("name", "its name is 1 to 32 characters out of a to z, 0 to 9 and “-”, and begins with a letter");

#[derive(Template)]
#[template(path = "targets.html")]
struct Page {
    frame: Frame,
    rows: Vec<Row>,
    done: &'static str,
    alert: Alert,
    typed: Typed,
    kinds: &'static [Choice],
    ways: &'static [Choice],
    can_bear: bool,
}

/// A target in the list.
struct Row {
    name: String,
    kind: &'static str,
    url: String,
    is_of_settings: bool,
    state: State,
    delivered: String,
    delivered_at: Option<When>,
}

/// How a target stands.
struct State {
    word: String,
    tone: &'static str,
    sentence: String,
    is_paused: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    removed: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    name: String,
    url: String,
    kind: String,
    types: String,
    bearer: Option<String>,
    from: String,
    entry: String,
    day: String,
    secret: String,
    password: Password,
}

/// `GET` and `POST /admin/targets`.
pub(super) async fn serve(desk: &Desk, mut call: Call) -> Result<Response, Stop> {
    let admin = session::either(&call, HERE).await?;
    if call.method == Method::GET {
        let query: Query = call.query()?;
        let done = query.removed.map_or("", |_| "Removed. It is told nothing any more.");
        return list(&call, &admin, StatusCode::OK, done, Alert::default(), Typed::proposed());
    }
    call.no_query()?;
    let form = form::posted(&mut call).await?;
    add(desk, &call, &admin, form).await
}

async fn add(desk: &Desk, call: &Call, admin: &Admin, form: Form) -> Result<Response, Stop> {
    let Form { name, url, kind, types, bearer, from, entry, day, secret, password } = form;
    let typed = Typed { name, url, kind, types, bearer: bearer.is_some(), from, entry, day };
    let refused = |status, alert: Alert| list(call, admin, status, "", alert, typed.cut());
    let read = || {
        let name: TargetName = typed.name.trim().parse().map_err(|_| NAME)?;
        if name == TargetName::of_settings() {
            return Err(("name", "that name is kept for the target that the settings name"));
        }
        Ok((target(name, &typed)?, secret::read(&secret)?, start(&typed, call.app.clock.now())?))
    };
    let (target, secret, start) = match read() {
        Ok(read) => read,
        Err((field, cause)) => {
            return refused(StatusCode::BAD_REQUEST, Alert::of(field, format!("Nothing was added: {cause}.")));
        }
    };
    if !sign_in::is_theirs(desk, call, admin, password).await? {
        let alert = Alert::of("password", "That is not your password. Nothing was added.");
        return refused(StatusCode::FORBIDDEN, alert);
    }
    let (name, is_theirs) = (target.name.clone(), secret.is_some());
    match call.app.forwarder.add(target, secret, start, by(admin)).await {
        Ok(_) if is_theirs => Ok(reply::see_other(&format!("{}?done=added", address(&name)))),
        Ok(secret) => secret::made(call, admin, &name, &secret),
        Err(error) => refused(StatusCode::BAD_REQUEST, refusal("Nothing was added", error)?),
    }
}

/// The list with the form, which is filled in as it was sent, but for password and secret.
fn list(
    call: &Call,
    admin: &Admin,
    status: StatusCode,
    done: &'static str,
    alert: Alert,
    typed: Typed,
) -> Result<Response, Stop> {
    let now = call.app.clock.now();
    let page = Page {
        frame: Frame::new(&call.app, admin, HERE),
        rows: call.app.forwarder.all().iter().map(|status| Row::new(status, now)).collect(),
        done,
        alert,
        typed,
        kinds: &KINDS,
        ways: &WAYS,
        can_bear: call.app.backend.is_some(),
    };
    Ok(html(status, &page)?)
}

/// The target that an address names.
fn known(call: &Call, name: &str) -> Result<Status, Problem> {
    let name = name.parse().map_err(|_| Problem::not_found())?;
    call.app.forwarder.status(&name).ok_or_else(Problem::not_found)
}

/// The page of a target.
fn address(name: &TargetName) -> String {
    format!("{HERE}/{name}")
}

fn by(admin: &Admin) -> By {
    By { actor: Actor::Admin(admin.name.clone()), source: Source::Admin }
}

impl Row {
    fn new(status: &Status, now: Timestamp) -> Self {
        let course = &status.course;
        Self {
            name: status.target.name.to_string(),
            kind: fields::word(status.target.kind),
            url: brief(&status.target.url, ADDRESS),
            is_of_settings: status.origin == Origin::Settings,
            state: State::new(status, now),
            delivered: number(course.delivered),
            delivered_at: course.delivered_at.map(|at| When::ago(at, now)),
        }
    }
}

impl State {
    fn new(status: &Status, now: Timestamp) -> Self {
        let standing = checks::standing(status, now);
        let tone = match standing.level {
            Level::Failure => "bad",
            Level::Warning => "warn",
            Level::Ok if standing.found.is_empty() => "good",
            Level::Ok => "",
        };
        Self {
            word: fields::capital(standing.word),
            tone,
            sentence: fields::sentence(&standing.found, SENTENCE),
            is_paused: status.course.paused,
        }
    }
}
