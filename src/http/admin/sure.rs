//! The page between a button and what it does: what will happen, and the password once more.

use askama::Template;
use serde::Deserialize;
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::alert::Alert;
use super::password::Password;
use super::session::Admin;
use super::view::{Frame, html};
use super::{Desk, Stop, form, sign_in};
use crate::http::call::Call;

/// What the page says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    /// The page it belongs to, an address of the navigation's.
    pub(super) here: &'static str,
    /// Where the way back leads, and how that is called.
    pub(super) back: (&'a str, &'a str),
    /// `Remove`; the heading is this, the name and a question mark.
    pub(super) verb: &'static str,
    /// Whom it is about.
    pub(super) name: &'a str,
    /// What will happen, a sentence each.
    pub(super) lines: &'a [&'a str],
    /// Where the form is sent.
    pub(super) action: &'a str,
    /// What the button says.
    pub(super) button: &'static str,
    /// Whether something is lost by it.
    pub(super) is_loss: bool,
}

#[derive(Template)]
#[template(path = "sure.html")]
struct Page<'a> {
    frame: Frame,
    question: Question<'a>,
    alert: Alert,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    password: Password,
}

/// Asks on `GET`, and hears the answer on `POST`: the page to send, or `None` when the admin is sure and has proved who
/// they are.
///
/// # Errors
/// 429 when the password was wrong too often; those of [`form::posted`].
pub(super) async fn ask(
    desk: &Desk,
    call: &mut Call,
    admin: &Admin,
    question: Question<'_>,
) -> Result<Option<Response>, Stop> {
    let page = |call: &Call, status, alert| {
        html(status, &Page { frame: Frame::new(&call.app, admin, question.here), question, alert })
    };
    call.no_query()?;
    if call.method == Method::GET {
        return Ok(Some(page(call, StatusCode::OK, Alert::default())?));
    }
    let Form { password } = form::posted(call).await?;
    if sign_in::is_theirs(desk, call, admin, password).await? {
        return Ok(None);
    }
    let alert = Alert::of("password", "That is not your password. Nothing was done.");
    Ok(Some(page(call, StatusCode::FORBIDDEN, alert)?))
}
