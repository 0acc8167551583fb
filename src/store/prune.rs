//! Removing the oldest entries of the log. The tree stays: every tile is kept, so that whatever is left, and whatever
//! was said of the log before, can still be proven (C2SP tlog-tiles, "Pruning").

use redb::ReadableTable as _;

use super::book::Book;
use super::error::Error;
use super::tables::{self, open};
use super::tx::{Tx, read_subject};
use super::{By, Store};
use crate::audit::retention::Cutoff;
use crate::audit::{Draft, Leaf, Source};
use crate::clock::Timestamp;
use crate::merkle::TILE_WIDTH;

/// So many entries go in one operation of the writer: few enough that webhooks between them do not notice.
const STEP: u64 = 4 * BUNDLE;

/// Entries go in whole bundles, as they are exported.
const BUNDLE: u64 = TILE_WIDTH as u64;

/// The row of `audit_meta` that says which is the first entry kept, 8 bytes, big-endian; without it, entry 0.
const FIRST: &str = "first";

/// The entries that are older than a day, as far as they fill whole bundles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// Removes the oldest entries before `end`, a step of them, and returns which is now the first.
    fn drop_entries(&mut self, end: u64) -> Result<u64, Error> {
        let first = self.tables.audit_meta.get(FIRST)?.map_or(Ok(0), |row| number(row.value()))?;
        let end = end.min(first + STEP);
        if end <= first {
            return Ok(first);
        }
        let mut people = Vec::new();
        for seq in first..end {
            people.extend(self.drop_entry(seq)?);
        }
        people.sort_unstable();
        people.dedup();
        for reference in people {
            self.forget_if_unmentioned(&reference)?;
        }
        self.tables.audit_meta.insert(FIRST, &end.to_be_bytes()[..])?;
        Ok(end)
    }

    /// Removes one entry and all that leads to it; returns the references of the people it names.
    fn drop_entry(&mut self, seq: u64) -> Result<Vec<String>, Error> {
        let leaf: Leaf = match self.tables.audit_leaf.remove(seq)? {
            Some(row) => serde_json::from_slice(row.value()).map_err(|_| Error::Corrupt("a leaf"))?,
            None => return Err(Error::Corrupt("an entry is missing")),
        };
        self.tables.audit_detail.remove(seq)?;
        self.tables.audit_by_action.remove((leaf.action.as_str(), seq))?;
        if self.tables.quarantine.remove(seq)?.is_some() {
            self.state.stats.quarantined = self.state.stats.quarantined.saturating_sub(1);
        }
        if let Some(delivery) = leaf.request.as_deref().filter(|_| leaf.source == Source::Webhook)
            && self.tables.deliveries.get(delivery)?.is_some_and(|left| left.value() == seq)
        {
            self.tables.deliveries.remove(delivery)?;
        }
        let people = [leaf.target.as_deref(), leaf.actor.strip_prefix("user:"), leaf.impersonator.as_deref()];
        let mut named = Vec::new();
        for reference in people.into_iter().flatten() {
            if let Some((_, number)) = self.person(reference)? {
                self.tables.audit_by_subject.remove((number, seq))?;
                named.push(reference.to_owned());
            }
        }
        Ok(named)
    }

    /// Removes what ties a reference to a person once no entry names it any more.
    fn forget_if_unmentioned(&mut self, reference: &str) -> Result<(), Error> {
        let Some((id, number)) = self.person(reference)? else { return Ok(()) };
        if self.tables.audit_by_subject.range((number, 0)..=(number, u64::MAX))?.next().transpose()?.is_none() {
            self.tables.subjects.remove(id.as_str())?;
            self.tables.subject_refs.remove(reference)?;
        }
        Ok(())
    }

    /// The Clerk id and the subject number of whom a reference means, unless it was erased or is no person's.
    fn person(&self, reference: &str) -> Result<Option<(String, u64)>, Error> {
        let Some(id) = self.tables.subject_refs.get(reference)?.map(|id| id.value().to_owned()) else {
            return Ok(None);
        };
        let Some(row) = self.tables.subjects.get(id.as_str())? else { return Ok(None) };
        let number = read_subject(row.value())?.number;
        Ok(Some((id, number)))
    }
}

fn number(row: &[u8]) -> Result<u64, Error> {
    row.try_into().map(u64::from_be_bytes).map_err(|_| Error::Corrupt("the first entry's number"))
}
