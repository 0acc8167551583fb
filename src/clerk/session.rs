//! Session tokens: who is calling. A token is checked in one fixed order, and the signature before the claims,
//! so that nobody learns anything from a claim they made up. See [RFC 8725](https://www.rfc-editor.org/rfc/rfc8725).

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use lru::LruCache;

use super::claims::{Claims, MAX_TOKEN, Token};
pub use super::claims::{Fault, Rules};
use super::jwks::{Keys, NoKey};
use super::key::Key;
pub use super::organization::Organization;
use crate::clock::{Clock, Timestamp};
use crate::user::ClerkId;

/// How many verified tokens are remembered.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// Why a token opens nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// It is not a good token of this instance's.
    #[error("the token is refused: {0}")]
    Invalid(Fault),
    /// It is good, but Clerk says the session still has tasks to do: signed in to nothing yet.
    #[error("the session is pending")]
    Pending(Session),
    /// There are no keys to judge it by.
    #[error("there are no keys to check tokens with")]
    Unavailable {
        /// When trying again may help.
        retry_after_seconds: u64,
    },
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Invalid(fault)
    }
}

/// Somebody's session: proof that a token was checked, for only [`Sessions::verify`] makes one.
#[derive(Clone)]
pub struct Session(Arc<Claims>);

impl Session {
    /// Whose session it is.
    #[must_use]
    pub fn user(&self) -> &ClerkId {
        &self.0.user
    }

    /// Clerk's id of the session, `sess_…`.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0.session.as_str()
    }

    /// Who is using it, when that is somebody else: an admin who signed in as the user.
    #[must_use]
    pub fn actor(&self) -> Option<&ClerkId> {
        self.0.actor.as_ref()
    }

    /// The organisation it is active in.
    #[must_use]
    pub fn organization(&self) -> Option<&Organization> {
        self.0.organization.as_ref()
    }

    /// When the token ends.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.0.times.expires_at
    }

    /// When the token was made.
    #[must_use]
    pub fn issued_at(&self) -> Timestamp {
        self.0.times.issued_at
    }

    /// A claim as text, for what an instance adds to its tokens (`email`, `name`); an empty one counts as absent.
    #[must_use]
    pub fn claim_text(&self, name: &str) -> Option<String> {
        self.0.all.fields().text(name)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The other claims may hold anything, addresses and names among it.
        f.debug_struct("Session").field("user", self.user()).field("id", &self.id()).finish_non_exhaustive()
    }
}

/// The verifier. Clones share what they remember.
#[derive(Clone)]
pub struct Sessions(Arc<Inner>);

struct Inner {
    keys: Keys,
    rules: Rules,
    clock: Clock,
    /// Tokens whose signature and claims were good, by their SHA-256.
    verified: Mutex<LruCache<[u8; 32], Verified>>,
}

#[derive(Clone)]
struct Verified {
    kid: Option<String>,
    /// The very key that was used: when the set no longer holds it, the token is checked afresh.
    key: Arc<Key>,
    session: Session,
}

impl Sessions {
    /// A verifier of tokens signed with `keys` that keep to `rules`.
    #[must_use]
    pub fn new(keys: Keys, rules: Rules, clock: Clock) -> Self {
        Self(Arc::new(Inner { keys, rules, clock, verified: Mutex::new(LruCache::sparse(REMEMBERED)) }))
    }

    /// The keys that tokens are verified with.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.0.keys
    }

    /// Checks a token, as it stands behind `Bearer `.
    ///
    /// # Errors
    /// When it opens nothing: it is not good, the session is pending, or no keys can be had.
    pub async fn verify(&self, token: &str) -> Result<Session, Error> {
        if token.len() > MAX_TOKEN {
            return Err(Fault::TooLong.into());
        }
        let inner = &self.0;
        let mut name = [0; 32];
        name.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        let known = inner.verified().get(&name).cloned();
        if let Some(known) = known {
            let key = inner.key(known.kid.as_deref()).await?;
            if Arc::ptr_eq(&key, &known.key) {
                known.session.0.times.check(inner.clock.now())?;
                return admit(known.session);
            }
        }
        let verified = inner.check(token).await?;
        let session = verified.session.clone();
        inner.verified().put(name, verified);
        admit(session)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("keys", &self.0.keys).field("rules", &self.0.rules).finish_non_exhaustive()
    }
}

impl Inner {
    /// The whole check, signature and all.
    async fn check(&self, token: &str) -> Result<Verified, Error> {
        let token = Token::split(token)?;
        let key = self.key(token.kid.as_deref()).await?;
        if !key.verifies(token.signed, token.signature) {
            return Err(Fault::Signature.into());
        }
        let claims = token.claims(&self.rules, self.clock.now())?;
        Ok(Verified { kid: token.kid, key, session: Session(Arc::new(claims)) })
    }

    async fn key(&self, kid: Option<&str>) -> Result<Arc<Key>, Error> {
        self.keys.find(kid).await.map_err(|reason| match reason {
            NoKey::Unknown => Fault::UnknownKey.into(),
            NoKey::Unavailable { retry_after_seconds } => Error::Unavailable { retry_after_seconds },
        })
    }

    fn verified(&self) -> MutexGuard<'_, LruCache<[u8; 32], Verified>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The session, unless Clerk says it does not count yet.
fn admit(session: Session) -> Result<Session, Error> {
    if session.0.pending { Err(Error::Pending(session)) } else { Ok(session) }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod wycheproof;
