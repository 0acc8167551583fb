//! `/api/users/{id}/sessions`: where somebody is signed in, or was.

use serde::Deserialize;
use warp::reply::Response;

use super::call::Call;
use super::mirror::{Reader, SESSION, SessionJson};
use super::problem::Problem;
use super::reply;
use crate::event::ObjectKey;
use crate::page::{Cursor, Limit, PageRequest};
use crate::user::UserRef;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor>,
}

/// A page of one user's sessions, newest first, for that user and for admins.
pub(super) async fn list(call: Call, user: UserRef) -> Result<Response, Problem> {
    call.get_only()?;
    let caller = call.caller().await?;
    let ListQuery { limit, cursor } = call.query()?;
    let user = call.readable(&caller, &user, "sessions.listed").await?;
    let parent = ObjectKey { kind: "user".to_owned(), id: user.clerk_id.clone() };
    let page = call.app.store.children(parent, SESSION, PageRequest { limit, cursor }).await?;
    let reader = if caller.is_admin() { Reader::Admin } else { Reader::Owner };
    let now = call.app.clock.now();
    let shown = page.items.iter().filter_map(|(key, session)| {
        session.body.as_ref().map(|body| SessionJson::new(key, body, reader, now))
    });
    Ok(reply::page(&shown.collect::<Vec<_>>(), page.next_cursor.as_ref()))
}
