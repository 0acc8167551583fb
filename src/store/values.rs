//! Was this address ever on file? The values that identify people are kept as tags, each salted with the person's own
//! salt ([`crate::audit::value_tag`]): a question can be answered, and whoever has the file alone cannot guess.
//!
//! A tag's row says which entry brought the value first and which took it away last; in between it may have been away.
//! One that only late news spoke of has the same entry in both places.

use std::ops::Bound;

use redb::{ReadOnlyTable, ReadableTable as _};
use serde::{Deserialize, Serialize};

use super::Store;
use super::error::Error;
use super::tables::{self, open};
use super::tx::{Subject, Tx, read_subject};
use crate::audit::{Draft, Leaf, Tag, value_tag};
use crate::clock::Timestamp;
use crate::user::{ClerkId, Handle, HandleChanges};

/// In a row: the value is on file.
const NOW: u64 = u64::MAX;

/// So many people are looked at in one read transaction.
const STEP: usize = 20_000;

/// So many sightings are named; beyond it they are only counted.
const MOST: usize = 500;

/// A person who had the value, and between which entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// Who.
    pub user: ClerkId,
    /// The entry that brought it first.
    pub from: Moment,
    /// The entry that took it away; `None` while it is on file.
    pub until: Option<Moment>,
}

/// An entry and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// The entry.
    pub seq: u64,
    /// When it was written; `None` once the entry was pruned.
    pub at: Option<Timestamp>,
}

/// What a question came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sightings {
    /// The first 500, in the order of the people's Clerk ids.
    pub items: Vec<Sighting>,
    /// How many there are.
    pub count: u64,
}

impl Store {
    /// Who ever had one of `handles` on file: `person`, or anybody. That somebody asked is in the log before the answer
    /// is given, by way of `entry`, to which whom it named is added; the value is not. Asking about anybody takes
    /// about a microsecond for each person the log knows.
    ///
    /// # Errors
    /// When the file cannot be read, or the question cannot be noted.
    pub async fn ever_on_file(
        &self,
        handles: Vec<Handle>,
        person: Option<ClerkId>,
        entry: Draft,
    ) -> Result<Sightings, Error> {
        let (store, only) = (self.clone(), person.clone());
        let search = move || match &only {
            Some(id) => store.sighted(&handles, id),
            None => store.sighted_among_all(&handles),
        };
        let found = tokio::task::spawn_blocking(search).await.unwrap_or(Err(Error::Panicked))?;
        let entry = if let Some(id) = &person { entry.about(id) } else { entry };
        let mut entry = entry.listing(found.items.iter().map(|sighting| &sighting.user));
        entry.count = Some(found.count);
        self.record(entry).await?;
        Ok(found)
    }

    fn sighted(&self, handles: &[Handle], id: &ClerkId) -> Result<Sightings, Error> {
        self.read(|txn| {
            let file = File::open(txn)?;
            let mut found = Sightings::default();
            if let Some(row) = file.subjects.get(id.as_str())? {
                file.look(id.as_str(), &read_subject(row.value())?, handles, &mut found)?;
            }
            Ok(found)
        })
    }

    /// Asks of one person after another: each has a salt of their own.
    fn sighted_among_all(&self, handles: &[Handle]) -> Result<Sightings, Error> {
        let mut found = Sightings::default();
        let mut after: Option<String> = None;
        loop {
            // A walk over everybody in one transaction would keep pages from being used again for as long.
            let mut seen = 0;
            after = self.read(|txn| {
                let file = File::open(txn)?;
                let from = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
                let mut last = None;
                for row in file.subjects.range::<&str>((from, Bound::Unbounded))?.take(STEP) {
                    let (id, row) = row?;
                    file.look(id.value(), &read_subject(row.value())?, handles, &mut found)?;
                    last = Some(id.value().to_owned());
                    seen += 1;
                }
                Ok(last)
            })?;
            if seen < STEP {
                return Ok(found);
            }
        }
    }
}

/// The tables that are asked.
struct File {
    subjects: ReadOnlyTable<&'static str, &'static [u8]>,
    tags: ReadOnlyTable<(u64, &'static [u8; 32]), (u64, u64)>,
    leaves: ReadOnlyTable<u64, &'static [u8]>,
}

impl File {
    fn open(txn: &redb::ReadTransaction) -> Result<Self, Error> {
        Ok(Self {
            subjects: open(txn, tables::subjects())?,
            tags: open(txn, tables::value_tags())?,
            leaves: open(txn, tables::audit_leaf())?,
        })
    }

    fn look(&self, id: &str, person: &Subject, handles: &[Handle], found: &mut Sightings) -> Result<(), Error> {
        for handle in handles {
            let tag = value_tag(&person.salt, handle);
            let Some(row) = self.tags.get((person.number, &tag))? else { continue };
            found.count += 1;
            if found.items.len() < MOST {
                let (from, until) = row.value();
                let until = if until == NOW { None } else { Some(self.moment(until)?) };
                let user = id.parse().map_err(|_| Error::Corrupt("a subject"))?;
                found.items.push(Sighting { user, from: self.moment(from)?, until });
            }
        }
        Ok(())
    }

    fn moment(&self, seq: u64) -> Result<Moment, Error> {
        let leaf = self.leaves.get(seq)?;
        let leaf = leaf.map(|row| serde_json::from_slice::<Leaf>(row.value()).map_err(|_| Error::Corrupt("a leaf")));
        Ok(Moment { seq, at: leaf.transpose()?.map(|leaf| leaf.at) })
    }
}

impl Tx<'_> {
    /// Brings the person's tags up to date with the entry at `seq`, and returns those that changed. What is on file
    /// already is not written again.
    pub(super) fn file_handles<'h>(
        &mut self,
        seq: u64,
        person: &Subject,
        changes: &'h HandleChanges,
    ) -> Result<Vec<(&'h Handle, Tag)>, Error> {
        let came = changes.came.iter().map(|handle| (handle, Some(NOW)));
        let went = changes.went.iter().map(|handle| (handle, Some(seq)));
        let were = changes.were.iter().map(|handle| (handle, None));
        let mut written = Vec::new();
        for (handle, until) in came.chain(went).chain(were) {
            let tag = value_tag(&person.salt, handle);
            let key = (person.number, &tag);
            let kept = self.tables.value_tags.get(key)?.map(|row| row.value());
            let row = match (kept, until) {
                (Some((from, _)), Some(until)) => (from, until),
                (None, Some(until)) => (seq, until),
                (None, None) => (seq, seq),
                (Some(kept), None) => kept,
            };
            if kept != Some(row) {
                self.tables.value_tags.insert(key, row)?;
                written.push((handle, tag));
            }
        }
        Ok(written)
    }
}
