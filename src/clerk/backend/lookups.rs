//! Users whose token came before any event of them: each is asked for once, however many requests wait for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::{Backend, Patience};
use crate::sync::Fetched;
use crate::user::ClerkId;

/// How long nobody asks again for somebody whom Clerk did not give.
const COOL_DOWN: Duration = Duration::from_secs(30);

/// So many people are remembered at most as asked for.
const MOST: usize = 10_000;

/// What asking for somebody led to.
#[derive(Debug, Clone)]
pub enum Lookup {
    /// Clerk has them.
    Found(Arc<Fetched>),
    /// Clerk has nobody of that id.
    Missing,
    /// Clerk did not say, now or a moment ago.
    Unknown,
}

/// Asks for users one by one.
#[derive(Debug)]
pub struct Lookups {
    backend: Backend,
    asked: Mutex<HashMap<ClerkId, Asked>>,
}

#[derive(Debug)]
struct Asked {
    since: Instant,
    answer: Arc<OnceCell<Lookup>>,
}

impl Lookups {
    /// Asks that API.
    #[must_use]
    pub fn new(backend: Backend) -> Self {
        Self { backend, asked: Mutex::default() }
    }

    /// The user of that id. Whoever asks while another does gets the same answer, and so does whoever asks within thirty
    /// seconds of an answer.
    pub async fn user(&self, id: &ClerkId) -> Lookup {
        let Some(answer) = self.asked(id) else { return Lookup::Unknown };
        let ask = || async {
            match self.backend.user(id, Patience::Short).await {
                Ok(Some(user)) => Lookup::Found(Arc::new(user)),
                Ok(None) => Lookup::Missing,
                Err(cause) => {
                    tracing::warn!(%cause, "clerk.user_not_fetched");
                    Lookup::Unknown
                }
            }
        };
        answer.get_or_init(ask).await.clone()
    }

    /// Where the answer is or will be; `None` when too many people are asked for.
    fn asked(&self, id: &ClerkId) -> Option<Arc<OnceCell<Lookup>>> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if asked.get(id).is_none_or(|last| now.duration_since(last.since) >= COOL_DOWN) && asked.len() >= MOST {
            asked.retain(|_, last| now.duration_since(last.since) < COOL_DOWN);
        }
        match asked.get(id) {
            Some(last) if now.duration_since(last.since) < COOL_DOWN => Some(Arc::clone(&last.answer)),
            _ if asked.len() >= MOST => None,
            _ => {
                let answer = Arc::new(OnceCell::new());
                asked.insert(id.clone(), Asked { since: now, answer: Arc::clone(&answer) });
                Some(answer)
            }
        }
    }
}

#[cfg(test)]
mod tests;
