//! An admin's own password, set anew by whoever knows the old one.

use askama::Template;
use serde::Deserialize;
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::admins::HERE;
use super::password::Password;
use super::session::Admin;
use super::view::{Frame, html};
use super::{Desk, Stop, form, session, sign_in};
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::reply;
use crate::store;

#[derive(Template)]
#[template(path = "password.html")]
struct Page<'a> {
    frame: Frame,
    alert: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    current: Password,
    password: Password,
    again: Password,
}

/// `GET` and `POST /admin/password`.
pub(super) async fn serve(desk: &Desk, mut call: Call) -> Result<Response, Stop> {
    let admin = session::either(&call, HERE).await?;
    call.no_query()?;
    if call.method == Method::GET {
        return show(&call, &admin, StatusCode::OK, "");
    }
    let form = form::posted(&mut call).await?;
    change(desk, &call, &admin, form).await
}

fn show(call: &Call, admin: &Admin, status: StatusCode, alert: &str) -> Result<Response, Stop> {
    Ok(html(status, &Page { frame: Frame::new(&call.app, admin, HERE), alert })?)
}

async fn change(desk: &Desk, call: &Call, admin: &Admin, form: Form) -> Result<Response, Stop> {
    let Form { current, password, again } = form;
    let alert = if !password.is(&again) {
        Err("Those were two different new passwords. Please type the same one twice.")
    } else if password.is(&current) {
        Err("That is the password you have. Please choose another.")
    } else {
        password.fits(&admin.name)
    };
    if let Err(alert) = alert {
        return show(call, admin, StatusCode::BAD_REQUEST, alert);
    }
    if !sign_in::is_theirs(desk, call, admin, current).await? {
        return show(call, admin, StatusCode::FORBIDDEN, "That is not your current password. Nothing was changed.");
    }
    let password = desk.passwords.hash(password).await?;
    let now = call.app.clock.now();
    let changed = store::Admin { name: admin.name.clone(), password, changed_at: now, seen_at: Some(now) };
    let (token, session) = session::begin(call, &admin.name, now)?;
    let entry = admin.did("admin.password_changed").with("ip", Some(call.ip.to_string()));
    let kept = call.app.store.change_password(admin.session, changed, (token.hash(), session), entry).await;
    kept.map_err(Problem::from)?;
    let mut response = reply::see_other(&format!("{HERE}?changed"));
    session::hand_over(&mut response, &token);
    Ok(response)
}
