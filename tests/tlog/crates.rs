//! The same as Cloudflare's `signed_note` and `tlog_tiles`: keys, notes, checkpoints, roots and proofs, and our tiles
//! read and checked by their reader.

use proptest::prelude::*;
use rollbook::merkle::{self, Frontier, verify_consistency, verify_inclusion};
use rollbook::tlog::checkpoint::Checkpoint;
use rollbook::tlog::note::{self, Note, SigningKey, VerifierKey};
use signed_note::{Signer as _, StandardSigner, StandardVerifier, Verifier as _, VerifierList};
use tlog_tiles::{Hash, HashReader, Tile, TileHashReader, TileReader};

use crate::naive::Log;

/// What they make of keys of ours.
fn their_verifiers(keys: &[VerifierKey]) -> VerifierList {
    let key = |key: &VerifierKey| StandardVerifier::new(&key.to_string()).unwrap();
    VerifierList::new(keys.iter().map(|ours| Box::new(key(ours)) as _).collect())
}

#[test]
fn keys_are_theirs() {
    for name in ["rollbook.example/log-1", "ü", "a/b.c-d_e~"] {
        let ours = SigningKey::generate(name).unwrap();
        let signer = StandardSigner::new(&ours.expose()).unwrap();
        let verifier = StandardVerifier::new(&ours.verifier().to_string()).unwrap();
        assert_eq!((signer.name(), signer.key_id()), (name, ours.verifier().id()));
        assert_eq!((verifier.name(), verifier.key_id()), (name, ours.verifier().id()));
    }
}

#[test]
fn notes_are_theirs_to_the_byte() {
    let keys = [SigningKey::generate("one").unwrap(), SigningKey::generate("two").unwrap()];
    let known: Vec<VerifierKey> = keys.iter().map(|key| key.verifier().clone()).collect();
    let theirs: Vec<StandardSigner> = keys.iter().map(|key| StandardSigner::new(&key.expose()).unwrap()).collect();
    for text in ["\n", "text\n", "first\n\nsecond ü\n", "a\n\n"] {
        let ours = note::sign(text, &keys.each_ref()).unwrap();
        let mut note = signed_note::Note::new(text.as_bytes(), &[]).unwrap();
        note.add_sigs(&[&theirs[0], &theirs[1]]).unwrap();
        assert_eq!(ours.to_string().as_bytes(), note.to_bytes(), "{text:?}");
        let (verified, rest) = note.verify(&their_verifiers(&known[..1])).unwrap();
        assert_eq!((verified.len(), rest.len()), (1, 1));
        assert_eq!(ours.verify(&known[..1]).unwrap(), [&known[0]]);
    }
}

/// A note by two keys, and the keys.
fn signed() -> (String, [VerifierKey; 2]) {
    let one = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    let one: SigningKey = one.parse().unwrap();
    let two = one.renamed("log").unwrap();
    let checkpoint = Checkpoint { origin: "log".into(), size: 1_080, root: [0xfb; 32] };
    let note = note::sign(&checkpoint.to_string(), &[&one, &two]).unwrap();
    (note.to_string(), [one.verifier().clone(), two.verifier().clone()])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A note with something changed is to us what it is to them.
    #[test]
    fn changed_notes_are_judged_as_by_them(at: prop::sample::Index, gone in 0..3_usize, new in "(\\PC|[\n\r\t \u{0}+=—0-9A]){0,2}") {
        let (mut text, keys) = signed();
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let at = at.index(places.len());
        text.replace_range(places[at]..places[(at + gone).min(places.len() - 1)], &new);
        let ours = text.parse::<Note>();
        let theirs = signed_note::Note::from_bytes(text.as_bytes());
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?}", text);
        let (Ok(ours), Ok(theirs)) = (ours, theirs) else { return Ok(()) };
        prop_assert_eq!(ours.text().as_bytes(), theirs.text());
        let (ours, theirs) = (ours.verify(&keys), theirs.verify(&their_verifiers(&keys)));
        prop_assert_eq!(ours.ok().map(|keys| keys.len()), theirs.ok().map(|(known, _)| known.len()), "{:?}", text);
    }

    /// A checkpoint too, but for extension lines, which we refuse.
    #[test]
    fn changed_checkpoints_are_judged_as_by_them(at: prop::sample::Index, gone in 0..3_usize, new in "[\n +=0-9A]{0,2}") {
        let one = SigningKey::generate("log").unwrap();
        let mut text = signed().0.split_once("\n\n").unwrap().0.to_owned() + "\n";
        let at = at.index(text.len());
        text.replace_range(at..(at + gone).min(text.len()), &new);
        let theirs = tlog_tiles::Checkpoint::from_bytes(text.as_bytes()).ok();
        let theirs = theirs.filter(|checkpoint| checkpoint.extension().is_empty());
        let theirs = theirs.map(|theirs| (theirs.origin().to_owned(), theirs.size(), theirs.hash().0));
        let Ok(note) = note::sign(&text, &[&one]) else { return Ok(()) };
        let ours = Checkpoint::unverified(&note.to_string()).ok().map(|ours| (ours.origin, ours.size, ours.root));
        prop_assert_eq!(ours, theirs, "{:?}", text);
    }
}

/// Their storage of a tree: every hash of it in one row.
struct Stored(Vec<Hash>);

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, tlog_tiles::Error> {
        Ok(indexes.iter().map(|at| self.0[usize::try_from(*at).unwrap()]).collect())
    }
}

#[test]
fn roots_and_proofs_are_theirs() {
    let log = Log::new(530);
    let mut stored = Stored(Vec::new());
    for size in 1..=530 {
        stored.0.extend(tlog_tiles::stored_hashes(size - 1, &(size - 1).to_be_bytes(), &stored).unwrap());
        let root = tlog_tiles::tree_hash(size, &stored).unwrap();
        let Ok(tree) = Frontier::load(size, log.reader(size));
        assert_eq!(tree.root(), root.0, "{size}");
        for other in [1, size / 3 + 1, size / 2 + 1, size.next_power_of_two() / 2, size - 1, size] {
            let (other, index) = (other.max(1), other.max(1) - 1);
            let (proof, Ok(ours)) = (
                tlog_tiles::prove_record(size, index, &stored).unwrap(),
                merkle::inclusion(index, size, log.reader(size)),
            );
            assert_eq!(ours, proof.iter().map(|hash| hash.0).collect::<Vec<_>>(), "{index} in {size}");
            assert!(tlog_tiles::check_record(&proof, size, root, index, Hash(log.leaf(index))).is_ok());
            assert!(verify_inclusion(&log.leaf(index), index, size, &ours, &root.0).is_ok());
            let old = tlog_tiles::tree_hash(other, &stored).unwrap();
            let (proof, Ok(ours)) = (
                tlog_tiles::prove_tree(size, other, &stored).unwrap(),
                merkle::consistency(other, size, log.reader(size)),
            );
            assert_eq!(ours, proof.iter().map(|hash| hash.0).collect::<Vec<_>>(), "{other} to {size}");
            assert!(tlog_tiles::check_tree(&proof, size, root, other, old).is_ok());
            assert!(verify_consistency(other, size, &old.0, &root.0, &ours).is_ok());
        }
    }
}

/// Our tiles, for their reader.
struct Tiles<'a>(&'a Log);

impl TileReader for Tiles<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        let read = |tile: &Tile| {
            let width = usize::try_from(tile.width()).unwrap();
            self.0.tile(tile.level(), tile.level_index())[..width].concat()
        };
        Ok(tiles.iter().map(read).collect())
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

#[test]
fn our_tiles_are_read_and_found_right_by_theirs() {
    let log = Log::new(70_000);
    let tiles = Tiles(&log);
    for size in [1, 255, 256, 257, 300, 4_097, 65_535, 65_536, 65_537, 69_999, 70_000] {
        let Ok(tree) = Frontier::load(size, log.reader(size));
        let reader = TileHashReader::new(size, Hash(tree.root()), &tiles);
        assert_eq!(tlog_tiles::tree_hash(size, &reader).unwrap().0, tree.root());
        for index in [0, size / 3, size / 2, size - 1] {
            let theirs = tlog_tiles::prove_record(size, index, &reader).unwrap();
            let Ok(ours) = merkle::inclusion(index, size, log.reader(size));
            assert_eq!(ours, theirs.iter().map(|hash| hash.0).collect::<Vec<_>>(), "{index} in {size}");
        }
        let other = TileHashReader::new(size, Hash([7; 32]), &tiles);
        assert!(tlog_tiles::tree_hash(size, &other).is_err());
    }
}
