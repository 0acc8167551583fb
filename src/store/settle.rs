//! Under which name a log is signed, what was signed, and the way out when a log is in doubt.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use redb::ReadableTable as _;

use super::error::Error;
use super::evidence::{Identity, checkpoint_row};
use super::state::split_hashes;
use super::tx::Tx;
use super::{Doubt, Store};
use crate::audit::Draft;
use crate::clock::Timestamp;
use crate::merkle::{Frontier, TILE_WIDTH, Tile, leaf_hash};

const HOUR: i64 = 60 * 60 * 1000;

/// How long every checkpoint is kept, in milliseconds.
const KEEP_ALL: i64 = 24 * HOUR;

/// How long one checkpoint of each hour is kept, in milliseconds; of older ones, one of each day is.
const KEEP_HOURLY: i64 = 30 * 24 * HOUR;

impl Store {
    /// Why the log is read only, if it is.
    #[must_use]
    pub fn doubt(&self) -> Option<Doubt> {
        self.0.doubt.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on nothing is appended, until [`Store::adopt`].
    pub fn refuse_writes(&self, doubt: Doubt) {
        tracing::error!(cause = %doubt, "log.in_doubt");
        *self.0.doubt.lock().unwrap_or_else(PoisonError::into_inner) = Some(doubt);
    }

    /// Whether the entry cannot go into the log and has become a line on standard output.
    pub(super) fn is_noted_elsewhere(&self, entry: &Draft) -> bool {
        let in_doubt = self.doubt().is_some();
        if in_doubt {
            tracing::warn!(action = entry.action, source = ?entry.source, outcome = entry.outcome, "audit.not_written");
        }
        in_doubt
    }

    /// States the name and keys the log is signed under from now on, and notes that in the log.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn identify(&self, identity: Identity, entry: Draft) -> Result<(), Error> {
        let now = self.now();
        self.write(move |tx| {
            tx.put_identity(&identity)?;
            tx.append(&entry, now).map(drop)
        })
        .await
    }

    /// Takes the file as it is for the log, whatever spoke against it: the tree is made anew over the entries that are
    /// there, goes by another name from here on, and its next entry says so. Then writes are taken again.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub async fn adopt(&self, identity: Identity, entry: Draft) -> Result<(), Error> {
        let now = self.now();
        let work = move |tx: &mut Tx<'_>| {
            tx.rebuild_tree()?;
            tx.put_identity(&identity)?;
            tx.append(&entry, now).map(drop)
        };
        self.0.queue.write(work).await?;
        *self.0.doubt.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    /// Keeps a checkpoint, and drops older ones as they lie closer together than they need to: all of a day are kept,
    /// then one of each hour for thirty days, then one of each day for ever.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn put_checkpoint(&self, epoch: u64, size: u64, note: String) -> Result<(), Error> {
        let now = self.now();
        self.write(move |tx| {
            let last = tx.tables.audit_checkpoint.last()?.map(|row| signed_at(row.1.value()).div_euclid(HOUR));
            tx.tables.audit_checkpoint.insert((epoch, size), &checkpoint_row(now, &note)[..])?;
            // Nothing more can have become superfluous within the same hour.
            if last != Some(now.as_millis().div_euclid(HOUR)) {
                tx.thin_checkpoints(now)?;
            }
            Ok(())
        })
        .await
    }
}

impl Tx<'_> {
    fn put_identity(&mut self, identity: &Identity) -> Result<(), Error> {
        let row = serde_json::to_vec(identity).unwrap_or_default();
        self.tables.audit_meta.insert("identity", &row[..])?;
        Ok(())
    }

    /// Makes every tile anew from the leaves. Where a leaf is gone, the hash that its tile holds stands for it.
    fn rebuild_tree(&mut self) -> Result<(), Error> {
        let size = self.tables.audit_leaf.last()?.map_or(0, |row| row.0.value() + 1);
        let mut log = Frontier::default();
        let mut kept: Vec<Tile> = Vec::new();
        for index in 0..size.div_ceil(TILE_WIDTH as u64) {
            let from = index * TILE_WIDTH as u64;
            let until = size.min(from + TILE_WIDTH as u64);
            let mut hashes = BTreeMap::new();
            if let Some(row) = self.tables.audit_tile.get((0, index))? {
                hashes.extend((from..until).zip(split_hashes(row.value())));
            }
            for row in self.tables.audit_leaf.range(from..until)? {
                let (place, leaf) = row?;
                hashes.insert(place.value(), leaf_hash(leaf.value()));
            }
            for place in from..until {
                log.push(*hashes.get(&place).ok_or(Error::Corrupt("a tile is missing"))?, &mut kept);
            }
        }
        self.tables.audit_tile.retain(|_, _| false)?;
        for tile in kept {
            self.tables.audit_tile.insert((tile.level, tile.index), tile.hashes.as_flattened())?;
        }
        self.state.log = log;
        Ok(())
    }

    fn thin_checkpoints(&mut self, now: Timestamp) -> Result<(), Error> {
        let mut superfluous = Vec::new();
        // The newest of each stretch of time stays.
        let mut kept = None;
        for row in self.tables.audit_checkpoint.iter()?.rev() {
            let (key, row) = row?;
            let (key, at) = (key.value(), signed_at(row.value()));
            let span = match now.as_millis().saturating_sub(at) {
                age if age < KEEP_ALL => continue,
                age if age < KEEP_HOURLY => HOUR,
                _ => KEEP_ALL,
            };
            let stretch = (key.0, span, at.div_euclid(span));
            if kept == Some(stretch) {
                superfluous.push(key);
            }
            kept = Some(stretch);
        }
        for key in superfluous {
            self.tables.audit_checkpoint.remove(key)?;
        }
        Ok(())
    }
}

/// When a checkpoint's row was signed, milliseconds.
fn signed_at(row: &[u8]) -> i64 {
    row.first_chunk().copied().map_or(0, i64::from_be_bytes)
}
