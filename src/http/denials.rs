//! Remembers for a second who was refused, so that one caller's refusals do not fill the log.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;

use crate::audit::Actor;
use crate::clock::Timestamp;

/// So many callers are remembered.
const CALLERS: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// The last second each caller was refused in.
#[derive(Debug)]
pub struct Denials(Mutex<LruCache<Actor, i64>>);

impl Default for Denials {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(CALLERS)))
    }
}

impl Denials {
    /// Whether this is the caller's first refusal in this second.
    pub fn is_first(&self, caller: &Actor, now: Timestamp) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.put(caller.clone(), now.as_seconds()) != Some(now.as_seconds())
    }
}
