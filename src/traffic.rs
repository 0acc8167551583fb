//! What came in, by the hour: what became of the deliveries, what was refused, how long the taken ones took, which
//! signing secret they carried, and how many users there were. Numbers only, and nobody's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::event::Outcome;
use crate::histogram::{DURATIONS, Histogram};

/// Milliseconds in an hour.
const HOUR: i64 = 60 * 60 * 1000;

/// The types of events that Rollbook sends itself, to see whether they arrive, begin so. Clerk's never do.
const OWN: &str = "rollbook.";

/// The hour of a moment: how many hours had gone by since 1970.
#[must_use]
pub fn hour_of(at: Timestamp) -> u64 {
    u64::try_from(at.as_millis().div_euclid(HOUR)).unwrap_or_default()
}

/// When an hour began.
#[must_use]
pub fn start_of(hour: u64) -> Timestamp {
    Timestamp::from_millis(i64::try_from(hour).unwrap_or(i64::MAX).saturating_mul(HOUR))
}

/// Whether an event of that type is a test that Rollbook sent to itself, and none of Clerk's.
#[must_use]
pub fn is_own(kind: &str) -> bool {
    kind.starts_with(OWN)
}

/// One hour, or several added up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hour {
    /// Which ([`hour_of`]); the first of them, of several.
    #[serde(skip)]
    pub hour: u64,
    /// What became of the deliveries.
    #[serde(default, skip_serializing_if = "Outcomes::is_empty")]
    pub outcomes: Outcomes,
    /// Deliveries that were not taken, by the reason: a word of ours.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, u64>,
    /// How long those of Clerk's that were taken took, from the whole body to the answer, in microseconds.
    #[serde(default = "durations", skip_serializing_if = "is_unused", with = "steps")]
    pub took: Histogram,
    /// Which signing secrets matched, by their fingerprint: a rotation does not mix them up.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, SecretUse>,
    /// Users on the roll at the end of it.
    #[serde(default)]
    pub users: u64,
    /// Deleted users whose record was kept at the end of it.
    #[serde(default)]
    pub deleted: u64,
}

/// How many deliveries came to what. Rollbook's own tests are under `test` alone, whatever became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "they are the words of `Outcome`")]
pub struct Outcomes {
    #[serde(skip_serializing_if = "is_zero")]
    pub applied: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub unchanged: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub stale: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub duplicate: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub recorded: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub quarantined: u64,
    /// Rollbook's own.
    #[serde(skip_serializing_if = "is_zero")]
    pub test: u64,
}

/// How often a signing secret matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretUse {
    /// Its place in the settings when it last did, from 1.
    pub place: usize,
    /// How many deliveries carried its signature.
    pub count: u64,
    /// When the last of them came.
    pub last_at: Timestamp,
}

impl Hour {
    /// An hour in which nothing has come yet.
    #[must_use]
    pub fn new(hour: u64) -> Self {
        Self {
            hour,
            outcomes: Outcomes::default(),
            refused: BTreeMap::new(),
            took: durations(),
            secrets: BTreeMap::new(),
            users: 0,
            deleted: 0,
        }
    }

    /// Adds what came in another, and leaves the numbers of users alone.
    pub fn count(&mut self, other: &Self) {
        self.outcomes.add(&other.outcomes);
        for (reason, count) in &other.refused {
            self.note_refused(reason, *count);
        }
        self.took.add(&other.took);
        for (secret, used) in &other.secrets {
            self.note_secret(secret, *used);
        }
    }

    /// Adds a later hour: what came is summed up, and the numbers of users are those at its end.
    pub fn add(&mut self, later: &Self) {
        self.count(later);
        (self.users, self.deleted) = (later.users, later.deleted);
    }

    /// Counts deliveries that were refused.
    pub fn note_refused(&mut self, reason: &str, count: u64) {
        if let Some(known) = self.refused.get_mut(reason) {
            *known += count;
        } else {
            self.refused.insert(reason.to_owned(), count);
        }
    }

    /// Counts deliveries that carried a secret's signature.
    pub fn note_secret(&mut self, fingerprint: &str, used: SecretUse) {
        match self.secrets.get_mut(fingerprint) {
            Some(known) => {
                known.count += used.count;
                if used.last_at >= known.last_at {
                    (known.place, known.last_at) = (used.place, used.last_at);
                }
            }
            None => drop(self.secrets.insert(fingerprint.to_owned(), used)),
        }
    }
}

impl Outcomes {
    /// Counts a delivery, by what became of it; one of Rollbook's own apart.
    pub const fn note(&mut self, outcome: Outcome, is_own: bool) {
        let count = match outcome {
            _ if is_own => &mut self.test,
            Outcome::Applied => &mut self.applied,
            Outcome::Unchanged => &mut self.unchanged,
            Outcome::Stale => &mut self.stale,
            Outcome::Duplicate => &mut self.duplicate,
            Outcome::Recorded => &mut self.recorded,
            Outcome::Quarantined => &mut self.quarantined,
        };
        *count += 1;
    }

    /// How many of Clerk's were taken, whatever became of them.
    #[must_use]
    pub const fn taken(&self) -> u64 {
        self.applied + self.unchanged + self.stale + self.duplicate + self.recorded + self.quarantined
    }

    const fn add(&mut self, other: &Self) {
        self.applied += other.applied;
        self.unchanged += other.unchanged;
        self.stale += other.stale;
        self.duplicate += other.duplicate;
        self.recorded += other.recorded;
        self.quarantined += other.quarantined;
        self.test += other.test;
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

fn durations() -> Histogram {
    Histogram::new(DURATIONS)
}

fn is_unused(histogram: &Histogram) -> bool {
    histogram.count() == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands in a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A histogram as its sum and its counts, as far as they are not zero.
mod steps {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::histogram::{DURATIONS, Histogram};

    pub(super) fn serialize<S: Serializer>(histogram: &Histogram, serializer: S) -> Result<S::Ok, S::Error> {
        let used = histogram.counts().iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        (histogram.sum(), histogram.counts().get(..used)).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Histogram, D::Error> {
        let (sum, counts) = <(u64, Vec<u64>)>::deserialize(deserializer)?;
        Histogram::of(DURATIONS, &counts, sum).ok_or_else(|| D::Error::custom("more steps than there are bounds"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn used(place: usize, count: u64, last_at: i64) -> SecretUse {
        SecretUse { place, count, last_at: Timestamp::from_millis(last_at) }
    }

    fn busy() -> Hour {
        let mut hour = Hour { users: 7, deleted: 2, ..Hour::new(3) };
        hour.outcomes.note(Outcome::Applied, false);
        hour.outcomes.note(Outcome::Recorded, true);
        hour.note_refused("bad_signature", 4);
        hour.took.note(700);
        hour.note_secret("0a0b0c0d", used(1, 2, 50));
        hour
    }

    #[test]
    fn an_hour_is_written_short_and_read_back() {
        let text = serde_json::to_string(&busy()).unwrap();
        assert_eq!(
            text,
            r#"{"outcomes":{"applied":1,"test":1},"refused":{"bad_signature":4},"took":[700,[0,0,0,1]],"secrets":{"0a0b0c0d":{"place":1,"count":2,"last_at":50}},"users":7,"deleted":2}"#
        );
        assert_eq!(Hour { hour: 3, ..serde_json::from_str(&text).unwrap() }, busy());
        let empty: Hour = serde_json::from_str("{}").unwrap();
        assert_eq!(empty, Hour::new(0));
        let long = format!(r#"{{"took":[1,[{}1]]}}"#, "0,".repeat(DURATIONS.len() + 1));
        assert!(serde_json::from_str::<Hour>(&long).is_err());
    }

    #[test]
    fn hours_add_up() {
        let mut day = busy();
        let mut later = Hour { users: 9, deleted: 1, ..Hour::new(4) };
        later.outcomes.note(Outcome::Duplicate, false);
        later.note_refused("bad_signature", 1);
        later.note_refused("unavailable", 1);
        later.took.note(100);
        later.note_secret("0a0b0c0d", used(2, 1, 90));
        later.note_secret("ffffffff", used(1, 1, 80));
        day.add(&later);
        assert_eq!((day.hour, day.users, day.deleted), (3, 9, 1));
        assert_eq!((day.outcomes.taken(), day.outcomes.test), (2, 1), "tests are not Clerk's");
        assert_eq!((day.took.count(), day.took.sum()), (2, 800));
        assert_eq!(day.refused, BTreeMap::from([("bad_signature".into(), 5), ("unavailable".into(), 1)]));
        assert_eq!(day.secrets["0a0b0c0d"], used(2, 3, 90), "it is where it was last seen");
        assert_eq!(day.secrets["ffffffff"], used(1, 1, 80));
    }

    #[test]
    fn an_hour_goes_from_its_start_to_the_next() {
        assert_eq!([-1, 0, HOUR - 1, HOUR].map(|at| hour_of(Timestamp::from_millis(at))), [0, 0, 0, 1]);
        assert_eq!(start_of(2).as_millis(), 2 * HOUR);
        assert!(is_own("rollbook.test") && !is_own("user.created"));
    }
}
