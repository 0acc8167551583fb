//! Users of whom no event has come yet, as Clerk describes them when it is asked, else their tokens.

use std::sync::Arc;

use super::error::Error;
use super::ingest::compare;
use super::{Provisioned, Store};
use crate::audit::Draft;
use crate::event::Version;
use crate::json::Object;
use crate::sync::{Fetched, told};
use crate::user::{ClerkId, Source, User, UserId};

/// Who told of a user of whom no event has come.
#[derive(Debug, Clone)]
pub enum Told {
    /// A valid token, whose claims are put into the form of Clerk's user object.
    ByToken(Object),
    /// Clerk, who was asked.
    ByClerk(Arc<Fetched>),
}

impl Told {
    fn clerk(&self) -> &Object {
        match self {
            Self::ByToken(claims) => claims,
            Self::ByClerk(fetched) => &fetched.clerk,
        }
    }

    fn version(&self) -> Version {
        match self {
            Self::ByToken(_) => Version::none(),
            Self::ByClerk(fetched) => fetched.version(),
        }
    }

    const fn source(&self) -> Source {
        match self {
            Self::ByToken(_) => Source::Token,
            Self::ByClerk(_) => Source::Sync,
        }
    }

    /// How an entry says it.
    const fn word(&self) -> &'static str {
        match self {
            Self::ByToken(_) => "token",
            Self::ByClerk(_) => "clerk",
        }
    }
}

impl Store {
    /// The user whose valid token was shown: the record, made of what was `told` when no event has come yet. `entry`, a
    /// `user.provisioned`, then says so in the log. Where a token alone had told so far and Clerk tells now, the record is
    /// brought up to that, and the entry is a `user.updated`.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn provision(&self, id: ClerkId, told: Told, entry: Draft) -> Result<Provisioned, Error> {
        let (now, policy) = (self.now(), self.0.policy.clone());
        let entry = entry.with("from", Some(told.word()));
        self.write(move |tx| {
            if tx.tombstone(&id)?.is_some() || tx.erased_at(&id)?.is_some() {
                return Ok(Provisioned::Deleted);
            }
            let clerk = told.clerk();
            let Some(before) = tx.user(UserId::of(&id))? else {
                let user = tx.new_user(&id, told.source(), told.version(), clerk.clone())?;
                tx.put_user(None, &user)?;
                tx.append(&entry.clone().filing(None, Some(clerk)), now)?;
                return Ok(Provisioned::Made(Box::new(user)));
            };
            // An event may have come in between. What it said may be older, but what is newer is on its way as well.
            if !(before.is_told_by_tokens() && matches!(told, Told::ByClerk(_))) {
                return Ok(Provisioned::Found(Box::new(before)));
            }
            let effect = compare(&before.clerk.fields(), &clerk.fields(), &policy);
            let mut entry = entry.clone().filing(Some(&before.clerk), Some(clerk));
            "user.updated".clone_into(&mut entry.action);
            entry.changed = effect.changed;
            let changes = (!effect.values.is_empty()).then_some(effect.values);
            tx.append(&entry.with("changes", changes), now)?;
            let after = User { clerk: clerk.clone(), version: told.version(), source: told.source(), ..before.clone() };
            tx.put_user(Some(&before), &after)?;
            Ok(Provisioned::Found(Box::new(after)))
        })
        .await
    }

    /// Brings the record of a user of whom only tokens have told up to the `claims` of a younger one, which `entry` then
    /// says in the log. The record as it is now; `None` when there is none any more.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn refresh(&self, id: UserId, claims: Object, entry: Draft) -> Result<Option<User>, Error> {
        let (now, policy) = (self.now(), self.0.policy.clone());
        self.write(move |tx| {
            let Some(before) = tx.user(id)? else { return Ok(None) };
            // An event may have come in between, and beats every token.
            let Some(clerk) = told(&before.clerk, &claims).filter(|_| before.is_told_by_tokens()) else {
                return Ok(Some(before));
            };
            let effect = compare(&before.clerk.fields(), &clerk.fields(), &policy);
            let mut entry = entry.clone().filing(Some(&before.clerk), Some(&clerk));
            entry.changed = effect.changed;
            let changes = (!effect.values.is_empty()).then_some(effect.values);
            tx.append(&entry.with("changes", changes), now)?;
            let after = User { clerk, ..before.clone() };
            tx.put_user(Some(&before), &after)?;
            Ok(Some(after))
        })
        .await
    }
}
