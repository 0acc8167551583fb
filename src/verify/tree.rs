//! The tree: built anew from the leaves, and compared with every tile that is kept of it.

use super::report::Findings;
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
    /// Adds the hash of the next leaf, or that it is missing.
    pub(super) fn push(
        &mut self,
        leaf: Option<Hash>,
        view: &impl View,
        signed: &mut Signed<'_>,
        findings: &mut Findings,
    ) -> Result<(), Fault> {
        self.row.push(leaf);
        if self.row.len() == TILE_WIDTH { self.settle(view, signed, findings) } else { Ok(()) }
    }

    /// Compares the tiles that are not full, and the root. Returns the root.
    pub(super) fn finish(
        &mut self,
        view: &impl View,
        signed: &mut Signed<'_>,
        findings: &mut Findings,
    ) -> Result<Hash, Fault> {
        if !self.row.is_empty() {
            self.settle(view, signed, findings)?;
        }
        // What was signed over nothing.
        signed.reached(self.frontier.size(), &self.frontier.root());
        for tile in self.frontier.take_partial().into_iter().filter(|tile| tile.level > 0) {
            compare(&tile, view, findings)?;
        }
        Ok(self.frontier.root())
    }

    /// Compares the tile of leaf hashes under way with the one that is kept, and takes it into the tree. Where they
    /// differ, what is above it says which of them is right, and the tree goes on with that one: what is found further
    /// up and further on is then something else.
    fn settle(&mut self, view: &impl View, signed: &mut Signed<'_>, findings: &mut Findings) -> Result<(), Fault> {
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
                findings.add(format!("tile 0/{index} is missing"));
                leaves
            }
            Some(bytes) if *bytes == leaves.as_flattened() => leaves,
            Some(bytes) => {
                let is_kept_right = bytes.len() == 32 * leaves.len() && self.is_above(hashes, index, view)?;
                report(index, start, hashes, &leaves, bytes.len(), is_kept_right, findings);
                if is_kept_right { hashes.to_vec() } else { leaves }
            }
        };
        let mut full = Vec::new();
        for hash in right {
            if signed.next_size() == Some(self.frontier.size()) {
                signed.reached(self.frontier.size(), &self.frontier.root());
            }
            self.frontier.push(hash, &mut full);
        }
        full.iter().filter(|tile| tile.level > 0).try_for_each(|tile| compare(tile, view, findings))
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

/// Says where a tile of leaf hashes differs from its leaves.
fn report(
    index: u64,
    start: u64,
    kept: &[Hash],
    leaves: &[Hash],
    length: usize,
    is_kept_right: bool,
    findings: &mut Findings,
) {
    if length != 32 * leaves.len() {
        findings.add(format!("tile 0/{index} has {length} bytes, where {} hashes belong", leaves.len()));
    }
    for (seq, _) in (start..).zip(kept.iter().zip(leaves)).filter(|(_, (kept, leaf))| kept != leaf) {
        findings.add(if is_kept_right {
            format!("entry {seq} is not the one that was hashed into tile 0/{index}: it was changed")
        } else {
            format!("tile 0/{index} does not have the hash of entry {seq}")
        });
    }
}

/// Compares a tile above the leaves with the one that is kept.
fn compare(tile: &Tile, view: &impl View, findings: &mut Findings) -> Result<(), Fault> {
    let Tile { level, index, hashes } = tile;
    match view.tile(*level, *index)? {
        None => findings.add(format!("tile {level}/{index} is missing")),
        Some(bytes) if bytes == hashes.as_flattened() => {}
        Some(bytes) if bytes.len() != 32 * hashes.len() => {
            findings.add(format!(
                "tile {level}/{index} has {} bytes, where {} hashes belong",
                bytes.len(),
                hashes.len()
            ));
        }
        Some(bytes) => {
            let kept = bytes.as_chunks::<32>().0.iter();
            for (place, _) in (index * TILE_WIDTH as u64..).zip(kept.zip(hashes)).filter(|(_, (a, b))| a != b) {
                findings.add(format!("tile {level}/{index} does not have the root of tile {}/{place}", level - 1));
            }
        }
    }
    Ok(())
}
