//! Session tokens for calls in a user's name: made by Clerk, for the newest session that the user has, good for a minute.

use std::time::Duration;

use super::Forwarder;
use crate::clerk::backend::Error;
use crate::clerk::courier::Bearer;
use crate::clock::Timestamp;
use crate::event::ObjectKey;
use crate::json::Object;
use crate::page::{Limit, PageRequest};
use crate::store;
use crate::user::ClerkId;

/// How long a token is good for: a call and the one behind it.
const LIFE: Duration = Duration::from_mins(1);

/// So many pages of somebody's sessions are looked at, the newest ids first.
const PAGES: usize = 4;

/// So many sessions are tried: Clerk may have ended some without our having heard of it yet.
const TRIES: usize = 3;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoBearer {
    /// The user has no active session, which is nothing wrong.
    #[error("the user has no active session")]
    NoSession,
    /// Clerk made none.
    #[error("no session token: {0}")]
    Clerk(#[from] Error),
    /// There is no key to ask Clerk with.
    #[error("no session token: CLERK_SECRET_KEY is not set")]
    NoKey,
    /// The sessions cannot be read.
    #[error("no session token: {0}")]
    Store(#[from] store::Error),
}

impl Forwarder {
    /// A session token of that user's.
    pub(super) async fn bearer(&self, user: &ClerkId) -> Result<Bearer, NoBearer> {
        let backend = self.0.backend.as_ref().ok_or(NoBearer::NoKey)?;
        for session in self.sessions(user).await?.into_iter().take(TRIES) {
            match backend.session_token(&session, LIFE).await {
                Ok(token) => return Ok(Bearer::new(token)),
                Err(Error::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(NoBearer::NoSession)
    }

    /// The user's active sessions, the newest first.
    async fn sessions(&self, user: &ClerkId) -> Result<Vec<ClerkId>, store::Error> {
        let parent = ObjectKey { kind: "user".to_owned(), id: user.clone() };
        let mut page = PageRequest { limit: Limit::MAX, cursor: None };
        let (now, mut found) = (self.0.clock.now(), Vec::new());
        for _ in 0..PAGES {
            let list = self.0.store.children(parent.clone(), "session", page.clone()).await?;
            let active = list.items.into_iter().filter_map(|(key, object)| Some((begun(&object.body?, now)?, key.id)));
            found.extend(active);
            page.cursor = list.next_cursor;
            if page.cursor.is_none() {
                break;
            }
        }
        found.sort_by(|a, b| b.cmp(a));
        Ok(found.into_iter().map(|(_, id)| id).collect())
    }
}

/// When the session began, if it is active as far as is known. That it has run out no event says.
fn begun(session: &Object, now: Timestamp) -> Option<Timestamp> {
    let session = session.fields();
    let time = |name| session.value(name).map(Timestamp::from_seconds_or_millis);
    let has_ended = [time("expire_at"), time("abandon_at")].into_iter().flatten().any(|end| end <= now);
    let is_active = session.text("status").as_deref() == Some("active") && !has_ended;
    // Of a session on which somebody else acts, a token would be theirs.
    let is_own = session.value::<serde_json::Map<String, serde_json::Value>>("actor").is_none();
    (is_active && is_own).then(|| time("created_at").unwrap_or_default())
}
