//! Counts what happens too often for an entry each, so that the log tells of it without growing by it: what strangers
//! do, and what servers do every few seconds. One entry a minute for each actor, thing and reason, however often it was.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::api_key::KeyId;
use crate::audit::{Actor, Draft, Source};

/// How often each action was refused for each reason.
type Refusals = BTreeMap<(&'static str, &'static str), u64>;

/// Counters since they were last taken, and since the start.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Counts>);

/// What is counted. Words are ours and keys are made by admins, so the number of counters is bounded.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Counted {
    /// The key; `None` for everybody else.
    key: Option<KeyId>,
    action: &'static str,
    /// Why it was refused; `None` when it was done.
    reason: Option<&'static str>,
}

#[derive(Debug, Default)]
struct Counts {
    fresh: BTreeMap<Counted, u64>,
    refusals: Refusals,
}

impl Tally {
    /// Counts one `action` that was refused for `reason`, to whomever.
    pub fn refused(&self, action: &'static str, reason: &'static str) {
        self.count(Counted { key: None, action, reason: Some(reason) });
    }

    /// The same for the bearer of a key.
    pub fn refused_to(&self, key: &KeyId, action: &'static str, reason: &'static str) {
        self.count(Counted { key: Some(key.clone()), action, reason: Some(reason) });
    }

    /// Counts one `action` that the bearer of a key did.
    pub fn done_by(&self, key: &KeyId, action: &'static str) {
        self.count(Counted { key: Some(key.clone()), action, reason: None });
    }

    fn count(&self, counted: Counted) {
        let mut counts = self.lock();
        if let Some(reason) = counted.reason {
            *counts.refusals.entry((counted.action, reason)).or_default() += 1;
        }
        *counts.fresh.entry(counted).or_default() += 1;
    }

    /// What was refused since the start.
    pub(super) fn refusals(&self) -> Refusals {
        self.lock().refusals.clone()
    }

    /// The entries for what was counted since the last call.
    pub fn take(&self) -> Vec<Draft> {
        let counted = std::mem::take(&mut self.lock().fresh);
        let entry = |(Counted { key, action, reason }, count)| {
            let source = match action.split_once('.') {
                Some(("webhook", _)) => Source::Webhook,
                Some(("admin", _)) => Source::Admin,
                _ => Source::Api,
            };
            let mut draft = Draft::new(action, key.map_or(Actor::Anonymous, Actor::Key), source);
            if let Some(reason) = reason {
                draft = draft.ended("denied", reason);
            }
            draft.count = Some(count);
            draft
        };
        counted.into_iter().map(entry).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
