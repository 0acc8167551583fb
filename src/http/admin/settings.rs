//! The settings as they are in force, and where each is from.

use askama::Template;
use warp::http::StatusCode;
use warp::reply::Response;

use super::view::{Frame, html};
use super::{Stop, session};
use crate::http::InForce;
use crate::http::call::Call;

const HERE: &str = "/admin/settings";

#[derive(Template)]
#[template(path = "settings.html")]
struct Page<'a> {
    frame: Frame,
    rows: &'a [InForce],
}

/// `GET /admin/settings`.
pub(super) async fn show(call: Call) -> Result<Response, Stop> {
    let admin = session::reader(&call, HERE).await?;
    call.no_query()?;
    let page = Page { frame: Frame::new(&call.app, &admin, HERE), rows: &call.app.settings.in_force };
    Ok(html(StatusCode::OK, &page)?)
}
