//! Users: what the API says of them to an admin.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::table::{self, Column};
use super::{UnknownFormat, lines};

/// The forms there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The whole record, one on each line.
    #[default]
    Jsonl,
    /// What fits in a table.
    Csv,
}

impl Format {
    /// Their names.
    pub const NAMES: [&str; 2] = ["jsonl", "csv"];

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
        }
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        [Self::Jsonl, Self::Csv].into_iter().find(|format| format.as_str() == name).ok_or(UnknownFormat)
    }
}

/// Everything of a record that is one value. Metadata and usage have a shape of their own and are in JSON Lines only.
const COLUMNS: &[Column] = &[
    ("id", "/id"),
    ("clerk_user_id", "/clerk_user_id"),
    ("email", "/email"),
    ("email_verified", "/email_verified"),
    ("phone", "/phone"),
    ("username", "/username"),
    ("first_name", "/first_name"),
    ("last_name", "/last_name"),
    ("image_url", "/image_url"),
    ("external_id", "/external_id"),
    ("banned", "/banned"),
    ("locked", "/locked"),
    ("two_factor_enabled", "/two_factor_enabled"),
    ("created_at", "/created_at"),
    ("updated_at", "/updated_at"),
    ("last_sign_in_at", "/last_sign_in_at"),
    ("deleted_at", "/deleted_at"),
    ("source", "/source"),
    ("role", "/role"),
    ("practice_id", "/practice_id"),
    ("subscription_plan", "/subscription/plan"),
    ("subscription_status", "/subscription/status"),
];

/// What comes before the first user.
#[must_use]
pub fn head(format: Format) -> Vec<u8> {
    match format {
        Format::Jsonl => Vec::new(),
        Format::Csv => table::head(COLUMNS),
    }
}

/// The users, each in the form that the API gives an admin.
#[must_use]
pub fn rows(format: Format, records: &[Value]) -> Vec<u8> {
    match format {
        Format::Jsonl => lines(records),
        Format::Csv => table::rows(COLUMNS, records),
    }
}
