//! The RFC 6962 Merkle tree over the log's leaves, kept as C2SP tiles: rows of up to 256 hashes, level 0
//! holding leaf hashes and each level above the roots of the full rows below it.

mod proof;

use aws_lc_rs::digest::{Context, Digest, SHA256, digest};

pub use proof::{BadProof, consistency, inclusion, verify_consistency, verify_inclusion};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// How many hashes a full tile holds.
pub const TILE_WIDTH: usize = 256;

/// `SHA-256(0x00 ‖ leaf)`, RFC 6962 §2.1.
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[0]);
    context.update(leaf);
    to_hash(&context.finish())
}

/// `SHA-256(0x01 ‖ left ‖ right)`, RFC 6962 §2.1.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    // In one piece, which takes a third less time: a proof is hundreds of these.
    let mut node = [1; 65];
    node[1..33].copy_from_slice(left);
    node[33..].copy_from_slice(right);
    to_hash(&digest(&SHA256, &node))
}

fn to_hash(digest: &Digest) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}

/// The root of a complete subtree over these hashes, whose number is a power of two.
fn subtree_root(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => to_hash(&digest(&SHA256, &[])),
        [one] => *one,
        _ => {
            let (left, right) = hashes.split_at(hashes.len() / 2);
            node_hash(&subtree_root(left), &subtree_root(right))
        }
    }
}

/// One tile to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tile {
    /// The level, 0 for leaf hashes.
    pub level: u8,
    /// Its place in the level, from 0.
    pub index: u64,
    /// 1 to 256 hashes; once 256, the tile never changes again.
    pub hashes: Vec<Hash>,
}

/// The tree's right edge: on each level the hashes of the tile that is not full yet. All that appending
/// and computing the root need.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    /// For every level the last, unfinished row, and whether it changed since it was last stored.
    rows: Vec<Row>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Row {
    hashes: Vec<Hash>,
    changed: bool,
}

impl Frontier {
    /// The frontier of a tree of `size` leaves, its unfinished tiles read by `tile(level, index)`.
    ///
    /// # Errors
    /// Those of `tile`.
    pub fn load<E>(size: u64, mut tile: impl FnMut(u8, u64) -> Result<Vec<Hash>, E>) -> Result<Self, E> {
        let mut rows = Vec::new();
        let mut level = 0;
        let mut count = size;
        while count > 0 {
            let width = place_in_tile(count);
            let mut hashes = if width == 0 { Vec::new() } else { tile(level, count >> 8)? };
            hashes.truncate(width);
            rows.push(Row { hashes, changed: false });
            count >>= 8;
            level += 1;
        }
        Ok(Self { size, rows })
    }

    /// How many leaves the tree has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf; the tiles this fills are added to `full`.
    pub fn push(&mut self, leaf: Hash, full: &mut Vec<Tile>) {
        let mut carried = leaf;
        let mut place = self.size;
        for level in 0_u8.. {
            let at = usize::from(level);
            if at == self.rows.len() {
                self.rows.push(Row::default());
            }
            let row = &mut self.rows[at];
            row.hashes.push(carried);
            row.changed = true;
            if row.hashes.len() < TILE_WIDTH {
                break;
            }
            carried = subtree_root(&row.hashes);
            place >>= 8;
            full.push(Tile { level, index: place, hashes: std::mem::take(row).hashes });
        }
        self.size += 1;
    }

    /// The unfinished tiles that changed since this was last asked.
    pub fn take_partial(&mut self) -> Vec<Tile> {
        let size = self.size;
        let changed = self.rows.iter_mut().zip(0_u8..).filter(|(row, _)| row.changed && !row.hashes.is_empty());
        changed
            .map(|(row, level)| {
                row.changed = false;
                Tile { level, index: size >> (8 * (u32::from(level) + 1)), hashes: row.hashes.clone() }
            })
            .collect()
    }

    /// The root of the tree, RFC 6962 §2.1; of the empty tree, the hash of nothing.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut root: Option<Hash> = None;
        for row in &self.rows {
            // A row of k hashes is complete subtrees of falling size, one for each bit of k.
            let mut end = row.hashes.len();
            while end > 0 {
                let width = 1 << end.trailing_zeros();
                let block = subtree_root(&row.hashes[end - width..end]);
                root = Some(root.map_or(block, |right| node_hash(&block, &right)));
                end -= width;
            }
        }
        root.unwrap_or_else(|| subtree_root(&[]))
    }
}

/// Where in its tile of level 0 the leaf at that place is hashed.
#[allow(clippy::cast_possible_truncation, reason = "masked to eight bits")]
#[must_use]
pub const fn place_in_tile(count: u64) -> usize {
    (count & 0xff) as usize
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use ct_merkle::mem_backed_tree::MemoryBackedTree;
    use std::collections::HashMap;

    #[test]
    fn roots_are_those_of_an_independent_tree_and_survive_reloading() {
        let mut theirs = MemoryBackedTree::<sha2::Sha256, Vec<u8>>::new();
        let mut ours = Frontier::default();
        let mut stored = HashMap::new();
        for n in 0_u32..70_000 {
            let leaf = n.to_be_bytes().to_vec();
            let mut full = Vec::new();
            ours.push(leaf_hash(&leaf), &mut full);
            theirs.push(leaf);
            for tile in full {
                assert_eq!(tile.hashes.len(), TILE_WIDTH);
                stored.insert((tile.level, tile.index), tile.hashes);
            }
            if n < 700 || n % 1009 == 0 || n == 65_535 {
                for tile in ours.take_partial() {
                    stored.insert((tile.level, tile.index), tile.hashes);
                }
                // What has not changed since is not given, and written, again.
                assert!(ours.take_partial().is_empty());
                assert_eq!(ours.root(), *theirs.root().as_bytes(), "size {}", n + 1);
                let loaded = Frontier::load(ours.size(), |l, i| Ok::<_, ()>(stored[&(l, i)].clone())).unwrap();
                assert_eq!(loaded.root(), ours.root(), "reloaded at size {}", n + 1);
            }
        }
        assert_eq!(stored[&(0, 5)].len(), TILE_WIDTH);
        assert_eq!(stored[&(1, 0)][3], subtree_root(&stored[&(0, 3)]));
    }

    #[test]
    fn the_empty_tree_has_the_hash_of_nothing() {
        let root = u128::from_be_bytes(Frontier::default().root()[..16].try_into().unwrap());
        assert_eq!(root, 0xe3b0_c442_98fc_1c14_9afb_f4c8_996f_b924);
    }
}
