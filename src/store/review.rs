//! Reviews of the log: that somebody looked through it, up to which entry, and what they say of it. The newest review is
//! found by its action; up to where it goes stands in its leaf, so that it stays whatever becomes of its detail.

use redb::ReadableTable;

use super::Store;
use super::book::Book;
use super::error::Error;
use super::tables::{self, open};
use super::tx::Tx;
use crate::audit::{Draft, Entry, Leaf, Target};
use crate::event::ObjectKey;

/// The action of a review's entry.
const ACTION: &str = "audit.reviewed";

/// What kind of thing an entry is, when another is about it.
const KIND: &str = "entry";

/// How far the log was reviewed.
#[derive(Debug, Clone)]
pub struct Reviewed {
    /// The newest review; `None` when there was none, or it was pruned.
    pub last: Option<Review>,
    /// How many entries there are that it did not cover.
    pub since: u64,
}

/// A review.
#[derive(Debug, Clone)]
pub struct Review {
    /// The newest entry it covers; older ones are covered too.
    pub to: u64,
    /// Its own entry.
    pub entry: Entry,
}

/// Why a review was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// There is no such entry.
    #[error("there is no entry of that number")]
    NoEntry,
    /// An earlier review covers all of it.
    #[error("the log was reviewed up to there before")]
    Covered,
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] Error),
}

impl Store {
    /// How far the log was reviewed.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn reviewed(&self) -> Result<Reviewed, Error> {
        self.scan(|txn| {
            let book = Book::open(txn)?;
            let newest = newest(&open(txn, tables::audit_by_action())?)?;
            let last = match newest.map(|seq| book.entry(seq)).transpose()?.flatten() {
                Some(entry) => Some(Review { to: reach(&entry.leaf)?, entry }),
                None => None,
            };
            let end = open(txn, tables::audit_leaf())?.last()?.map_or(0, |row| row.0.value() + 1);
            let begin = last.as_ref().map_or(book.first_at(None)?, |review| review.to + 1);
            Ok(Reviewed { last, since: end.saturating_sub(begin) })
        })
        .await
    }

    /// Notes that the log was reviewed up to the entry `to`: by `entry`, which says who did it, and may have a note in
    /// its detail. Returns the number of that entry.
    ///
    /// # Errors
    /// When `to` is no entry, or was reviewed before; when the store takes no writes.
    pub async fn review(&self, to: u64, entry: Draft) -> Result<u64, ReviewError> {
        let now = self.now();
        self.write(move |tx| {
            let from = tx.unreviewed()?;
            Ok(if to >= tx.state.log.size() {
                Err(ReviewError::NoEntry)
            } else if to < from {
                Err(ReviewError::Covered)
            } else {
                let id = to.to_string().parse().map_err(|_| Error::Corrupt("an entry's number"))?;
                let mut entry = entry.clone().with("from", Some(from)).with("to", Some(to));
                entry.target = Some(Target::Object(ObjectKey { kind: KIND.to_owned(), id }));
                entry.count = Some(to + 1 - from);
                Ok(tx.append(&entry, now)?)
            })
        })
        .await?
    }
}

impl Tx<'_> {
    /// The oldest entry that no review covers.
    fn unreviewed(&self) -> Result<u64, Error> {
        let first = self.tables.audit_leaf.first()?.map_or(0, |row| row.0.value());
        let Some(last) = newest(&self.tables.audit_by_action)? else { return Ok(first) };
        let row = self.tables.audit_leaf.get(last)?.ok_or(Error::Corrupt("an entry is missing"))?;
        let leaf: Leaf = serde_json::from_slice(row.value()).map_err(|_| Error::Corrupt("a leaf"))?;
        Ok((reach(&leaf)? + 1).max(first))
    }
}

/// The entry of the newest review.
fn newest(by_action: &impl ReadableTable<(&'static str, u64), ()>) -> Result<Option<u64>, Error> {
    let newest = by_action.range((ACTION, 0)..=(ACTION, u64::MAX))?.next_back().transpose()?;
    Ok(newest.map(|row| row.0.value().1))
}

/// Up to which entry a review goes.
fn reach(leaf: &Leaf) -> Result<u64, Error> {
    let target = leaf.target.as_deref().and_then(|target| target.strip_prefix(KIND)?.strip_prefix(':')?.parse().ok());
    target.ok_or(Error::Corrupt("a review"))
}
