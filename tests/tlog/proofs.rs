//! Every proof is that of the RFC, holds, and asks for no tile in vain.

use rollbook::merkle::{self, BadProof, Frontier, Hash, verify_consistency, verify_inclusion};

use crate::naive::Log;

/// Every size up to here is looked at: past two full tiles.
const SIZES: u64 = 600;

fn inclusion_is_right(log: &Log, index: u64, size: u64) {
    let Ok(proof) = merkle::inclusion(index, size, log.reader(size));
    assert_eq!(proof, log.inclusion(index, size), "{index} in {size}");
    let root = log.root(size);
    assert_eq!(verify_inclusion(&log.leaf(index), index, size, &proof, &root), Ok(()), "{index} in {size}");
}

fn consistency_is_right(log: &Log, from: u64, to: u64) {
    let Ok(proof) = merkle::consistency(from, to, log.reader(to));
    assert_eq!(proof, log.consistency(from, to), "{from} to {to}");
    let (old, new) = (log.root(from), log.root(to));
    assert_eq!(verify_consistency(from, to, &old, &new, &proof), Ok(()), "{from} to {to}");
}

/// Places from 0 to `end`, both included: all of them in a small range, in a larger one its ends, what is around
/// tiles and powers of two, and every 23rd, beginning elsewhere for each size.
fn places(end: u64) -> impl Iterator<Item = u64> {
    (0..=end).filter(move |at| {
        let near = |edge: u64| at.abs_diff(edge) <= 1;
        end <= 80
            || near(0)
            || near(end)
            || near(256)
            || near(512)
            || near(1 << end.ilog2())
            || (at + end).is_multiple_of(23)
    })
}

#[test]
fn proofs_of_inclusion_are_those_of_the_rfc_at_every_size() {
    let log = Log::new(SIZES);
    for size in 1..=SIZES {
        places(size - 1).for_each(|index| inclusion_is_right(&log, index, size));
    }
}

#[test]
fn proofs_of_consistency_are_those_of_the_rfc_at_every_size() {
    let log = Log::new(SIZES);
    for to in 1..=SIZES {
        places(to).filter(|from| *from > 0).for_each(|from| consistency_is_right(&log, from, to));
    }
}

#[test]
fn roots_are_those_of_the_rfc_at_every_size() {
    let log = Log::new(SIZES);
    for size in 0..=SIZES {
        let Ok(tree) = Frontier::load(size, log.reader(size));
        assert_eq!(tree.root(), log.root(size), "{size}");
    }
}

#[test]
fn proofs_hold_in_a_tree_of_three_levels() {
    let log = Log::new(70_000);
    let edges =
        [1, 2, 255, 256, 257, 511, 4_096, 65_279, 65_280, 65_281, 65_535, 65_536, 65_537, 65_792, 69_999, 70_000];
    for size in edges {
        for other in edges.into_iter().filter(|other| *other <= size) {
            inclusion_is_right(&log, other - 1, size);
            consistency_is_right(&log, other, size);
        }
    }
}

#[test]
fn where_there_is_no_proof_there_is_an_empty_one_and_it_is_refused() {
    let log = Log::new(9);
    let unread = |_, _| -> Result<Vec<Hash>, ()> { Err(()) };
    let root = log.root(9);
    for (index, size) in [(0, 0), (9, 9), (10, 9), (u64::MAX, 9), (u64::MAX, u64::MAX)] {
        assert_eq!(merkle::inclusion(index, size, unread), Ok(vec![]));
        assert_eq!(verify_inclusion(&log.leaf(0), index, size, &[], &root), Err(BadProof));
    }
    for (from, to) in [(10, 9), (u64::MAX, 9), (0, 9), (0, u64::MAX)] {
        assert_eq!(merkle::consistency(from, to, unread), Ok(vec![]));
        assert_eq!(verify_consistency(from, to, &root, &root, &[]), Err(BadProof));
        assert_eq!(verify_consistency(from, to, &log.root(0), &root, &[]), Err(BadProof));
    }
    assert_eq!(verify_consistency(0, 0, &root, &root, &[]), Err(BadProof));
    for (size, root) in [(0, log.root(0)), (1, root), (9, root), (u64::MAX, root)] {
        assert_eq!(merkle::consistency(size, size, unread), Ok(vec![]));
        assert_eq!(verify_consistency(size, size, &root, &root, &[]), Ok(()));
        assert_eq!(verify_consistency(size, size, &root, &log.root(8), &[]), Err(BadProof));
        assert_eq!(verify_consistency(size, size, &root, &root, &[root]), Err(BadProof));
    }
}

#[test]
fn the_largest_trees_have_proofs_too() {
    // A tree of equal leaves, as long as a number can say, with tiles that are made when asked for.
    let mut levels = vec![[7; 32]];
    for _ in 0..64 {
        let below = levels.last().unwrap();
        levels.push(merkle::node_hash(below, below));
    }
    let tile = |level: u8, _| Ok::<_, ()>(vec![levels[8 * usize::from(level)]; 256]);
    for size in [u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) + 1] {
        let root = Frontier::load(size, tile).unwrap().root();
        for index in [0, 1, size / 2, size / 3, size - 2, size - 1] {
            let proof = merkle::inclusion(index, size, tile).unwrap();
            assert_eq!(verify_inclusion(&levels[0], index, size, &proof, &root), Ok(()), "{index} in {size}");
            let from = index + 1;
            let proof = merkle::consistency(from, size, tile).unwrap();
            let old = Frontier::load(from, tile).unwrap().root();
            assert_eq!(verify_consistency(from, size, &old, &root, &proof), Ok(()), "{from} to {size}");
            let long = [&proof[..], &[root; 64]].concat();
            assert_eq!(verify_consistency(from, size, &old, &root, &long), Err(BadProof), "{from} to {size}");
        }
    }
}

#[test]
fn a_tile_that_fails_fails_the_proof_and_one_that_is_too_short_does_not_hold() {
    let log = Log::new(600);
    let root = log.root(600);
    assert_eq!(merkle::inclusion(5, 600, |level, _| if level == 1 { Err("gone") } else { Ok(vec![]) }), Err("gone"));
    assert_eq!(merkle::consistency(300, 600, |_, _| Err("gone")), Err("gone"));
    let mut read = log.reader(600);
    let proof = merkle::inclusion(5, 600, |level, index| {
        let mut hashes = read(level, index)?;
        hashes.pop();
        Ok::<_, std::convert::Infallible>(hashes)
    });
    assert_eq!(verify_inclusion(&log.leaf(5), 5, 600, &proof.unwrap(), &root), Err(BadProof));
}
