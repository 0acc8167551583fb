//! Users whose token came before any event of them: each is asked for once, however many requests wait for them.
//!
//! Nothing of a person stays here. Whom Clerk gave is held by the requests that wait for the answer and goes with them; what
//! is remembered is that they were asked for. So nobody is put on the roll by an answer that has grown old.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::OnceCell;

use super::{Backend, Error, Patience};
use crate::clock::Timestamp;
use crate::sync::Fetched;
use crate::user::ClerkId;

/// How long nobody asks again for somebody who was asked for, and for nobody at all once Clerk could not answer, in
/// milliseconds.
const COOL_DOWN: i64 = 30 * 1000;

/// The longest that Clerk may make us stay away, in milliseconds.
const LONGEST: i64 = 10 * 60 * 1000;

/// So many people are remembered at most as asked for.
const MOST: usize = 10_000;

/// What asking for somebody led to.
#[derive(Debug, Clone)]
pub enum Lookup {
    /// Clerk has them.
    Found(Arc<Fetched>),
    /// Clerk has nobody of that id.
    Missing,
    /// Clerk did not say, or said it a moment ago to somebody who knows by now.
    Unknown,
}

/// Asks for users one by one.
#[derive(Debug)]
pub struct Lookups {
    backend: Backend,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    asked: HashMap<ClerkId, Asked>,
    /// Until when nobody is asked for, because Clerk could not answer.
    silent_until: Timestamp,
}

#[derive(Debug)]
struct Asked {
    since: Timestamp,
    answer: Arc<OnceCell<Answer>>,
}

#[derive(Debug)]
enum Answer {
    Found(Weak<Fetched>),
    Missing,
    Unknown,
}

impl Lookups {
    /// Asks that API.
    #[must_use]
    pub fn new(backend: Backend) -> Self {
        Self { backend, state: Mutex::default() }
    }

    /// The user of that id. Whoever asks while another does gets the same answer. Within thirty seconds nobody is asked for
    /// twice, and after Clerk was out of reach nobody at all: an outage of Clerk's must not hold up every request here.
    pub async fn user(&self, id: &ClerkId) -> Lookup {
        let Some(answer) = self.asked(id) else { return Lookup::Unknown };
        // Lives until this returns: whoever waits with us finds it alive then.
        let mut found = None;
        let holder = &mut found;
        let answer = answer.get_or_init(|| async move {
            match self.backend.user(id, Patience::Short).await {
                Ok(Some(user)) => Answer::Found(Arc::downgrade(holder.insert(Arc::new(user)))),
                Ok(None) => Answer::Missing,
                Err(cause) => {
                    tracing::warn!(%cause, "clerk.user_not_fetched");
                    self.keep_silent(&cause);
                    Answer::Unknown
                }
            }
        });
        match answer.await {
            Answer::Found(user) => user.upgrade().map_or(Lookup::Unknown, Lookup::Found),
            Answer::Missing => Lookup::Missing,
            Answer::Unknown => Lookup::Unknown,
        }
    }

    /// Where the answer is or will be; `None` when too many people are asked for, or Clerk is left in peace.
    fn asked(&self, id: &ClerkId) -> Option<Arc<OnceCell<Answer>>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.backend.0.clock.now();
        if let Some(last) = state.asked.get(id).filter(|last| is_recent(last.since, now)) {
            return Some(Arc::clone(&last.answer));
        }
        // A clock that was set back makes nobody wait longer than Clerk may ask for.
        if (1..=LONGEST).contains(&(state.silent_until.as_millis() - now.as_millis())) {
            return None;
        }
        if state.asked.len() >= MOST {
            state.asked.retain(|_, last| is_recent(last.since, now));
        }
        if state.asked.len() >= MOST {
            return None;
        }
        let answer = Arc::new(OnceCell::new());
        state.asked.insert(id.clone(), Asked { since: now, answer: Arc::clone(&answer) });
        Some(answer)
    }

    /// Asks for nobody for a while, unless it was this one user of whom Clerk could not speak.
    fn keep_silent(&self, cause: &Error) {
        let wait = match cause {
            Error::NotFound | Error::Refused { .. } | Error::Unreadable => return,
            Error::Limited(wait) => (*wait).max(Duration::from_millis(COOL_DOWN.unsigned_abs())),
            _ => Duration::from_millis(COOL_DOWN.unsigned_abs()),
        };
        let wait = i64::try_from(wait.as_millis()).unwrap_or(LONGEST).min(LONGEST);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.silent_until = self.backend.0.clock.now().plus_millis(wait);
    }
}

/// Whether that was less than the cool-down ago; a clock that was set back makes nobody wait.
fn is_recent(since: Timestamp, now: Timestamp) -> bool {
    (0..COOL_DOWN).contains(&(now.as_millis() - since.as_millis()))
}

#[cfg(test)]
mod tests;
