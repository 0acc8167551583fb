//! What the writer carries from one transaction to the next, so that it need not be read again.

use redb::{Database, ReadableDatabase as _, ReadableTable as _};
use serde::{Deserialize, Serialize};

use super::error::Error;
use super::hours::Current;
use super::tables;
use super::wall::Wall;
use crate::audit::Doubt;
use crate::clock::{Clock, Timestamp};
use crate::merkle::{Frontier, Hash, leaf_hash, place_in_tile};

/// The writer's memory. Cloned for every batch, and kept only when the batch is on disk.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) log: Frontier,
    pub(super) last_at: Timestamp,
    pub(super) wall: Wall,
    pub(super) instance: Option<String>,
    pub(super) stats: Stats,
    pub(super) hour: Current,
}

/// Running counts, kept in the file beside what they count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stats {
    pub(super) users: u64,
    pub(super) deleted: u64,
    pub(super) quarantined: u64,
    /// How many subject numbers were given out.
    pub(super) subjects: u64,
    pub(super) last_event_at: Option<Timestamp>,
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Users on the roll.
    pub users: u64,
    /// Users deleted at Clerk whose record is kept.
    pub deleted: u64,
    /// Entries in the book.
    pub entries: u64,
    /// Deliveries in quarantine.
    pub quarantined: u64,
    /// When the last verified delivery of Clerk's came.
    pub last_event_at: Option<Timestamp>,
}

impl State {
    /// Reads the state back, and what speaks against the log it describes.
    pub(super) fn load(db: &Database, clock: Clock) -> Result<(Self, Option<Doubt>), Error> {
        let txn = db.begin_read()?;
        let audit_meta = txn.open_table(tables::audit_meta())?;
        let meta = txn.open_table(tables::meta())?;
        let tiles = txn.open_table(tables::audit_tile())?;
        let head = audit_meta.get("head")?.map(|row| row.value().to_vec());
        let (size, root) = match &head {
            Some(row) => split_head(row)?,
            None => (0, Frontier::default().root()),
        };
        // What is missing shows in the root.
        let log = Frontier::load(size, |level, index| {
            Ok::<_, Error>(tiles.get((level, index))?.map(|row| split_hashes(row.value())).unwrap_or_default())
        })?;
        let last_at = match audit_meta.get("last_at")? {
            Some(row) => i64::from_be_bytes(row.value().try_into().map_err(|_| Error::Corrupt("last_at"))?),
            None => 0,
        };
        let stats = match meta.get("stats")? {
            Some(row) => serde_json::from_slice(row.value()).map_err(|_| Error::Corrupt("stats"))?,
            None => Stats::default(),
        };
        let instance = meta.get("instance")?.map(|row| String::from_utf8_lossy(row.value()).into_owned());
        let doubt = if log.root() == root {
            let end =
                txn.open_table(tables::audit_leaf())?.last()?.map(|row| (row.0.value(), leaf_hash(row.1.value())));
            disagreement(size, end, |index| Ok(tiles.get((0, index))?.map(|row| split_hashes(row.value()))))?
        } else {
            Some(Doubt::Damaged("its tiles do not give its root".to_owned()))
        };
        let last_at = Timestamp::from_millis(last_at);
        let (wall, hour) = (Wall::new(clock, last_at), Current::default());
        Ok((Self { log, last_at, wall, instance, stats, hour }, doubt))
    }

    pub(super) const fn stats(&self) -> Counts {
        Counts {
            users: self.stats.users,
            deleted: self.stats.deleted,
            entries: self.log.size(),
            quarantined: self.stats.quarantined,
            last_event_at: self.stats.last_event_at,
        }
    }
}

/// Whether the last leaf, by its place and hash, is where the log ends and is what was hashed there.
fn disagreement(
    size: u64,
    last: Option<(u64, Hash)>,
    tile: impl FnOnce(u64) -> Result<Option<Vec<Hash>>, Error>,
) -> Result<Option<Doubt>, Error> {
    let Some((place, hash)) = last else {
        return Ok((size > 0).then(|| Doubt::Damaged("it has no entries any more".to_owned())));
    };
    if place.checked_add(1) != Some(size) {
        return Ok(Some(Doubt::Damaged(format!("its head says {size} entries, and the last is entry {place}"))));
    }
    let hashed = tile(place >> 8)?.and_then(|tile| tile.get(place_in_tile(place)).copied());
    Ok((hashed != Some(hash)).then(|| Doubt::Damaged(format!("entry {place} is not what was hashed"))))
}

/// The log's size and root as one row.
pub(super) fn join_head(size: u64, root: &Hash) -> Vec<u8> {
    [&size.to_be_bytes()[..], root].concat()
}

pub(super) fn split_head(row: &[u8]) -> Result<(u64, Hash), Error> {
    let (size, root) = row.split_at_checked(8).ok_or(Error::Corrupt("head"))?;
    let size = size.try_into().map_err(|_| Error::Corrupt("head"))?;
    Ok((u64::from_be_bytes(size), root.try_into().map_err(|_| Error::Corrupt("head"))?))
}

/// The hashes of a tile's row.
pub(super) fn split_hashes(row: &[u8]) -> Vec<Hash> {
    row.as_chunks().0.to_vec()
}
