//! Bundles of entries: whatever is read is written back the same, and the other way round.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rollbook::tlog::bundle;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(leaves) = bundle::decode(bytes) {
        assert!((1..=256).contains(&leaves.len()));
        assert_eq!(bundle::encode(&leaves).as_deref(), Ok(bytes));
    }
    let leaves: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
    match bundle::encode(&leaves) {
        Ok(bytes) => assert_eq!(bundle::decode(&bytes), Ok(leaves)),
        Err(_) => assert!(leaves.len() > 256 || leaves.iter().any(|leaf| leaf.len() > 65_535)),
    }
});
