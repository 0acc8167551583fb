//! Somebody of whom the log alone still tells.

use askama::Template;
use warp::http::StatusCode;
use warp::reply::Response;

use super::around::MOST;
use crate::audit::Filter;
use crate::http::admin::Stop;
use crate::http::admin::entry::{Row, Rows};
use crate::http::admin::session::Admin;
use crate::http::admin::view::{Frame, USER, html};
use crate::http::admin::when::When;
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::page::PageRequest;
use crate::user::ClerkId;

#[derive(Template)]
#[template(path = "gone.html")]
struct Page {
    frame: Frame,
    clerk_id: String,
    address: String,
    deleted: Option<When>,
    rows: Vec<Row>,
    more: bool,
}

/// The page of somebody without a record.
///
/// # Errors
/// 404 when the log knows nothing of them either.
pub(super) async fn show(call: &Call, admin: &Admin, id: &ClerkId) -> Result<Response, Stop> {
    let store = &call.app.store;
    let about = Filter { subject: Some(id.clone()), ..Filter::default() };
    let mut timeline = store.audit(about, PageRequest::default()).await?;
    // Before anything is recorded about them: an id that was made up shall leave no trace.
    if timeline.items.is_empty() {
        return Err(Problem::not_found().into());
    }
    store.record(admin.did("user.read").about(id)).await?;
    let more = timeline.next_cursor.is_some() || timeline.items.len() > MOST;
    timeline.items.truncate(MOST);
    let page = Page {
        frame: Frame::new(&call.app, admin, "/admin/users"),
        clerk_id: id.to_string(),
        address: format!("{USER}{id}"),
        deleted: store.deleted_at(id)?.map(When::minute),
        rows: Rows::new(store, call.app.clock.now()).about(id).of(timeline.items)?,
        more,
    };
    Ok(html(StatusCode::OK, &page)?)
}
