//! RFC 6962 §2.1 word for word: the recursions of the definition, on leaves held in memory. And a log with its tiles
//! beside it, as the store would have them.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::convert::Infallible;

use rollbook::merkle::{Frontier, Hash, leaf_hash, node_hash};

/// The largest power of two smaller than `n`.
fn k(n: usize) -> usize {
    let mut k = 1;
    while 2 * k < n {
        k *= 2;
    }
    k
}

/// A log: its leaf hashes, and the tiles over them.
pub(crate) struct Log {
    leaves: Vec<Hash>,
    tiles: HashMap<(u8, u64), Vec<Hash>>,
    roots: RefCell<HashMap<(usize, usize), Hash>>,
}

impl Log {
    pub(crate) fn new(size: u64) -> Self {
        let leaves: Vec<Hash> = (0..size).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        let (mut tree, mut tiles) = (Frontier::default(), Vec::new());
        for leaf in &leaves {
            tree.push(*leaf, &mut tiles);
        }
        tiles.extend(tree.take_partial());
        let tiles = tiles.into_iter().map(|tile| ((tile.level, tile.index), tile.hashes)).collect();
        Self { leaves, tiles, roots: RefCell::default() }
    }

    pub(crate) fn leaf(&self, index: u64) -> Hash {
        self.leaves[usize::try_from(index).unwrap()]
    }

    /// Reads a tile for the tree of `size` leaves. It fails on a tile that tree does not have, or that was read.
    pub(crate) fn reader(&self, size: u64) -> impl FnMut(u8, u64) -> Result<Vec<Hash>, Infallible> {
        let mut read = HashSet::new();
        move |level, index| {
            assert!(read.insert((level, index)), "tile {level}/{index} is read twice");
            assert!(index << 8 < size >> (8 * u32::from(level)), "tile {level}/{index} is not of size {size}");
            Ok(self.tiles[&(level, index)].clone())
        }
    }

    /// What is stored of a tile.
    pub(crate) fn tile(&self, level: u8, index: u64) -> &[Hash] {
        &self.tiles[&(level, index)]
    }

    /// `MTH(D[start:end])`.
    pub(crate) fn mth(&self, start: usize, end: usize) -> Hash {
        let known = self.roots.borrow().get(&(start, end)).copied();
        known.unwrap_or_else(|| {
            let root = match end - start {
                0 => Frontier::default().root(),
                1 => self.leaves[start],
                n => node_hash(&self.mth(start, start + k(n)), &self.mth(start + k(n), end)),
            };
            self.roots.borrow_mut().insert((start, end), root);
            root
        })
    }

    pub(crate) fn root(&self, size: u64) -> Hash {
        self.mth(0, usize::try_from(size).unwrap())
    }

    /// `PATH(m, D[n])`.
    pub(crate) fn inclusion(&self, m: u64, n: u64) -> Vec<Hash> {
        self.path(usize::try_from(m).unwrap(), 0, usize::try_from(n).unwrap())
    }

    /// `PATH(m, D[start:end])`.
    fn path(&self, m: usize, start: usize, end: usize) -> Vec<Hash> {
        let n = end - start;
        if n == 1 {
            return Vec::new();
        }
        let middle = start + k(n);
        if m < k(n) {
            [self.path(m, start, middle), vec![self.mth(middle, end)]].concat()
        } else {
            [self.path(m - k(n), middle, end), vec![self.mth(start, middle)]].concat()
        }
    }

    /// `PROOF(m, D[n])`.
    pub(crate) fn consistency(&self, m: u64, n: u64) -> Vec<Hash> {
        self.subproof(usize::try_from(m).unwrap(), 0, usize::try_from(n).unwrap(), true)
    }

    /// `SUBPROOF(m, D[start:end], b)`.
    fn subproof(&self, m: usize, start: usize, end: usize, b: bool) -> Vec<Hash> {
        let n = end - start;
        if m == n {
            return if b { Vec::new() } else { vec![self.mth(start, end)] };
        }
        let middle = start + k(n);
        if m <= k(n) {
            [self.subproof(m, start, middle, b), vec![self.mth(middle, end)]].concat()
        } else {
            [self.subproof(m - k(n), middle, end, false), vec![self.mth(start, middle)]].concat()
        }
    }
}

/// The root that `PATH(m, D[n])` leads to from this leaf; `None` when the path has another length.
pub(crate) fn root_by_path(leaf: Hash, m: u64, n: u64, path: &[Hash]) -> Option<Hash> {
    if m >= n {
        return None;
    }
    if n == 1 {
        return path.is_empty().then_some(leaf);
    }
    let (last, path) = path.split_last()?;
    let left = 1 << (n - 1).ilog2();
    if m < left {
        Some(node_hash(&root_by_path(leaf, m, left, path)?, last))
    } else {
        Some(node_hash(last, &root_by_path(leaf, m - left, n - left, path)?))
    }
}

/// The old and the new root that `SUBPROOF(m, D[n], b)` leads to, given the old one.
pub(crate) fn roots_by_proof(old: Hash, m: u64, n: u64, b: bool, proof: &[Hash]) -> Option<(Hash, Hash)> {
    if m == 0 || m > n {
        return None;
    }
    if m == n {
        return match proof {
            [] if b => Some((old, old)),
            [root] if !b => Some((*root, *root)),
            _ => None,
        };
    }
    let (last, proof) = proof.split_last()?;
    let left = 1 << (n - 1).ilog2();
    if m <= left {
        let (older, newer) = roots_by_proof(old, m, left, b, proof)?;
        Some((older, node_hash(&newer, last)))
    } else {
        let (older, newer) = roots_by_proof(old, m - left, n - left, false, proof)?;
        Some((node_hash(last, &older), node_hash(last, &newer)))
    }
}
