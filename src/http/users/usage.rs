//! `POST /api/users/{id}/usage`: adds to what is counted of a user.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use warp::reply::Response;

use super::record::{Include, UserJson, own};
use super::revision::{EXPECTED, expected, tagged};
use crate::api_key::Scope;
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::reply;
use crate::http::route::{Operation, Who};
use crate::store::MAX_COUNT;
use crate::user::{Counter, UserRef};

/// The largest body, in bytes.
const LARGEST: usize = 8192;

/// So many counters may be added to at once.
const MAX_AT_ONCE: usize = 32;

/// By how much each counter grows.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "Usage")]
struct Body(#[schemars(schema_with = "amounts")] BTreeMap<Counter, u64>);

fn amounts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object", "minProperties": 1, "maxProperties": MAX_AT_ONCE, "additionalProperties": false,
        "patternProperties": {
            "^[A-Za-z0-9_.:-]{1,64}$": { "type": "integer", "minimum": 1, "maximum": MAX_COUNT },
        },
        "examples": [{ "api_calls": 3 }],
    })
}

pub(super) fn operation() -> Operation {
    Operation::new("addUsage", "Add to a user's counters", add)
        .tag("Users")
        .describe(
            "All of it or nothing: a user has at most 64 counters, and none goes beyond 9007199254740991 (409). Counters \
             that are not there yet begin at 0.",
        )
        .by(Who::Admin(Scope::UsersWrite))
        .header(EXPECTED)
        .body::<Body>()
        .answers::<UserJson<'_>>(200, "The record, as it is now.")
        .problems(&[404, 409, 412])
}

async fn add(mut call: Call) -> Result<Response, Problem> {
    const WRONG: &str = "The body is an object of 1 to 32 counters with how much each grows: a whole number from 1 to \
        9007199254740991. A counter's name is 1 to 64 letters, digits, '_', '-', '.' and ':'.";
    let user: UserRef = call.part("id")?;
    let caller = call.caller().await?;
    call.require(&caller, Scope::UsersWrite).await?;
    call.no_query()?;
    let expected = expected(&call)?;
    let Body(amounts) = call.json(LARGEST, WRONG).await?;
    if !(1..=MAX_AT_ONCE).contains(&amounts.len()) || amounts.values().any(|amount| !(1..=MAX_COUNT).contains(amount)) {
        return Err(Problem::bad_request(WRONG));
    }
    let entry = caller.entry(&call, "user.usage_added");
    let user = call.app.store.add_usage(user.id(), amounts, expected, entry).await?.ok_or_else(Problem::not_found)?;
    let shown = UserJson::new(&user, own(caller.may(Scope::UsersRead)), Include::Nothing);
    Ok(tagged(reply::json(&shown), &user))
}
