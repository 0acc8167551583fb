//! `/api/users/{id}/sessions`: where somebody is signed in, or was.

use warp::reply::Response;

use super::call::Call;
use super::mirror::{Reader, SESSION, SessionJson};
use super::problem::Problem;
use super::query::ObjectsQuery;
use super::reply::{self, PageOf};
use super::route::{Operation, Route, Who};
use crate::api_key::Scope;
use crate::event::ObjectKey;
use crate::user::UserRef;

/// The sessions of a user.
pub(super) fn routes() -> Vec<Route> {
    let list = Operation::new("listUserSessions", "List a user's sessions", list)
        .tag("Users")
        .describe("Newest first. Who impersonates a user, and from where, is not shown to that user.")
        .by(Who::SelfOr(Scope::UsersRead))
        .query::<ObjectsQuery>()
        .answers::<PageOf<'_, SessionJson>>(200, "A page of sessions.")
        .problems(&[404]);
    vec![Route::at("/api/users/{id}/sessions").get(list)]
}

/// A page of one user's sessions, newest first, for that user and for admins.
async fn list(call: Call) -> Result<Response, Problem> {
    let user: UserRef = call.part("id")?;
    let caller = call.caller().await?;
    let query: ObjectsQuery = call.query()?;
    let user = call.readable(&caller, Scope::UsersRead, &user, "sessions.listed").await?;
    let parent = ObjectKey { kind: "user".to_owned(), id: user.clerk_id.clone() };
    let page = call.app.store.children(parent, SESSION, query.into()).await?;
    let reader = if caller.may(Scope::UsersRead) { Reader::Admin } else { Reader::Owner };
    let now = call.app.clock.now();
    let shown = page
        .items
        .iter()
        .filter_map(|(key, session)| session.body.as_ref().map(|body| SessionJson::new(key, body, reader, now)));
    Ok(reply::page(&shown.collect::<Vec<_>>(), page.next_cursor.as_ref()))
}
