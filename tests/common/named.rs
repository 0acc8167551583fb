//! Tests that are named somewhere else: whether they are there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The functions of a file that are tests, and run each time.
pub(crate) fn tests_of(file: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let source = fs::read_to_string(&path).unwrap_or_else(|cause| panic!("{file}: {cause}"));
    let (mut found, mut is_test) = (BTreeSet::new(), false);
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if line.starts_with("#[ignore") {
            is_test = false;
        } else if let Some((_, rest)) = line.split_once("fn ")
            && std::mem::take(&mut is_test)
        {
            assert!(found.insert(rest.split('(').next().unwrap().to_owned()), "{file}: {line} is there twice");
        }
    }
    found
}
