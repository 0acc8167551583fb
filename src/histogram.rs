//! How large things were: how many values there were up to each of some bounds, and their sum.

/// Bounds for how long something took, in microseconds: 100 µs to ten seconds.
pub const DURATIONS: &[u64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];

/// Counts of values by size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    /// In rising order; what is above the last is counted too.
    bounds: &'static [u64],
    /// One more than there are bounds.
    counts: Vec<u64>,
    sum: u64,
}

impl Histogram {
    /// An empty one with these bounds, in rising order.
    #[must_use]
    pub fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0 }
    }

    /// With counts that were kept ([`Histogram::counts`]), those at the end left out where they are zero; `None` when
    /// there are more than bounds.
    #[must_use]
    pub fn of(bounds: &'static [u64], counts: &[u64], sum: u64) -> Option<Self> {
        let mut histogram = Self { sum, ..Self::new(bounds) };
        histogram.counts.get_mut(..counts.len())?.copy_from_slice(counts);
        Some(histogram)
    }

    /// Counts a value.
    pub fn note(&mut self, value: u64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(place) {
            *count += 1;
        }
        self.sum = self.sum.saturating_add(value);
    }

    /// Adds the values of another one with the same bounds.
    pub fn add(&mut self, other: &Self) {
        debug_assert_eq!(self.bounds, other.bounds);
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// How many values there were in each step: one for each bound, and one for what is above the last.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// How many values there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum.
    #[must_use]
    pub const fn sum(&self) -> u64 {
        self.sum
    }

    /// Each bound, and how many values were not above it.
    pub fn up_to(&self) -> impl Iterator<Item = (u64, u64)> {
        self.bounds.iter().zip(&self.counts).scan(0, |below, (bound, count)| {
            *below += count;
            Some((*bound, *below))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_up_to_the_first_bound_that_is_not_below_it() {
        let mut histogram = Histogram::new(&[1, 10, 100]);
        for value in [0, 1, 2, 10, 11, 100, 101, 1_000] {
            histogram.note(value);
        }
        assert_eq!(histogram.up_to().collect::<Vec<_>>(), [(1, 2), (10, 4), (100, 6)]);
        assert_eq!((histogram.count(), histogram.sum()), (8, 1_225));
    }

    #[test]
    fn the_bounds_rise() {
        assert!(DURATIONS.is_sorted_by(|a, b| a < b));
    }
}
