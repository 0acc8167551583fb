//! `/api/users/ever`: was this address ever on file, and whose? Asked with `POST`, so that it stands in no address bar
//! and in no proxy's log.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use warp::reply::Response;

use super::call::Call;
use super::problem::Problem;
use super::reply;
use super::route::{Operation, Route, Who};
use crate::api_key::Scope;
use crate::store::{Moment, Sighting};
use crate::user::{ClerkId, Handle, HandleKind, UserId, UserRef};

/// The largest question, in bytes.
const LARGEST: usize = 4 * 1024;

/// The longest value, in characters: an e-mail address has at most 254.
const LONGEST: usize = 256;

/// What a question that cannot be read is told.
const FORM: &str =
    "The body is not {\"value\": …}, with \"kind\" (email, phone, username, external-id) and \"user\" if need be.";

/// What is asked.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Question {
    /// An e-mail address, phone number, user name or external id.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"\S"))]
    value: String,
    /// What it is; otherwise what it looks like.
    #[serde(default)]
    #[schemars(schema_with = "kinds")]
    kind: Option<HandleKind>,
    /// Of this person alone, by Rollbook's id or Clerk's.
    #[schemars(with = "Option<String>", regex(pattern = "^[!-~]{1,128}$"))]
    user: Option<UserRef>,
}

fn kinds(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "enum": ["email", "phone", "username", "external-id", null] })
}

/// Whom the value was on file for.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "EverOnFile")]
struct Answer<'a> {
    items: Vec<SightingJson<'a>>,
    /// How many there are, also beyond those listed.
    count: u64,
}

/// A person who had the value, and since and until which entry.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Sighting")]
struct SightingJson<'a> {
    id: String,
    #[schemars(with = "String")]
    clerk_user_id: &'a ClerkId,
    from: MomentJson,
    until: Option<MomentJson>,
}

/// An entry of the log, and when it was written; null once it was pruned.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Moment")]
struct MomentJson {
    seq: u64,
    at: Option<String>,
}

impl<'a> From<&'a Sighting> for SightingJson<'a> {
    fn from(sighting: &'a Sighting) -> Self {
        let moment = |moment: Moment| MomentJson { seq: moment.seq, at: moment.at.map(|at| at.to_string()) };
        Self {
            id: UserId::of(&sighting.user).to_string(),
            clerk_user_id: &sighting.user,
            from: moment(sighting.from),
            until: sighting.until.map(moment),
        }
    }
}

/// The question.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::at("/api/users/ever").post(
            Operation::new("askEver", "Ask whether a value was ever on file", ask)
                .tag("Users")
                .describe(
                    "Who ever had this e-mail address, phone number, user name or external id, also if they changed it or \
                     were deleted since. That it was asked goes into the log, the value does not.",
                )
                .by(Who::Admin(Scope::UsersRead))
                .body::<Question>()
                .answers::<Answer<'_>>(200, "Whose it was, since and until when.")
                .problems(&[404]),
        ),
    ]
}

/// Who ever had the value on file.
async fn ask(mut call: Call) -> Result<Response, Problem> {
    let caller = call.caller().await?;
    call.require(&caller, Scope::UsersRead).await?;
    call.no_query()?;
    let Question { value, kind, user } = call.json(LARGEST, FORM).await?;
    let person = match user {
        Some(user) => Some(call.person(&user)?.ok_or_else(Problem::not_found)?),
        None => None,
    };
    if value.chars().count() > LONGEST {
        return Err(Problem::bad_request("A value is at most 256 characters long."));
    }
    if value.trim().is_empty() {
        return Err(Problem::bad_request("The value is empty."));
    }
    // What cannot be of that kind was never on file.
    let handles = Handle::typed(&value, kind);
    let entry = caller.entry(&call, "value.looked_up");
    let found = call.app.store.ever_on_file(handles, person, entry).await?;
    Ok(reply::json(&Answer { items: found.items.iter().map(Into::into).collect(), count: found.count }))
}
