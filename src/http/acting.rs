//! Signing in as somebody: an actor token that Clerk makes, and the entry that says who asked for it, for whom and why.
//!
//! The token's link is a secret that signs its bearer in. It goes to whoever asked, once: it is in no entry, no line and no
//! file. Nobody is given one before the entry is on the disk.

use crate::audit::{Actor, Draft};
use crate::clerk::backend::{self, Backend};
use crate::store::{self, Store};
use crate::user::{ClerkId, User, UserRef};

/// The longest reason, in characters.
pub const LONGEST_REASON: usize = 1000;

/// Who is to be signed in as whom, and why.
#[derive(Debug, Clone)]
pub struct Order {
    /// The user.
    pub user: UserRef,
    /// Clerk's or our id of the user who acts as them, if it is one; else it is whoever asks.
    pub actor: Option<UserRef>,
    /// Why, in the operator's words.
    pub reason: String,
}

/// Why nobody is signed in as somebody. Each is a sentence without a full stop, for whoever asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no reason, or one that is too long.
    #[error("give a reason (at most 1,000 characters)")]
    Reason,
    /// There is no such user.
    #[error("there is no such user")]
    Unknown,
    /// Clerk deleted them, or they were erased here.
    #[error("this user was deleted")]
    Deleted,
    /// Clerk bars them.
    #[error("this user is banned")]
    Banned,
    /// The one who is to act is nobody.
    #[error("who acts has to be Clerk's id of a user, or the id of one on the roll")]
    Actor,
    /// Both are the same.
    #[error("nobody is signed in as themselves")]
    Same,
    /// 402: the instance's plan does not have it.
    #[error("Clerk's plan for this instance does not include it: see Billing in the Clerk Dashboard")]
    Plan,
    /// 422: it has been done too often.
    #[error("Clerk's limit for signing in as users is used up: see Billing in the Clerk Dashboard")]
    Limit,
    /// Clerk has no such user.
    #[error("Clerk has no such user any more; `rollbook sync` takes them off the roll")]
    Gone,
    /// Clerk made a token and no link.
    #[error("Clerk gave no link to open; it has been taken back")]
    NoLink,
    /// Clerk did not make one.
    #[error("{0}")]
    Clerk(backend::Error),
    /// The log could not take it, and it was taken back.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl From<backend::Error> for Error {
    fn from(error: backend::Error) -> Self {
        match error {
            backend::Error::NotFound => Self::Gone,
            backend::Error::Refused { status: 402, .. } => Self::Plan,
            backend::Error::Refused { ref code, .. } if code == "impersonation_limit_exceeded" => Self::Limit,
            error => Self::Clerk(error),
        }
    }
}

impl Error {
    /// The reason as the log has it.
    const fn word(&self) -> &'static str {
        match self {
            Self::Reason => "no_reason",
            Self::Unknown => "unknown",
            Self::Deleted => "deleted",
            Self::Banned => "banned",
            Self::Actor => "unknown_actor",
            Self::Same => "same",
            Self::Plan => "plan",
            Self::Limit => "limit",
            Self::Gone => "not_found",
            Self::NoLink => "no_link",
            Self::Clerk(error) => error.as_str(),
            Self::Store(_) => "store",
        }
    }

    /// Whether it is for whoever asked to ask otherwise, not for Clerk or us to do better.
    #[must_use]
    pub const fn is_theirs(&self) -> bool {
        !matches!(self, Self::NoLink | Self::Clerk(_) | Self::Store(_))
    }
}

/// The link that signs its bearer in as the user, for [`backend::ACTOR_TOKEN_LIFE`] seconds. `entry` says who asked and how;
/// what was asked, and what came of it, is added. It is done to its end also when nobody waits for it any more: what Clerk
/// made is in the log or taken back.
///
/// # Errors
/// When there is to be none; that is in the log too.
pub async fn sign_in_as(store: &Store, backend: &Backend, order: Order, entry: Draft) -> Result<String, Error> {
    let (store, backend) = (store.clone(), backend.clone());
    let work = async move {
        let mut entry = Draft { action: "actor_token.created".to_owned(), ..entry };
        match make(&store, &backend, &order, &mut entry).await {
            Ok(url) => Ok(url),
            Err(error @ Error::Store(_)) => Err(error),
            Err(error) => {
                let refusal = Draft { action: "actor_token.refused".to_owned(), ..entry };
                let outcome = if error.is_theirs() { "denied" } else { "error" };
                store.record(refusal.ended(outcome, error.word())).await?;
                Err(error)
            }
        }
    };
    tokio::spawn(work).await.unwrap_or(Err(Error::Store(store::Error::Panicked)))
}

/// The link, once `entry` is in the log.
async fn make(store: &Store, backend: &Backend, order: &Order, entry: &mut Draft) -> Result<String, Error> {
    let reason = reason(&order.reason)?;
    let user = living(store, &order.user, reason, entry)?;
    let actor = actor(store, order, &entry.actor)?;
    if actor == user.clerk_id {
        return Err(Error::Same);
    }
    *entry = entry.clone().with("actor", Some(actor.as_str()));
    if !store.is_ready() {
        return Err(Error::Store(if store.has_failed() { store::Error::Failed } else { store::Error::ReadOnly }));
    }
    let token = backend.actor_token(&user.clerk_id, actor.as_str()).await?;
    *entry = entry.clone().with("actor_token", Some(&*token.id));
    let Some(url) = token.url else {
        take_back(backend, &token.id).await;
        return Err(Error::NoLink);
    };
    if let Err(error) = store.attest(entry.clone()).await {
        take_back(backend, &token.id).await;
        return Err(error.into());
    }
    Ok(url)
}

/// The reason, if it is one.
///
/// # Errors
/// [`Error::Reason`].
pub fn reason(given: &str) -> Result<&str, Error> {
    let given = given.trim();
    if given.is_empty() || given.chars().count() > LONGEST_REASON { Err(Error::Reason) } else { Ok(given) }
}

/// The user, if they may come in themselves. The entry is about somebody who is on the roll, and says nothing of anybody
/// else: who was erased stays so.
fn living(store: &Store, id: &UserRef, reason: &str, entry: &mut Draft) -> Result<User, Error> {
    let Some(user) = store.user(id.id())? else {
        let UserRef::Clerk(id) = id else { return Err(Error::Unknown) };
        return Err(if store.deleted_at(id)?.is_some() { Error::Deleted } else { Error::Unknown });
    };
    *entry = entry.clone().about(&user.clerk_id).with("reason", Some(reason));
    match () {
        () if user.deleted_at.is_some() => Err(Error::Deleted),
        () if user.profile().banned => Err(Error::Banned),
        () => Ok(user),
    }
}

/// Who acts, by the name that the session's tokens will bear.
fn actor(store: &Store, order: &Order, by: &Actor) -> Result<ClerkId, Error> {
    match &order.actor {
        None => by.acting_name().ok_or(Error::Actor),
        Some(UserRef::Id(id)) => Ok(store.user(*id)?.ok_or(Error::Actor)?.clerk_id),
        // Whoever could write anything here could act in another admin's name.
        Some(UserRef::Clerk(id)) if id.as_str().starts_with("user_") => Ok(id.clone()),
        Some(UserRef::Clerk(_)) => Err(Error::Actor),
    }
}

/// So that nobody can redeem what nobody was given. Where that fails it runs out by itself.
async fn take_back(backend: &Backend, id: &str) {
    if let Err(cause) = backend.revoke_actor_token(id).await {
        tracing::warn!(%cause, "actor_token.not_revoked");
    }
}
