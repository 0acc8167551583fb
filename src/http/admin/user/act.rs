//! Signing in as somebody: why, the password once more, and the link, once.

use askama::Template;
use serde::Deserialize;
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::object::here;
use crate::clerk::backend::{ACTOR_SESSION_LIFE, ACTOR_TOKEN_LIFE, Backend};
use crate::http::acting::{self, Error, LONGEST_REASON, Order, sign_in_as};
use crate::http::admin::alert::Alert;
use crate::http::admin::brief::{FIELD, cut};
use crate::http::admin::password::Password;
use crate::http::admin::session::Admin;
use crate::http::admin::view::{Frame, html};
use crate::http::admin::{Desk, Stop, entry, form, session, sign_in, view};
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::user::{User, UserRef};

/// What a reason may weigh when it is shown again, in bytes of HTML: one that is not too long fits.
const REASON: usize = 5 * 1024;

#[derive(Template)]
#[template(path = "act.html")]
struct Page<'a> {
    frame: Frame,
    address: String,
    name: String,
    /// Whether Clerk can be asked.
    has_key: bool,
    /// Whether Rollbook's own API takes such sessions.
    is_allowed: bool,
    minutes: (u32, u32),
    longest: usize,
    alert: Alert,
    reason: &'a str,
    actor: &'a str,
}

#[derive(Template)]
#[template(path = "act_link.html")]
struct Made<'a> {
    frame: Frame,
    address: String,
    name: String,
    minutes: (u32, u32),
    link: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    reason: String,
    #[serde(default)]
    actor: String,
    password: Password,
}

/// `GET` and `POST /admin/users/{id}/act`.
pub(in crate::http::admin) async fn serve(desk: &Desk, mut call: Call, id: &str) -> Result<Response, Stop> {
    let id = id.parse::<UserRef>();
    let admin = session::either(&call, &here(&id)).await?;
    call.no_query()?;
    let id = id.map_err(|_| Problem::not_found())?;
    let form: Option<Form> = if call.method == Method::POST { Some(form::posted(&mut call).await?) } else { None };
    let user = call.app.store.user(id.id())?.ok_or(Problem::not_found())?;
    let Some(form) = form else {
        call.app.store.record(admin.did("user.read").about(&user.clerk_id)).await?;
        return ask(&call, &admin, &user, StatusCode::OK, Alert::default(), None);
    };
    let Some(backend) = call.app.backend.clone() else {
        return ask(&call, &admin, &user, StatusCode::BAD_REQUEST, Alert::of("", "No link was made."), Some(&form));
    };
    if !sign_in::is_theirs(desk, &call, &admin, form.password.clone()).await? {
        let alert = acting::reason(&form.reason).err().map_or_else(Alert::default, |error| refusal(&error));
        let alert = alert.and("password", "That is not your password. No link was made.");
        return ask(&call, &admin, &user, StatusCode::FORBIDDEN, alert, Some(&form));
    }
    act(&call, &admin, &user, &backend, &form).await
}

async fn act(call: &Call, admin: &Admin, user: &User, backend: &Backend, form: &Form) -> Result<Response, Stop> {
    let store = &call.app.store;
    let Ok(actor) = form::filled(Some(&form.actor)).map(str::parse).transpose() else {
        return ask(call, admin, user, StatusCode::BAD_REQUEST, refusal(&Error::Actor), Some(form));
    };
    let order = Order { user: UserRef::Id(user.id), actor, reason: form.reason.clone() };
    match sign_in_as(store, backend, order, admin.did("actor_token.created")).await {
        Ok(link) => made(call, admin, user, &link),
        Err(Error::Store(error)) => Err(error.into()),
        Err(error) => {
            let status = if error.is_theirs() { StatusCode::BAD_REQUEST } else { StatusCode::BAD_GATEWAY };
            ask(call, admin, user, status, refusal(&error), Some(form))
        }
    }
}

fn refusal(error: &Error) -> Alert {
    let field = match error {
        Error::Reason => "reason",
        Error::Actor | Error::Same => "actor",
        _ => "",
    };
    Alert::of(field, format!("No link was made: {error}."))
}

/// The page that asks why. Without a key it says what to set.
fn ask(
    call: &Call,
    admin: &Admin,
    user: &User,
    status: StatusCode,
    alert: Alert,
    typed: Option<&Form>,
) -> Result<Response, Stop> {
    let page = Page {
        frame: Frame::new(&call.app, admin, "/admin/users"),
        address: format!("{}{}", view::USER, user.id),
        name: view::name(&entry::call_name(user)),
        has_key: call.app.backend.is_some(),
        is_allowed: call.app.settings.allow_impersonation,
        minutes: MINUTES,
        longest: LONGEST_REASON,
        alert,
        reason: typed.map_or("", |form| cut(&form.reason, REASON).0),
        actor: typed.map_or("", |form| cut(&form.actor, FIELD).0),
    };
    Ok(html(status, &page)?)
}

/// The page with the link. It is the answer to the form itself, and nothing leads to it again.
fn made(call: &Call, admin: &Admin, user: &User, link: &str) -> Result<Response, Stop> {
    let page = Made {
        frame: Frame::new(&call.app, admin, "/admin/users"),
        address: format!("{}{}", view::USER, user.id),
        name: view::name(&entry::call_name(user)),
        minutes: MINUTES,
        link,
    };
    Ok(html(StatusCode::OK, &page)?)
}

/// How long the link works, and the session that it opens.
const MINUTES: (u32, u32) = (ACTOR_TOKEN_LIFE / 60, ACTOR_SESSION_LIFE / 60);
