//! What is wrong with entries and tiles, told together where many have the same flaw.

use std::collections::BTreeMap;

use super::report::Report;
use crate::audit::{Erasure, Ranges};
use crate::merkle::TILE_WIDTH;

/// So many ranges of places are named in one finding.
const NAMED: usize = 8;

/// What can be wrong with an entry or a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Flaw {
    /// The leaf is not the one that was hashed.
    Changed,
    /// There is no leaf, and nothing says that it was pruned.
    Missing,
    /// The leaf is no canonical JSON of ours.
    Form,
    /// The leaf has another version.
    Version,
    /// Its time is before that of the entry in front of it.
    Time,
    /// The detail is not the one that the leaf commits to.
    Detail,
    /// The detail is gone, and nothing says that it was erased.
    DetailMissing,
    /// The detail is there, and the log says that it was erased.
    DetailThere,
    /// The leaf does not know of the detail.
    DetailUnknown,
    /// There is a detail without a leaf.
    DetailAlone,
    /// It is missing in the list by that.
    Unlisted(&'static str),
    /// There is no tile of that level.
    Tile(u8),
    /// The tile of that level holds more or fewer hashes than it should.
    TileLength(u8),
    /// A tile of that level has another hash for it: for an entry in level 0, else for a tile of the level below.
    Hash(u8),
}

/// All that was found wrong. Runs of places take the space of one.
#[derive(Debug, Default)]
pub(super) struct Flaws(BTreeMap<Flaw, Ranges>);

impl Flaws {
    /// The entry, or the tile, at that place has it.
    pub(super) fn add(&mut self, flaw: Flaw, place: u64) {
        self.0.entry(flaw).or_default().insert(place);
    }

    pub(super) fn add_all(&mut self, flaw: Flaw, places: &Ranges) {
        if !places.is_empty() {
            self.0.entry(flaw).or_default().unite(places);
        }
    }

    /// Tells them, and which of them an operator has accepted since.
    pub(super) fn tell(self, report: &mut Report) {
        for (flaw, places) in self.0 {
            let is_settled = |place: &u64| flaw.is_of_entry() && *place < report.adopted_before;
            let (settled, open): (Ranges, Ranges) = (
                places.iter().filter(is_settled).collect(),
                places.iter().filter(|place| !is_settled(place)).collect(),
            );
            if let Some(finding) = flaw.finding(&open) {
                report.findings.add(finding);
            }
            if let Some(finding) = flaw.finding(&settled) {
                report.adopted.add(finding);
            }
        }
    }
}

impl Flaw {
    const fn is_of_entry(self) -> bool {
        !matches!(self, Self::Tile(_) | Self::TileLength(_) | Self::Hash(_))
    }

    /// What is told of those places; `None` for none.
    fn finding(self, places: &Ranges) -> Option<String> {
        let named = places.parts(u64::MAX, NAMED).into_iter().next()?;
        let first = named.iter().next()?;
        let noun = match self {
            Self::Tile(level) | Self::TileLength(level) => Noun::Tile(level),
            Self::Hash(level @ 1..) => Noun::Tile(level - 1),
            _ => Noun::Entry,
        };
        let more = match places.count() - named.count() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let subject = match (noun, places.count()) {
            (Noun::Entry, 1) => format!("entry {named}"),
            (Noun::Entry, _) => format!("entries {named}{more}"),
            (Noun::Tile(level), 1) => format!("tile {level}/{named}"),
            (Noun::Tile(level), _) => format!("tiles {named}{more} of level {level}"),
        };
        let tile = |level: u8| match places.count() {
            1 => format!(" (tile {level}/{})", first / TILE_WIDTH as u64),
            _ => String::new(),
        };
        let what = match self {
            Self::Changed => format!("changed, not what was hashed into the tree{}", tile(0)),
            Self::Missing | Self::Tile(_) => "missing".to_owned(),
            Self::Form => "not in the form of an entry (canonical JSON)".to_owned(),
            Self::Version => "in a form that this version does not know".to_owned(),
            Self::Time => "the time is before that of the entry in front".to_owned(),
            Self::Detail => "the detail or its salt was changed, the leaf commits to another".to_owned(),
            Self::DetailMissing => format!("the detail is missing, and no {} entry says why", Erasure::ACTION),
            Self::DetailThere => "the detail is there, although the log says that it was erased".to_owned(),
            Self::DetailUnknown => "there is a detail, of which the leaf does not know".to_owned(),
            Self::DetailAlone => "there is a detail, but no leaf".to_owned(),
            Self::Unlisted(list) => format!("missing in the list by {list}"),
            Self::TileLength(_) => "longer or shorter than it should be".to_owned(),
            Self::Hash(level) => format!("another hash stands for it in the tree{}", tile(level)),
        };
        Some(format!("{subject}: {what}"))
    }
}

/// What a place is the place of.
enum Noun {
    Entry,
    Tile(u8),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_told_as_one() {
        let told = |flaw: Flaw, places: &[u64]| flaw.finding(&places.iter().copied().collect()).unwrap_or_default();
        assert_eq!(told(Flaw::Missing, &[]), "");
        assert_eq!(told(Flaw::Missing, &[7]), "entry 7: missing");
        assert_eq!(told(Flaw::Missing, &[7, 8, 9, 12]), "entries 7-9,12: missing");
        assert_eq!(told(Flaw::Changed, &[700]), "entry 700: changed, not what was hashed into the tree (tile 0/2)");
        assert_eq!(told(Flaw::Tile(1), &[3]), "tile 1/3: missing");
        assert_eq!(told(Flaw::Hash(1), &[700]), "tile 0/700: another hash stands for it in the tree (tile 1/2)");
        let many: Vec<u64> = (0..20).map(|n| n * 2).collect();
        assert_eq!(told(Flaw::Tile(0), &many), "tiles 0,2,4,6,8,10,12,14 and 12 more of level 0: missing");
    }
}
