//! Clerk's Backend API, as much of it as Rollbook asks for: users, tokens for sessions, and tokens that let one person act
//! as another. Requests go to the one address that is set, in a pinned version of the API, and follow no redirect.
//!
//! The secret key goes into one header and nowhere else: no error, line or `Debug` form holds it.

mod call;
mod lookups;
#[cfg(test)]
mod site;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::clean;
use super::http::{self, Url};
use crate::clock::{Clock, Timestamp};
use crate::json::{self, Object};
use crate::sync::Fetched;
use crate::user::ClerkId;

pub use self::call::{Error, Patience};
pub use self::lookups::{Lookup, Lookups};

/// The version of the API that requests are written for and answers are read by.
/// <https://clerk.com/docs/guides/development/upgrading/versioning>
pub const VERSION: &str = "2026-05-12";

/// The most users that one page has; for more, Clerk silently gives ten.
pub const PAGE: usize = 500;

/// How long an actor token can be redeemed, in seconds.
pub const ACTOR_TOKEN_LIFE: u32 = 10 * 60;

/// How long the session lasts that an actor token opens, in seconds.
pub const ACTOR_SESSION_LIFE: u32 = 30 * 60;

/// The client. Clones share one pool of connections.
#[derive(Clone)]
pub struct Backend(Arc<Inner>);

struct Inner {
    base: Url,
    headers: HeaderMap,
    clock: Clock,
    /// Made at the first call: it reads the system's certificates.
    client: OnceCell<reqwest::Client>,
}

/// What was given as key or address cannot be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadBackend {
    /// No header can hold the key.
    #[error("the secret key has characters that no key has")]
    Key,
    /// The address is no URL.
    #[error("the address is not a URL")]
    Url,
}

/// A stretch of Clerk's users, the oldest first.
#[derive(Debug)]
pub struct Users {
    /// Those that could be read.
    pub users: Vec<Fetched>,
    /// How many could not.
    pub unreadable: u64,
    /// Behind whom to go on; `None` at the end.
    pub next: Option<ClerkId>,
}

/// A token that lets one person act as another, made by Clerk. It is a secret: whoever opens its URL is signed in.
#[derive(Clone)]
pub struct ActorToken {
    /// Clerk's id for it: letters, digits and underscores.
    pub id: String,
    /// What to open; `None` when Clerk gave nothing that a browser should be led to.
    pub url: Option<String>,
}

impl ActorToken {
    /// What Clerk answered; `None` where that has no id by which it could be taken back.
    fn read(answer: &Value) -> Option<Self> {
        let id = answer.get("id").and_then(Value::as_str).filter(|id| is_plain(id))?.to_owned();
        Some(Self { id, url: answer.get("url").and_then(Value::as_str).and_then(page) })
    }
}

fn is_plain(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The address of a page on the internet, or of one on this machine, written as browsers read it: what was given may have
/// characters that they leave out.
fn page(url: &str) -> Option<String> {
    let url: Url = url.parse().ok()?;
    let is_page = url.scheme() == "https" || url.scheme() == "http" && http::is_loopback(&url);
    is_page.then(|| url.into())
}

impl fmt::Debug for ActorToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActorToken").field("id", &self.id).finish_non_exhaustive()
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Backend").field(&self.0.base.as_str()).finish()
    }
}

impl Backend {
    /// A client of the API at `base`, `https://api.clerk.com`, with the instance's secret key. Nothing is asked yet.
    ///
    /// # Errors
    /// When either cannot be one.
    pub fn new(base: &str, key: &str, clock: Clock) -> Result<Self, BadBackend> {
        let base = base.trim_end_matches('/');
        let base = base.strip_suffix("/v1").unwrap_or(base);
        let base: Url = format!("{base}/v1/").parse().map_err(|_| BadBackend::Url)?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| BadBackend::Key)?;
        bearer.set_sensitive(true);
        let mut headers = HeaderMap::new();
        headers.insert("authorization", bearer);
        headers.insert("accept", HeaderValue::from_static("application/json"));
        headers.insert("clerk-api-version", HeaderValue::from_static(VERSION));
        Ok(Self(Arc::new(Inner { base, headers, clock, client: OnceCell::new() })))
    }

    /// A page of at most [`PAGE`] users in the order in which they were created, behind `after` if given.
    ///
    /// # Errors
    /// When Clerk does not give it, or nobody on it can be read. [`Error::NotFound`] or a refusal where there is no user
    /// `after` any more.
    pub async fn users(&self, after: Option<&ClerkId>) -> Result<Users, Error> {
        let limit = PAGE.to_string();
        let mut query = vec![("order_by", "+created_at"), ("limit", &limit)];
        query.extend(after.map(|id| ("starting_after", id.as_str())));
        let at = self.0.clock.now();
        let list: Vec<Value> = self.get(&["users"], &query, Patience::Long).await?;
        let is_full = list.len() >= PAGE;
        let mut page = Users { users: Vec::with_capacity(list.len()), unreadable: 0, next: None };
        // Behind the last that can be read; those at the end come again on the next page, and count there.
        let mut unreadable = 0;
        for user in list {
            if let Some(user) = fetched(user, at) {
                page.users.push(user);
                page.unreadable += std::mem::take(&mut unreadable);
            } else {
                unreadable += 1;
            }
        }
        if is_full {
            page.next = page.users.last().map(|last| last.id.clone());
        } else {
            page.unreadable += unreadable;
        }
        // There is no going on behind nobody, nor where the page is the one before once more.
        let is_stuck = is_full && page.next.is_none() || page.users.iter().any(|user| Some(&user.id) == after);
        if is_stuck { Err(Error::Unreadable) } else { Ok(page) }
    }

    /// One user; `None` when Clerk has none of that id.
    ///
    /// # Errors
    /// When Clerk does not say.
    pub async fn user(&self, id: &ClerkId, patience: Patience) -> Result<Option<Fetched>, Error> {
        let at = self.0.clock.now();
        match self.get(&["users", id.as_str()], &[], patience).await {
            Ok(user) => fetched(user, at).filter(|user| user.id == *id).map(Some).ok_or(Error::Unreadable),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How many users Clerk has.
    ///
    /// # Errors
    /// When Clerk does not say.
    pub async fn count(&self, patience: Patience) -> Result<u64, Error> {
        #[derive(Deserialize)]
        struct Count {
            total_count: u64,
        }
        let count: Count = self.get(&["users", "count"], &[], patience).await?;
        Ok(count.total_count)
    }

    /// The id of the instance that the key is of; `None` when the API does not tell.
    ///
    /// # Errors
    /// When Clerk does not answer.
    pub async fn instance(&self, patience: Patience) -> Result<Option<String>, Error> {
        #[derive(Deserialize)]
        struct Instance {
            id: String,
        }
        match self.get::<Instance>(&["instance"], &[], patience).await {
            Ok(instance) => Ok(Some(instance.id)),
            Err(Error::NotFound | Error::Refused { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A token by which `actor` can act as `user` for a while; `actor` is what the session's tokens say as `act.sub`.
    ///
    /// # Errors
    /// When Clerk makes none: 402 and 422 where the plan has none (left).
    pub async fn actor_token(&self, user: &ClerkId, actor: &str) -> Result<ActorToken, Error> {
        let body = json!({
            "user_id": user.as_str(),
            "actor": { "sub": actor },
            "expires_in_seconds": ACTOR_TOKEN_LIFE,
            "session_max_duration_in_seconds": ACTOR_SESSION_LIFE,
        });
        let made: Value = self.call(Method::POST, &["actor_tokens"], &[], Some(&body), Patience::Short).await?;
        ActorToken::read(&made).ok_or(Error::Unreadable)
    }

    /// Takes back an actor token that nobody has redeemed.
    ///
    /// # Errors
    /// When Clerk does not do so.
    pub async fn revoke_actor_token(&self, id: &str) -> Result<(), Error> {
        let path = ["actor_tokens", id, "revoke"];
        let _: Value = self.call(Method::POST, &path, &[], None, Patience::Short).await?;
        Ok(())
    }

    /// A session token for a session that is active, good for `life` seconds: a secret.
    ///
    /// # Errors
    /// When Clerk makes none; [`Error::NotFound`] when the session is none (any more).
    pub async fn session_token(&self, session: &ClerkId, life: Duration) -> Result<String, Error> {
        #[derive(Deserialize)]
        struct Token {
            jwt: String,
        }
        let body = json!({ "expires_in_seconds": life.as_secs() });
        let path = ["sessions", session.as_str(), "tokens"];
        let token: Token = self.call(Method::POST, &path, &[], Some(&body), Patience::Short).await?;
        Ok(token.jwt)
    }
}

/// A user object as Clerk gave it; `None` when it is none, or has no id that could be one.
fn fetched(user: Value, at: Timestamp) -> Option<Fetched> {
    let Value::Object(mut user) = user else { return None };
    let id = user.get("id").and_then(Value::as_str)?.parse().ok()?;
    let updated_at = user.get("updated_at").and_then(json::whole_number);
    let updated_at = updated_at.map(Timestamp::from_seconds_or_millis).unwrap_or_default();
    clean::clean("user.updated", &mut user);
    Some(Fetched { id, updated_at, at, clerk: Object::new(user) })
}

impl Inner {
    async fn client(&self) -> Result<&reqwest::Client, Error> {
        let made = self.client.get_or_try_init(|| async {
            let base = self.base.clone();
            let made = tokio::task::spawn_blocking(move || http::client(&base)).await;
            made.map_err(|_| Error::Unreachable)?.map_err(|_| Error::NoCertificates)
        });
        made.await
    }
}
