//! Users' subscriptions kept in step with the mirrored objects of Clerk Billing.

use std::collections::BTreeSet;

use redb::ReadableTable as _;

use super::error::Error;
use super::tables::Tables;
use super::tx::Tx;
use crate::clock::Timestamp;
use crate::event::{Mirrored, ObjectKey};
use crate::user::{Assignment, BILLING, ClerkId, Subscription, User, UserId};

/// A subscription that is another one now.
pub(super) struct Moved {
    pub(super) user: ClerkId,
    pub(super) before: Subscription,
    pub(super) after: Subscription,
}

impl Tx<'_> {
    /// The user's subscription, by what Clerk Billing says and what an operator said.
    pub(super) fn subscription(&self, id: &ClerkId, assigned: Option<&Assignment>) -> Result<Subscription, Error> {
        self.tables.subscription(id, assigned)
    }

    /// When what Clerk Billing says of the user was last changed.
    pub(super) fn billed_at(&self, id: &ClerkId) -> Result<Option<Timestamp>, Error> {
        Ok(Subscription::billed_at(&self.tables.billing(id)?))
    }

    /// Works out again what the payers of an object have subscribed to, those it had and those it has. Nothing to do
    /// for people who are not on the roll: it is worked out when they come.
    pub(super) fn settle_payers(
        &mut self,
        key: &ObjectKey,
        before: Option<&Mirrored>,
        after: &Mirrored,
    ) -> Result<Vec<Moved>, Error> {
        let mut moved = Vec::new();
        if !BILLING.contains(&key.kind.as_str()) {
            return Ok(moved);
        }
        let parents = before.into_iter().chain([after]).flat_map(|object| &object.parents);
        let payers: BTreeSet<&ClerkId> = parents.filter(|parent| parent.kind == "user").map(|user| &user.id).collect();
        for payer in payers {
            let Some(kept) = self.user(UserId::of(payer))? else { continue };
            let subscription = self.subscription(payer, kept.assigned.as_ref())?;
            if subscription != kept.subscription {
                moved.push(Moved {
                    user: payer.clone(),
                    before: kept.subscription.clone(),
                    after: subscription.clone(),
                });
                self.put_user(Some(&kept), &User { subscription, ..kept.clone() })?;
            }
        }
        Ok(moved)
    }
}

impl Tables<'_> {
    /// As [`Tx::subscription`].
    pub(super) fn subscription(&self, id: &ClerkId, assigned: Option<&Assignment>) -> Result<Subscription, Error> {
        Ok(Subscription::of(assigned, &self.billing(id)?))
    }

    /// What Clerk Billing says of the user.
    fn billing(&self, id: &ClerkId) -> Result<Vec<(ObjectKey, Mirrored)>, Error> {
        let parent = ObjectKey { kind: "user".to_owned(), id: id.clone() }.to_string();
        let mut billing = Vec::new();
        for kind in BILLING {
            for row in self.object_children.range((parent.as_str(), kind, "")..)? {
                let row = row?.0;
                let (listed_by, of_kind, object) = row.value();
                if listed_by != parent || of_kind != kind {
                    break;
                }
                let id = object.parse().map_err(|_| Error::Corrupt("an object"))?;
                let Some(row) = self.objects.get((kind, object))? else { continue };
                let mirrored = serde_json::from_slice(row.value()).map_err(|_| Error::Corrupt("a mirrored object"))?;
                billing.push((ObjectKey { kind: kind.to_owned(), id }, mirrored));
            }
        }
        Ok(billing)
    }
}
