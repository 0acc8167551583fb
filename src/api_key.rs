//! API keys: what servers show instead of a session token. A key may do what its scopes say, until it expires or is
//! revoked. Only its bearer has the secret; Rollbook keeps the hash.

mod scope;
mod secret;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

pub use self::scope::{BadScope, NoScope, Scope, Scopes};
pub use self::secret::{BadSecret, Secret, SecretHash};

/// A key, as it is kept beside the hash of its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// What the log and people call it.
    pub id: KeyId,
    /// What its operator calls it.
    pub name: KeyName,
    /// What it may do.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it, as the log says it: `cli`, `admin:<name>`.
    pub created_by: String,
    /// From when on it is refused; `None` for never.
    pub expires_at: Option<Timestamp>,
    /// When it was last accepted, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl ApiKey {
    /// How it stands at that time.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> State {
        if self.revoked_at.is_some() {
            State::Revoked
        } else if self.expires_at.is_some_and(|at| at <= now) {
            State::Expired
        } else {
            State::Active
        }
    }
}

/// What is asked for when a key is to be made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Wanted {
    /// What to call it.
    pub name: KeyName,
    /// What it may do.
    pub scopes: Scopes,
    /// From when on it is refused; `None` for never.
    pub expires_at: Option<Timestamp>,
}

/// How a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is accepted.
    Active,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
}

impl State {
    /// The state as one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// What a key is called by: `key_` and 16 hexadecimal digits. It is no secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(String);

/// Text that is no key's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key's id is written key_ and 16 of the characters 0-9 and a-f")]
pub struct BadKeyId;

impl KeyId {
    const PREFIX: &str = "key_";

    /// The id of that number.
    #[must_use]
    pub fn from_u64(n: u64) -> Self {
        Self(format!("{}{n:016x}", Self::PREFIX))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for KeyId {
    type Error = BadKeyId;

    fn try_from(text: String) -> Result<Self, BadKeyId> {
        let digits = text.strip_prefix(Self::PREFIX).ok_or(BadKeyId)?;
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if digits.len() == 16 && digits.bytes().all(is_digit) { Ok(Self(text)) } else { Err(BadKeyId) }
    }
}

impl FromStr for KeyId {
    type Err = BadKeyId;

    fn from_str(text: &str) -> Result<Self, BadKeyId> {
        text.to_owned().try_into()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What its operator calls a key: 1 to 64 characters, none of them a control character, no white space at the ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyName(String);

/// Text that cannot be a key's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key's name is 1 to 64 characters, with no control characters")]
pub struct BadKeyName;

impl KeyName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for KeyName {
    type Error = BadKeyName;

    fn try_from(text: String) -> Result<Self, BadKeyName> {
        let text = text.trim();
        let fits = (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        if fits { Ok(Self(text.to_owned())) } else { Err(BadKeyName) }
    }
}

impl FromStr for KeyName {
    type Err = BadKeyName;

    fn from_str(text: &str) -> Result<Self, BadKeyName> {
        text.to_owned().try_into()
    }
}

impl From<KeyName> for String {
    fn from(name: KeyName) -> Self {
        name.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn key() -> ApiKey {
        ApiKey {
            id: KeyId::from_u64(10),
            name: "billing".parse().unwrap(),
            scopes: Scopes::new([Scope::UsersRead]).unwrap(),
            created_at: Timestamp::from_millis(1),
            created_by: "cli".to_owned(),
            expires_at: Some(Timestamp::from_millis(1000)),
            last_used_at: None,
            revoked_at: None,
        }
    }

    #[test]
    fn a_key_ends_at_its_time_or_when_it_is_revoked() {
        let mut key = key();
        assert_eq!(key.state(Timestamp::from_millis(999)), State::Active);
        assert_eq!(key.state(Timestamp::from_millis(1000)), State::Expired);
        key.revoked_at = Some(Timestamp::from_millis(5));
        assert_eq!(key.state(Timestamp::from_millis(6)), State::Revoked);
    }

    #[test]
    fn ids_have_one_form() {
        assert_eq!("key_000000000000000a".parse(), Ok(KeyId::from_u64(10)));
        for bad in
            ["", "key_", "000000000000000a", "key_000000000000000A", "key_000000000000000g", "key_0000000000000000a"]
        {
            assert_eq!(bad.parse::<KeyId>(), Err(BadKeyId), "{bad}");
        }
    }

    #[test]
    fn names_are_short_and_plain() {
        assert_eq!(" Käse \n".parse::<KeyName>().unwrap().as_str(), "Käse");
        for bad in ["", "  ", "a\u{1b}[2J", &"n".repeat(65)] {
            assert_eq!(bad.parse::<KeyName>(), Err(BadKeyName), "{bad:?}");
        }
    }
}
