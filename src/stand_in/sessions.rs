//! Sessions and their tokens: `/v1/sessions…`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Shared;
use super::answer::{self, Answer, Refusal};
use super::call::Call;
use crate::clock::Timestamp;
use crate::json::whole_number;

/// How long a token lasts unless it is said, in seconds.
const USUAL_LIFE: i64 = 60;

/// What may be said.
const LIVES: std::ops::RangeInclusive<i64> = 30..=315_360_000;

/// The most sessions on a page, and how many there are if nothing is said.
const PAGE: (usize, usize) = (500, 10);

/// All sessions, by id.
#[derive(Debug, Default)]
pub(super) struct Sessions(BTreeMap<String, Map<String, Value>>);

#[derive(Deserialize)]
struct Asked {
    expires_in_seconds: Option<i64>,
}

impl Sessions {
    /// `None` when the object does not say which session it is.
    pub(super) fn put(&mut self, mut session: Map<String, Value>) -> Option<()> {
        let id = session.get("id")?.as_str()?.to_owned();
        // Events carry the user, the API does not.
        session.remove("user");
        self.0.insert(id, session);
        Some(())
    }

    pub(super) fn delete_of(&mut self, user: &str) {
        self.0.retain(|_, session| !is(session, "user_id", user));
    }

    fn session(&self, id: &str) -> Result<&Map<String, Value>, Refusal> {
        self.0.get(id).ok_or_else(|| Refusal::not_found(format!("No session was found with id {id}")))
    }
}

/// The sessions of a user or a client, the newest first: a bare array, or with their number.
pub(super) fn list(sessions: &Sessions, call: &Call) -> Result<Answer, Refusal> {
    let asked = ["user_id", "client_id", "status"].map(|name| (name, call.first(name)));
    if asked[..2].iter().all(|(_, value)| value.is_none()) {
        return Err(Refusal::missing("user_id or client_id"));
    }
    let fits = |session: &&Map<String, Value>| {
        asked.iter().all(|(name, value)| value.is_none_or(|value| is(session, name, value)))
    };
    let mut found: Vec<_> = sessions.0.values().filter(fits).collect();
    found.sort_by_key(|session| std::cmp::Reverse(session.get("created_at").and_then(whole_number)));
    let total = found.len();
    let limit = call.number("limit")?.filter(|limit| (1..=PAGE.0).contains(limit)).unwrap_or(PAGE.1);
    let page: Vec<_> = found.into_iter().skip(call.number("offset")?.unwrap_or_default()).take(limit).collect();
    let body = if call.first("paginated") == Some("true") {
        json!({ "data": page, "total_count": total })
    } else {
        json!(page)
    };
    Ok(answer::json(body.to_string()))
}

/// One session.
pub(super) fn one(sessions: &Sessions, id: &str) -> Result<Answer, Refusal> {
    sessions.session(id).map(|session| answer::json(json!(session).to_string()))
}

/// A token of a session that goes on.
pub(super) fn token(shared: &Shared, id: &str, call: &Call) -> Result<Answer, Refusal> {
    let asked: Asked = call.json()?;
    let life = asked.expires_in_seconds.unwrap_or(USUAL_LIFE);
    if !LIVES.contains(&life) {
        return Err(Refusal::parameter("expires_in_seconds"));
    }
    let state = shared.state();
    let (session, now) = (state.sessions.session(id)?, shared.clock.now());
    if !is_active(session, now) {
        return Err(Refusal::not_found(format!("The session {id} is not active any more")));
    }
    let user = session.get("user_id").and_then(Value::as_str).unwrap_or_default();
    let user = user.parse().map_err(|_| Refusal::internal())?;
    let actor = session.get("actor").filter(|actor| actor.is_object());
    let jwt = shared.issuer.acting_token(&user, id, actor, now, life).map_err(|_| Refusal::internal())?;
    Ok(answer::json(json!({ "object": "token", "jwt": jwt }).to_string()))
}

fn is(session: &Map<String, Value>, name: &str, value: &str) -> bool {
    session.get(name).and_then(Value::as_str) == Some(value)
}

fn is_active(session: &Map<String, Value>, now: Timestamp) -> bool {
    let end = session.get("expire_at").and_then(whole_number);
    is(session, "status", "active") && end.is_none_or(|end| now.as_millis() < end)
}
