//! What the log says of an erasure, so that a verifier can tell it from tampering.

use serde_json::{Map, Value};

use super::{Draft, Leaf, Ranges, Source};
use crate::user::ClerkId;

/// So many ranges go into one entry: as long as they can be, they fill half of a detail.
const MOST_RANGES: usize = 900;

/// The member of the detail that names entries.
const ENTRIES: &str = "entries";

/// What one `user.erased` entry announces: that the person of this reference is no longer known by it, and that the
/// details of these entries are gone. One erasure may leave several such entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// The reference of the person.
    pub person: String,
    /// The entries whose details are gone.
    pub entries: Ranges,
}

/// Why an entry of that name announces nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadErasure {
    /// Its target is no person's reference.
    #[error("it is about no person")]
    NobodyErased,
    /// Its list of entries cannot be read.
    #[error("its list of entries is not well formed")]
    Entries,
    /// Its count is not the number of entries it lists.
    #[error("it counts other than it lists")]
    Count,
    /// It speaks of itself or of entries behind it.
    #[error("it lists an entry that is not before it")]
    Future,
}

impl Erasure {
    /// The action of these entries.
    pub const ACTION: &str = "user.erased";

    /// What the entry at `seq` announces; `None` for entries of another kind. `detail` is what is left of its detail.
    ///
    /// # Errors
    /// When the entry has the name of an announcement, but not the form of one.
    pub fn read(seq: u64, leaf: &Leaf, detail: Option<&Map<String, Value>>) -> Result<Option<Self>, BadErasure> {
        // Clerk has no say in this, whatever it may call an event.
        if leaf.action != Self::ACTION || leaf.source == Source::Webhook {
            return Ok(None);
        }
        let person = leaf.target.clone().filter(|t| t.starts_with("s1.")).ok_or(BadErasure::NobodyErased)?;
        let entries: Ranges = match detail.and_then(|detail| detail.get(ENTRIES)) {
            Some(Value::String(text)) => text.parse().map_err(|_| BadErasure::Entries)?,
            Some(_) => return Err(BadErasure::Entries),
            None => Ranges::default(),
        };
        if entries.last().is_some_and(|last| last >= seq) {
            return Err(BadErasure::Future);
        }
        // An operator's reason stands in an entry of its own, which counts nothing.
        if entries.count() != leaf.count.unwrap_or(0) && detail.is_some() {
            return Err(BadErasure::Count);
        }
        Ok(Some(Self { person, entries }))
    }

    /// Whether a detail lists erased entries. Such a detail names nobody, and nothing may take it away.
    #[must_use]
    pub fn is_list(detail: &Map<String, Value>) -> bool {
        detail.contains_key(ENTRIES)
    }

    /// The entries that announce that the details of `entries` are gone, `draft` being what they have in common.
    #[must_use]
    pub fn announce(person: &ClerkId, entries: &Ranges, draft: &Draft) -> Vec<Draft> {
        let announcement = |part: &Ranges| {
            let mut draft = draft.clone().about(person).with(ENTRIES, Some(part.to_string()));
            draft.count = Some(part.count());
            draft
        };
        entries.parts(u64::MAX, MOST_RANGES).iter().map(announcement).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::{Actor, MAX_DETAIL};
    use super::*;
    use crate::clock::Timestamp;

    fn leaf(count: Option<u64>) -> Leaf {
        Leaf {
            action: Erasure::ACTION.to_owned(),
            actor: "cli".to_owned(),
            at: Timestamp::default(),
            changed: Vec::new(),
            count,
            detail: None,
            event_at: None,
            impersonator: None,
            outcome: "ok".to_owned(),
            reason: None,
            request: None,
            source: Source::Cli,
            target: Some("s1.x".to_owned()),
            v: 1,
        }
    }

    fn detail(entries: impl Into<Value>) -> Map<String, Value> {
        Map::from_iter([(ENTRIES.to_owned(), entries.into())])
    }

    #[test]
    fn an_announcement_is_read_as_it_was_written() {
        let id: ClerkId = "user_1".parse().unwrap();
        let entries: Ranges = (0..5000).map(|n| n * 2).collect();
        let drafts = Erasure::announce(&id, &entries, &Draft::new(Erasure::ACTION, Actor::Cli, Source::Cli));
        assert_eq!(drafts.len(), 6);
        let mut all = Ranges::default();
        for draft in drafts {
            assert!(serde_json::to_vec(&draft.detail).unwrap().len() < MAX_DETAIL);
            assert!(Erasure::is_list(&draft.detail));
            let read = Erasure::read(10_000, &leaf(draft.count), Some(&draft.detail)).unwrap().unwrap();
            assert_eq!(read.person, "s1.x");
            all.unite(&read.entries);
        }
        assert_eq!(all, entries);
    }

    #[test]
    fn what_is_no_announcement_announces_nothing() {
        fn read(leaf: &Leaf, detail: Option<&Map<String, Value>>) -> Result<Option<Erasure>, BadErasure> {
            Erasure::read(9, leaf, detail)
        }
        assert_eq!(read(&Leaf { source: Source::Webhook, ..leaf(None) }, Some(&detail("1-8"))), Ok(None));
        assert_eq!(read(&Leaf { action: "user.read".to_owned(), ..leaf(None) }, None), Ok(None));
        let nobody = Leaf { target: Some("role:x".to_owned()), ..leaf(None) };
        assert_eq!(read(&nobody, None), Err(BadErasure::NobodyErased));
        assert_eq!(read(&leaf(Some(2)), Some(&detail("2,1"))), Err(BadErasure::Entries));
        assert_eq!(read(&leaf(Some(2)), Some(&detail(1))), Err(BadErasure::Entries));
        assert_eq!(read(&leaf(Some(1)), Some(&detail("1-2"))), Err(BadErasure::Count));
        assert_eq!(read(&leaf(Some(1)), Some(&Map::new())), Err(BadErasure::Count));
        assert_eq!(read(&leaf(Some(1)), Some(&detail("9"))), Err(BadErasure::Future));
        let reason = Map::from_iter([("reason".to_owned(), Value::from("asked to"))]);
        let nothing = Erasure { person: "s1.x".to_owned(), entries: Ranges::default() };
        assert_eq!(read(&leaf(None), Some(&reason)), Ok(Some(nothing.clone())));
        assert_eq!(read(&leaf(None), None), Ok(Some(nothing)));
    }
}
