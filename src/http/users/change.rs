//! `PATCH /api/users/{id}`: what is the operator's of a record.

use schemars::{JsonSchema, Schema};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use warp::reply::Response;

use super::record::{Include, UserJson, own};
use super::revision::{EXPECTED, expected, tagged};
use crate::api_key::Scope;
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::reply;
use crate::http::route::{Operation, Who};
use crate::store::UserPatch;
use crate::user::{Plan, PracticeId, Role, Standing, UserRef};

/// The largest body, in bytes: every name at its longest, and room to spare.
const LARGEST: usize = 4096;

/// What to change; what is left out stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "UserPatch", extend("minProperties" = 1), transform = without_defaults)]
struct Body {
    /// `ADMIN` may read and change everybody.
    #[serde(default, deserialize_with = "said")]
    #[schemars(with = "String", regex(pattern = "^[A-Za-z0-9_.:-]{1,64}$"))]
    role: Option<Role>,
    /// The practice the user belongs to; null for none.
    #[serde(default, deserialize_with = "said")]
    #[schemars(with = "Option<String>", regex(pattern = "^[A-Za-z0-9_.:-]{1,64}$"))]
    practice_id: Option<Assigned>,
    #[serde(default, deserialize_with = "object")]
    #[schemars(with = "SubscriptionBody")]
    subscription: Option<SubscriptionBody>,
}

/// A practice, or none.
#[derive(Deserialize)]
#[serde(transparent)]
struct Assigned(Option<PracticeId>);

/// What the user has subscribed to. It stands until Clerk Billing has newer.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SubscriptionPatch", extend("minProperties" = 1), transform = without_defaults)]
struct SubscriptionBody {
    #[serde(default, deserialize_with = "said")]
    #[schemars(with = "String", regex(pattern = "^[A-Za-z0-9_.:-]{1,64}$"))]
    plan: Option<Plan>,
    /// Clerk's words are `active`, `past_due`, `canceled` and `ended`.
    #[serde(default, deserialize_with = "said")]
    #[schemars(with = "String", regex(pattern = "^[A-Za-z0-9_.:-]{1,64}$"))]
    status: Option<Standing>,
}

/// A member that is left out has no value, which is something else than one of null.
fn without_defaults(schema: &mut Schema) {
    let members = schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten();
    for (_, member) in members {
        if let Value::Object(member) = member {
            member.remove("default");
        }
    }
}

/// A member that is there, whatever it says: null is something to say as well, where the type knows it.
fn said<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The same for an object: an array would be read as the members in their order.
fn object<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    let members = Map::<String, Value>::deserialize(deserializer)?;
    serde_json::from_value(Value::Object(members)).map(Some).map_err(D::Error::custom)
}

pub(super) fn operation() -> Operation {
    Operation::new("changeUser", "Change a user's role, practice or subscription", change)
        .tag("Users")
        .describe("What is the operator's; what Clerk says of the user is changed at Clerk.")
        .by(Who::Admin(Scope::UsersWrite))
        .header(EXPECTED)
        .body::<Body>()
        .answers::<UserJson<'_>>(200, "The record, as it is now.")
        .problems(&[404, 412])
}

async fn change(mut call: Call) -> Result<Response, Problem> {
    let user: UserRef = call.part("id")?;
    let caller = call.caller().await?;
    call.require(&caller, Scope::UsersWrite).await?;
    call.no_query()?;
    let expected = expected(&call)?;
    let patch = patch(call.json(LARGEST, WRONG).await?)?;
    let entry = caller.entry(&call, "user.assigned");
    let user = call.app.store.set_user(user.id(), patch, expected, entry).await?.ok_or_else(Problem::not_found)?;
    let shown = UserJson::new(&user, own(caller.may(Scope::UsersRead)), Include::Nothing);
    Ok(tagged(reply::json(&shown), &user))
}

/// What a body is told that is something else.
const WRONG: &str = "The body is an object with one or more of \"role\", \"practice_id\" and \"subscription\", whose members are \
    \"plan\" and \"status\"; a name is 1 to 64 letters, digits, '_', '-', '.' and ':'.";

fn patch(body: Body) -> Result<UserPatch, Problem> {
    let Body { role, practice_id, subscription } = body;
    let (plan, status) = match subscription {
        None if role.is_none() && practice_id.is_none() => return Err(Problem::bad_request(WRONG)),
        None => (None, None),
        Some(SubscriptionBody { plan: None, status: None }) => return Err(Problem::bad_request(WRONG)),
        Some(SubscriptionBody { plan, status }) => (plan, status),
    };
    Ok(UserPatch { role, practice_id: practice_id.map(|Assigned(practice)| practice), plan, status })
}
