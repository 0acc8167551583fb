//! Which entries the events feed tells: what Clerk said, and what changed people's records. Looking, refusing, signing in
//! to the admin page and the server's own life are not in it, and least of all the reading of the feed.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Actions, Leaf, Source};

/// The actions, besides Clerk's events, by which people's records change.
const CHANGES: &[&str] =
    &["user.assigned", "user.deleted", "user.erased", "user.provisioned", "user.updated", "user.usage_added"];

/// Actions of our own that are never told and that there may be very many of. A reader of the feed need not look at
/// their entries to pass over them.
const NEVER: &[&str] = &[
    "admin.sign_in_failed",
    "admin.signed_in",
    "admin.signed_out",
    "admins.listed",
    "api.denied",
    "api.limited",
    "api.unauthenticated",
    "audit.listed",
    "audit.streamed",
    "backup.made",
    "backup.removed",
    "deliveries.listed",
    "events.read",
    "events.streamed",
    "log.entry_read",
    "members.listed",
    "metrics.read",
    "organization.read",
    "organizations.listed",
    "quarantine.discarded",
    "quarantine.listed",
    "quarantine.read",
    "quarantine.reprocessed",
    "sessions.listed",
    "sync.drift",
    "sync.finished",
    "sync.read",
    "sync.started",
    "user.audit_read",
    "user.read",
    "users.listed",
    "value.looked_up",
    "webhook.rejected",
];

/// How many types a reader may name.
const TYPES: RangeInclusive<usize> = 1..=32;

impl Leaf {
    /// Whether the feed tells this entry.
    #[must_use]
    pub fn is_told(&self) -> bool {
        matches!(self.source, Source::Webhook | Source::Sync) && !is_never_told(&self.action)
            || CHANGES.contains(&self.action.as_str())
    }
}

/// Whether no entry of that action is told.
#[must_use]
pub fn is_never_told(action: &str) -> bool {
    NEVER.contains(&action)
}

/// Which of the entries that are told somebody wants, by their actions. Without any, all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Types(Vec<Actions>);

/// Text that names no types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("types are 1 to 32 names such as user.created or user.*, separated by commas")]
pub struct BadTypes;

impl Types {
    /// Those named; none when all are wanted.
    #[must_use]
    pub fn named(&self) -> &[Actions] {
        &self.0
    }

    /// Whether all types are wanted.
    #[must_use]
    pub const fn are_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an action is among them.
    #[must_use]
    pub fn fit(&self, action: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|wanted| wanted.fit(action))
    }
}

impl FromStr for Types {
    type Err = BadTypes;

    fn from_str(text: &str) -> Result<Self, BadTypes> {
        let types: Vec<Actions> = text.split(',').map(str::parse).collect::<Result<_, _>>().map_err(|_| BadTypes)?;
        if TYPES.contains(&types.len()) { Ok(Self(types)) } else { Err(BadTypes) }
    }
}

impl fmt::Display for Types {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, actions) in self.0.iter().cloned().map(String::from).enumerate() {
            write!(f, "{}{actions}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl From<Types> for String {
    fn from(types: Types) -> Self {
        types.to_string()
    }
}

impl TryFrom<String> for Types {
    type Error = BadTypes;

    fn try_from(text: String) -> Result<Self, BadTypes> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn types_are_names_and_beginnings() {
        let types: Types = "session.created,user.*".parse().unwrap();
        for told in ["session.created", "user.created", "user.a.b"] {
            assert!(types.fit(told), "{told}");
        }
        for other in ["session.ended", "session.created.x", "users.listed", "user", "organization.created"] {
            assert!(!types.fit(other), "{other}");
        }
        assert!(Types::default().fit("anything"));
    }

    #[test]
    fn what_names_no_type_is_refused() {
        let many = vec!["a"; 33].join(",");
        let long = "a".repeat(65);
        for bad in ["", ",", "a,", "*", "user*", "us*r.created", "a b", "é", ".*.*", &many, &long] {
            assert_eq!(bad.parse::<Types>(), Err(BadTypes), "{bad}");
        }
        assert!(vec!["a"; 32].join(",").parse::<Types>().is_ok());
    }

    #[test]
    fn nothing_is_both_told_and_never_told() {
        assert!(CHANGES.iter().all(|action| !NEVER.contains(action)));
        assert!(CHANGES.is_sorted() && NEVER.is_sorted());
    }
}
