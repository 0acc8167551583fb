//! Places in the log, written short: `12,15-18`.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::str::FromStr;

/// The greatest place there can be, plus one: JSON's whole numbers end here.
const END: u64 = 1 << 53;

/// A set of places in the log. Its text names them in order, with neighbours drawn together, so that there is one way
/// only to write a set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges {
    /// First place → last place. Ranges neither overlap nor touch.
    ranges: BTreeMap<u64, u64>,
}

/// Text that is no set of places, or not in the one way to write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a list of places in order, such as 12,15-18")]
pub struct BadRanges;

impl Ranges {
    /// Adds a place.
    pub fn insert(&mut self, place: u64) {
        self.insert_range(place, place);
    }

    /// Adds every place from `first` to `last`.
    pub fn insert_range(&mut self, mut first: u64, mut last: u64) {
        if first > last {
            return;
        }
        // Whatever overlaps or touches from the left, then everything up to the right edge.
        if let Some((&from, &to)) = self.ranges.range(..=first).next_back()
            && to.saturating_add(1) >= first
        {
            first = from;
            last = last.max(to);
        }
        while let Some((&from, &to)) = self.ranges.range(first..=last.saturating_add(1)).next() {
            last = last.max(to);
            self.ranges.remove(&from);
        }
        self.ranges.insert(first, last);
    }

    /// Adds every place of the other set.
    pub fn unite(&mut self, other: &Self) {
        for (&first, &last) in &other.ranges {
            self.insert_range(first, last);
        }
    }

    /// Whether the place is in the set.
    #[must_use]
    pub fn contains(&self, place: u64) -> bool {
        self.ranges.range(..=place).next_back().is_some_and(|(_, &last)| last >= place)
    }

    /// How many places there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The greatest place.
    #[must_use]
    pub fn last(&self) -> Option<u64> {
        self.ranges.last_key_value().map(|(_, last)| *last)
    }

    /// Every place, in order.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.ranges.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// The same places in several sets, in order: none with more than `places`, none that is written with more than
    /// `ranges` ranges.
    #[must_use]
    pub fn parts(&self, places: u64, ranges: usize) -> Vec<Self> {
        let mut parts: Vec<Self> = Vec::new();
        let mut room = 0;
        for (&first, &last) in &self.ranges {
            let mut from = first;
            while from <= last {
                if room == 0 || parts.last().is_none_or(|part| part.ranges.len() >= ranges) {
                    parts.push(Self::default());
                    room = places.max(1);
                }
                let to = last.min(from.saturating_add(room - 1));
                if let Some(part) = parts.last_mut() {
                    part.ranges.insert(from, to);
                }
                room -= to - from + 1;
                from = to + 1;
            }
        }
        parts
    }
}

impl FromIterator<u64> for Ranges {
    fn from_iter<I: IntoIterator<Item = u64>>(places: I) -> Self {
        let mut ranges = Self::default();
        places.into_iter().for_each(|place| ranges.insert(place));
        ranges
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (first, last)) in self.ranges.iter().enumerate() {
            if at > 0 {
                f.write_char(',')?;
            }
            if first == last { write!(f, "{first}")? } else { write!(f, "{first}-{last}")? }
        }
        Ok(())
    }
}

impl FromStr for Ranges {
    type Err = BadRanges;

    fn from_str(s: &str) -> Result<Self, BadRanges> {
        let mut ranges = Self::default();
        for range in s.split(',').filter(|_| !s.is_empty()) {
            let (first, last) = match range.split_once('-') {
                Some((first, last)) => (place(first)?, place(last)?),
                None => (place(range)?, place(range)?),
            };
            ranges.insert_range(first, last);
        }
        // Anything that could have been written otherwise comes out otherwise.
        if ranges.to_string() == s { Ok(ranges) } else { Err(BadRanges) }
    }
}

fn place(text: &str) -> Result<u64, BadRanges> {
    text.parse().ok().filter(|place| *place < END).ok_or(BadRanges)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn neighbours_are_drawn_together() {
        let ranges: Ranges = [18, 12, 16, 15, 17, 15].into_iter().collect();
        assert_eq!(ranges.to_string(), "12,15-18");
        assert_eq!((ranges.count(), ranges.last(), ranges.is_empty()), (5, Some(18), false));
        assert!(ranges.contains(12) && ranges.contains(15) && ranges.contains(18));
        assert!(!ranges.contains(11) && !ranges.contains(13) && !ranges.contains(19));
        assert_eq!((Ranges::default().to_string().as_str(), Ranges::default().is_empty()), ("", true));
    }

    #[test]
    fn there_is_one_way_to_write_a_set() {
        for good in ["", "0", "7", "0-1", "12,15-18", "1,3,5-6,9007199254740991"] {
            assert_eq!(good.parse::<Ranges>().unwrap().to_string(), good);
        }
        for bad in [
            ",",
            "1,",
            ",1",
            "1,2",
            "1-2,3",
            "2,1",
            "1-1",
            "3-2",
            "01",
            "+1",
            " 1",
            "1 ",
            "1,,3",
            "1-",
            "-1",
            "1-2-3",
            "1,1",
            "1-5,3",
            "a",
            "9007199254740992",
            "18446744073709551615",
            "0-18446744073709551616",
            "\u{0661}",
        ] {
            assert_eq!(bad.parse::<Ranges>(), Err(BadRanges), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn it_is_a_set(places in proptest::collection::vec(0_u64..60, 0..40), more in proptest::collection::vec((0_u64..60, 0_u64..8), 0..6), most in 1_u64..9, width in 1_usize..4) {
            let mut model: BTreeSet<u64> = places.iter().copied().collect();
            let mut ranges: Ranges = places.into_iter().collect();
            let mut other = Ranges::default();
            for (first, length) in more {
                other.insert_range(first, first + length);
                model.extend(first..=first + length);
            }
            ranges.unite(&other);
            prop_assert_eq!(ranges.iter().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(ranges.count(), model.len() as u64);
            prop_assert!((0..80).all(|place| ranges.contains(place) == model.contains(&place)));
            prop_assert_eq!(ranges.to_string().parse::<Ranges>(), Ok(ranges.clone()));
            let parts = ranges.parts(most, width);
            prop_assert!(parts.iter().all(|part| (1..=most).contains(&part.count()) && part.ranges.len() <= width));
            prop_assert_eq!(parts.iter().flat_map(Ranges::iter).collect::<Vec<_>>(), ranges.iter().collect::<Vec<_>>());
        }
    }
}
