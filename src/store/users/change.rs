//! What operators change of users: what is theirs on the record, what is counted, and that somebody is gone.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::Store;
use super::super::error::Error;
use super::super::tx::Tx;
use super::Revision;
use crate::audit::{Draft, field_names};
use crate::clock::Timestamp;
use crate::sync::DeletePolicy;
use crate::user::{Assignment, Counter, Plan, PracticeId, Role, Standing, Subscription, User, UserId};

/// So many counters a user may have.
const MAX_COUNTERS: usize = 64;

/// The most a counter may say: the greatest whole number that every reader of JSON takes for what it is (RFC 8259 §6).
pub const MAX_COUNT: u64 = (1 << 53) - 1;

/// What somebody did who was shown a record and changed nothing of it.
const READ: &str = "user.read";

/// What an operator changes of a user. `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct UserPatch {
    /// The role.
    pub role: Option<Role>,
    /// The practice, or that there is none any more.
    pub practice_id: Option<Option<PracticeId>>,
    /// The subscription's plan.
    pub plan: Option<Plan>,
    /// The subscription's state.
    pub status: Option<Standing>,
}

/// Which states of a record the caller has seen and means to change; any at all when `None`.
pub type Expected = Option<Vec<Revision>>;

/// Why a user was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The record is in another state than the caller expects: read it again.
    #[error("the record was changed in the meantime")]
    Outdated,
    /// The user would have too many counters, or one that says too much.
    #[error("a user has at most 64 counters, and a counter goes to 2^53-1")]
    Full,
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] Error),
}

impl Store {
    /// Changes what is the operator's of a user; `None` when there is no such user. `entry` says so in the log, with what
    /// changed; when nothing did, it says that the record was read.
    ///
    /// # Errors
    /// When the record is not in a state expected, or the store takes no writes.
    pub async fn set_user(
        &self,
        id: UserId,
        patch: UserPatch,
        expected: Expected,
        entry: Draft,
    ) -> Result<Option<User>, ChangeError> {
        let now = self.now();
        self.write(move |tx| {
            let Some(before) = tx.user(id)? else { return Ok(Ok(None)) };
            if !fits(&before, expected.as_deref()) {
                return Ok(Err(ChangeError::Outdated));
            }
            let after = tx.patched(&before, &patch, now)?;
            let changes = changes(&before, &after);
            let mut entry = entry.clone().about(&before.clerk_id);
            if changes.is_empty() {
                READ.clone_into(&mut entry.action);
                tx.append(&entry, now)?;
            } else {
                entry.changed = field_names(changes.keys().map(String::as_str));
                tx.append(&entry.with("changes", Some(changes)), now)?;
                tx.put_user(Some(&before), &after)?;
            }
            Ok(Ok(Some(after)))
        })
        .await?
    }

    /// Adds to what is counted of a user, all of it or nothing; `None` when there is no such user. `entry` says so in the
    /// log, with the amounts.
    ///
    /// # Errors
    /// When the record is not in a state expected, a counter would say too much, or the store takes no writes.
    pub async fn add_usage(
        &self,
        id: UserId,
        amounts: BTreeMap<Counter, u64>,
        expected: Expected,
        entry: Draft,
    ) -> Result<Option<User>, ChangeError> {
        let now = self.now();
        self.write(move |tx| {
            let Some(before) = tx.user(id)? else { return Ok(Ok(None)) };
            if !fits(&before, expected.as_deref()) {
                return Ok(Err(ChangeError::Outdated));
            }
            let Some(usage) = sum(&before.usage, &amounts) else { return Ok(Err(ChangeError::Full)) };
            let after = User { usage, ..before.clone() };
            let mut entry = entry.clone().about(&before.clerk_id);
            entry.changed = field_names(amounts.keys().map(Counter::as_str));
            tx.append(&entry.with("amounts", Some(json!(amounts))), now)?;
            tx.put_user(Some(&before), &after)?;
            Ok(Ok(Some(after)))
        })
        .await?
    }

    /// Deletes a user as an event of Clerk's would. `entry` says so in the log, unless they are deleted already. Says
    /// whether there is such a user, or something left of one.
    ///
    /// # Errors
    /// When the record is not in a state expected, or the store takes no writes.
    pub async fn delete_user(&self, id: UserId, expected: Expected, entry: Draft) -> Result<bool, ChangeError> {
        let (now, policy) = (self.now(), self.0.policy.clone());
        self.write(move |tx| {
            let Some(user) = tx.user(id)? else { return Ok(Ok(false)) };
            if !fits(&user, expected.as_deref()) {
                return Ok(Err(ChangeError::Outdated));
            }
            if user.deleted_at.is_none() || policy.delete == DeletePolicy::Hard {
                let mut entry = entry.clone().about(&user.clerk_id);
                (_, entry.handles) = tx.take_off_roll(&user.clerk_id, now, &policy)?;
                tx.append(&entry, now)?;
            }
            Ok(Ok(true))
        })
        .await?
    }
}

impl Tx<'_> {
    /// The user as an operator wants them. Of a subscription they say half of, the other half stays.
    fn patched(&self, before: &User, patch: &UserPatch, now: Timestamp) -> Result<User, Error> {
        let mut user = before.clone();
        user.role = patch.role.clone().unwrap_or(user.role);
        user.practice_id = patch.practice_id.clone().unwrap_or(user.practice_id);
        if patch.plan.is_some() || patch.status.is_some() {
            let Subscription { plan, status } = user.subscription.clone();
            let subscription = Subscription {
                plan: patch.plan.clone().map_or(plan, Into::into),
                status: patch.status.clone().map_or(status, Into::into),
            };
            // Whoever says the same again has said nothing new.
            let is_said = user.assigned.as_ref().is_some_and(|said| said.subscription == subscription);
            if !is_said || subscription != user.subscription {
                // Clocks differ, and what was known when the operator spoke is no later news.
                let at = self.billed_at(&user.clerk_id)?.map_or(now, |billed| billed.max(now));
                user.assigned = Some(Assignment { subscription, at });
                user.subscription = self.subscription(&user.clerk_id, user.assigned.as_ref())?;
            }
        }
        Ok(user)
    }
}

/// Whether the record is in one of the states expected.
fn fits(user: &User, expected: Option<&[Revision]>) -> bool {
    expected.is_none_or(|expected| expected.contains(&Revision::of(user)))
}

/// What an operator changed, from what to what.
fn changes(before: &User, after: &User) -> Map<String, Value> {
    let mut changes = Map::new();
    let mut put = |name: &str, changed: bool, before: Value, after: Value| {
        if changed {
            changes.insert(name.to_owned(), json!({ "before": before, "after": after }));
        }
    };
    put("role", before.role != after.role, json!(before.role), json!(after.role));
    let (practice, other) = (&before.practice_id, &after.practice_id);
    put("practice_id", practice != other, json!(practice), json!(other));
    // Also what only confirms a subscription is said: from then on older news of it does not count.
    let is_said = before.assigned != after.assigned;
    put("subscription", is_said, json!(before.subscription), json!(after.subscription));
    changes
}

/// The counters after that; `None` when there would be too many, or one would say too much.
fn sum(usage: &BTreeMap<String, u64>, amounts: &BTreeMap<Counter, u64>) -> Option<BTreeMap<String, u64>> {
    let mut usage = usage.clone();
    for (counter, amount) in amounts {
        let count = usage.entry(counter.to_string()).or_default();
        *count = count.checked_add(*amount).filter(|count| *count <= MAX_COUNT)?;
    }
    (usage.len() <= MAX_COUNTERS).then_some(usage)
}
