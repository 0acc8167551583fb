//! Entries of the log: what the API says of them to an admin, or an OCSF event for each.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::table::{self, Column};
use super::{UnknownFormat, lines, ocsf};
use crate::audit::Entry;

/// The forms there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The whole entry, one on each line.
    #[default]
    Jsonl,
    /// A table; the detail as JSON in one column.
    Csv,
    /// An event of the Open Cybersecurity Schema Framework on each line.
    Ocsf,
}

impl Format {
    /// Their names.
    pub const NAMES: [&str; 3] = ["jsonl", "csv", "ocsf"];

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Ocsf => "ocsf",
        }
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        [Self::Jsonl, Self::Csv, Self::Ocsf].into_iter().find(|format| format.as_str() == name).ok_or(UnknownFormat)
    }
}

const COLUMNS: &[Column] = &[
    ("seq", "/seq"),
    ("at", "/at"),
    ("action", "/action"),
    ("outcome", "/outcome"),
    ("reason", "/reason"),
    ("source", "/source"),
    ("actor", "/actor"),
    ("actor_user", "/actor_user"),
    ("target", "/target"),
    ("target_user", "/target_user"),
    ("impersonator", "/impersonator"),
    ("impersonator_user", "/impersonator_user"),
    ("changed", "/changed"),
    ("count", "/count"),
    ("event_at", "/event_at"),
    ("request", "/request"),
    ("ip", "/detail/ip"),
    ("user_agent", "/detail/user_agent"),
    ("detail", "/detail"),
];

/// What comes before the first entry.
#[must_use]
pub fn head(format: Format) -> Vec<u8> {
    match format {
        Format::Jsonl | Format::Ocsf => Vec::new(),
        Format::Csv => table::head(COLUMNS),
    }
}

/// The entries, of the log of that name. `record` gives one the form that the API gives an admin.
#[must_use]
pub fn rows(format: Format, entries: &[Entry], log: &str, record: impl Fn(&Entry) -> Value) -> Vec<u8> {
    let values: Vec<Value> = match format {
        Format::Jsonl | Format::Csv => entries.iter().map(record).collect(),
        Format::Ocsf => entries.iter().map(|entry| ocsf::event(entry, log)).collect(),
    };
    match format {
        Format::Jsonl | Format::Ocsf => lines(&values),
        Format::Csv => table::rows(COLUMNS, &values),
    }
}
