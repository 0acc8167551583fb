//! `/api/audit/review`: that the log is looked through regularly, by whom and up to where, for those who ask for evidence
//! (45 CFR 164.308(a)(1)(ii)(D)).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use warp::http::StatusCode;
use warp::reply::Response;

use super::call::Call;
use super::problem::Problem;
use super::reply;
use super::route::{Operation, Route, Who};
use crate::api_key::Scope;
use crate::audit::Draft;
use crate::store::{Review, Reviewed};
use crate::user::ClerkId;

/// The longest note, in characters.
const LONGEST_NOTE: usize = 2000;

/// The largest body, in bytes: a note of that length with every character escaped.
const LARGEST: usize = 32 * 1024;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Body {
    /// The number of the last entry that was looked at.
    #[schemars(range(max = 9_007_199_254_740_991_u64))]
    to: u64,
    /// What there is to say of it.
    #[serde(default)]
    #[schemars(length(max = 2000))]
    note: String,
}

/// How far the log was reviewed.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Reviewed")]
struct ReviewedJson<'a> {
    /// The newest review; null before the first.
    last: Option<ReviewJson<'a>>,
    /// How many entries came since.
    entries_since: u64,
}

/// A review.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Review")]
struct ReviewJson<'a> {
    /// The entry that says it.
    seq: u64,
    at: String,
    /// The last entry that was looked at.
    to: u64,
    /// How many entries it covers that no review before did.
    count: Option<u64>,
    actor: &'a str,
    #[schemars(with = "Option<String>")]
    actor_user: Option<&'a ClerkId>,
    note: Option<&'a str>,
}

/// The entry that says it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "ReviewTaken")]
struct TakenJson {
    seq: u64,
}

/// The review's two operations.
pub(super) fn routes() -> Vec<Route> {
    let shown = Operation::new("showReview", "See how far the log was reviewed", show)
        .tag("Audit")
        .by(Who::Admin(Scope::AuditRead))
        .answers::<ReviewedJson<'_>>(200, "The newest review, and how much came since.");
    let taken = Operation::new("recordReview", "Record that the log was reviewed", record)
        .tag("Audit")
        .describe("Reviews only go forward: one that covers nothing new is refused.")
        .by(Who::AdminSession)
        .body::<Body>()
        .answers::<TakenJson>(201, "The entry that says so.")
        .problems(&[409]);
    vec![Route::at("/api/audit/review").get(shown).post(taken)]
}

async fn show(call: Call) -> Result<Response, Problem> {
    let caller = call.caller().await?;
    call.require(&caller, Scope::AuditRead).await?;
    call.no_query()?;
    let Reviewed { last, since } = call.app.store.reviewed().await?;
    Ok(reply::json(&ReviewedJson { last: last.as_ref().map(ReviewJson::of), entries_since: since }))
}

async fn record(mut call: Call) -> Result<Response, Problem> {
    let caller = call.admin().await?;
    call.no_query()?;
    let entry = caller.entry(&call, "audit.reviewed");
    let Body { to, note } =
        call.json(LARGEST, "The body must be {\"to\": number}, with a \"note\" if there is one.").await?;
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
