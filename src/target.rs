//! A service that is told of what happens: where it is, what it is sent, and how far it has come.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::audit::Leaf;
use crate::audit::feed::Types;
use crate::clock::Timestamp;

/// What a target is called: 1 to 32 characters of `a-z`, `0-9` and `-`, beginning with a letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TargetName(String);

/// Text that cannot be a target's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name is 1 to 32 characters out of a-z, 0-9 and '-', and begins with a letter")]
pub struct BadTargetName;

impl TargetName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// That of the target that the settings name.
    #[must_use]
    pub fn of_settings() -> Self {
        Self("settings".to_owned())
    }
}

impl TryFrom<String> for TargetName {
    type Error = BadTargetName;

    fn try_from(text: String) -> Result<Self, BadTargetName> {
        let fits = (1..=32).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits { Ok(Self(text)) } else { Err(BadTargetName) }
    }
}

impl FromStr for TargetName {
    type Err = BadTargetName;

    fn from_str(text: &str) -> Result<Self, BadTargetName> {
        Self::try_from(text.to_owned())
    }
}

impl From<TargetName> for String {
    fn from(name: TargetName) -> Self {
        name.0
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a target is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Each event, as the events feed has it.
    Events,
    /// What becomes of users: calls that create, update and delete them.
    Api,
}

/// A service that is told of what happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// What it is called.
    pub name: TargetName,
    /// Where it is: the address itself for events, what the paths of the calls come behind for the API.
    pub url: String,
    /// What it is told.
    pub kind: Kind,
    /// Of which types.
    #[serde(default, skip_serializing_if = "Types::are_all")]
    pub types: Types,
    /// Whether calls carry a session token of the user.
    pub bearer: bool,
}

/// The actions that lead to calls.
pub const CALLS: &[&str] = &[
    "sync.user_created",
    "sync.user_deleted",
    "sync.user_updated",
    "user.created",
    "user.deleted",
    "user.provisioned",
    "user.updated",
];

impl Target {
    /// Whether it is told of an entry, which may then still turn out to be nothing to tell.
    #[must_use]
    pub fn is_told(&self, leaf: &Leaf) -> bool {
        let action = leaf.action.as_str();
        let is_wanted = match self.kind {
            Kind::Events => self.types.fit(action),
            Kind::Api => {
                let is_call = CALLS.contains(&action) && self.types.fit(action);
                let has_changed = matches!(leaf.outcome.as_str(), "ok" | "applied");
                has_changed && (is_call || self.bearer && action == "session.created")
            }
        };
        is_wanted && leaf.is_told()
    }
}

/// How far a target has come.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Course {
    /// The last entry of the log that it has been told, or that was passed over as nothing to tell; `None` before the first.
    pub after: Option<u64>,
    /// Whether it is paused.
    pub paused: bool,
    /// Why it was paused, in a few words, when no admin did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_for: Option<String>,
    /// How many it has taken.
    pub delivered: u64,
    /// When it last took one.
    pub delivered_at: Option<Timestamp>,
    /// What is wrong, while something is.
    pub failing: Option<Failing>,
}

/// That a target does not take what it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// Since when.
    pub since: Timestamp,
    /// How often that was tried in vain.
    pub attempts: u64,
    /// The entry that is to be told.
    pub seq: u64,
    /// Why, in a few words.
    pub why: String,
}
