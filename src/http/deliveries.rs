//! What is known of deliveries beside their transactions: those that were refused, how long the others took, which secret
//! they carried. Counted by the hour here, and added to the file every minute; the last of them are remembered one by one
//! until the server stops.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::event::Outcome;
use crate::store::Ingested;
use crate::traffic::{Hour, SecretUse, hour_of};

/// How many are remembered that carried a good signature, and how many that were refused for want of one: strangers do
/// not push Clerk's out.
const SIGNED: usize = 400;
const UNSIGNED: usize = 100;

/// The longest type that is remembered, in characters: it may be as long as the body that names it.
const LONGEST_KIND: usize = 128;

/// Why a delivery with a good signature was not taken.
pub(super) const UNAVAILABLE: &str = "unavailable";

/// Deliveries as they came.
#[derive(Debug, Default)]
pub struct Deliveries(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// What the file does not have yet, by the hour.
    fresh: BTreeMap<u64, Hour>,
    signed: VecDeque<Attempt>,
    unsigned: VecDeque<Attempt>,
}

/// One delivery.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) at: Timestamp,
    /// Where it came from.
    pub(super) ip: IpAddr,
    /// The message's id, as far as it is one; of a refused delivery anybody can have put it there.
    pub(super) message: Option<String>,
    /// What is known of it if its signature was good.
    pub(super) signed: Option<Signed>,
    pub(super) end: End,
}

/// A delivery with a good signature.
#[derive(Debug, Clone)]
pub(super) struct Signed {
    /// The event's type.
    pub(super) kind: Option<String>,
    /// Whether it is a test of Rollbook's own.
    pub(super) is_own: bool,
    /// The place of the secret, from 1.
    pub(super) secret: usize,
    /// How far our clock is before the sender's, in seconds; some of that is the time it took to come.
    pub(super) ahead: i64,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    /// It was taken, in so long from the whole body to the answer.
    Taken(Ingested, Duration),
    /// It was not, for a reason that is a word of ours.
    Refused(&'static str),
}

impl End {
    /// The outcome or the reason.
    pub(super) const fn as_str(&self) -> &'static str {
        match self {
            Self::Taken(ingested, _) => ingested.outcome.as_str(),
            Self::Refused(reason) => reason,
        }
    }

    /// Whether it had come before.
    pub(super) fn is_repeat(&self) -> bool {
        matches!(self, Self::Taken(Ingested { outcome: Outcome::Duplicate, .. }, _))
    }
}

impl Deliveries {
    /// Counts and remembers a delivery; of one with a good signature, under the secret's fingerprint.
    pub(super) fn note(&self, mut attempt: Attempt, fingerprint: &str) {
        let mut kept = self.lock();
        let is_own = attempt.signed.as_ref().is_some_and(|signed| signed.is_own);
        if !is_own {
            kept.count(&attempt, fingerprint);
        }
        if let Some(kind) = attempt.signed.as_mut().and_then(|signed| signed.kind.as_mut()) {
            let end = kind.char_indices().nth(LONGEST_KIND).map_or(kind.len(), |(at, _)| at);
            kind.truncate(end);
        }
        let (ring, most) = match attempt.signed {
            Some(_) => (&mut kept.signed, SIGNED),
            None => (&mut kept.unsigned, UNSIGNED),
        };
        if ring.len() == most {
            ring.pop_front();
        }
        ring.push_back(attempt);
    }

    /// What was counted since the last call, for the file.
    pub fn take(&self) -> Vec<Hour> {
        std::mem::take(&mut self.lock().fresh).into_values().collect()
    }

    /// What the next call of [`Deliveries::take`] would be given.
    pub(super) fn fresh(&self) -> Vec<Hour> {
        self.lock().fresh.values().cloned().collect()
    }

    /// The last deliveries, newest first.
    pub(super) fn last(&self) -> Vec<Attempt> {
        let kept = self.lock();
        let mut all: Vec<Attempt> = kept.signed.iter().chain(&kept.unsigned).rev().cloned().collect();
        drop(kept);
        all.sort_by_key(|attempt| std::cmp::Reverse(attempt.at));
        all
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn count(&mut self, attempt: &Attempt, fingerprint: &str) {
        let number = hour_of(attempt.at);
        let hour = self.fresh.entry(number).or_insert_with(|| Hour::new(number));
        if let Some(signed) = &attempt.signed {
            hour.note_secret(fingerprint, SecretUse { place: signed.secret, count: 1, last_at: attempt.at });
        }
        match attempt.end {
            End::Taken(_, took) => hour.took.note(u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
            End::Refused(reason) => hour.note_refused(reason, 1),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn attempt(at: i64, kind: Option<&str>) -> Attempt {
        Attempt {
            at: Timestamp::from_millis(at),
            ip: "192.0.2.1".parse().unwrap(),
            message: None,
            signed: kind.map(|kind| Signed { kind: Some(kind.to_owned()), is_own: false, secret: 1, ahead: 0 }),
            end: End::Refused("bad_signature"),
        }
    }

    #[test]
    fn strangers_do_not_push_out_what_was_signed() {
        let deliveries = Deliveries::default();
        deliveries.note(attempt(0, Some(&"é".repeat(1000))), "");
        for at in 1..=1000 {
            deliveries.note(attempt(at, None), "");
        }
        let last = deliveries.last();
        assert_eq!(last.len(), UNSIGNED + 1);
        let ends = [last.first().unwrap().at, last.get(UNSIGNED).unwrap().at].map(Timestamp::as_millis);
        assert_eq!(ends, [1000, 0]);
        let kind = last.last().and_then(|attempt| attempt.signed.as_ref()?.kind.clone()).unwrap();
        assert_eq!(kind.chars().count(), LONGEST_KIND);
        for at in 0..1000 {
            deliveries.note(attempt(at, Some("user.created")), "");
        }
        assert_eq!(deliveries.last().len(), UNSIGNED + SIGNED);
    }
}
