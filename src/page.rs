//! Bounded lists: how many, and from where. Every list in Rollbook is read by key, never by offset.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error as _};

/// How many items a page may hold: 1 to 500, 50 unless said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(usize);

impl Limit {
    /// The smallest page.
    pub const MIN: Self = Self(1);

    /// The largest page.
    pub const MAX: Self = Self(500);

    /// The limit as a count.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(50)
    }
}

/// A limit outside 1 to 500.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("limit must be a whole number from 1 to 500")]
pub struct BadLimit;

impl FromStr for Limit {
    type Err = BadLimit;

    fn from_str(s: &str) -> Result<Self, BadLimit> {
        match s.parse() {
            Ok(n @ 1..=500) if s.bytes().all(|b| b.is_ascii_digit()) => Ok(Self(n)),
            _ => Err(BadLimit),
        }
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// The key of the last item a caller has seen. Opaque outside: base64url of the key's bytes behind a
/// byte that says which list it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(Vec<u8>);

/// Text that is no cursor of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cursor is not one that this list gave out")]
pub struct BadCursor;

impl Cursor {
    /// A cursor of the list `list` standing at `key`.
    #[must_use]
    pub fn new(list: u8, key: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(1 + key.len());
        bytes.push(list);
        bytes.extend_from_slice(key);
        Self(bytes)
    }

    /// The key this cursor stands at.
    ///
    /// # Errors
    /// When the cursor belongs to another list.
    pub fn key(&self, list: u8) -> Result<&[u8], BadCursor> {
        match self.0.split_first() {
            Some((tag, key)) if *tag == list => Ok(key),
            _ => Err(BadCursor),
        }
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(&self.0))
    }
}

impl FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(s: &str) -> Result<Self, BadCursor> {
        match URL_SAFE_NO_PAD.decode(s) {
            Ok(bytes) if !bytes.is_empty() && bytes.len() <= 512 => Ok(Self(bytes)),
            _ => Err(BadCursor),
        }
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

impl Serialize for Cursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What to read: so many, after that key.
#[derive(Debug, Clone, Default)]
pub struct PageRequest {
    /// At most so many items.
    pub limit: Limit,
    /// Go on behind this item; from the start when `None`.
    pub cursor: Option<Cursor>,
}

/// One page of a list, and where the next one starts.
#[derive(Debug, Clone, Serialize)]
pub struct Page<T> {
    /// The items, in the list's order. May be fewer than asked for although more follow, when a filter
    /// passed over many rows: `next_cursor` alone says whether the list is at its end.
    pub items: Vec<T>,
    /// Where to go on; `None` at the end of the list.
    pub next_cursor: Option<Cursor>,
}

impl<T> Page<T> {
    /// The same page with every item changed.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(f).collect(), next_cursor: self.next_cursor }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn limits_are_whole_numbers_in_range() {
        for bad in ["0", "501", "-1", "+5", "1e2", "", " 5", "1000000000000000000000"] {
            assert_eq!(bad.parse::<Limit>(), Err(BadLimit), "{bad}");
        }
        assert_eq!("500".parse(), Ok(Limit::MAX));
    }

    #[test]
    fn a_cursor_belongs_to_its_list() {
        let cursor: Cursor = Cursor::new(b'u', b"key").to_string().parse().unwrap();
        assert_eq!(cursor.key(b'u'), Ok(&b"key"[..]));
        assert_eq!(cursor.key(b'a'), Err(BadCursor));
    }
}
