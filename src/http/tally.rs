//! Counts what strangers do, so that the log tells of it without growing by it: one entry a minute for
//! each thing and reason, however often it happened.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::audit::{Actor, Draft, Source};

/// How often each action was refused for each reason.
type Counters = BTreeMap<(&'static str, &'static str), u64>;

/// Counters since they were last taken, and since the start.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Counted>);

#[derive(Debug, Default)]
struct Counted {
    fresh: Counters,
    total: Counters,
}

impl Tally {
    /// Counts one `action` that was refused for `reason`. Both are words of ours, so their number is bounded.
    pub fn note(&self, action: &'static str, reason: &'static str) {
        let mut counted = self.lock();
        *counted.fresh.entry((action, reason)).or_default() += 1;
        *counted.total.entry((action, reason)).or_default() += 1;
    }

    /// What was counted since the start.
    pub(super) fn totals(&self) -> Counters {
        self.lock().total.clone()
    }

    /// The entries for what was counted since the last call.
    pub fn take(&self) -> Vec<Draft> {
        let counted = std::mem::take(&mut self.lock().fresh);
        let entry = |((action, reason), count): ((&str, &'static str), u64)| {
            let source = match action.split_once('.') {
                Some(("webhook", _)) => Source::Webhook,
                Some(("admin", _)) => Source::Admin,
                _ => Source::Api,
            };
            let mut draft = Draft::new(action, Actor::Anonymous, source).ended("denied", reason);
            draft.count = Some(count);
            draft
        };
        counted.into_iter().map(entry).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
