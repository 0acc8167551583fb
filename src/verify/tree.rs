//! The tree: built anew from the leaves, and compared with every tile that is kept of it.

use super::flaws::{Flaw, Flaws};
use super::signed::Signed;
use super::source::{Fault, View};
use crate::merkle::{Frontier, Hash, TILE_WIDTH, Tile, place_in_tile};

/// The tree as far as the pass has come.
#[derive(Default)]
pub(super) struct Tree {
    frontier: Frontier,
    /// The leaves of the tile under way; `None` where one is missing.
    row: Vec<Option<Hash>>,
}

impl Tree {
    /// How many entries are in it.
    pub(super) const fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Adds the hash of the next leaf, or that it is missing.
    pub(super) fn push(
        &mut self,
        leaf: Option<Hash>,
        view: &impl View,
        signed: &mut Signed<'_>,
        flaws: &mut Flaws,
    ) -> Result<(), Fault> {
        self.row.push(leaf);
        if self.row.len() == TILE_WIDTH { self.settle(view, signed, flaws) } else { Ok(()) }
    }

    /// Compares the tiles that are not full. Returns the root.
    pub(super) fn finish(
        &mut self,
        view: &impl View,
        signed: &mut Signed<'_>,
        flaws: &mut Flaws,
    ) -> Result<Hash, Fault> {
        if !self.row.is_empty() {
            self.settle(view, signed, flaws)?;
        }
        signed.reached(self.frontier.size(), || self.frontier.root());
        for tile in self.frontier.take_partial().into_iter().filter(|tile| tile.level > 0) {
            compare(&tile, view, flaws)?;
        }
        Ok(self.frontier.root())
    }

    /// Compares the tile of leaf hashes under way with the one that is kept, and takes it into the tree. Where they
    /// differ, what is above it says which of them is right, and the tree goes on with that one: what is found further
    /// up and further on is then something else.
    fn settle(&mut self, view: &impl View, signed: &mut Signed<'_>, flaws: &mut Flaws) -> Result<(), Fault> {
        let start = self.frontier.size();
        let index = start / TILE_WIDTH as u64;
        let row = std::mem::take(&mut self.row);
        let kept = view.tile(0, index)?;
        let hashes = kept.as_deref().map(|bytes| bytes.as_chunks::<32>().0).unwrap_or_default();
        let filled: Option<Vec<Hash>> =
            row.iter().enumerate().map(|(place, leaf)| leaf.or_else(|| hashes.get(place).copied())).collect();
        let Some(leaves) = filled else {
            return Err(Fault::Damaged(format!(
                "entries are missing from {start} on, and their hashes in tile 0/{index} too"
            )));
        };
        let right = match &kept {
            None => {
                flaws.add(Flaw::Tile(0), index);
                leaves
            }
            Some(bytes) if *bytes == leaves.as_flattened() => leaves,
            Some(bytes) => {
                let is_length_right = bytes.len() == 32 * leaves.len();
                let is_kept_right = is_length_right && self.is_above(hashes, index, view)?;
                if !is_length_right {
                    flaws.add(Flaw::TileLength(0), index);
                }
                let flaw = if is_kept_right { Flaw::Changed } else { Flaw::Hash(0) };
                differing(start, hashes, &leaves).for_each(|seq| flaws.add(flaw, seq));
                if is_kept_right { hashes.to_vec() } else { leaves }
            }
        };
        let mut full = Vec::new();
        for hash in right {
            signed.reached(self.frontier.size(), || self.frontier.root());
            self.frontier.push(hash, &mut full);
        }
        full.iter().filter(|tile| tile.level > 0).try_for_each(|tile| compare(tile, view, flaws))
    }

    /// Whether these leaf hashes are what the log was built of further up: by the hash in the tile above, or by the root
    /// where the tile is not full.
    fn is_above(&self, hashes: &[Hash], index: u64, view: &impl View) -> Result<bool, Fault> {
        let root_of = |mut frontier: Frontier| {
            for hash in hashes {
                frontier.push(*hash, &mut Vec::new());
            }
            frontier.root()
        };
        if hashes.len() < TILE_WIDTH {
            return Ok(view.root() == Some(root_of(self.frontier.clone())));
        }
        let Some(above) = view.tile(1, index / TILE_WIDTH as u64)? else { return Ok(false) };
        Ok(above.as_chunks().0.get(place_in_tile(index)) == Some(&root_of(Frontier::default())))
    }
}

/// Compares a tile above the leaves with the one that is kept.
fn compare(Tile { level, index, hashes }: &Tile, view: &impl View, flaws: &mut Flaws) -> Result<(), Fault> {
    match view.tile(*level, *index)? {
        None => flaws.add(Flaw::Tile(*level), *index),
        Some(bytes) if bytes == hashes.as_flattened() => {}
        Some(bytes) if bytes.len() != 32 * hashes.len() => flaws.add(Flaw::TileLength(*level), *index),
        Some(bytes) => {
            let start = index * TILE_WIDTH as u64;
            differing(start, bytes.as_chunks().0, hashes).for_each(|place| flaws.add(Flaw::Hash(*level), place));
        }
    }
    Ok(())
}

/// The places at which two rows of hashes that begin at `start` differ.
fn differing(start: u64, one: &[Hash], other: &[Hash]) -> impl Iterator<Item = u64> {
    (start..).zip(one.iter().zip(other)).filter(|(_, (one, other))| one != other).map(|(place, _)| place)
}
