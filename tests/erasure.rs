//! A person is erased: nothing of them is left, nothing of anybody else is lost, and the log's proof holds. And the
//! other question about somebody's past: was this address ever on file?
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "erasure/cases.rs"]
mod cases;
mod common;
#[path = "common/deliveries.rs"]
mod deliveries;
#[path = "common/disk.rs"]
mod disk;
#[path = "erasure/ever.rs"]
mod ever;
#[path = "common/file.rs"]
mod file;
#[path = "erasure/many.rs"]
mod many;
#[path = "erasure/whole.rs"]
mod whole;
