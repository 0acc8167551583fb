//! Notes, the checkpoints in them, keys and proofs: whatever is read is written back the same, what is signed verifies,
//! and what was not signed does not.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use rollbook::tlog::checkpoint::{BadCheckpoint, Checkpoint};
use rollbook::tlog::note::{self, BadNote, Note, SigningKey, VerifierKey};
use rollbook::tlog::proof::Proof;

/// The key of the examples of Go's `note` package, and one nobody signs with.
static KEY: LazyLock<SigningKey> =
    LazyLock::new(|| "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz".parse().unwrap());
static STRANGER: LazyLock<SigningKey> = LazyLock::new(|| KEY.renamed("stranger").unwrap());

fuzz_target!(|text: &str| {
    as_note(text);
    as_text(text);
    if let Ok(key) = text.parse::<VerifierKey>() {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(key) = text.parse::<SigningKey>() {
        assert_eq!(key.expose(), text);
    }
    if let Ok(proof) = text.parse::<Proof>() {
        assert_eq!(proof.to_string(), text);
        // Nobody has a leaf of this hash.
        assert!(proof.verify(b"a leaf", &[KEY.verifier().clone()]).is_err());
    }
});

fn as_note(text: &str) {
    let Ok(note) = text.parse::<Note>() else { return };
    assert_eq!(note.to_string(), text);
    let keys = [KEY.verifier().clone(), STRANGER.verifier().clone()];
    let signers = note.verify(&keys);
    let unverified = Checkpoint::unverified(text);
    if let Ok(checkpoint) = &unverified {
        assert_eq!(checkpoint.to_string(), note.text());
    }
    let opened = Checkpoint::open(text, &keys);
    assert!(opened.is_err() || (opened == unverified && signers.is_ok()));
}

fn as_text(text: &str) {
    let keys = [STRANGER.verifier().clone(), KEY.verifier().clone()];
    let Ok(note) = note::sign(text, &[&KEY]) else { return };
    assert_eq!(note.text(), text);
    assert_eq!(note.to_string().parse().as_ref(), Ok(&note));
    assert_eq!(note.verify(&keys), Ok(vec![KEY.verifier()]));
    assert_eq!(note.verify(&keys[..1]), Err(BadNote::Unknown));
    let note = note.to_string();
    match Checkpoint::open(&note, &keys) {
        Ok(checkpoint) => assert_eq!(checkpoint.sign(&[&KEY]).as_ref(), Ok(&note)),
        Err(BadCheckpoint::Origin(origin)) => assert_ne!(origin, KEY.verifier().name()),
        Err(fault) => assert_eq!(Checkpoint::unverified(&note), Err(fault)),
    }
}
