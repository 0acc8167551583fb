//! The test data of transparency-dev/merkle, run when they are there: `MERKLE_VECTORS=<its testdata directory> cargo
//! test --test tlog -- --ignored`.
#![allow(clippy::print_stdout)]

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rollbook::merkle::{Hash, verify_consistency, verify_inclusion};
use serde_json::Value;

/// The hash in a vector; `None` when it has another length, as some have on purpose.
fn hash(value: &Value) -> Option<Hash> {
    STANDARD.decode(value.as_str().unwrap_or_default()).unwrap().try_into().ok()
}

/// Whether we take the vector's proof; `None` when it is of another kind. A hash of another length than 32 bytes is
/// nothing that could be given to us, and not taken.
fn accepted(vector: &Value) -> Option<bool> {
    let number = |name: &str| vector[name].as_u64();
    let proof = vector["proof"].as_array().into_iter().flatten().map(hash).collect::<Option<Vec<Hash>>>();
    if let (Some(from), Some(to)) = (number("size1"), number("size2")) {
        let (old, new) = (hash(&vector["root1"]), hash(&vector["root2"]));
        return Some((|| verify_consistency(from, to, &old?, &new?, &proof?).ok())().is_some());
    }
    let (index, size) = (number("leafIdx")?, number("treeSize")?);
    let (leaf, root) = (hash(&vector["leafHash"]), hash(&vector["root"]));
    Some((|| verify_inclusion(&leaf?, index, size, &proof?, &root?).ok())().is_some())
}

fn run(folder: &Path, counts: &mut [u32; 2]) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            run(&path, counts);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            let vector: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            if let Some(accepted) = accepted(&vector) {
                // The good one among the cases that are not about trees has a root of 12 bytes.
                let wanted =
                    !vector["wantErr"].as_bool().unwrap() && vector["root1"] != STANDARD.encode("don't care 2");
                assert_eq!(accepted, wanted, "{}", path.display());
                counts[usize::from(accepted)] += 1;
            }
        }
    }
}

#[test]
#[ignore = "needs MERKLE_VECTORS, the testdata of transparency-dev/merkle"]
fn the_vectors_of_transparency_dev_come_out_as_they_should() {
    let mut counts = [0; 2];
    run(Path::new(&std::env::var("MERKLE_VECTORS").unwrap()), &mut counts);
    println!("{} refused, {} accepted, all rightly", counts[0], counts[1]);
    assert!(counts[0] > 0 && counts[1] > 0, "no vectors there");
}
