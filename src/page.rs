//! Bounded lists: how many, and from where. Every list in Rollbook is read by key, never by offset.

use std::str::FromStr;

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

    /// So many, or as near to that as a limit comes.
    #[must_use]
    pub const fn near(count: usize) -> Self {
        match count {
            ..1 => Self::MIN,
            1..500 => Self(count),
            500.. => Self::MAX,
        }
    }

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

/// The key of the last item a caller has seen: a letter that says which list it belongs to, then the key's bytes in
/// lower-case hexadecimal. Opaque to callers. It is a place in the list's order, which stays one when the item that stood
/// there is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(Vec<u8>);

/// The longest key, in bytes.
const MAX_KEY: usize = 512;

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
        let Some((list, key)) = self.0.split_first() else { return Ok(()) };
        write!(f, "{}", char::from(*list))?;
        key.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Cursor {
    type Err = BadCursor;

    fn from_str(s: &str) -> Result<Self, BadCursor> {
        let (list, key) = s.as_bytes().split_first().ok_or(BadCursor)?;
        let (pairs, odd) = key.as_chunks();
        if !list.is_ascii_lowercase() || !odd.is_empty() || pairs.len() > MAX_KEY {
            return Err(BadCursor);
        }
        let key: Vec<u8> = pairs.iter().copied().map(byte).collect::<Option<_>>().ok_or(BadCursor)?;
        Ok(Self::new(*list, &key))
    }
}

/// The byte that two lower-case hexadecimal digits stand for.
fn byte([high, low]: [u8; 2]) -> Option<u8> {
    let digit = |d: u8| match d {
        b'0'..=b'9' => Some(d - b'0'),
        b'a'..=b'f' => Some(d - b'a' + 10),
        _ => None,
    };
    Some(digit(high)? << 4 | digit(low)?)
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
        for bad in ["", "6b", "u6", "u6B", "u6g", "U6b", "é6b"] {
            assert_eq!(bad.parse::<Cursor>(), Err(BadCursor), "{bad}");
        }
    }
}
