//! Counts what strangers do, so that the log tells of it without growing by it: one entry a minute for
//! each thing and reason, however often it happened.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::audit::{Actor, Draft, Source};

/// Counters since they were last taken.
#[derive(Debug, Default)]
pub struct Tally(Mutex<BTreeMap<(&'static str, &'static str), u64>>);

impl Tally {
    /// Counts one `action` that was refused for `reason`. Both are words of ours, so their number is bounded.
    pub fn note(&self, action: &'static str, reason: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry((action, reason)).or_default() += 1;
    }

    /// The entries for what was counted since the last call.
    pub fn take(&self) -> Vec<Draft> {
        let counted = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
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
}
