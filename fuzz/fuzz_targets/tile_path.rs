//! Paths of tiles: whatever is read is written back the same, and the other way round.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rollbook::tlog::tile_path::{Content, TilePath};

fuzz_target!(|input: (u8, u64, u64, &str)| {
    let (level, index, size, text) = input;
    if let Ok(path) = text.parse::<TilePath>() {
        assert_eq!(path.to_string(), text);
        assert!((1..=256).contains(&path.width()));
    }
    let content = if level < 64 { Content::Hashes(level) } else { Content::Entries };
    if let Some(path) = TilePath::in_tree(content, index, size) {
        assert_eq!(path.to_string().parse(), Ok(path));
        assert!(path.is_within(size) && !path.is_within(0));
    }
});
