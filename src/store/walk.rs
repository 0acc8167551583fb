//! Walks over everything that fits, in the order of the keys, a stretch at a time: for those who take all of it. Each
//! stretch is a read transaction of its own, so that a walk of hours pins no pages.

use std::ops::Range;

use super::book::Book;
use super::error::Error;
use super::places::{Order, Place};
use super::tables::{self, open};
use super::users::Roll;
use super::{Store, UserFilter};
use crate::audit::{self, Entry};
use crate::user::{User, UserId};

/// A stretch ends after so many items.
const ITEMS: usize = 256;

/// A stretch ends after so many rows were looked at, however few of them fit.
const ROWS: u64 = 5_000;

/// A stretch ends when its items have so many bytes: some users' objects at Clerk are long.
const BYTES: usize = 4 * 1024 * 1024;

/// Some of the items, in order.
#[derive(Debug, Clone)]
pub struct Stretch<T, K> {
    /// The items.
    pub items: Vec<T>,
    /// How many rows were looked at for them.
    pub rows: u64,
    /// Where the walk goes on; `None` when it is over.
    pub next: Option<K>,
    bytes: usize,
}

impl<T, K: Copy> Stretch<T, K> {
    const fn new() -> Self {
        Self { items: Vec::new(), rows: 0, next: None, bytes: 0 }
    }

    /// Takes the row at `key`, or passes it over; says whether the stretch is long enough.
    fn take(&mut self, key: K, item: Option<T>, bytes: usize) -> bool {
        self.items.extend(item);
        self.rows += 1;
        self.bytes += bytes;
        self.next = Some(key);
        self.items.len() >= ITEMS || self.rows >= ROWS || self.bytes >= BYTES
    }

    /// The walk is over.
    const fn last(mut self) -> Self {
        self.next = None;
        self
    }
}

impl Store {
    /// The next users behind the one with that id, in the order of their ids; from the first when `None`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn walk_users(&self, filter: UserFilter, after: Option<UserId>) -> Result<Stretch<User, UserId>, Error> {
        self.scan(move |txn| {
            let roll = Roll { users: open(txn, tables::users())?, index: open(txn, tables::user_index())? };
            let mut stretch = Stretch::new();
            let scope = filter.scope();
            let from = after.map_or(0, |id| id.as_u128().saturating_add(1));
            for row in roll.index.range((scope.as_str(), from)..=(scope.as_str(), u128::MAX))? {
                let id = row?.0.value().1;
                let user = roll.user(id)?.filter(|user| filter.fits(user));
                let bytes = user.as_ref().map_or(0, |user| user.clerk.as_str().len());
                if stretch.take(UserId::from_u128(id), user, bytes) {
                    return Ok(stretch);
                }
            }
            Ok(stretch.last())
        })
        .await
    }

    /// The places of the entries written between the filter's two times, as far as there are entries by now: those
    /// before were pruned, those behind may come.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn places(&self, filter: &audit::Filter) -> Result<Range<u64>, Error> {
        let (from, to) = (filter.from, filter.to);
        self.scan(move |txn| {
            let book = Book::open(txn)?;
            let end = book.leaves.range::<u64>(..)?.next_back().transpose()?.map_or(0, |row| row.0.value() + 1);
            let end = to.map_or(Ok(end), |to| book.first_at(Some(to)))?;
            Ok(book.first_at(from)?.min(end)..end)
        })
        .await
    }

    /// The next entries with their place in the range, oldest first. The filter's times are not looked at.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn walk_entries(&self, filter: audit::Filter, places: Range<u64>) -> Result<Stretch<Entry, u64>, Error> {
        self.scan(move |txn| Book::open(txn)?.walk(&filter, places)).await
    }
}

impl Book {
    fn walk(&self, filter: &audit::Filter, places: Range<u64>) -> Result<Stretch<Entry, u64>, Error> {
        let mut stretch = Stretch::new();
        let Some(wanted) = self.wanted(filter)? else { return Ok(stretch) };
        for place in self.places(&wanted, places, Order::OldestFirst)? {
            let Place { seq, is_common } = place?;
            let entry = if is_common { self.entry_that_fits(seq, &wanted)? } else { None };
            // An entry is bounded, so their number says enough.
            if stretch.take(seq + 1, entry, 0) {
                return Ok(stretch);
            }
        }
        Ok(stretch.last())
    }
}
