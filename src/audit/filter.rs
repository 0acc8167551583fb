//! Which entries somebody asks for.

use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Actor;
use crate::clock::Timestamp;
use crate::user::ClerkId;

/// Which entries to list; all members must fit.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// With one of these actions.
    pub action: Option<Actions>,
    /// About this person, or done by them.
    pub subject: Option<ClerkId>,
    /// Done by this one.
    pub actor: Option<Actor>,
    /// Done from this network address, as far as that is still known.
    pub address: Option<IpAddr>,
    /// Not those that say that somebody looked, and nothing else ([`is_look`]).
    pub without_looks: bool,
    /// Written at this time or later.
    pub from: Option<Timestamp>,
    /// Written before this time.
    pub to: Option<Timestamp>,
}

/// Whether entries of that action say that somebody read, and nothing else.
#[must_use]
pub fn is_look(action: &str) -> bool {
    let verb = action.rsplit(['.', '_']).next().unwrap_or_default();
    matches!(verb, "read" | "listed" | "streamed" | "up")
}

/// One action, or all that begin alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Actions {
    /// Exactly this one.
    Named(String),
    /// All that begin so, the dot included: `user.*` is `user.`.
    Beginning(String),
}

/// Text that names no action.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an action is named like user.created, or user.* for all that begin so")]
pub struct BadActions;

impl Actions {
    /// Whether an action is among them.
    #[must_use]
    pub fn fit(&self, action: &str) -> bool {
        match self {
            Self::Named(name) => name == action,
            Self::Beginning(beginning) => action.starts_with(beginning),
        }
    }
}

impl FromStr for Actions {
    type Err = BadActions;

    fn from_str(text: &str) -> Result<Self, BadActions> {
        let name = text.strip_suffix(".*").unwrap_or(text);
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.');
        if !(1..=64).contains(&name.len()) || !name.bytes().all(plain) {
            return Err(BadActions);
        }
        Ok(if name.len() < text.len() { Self::Beginning(format!("{name}.")) } else { Self::Named(name.to_owned()) })
    }
}

impl TryFrom<String> for Actions {
    type Error = BadActions;

    fn try_from(text: String) -> Result<Self, BadActions> {
        text.parse()
    }
}

impl From<Actions> for String {
    fn from(actions: Actions) -> Self {
        match actions {
            Actions::Named(name) => name,
            Actions::Beginning(beginning) => format!("{beginning}*"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn actions_are_named_or_begin_alike() {
        let (named, beginning): (Actions, Actions) = ("user.created".parse().unwrap(), "user.*".parse().unwrap());
        assert_eq!(named, Actions::Named("user.created".to_owned()));
        assert_eq!(beginning, Actions::Beginning("user.".to_owned()));
        for (action, is_named, begins) in [
            ("user.created", true, true),
            ("user.created.x", false, true),
            ("user.", false, true),
            ("user", false, false),
            ("users.listed", false, false),
        ] {
            assert_eq!((named.fit(action), beginning.fit(action)), (is_named, begins), "{action}");
        }
        assert_eq!((String::from(named), String::from(beginning)), ("user.created".to_owned(), "user.*".to_owned()));
    }

    #[test]
    fn who_looks_changes_nothing() {
        for look in ["user.read", "users.listed", "feed.streamed", "user.looked_up"] {
            assert!(is_look(look), "{look}");
        }
        for act in ["user.created", "read.user", "user.reread", ""] {
            assert!(!is_look(act), "{act}");
        }
    }

    #[test]
    fn what_names_no_action_is_refused() {
        let longest = "a".repeat(64);
        for good in [&longest, &format!("{longest}.*"), "a_B.9", "user..*"] {
            assert_eq!(String::from(good.parse::<Actions>().unwrap()), *good);
        }
        for bad in ["", "*", ".*", "user*", "us*r.created", "user.*.*", "a b", "é", &"a".repeat(65)] {
            assert_eq!(bad.parse::<Actions>(), Err(BadActions), "{bad}");
        }
    }
}
