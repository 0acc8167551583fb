//! Places in the log that several lists have in common, oldest or newest first. No list is gone through where another
//! leads on: each is asked for its first place behind the one that the others have come to.

use std::ops::Range;

use super::error::Error;

/// Which way places are gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// From the log's beginning on.
    OldestFirst,
    /// From its end back.
    NewestFirst,
}

impl Order {
    /// The first row of those, this way.
    pub(super) fn first<T>(self, mut rows: impl DoubleEndedIterator<Item = T>) -> Option<T> {
        match self {
            Self::OldestFirst => rows.next(),
            Self::NewestFirst => rows.next_back(),
        }
    }

    /// What is left of the range once this place is reached.
    const fn from(self, place: u64, rest: &Range<u64>) -> Range<u64> {
        match self {
            Self::OldestFirst => place..rest.end,
            Self::NewestFirst => rest.start..place.saturating_add(1),
        }
    }

    /// What is left of the range once this place is done.
    const fn behind(self, place: u64, rest: &Range<u64>) -> Range<u64> {
        match self {
            Self::OldestFirst => place.saturating_add(1)..rest.end,
            Self::NewestFirst => rest.start..place,
        }
    }
}

/// Finds a list's first place in a range, in the order that the list is gone through.
pub(super) type First<'a> = Box<dyn Fn(Range<u64>) -> Result<Option<u64>, Error> + 'a>;

/// One list, and its first place in what is left; `None` when there is no more.
struct List<'a> {
    first: First<'a>,
    head: Option<u64>,
}

/// Lists taken together: whatever is in any of them.
pub(super) struct Union<'a> {
    lists: Vec<List<'a>>,
}

impl Union<'_> {
    /// The first place in what is left, which only ever gets less.
    fn head(&mut self, order: Order, rest: &Range<u64>) -> Result<Option<u64>, Error> {
        for list in &mut self.lists {
            if list.head.is_some_and(|head| !rest.contains(&head)) {
                list.head = (list.first)(rest.clone())?;
            }
        }
        let heads = self.lists.iter().filter_map(|list| list.head);
        Ok(match order {
            Order::OldestFirst => heads.min(),
            Order::NewestFirst => heads.max(),
        })
    }
}

/// A place that was come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) seq: u64,
    /// Whether all lists have it. If not, nothing up to it was passed over all the same.
    pub(super) is_common: bool,
}

/// The places in a range that each of several unions of lists has. It yields those it comes to in vain as well, so that who
/// goes through them can stop after so many.
pub(super) struct Places<'a> {
    order: Order,
    rest: Range<u64>,
    unions: Vec<Union<'a>>,
}

impl<'a> Places<'a> {
    /// None yet: without any union there are no places.
    pub(super) const fn new(order: Order, range: Range<u64>) -> Self {
        Self { order, rest: range, unions: Vec::new() }
    }

    /// Only those that are in one of these lists as well. The shortest are best named first.
    pub(super) fn among(mut self, lists: impl IntoIterator<Item = First<'a>>) -> Result<Self, Error> {
        let lists = lists.into_iter().map(|first| Ok(List { head: first(self.rest.clone())?, first }));
        self.unions.push(Union { lists: lists.collect::<Result<_, Error>>()? });
        Ok(self)
    }

    /// Whether any list says which they are.
    pub(super) const fn has_lists(&self) -> bool {
        !self.unions.is_empty()
    }

    fn step(&mut self) -> Result<Option<Place>, Error> {
        let Some((leader, others)) = self.unions.split_first_mut() else { return Ok(None) };
        let Some(seq) = leader.head(self.order, &self.rest)? else { return Ok(None) };
        self.rest = self.order.from(seq, &self.rest);
        for other in others {
            let Some(head) = other.head(self.order, &self.rest)? else { return Ok(None) };
            if head != seq {
                self.rest = self.order.from(head, &self.rest);
                return Ok(Some(Place { seq, is_common: false }));
            }
        }
        self.rest = self.order.behind(seq, &self.rest);
        Ok(Some(Place { seq, is_common: true }))
    }
}

impl Iterator for Places<'_> {
    type Item = Result<Place, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::*;

    fn list(places: &BTreeSet<u64>, order: Order) -> First<'_> {
        Box::new(move |range| Ok(if range.is_empty() { None } else { order.first(places.range(range).copied()) }))
    }

    fn multiples(of: u64) -> BTreeSet<u64> {
        (0..1000).filter(|n| n % of == 0).collect()
    }

    fn found(unions: &[Vec<BTreeSet<u64>>], order: Order, range: Range<u64>) -> (Vec<u64>, usize) {
        let mut places = Places::new(order, range);
        for union in unions {
            places = places.among(union.iter().map(|places| list(places, order))).unwrap();
        }
        let places: Vec<Place> = places.map(Result::unwrap).collect();
        (places.iter().filter(|place| place.is_common).map(|place| place.seq).collect(), places.len())
    }

    #[test]
    fn what_all_have_is_found_in_order_either_way() {
        let unions = [vec![multiples(6), multiples(10)], vec![multiples(4)], vec![multiples(1)]];
        for range in [0..1000, 12..61, 13..60, 60..61, 61..62, 7..7, 0..u64::MAX] {
            let expected: Vec<u64> =
                (0..1000).filter(|n| range.contains(n) && (n % 6 == 0 || n % 10 == 0) && n % 4 == 0).collect();
            assert_eq!(found(&unions, Order::OldestFirst, range.clone()).0, expected, "{range:?}");
            let newest: Vec<u64> = expected.into_iter().rev().collect();
            assert_eq!(found(&unions, Order::NewestFirst, range.clone()).0, newest, "{range:?}");
        }
    }

    #[test]
    fn a_long_list_is_not_gone_through_where_a_short_one_leads_on() {
        let (short, long) = (BTreeSet::from([3, 500, 997]), multiples(1));
        for unions in [[vec![short.clone()], vec![long.clone()]], [vec![long], vec![short]]] {
            let (found, looked_at) = found(&unions, Order::OldestFirst, 0..1000);
            assert_eq!(found, [3, 500, 997]);
            assert!(looked_at <= 6, "{looked_at}");
        }
    }

    #[test]
    fn where_a_list_has_nothing_there_is_nothing() {
        let unions = [vec![multiples(1)], vec![BTreeSet::new()]];
        assert!(found(&unions, Order::NewestFirst, 0..1000).0.is_empty());
        assert_eq!(found(&[vec![]], Order::NewestFirst, 0..1000), (vec![], 0));
        assert_eq!(found(&[], Order::NewestFirst, 0..1000), (vec![], 0));
    }
}
