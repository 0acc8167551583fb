//! Tiles' paths, bundles of entries, and proofs to be handed on.

use proptest::prelude::*;
use rollbook::merkle::{self, leaf_hash};
use rollbook::tlog::bundle::{self, BadBundle};
use rollbook::tlog::checkpoint::{BadCheckpoint, Checkpoint};
use rollbook::tlog::note::{self, BadNote, SigningKey};
use rollbook::tlog::proof::{BadProof, Proof};
use rollbook::tlog::tile_path::{BadTilePath, Content, TilePath};

use crate::naive::Log;

fn path(content: Content, index: u64, partial: u8) -> TilePath {
    TilePath { content, index, partial: partial.try_into().ok() }
}

#[test]
fn paths_are_those_of_the_specification() {
    let (hashes, entries) = (Content::Hashes, Content::Entries);
    for (text, tile) in [
        ("tile/0/000", path(hashes(0), 0, 0)),
        ("tile/0/x001/x234/067", path(hashes(0), 1_234_067, 0)),
        ("tile/3/x001/000.p/17", path(hashes(3), 1_000, 17)),
        ("tile/63/999.p/255", path(hashes(63), 999, 255)),
        ("tile/entries/273.p/112", path(entries, 273, 112)),
        ("tile/entries/x001/x000/000", path(entries, 1_000_000, 0)),
        ("tile/7/x018/x446/x744/x073/x709/x551/615.p/1", path(hashes(7), u64::MAX, 1)),
    ] {
        assert_eq!(text.parse(), Ok(tile), "{text}");
        assert_eq!(tile.to_string(), text);
    }
}

#[test]
fn other_texts_are_no_paths() {
    for text in [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "/tile/0/000",
        "tile/0/000/",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000/000",
        "tile/0/x01/000",
        "tile/0/x0001/000",
        "tile/0/001/000",
        "tile/0/x001",
        "tile/0/x001/x000",
        "tile/0/X001/000",
        "tile/0/x001//000",
        "tile/0/-01",
        "tile/0/+01",
        "tile/0/ 01",
        "tile/0/0a0",
        "tile/0/٠٠٠",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/0/x001/x018/x446/x744/x073/x709/x551/615",
        "tile/00/000",
        "tile/01/000",
        "tile/64/000",
        "tile/256/000",
        "tile/-1/000",
        "tile/+1/000",
        "tile/x/000",
        "tile/Entries/000",
        "tile/data/000",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/+1",
        "tile/0/000.p/256",
        "tile/0/000.p/-1",
        "tile/0/000.p/1/",
        "tile/0/000.p/1.p/1",
        "tile/0/000.P/1",
        "tile/0/000p/1",
        "tile/../tile/0/000",
        "tile/0/000\n",
    ] {
        assert_eq!(text.parse::<TilePath>(), Err(BadTilePath), "{text:?}");
    }
}

#[test]
fn a_tree_has_the_tiles_that_the_specification_says() {
    let in_tree = |content, index, size| TilePath::in_tree(content, index, size).map(|path| path.to_string());
    let hashes = Content::Hashes;
    for (content, index, size, want) in [
        (hashes(0), 272, 70_000, Some("tile/0/272")),
        (hashes(0), 273, 70_000, Some("tile/0/273.p/112")),
        (hashes(0), 274, 70_000, None),
        (Content::Entries, 272, 70_000, Some("tile/entries/272")),
        (Content::Entries, 273, 70_000, Some("tile/entries/273.p/112")),
        (hashes(1), 0, 70_000, Some("tile/1/000")),
        (hashes(1), 1, 70_000, Some("tile/1/001.p/17")),
        (hashes(2), 0, 70_000, Some("tile/2/000.p/1")),
        (hashes(3), 0, 70_000, None),
        (hashes(0), 0, 256, Some("tile/0/000")),
        (hashes(0), 1, 256, None),
        (hashes(1), 0, 256, Some("tile/1/000.p/1")),
        (hashes(0), 0, 0, None),
        (hashes(7), 0, u64::MAX, Some("tile/7/000.p/255")),
        (hashes(8), 0, u64::MAX, None),
        (hashes(255), 0, u64::MAX, None),
        (hashes(0), u64::MAX, u64::MAX, None),
    ] {
        assert_eq!(in_tree(content, index, size).as_deref(), want, "{content:?} {index} in {size}");
    }
    let within = |text: &str, size| text.parse::<TilePath>().unwrap().is_within(size);
    for (text, least) in
        [("tile/0/000.p/1", 1), ("tile/0/001", 512), ("tile/entries/001.p/5", 261), ("tile/1/001", 131_072)]
    {
        assert!(within(text, least) && !within(text, least - 1), "{text}");
    }
    assert!(!within("tile/8/000.p/1", u64::MAX));
    assert!(!within("tile/0/x018/x446/x744/x073/x709/x551/615", u64::MAX));
    assert!(within("tile/0/x072/x057/x594/x037/x927/935.p/255", u64::MAX));
    assert!(!within("tile/0/x072/x057/x594/x037/x927/935", u64::MAX));
}

proptest! {
    #[test]
    fn paths_are_read_back_as_written(level in 0_u8..64, entries: bool, index: u64, shift in 0_u32..64, partial: u8) {
        let content = if entries { Content::Entries } else { Content::Hashes(level) };
        let path = path(content, index >> shift, partial);
        prop_assert_eq!(path.to_string().parse(), Ok(path));
    }

    #[test]
    fn what_is_read_as_a_path_is_written_the_same(text in "tile/(entries|[0-9]{1,2})(/x[0-9]{3}){0,3}/[0-9]{2,4}(\\.p/[0-9]{1,3})?") {
        if let Ok(path) = text.parse::<TilePath>() {
            prop_assert_eq!(path.to_string(), text);
        }
    }

    #[test]
    fn bundles_are_read_back_as_written(leaves in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..=256)) {
        let bytes = bundle::encode(&leaves).unwrap();
        prop_assert_eq!(bundle::decode(&bytes).unwrap(), leaves);
    }
}

#[test]
fn bundles_have_their_limits() {
    let longest = vec![7; 65_535];
    let bytes = bundle::encode(&[&longest[..], b""]).unwrap();
    assert_eq!((&bytes[..3], &bytes[65_537..]), (&[0xff, 0xff, 7][..], &[0, 0][..]));
    assert_eq!(bundle::decode(&bytes).unwrap(), [&longest[..], b""]);
    assert_eq!(bundle::encode(&[vec![7; 65_536]]), Err(BadBundle::Long));
    assert_eq!(bundle::encode::<&[u8]>(&[]), Err(BadBundle::Empty));
    assert_eq!(bundle::decode(&[]), Err(BadBundle::Empty));
    assert_eq!(bundle::encode(&[b"a"; 257]), Err(BadBundle::Full));
    assert_eq!(bundle::decode(&[0; 514]), Err(BadBundle::Full));
    assert_eq!(bundle::decode(&[0; 512]).unwrap().len(), 256);
    for cut in [&[0][..], &[0, 1], &[0, 1, 7, 0], &[0, 0, 0], &[1, 0, 7], &[0xff, 0xff]] {
        assert_eq!(bundle::decode(cut), Err(BadBundle::Cut), "{cut:?}");
    }
}

const ORIGIN: &str = "rollbook.example/log-1";

/// A proof that the leaf `index`, the number in eight bytes, is in the log of `size` such leaves.
fn proof(key: &SigningKey, index: u64, size: u64, extra: &[u8]) -> Proof {
    let log = Log::new(size);
    let checkpoint = Checkpoint { origin: ORIGIN.into(), size, root: log.root(size) };
    let Ok(path) = merkle::inclusion(index, size, log.reader(size));
    Proof { extra: extra.to_vec(), index, path, checkpoint: checkpoint.sign(&[key]).unwrap().parse().unwrap() }
}

#[test]
fn a_proof_is_handed_on_as_text_and_holds_by_itself() {
    let key = SigningKey::generate(ORIGIN).unwrap();
    let keys = [key.verifier().clone()];
    for (index, size, extra) in [(0, 1, &b""[..]), (4, 7, b"\0salt"), (299, 300, b"")] {
        let proof = proof(&key, index, size, extra);
        let text = proof.to_string();
        let read: Proof = text.parse().unwrap();
        assert_eq!((read.to_string(), &read), (text, &proof));
        assert_eq!(read.verify(&index.to_be_bytes(), &keys).unwrap().size, size);
        assert!(matches!(read.verify(b"another leaf", &keys), Err(BadProof::Inclusion(_))));
        let stranger = [SigningKey::generate(ORIGIN).unwrap().verifier().clone()];
        let unknown = BadProof::Checkpoint(BadCheckpoint::Note(BadNote::Unknown));
        assert_eq!(read.verify(&index.to_be_bytes(), &stranger), Err(unknown));
        let elsewhere = Proof { index: index + 1, ..read };
        assert!(matches!(elsewhere.verify(&index.to_be_bytes(), &keys), Err(BadProof::Inclusion(_))));
    }
    let text = proof(&key, 1, 2, b"more").to_string();
    let start = format!("c2sp.org/tlog-proof@v1\nextra bW9yZQ==\nindex 1\n{}\n\n{ORIGIN}\n2\n", {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(leaf_hash(&0_u64.to_be_bytes()))
    });
    assert!(text.starts_with(&start), "{text}");
}

#[test]
fn malformed_proofs_to_be_handed_on_are_refused() {
    let key = SigningKey::generate(ORIGIN).unwrap();
    let good = proof(&key, 4, 7, b"more").to_string();
    assert!(good.parse::<Proof>().is_ok());
    let first = good.lines().nth(3).unwrap();
    for (from, to) in [
        ("@v1", "@v2"),
        ("@v1\n", "@v1 \n"),
        ("c2sp", "\nc2sp"),
        ("\n", "\r\n"),
        ("extra bW9yZQ==\n", "extra \n"),
        ("extra bW9yZQ==\n", "extra\n"),
        ("extra bW9yZQ==\n", "extra bW9yZQ\n"),
        ("extra bW9yZQ==\n", "extra bW9yZR==\n"),
        ("extra bW9yZQ==\n", "extra  bW9yZQ==\n"),
        ("extra bW9yZQ==\n", "extra bW9yZQ==\nextra bW9yZQ==\n"),
        ("extra bW9yZQ==\n", "more bW9yZQ==\n"),
        ("extra bW9yZQ==\nindex 4\n", "index 4\nextra bW9yZQ==\n"),
        ("index 4\n", ""),
        ("index 4\n", "index 04\n"),
        ("index 4\n", "index +4\n"),
        ("index 4\n", "index  4\n"),
        ("index 4\n", "index 4 \n"),
        ("index 4\n", "index 4\nindex 4\n"),
        ("index 4\n", "Index 4\n"),
        ("index 4\n", "index 18446744073709551616\n"),
        ("index 4\n", "index 4\n\n"),
        (first, &first[..40]),
        (first, &format!("{first} ")),
        (first, &format!("{first}=")),
        (first, "bW9yZQ=="),
        ("\n\n", "\n"),
        ("\n\n", "\n\n\n\n"),
        ("— ", "- "),
    ] {
        let bad = good.replace(from, to);
        assert_ne!(bad, good, "{from:?}");
        let read = bad.parse::<Proof>();
        let proved = read.and_then(|proof| proof.verify(&4_u64.to_be_bytes(), &[key.verifier().clone()]));
        assert!(proved.is_err(), "{from:?} as {to:?}");
    }
    // What the note holds must be a checkpoint, which is looked at when the proof is.
    let note = note::sign("not a checkpoint\n", &[&key]).unwrap();
    let proof = Proof { checkpoint: note, ..good.parse().unwrap() };
    let fault = proof.verify(&4_u64.to_be_bytes(), &[key.verifier().clone()]);
    assert!(matches!(fault, Err(BadProof::Checkpoint(BadCheckpoint::Form(_)))), "{fault:?}");
}
