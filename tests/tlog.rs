//! The log's proofs and texts, as somebody else would check them.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "tlog/notes.rs"]
mod notes;
