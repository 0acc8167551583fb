//! Remembers for a second who was refused, so that one person's refusals do not fill the log.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;

use crate::clock::Timestamp;
use crate::user::ClerkId;

/// So many people are remembered.
const PEOPLE: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// The last second each person was refused in.
#[derive(Debug)]
pub struct Denials(Mutex<LruCache<ClerkId, i64>>);

impl Default for Denials {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(PEOPLE)))
    }
}

impl Denials {
    /// Whether this is the person's first refusal in this second.
    pub fn is_first(&self, id: &ClerkId, now: Timestamp) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.put(id.clone(), now.as_seconds()) != Some(now.as_seconds())
    }
}
