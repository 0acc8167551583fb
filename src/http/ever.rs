//! `/api/users/ever`: was this address ever on file, and whose? Asked with `POST`, so that it stands in no address bar
//! and in no proxy's log.

use serde::{Deserialize, Serialize};
use warp::http::Method;
use warp::reply::Response;

use super::call::Call;
use super::problem::Problem;
use super::reply;
use crate::store::{Moment, Sighting};
use crate::user::{ClerkId, Handle, HandleKind, UserId};

/// The largest question, in bytes.
const LARGEST: usize = 4 * 1024;

/// What a question that cannot be read is told.
const FORM: &str =
    "The body is not {\"value\": …}, with \"kind\" (email, phone, username, external-id) and \"user\" if need be.";

/// What is asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    value: String,
    kind: Option<HandleKind>,
    /// Of this person alone.
    user: Option<String>,
}

#[derive(Serialize)]
struct Answer<'a> {
    items: Vec<SightingJson<'a>>,
    count: u64,
}

/// A person who had the value, and since and until which entry.
#[derive(Serialize)]
struct SightingJson<'a> {
    id: String,
    clerk_user_id: &'a ClerkId,
    from: MomentJson,
    until: Option<MomentJson>,
}

#[derive(Serialize)]
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

/// Who ever had the value on file, for admins.
pub(super) async fn ask(mut call: Call) -> Result<Response, Problem> {
    if call.method != Method::POST {
        return Err(Problem::method_not_allowed("POST"));
    }
    let caller = call.caller().await?;
    call.require_admin(&caller).await?;
    call.no_query()?;
    let Question { value, kind, user } = call.json(LARGEST, FORM).await?;
    let person = user.map(|text| call.person(&text)).transpose()?;
    let handles = Handle::typed(&value, kind);
    if handles.is_empty() {
        return Err(Problem::bad_request("The value is empty."));
    }
    let entry = caller.entry(&call, "value.looked_up");
    let found = call.app.store.ever_on_file(handles, person, entry).await?;
    Ok(reply::json(&Answer { items: found.items.iter().map(Into::into).collect(), count: found.count }))
}
