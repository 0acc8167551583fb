//! Where a tile is found (C2SP tlog-tiles v0.1): the same path in a URL and in a directory.

use std::fmt;
use std::num::NonZeroU8;
use std::str::FromStr;

use super::decimal;
use crate::merkle::TILE_WIDTH;

/// The path of a tile below the log's prefix: `tile/<level>/<index>` or `tile/entries/<index>`, and `.p/<width>` when it
/// is not full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TilePath {
    /// What is in the tile.
    pub content: Content,
    /// Its place in its level, from 0.
    pub index: u64,
    /// How many of its items there are; `None` for all 256.
    pub partial: Option<NonZeroU8>,
}

/// What a tile is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Content {
    /// The leaves themselves, as a bundle.
    Entries,
    /// Hashes of this level, 0 to 63.
    Hashes(u8),
}

/// Text that is no tile's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the path of a tile")]
pub struct BadTilePath;

impl TilePath {
    /// The path of a tile as it is in the tree of `size` leaves, full or not; `None` when that tree does not have it.
    #[must_use]
    pub fn in_tree(content: Content, index: u64, size: u64) -> Option<Self> {
        let width = content.count_in(size).checked_sub(index.checked_mul(TILE_WIDTH as u64)?)?;
        // What is no byte fills the tile.
        let partial = u8::try_from(width).ok().map(NonZeroU8::try_from);
        Some(Self { content, index, partial: partial.transpose().ok()? })
    }

    /// How many items the tile holds, 1 to 256.
    #[must_use]
    pub fn width(&self) -> usize {
        self.partial.map_or(TILE_WIDTH, |width| usize::from(width.get()))
    }

    /// Whether the tree of `size` leaves has all that the tile holds. What it says about a later tree is not published
    /// yet.
    #[must_use]
    pub fn is_within(&self, size: u64) -> bool {
        let start = self.index.checked_mul(TILE_WIDTH as u64);
        start
            .and_then(|start| start.checked_add(self.width() as u64))
            .is_some_and(|end| end <= self.content.count_in(size))
    }
}

impl Content {
    /// How many items of this kind the tree of `size` leaves has.
    fn count_in(self, size: u64) -> u64 {
        match self {
            Self::Entries => size,
            Self::Hashes(level) => size.checked_shr(8 * u32::from(level)).unwrap_or(0),
        }
    }
}

impl FromStr for TilePath {
    type Err = BadTilePath;

    fn from_str(path: &str) -> Result<Self, BadTilePath> {
        let read = || {
            let (content, rest) = path.strip_prefix("tile/")?.split_once('/')?;
            let content = match content {
                "entries" => Content::Entries,
                level => Content::Hashes(decimal(level).and_then(|level| u8::try_from(level).ok())?),
            };
            let (index, partial) = match rest.split_once(".p/") {
                Some((index, width)) => (index, Some(width.parse().ok()?)),
                None => (rest, None),
            };
            let digits: String = index.chars().filter(char::is_ascii_digit).collect();
            Some(Self { content, index: digits.parse().ok()?, partial })
        };
        // Read loosely and written again, only the one right form is the same.
        let same = |read: &Self| read.to_string() == path && !matches!(read.content, Content::Hashes(64..));
        read().filter(same).ok_or(BadTilePath)
    }
}

impl fmt::Display for TilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.content {
            Content::Entries => f.write_str("tile/entries")?,
            Content::Hashes(level) => write!(f, "tile/{level}")?,
        }
        // Groups of three digits, marked with an x where another one follows.
        for group in (0..7).rev() {
            let rest = self.index / 1000_u64.pow(group);
            match group {
                0 => write!(f, "/{:03}", rest % 1000)?,
                _ if rest > 0 => write!(f, "/x{:03}", rest % 1000)?,
                _ => {}
            }
        }
        self.partial.map_or(Ok(()), |width| write!(f, ".p/{width}"))
    }
}
