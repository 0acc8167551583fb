//! Signing in and out.

use askama::Template;
use serde::Deserialize;
use warp::http::header::RETRY_AFTER;
use warp::http::{HeaderValue, Method, StatusCode};
use warp::reply::Response;

use super::password::Password;
use super::session::Admin;
use super::{Desk, Stop, form, link, session, view};
use crate::audit::{Actor, Draft, Source};
use crate::http::call::Call;
use crate::http::events;
use crate::http::problem::Problem;
use crate::http::reply;
use crate::store;
use crate::user::UserId;

/// What somebody is told who was wrong too often.
pub(super) const LOCKED: &str = "Too many failed attempts. Please wait a while.";

#[derive(Template)]
#[template(path = "sign_in.html")]
struct Page<'a> {
    frame: view::Bare,
    name: &'a str,
    next: &'a str,
    alert: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    name: String,
    password: Password,
    #[serde(default)]
    next: String,
}

/// `GET` and `POST /admin/sign-in`.
pub(super) async fn serve(desk: &Desk, mut call: Call) -> Result<Response, Stop> {
    match call.method {
        Method::GET => show(&call).await,
        Method::POST => {
            let form = form::posted(&mut call).await?;
            enter(desk, &call, form).await
        }
        _ => Err(Problem::method_not_allowed("GET, HEAD, POST").into()),
    }
}

/// `POST /admin/sign-out`.
pub(super) async fn out(mut call: Call) -> Result<Response, Stop> {
    let admin = session::writer(&call).await?;
    let form::Nothing {} = form::posted(&mut call).await?;
    let mut response = reply::see_other("/admin/sign-in");
    session::close(&call, &admin, &mut response).await?;
    Ok(response)
}

/// The address of the sign-in page that leads on to `next`.
pub(super) fn address(next: &str) -> String {
    match in_app(next).as_str() {
        "/admin" => "/admin/sign-in".to_owned(),
        // Our own paths need no escaping.
        next => format!("/admin/sign-in?next={next}"),
    }
}

async fn show(call: &Call) -> Result<Response, Stop> {
    let query: Query = call.query()?;
    let next = in_app(&query.next);
    if session::signed_in(call).await?.is_some() {
        return Ok(reply::see_other(&next));
    }
    if !call.app.store.has_admin()? {
        return Err(Stop::NoAdmin);
    }
    Ok(view::html(StatusCode::OK, &Page { frame: view::Bare::new(), name: "", next: &next, alert: "" })?)
}

async fn enter(desk: &Desk, call: &Call, form: Form) -> Result<Response, Stop> {
    // Taken before the password is looked up: a session is worth nothing if the password changed since.
    let since = call.app.clock.now();
    let next = in_app(&form.next);
    let again = |status, alert| {
        let page = Page { frame: view::Bare::new(), name: &form.name, next: &next, alert };
        view::html(status, &page)
    };
    let admin = match prove(desk, call, &form.name, form.password).await? {
        Proof::Right(admin) => admin,
        Proof::Wrong => return Ok(again(StatusCode::UNAUTHORIZED, "That name and password do not belong together.")?),
        Proof::Locked(seconds) => {
            let mut page = again(StatusCode::TOO_MANY_REQUESTS, LOCKED)?;
            page.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            return Ok(page);
        }
    };
    let mut response = reply::see_other(&next);
    // The password that was proved may have been set by a clock that has been turned back since.
    session::open(call, &admin.name, since.max(admin.changed_at), &mut response).await?;
    Ok(response)
}

/// What a name and a password prove.
pub(super) enum Proof {
    /// That it is this admin.
    Right(store::Admin),
    /// Nothing.
    Wrong,
    /// Nothing was looked at: there were too many wrong ones, for so many seconds more.
    Locked(u64),
}

/// Looks whether somebody who wants to come in knows the admin's password. Strangers who do not are counted.
///
/// # Errors
/// 500 when it cannot be checked, 503 when the store fails.
async fn prove(desk: &Desk, call: &Call, name: &str, password: Password) -> Result<Proof, Problem> {
    let proof = check(desk, call, name, password).await?;
    match proof {
        Proof::Right(_) => {}
        Proof::Wrong => call.app.tally.refused("admin.sign_in_failed", "refused"),
        Proof::Locked(_) => call.app.tally.refused("admin.sign_in_failed", "locked"),
    }
    Ok(proof)
}

/// Looks whether an admin who is signed in knows the password. If not, somebody may sit at the admin's browser: the entry
/// says whose.
///
/// # Errors
/// 500 when it cannot be checked, 503 when the store fails.
pub(super) async fn prove_again(desk: &Desk, call: &Call, admin: &Admin, password: Password) -> Result<Proof, Problem> {
    let proof = check(desk, call, &admin.name, password).await?;
    match proof {
        Proof::Right(_) => {}
        Proof::Wrong => {
            let entry = admin.did("admin.password_refused").ended("denied", "wrong");
            call.app.store.record(entry).await?;
        }
        Proof::Locked(_) => call.app.tally.refused("admin.password_refused", "locked"),
    }
    Ok(proof)
}

/// Looks whether the password is the admin's, within the limits of how often somebody may be wrong.
async fn check(desk: &Desk, call: &Call, name: &str, password: Password) -> Result<Proof, Problem> {
    if let Err(seconds) = desk.sign_ins.begin(name, call.ip, call.app.clock.now()) {
        return Ok(Proof::Locked(seconds));
    }
    let admin = if link::is_admin_name(name) { call.app.store.admin(name)? } else { None };
    let stored = admin.as_ref().map(|admin| admin.password.clone());
    let verdict = desk.passwords.check(password, stored).await?;
    let Some(admin) = admin.filter(|_| verdict.right) else { return Ok(Proof::Wrong) };
    desk.sign_ins.succeeded(name, call.ip);
    if let Some(renewed) = verdict.renewed {
        // The same password, hashed at today's cost; unless another was set in the meantime.
        let draft = Draft::new("admin.password_rehashed", Actor::Admin(admin.name.clone()), Source::Admin);
        call.app.store.rehash_password(admin.name.clone(), admin.password.clone(), renewed, draft).await?;
    }
    Ok(Proof::Right(admin))
}

/// Whether the password sent along with a form is that of the admin who sends it.
///
/// # Errors
/// 429 when it was wrong too often, and those of [`prove_again`].
pub(super) async fn is_theirs(desk: &Desk, call: &Call, admin: &Admin, password: Password) -> Result<bool, Problem> {
    match prove_again(desk, call, admin, password).await? {
        Proof::Right(_) => Ok(true),
        Proof::Wrong => Ok(false),
        Proof::Locked(seconds) => Err(Problem::too_many_requests(LOCKED, seconds)),
    }
}

/// Where to go after signing in: one of our own pages, `/admin` for anything else.
fn in_app(next: &str) -> String {
    let user = || next.strip_prefix(view::USER)?.parse::<UserId>().ok();
    let is_entry = || next.strip_prefix("/admin/audit/").is_some_and(|seq| events::number(seq).is_some());
    if view::is_page(next) || is_entry() {
        return next.to_owned();
    }
    user().map_or_else(|| "/admin".to_owned(), |id| format!("{}{id}", view::USER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leads_on_to_our_own_pages_alone() {
        let user = "/admin/users/0199c1a0-0000-7000-8000-000000000001";
        for ours in ["/admin/users", "/admin/audit", "/admin/quarantine", "/admin/keys", "/admin/audit/812", user] {
            assert_eq!(in_app(ours), ours);
        }
        for theirs in ["", "//evil", "https:evil", "/\\evil", "/admin/users\r\nx: y", "/admin/../x", "/admin/users/.."]
        {
            assert_eq!(in_app(theirs), "/admin", "{theirs}");
        }
        assert_eq!(address("/admin/audit"), "/admin/sign-in?next=/admin/audit");
        assert_eq!(address("//evil"), "/admin/sign-in");
    }
}
