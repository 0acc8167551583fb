//! Proofs over the tree: that a leaf is in it, and that it only grew. Made from the stored tiles, checked with nothing
//! but hashes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::{Hash, TILE_WIDTH, node_hash, place_in_tile, subtree_root};

/// What was to be proved is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the proof does not hold")]
pub struct BadProof;

/// The proof that the leaf at `index` is in the tree of `size` leaves (RFC 6962 §2.1.1), from the leaf's sibling up.
///
/// `tile(level, index)` reads a stored tile. None is asked for twice, and none that the tree of that size does not
/// have; it may hold more hashes than it had then. What comes of a tile with fewer does not verify.
///
/// An index that is not below `size` has no proof: it gets an empty one, which [`verify_inclusion`] refuses.
///
/// # Errors
/// Those of `tile`.
pub fn inclusion<E>(index: u64, size: u64, tile: impl FnMut(u8, u64) -> Result<Vec<Hash>, E>) -> Result<Vec<Hash>, E> {
    let mut tree = Tree { tile, read: HashMap::new() };
    let (mut start, mut end) = if index < size { (0, size) } else { (0, 0) };
    let mut proof = Vec::new();
    while end - start > 1 {
        let middle = start + left_part(end - start);
        if index < middle {
            proof.push(tree.root(middle, end)?);
            end = middle;
        } else {
            proof.push(tree.root(start, middle)?);
            start = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the tree of `to` leaves begins with the `from` leaves of an older one (RFC 6962 §2.1.2). `tile` is as
/// for [`inclusion`].
///
/// It is empty when the sizes are the same or `from` is 0, where there is nothing to prove, and when `from` is above
/// `to`, where there is no proof and [`verify_consistency`] refuses.
///
/// # Errors
/// Those of `tile`.
pub fn consistency<E>(from: u64, to: u64, tile: impl FnMut(u8, u64) -> Result<Vec<Hash>, E>) -> Result<Vec<Hash>, E> {
    let mut proof = Vec::new();
    if from == 0 || from >= to {
        return Ok(proof);
    }
    let mut tree = Tree { tile, read: HashMap::new() };
    let (mut start, mut end) = (0, to);
    while from < end {
        let middle = start + left_part(end - start);
        if from <= middle {
            proof.push(tree.root(middle, end)?);
            end = middle;
        } else {
            proof.push(tree.root(start, middle)?);
            start = middle;
        }
    }
    // Where the whole old tree is one subtree of the new, the verifier has its root already.
    if start > 0 {
        proof.push(tree.root(start, end)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Checks that the leaf of this hash is at `index` in the tree of `size` leaves with this root (RFC 9162 §2.1.3.2).
///
/// # Errors
/// When the proof does not show it. One hash too many or too few is enough.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> Result<(), BadProof> {
    if index >= size {
        return Err(BadProof);
    }
    let mut climb = Climb { node: index, last: size - 1 };
    let mut hash = *leaf;
    for sibling in proof {
        hash = match climb.step()? {
            Side::Left => node_hash(sibling, &hash),
            Side::Right => node_hash(&hash, sibling),
        };
    }
    climb.is_at_top_with(hash == *root)
}

/// Checks that the tree of `to` leaves with the root `new` begins with the tree of `from` leaves with the root `old`
/// (RFC 9162 §2.1.4.2).
///
/// The RFC leaves two cases open. A tree is consistent with itself: the same size, the same root, an empty proof; and
/// the root of the empty tree is the hash of nothing. From the empty tree to a longer one nothing is shown: every tree
/// begins with it, so that would be no proof, and is refused.
///
/// # Errors
/// When the proof does not show it. One hash too many or too few is enough.
pub fn verify_consistency(from: u64, to: u64, old: &Hash, new: &Hash, proof: &[Hash]) -> Result<(), BadProof> {
    if from == to {
        let is_root = from > 0 || *old == subtree_root(&[]);
        return if is_root && proof.is_empty() && old == new { Ok(()) } else { Err(BadProof) };
    }
    if from == 0 || from > to {
        return Err(BadProof);
    }
    // The climb begins at the largest subtree that ends the old tree.
    let skipped = from.trailing_zeros();
    let mut climb = Climb { node: (from - 1) >> skipped, last: (to - 1) >> skipped };
    let (first, rest) = match proof {
        [] => return Err(BadProof),
        // The old tree is that subtree, and its root is not in the proof.
        _ if from.is_power_of_two() => (old, proof),
        [first, rest @ ..] => (first, rest),
    };
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        match climb.step()? {
            Side::Left => {
                old_hash = node_hash(sibling, &old_hash);
                new_hash = node_hash(sibling, &new_hash);
            }
            Side::Right => new_hash = node_hash(&new_hash, sibling),
        }
    }
    climb.is_at_top_with(old_hash == *old && new_hash == *new)
}

/// The way of a verifier from a node to the root: where it is in its row, and where the row ends (`fn` and `sn` in
/// RFC 9162).
struct Climb {
    node: u64,
    last: u64,
}

/// Where the next hash of a proof stands.
enum Side {
    Left,
    Right,
}

impl Climb {
    /// One hash further up. At the root there is no further.
    fn step(&mut self) -> Result<Side, BadProof> {
        if self.last == 0 {
            return Err(BadProof);
        }
        let mut side = Side::Right;
        if self.node & 1 == 1 || self.node == self.last {
            side = Side::Left;
            // A node at the end of its row without a sibling is its own parent.
            while self.node & 1 == 0 && self.node != 0 {
                self.up();
            }
        }
        self.up();
        Ok(side)
    }

    const fn up(&mut self) {
        self.node >>= 1;
        self.last >>= 1;
    }

    fn is_at_top_with(&self, right: bool) -> Result<(), BadProof> {
        if self.last == 0 && right { Ok(()) } else { Err(BadProof) }
    }
}

/// The stored tree: reads tiles, and keeps what it read.
struct Tree<F> {
    tile: F,
    read: HashMap<(u8, u64), Vec<Hash>>,
}

impl<E, F: FnMut(u8, u64) -> Result<Vec<Hash>, E>> Tree<F> {
    /// The root over the leaves from `start` to before `end`, which are a left or a right part of the tree: complete
    /// subtrees, ever smaller ones.
    fn root(&mut self, start: u64, end: u64) -> Result<Hash, E> {
        let mut blocks = Vec::new();
        let mut at = start;
        while at < end {
            let height = (end - at).ilog2();
            blocks.push(self.subtree(height, at)?);
            at += 1 << height;
        }
        let root = blocks.into_iter().rev().reduce(|right, left| node_hash(&left, &right));
        Ok(root.unwrap_or_else(|| subtree_root(&[])))
    }

    /// The root of the complete subtree of `2^height` leaves that begins with the leaf at `start`: consecutive
    /// hashes of one tile.
    fn subtree(&mut self, height: u32, start: u64) -> Result<Hash, E> {
        let level = height / 8;
        let place = start >> (8 * level);
        let first = place_in_tile(place);
        let row = self.row(level, place / TILE_WIDTH as u64)?;
        Ok(row.get(first..first + (1 << (height % 8))).map_or_else(|| subtree_root(&[]), subtree_root))
    }

    #[allow(clippy::cast_possible_truncation, reason = "a level is at most 7")]
    fn row(&mut self, level: u32, index: u64) -> Result<&[Hash], E> {
        match self.read.entry((level as u8, index)) {
            Entry::Occupied(row) => Ok(row.into_mut()),
            Entry::Vacant(row) => Ok(row.insert((self.tile)(level as u8, index)?)),
        }
    }
}

/// How many leaves the left one of a tree's two parts has: the largest power of two below its size, which is 2 or more.
const fn left_part(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}
