//! Tokens by which one person acts as another: `/v1/actor_tokens…`, and the page to which such a token's link leads.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answer::{self, Answer, Refusal};
use super::call::Call;
use super::page::page;
use super::{Shared, random};
use crate::clock::Timestamp;
use crate::sample;
use crate::user::ClerkId;

/// All actor tokens, by id.
#[derive(Debug, Default)]
pub(super) struct ActorTokens(BTreeMap<String, ActorToken>);

#[derive(Debug)]
struct ActorToken {
    status: &'static str,
    user: ClerkId,
    actor: Map<String, Value>,
    ticket: String,
    /// How long the session may last, in seconds.
    session: i64,
    created_at: Timestamp,
    updated_at: Timestamp,
    expires_at: Timestamp,
}

#[derive(Deserialize)]
struct Asked {
    user_id: String,
    actor: Map<String, Value>,
    expires_in_seconds: Option<i64>,
    session_max_duration_in_seconds: Option<i64>,
}

/// Makes one.
pub(super) fn create(shared: &Shared, call: &Call) -> Result<Answer, Refusal> {
    let asked: Asked = call.json()?;
    if !asked.actor.get("sub").is_some_and(Value::is_string) {
        return Err(Refusal::missing("actor.sub"));
    }
    let seconds = |name, given: Option<i64>, usual| match given.unwrap_or(usual) {
        seconds @ 1.. => Ok(seconds),
        _ => Err(Refusal::parameter(name)),
    };
    let life = seconds("expires_in_seconds", asked.expires_in_seconds, 3600)?;
    let session = seconds("session_max_duration_in_seconds", asked.session_max_duration_in_seconds, 1800)?;
    let mut state = shared.state();
    let user = state.users.user(&asked.user_id).and_then(|user| user.id.parse().ok());
    let user = user.ok_or_else(|| Refusal::not_found(format!("No user was found with id {}", asked.user_id)))?;
    let (now, noise) = (shared.clock.now(), [random(), random(), random()]);
    let [Ok(id), Ok(ticket), Ok(more)] = noise else { return Err(Refusal::internal()) };
    let token = ActorToken {
        status: "pending",
        user,
        actor: asked.actor,
        ticket: URL_SAFE_NO_PAD.encode([ticket, more].concat()),
        session,
        created_at: now,
        updated_at: now,
        expires_at: now.plus_millis(life.saturating_mul(1000)),
    };
    let id = sample::id("act", now, &id);
    let answer = token.shown(&id, &shared.url);
    state.actor_tokens.0.insert(id, token);
    Ok(answer)
}

/// Takes one back that nobody has redeemed.
pub(super) fn revoke(shared: &Shared, id: &str) -> Result<Answer, Refusal> {
    let mut state = shared.state();
    let token = state.actor_tokens.0.get_mut(id);
    let token = token.ok_or_else(|| Refusal::not_found(format!("No actor token was found with id {id}")))?;
    if token.status != "pending" {
        let message = format!("The actor token is {} and cannot be revoked", token.status);
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "actor_token_cannot_be_revoked_code", message));
    }
    (token.status, token.updated_at) = ("revoked", shared.clock.now());
    Ok(token.shown(id, &shared.url))
}

/// What the link leads to: a session of the user's by that actor, once, and its token on a page. The session is told of
/// before the page is shown.
pub(super) async fn open(shared: &Shared, call: &Call) -> Result<Answer, Refusal> {
    let (page, session) = redeem(shared, call)?;
    if let Some(session) = session {
        shared.tell("session.created", session).await;
    }
    Ok(page)
}

fn redeem(shared: &Shared, call: &Call) -> Result<(Answer, Option<Map<String, Value>>), Refusal> {
    let (now, ticket) = (shared.clock.now(), call.first("__clerk_ticket").unwrap_or_default());
    let mut state = shared.state();
    let found = state.actor_tokens.0.values_mut().find(|token| token.ticket == ticket);
    let Some(token) = found.filter(|token| token.status == "pending" && now < token.expires_at) else {
        let why = "It was used, taken back or left too long, or it was never one.";
        return Ok((page(StatusCode::GONE, "This link signs nobody in any more", &[why], None), None));
    };
    (token.status, token.updated_at) = ("accepted", now);
    let id = sample::id("sess", now, &random().map_err(|_| Refusal::internal())?);
    let (user, actor, life) = (token.user.clone(), Value::Object(token.actor.clone()), token.session);
    let jwt = shared.issuer.acting_token(&user, &id, Some(&actor), now, life).map_err(|_| Refusal::internal())?;
    let who = state.users.user(user.as_str()).map(super::roll::User::object).unwrap_or_default();
    let name = |name| who.get(name).and_then(Value::as_str).unwrap_or_default();
    let title = format!("Signed in as {} {}", name("first_name"), name("last_name"));
    let acting = format!("{} acts as {user}, for {} minutes.", actor["sub"].as_str().unwrap_or_default(), life / 60);
    let session = session(&id, &user, &actor, now, life);
    state.sessions.put(session.clone());
    let hint =
        "At Clerk you would now be in the application. This stand-in has none; here is the session token instead:";
    Ok((page(StatusCode::OK, &title, &[&acting, hint], Some(&jwt)), Some(session)))
}

impl ActorToken {
    fn shown(&self, id: &str, base: &str) -> Answer {
        let url = format!("{base}/sign-in?__clerk_ticket={}", self.ticket);
        let shown = json!({
            "object": "actor_token", "id": id, "status": self.status, "user_id": self.user, "actor": self.actor,
            "token": self.ticket, "url": url,
            "created_at": self.created_at.as_millis(), "updated_at": self.updated_at.as_millis(),
        });
        answer::json(shown.to_string())
    }
}

/// The session that a link opens.
fn session(id: &str, user: &ClerkId, actor: &Value, now: Timestamp, life: i64) -> Map<String, Value> {
    let end = now.plus_millis(life.saturating_mul(1000)).as_millis();
    let session = json!({
        "object": "session", "id": id, "client_id": id.replacen("sess", "client", 1), "user_id": user,
        "status": "active", "actor": actor, "last_active_organization_id": null, "last_active_at": now.as_millis(),
        "latest_activity": null, "expire_at": end, "abandon_at": end,
        "created_at": now.as_millis(), "updated_at": now.as_millis(),
    });
    if let Value::Object(session) = session { session } else { Map::new() }
}
