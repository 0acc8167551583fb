//! What a target checks our signatures with: given or made, and shown once.

use askama::Template;
use serde::Deserialize;
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::super::alert::Alert;
use super::super::password::Password;
use super::super::session::{self, Admin};
use super::super::view::{Frame, html};
use super::super::{Desk, Stop, form, sign_in};
use super::fields::{Wrong, refusal};
use super::one::{Done, done};
use super::{HERE, address, by, known};
use crate::forward::{Secret, Status};
use crate::http::call::Call;
use crate::target::TargetName;

#[derive(Template)]
#[template(path = "target_new_secret.html")]
struct Page<'a> {
    frame: Frame,
    address: String,
    name: &'a str,
    has_secret: bool,
    alert: Alert,
}

#[derive(Template)]
#[template(path = "target_secret.html")]
struct Made<'a> {
    frame: Frame,
    address: String,
    name: &'a str,
    secret: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    secret: String,
    password: Password,
}

/// `GET` and `POST /admin/targets/{name}/secret`.
pub(in super::super) async fn serve(desk: &Desk, mut call: Call, name: &str) -> Result<Response, Stop> {
    let admin = session::either(&call, HERE).await?;
    call.no_query()?;
    let status = known(&call, name)?;
    if call.method == Method::GET {
        return ask(&call, &admin, &status, StatusCode::OK, Alert::default());
    }
    let Form { secret, password } = form::posted(&mut call).await?;
    let refused = |code, alert: Alert| ask(&call, &admin, &status, code, alert);
    let secret = match read(&secret) {
        Ok(secret) => secret,
        Err((field, cause)) => {
            return refused(StatusCode::BAD_REQUEST, Alert::of(field, format!("Nothing was changed: {cause}.")));
        }
    };
    if !sign_in::is_theirs(desk, &call, &admin, password).await? {
        let alert = Alert::of("password", "That is not your password. Nothing was changed.");
        return refused(StatusCode::FORBIDDEN, alert);
    }
    let (name, is_theirs) = (status.target.name.clone(), secret.is_some());
    match call.app.forwarder.renew_secret(name.clone(), secret, by(&admin)).await {
        Ok(_) if is_theirs => Ok(done(&status, Done::Secret)),
        Ok(secret) => made(&call, &admin, &name, &secret),
        Err(error) => refused(StatusCode::BAD_REQUEST, refusal("Nothing was changed", error)?),
    }
}

fn ask(call: &Call, admin: &Admin, status: &Status, code: StatusCode, alert: Alert) -> Result<Response, Stop> {
    let name = &status.target.name;
    let page = Page {
        frame: Frame::new(&call.app, admin, HERE),
        address: address(name),
        name: name.as_str(),
        has_secret: status.has_secret,
        alert,
    };
    Ok(html(code, &page)?)
}

/// The page with the secret. It is the answer to the form itself, and nothing leads to it again.
pub(super) fn made(call: &Call, admin: &Admin, name: &TargetName, secret: &Secret) -> Result<Response, Stop> {
    let page = Made {
        frame: Frame::new(&call.app, admin, HERE),
        address: address(name),
        name: name.as_str(),
        secret: secret.reveal(),
    };
    Ok(html(StatusCode::OK, &page)?)
}

/// The secret that was typed, if one was.
///
/// # Errors
/// What is wrong with it, in words behind a colon.
pub(super) fn read(typed: &str) -> Result<Option<Secret>, Wrong> {
    match typed.trim() {
        "" => Ok(None),
        text => text
            .parse()
            .map(Some)
            .map_err(|_| ("secret", "a signing secret is whsec_ and 24 to 64 random bytes in base64")),
    }
}
