//! `/api/audit` and `/api/users/{id}/audit`: the book as JSON, newest first.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use warp::reply::Response;

use super::call::Call;
use super::problem::Problem;
use super::query;
use super::reply::{self, PageOf};
use super::route::{Operation, Route, Who};
use crate::api_key::Scope;
use crate::audit::{Actions, ActorRef, Entry, Filter, Source};
use crate::clock::Moment;
use crate::page::{Cursor, Limit, Page, PageRequest};
use crate::user::{ClerkId, UserRef};

/// What stands for what somebody may not know.
const REDACTED: &str = "[REDACTED]";

/// An entry of the log. A user who reads their own entries is told of others only what sort they are.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Entry")]
struct EntryJson<'a> {
    /// Its number, from 0.
    seq: u64,
    /// When it was written.
    at: String,
    /// What was done: `user.created`, `users.listed`.
    action: &'a str,
    /// Who did it: `clerk`, `user:…`, `admin:…`, `key:…`, `cli`, `system` or `anonymous`.
    actor: &'a str,
    /// By which way: `webhook`, `api`, `admin`, `cli`, `sync` or `system`.
    #[schemars(with = "String")]
    source: Source,
    /// How it ended: `ok`, `denied`, `error`, or a message's outcome.
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
#[derive(Serialize, JsonSchema)]
struct People<'a> {
    #[schemars(with = "Option<String>")]
    actor_user: Option<&'a ClerkId>,
    #[schemars(with = "Option<String>")]
    target_user: Option<&'a ClerkId>,
    #[schemars(with = "Option<String>")]
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
            target: entry.leaf.target.as_deref(),
            people: Some(people),
            ..Self::redacted(entry, None)
        }
    }

    /// What a person may know of what happened to them: what and when, but of others only what sort they are.
    fn redacted(entry: &'a Entry, reader: Option<&ClerkId>) -> Self {
        let leaf = &entry.leaf;
        let is_about_another = |target: &&str| target.starts_with("s1.") && entry.target_user.as_ref() != reader;
        Self {
            seq: entry.seq,
            at: leaf.at.to_string(),
            action: &leaf.action,
            actor: leaf.actor.split_once(':').map_or(leaf.actor.as_str(), |(sort, _)| sort),
            source: leaf.source,
            outcome: &leaf.outcome,
            reason: leaf.reason.as_deref(),
            target: leaf.target.as_deref().map(|target| if is_about_another(&target) { REDACTED } else { target }),
            impersonator: leaf.impersonator.as_ref().map(|_| REDACTED),
            changed: &leaf.changed,
            count: leaf.count,
            event_at: leaf.event_at.map(|at| at.to_string()),
            request: None,
            people: None,
        }
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    #[serde(default)]
    #[schemars(schema_with = "query::actions")]
    action: Option<Actions>,
    /// Only entries about this user or by them: Rollbook's id or Clerk's.
    #[schemars(with = "Option<String>", regex(pattern = "^[!-~]{1,128}$"))]
    subject: Option<UserRef>,
    #[serde(default)]
    #[schemars(schema_with = "query::actor")]
    actor: Option<ActorRef>,
    #[serde(default)]
    #[schemars(schema_with = "query::address")]
    address: Option<IpAddr>,
    /// Only entries of this time or later.
    #[serde(default)]
    #[schemars(schema_with = "query::moment")]
    from: Option<Moment>,
    /// Only entries before this time.
    #[serde(default)]
    #[schemars(schema_with = "query::moment")]
    to: Option<Moment>,
    #[serde(default)]
    #[schemars(schema_with = "query::limit")]
    limit: Limit,
    #[serde(default)]
    #[schemars(schema_with = "query::entry_cursor")]
    cursor: Option<Cursor>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OwnQuery {
    #[serde(default)]
    #[schemars(schema_with = "query::actions")]
    action: Option<Actions>,
    /// Only entries of this time or later.
    #[serde(default)]
    #[schemars(schema_with = "query::moment")]
    from: Option<Moment>,
    /// Only entries before this time.
    #[serde(default)]
    #[schemars(schema_with = "query::moment")]
    to: Option<Moment>,
    #[serde(default)]
    #[schemars(schema_with = "query::limit")]
    limit: Limit,
    #[serde(default)]
    #[schemars(schema_with = "query::entry_cursor")]
    cursor: Option<Cursor>,
}

/// An entry as an admin sees it.
#[must_use]
pub fn entry(entry: &Entry) -> Value {
    serde_json::to_value(EntryJson::full(entry)).unwrap_or_default()
}

/// The log in pages.
pub(super) fn routes() -> Vec<Route> {
    let all = Operation::new("listAudit", "List the log", list)
        .tag("Audit")
        .describe("Newest first. That it was read goes into the log too.")
        .by(Who::Admin(Scope::AuditRead))
        .query::<ListQuery>()
        .answers::<PageOf<'_, EntryJson<'_>>>(200, "A page of entries.");
    let own = Operation::new("listUserAudit", "List a user's log entries", of_user)
        .tag("Audit")
        .describe("Newest first. Users read their own entries, in which other people and addresses are left out.")
        .by(Who::SelfOr(Scope::AuditRead))
        .query::<OwnQuery>()
        .answers::<PageOf<'_, EntryJson<'_>>>(200, "A page of entries.")
        .problems(&[404]);
    vec![Route::at("/api/audit").get(all), Route::at("/api/users/{id}/audit").get(own)]
}

/// A page of the whole log, for admins.
async fn list(call: Call) -> Result<Response, Problem> {
    let caller = call.caller().await?;
    call.require(&caller, Scope::AuditRead).await?;
    let query: ListQuery = call.query()?;
    let subject = query.subject.as_ref().map(|subject| call.person(subject)).transpose()?;
    let actor = query.actor.as_ref().map(|actor| actor.resolve(|user| call.person(user))).transpose()?;
    let page = PageRequest { limit: query.limit, cursor: query.cursor };
    let page = if matches!(subject, Some(None)) || matches!(actor, Some(None)) {
        // Our ids are in no entry: whom the roll does not know by one, the log does not know either.
        Page { items: Vec::new(), next_cursor: None }
    } else {
        let filter = Filter {
            action: query.action,
            subject: subject.clone().flatten(),
            actor: actor.flatten(),
            address: query.address,
            from: query.from.map(|m| m.0),
            to: query.to.map(|m| m.0),
            ..Filter::default()
        };
        call.app.store.audit(filter, page).await?
    };
    let mut entry = caller.entry(&call, "audit.listed");
    entry.count = Some(page.items.len() as u64);
    if let Some(Some(subject)) = &subject {
        entry = entry.about(subject);
    }
    call.app.store.record(entry).await?;
    let shown: Vec<EntryJson<'_>> = page.items.iter().map(EntryJson::full).collect();
    Ok(reply::page(&shown, page.next_cursor.as_ref()))
}

/// A page of one user's entries: all of them for admins, redacted for the user.
async fn of_user(call: Call) -> Result<Response, Problem> {
    let user: UserRef = call.part("id")?;
    let caller = call.caller().await?;
    let query: OwnQuery = call.query()?;
    let user = call.readable(&caller, Scope::AuditRead, &user, "user.audit_read").await?;
    let filter = Filter {
        action: query.action,
        subject: Some(user.clerk_id.clone()),
        from: query.from.map(|m| m.0),
        to: query.to.map(|m| m.0),
        ..Filter::default()
    };
    let page = PageRequest { limit: query.limit, cursor: query.cursor };
    let page = call.app.store.audit(filter, page).await?;
    let sees_all = caller.may(Scope::AuditRead);
    let show = |entry| {
        if sees_all { EntryJson::full(entry) } else { EntryJson::redacted(entry, Some(&user.clerk_id)) }
    };
    let shown: Vec<EntryJson<'_>> = page.items.iter().map(show).collect();
    Ok(reply::page(&shown, page.next_cursor.as_ref()))
}

impl Call {
    /// The Clerk id of a person named by either id. Clerk's id is taken as it stands: the log may know
    /// people whom the roll no longer has.
    pub(super) fn person(&self, user: &UserRef) -> Result<Option<ClerkId>, Problem> {
        match user {
            UserRef::Clerk(id) => Ok(Some(id.clone())),
            UserRef::Id(id) => Ok(self.app.store.user(*id)?.map(|user| user.clerk_id)),
        }
    }
}
