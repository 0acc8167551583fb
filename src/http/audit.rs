//! `/api/audit` and `/api/users/{id}/audit`: the book as JSON, newest first.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use warp::reply::Response;

use super::call::Call;
use super::problem::Problem;
use super::reply;
use crate::audit::{Entry, Filter, Source};
use crate::clock::Moment;
use crate::page::{Cursor, Limit, PageRequest};
use crate::user::{ClerkId, UserRef};

/// An entry as the API shows it.
#[derive(Serialize)]
struct EntryJson<'a> {
    seq: u64,
    at: String,
    action: &'a str,
    actor: &'a str,
    source: Source,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    impersonator: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    changed: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
    #[serde(flatten)]
    people: Option<People<'a>>,
}

/// What only admins see of an entry: who is meant, and the detail.
#[derive(Serialize)]
struct People<'a> {
    actor_user: Option<&'a ClerkId>,
    target_user: Option<&'a ClerkId>,
    impersonator_user: Option<&'a ClerkId>,
    detail: Option<&'a Map<String, Value>>,
}

impl<'a> EntryJson<'a> {
    /// The whole entry.
    fn full(entry: &'a Entry) -> Self {
        let people = People {
            actor_user: entry.actor_user.as_ref(),
            target_user: entry.target_user.as_ref(),
            impersonator_user: entry.impersonator_user.as_ref(),
            detail: entry.detail.as_ref(),
        };
        Self {
            actor: &entry.leaf.actor,
            request: entry.leaf.request.as_deref(),
            impersonator: entry.leaf.impersonator.as_deref(),
            people: Some(people),
            ..Self::redacted(entry)
        }
    }

    /// What a person may know of what happened to them: what and when, but of others only what sort they are.
    fn redacted(entry: &'a Entry) -> Self {
        let leaf = &entry.leaf;
        Self {
            seq: entry.seq,
            at: leaf.at.to_string(),
            action: &leaf.action,
            actor: leaf.actor.split_once(':').map_or(leaf.actor.as_str(), |(sort, _)| sort),
            source: leaf.source,
            outcome: &leaf.outcome,
            reason: leaf.reason.as_deref(),
            target: leaf.target.as_deref(),
            impersonator: leaf.impersonator.as_ref().map(|_| "[REDACTED]"),
            changed: &leaf.changed,
            count: leaf.count,
            event_at: leaf.event_at.map(|at| at.to_string()),
            request: None,
            people: None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    action: Option<String>,
    subject: Option<String>,
    from: Option<Moment>,
    to: Option<Moment>,
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnQuery {
    action: Option<String>,
    from: Option<Moment>,
    to: Option<Moment>,
    #[serde(default)]
    limit: Limit,
    cursor: Option<Cursor>,
}

/// An entry as an admin sees it.
#[must_use]
pub fn entry(entry: &Entry) -> Value {
    serde_json::to_value(EntryJson::full(entry)).unwrap_or_default()
}

/// A page of the whole log, for admins.
pub(super) async fn list(call: Call) -> Result<Response, Problem> {
    call.get_only()?;
    let caller = call.caller().await?;
    call.require_admin(&caller).await?;
    let query: ListQuery = call.query()?;
    let subject = match query.subject {
        Some(text) => Some(call.person(&text)?),
        None => None,
    };
    let filter = Filter {
        action: query.action.filter(|action| !action.is_empty()),
        subject: subject.clone(),
        from: query.from.map(|m| m.0),
        to: query.to.map(|m| m.0),
    };
    let page = PageRequest { limit: query.limit, cursor: query.cursor };
    let page = call.app.store.audit(filter, page).await?;
    let mut entry = caller.entry(&call, "audit.listed");
    entry.count = Some(page.items.len() as u64);
    if let Some(subject) = &subject {
        entry = entry.about(subject);
    }
    call.app.store.record(entry).await?;
    let shown: Vec<EntryJson<'_>> = page.items.iter().map(EntryJson::full).collect();
    Ok(reply::page(&shown, page.next_cursor.as_ref()))
}

/// A page of one user's entries: all of them for admins, redacted for the user.
pub(super) async fn of_user(call: Call, user: UserRef) -> Result<Response, Problem> {
    call.get_only()?;
    let caller = call.caller().await?;
    let query: OwnQuery = call.query()?;
    let user = call.readable(&caller, &user, "user.audit_read").await?;
    let filter = Filter {
        action: query.action.filter(|action| !action.is_empty()),
        subject: Some(user.clerk_id.clone()),
        from: query.from.map(|m| m.0),
        to: query.to.map(|m| m.0),
    };
    let page = PageRequest { limit: query.limit, cursor: query.cursor };
    let page = call.app.store.audit(filter, page).await?;
    let show = if caller.is_admin() { EntryJson::full } else { EntryJson::redacted };
    let shown: Vec<EntryJson<'_>> = page.items.iter().map(show).collect();
    Ok(reply::page(&shown, page.next_cursor.as_ref()))
}

impl Call {
    /// The Clerk id of a person named by either id. Clerk's id is taken as it stands: the log may know
    /// people whom the roll no longer has.
    pub(super) fn person(&self, text: &str) -> Result<ClerkId, Problem> {
        let bad = || Problem::bad_request("The subject is neither a user's id nor a Clerk id.");
        match text.parse().map_err(|_| bad())? {
            UserRef::Clerk(id) => Ok(id),
            UserRef::Id(id) => Ok(self.app.store.user(id)?.ok_or_else(bad)?.clerk_id),
        }
    }
}
