//! `DELETE /api/users/{id}` for admins, and `DELETE /api/users/webhook/{id}` for whoever can sign like Clerk. Both leave
//! what an event of Clerk's that deletes the user leaves.

use serde_json::{Map, Value};
use warp::reply::Response;

use super::revision::{EXPECTED, expected};
use crate::api_key::Scope;
use crate::event::Change;
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::reply;
use crate::http::route::{Operation, Who};
use crate::http::webhook::{self, Delivered, SIGNED};
use crate::user::{UserId, UserRef};

pub(super) fn operation() -> Operation {
    Operation::new("deleteUser", "Delete a user", delete)
        .tag("Users")
        .describe(
            "Here, and not at Clerk: the record stays without its Clerk id, or goes with `ROLLBOOK_DELETE=hard`. It is final; \
             neither an event nor a token brings the user back.",
        )
        .by(Who::Admin(Scope::UsersWrite))
        .header(EXPECTED)
        .answers_bare(204, "The user is deleted, now or before.")
        .problems(&[404, 412])
}

pub(super) fn by_webhook() -> Operation {
    let operation = Operation::new("deleteUserByWebhook", "Delete a user, by a signed event", delete_by_webhook)
        .tag("Users")
        .describe(
            "The body is a `user.deleted` event as Clerk sends it, about the user in the path; the signature is over its \
             bytes. It counts as that message: sent again, or as a webhook too, it changes nothing more.",
        )
        .by(Who::Signature)
        .body::<Map<String, Value>>()
        .answers::<Delivered>(200, "What became of it.")
        .problems(&[404]);
    SIGNED.into_iter().fold(operation, Operation::header)
}

async fn delete(call: Call) -> Result<Response, Problem> {
    let user: UserRef = call.part("id")?;
    let caller = call.caller().await?;
    call.require(&caller, Scope::UsersWrite).await?;
    call.no_query()?;
    let expected = expected(&call)?;
    let entry = caller.entry(&call, "user.deleted");
    if call.app.store.delete_user(user.id(), expected, entry).await? {
        Ok(reply::no_content())
    } else {
        Err(Problem::not_found())
    }
}

async fn delete_by_webhook(mut call: Call) -> Result<Response, Problem> {
    let user: UserRef = call.part("id")?;
    let signed = webhook::received(&mut call).await?;
    let deleted = match signed.received.delivery.content.as_ref().map(|event| &event.change) {
        Ok(Change::UserDeleted { id, .. }) => UserId::of(id),
        _ => return Err(Problem::bad_request("The event is not one that deletes a user.")),
    };
    if deleted != user.id() {
        return Err(Problem::bad_request("The event is about another user than the path."));
    }
    webhook::ingest(&call, signed).await
}
