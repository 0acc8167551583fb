//! The texts and bytes by which others read the log: the C2SP formats of transparency logs, to the letter. No file is
//! read here and no request made.
//!
//! - [`note`]: keys, and texts signed with them (signed-note v1, Ed25519 alone)
//! - [`checkpoint`]: what the log signs, its size and its root (tlog-checkpoint v1)
//! - [`tile_path`]: where its hashes and its leaves are found (tlog-tiles v0.1)
//! - [`bundle`]: the leaves of one tile (the same)
//! - [`proof`]: that a leaf is in the log, to be handed on (tlog-proof v1)
//!
//! All parsing is strict: what is accepted is written back byte for byte the same.

pub mod bundle;
pub mod checkpoint;
pub mod note;
pub mod proof;
pub mod tile_path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::merkle::Hash;

/// A number as these formats write it: decimal digits alone, no zero before another digit.
fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// A hash as these formats write it, in base64.
fn base64_of(hash: &Hash) -> String {
    STANDARD.encode(hash)
}

/// Reads what [`base64_of`] writes.
fn hash_from(base64: &str) -> Option<Hash> {
    STANDARD.decode(base64).ok()?.try_into().ok()
}
