//! Deleting a person here, as an event of Clerk's would.

use warp::reply::Response;

use super::object::here;
use crate::http::admin::sure::{self, Question};
use crate::http::admin::{Desk, Stop, entry, session, view};
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::reply;
use crate::sync::DeletePolicy;
use crate::user::UserRef;

const SOFT: [&str; 4] = [
    "They go off the roll: lists and the API show them among the deleted only, and their session tokens are refused.",
    "Their record is kept and marked as deleted; the API shows its clerk_user_id as null. To take it away too, erase them.",
    "It is final: no event and no token brings them back.",
    "Clerk still has them. Delete them there as well if they are to be gone.",
];

const HARD: [&str; 4] = [
    "Their record goes, with role, practice, subscription and counters, and their session tokens are refused.",
    "Their sessions and memberships, and what the log’s entries say of them, stay. To take these away too, erase them.",
    "It is final: no event and no token brings them back.",
    "Clerk still has them. Delete them there as well if they are to be gone.",
];

/// `GET` and `POST /admin/users/{id}/delete`.
pub(in crate::http::admin) async fn serve(desk: &Desk, mut call: Call, id: &str) -> Result<Response, Stop> {
    let id = id.parse::<UserRef>();
    let admin = session::either(&call, &here(&id)).await?;
    let store = call.app.store.clone();
    let user = store.user(id.map_err(|_| Problem::not_found())?.id())?.ok_or(Problem::not_found())?;
    let is_hard = store.policy().delete == DeletePolicy::Hard;
    let address = format!("{}{}", view::USER, user.id);
    if user.deleted_at.is_some() && !is_hard {
        return Ok(reply::see_other(&address));
    }
    let (name, action) = (entry::call_name(&user), format!("{address}/delete"));
    let name = view::name(&name);
    let question = Question {
        here: "/admin/users",
        back: (&address, &name),
        verb: "Delete",
        name: &name,
        lines: if is_hard { &HARD } else { &SOFT },
        action: &action,
        button: "Delete",
        is_loss: true,
    };
    store.record(admin.did("user.read").about(&user.clerk_id)).await?;
    if let Some(page) = sure::ask(desk, &mut call, &admin, question).await? {
        return Ok(page);
    }
    let deleted = store.delete_user(user.id, None, admin.did("user.deleted")).await.map_err(Problem::from)?;
    if !deleted {
        return Err(Problem::not_found().into());
    }
    Ok(reply::see_other(&if is_hard { "/admin/users?removed".to_owned() } else { format!("{address}?deleted") }))
}
