//! Removing the oldest entries of the log. The tree stays: every tile is kept, so that whatever is left, and whatever
//! was said of the log before, can still be proven (C2SP tlog-tiles, "Pruning").

use std::collections::BTreeSet;

use redb::ReadableTable as _;
use serde::{Deserialize, Serialize};

use super::book::Book;
use super::error::Error;
use super::tables::{self, open};
use super::tx::{Tx, read_subject};
use super::{By, Store};
use crate::audit::retention::Cutoff;
use crate::audit::{Draft, Leaf, Source};
use crate::clock::Timestamp;
use crate::merkle::TILE_WIDTH;

/// Entries go in whole bundles, as they are exported. One bundle goes in one operation of the writer: few enough that
/// webhooks between them do not notice.
const BUNDLE: u64 = TILE_WIDTH as u64;

/// The row of `audit_meta` that says which is the first entry kept, 8 bytes, big-endian; without it, entry 0.
const FIRST: &str = "first";

/// The entries that are older than a day, as far as they fill whole bundles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prunable {
    /// The first of them: the oldest entry there is.
    pub first: u64,
    /// The first that is kept. The same as `first` when none can go.
    pub end: u64,
    /// When the first and the last of them were written; `None` when there is none.
    pub written: Option<(Timestamp, Timestamp)>,
    /// How many of them are of deliveries in quarantine, which go with them.
    pub quarantined: u64,
}

impl Prunable {
    /// How many they are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.end - self.first
    }
}

impl Store {
    /// The number of the oldest entry kept. What is older was pruned.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn first_entry(&self) -> Result<u64, Error> {
        self.read(|txn| {
            let row = open(txn, tables::audit_meta())?.get(FIRST)?;
            row.map_or(Ok(0), |row| number(row.value()))
        })
    }

    /// What [`Store::prune`] would remove.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn prunable(&self, cutoff: Cutoff) -> Result<Prunable, Error> {
        self.scan(move |txn| {
            let book = Book::open(txn)?;
            let first = book.first_at(None)?;
            let end = (book.first_at(Some(cutoff.at()))? / BUNDLE * BUNDLE).max(first);
            let written = match end - first {
                0 => None,
                _ => Some((book.written_at(first)?, book.written_at(end - 1)?)),
            };
            let quarantined = open(txn, tables::quarantine())?.range(first..end)?.count() as u64;
            Ok(Prunable { first, end, written, quarantined })
        })
        .await
    }

    /// Removes the entries that are older than the day, less those that do not fill a bundle, with their details and
    /// whatever leads to them. First an entry says so, then they go, step by step, so that others can write in
    /// between; when that is cut short, the next prune goes on. `progress` hears how many are gone, of how many.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn prune(
        &self,
        cutoff: Cutoff,
        by: By,
        mut progress: impl FnMut(u64, u64) + Send,
    ) -> Result<Prunable, Error> {
        let going = self.prunable(cutoff).await?;
        if going.count() == 0 {
            return Ok(going);
        }
        let mut entry = Draft::new("log.pruned", by.actor, by.source)
            .with("before", Some(cutoff.day().to_string()))
            .with("first", Some(going.end));
        entry.count = Some(going.count());
        let now = self.now();
        self.write(move |tx| tx.append(&entry, now).map(drop)).await?;
        loop {
            let first = self.write(move |tx| tx.drop_entries(going.end)).await?;
            progress(first.saturating_sub(going.first), going.count());
            if first >= going.end {
                return Ok(going);
            }
        }
    }
}

impl Tx<'_> {
    /// Removes the oldest bundle if it is before `end`, and returns which is now the first.
    fn drop_entries(&mut self, end: u64) -> Result<u64, Error> {
        let first = self.tables.audit_meta.get(FIRST)?.map_or(Ok(0), |row| number(row.value()))?;
        let end = end.min(first + BUNDLE);
        if end <= first {
            return Ok(first);
        }
        let mut people = BTreeSet::new();
        for seq in first..end {
            people.extend(self.drop_entry(seq)?);
        }
        for number in people {
            // What identified them until then is as old as the entry that took it away.
            let tags = (number, &[0; 32])..=(number, &[0xff; 32]);
            self.tables.value_tags.retain_in(tags, |_, (_, until)| until >= end)?;
        }
        self.tables.audit_meta.insert(FIRST, &end.to_be_bytes()[..])?;
        Ok(end)
    }

    /// Removes one entry and all that leads to it; returns the subject numbers of those it names. They stay known by
    /// their references: other entries may speak of them.
    fn drop_entry(&mut self, seq: u64) -> Result<Vec<u64>, Error> {
        let leaf: Leaf = match self.tables.audit_leaf.remove(seq)? {
            Some(row) => serde_json::from_slice(row.value()).map_err(|_| Error::Corrupt("a leaf"))?,
            None => return Err(Error::Corrupt("an entry is missing")),
        };
        self.remove_detail(seq)?;
        self.tables.audit_by_action.remove((leaf.action.as_str(), seq))?;
        self.unlist_by_actor(seq, &leaf)?;
        if self.tables.quarantine.remove(seq)?.is_some() {
            self.state.stats.quarantined = self.state.stats.quarantined.saturating_sub(1);
        }
        if let Some(delivery) = leaf.request.as_deref().filter(|_| leaf.source == Source::Webhook)
            && self.tables.deliveries.get(delivery)?.is_some_and(|left| left.value() == seq)
        {
            self.tables.deliveries.remove(delivery)?;
        }
        let people = [leaf.target.as_deref(), leaf.actor.strip_prefix("user:"), leaf.impersonator.as_deref()];
        let mut numbers = Vec::new();
        for reference in people.into_iter().flatten() {
            if let Some(number) = self.number_of(reference)? {
                self.tables.audit_by_subject.remove((number, seq))?;
                numbers.push(number);
            }
        }
        Ok(numbers)
    }

    /// The subject number of whom a reference means, unless it was erased or is no person's.
    fn number_of(&self, reference: &str) -> Result<Option<u64>, Error> {
        let Some(id) = self.tables.subject_refs.get(reference)? else { return Ok(None) };
        let row = self.tables.subjects.get(id.value())?.ok_or(Error::Corrupt("a reference"))?;
        Ok(Some(read_subject(row.value())?.number))
    }
}

fn number(row: &[u8]) -> Result<u64, Error> {
    row.try_into().map(u64::from_be_bytes).map_err(|_| Error::Corrupt("the first entry's number"))
}
