//! The forms in which users and entries of the log leave Rollbook for other programs. What is exported comes in, bytes
//! come out; nothing is read or written here.
//!
//! - [`users`]: JSON Lines in the form of the API, or CSV
//! - [`entries`]: the same for the log, and OCSF for those who collect from many sources
//!
//! Everything is made a few rows at a time: what comes before the first row, then rows, as many times as there are.

pub mod entries;
mod ocsf;
mod table;
pub mod users;

use serde_json::Value;

/// A form that there is none of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such format")]
pub struct UnknownFormat;

/// Each as one line of JSON.
fn lines<'a>(values: impl IntoIterator<Item = &'a Value>) -> Vec<u8> {
    let mut lines = Vec::new();
    for value in values {
        lines.extend_from_slice(value.to_string().as_bytes());
        lines.push(b'\n');
    }
    lines
}
