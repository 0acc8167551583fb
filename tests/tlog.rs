//! The log's proofs and texts, as somebody else would check them.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "tlog/crates.rs"]
mod crates;
#[path = "tlog/files.rs"]
mod files;
#[path = "tlog/malformed.rs"]
mod malformed;
#[path = "tlog/naive.rs"]
mod naive;
#[path = "tlog/notes.rs"]
mod notes;
#[path = "tlog/proofs.rs"]
mod proofs;
#[path = "tlog/vectors.rs"]
mod vectors;
