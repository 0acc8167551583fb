//! What a key may do.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One thing that a key may do. An admin may do all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Read users and what is kept of them: `users:read`.
    #[serde(rename = "users:read")]
    UsersRead,
    /// Change and delete users: `users:write`.
    #[serde(rename = "users:write")]
    UsersWrite,
    /// Read the log as entries, with what they say of people: `audit:read`.
    #[serde(rename = "audit:read")]
    AuditRead,
    /// Read the log as hashes, leaves and proofs: `log:read`.
    #[serde(rename = "log:read")]
    LogRead,
    /// Read the server's measurements: `metrics:read`.
    #[serde(rename = "metrics:read")]
    MetricsRead,
}

/// Text that names no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a scope is one of users:read, users:write, audit:read, log:read, metrics:read")]
pub struct BadScope;

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 5] = [Self::UsersRead, Self::UsersWrite, Self::AuditRead, Self::LogRead, Self::MetricsRead];

    /// The scope as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UsersRead => "users:read",
            Self::UsersWrite => "users:write",
            Self::AuditRead => "audit:read",
            Self::LogRead => "log:read",
            Self::MetricsRead => "metrics:read",
        }
    }

    /// What it allows, for people.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::UsersRead => "read users, sessions, organizations, and who ever had a value on file",
            Self::UsersWrite => "change and delete users, and so make admins",
            Self::AuditRead => "read the audit log with its details",
            Self::LogRead => "read the log's checkpoints, tiles and proofs",
            Self::MetricsRead => "read the metrics",
        }
    }
}

impl FromStr for Scope {
    type Err = BadScope;

    fn from_str(text: &str) -> Result<Self, BadScope> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(BadScope)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a key may do: at least one scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeSet<Scope>", into = "BTreeSet<Scope>")]
pub struct Scopes(BTreeSet<Scope>);

/// No scope at all: such a key would be good for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key needs at least one scope")]
pub struct NoScope;

impl Scopes {
    /// These scopes.
    ///
    /// # Errors
    /// When there is none.
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Result<Self, NoScope> {
        scopes.into_iter().collect::<BTreeSet<_>>().try_into()
    }

    /// Whether that scope is among them.
    #[must_use]
    pub fn contains(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }

    /// The scopes, each once, in the order of [`Scope::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = Scope> {
        self.0.iter().copied()
    }
}

impl TryFrom<BTreeSet<Scope>> for Scopes {
    type Error = NoScope;

    fn try_from(scopes: BTreeSet<Scope>) -> Result<Self, NoScope> {
        if scopes.is_empty() { Err(NoScope) } else { Ok(Self(scopes)) }
    }
}

impl From<Scopes> for BTreeSet<Scope> {
    fn from(scopes: Scopes) -> Self {
        scopes.0
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, scope) in self.iter().enumerate() {
            write!(f, "{}{scope}", if place == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_scope_is_written_the_same_everywhere() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.as_str());
            assert!(BadScope.to_string().contains(scope.as_str()));
        }
        assert_eq!("Users:read".parse::<Scope>(), Err(BadScope));
    }

    #[test]
    fn scopes_are_a_set_and_never_empty() {
        let scopes = Scopes::new([Scope::LogRead, Scope::UsersRead, Scope::LogRead]).unwrap();
        assert_eq!(scopes.to_string(), "users:read log:read");
        assert_eq!(Scopes::new([]), Err(NoScope));
        assert!(serde_json::from_str::<Scopes>("[]").is_err());
    }
}
