//! What is not there any more, and whether the log says why: details and people that were erased, entries that were
//! pruned.

use std::collections::{HashMap, HashSet};

use super::report::{Details, People, Report};
use super::source::{Fault, View};
use crate::audit::{BadErasure, Erasure, Leaf, Ranges, Source};
use crate::store::Mapping;

/// The action of the entry that says that all entries before one were pruned.
const PRUNED: &str = "log.pruned";

/// The action of the entry that says that an operator took the file as it was.
pub(super) const ADOPTED: &str = "log.forked";

/// So many ranges of entries are named in one finding.
const NAMED: usize = 8;

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
            _ => Erasure::read(seq, leaf, detail.as_ref())
                .map_or_else(|bad| Some(Self::Garbled(bad)), |e| e.map(Self::Erased)),
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
    erased_details: Ranges,
    erased_people: HashSet<String>,
    pruned: u64,
    /// Entries that were announced to have lost their detail, and had it or never had one.
    seen: Ranges,
    /// How many details there are.
    pub(super) there: u64,
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
    pub(super) fn finish(self, view: &impl View, report: &mut Report) -> Result<(), Fault> {
        let adopted_before = report.adopted_before;
        let cut = |ranges: &Ranges| ranges.iter().filter(|seq| *seq >= self.pruned).collect::<Ranges>();
        report.pruned = self.leaves.iter().take_while(|seq| *seq < self.pruned).count() as u64;
        report.pruned_before = self.pruned;
        if let Some(named) = name(&cut(&self.leaves)) {
            report.findings.add(format!("{named} missing"));
        }
        let missing: Ranges = cut(&self.details).iter().filter(|seq| !self.erased_details.contains(*seq)).collect();
        for (is_old, missing) in split(&missing, adopted_before) {
            if let Some(named) = name(&missing) {
                let text = format!("the detail of {named} missing, and no {} entry says why", Erasure::ACTION);
                if is_old { report.adopted.add(text) } else { report.findings.add(text) }
            }
        }
        for (is_old, there) in split(&view.details_among(&self.seen)?, adopted_before) {
            if let Some(named) = name(&there) {
                let text = format!("the detail of {named} there, although the log says that it was erased");
                if is_old { report.adopted.add(text) } else { report.findings.add(text) }
            }
        }
        let mut people: Vec<_> =
            self.people.iter().filter(|(person, _)| !self.erased_people.contains(*person)).collect();
        people.sort_unstable_by_key(|(_, seq)| **seq);
        for (person, seq) in people {
            let text = format!(
                "entry {seq} refers to {person}, who cannot be found, and no {} entry says why",
                Erasure::ACTION
            );
            report.entry(*seq, text);
        }
        if let Some(details) = &mut report.details {
            let erased = self.details.iter().filter(|seq| self.erased_details.contains(*seq)).count() as u64;
            *details = Details { there: self.there, erased };
        }
        if let Some(People { erased, .. }) = &mut report.people {
            // Whose erasure was broken off in the middle can be found still, and can be erased again.
            for person in &self.erased_people {
                *erased += u64::from(view.mapping(person)? == Some(Mapping::None));
            }
        }
        Ok(())
    }
}

/// Those before a place and those from it on.
fn split(places: &Ranges, at: u64) -> [(bool, Ranges); 2] {
    let part = |is_old: bool| (is_old, places.iter().filter(|seq| (*seq < at) == is_old).collect());
    [part(true), part(false)]
}

/// Entries as the beginning of a sentence, its verb included; `None` for none.
fn name(places: &Ranges) -> Option<String> {
    let named = places.parts(u64::MAX, NAMED).into_iter().next()?;
    let more = places.count() - named.count();
    let noun = if places.count() == 1 { "entry" } else { "entries" };
    let verb = if places.count() == 1 { "is" } else { "are" };
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!("{noun} {named}{more} {verb}"))
}
