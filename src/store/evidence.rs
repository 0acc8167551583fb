//! What the log's proof rests on, as it is stored: leaves, tiles, details, people, checkpoints. Reading for those who
//! publish, export and verify.

mod rows;

use std::ops::Range;
use std::sync::Arc;

use redb::{Database, ReadOnlyTable, ReadableDatabase as _};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::error::Error;
use super::state::{split_hashes, split_head};
use super::tables::{self, open};
use super::{Store, schema, watched};
use crate::audit::Salt;
use crate::clock::Timestamp;
use crate::merkle::{Frontier, Hash, TILE_WIDTH, place_in_tile};
use crate::tlog::bundle;
use crate::tlog::tile_path::{Content, TilePath};
use crate::user::ClerkId;

pub use self::rows::{CheckpointRow, Mapping, RowCounts};

/// The log's size and root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// How many entries.
    pub size: u64,
    /// The root over them, RFC 6962 §2.1.
    pub root: Hash,
}

/// Under which name and keys a log is signed. Kept in the file, so that another key beside it is noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Counts from 1; an operator who adopts a file that is in doubt begins the next.
    pub epoch: u64,
    /// The verifier key of the key that signs, in the text form of C2SP signed-note.
    pub vkey: String,
    /// Those of keys that signed before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<String>,
}

/// A checkpoint as kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// The epoch it was signed in.
    pub epoch: u64,
    /// How many entries it covers.
    pub size: u64,
    /// When it was signed.
    pub at: Timestamp,
    /// The signed note.
    pub note: String,
}

/// A person as the log knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Clerk's id.
    pub id: ClerkId,
    /// The reference in the leaves.
    pub reference: String,
    /// What the reference is salted with.
    pub salt: Salt,
}

/// The log's rows at one moment. It pins every page that is freed meanwhile: keep it for a step, not for a walk.
/// Reading blocks.
pub struct Evidence {
    leaves: ReadOnlyTable<u64, &'static [u8]>,
    details: ReadOnlyTable<u64, &'static [u8]>,
    tiles: ReadOnlyTable<(u8, u64), &'static [u8]>,
    meta: ReadOnlyTable<&'static str, &'static [u8]>,
    checkpoints: ReadOnlyTable<(u64, u64), &'static [u8]>,
    subjects: ReadOnlyTable<&'static str, &'static [u8]>,
    refs: ReadOnlyTable<&'static str, &'static str>,
    by_subject: ReadOnlyTable<(u64, u64), ()>,
    by_action: ReadOnlyTable<(&'static str, u64), ()>,
    /// `None` when the file's schema is older than this list.
    by_facet: Option<ReadOnlyTable<(&'static str, u64), ()>>,
    /// Told when the file cannot be read; of a file that nobody writes, nobody is.
    failed: Option<watch::Sender<bool>>,
    /// Closed when nobody holds it any more, and then the tables cannot be read.
    _db: Arc<Database>,
}

impl std::fmt::Debug for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Evidence").finish_non_exhaustive()
    }
}

impl Store {
    /// What `read` finds in the log's rows as of now, on a thread that may block.
    ///
    /// # Errors
    /// Those of `read`, and when the file cannot be read.
    pub async fn examine<T, F>(&self, read: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&Evidence) -> Result<T, Error> + Send + 'static,
    {
        let store = self.clone();
        tokio::task::spawn_blocking(move || read(&store.evidence()?)).await.unwrap_or(Err(Error::Panicked))
    }

    /// The log's rows as of now.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn evidence(&self) -> Result<Evidence, Error> {
        let failed = self.0.failed.clone();
        watched(&self.0.failed, || Evidence::open(self.0.live.db(), Some(failed)))
    }
}

impl Evidence {
    pub(super) fn open(db: Arc<Database>, failed: Option<watch::Sender<bool>>) -> Result<Self, Error> {
        let txn = &db.begin_read()?;
        let by_facet = schema::has_facets(txn)?.then(|| open(txn, tables::audit_by_facet())).transpose()?;
        Ok(Self {
            leaves: open(txn, tables::audit_leaf())?,
            details: open(txn, tables::audit_detail())?,
            tiles: open(txn, tables::audit_tile())?,
            meta: open(txn, tables::audit_meta())?,
            checkpoints: open(txn, tables::audit_checkpoint())?,
            subjects: open(txn, tables::subjects())?,
            refs: open(txn, tables::subject_refs())?,
            by_subject: open(txn, tables::audit_by_subject())?,
            by_action: open(txn, tables::audit_by_action())?,
            by_facet,
            failed,
            _db: db,
        })
    }

    /// The log's size and root.
    ///
    /// # Errors
    /// As all of these: when the file cannot be read, or a row does not have the form it was written in.
    pub fn head(&self) -> Result<Head, Error> {
        self.reading(|| match self.meta.get("head")? {
            Some(row) => split_head(row.value()).map(|(size, root)| Head { size, root }),
            None => Ok(Head { size: 0, root: Frontier::default().root() }),
        })
    }

    /// The place of the first entry that was not pruned.
    ///
    /// # Errors
    /// As [`Evidence::head`].
    pub fn first(&self) -> Result<u64, Error> {
        self.reading(|| match self.meta.get("first")? {
            Some(row) => Ok(u64::from_be_bytes(row.value().try_into().map_err(|_| Error::Corrupt("first"))?)),
            None => Ok(0),
        })
    }

    /// The name and keys the log is signed under, once it was.
    ///
    /// # Errors
    /// As [`Evidence::head`].
    pub fn identity(&self) -> Result<Option<Identity>, Error> {
        self.reading(|| {
            let row = self.meta.get("identity")?;
            row.map(|row| serde_json::from_slice(row.value()).map_err(|_| Error::Corrupt("identity"))).transpose()
        })
    }

    /// The exact bytes of the leaves in that range, each with its place; those that were pruned are left out.
    ///
    /// # Errors
    /// As [`Evidence::head`].
    pub fn leaves(&self, range: Range<u64>) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        self.reading(|| numbered(&self.leaves, range))
    }

    /// Salt (32 bytes) and detail of the entries in that range that have one, each with its place.
    ///
    /// # Errors
    /// As [`Evidence::head`].
    pub fn details(&self, range: Range<u64>) -> Result<Vec<(u64, Vec<u8>)>, Error> {
        self.reading(|| numbered(&self.details, range))
    }

    /// The hashes of a tile, as many as there are by now.
    ///
    /// # Errors
    /// As [`Evidence::head`].
    pub fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<Hash>>, Error> {
        self.reading(|| Ok(self.tiles.get((level, index))?.map(|row| split_hashes(row.value()))))
    }

    /// The hashes of a tile that must be there.
    ///
    /// # Errors
    /// As [`Evidence::head`]; also when it is not.
    pub fn hashes(&self, level: u8, index: u64) -> Result<Vec<Hash>, Error> {
        self.tile(level, index)?.ok_or(Error::Corrupt("a tile is missing"))
    }

    /// What is found at that path; `None` when entries of it were pruned. The tree must have it.
    ///
    /// # Errors
    /// As [`Evidence::hashes`].
    pub fn tile_file(&self, path: TilePath) -> Result<Option<Vec<u8>>, Error> {
        match path.content {
            Content::Hashes(level) => {
                let hashes = self.hashes(level, path.index)?;
                let hashes = hashes.get(..path.width()).ok_or(Error::Corrupt("a tile is too short"))?;
                Ok(Some(hashes.as_flattened().to_vec()))
            }
            Content::Entries => {
                let from = path.index * TILE_WIDTH as u64;
                let leaves = self.leaves(from..from + path.width() as u64)?;
                let leaves: Vec<Vec<u8>> = leaves.into_iter().map(|(_, leaf)| leaf).collect();
                if leaves.len() < path.width() {
                    return Ok(None);
                }
                bundle::encode(&leaves).map(Some).map_err(|_| Error::Corrupt("a leaf is too long"))
            }
        }
    }

    /// The hash of the leaf at that place, which is there also when the leaf was pruned.
    ///
    /// # Errors
    /// As [`Evidence::hashes`].
    pub fn leaf_hash(&self, place: u64) -> Result<Hash, Error> {
        let tile = self.hashes(0, place >> 8)?;
        tile.get(place_in_tile(place)).copied().ok_or(Error::Corrupt("a tile is too short"))
    }

    /// The root of the tree's first `size` leaves, from its tiles.
    ///
    /// # Errors
    /// As [`Evidence::hashes`].
    pub fn root_at(&self, size: u64) -> Result<Hash, Error> {
        Ok(Frontier::load(size, |level, index| self.hashes(level, index))?.root())
    }

    /// Whom a reference means, unless it was erased.
    ///
    /// # Errors
    /// As [`Evidence::head`].
    pub fn person(&self, reference: &str) -> Result<Option<Person>, Error> {
        self.reading(|| {
            let Some(id) = self.refs.get(reference)? else { return Ok(None) };
            let row = self.subjects.get(id.value())?.ok_or(Error::Corrupt("a reference"))?;
            person(id.value(), row.value()).map(Some)
        })
    }

    /// The next people behind the one with that id, in the order of their ids, at most so many.
    ///
    /// # Errors
    /// As [`Evidence::head`].
    pub fn people_after(&self, after: Option<&ClerkId>, limit: usize) -> Result<Vec<Person>, Error> {
        self.reading(|| {
            let from = after.map_or("", ClerkId::as_str);
            let rows = self.subjects.range(from..)?.filter(|row| {
                // The one that was last.
                row.as_ref().map_or(true, |row| after.is_none_or(|id| id.as_str() != row.0.value()))
            });
            rows.take(limit)
                .map(|row| row.map_err(Error::from).and_then(|row| person(row.0.value(), row.1.value())))
                .collect()
        })
    }

    /// The newest checkpoint of all.
    ///
    /// # Errors
    /// As [`Evidence::head`].
    pub fn newest_checkpoint(&self) -> Result<Option<StoredCheckpoint>, Error> {
        self.reading(|| {
            let row = self.checkpoints.range::<(u64, u64)>(..)?.next_back().transpose()?;
            row.map(|row| checkpoint(row.0.value(), row.1.value())).transpose()
        })
    }

    /// The newest checkpoints, the newest first, at most so many.
    ///
    /// # Errors
    /// As [`Evidence::head`].
    pub fn newest_checkpoints(&self, limit: usize) -> Result<Vec<StoredCheckpoint>, Error> {
        self.reading(|| {
            let rows = self.checkpoints.range::<(u64, u64)>(..)?.rev().take(limit);
            rows.map(|row| row.map_err(Error::from).and_then(|row| checkpoint(row.0.value(), row.1.value()))).collect()
        })
    }

    /// The next checkpoints behind the one of that epoch and size, oldest first, at most so many.
    ///
    /// # Errors
    /// As [`Evidence::head`].
    pub fn checkpoints_after(&self, after: (u64, u64), limit: usize) -> Result<Vec<StoredCheckpoint>, Error> {
        self.reading(|| {
            let rows = self.checkpoints.range((after.0, after.1.saturating_add(1))..)?.take(limit);
            rows.map(|row| row.map_err(Error::from).and_then(|row| checkpoint(row.0.value(), row.1.value()))).collect()
        })
    }

    fn reading<T>(&self, read: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        match &self.failed {
            Some(failed) => watched(failed, read),
            None => read(),
        }
    }
}

fn numbered(table: &ReadOnlyTable<u64, &'static [u8]>, range: Range<u64>) -> Result<Vec<(u64, Vec<u8>)>, Error> {
    table.range(range)?.map(|row| Ok(row.map(|row| (row.0.value(), row.1.value().to_vec()))?)).collect()
}

fn person(id: &str, row: &[u8]) -> Result<Person, Error> {
    let corrupt = || Error::Corrupt("a subject");
    let (salt, reference) = row.get(8..).and_then(|rest| rest.split_at_checked(32)).ok_or_else(corrupt)?;
    Ok(Person {
        id: id.parse().map_err(|_| corrupt())?,
        reference: String::from_utf8(reference.to_vec()).map_err(|_| corrupt())?,
        salt: salt.try_into().map_err(|_| corrupt())?,
    })
}

/// A checkpoint's row: when it was signed (8 bytes, big-endian, milliseconds), then the note.
pub(super) fn checkpoint_row(at: Timestamp, note: &str) -> Vec<u8> {
    [&at.as_millis().to_be_bytes()[..], note.as_bytes()].concat()
}

fn checkpoint((epoch, size): (u64, u64), row: &[u8]) -> Result<StoredCheckpoint, Error> {
    let corrupt = || Error::Corrupt("a checkpoint");
    let (at, note) = row.split_at_checked(8).ok_or_else(corrupt)?;
    let at = i64::from_be_bytes(at.try_into().map_err(|_| corrupt())?);
    let note = String::from_utf8(note.to_vec()).map_err(|_| corrupt())?;
    Ok(StoredCheckpoint { epoch, size, at: Timestamp::from_millis(at), note })
}
