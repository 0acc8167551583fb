//! What is not there any more, and whether the log says why: details and people that were erased, entries that were
//! pruned.

use std::collections::{HashMap, HashSet};

use super::flaws::{Flaw, Flaws};
use super::report::{Details, People, Report};
use super::source::{Fault, View};
use crate::audit::{BadErasure, Erasure, Leaf, Ranges, Source};
use crate::store::Mapping;

/// The action of the entry that says that all entries before one were pruned.
const PRUNED: &str = "log.pruned";

/// The action of the entry that says that an operator took the file as it was.
pub(super) const ADOPTED: &str = "log.forked";

/// Something the log says about itself.
#[derive(Debug)]
pub(super) enum News {
    /// A person was erased.
    Erased(Erasure),
    /// It should say who was erased, and does not.
    Garbled(BadErasure),
    /// All entries before that place are gone.
    Pruned(u64),
    /// The file was adopted.
    Adopted,
}

impl News {
    /// Whether [`News::read`] has to be asked about the leaf.
    pub(super) fn may_be_in(leaf: &Leaf) -> bool {
        // What Clerk calls its events is no word of the log's.
        leaf.source != Source::Webhook && [Erasure::ACTION, PRUNED, ADOPTED].contains(&leaf.action.as_str())
    }

    /// What the entry at `seq` says, its detail being what is left of it.
    pub(super) fn read(seq: u64, leaf: &Leaf, detail: Option<&[u8]>) -> Option<Self> {
        let detail = detail.and_then(|json| serde_json::from_slice::<serde_json::Map<_, _>>(json).ok());
        match leaf.action.as_str() {
            PRUNED => {
                let first = detail?.get("first")?.as_u64().filter(|first| *first <= seq)?;
                Some(Self::Pruned(first))
            }
            ADOPTED => Some(Self::Adopted),
            _ => match Erasure::read(seq, leaf, detail.as_ref()) {
                Ok(erasure) => erasure.map(Self::Erased),
                Err(why) => Some(Self::Garbled(why)),
            },
        }
    }
}

/// What is missing, and what was announced. Runs of entries take the space of one.
#[derive(Default)]
pub(super) struct Absent {
    leaves: Ranges,
    details: Ranges,
    /// References that lead to nobody → the first entry that has them.
    people: HashMap<String, u64>,
    /// References of people of whom salt and id do not fit → the first entry that has them.
    misfits: HashMap<String, u64>,
    erased_details: Ranges,
    erased_people: HashSet<String>,
    /// Entries that were announced to have lost their detail, and had it or never had one.
    seen: Ranges,
    pruned: u64,
}

impl Absent {
    pub(super) fn leaf(&mut self, seq: u64) {
        self.leaves.insert(seq);
    }

    pub(super) fn detail(&mut self, seq: u64) {
        self.details.insert(seq);
    }

    pub(super) fn person(&mut self, seq: u64, reference: String) {
        self.people.entry(reference).or_insert(seq);
    }

    pub(super) fn misfit(&mut self, seq: u64, reference: String) {
        self.misfits.entry(reference).or_insert(seq);
    }

    pub(super) fn pruned(&mut self, first: u64) {
        self.pruned = self.pruned.max(first);
    }

    /// Takes in what an entry announces. All entries before it are done.
    pub(super) fn erased(&mut self, erasure: Erasure) {
        self.erased_people.insert(erasure.person);
        erasure.entries.iter().filter(|seq| !self.details.contains(*seq)).for_each(|seq| self.seen.insert(seq));
        self.erased_details.unite(&erasure.entries);
    }

    /// Says what is missing without a word in the log, and what is there against its word.
    pub(super) fn finish(self, view: &impl View, flaws: &mut Flaws, report: &mut Report) -> Result<(), Fault> {
        let kept = |places: &Ranges| places.iter().filter(|seq| *seq >= self.pruned).collect::<Ranges>();
        report.pruned = self.leaves.iter().take_while(|seq| *seq < self.pruned).count() as u64;
        report.pruned_before = self.pruned;
        flaws.add_all(Flaw::Missing, &kept(&self.leaves));
        let missing: Ranges = self.details.iter().filter(|seq| !self.erased_details.contains(*seq)).collect();
        flaws.add_all(Flaw::DetailMissing, &missing);
        flaws.add_all(Flaw::DetailThere, &view.details_among(&self.seen)?);
        if let Some(Details { erased, .. }) = &mut report.details {
            *erased = self.details.count() - missing.count();
        }
        if let Some(People { erased, .. }) = &mut report.people {
            // Whose erasure was broken off in the middle can be found still, and can be erased again.
            for person in &self.erased_people {
                *erased += u64::from(view.mapping(person)? == Some(Mapping::None));
            }
        }
        let unknown = self.people.into_iter().filter(|(person, _)| !self.erased_people.contains(person));
        let why = format!("cannot be found, and no {} entry says why", Erasure::ACTION);
        tell_people(unknown, &why, report);
        tell_people(self.misfits.into_iter(), "is not the one who was meant: salt or id was changed", report);
        Ok(())
    }
}

fn tell_people(people: impl Iterator<Item = (String, u64)>, what: &str, report: &mut Report) {
    let mut people: Vec<_> = people.collect();
    people.sort_unstable_by_key(|(_, seq)| *seq);
    for (person, seq) in people {
        report.entry(seq, format!("{person}, named in entry {seq}, {what}"));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn leaf(action: &str, source: &str) -> Leaf {
        let leaf = json!({ "action": action, "actor": "cli", "at": 1, "outcome": "ok", "source": source, "v": 1 });
        serde_json::from_value(leaf).unwrap()
    }

    #[test]
    fn the_log_speaks_of_itself_by_its_own_entries_alone() {
        for action in [Erasure::ACTION, PRUNED, ADOPTED] {
            assert!(News::may_be_in(&leaf(action, "cli")), "{action}");
            assert!(!News::may_be_in(&leaf(action, "webhook")), "{action}: Clerk has named an event so");
        }
        assert!(!News::may_be_in(&leaf("user.created", "cli")));
    }

    #[test]
    fn what_came_after_an_entry_was_not_pruned_by_it() {
        let read = |first: u64| {
            let detail = json!({ "first": first }).to_string();
            News::read(7, &leaf(PRUNED, "cli"), Some(detail.as_bytes()))
        };
        assert!(matches!(read(7), Some(News::Pruned(7))), "all entries before its own");
        assert!(read(8).is_none());
        assert!(News::read(7, &leaf(PRUNED, "cli"), None).is_none());
    }
}
