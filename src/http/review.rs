//! `/api/audit/review`: that the log is looked through regularly, by whom and up to where, for those who ask for evidence
//! (45 CFR 164.308(a)(1)(ii)(D)).

use serde::{Deserialize, Serialize};
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::call::Call;
use super::problem::Problem;
use super::reply;
use crate::audit::Draft;
use crate::store::{Review, Reviewed};
use crate::user::ClerkId;

/// The longest note, in characters.
const LONGEST_NOTE: usize = 2000;

/// The largest body, in bytes: a note of that length with every character escaped.
const LARGEST: usize = 32 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    to: u64,
    #[serde(default)]
    note: String,
}

#[derive(Serialize)]
struct ReviewedJson<'a> {
    last: Option<ReviewJson<'a>>,
    entries_since: u64,
}

#[derive(Serialize)]
struct ReviewJson<'a> {
    seq: u64,
    at: String,
    to: u64,
    /// How many entries it covers that no review before did.
    count: Option<u64>,
    actor: &'a str,
    actor_user: Option<&'a ClerkId>,
    note: Option<&'a str>,
}

#[derive(Serialize)]
struct TakenJson {
    seq: u64,
}

/// How far the log was reviewed, or that it was now; for admins.
pub(super) async fn serve(mut call: Call) -> Result<Response, Problem> {
    if call.method != Method::GET && call.method != Method::POST {
        return Err(Problem::method_not_allowed("GET, HEAD, POST"));
    }
    let caller = call.caller().await?;
    call.require_admin(&caller).await?;
    call.no_query()?;
    if call.method == Method::GET {
        let Reviewed { last, since } = call.app.store.reviewed().await?;
        return Ok(reply::json(&ReviewedJson { last: last.as_ref().map(ReviewJson::of), entries_since: since }));
    }
    let entry = caller.entry(&call, "audit.reviewed");
    let Body { to, note } = call.json(LARGEST, "The body is not {\"to\": …} with a \"note\" if there is one.").await?;
    let seq = call.app.store.review(to, noted(entry, &note)?).await?;
    Ok(reply::json_with(StatusCode::CREATED, &TakenJson { seq }))
}

impl<'a> ReviewJson<'a> {
    fn of(review: &'a Review) -> Self {
        let Review { to, entry } = review;
        Self {
            seq: entry.seq,
            at: entry.leaf.at.to_string(),
            to: *to,
            count: entry.leaf.count,
            actor: &entry.leaf.actor,
            actor_user: entry.actor_user.as_ref(),
            note: entry.detail.as_ref().and_then(|detail| detail.get("note")?.as_str()),
        }
    }
}

/// The entry with what the reviewer says.
///
/// # Errors
/// 400 when that is too long.
pub(super) fn noted(entry: Draft, note: &str) -> Result<Draft, Problem> {
    let note = note.trim();
    if note.chars().count() > LONGEST_NOTE {
        return Err(Problem::bad_request("A note is at most 2,000 characters long."));
    }
    Ok(entry.with("note", (!note.is_empty()).then_some(note)))
}
