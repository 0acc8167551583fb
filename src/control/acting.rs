//! Signing in as somebody.

use super::answer::cli;
use super::{Desk, Feed, Reply};
use crate::clerk::backend::{ACTOR_SESSION_LIFE, ACTOR_TOKEN_LIFE};
use crate::http::acting::{Order, sign_in_as};

impl Desk {
    /// Has Clerk make the link.
    pub(super) async fn actor_token(&self, order: Order, feed: &Feed) -> Reply {
        let Some(backend) = &self.backend else {
            let reason = "Clerk makes the link, for whoever has the secret key: set CLERK_SECRET_KEY (sk_…; Clerk \
                          Dashboard, API keys), and restart the server if one runs";
            return Reply::Refused { reason: reason.to_owned() };
        };
        // Clerk may be slow. Whether anybody is there to hear of it is the connection's business.
        let _ = feed.progress(0, None);
        match sign_in_as(&self.store, backend, order, cli().entry("actor_token.created")).await {
            Ok(url) => Reply::ActorToken { url, life: ACTOR_TOKEN_LIFE, session: ACTOR_SESSION_LIFE },
            Err(error) => Reply::Refused { reason: format!("nobody was signed in: {error}") },
        }
    }
}
