//! Clerk's object as it was mirrored, whole.

use warp::reply::Response;

use super::card::pretty;
use crate::http::admin::brief::visible;
use crate::http::admin::{Stop, csrf, session, view};
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::user::{BadId, UserRef};

/// `GET /admin/users/{id}/object`: a file, which no browser shows, however hostile it is.
pub(in crate::http::admin) async fn show(call: Call, id: &str) -> Result<Response, Stop> {
    csrf::check_get(&call.headers, &call.app.settings.public_origin)?;
    let id = id.parse::<UserRef>();
    let admin = session::reader(&call, &here(&id)).await?;
    call.no_query()?;
    let store = &call.app.store;
    let user = store.user(id.map_err(|_| Problem::not_found())?.id())?.ok_or(Problem::not_found())?;
    store.record(admin.did("user.read").about(&user.clerk_id)).await?;
    let body = Response::new(visible(&pretty(user.clerk.as_str())).into());
    Ok(view::attachment(&format!("user-{}.json", user.id), "application/json", body))
}

/// The page of the person, or of all where the id is none: nothing is said about it to somebody who is not signed in.
pub(super) fn here(id: &Result<UserRef, BadId>) -> String {
    id.as_ref().map_or_else(|_| "/admin/users".to_owned(), |id| format!("{}{}", view::USER, id.id()))
}
