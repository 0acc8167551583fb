//! Proofs with something wrong in them are refused: the ways of going wrong are those that the test data of
//! transparency-dev/merkle go through. What a changed size must lead to, the recursion of the RFC says: a proof does
//! not always tell sizes apart, which is why it is the checkpoint that says the size.

use rollbook::merkle::{Frontier, Hash, leaf_hash, verify_consistency, verify_inclusion};

use crate::naive::{Log, root_by_path, roots_by_proof};

fn flipped(hash: &Hash, bit: usize) -> Hash {
    let mut hash = *hash;
    hash[bit / 8] ^= 1 << (bit % 8);
    hash
}

/// Other numbers near to this one, or made from it.
fn other_numbers(n: u64) -> Vec<u64> {
    let mut others =
        vec![n.wrapping_sub(1), n + 1, n * 2, n / 2, n ^ 2, n ^ 4, n + 256, n << 8, 0, u64::MAX, n | 1 << 63];
    others.retain(|other| *other != n);
    others
}

/// The same hashes in wrong ways: none of these lists is the list.
fn other_proofs(proof: &[Hash], roots: &[Hash]) -> Vec<(String, Vec<Hash>)> {
    let mut others: Vec<(String, Vec<Hash>)> = vec![
        ("empty".into(), vec![]),
        ("doubled".into(), [proof, proof].concat()),
        ("reversed".into(), proof.iter().rev().copied().collect()),
        ("first twice".into(), [&proof[..proof.len().min(1)], proof].concat()),
    ];
    let strays = [leaf_hash(b"garbage"), [0; 32], Frontier::default().root()];
    for (at, stray) in strays.iter().chain(roots).enumerate() {
        others.push((format!("before it, stray {at}"), [&[*stray], proof].concat()));
        others.push((format!("behind it, stray {at}"), [proof, &[*stray]].concat()));
    }
    for at in 0..proof.len() {
        for bit in [4, 255] {
            let mut other = proof.to_vec();
            other[at] = flipped(&other[at], bit);
            others.push((format!("bit {bit} of hash {at}"), other));
        }
        let (before, after) = proof.split_at(at);
        others.push((format!("without hash {at}"), [before, &after[1..]].concat()));
        others.push((format!("one more before hash {at}"), [before, &[leaf_hash(b"")], after].concat()));
        others.push((format!("cut before hash {at}"), before.to_vec()));
        others.push((format!("from hash {at} on"), after.to_vec()));
        if at > 0 {
            let mut other = proof.to_vec();
            other.swap(at - 1, at);
            others.push((format!("hash {at} and the one before it swapped"), other));
        }
    }
    others.retain(|(_, other)| other != proof);
    others
}

/// Tries everything on one proof of inclusion. How many were tried, and how many of them were another size that the
/// proof does not tell from the right one.
fn inclusion_gone_wrong(log: &Log, index: u64, size: u64) -> (u32, u32) {
    let (leaf, proof, root) = (log.leaf(index), log.inclusion(index, size), log.root(size));
    let refused = |what: &str, leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash| {
        assert!(verify_inclusion(leaf, index, size, proof, root).is_err(), "{index} in {size}: {what}");
    };
    assert!(verify_inclusion(&leaf, index, size, &proof, &root).is_ok());
    let proofs = other_proofs(&proof, &[root, leaf]);
    for (what, proof) in &proofs {
        refused(what, &leaf, index, size, proof, &root);
    }
    for wrong in [flipped(&root, 0), [0; 32], Frontier::default().root(), log.root(size - 1)] {
        refused("another root", &leaf, index, size, &proof, &wrong);
    }
    for wrong in [flipped(&leaf, 255), [0; 32], leaf_hash(b"another"), log.leaf((index + 1) % 600)] {
        refused("another leaf", &wrong, index, size, &proof, &root);
    }
    if size > 1 {
        refused("leaf and root swapped", &root, index, size, &proof, &leaf);
    }
    let indexes = other_numbers(index);
    for wrong in &indexes {
        refused("another index", &leaf, *wrong, size, &proof, &root);
    }
    let (sizes, mut same) = (other_numbers(size), 0);
    for wrong in &sizes {
        let holds = root_by_path(leaf, index, *wrong, &proof) == Some(root);
        assert_eq!(
            verify_inclusion(&leaf, index, *wrong, &proof, &root).is_ok(),
            holds,
            "{index} in {wrong}, not {size}"
        );
        same += u32::from(holds);
    }
    (u32::try_from(proofs.len() + 9 + indexes.len() + sizes.len()).unwrap(), same)
}

/// The same for a proof of consistency between trees that are not the same.
fn consistency_gone_wrong(log: &Log, from: u64, to: u64) -> (u32, u32) {
    let (old, new, proof) = (log.root(from), log.root(to), log.consistency(from, to));
    let refused = |what: &str, from: u64, to: u64, old: &Hash, new: &Hash, proof: &[Hash]| {
        assert!(verify_consistency(from, to, old, new, proof).is_err(), "{from} to {to}: {what}");
    };
    assert!(verify_consistency(from, to, &old, &new, &proof).is_ok());
    let proofs = other_proofs(&proof, &[old, new]);
    for (what, proof) in &proofs {
        refused(what, from, to, &old, &new, proof);
    }
    refused("roots swapped", from, to, &new, &old, &proof);
    refused("sizes swapped", to, from, &old, &new, &proof);
    refused("all swapped", to, from, &new, &old, &proof);
    for wrong in [[0; 32], Frontier::default().root(), log.root(from - 1), log.root(to + 1)] {
        refused("another old root", from, to, &wrong, &new, &proof);
        refused("another new root", from, to, &old, &wrong, &proof);
    }
    for bit in [0, 255] {
        refused("another old root", from, to, &flipped(&old, bit), &new, &proof);
        refused("another new root", from, to, &old, &flipped(&new, bit), &proof);
    }
    refused("the same root twice", from, to, &old, &old, &proof);
    refused("the same root twice", from, to, &new, &new, &proof);
    let (olds, news, mut same) = (other_numbers(from), other_numbers(to), 0);
    for (from, to) in olds.iter().map(|wrong| (*wrong, to)).chain(news.iter().map(|wrong| (from, *wrong))) {
        let holds = from != to && roots_by_proof(old, from, to, true, &proof) == Some((old, new));
        assert_eq!(verify_consistency(from, to, &old, &new, &proof).is_ok(), holds, "{from} to {to}");
        same += u32::from(holds);
    }
    (u32::try_from(proofs.len() + 17 + olds.len() + news.len()).unwrap(), same)
}

fn sum(counts: impl Iterator<Item = (u32, u32)>) -> (u32, u32) {
    counts.fold((0, 0), |(tried, same), (t, s)| (tried + t, same + s))
}

#[test]
fn wrong_proofs_of_inclusion_are_refused() {
    let log = Log::new(601);
    let small = (1..=40).flat_map(|size| (0..size).map(move |index| (index, size)));
    let large = (41..=600).flat_map(|size| [(0, size), (size * 7 % 13, size), (size / 2, size), (size - 1, size)]);
    let (tried, same) = sum(small.chain(large).map(|(index, size)| inclusion_gone_wrong(&log, index, size)));
    assert!(tried > 100_000, "{tried}");
    assert!(same > 0 && same < tried / 20, "{same} of {tried}");
}

#[test]
fn wrong_proofs_of_consistency_are_refused() {
    let log = Log::new(601);
    let small = (2..=40).flat_map(|to| (1..to).map(move |from| (from, to)));
    let large = (41..=600).flat_map(|to| [(1, to), (1 + to * 7 % 13, to), (to / 2, to), (to - 1, to)]);
    let (tried, same) = sum(small.chain(large).map(|(from, to)| consistency_gone_wrong(&log, from, to)));
    assert!(tried > 100_000, "{tried}");
    assert!(same > 0 && same < tried / 20, "{same} of {tried}");
}
