//! Entry bundles (C2SP tlog-tiles v0.1): the leaves of one tile behind each other, each behind its length in two bytes,
//! big-endian.

use crate::merkle::TILE_WIDTH;

/// Leaves that cannot be bundled, or bytes that are no bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadBundle {
    /// There is nothing in it.
    #[error("an entry bundle holds at least one entry")]
    Empty,
    /// More than a tile has.
    #[error("an entry bundle holds at most 256 entries")]
    Full,
    /// A leaf whose length two bytes cannot say.
    #[error("an entry has at most 65535 bytes")]
    Long,
    /// The bytes end inside an entry.
    #[error("the entry bundle ends inside an entry")]
    Cut,
}

/// The bundle of these leaves, 1 to 256 of them, each of at most 65535 bytes.
///
/// # Errors
/// When they are none or too many, or one is too long.
pub fn encode<L: AsRef<[u8]>>(leaves: &[L]) -> Result<Vec<u8>, BadBundle> {
    check_count(leaves.len())?;
    let mut bytes = Vec::with_capacity(leaves.iter().map(|leaf| 2 + leaf.as_ref().len()).sum());
    for leaf in leaves {
        let length = u16::try_from(leaf.as_ref().len()).map_err(|_| BadBundle::Long)?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(leaf.as_ref());
    }
    Ok(bytes)
}

/// The leaves of a bundle.
///
/// # Errors
/// When there are none or too many, or the last one is not all there.
pub fn decode(mut bytes: &[u8]) -> Result<Vec<&[u8]>, BadBundle> {
    let mut leaves = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk().ok_or(BadBundle::Cut)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (leaf, rest) = rest.split_at_checked(length).ok_or(BadBundle::Cut)?;
        leaves.push(leaf);
        // Empty entries are two bytes each: a long input must not become a longer list.
        if leaves.len() > TILE_WIDTH {
            break;
        }
        bytes = rest;
    }
    check_count(leaves.len())?;
    Ok(leaves)
}

const fn check_count(count: usize) -> Result<(), BadBundle> {
    match count {
        0 => Err(BadBundle::Empty),
        1..=TILE_WIDTH => Ok(()),
        _ => Err(BadBundle::Full),
    }
}
