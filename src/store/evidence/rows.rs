//! What a verifier asks beyond what the log means: rows exactly as they are, and rows that should not be there.

use std::ops::Range;

use redb::{ReadableTable as _, ReadableTableMetadata as _};

use super::{Evidence, StoredCheckpoint, checkpoint, numbered, person};
use crate::audit::{Leaf, subject_ref};
use crate::clock::Timestamp;
use crate::merkle::TILE_WIDTH;
use crate::store::by_facet::{actor_facet, row_facet};
use crate::store::error::Error;
use crate::store::tx::read_subject;

/// What stands behind a reference in a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapping {
    /// Nobody: it was erased, or taken away.
    None,
    /// A person, by their number. Reference, salt and id fit each other.
    Person(u64),
    /// Rows that contradict each other.
    Broken,
}

/// Epoch and size of a checkpoint, and what its row holds, if that has the form it was written in.
pub type CheckpointRow = ((u64, u64), Option<StoredCheckpoint>);

/// How many rows some tables have that must have the same number of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowCounts {
    /// Leaves.
    pub leaves: u64,
    /// Rows of the index by action.
    pub by_action: u64,
    /// People.
    pub subjects: u64,
    /// References of people.
    pub references: u64,
}

impl Evidence {
    /// The hashes of a tile as its row holds them, whatever its length.
    ///
    /// # Errors
    /// As [`Evidence::head`].
    pub fn tile_row(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, Error> {
        self.reading(|| Ok(self.tiles.get((level, index))?.map(|row| row.value().to_vec())))
    }

    /// The next checkpoints behind the one of that epoch and size, oldest first, at most so many: each with its epoch
    /// and size, and `None` when its row does not have the form it was written in.
    ///
    /// # Errors
    /// As [`Evidence::head`].
    pub fn checkpoint_rows_after(&self, after: (u64, u64), limit: usize) -> Result<Vec<CheckpointRow>, Error> {
        self.reading(|| {
            let rows = self.checkpoints.range((after.0, after.1.saturating_add(1))..)?.take(limit);
            rows.map(|row| row.map(|row| (row.0.value(), checkpoint(row.0.value(), row.1.value()).ok())))
                .map(|row| Ok(row?))
                .collect()
        })
    }

    /// The time of the last entry, as it is noted beside the log.
    ///
    /// # Errors
    /// As [`Evidence::head`].
    pub fn last_at(&self) -> Result<Option<Timestamp>, Error> {
        self.reading(|| {
            let Some(row) = self.meta.get("last_at")? else { return Ok(None) };
            let millis = row.value().try_into().map_err(|_| Error::Corrupt("last_at"))?;
            Ok(Some(Timestamp::from_millis(i64::from_be_bytes(millis))))
        })
    }

    /// The end of the leaves: one more than the place of the last.
    ///
    /// # Errors
    /// As [`Evidence::head`].
    pub fn leaves_end(&self) -> Result<u64, Error> {
        self.reading(|| Ok(self.leaves.last()?.map_or(0, |row| row.0.value().saturating_add(1))))
    }

    /// The end of the leaves by their hashes: one more than the place of the last that is hashed into a tile.
    ///
    /// # Errors
    /// As [`Evidence::head`].
    pub fn hashes_end(&self) -> Result<u64, Error> {
        self.reading(|| {
            let last = self.tiles.range((0, 0)..(1, 0))?.next_back().transpose()?;
            Ok(last.map_or(0, |row| {
                let start = row.0.value().1.saturating_mul(TILE_WIDTH as u64);
                start.saturating_add((row.1.value().len() / 32) as u64)
            }))
        })
    }

    /// The details at that place and behind it, by their places, at most so many.
    ///
    /// # Errors
    /// As [`Evidence::head`].
    pub fn detail_places(&self, range: Range<u64>, limit: usize) -> Result<Vec<u64>, Error> {
        self.reading(|| self.details.range(range)?.take(limit).map(|row| Ok(row?.0.value())).collect())
    }

    /// Tiles that a log of so many entries does not have, by level and index, at most so many.
    ///
    /// # Errors
    /// As [`Evidence::head`].
    pub fn tiles_beyond(&self, size: u64, limit: usize) -> Result<Vec<(u8, u64)>, Error> {
        self.reading(|| {
            let mut found = Vec::new();
            // A level above the seventh would need more entries than there are numbers.
            for level in 0..=8 {
                let hashes = size.checked_shr(8 * u32::from(level)).unwrap_or(0);
                let from = (level, hashes.div_ceil(TILE_WIDTH as u64));
                let until = if level < 8 { (level, u64::MAX) } else { (u8::MAX, u64::MAX) };
                let room = limit.saturating_sub(found.len());
                for row in self.tiles.range(from..=until)?.take(room) {
                    found.push(row?.0.value());
                }
            }
            Ok(found)
        })
    }

    /// What stands behind a reference, and whether its rows agree.
    ///
    /// # Errors
    /// As [`Evidence::head`].
    pub fn mapping(&self, reference: &str) -> Result<Mapping, Error> {
        self.reading(|| {
            let Some(id) = self.refs.get(reference)? else { return Ok(Mapping::None) };
            let Some(row) = self.subjects.get(id.value())? else { return Ok(Mapping::Broken) };
            let (Ok(person), Ok(subject)) = (person(id.value(), row.value()), read_subject(row.value())) else {
                return Ok(Mapping::Broken);
            };
            let fits = person.reference == reference && subject_ref(&person.salt, &person.id) == reference;
            Ok(if fits { Mapping::Person(subject.number) } else { Mapping::Broken })
        })
    }

    /// Whether the entry is in the list of its action.
    ///
    /// # Errors
    /// As [`Evidence::head`].
    pub fn is_listed_by_action(&self, seq: u64, leaf: &Leaf) -> Result<bool, Error> {
        self.reading(|| Ok(self.by_action.get((leaf.action.as_str(), seq))?.is_some()))
    }

    /// Whether the entry is in the list of who did it, where that is to be in one. Files of an older schema have no such list.
    ///
    /// # Errors
    /// As [`Evidence::head`].
    pub fn is_listed_by_actor(&self, seq: u64, leaf: &Leaf) -> Result<bool, Error> {
        self.is_listed_by(seq, actor_facet(&leaf.actor))
    }

    /// Whether the entry with that salt and detail is in the list of the address that it tells. As
    /// [`Evidence::is_listed_by_actor`].
    ///
    /// # Errors
    /// As [`Evidence::head`].
    pub fn is_listed_by_address(&self, seq: u64, detail: &[u8]) -> Result<bool, Error> {
        self.is_listed_by(seq, row_facet(detail))
    }

    fn is_listed_by(&self, seq: u64, facet: Option<String>) -> Result<bool, Error> {
        let (Some(rows), Some(facet)) = (&self.by_facet, facet) else { return Ok(true) };
        self.reading(|| Ok(rows.get((facet.as_str(), seq))?.is_some()))
    }

    /// Whether the entry is in the list of the person with that number.
    ///
    /// # Errors
    /// As [`Evidence::head`].
    pub fn is_listed_by_person(&self, seq: u64, number: u64) -> Result<bool, Error> {
        self.reading(|| Ok(self.by_subject.get((number, seq))?.is_some()))
    }

    /// The newest entry of that action, as its list has it.
    ///
    /// # Errors
    /// As [`Evidence::head`].
    pub fn newest_of(&self, action: &str) -> Result<Option<u64>, Error> {
        self.reading(|| {
            let row = self.by_action.range((action, 0)..=(action, u64::MAX))?.next_back().transpose()?;
            Ok(row.map(|row| row.0.value().1))
        })
    }

    /// How many rows the tables have.
    ///
    /// # Errors
    /// As [`Evidence::head`].
    pub fn row_counts(&self) -> Result<RowCounts, Error> {
        self.reading(|| {
            Ok(RowCounts {
                leaves: self.leaves.len()?,
                by_action: self.by_action.len()?,
                subjects: self.subjects.len()?,
                references: self.refs.len()?,
            })
        })
    }

    /// The exact bytes of one leaf.
    ///
    /// # Errors
    /// As [`Evidence::head`].
    pub fn leaf(&self, seq: u64) -> Result<Option<Vec<u8>>, Error> {
        self.reading(|| Ok(numbered(&self.leaves, seq..seq.saturating_add(1))?.pop().map(|(_, leaf)| leaf)))
    }
}
