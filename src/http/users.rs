//! `/api/auth/me`, `/api/session`, `/api/users…`: the roll as JSON.

mod change;
mod create;
mod delete;
mod record;
mod revision;
mod usage;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use warp::reply::Response;

use super::call::Call;
use super::caller::{Caller, Person};
use super::problem::Problem;
use super::query;
use super::reply::{self, PageOf};
use super::route::{Operation, Route, Who};
use crate::api_key::Scope;
use crate::page::{Cursor, Limit, PageRequest};
use crate::store::UserFilter;
use crate::user::{PracticeId, Role, User, UserRef};

pub use self::record::record;
use self::record::{Include, Reader, UserJson, include, own};
use self::revision::tagged;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneQuery {
    #[serde(default)]
    #[schemars(schema_with = "include")]
    include: Include,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Only users whose full name, last name, user name or e-mail address begins with this, upper or lower case alike.
    query: Option<String>,
    /// Only users with this primary e-mail address, upper or lower case alike.
    email: Option<String>,
    /// Only users with this role.
    #[schemars(with = "Option<String>", regex(pattern = "^[A-Za-z0-9_.:-]{1,64}$"))]
    role: Option<Role>,
    /// Only users of this practice.
    #[schemars(with = "Option<String>", regex(pattern = "^[A-Za-z0-9_.:-]{1,64}$"))]
    practice: Option<PracticeId>,
    /// Deleted users, instead of those on the roll.
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    #[schemars(schema_with = "include")]
    include: Include,
    #[serde(default)]
    #[schemars(schema_with = "query::limit")]
    limit: Limit,
    #[serde(default)]
    #[schemars(schema_with = "query::user_cursor")]
    cursor: Option<Cursor>,
}

/// Whether somebody is signed in, and who.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Session")]
struct SessionJson<'a> {
    signed_in: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserJson<'a>>,
}

/// The roll.
pub(super) fn routes() -> Vec<Route> {
    let me = Operation::new("me", "See your own record", me)
        .tag("Session")
        .describe(
            "Made from the token when no event of Clerk's has come yet (unless `ROLLBOOK_PROVISION` is off: 404), and kept up \
             by younger tokens until one comes.",
        )
        .by(Who::Session)
        .query::<OneQuery>()
        .answers::<UserJson<'_>>(200, "The record.")
        .problems(&[404]);
    let session = Operation::new("session", "See whether somebody is signed in", session)
        .tag("Session")
        .describe("Without a token nobody is; a token that is no good is refused all the same.")
        .by(Who::MaybeSession)
        .answers::<SessionJson<'_>>(200, "Whether somebody is signed in, and who.")
        .problems(&[404]);
    let list = Operation::new("listUsers", "List users", list)
        .tag("Users")
        .describe("Newest first; those found by `query` or `email` in the order of what they were found by.")
        .by(Who::Admin(Scope::UsersRead))
        .query::<ListQuery>()
        .answers::<PageOf<'_, UserJson<'_>>>(200, "A page of users.");
    let show = Operation::new("showUser", "See a user", show)
        .tag("Users")
        .describe(
            "Users see themselves; for them everybody else is not there. The answer's `ETag` says which state of the record \
             it is, for an `If-Match`.",
        )
        .by(Who::SelfOr(Scope::UsersRead))
        .query::<OneQuery>()
        .answers::<UserJson<'_>>(200, "The record.")
        .problems(&[404]);
    vec![
        Route::at("/api/auth/me").also("/auth/me").get(me),
        Route::at("/api/session").get(session),
        Route::at("/api/users").get(list).post(create::operation()),
        Route::at("/api/users/{id}").get(show).patch(change::operation()).delete(delete::operation()),
        Route::at("/api/users/{id}/usage").post(usage::operation()),
        Route::at("/api/users/webhook/{id}").delete(delete::by_webhook()),
    ]
}

/// The caller's own record.
async fn me(call: Call) -> Result<Response, Problem> {
    let caller = call.signed_in().await?;
    let query: OneQuery = call.query()?;
    call.note_impersonation(&caller).await?;
    Ok(tagged(reply::json(&UserJson::new(caller.user(), own(caller.is_admin()), query.include)), caller.user()))
}

/// Whether somebody is signed in, and who.
async fn session(call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    let caller = call.maybe_signed_in().await?;
    if let Some(caller) = &caller {
        call.note_impersonation(caller).await?;
    }
    let user = caller.as_ref().map(|caller| UserJson::new(caller.user(), own(caller.is_admin()), Include::Nothing));
    Ok(reply::json(&SessionJson { signed_in: user.is_some(), user }))
}

/// A page of users, for admins.
async fn list(call: Call) -> Result<Response, Problem> {
    let caller = call.caller().await?;
    call.require(&caller, Scope::UsersRead).await?;
    let ListQuery { query, email, role, practice, deleted, include, limit, cursor } = call.query()?;
    let filter = UserFilter { query: given(query), email: given(email), role, practice, deleted };
    let page = call.app.store.users(filter, PageRequest { limit, cursor }).await?;
    let look = caller.entry(&call, "users.listed");
    call.app.store.record(look.listing(page.items.iter().map(|user| &user.clerk_id))).await?;
    let shown: Vec<UserJson<'_>> = page.items.iter().map(|user| UserJson::new(user, Reader::Admin, include)).collect();
    Ok(reply::page(&shown, page.next_cursor.as_ref()))
}

/// One user, for that user and for admins.
async fn show(call: Call) -> Result<Response, Problem> {
    let user: UserRef = call.part("id")?;
    let caller = call.caller().await?;
    let query: OneQuery = call.query()?;
    let user = call.readable(&caller, Scope::UsersRead, &user, "user.read").await?;
    Ok(tagged(reply::json(&UserJson::new(&user, own(caller.may(Scope::UsersRead)), query.include)), &user))
}

/// A filter left empty, as forms send it, filters nothing.
fn given(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.trim().is_empty())
}

impl Call {
    /// The user, if the caller may read them: themselves, or anybody for an admin or a key with the scope. Reading
    /// somebody else, or on somebody else's session, is noted in the log.
    ///
    /// # Errors
    /// 404 for what is not there and for what is not the caller's business alike; 403 for a key without the scope.
    pub(super) async fn readable(
        &self,
        caller: &Caller,
        scope: Scope,
        user: &UserRef,
        action: &str,
    ) -> Result<User, Problem> {
        if let Caller::Person(person) = caller
            && user.id() == person.user().id
        {
            self.note_impersonation(person).await?;
            return Ok(person.user().clone());
        }
        if let Caller::Key(_) = caller {
            self.require(caller, scope).await?;
        }
        let found = self.app.store.user(user.id())?;
        if !caller.may(scope) {
            self.deny(caller, "not_own", found.as_ref().map(|user| &user.clerk_id)).await?;
            return Err(Problem::not_found());
        }
        let found = found.ok_or_else(Problem::not_found)?;
        self.app.store.record(caller.entry(self, action).about(&found.clerk_id)).await?;
        Ok(found)
    }

    /// Notes that somebody read another's own record on that one's session.
    pub(super) async fn note_impersonation(&self, caller: &Person) -> Result<(), Problem> {
        let entry = caller.entry(self, "user.read");
        if entry.impersonator.is_some() {
            self.app.store.record(entry.about(&caller.user().clerk_id)).await?;
        }
        Ok(())
    }
}
