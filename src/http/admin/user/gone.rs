//! Somebody of whom the log alone still tells.

use askama::Template;
use warp::http::StatusCode;
use warp::reply::Response;

use super::timeline::Timeline;
use crate::http::admin::Stop;
use crate::http::admin::session::Admin;
use crate::http::admin::view::{Frame, USER, html};
use crate::http::admin::when::When;
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::user::ClerkId;

#[derive(Template)]
#[template(path = "gone.html")]
struct Page {
    frame: Frame,
    clerk_id: String,
    address: String,
    deleted: Option<When>,
    timeline: Timeline,
}

/// The page of somebody without a record.
///
/// # Errors
/// 404 when the log knows nothing of them either.
pub(super) async fn show(call: &Call, admin: &Admin, id: &ClerkId) -> Result<Response, Stop> {
    let store = &call.app.store;
    let timeline = Timeline::read(call, id).await?;
    // Before anything is recorded about them: an id that was made up shall leave no trace.
    if timeline.is_empty() {
        return Err(Problem::not_found().into());
    }
    store.record(admin.did("user.read").about(id)).await?;
    let page = Page {
        frame: Frame::new(&call.app, admin, "/admin/users"),
        clerk_id: id.to_string(),
        address: format!("{USER}{id}"),
        deleted: store.deleted_at(id)?.map(When::minute),
        timeline,
    };
    Ok(html(StatusCode::OK, &page)?)
}
