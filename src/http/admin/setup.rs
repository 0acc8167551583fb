//! The page behind a single-use link, where an admin sets the password.

use askama::Template;
use serde::Deserialize;
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::password::Password;
use super::token::Token;
use super::{Desk, Stop, form, session, view};
use crate::audit::{Actor, Draft, Source};
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::reply;
use crate::store::{self, Link, TokenHash};

#[derive(Template)]
#[template(path = "setup.html")]
struct Page<'a> {
    frame: view::Bare,
    admin: &'a str,
    token: &'a str,
    alert: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    #[serde(default)]
    token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    token: String,
    password: Password,
    again: Password,
}

/// `GET` and `POST /admin/setup`.
pub(super) async fn serve(desk: &Desk, mut call: Call) -> Result<Response, Stop> {
    match call.method {
        Method::GET => show(desk, &call),
        Method::POST => {
            let form = form::posted(&mut call).await?;
            set(desk, &call, form).await
        }
        _ => Err(Problem::method_not_allowed("GET, HEAD, POST").into()),
    }
}

fn show(desk: &Desk, call: &Call) -> Result<Response, Stop> {
    let query: Query = call.query()?;
    let (_, link) = redeemable(desk, call, &query.token)?;
    let page = Page { frame: view::Bare::new(), admin: &link.admin, token: &query.token, alert: "" };
    Ok(view::html(StatusCode::OK, &page)?)
}

async fn set(desk: &Desk, call: &Call, form: Form) -> Result<Response, Stop> {
    let (hash, Link { admin, .. }) = redeemable(desk, call, &form.token)?;
    let different = "Those were two different passwords. Please type the same one twice.";
    let same = if form.password.is(&form.again) { Ok(()) } else { Err(different) };
    if let Err(alert) = same.and_then(|()| form.password.fits(&admin)) {
        let page = Page { frame: view::Bare::new(), admin: &admin, token: &form.token, alert };
        return Ok(view::html(StatusCode::BAD_REQUEST, &page)?);
    }
    let password = desk.passwords.hash(form.password).await?;
    let now = call.app.clock.now();
    let draft = Draft::new("admin.password_set", Actor::Admin(admin.clone()), Source::Admin)
        .with("ip", Some(call.ip.to_string()));
    let changed = store::Admin { name: admin.clone(), password, changed_at: now, seen_at: Some(now) };
    // Of two who come with the same link, one is first.
    let Some(since) = call.app.store.redeem_link(hash, changed, now, draft).await? else { return Err(Stop::NoLink) };
    let mut response = reply::see_other("/admin");
    session::open(call, &admin, since, &mut response).await?;
    Ok(response)
}

/// The live link whose secret that is.
fn redeemable(desk: &Desk, call: &Call, token: &str) -> Result<(TokenHash, Link), Stop> {
    let now = call.app.clock.now();
    if token.is_empty() {
        return Err(Stop::NoLink);
    }
    desk.links.open(now).map_err(|seconds| {
        let rest = "Too many wrong links were tried. Links are looked at again in a quarter of an hour.";
        Problem::too_many_requests(rest, seconds)
    })?;
    let hash = Token::parse(token).map(|token| token.hash());
    let link = match &hash {
        Some(hash) => call.app.store.link(hash)?,
        None => None,
    };
    match (hash, link) {
        (Some(hash), Some(link)) if now < link.expires_at => Ok((hash, link)),
        (_, Some(_)) => Err(Stop::NoLink),
        (_, None) => {
            desk.links.wrong(now);
            call.app.tally.refused("admin.link_refused", "wrong");
            Err(Stop::NoLink)
        }
    }
}
