//! Users of whom no event has come yet, as their tokens describe them.

use super::error::Error;
use super::ingest::compare;
use super::{Provisioned, Store};
use crate::audit::Draft;
use crate::event::Version;
use crate::json::Object;
use crate::sync::told;
use crate::user::{ClerkId, Source, User, UserId};

impl Store {
    /// The user whose valid token was shown: the record, made from `claims` (in the form of Clerk's user
    /// object) when no event has come yet, which `entry` then says in the log.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn provision(&self, id: ClerkId, claims: Object, entry: Draft) -> Result<Provisioned, Error> {
        let now = self.now();
        let entry = entry.filing(None, Some(&claims));
        self.write(move |tx| {
            if tx.tombstone(&id)?.is_some() || tx.erased_at(&id)?.is_some() {
                return Ok(Provisioned::Deleted);
            }
            if let Some(user) = tx.user(UserId::of(&id))? {
                return Ok(Provisioned::Found(Box::new(user)));
            }
            let user = tx.new_user(&id, Source::Token, Version::none(), claims.clone())?;
            tx.put_user(None, &user)?;
            tx.append(&entry, now)?;
            Ok(Provisioned::Made(Box::new(user)))
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
