//! One entry after the other, each by itself: what of it does not depend on those before.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroUsize;
use std::ops::Range;

use lru::LruCache;

use super::absent::News;
use super::flaws::Flaw;
use super::source::{Fault, View};
use crate::audit::{Leaf, commitment};
use crate::clock::Timestamp;
use crate::merkle::{Hash, leaf_hash};
use crate::store::Mapping;

/// So many people are remembered whose mapping was found right, at 48 bytes each.
const REMEMBERED: NonZeroUsize = NonZeroUsize::MIN.saturating_add((1 << 15) - 1);

/// What a run of entries came to.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// The place of the first.
    pub(super) from: u64,
    /// The hash of each leaf, `None` where it is missing.
    pub(super) hashes: VecDeque<Option<Hash>>,
    /// The times of the first and the last entry, as far as they can be read.
    pub(super) times: Option<(Timestamp, Timestamp)>,
    /// The place of the first entry whose time can be read.
    pub(super) timed_from: u64,
    /// What is wrong, by entry.
    pub(super) flaws: Vec<(Flaw, u64)>,
    /// What is wrong with no entry in particular.
    pub(super) faults: Vec<String>,
    /// Entries that commit to a detail, and do not have it.
    pub(super) without_detail: Vec<u64>,
    /// How many details there are; `None` when they are withheld.
    pub(super) details: Option<u64>,
    /// References that lead to nobody, each with its entry.
    pub(super) unknown: Vec<(u64, String)>,
    /// References of people of whom salt and id do not fit.
    pub(super) misfits: Vec<(u64, String)>,
    /// What the log says about itself.
    pub(super) news: Vec<(u64, News)>,
}

/// People whose mapping was found right a moment ago. The key is a hash that nobody outside this process can foresee.
pub(super) struct Acquaintances {
    numbers: LruCache<u64, u64>,
    hasher: RandomState,
}

impl Default for Acquaintances {
    fn default() -> Self {
        Self { numbers: LruCache::new(REMEMBERED), hasher: RandomState::new() }
    }
}

/// Checks the entries in that range.
pub(super) fn check(view: &impl View, range: Range<u64>, known: &mut Acquaintances) -> Result<Checked, Fault> {
    let mut checked = Checked { from: range.start, ..Checked::default() };
    let leaves = view.leaves(range.clone(), &mut checked.faults)?;
    let details = view.details(range.clone())?;
    checked.details = details.is_some().then_some(0);
    let mut leaves = leaves.into_iter().peekable();
    let mut details = details.map(|details| details.into_iter().peekable());
    for seq in range {
        let leaf = leaves.next_if(|(place, _)| *place == seq).map(|(_, leaf)| leaf);
        let detail = details.as_mut().and_then(|details| details.next_if(|(place, _)| *place == seq));
        let detail = detail.map(|(_, row)| row);
        checked.hashes.push_back(leaf.as_deref().map(leaf_hash));
        match leaf {
            Some(leaf) => checked.entry(seq, &leaf, detail.as_deref(), view, known)?,
            None if detail.is_some() => {
                checked.flaws.push((Flaw::DetailAlone, seq));
            }
            None => {}
        }
    }
    Ok(checked)
}

impl Checked {
    fn entry(
        &mut self,
        seq: u64,
        bytes: &[u8],
        detail: Option<&[u8]>,
        view: &impl View,
        known: &mut Acquaintances,
    ) -> Result<(), Fault> {
        let Some(leaf) = serde_json::from_slice::<Leaf>(bytes).ok().filter(|leaf| leaf.to_bytes() == bytes) else {
            self.flaws.push((Flaw::Form, seq));
            return Ok(());
        };
        if leaf.v != 1 {
            self.flaws.push((Flaw::Version, seq));
        }
        self.time(seq, leaf.at);
        let told = self.detail(seq, &leaf, detail);
        if News::may_be_in(&leaf) {
            let json = detail.and_then(|row| row.get(32..));
            self.news.extend(News::read(seq, &leaf, json).map(|news| (seq, news)));
        }
        let people = self.people(seq, &leaf, view, known)?;
        if let Some(list) = view.unlisted(seq, &leaf, told, &people)? {
            self.flaws.push((Flaw::Unlisted(list), seq));
        }
        Ok(())
    }

    fn time(&mut self, seq: u64, at: Timestamp) {
        match &mut self.times {
            None => {
                self.times = Some((at, at));
                self.timed_from = seq;
            }
            Some((_, last)) => {
                let goes_back = at < *last;
                *last = at;
                if goes_back {
                    self.flaws.push((Flaw::Time, seq));
                }
            }
        }
    }

    /// Checks the entry's detail, and returns it if it is the one that the leaf speaks of.
    fn detail<'r>(&mut self, seq: u64, leaf: &Leaf, row: Option<&'r [u8]>) -> Option<&'r [u8]> {
        let there = self.details.as_mut()?;
        match (&leaf.detail, row) {
            (None, None) => {}
            (None, Some(_)) => self.flaws.push((Flaw::DetailUnknown, seq)),
            (Some(_), None) => self.without_detail.push(seq),
            (Some(said), Some(row)) => {
                *there += 1;
                let fits = row.split_first_chunk().is_some_and(|(salt, detail)| commitment(salt, detail) == *said);
                if fits {
                    return Some(row);
                }
                self.flaws.push((Flaw::Detail, seq));
            }
        }
        None
    }

    /// Looks up everybody the leaf refers to, and returns their numbers.
    fn people(
        &mut self,
        seq: u64,
        leaf: &Leaf,
        view: &impl View,
        known: &mut Acquaintances,
    ) -> Result<Vec<u64>, Fault> {
        let mut numbers = Vec::new();
        for reference in leaf.people() {
            let key = known.hasher.hash_one(reference);
            if let Some(number) = known.numbers.get(&key) {
                numbers.push(*number);
                continue;
            }
            match view.mapping(reference)? {
                None => {}
                Some(Mapping::Person(number)) => {
                    known.numbers.put(key, number);
                    numbers.push(number);
                }
                Some(Mapping::None) => self.unknown.push((seq, reference.to_owned())),
                Some(Mapping::Broken) => self.misfits.push((seq, reference.to_owned())),
            }
        }
        Ok(numbers)
    }
}
