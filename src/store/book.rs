//! Reading the log: pages of entries, newest first, each with what may still be known of its people.

mod wanted;

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable as _};
use serde_json::{Map, Value};

use super::error::Error;
use super::places::{Order, Place};
use super::tables::{self, open};
use super::users::Listing;
use crate::audit::{Entry, Filter, Leaf};
use crate::clock::Timestamp;
use crate::page::{Cursor, Page, PageRequest};
use crate::user::ClerkId;

/// The letter of this list's cursors.
const LIST: u8 = b'a';

/// The tables the log is read from.
pub(super) struct Book {
    pub(super) leaves: ReadOnlyTable<u64, &'static [u8]>,
    details: ReadOnlyTable<u64, &'static [u8]>,
    by_subject: ReadOnlyTable<(u64, u64), ()>,
    by_action: ReadOnlyTable<(&'static str, u64), ()>,
    by_facet: ReadOnlyTable<(&'static str, u64), ()>,
    subjects: ReadOnlyTable<&'static str, &'static [u8]>,
    refs: ReadOnlyTable<&'static str, &'static str>,
}

impl Book {
    pub(super) fn open(txn: &ReadTransaction) -> Result<Self, Error> {
        Ok(Self {
            leaves: open(txn, tables::audit_leaf())?,
            details: open(txn, tables::audit_detail())?,
            by_subject: open(txn, tables::audit_by_subject())?,
            by_action: open(txn, tables::audit_by_action())?,
            by_facet: open(txn, tables::audit_by_facet())?,
            subjects: open(txn, tables::subjects())?,
            refs: open(txn, tables::subject_refs())?,
        })
    }

    /// A page of entries, newest first.
    pub(super) fn list(&self, filter: &Filter, page: &PageRequest) -> Result<Page<Entry>, Error> {
        let from = self.first_at(filter.from)?;
        let mut to = match filter.to {
            Some(at) => self.first_at(Some(at))?,
            None => u64::MAX,
        };
        if let Some(cursor) = &page.cursor {
            to = to.min(u64::from_be_bytes(cursor.key(LIST)?.try_into().map_err(|_| Error::BadCursor)?));
        }
        let mut list = Listing::new(page);
        let Some(wanted) = self.wanted(filter)? else { return Ok(list.page()) };
        for place in self.places(&wanted, from..to.max(from), Order::NewestFirst)? {
            let Place { seq, is_common } = place?;
            let entry = if is_common { self.entry_that_fits(seq, &wanted)? } else { None };
            if list.take(entry, || Cursor::new(LIST, &seq.to_be_bytes())) {
                break;
            }
        }
        Ok(list.page())
    }

    pub(super) fn entry(&self, seq: u64) -> Result<Option<Entry>, Error> {
        self.entry_if(seq, |_| true)
    }

    /// The entry, if its leaf is one that is wanted. Of the others no more is read.
    fn entry_if(&self, seq: u64, is_wanted: impl FnOnce(&Leaf) -> bool) -> Result<Option<Entry>, Error> {
        let Some(row) = self.leaves.get(seq)? else { return Ok(None) };
        let bytes = Box::from(row.value());
        let leaf = read_leaf(&bytes)?;
        if !is_wanted(&leaf) {
            return Ok(None);
        }
        let detail = match self.details.get(seq)? {
            Some(row) => {
                let json = row.value().get(32..).ok_or(Error::Corrupt("a detail"))?;
                let mut detail = serde_json::from_slice(json).map_err(|_| Error::Corrupt("a detail"))?;
                self.resolve_members(&mut detail)?;
                Some(detail)
            }
            None => None,
        };
        let target_user = self.person(leaf.target.as_deref())?;
        let actor_user = self.person(leaf.actor.strip_prefix("user:"))?;
        let impersonator_user = self.person(leaf.impersonator.as_deref())?;
        Ok(Some(Entry { seq, leaf, bytes, detail, target_user, actor_user, impersonator_user }))
    }

    /// Shows the members of a list by their Clerk ids, as far as they are known.
    fn resolve_members(&self, detail: &mut Map<String, Value>) -> Result<(), Error> {
        let Some(Value::Array(members)) = detail.get_mut("members") else { return Ok(()) };
        for member in members {
            if let Some(id) = self.person(member.as_str())? {
                *member = id.as_str().into();
            }
        }
        Ok(())
    }

    pub(super) fn leaf(&self, seq: u64) -> Result<Option<Leaf>, Error> {
        self.leaves.get(seq)?.map(|row| read_leaf(row.value())).transpose()
    }

    /// Whom a reference means, unless it was erased or is no person's.
    fn person(&self, reference: Option<&str>) -> Result<Option<ClerkId>, Error> {
        let Some(reference) = reference.filter(|r| r.starts_with("s1.")) else { return Ok(None) };
        let id = self.refs.get(reference)?;
        id.map(|id| id.value().parse().map_err(|_| Error::Corrupt("a reference"))).transpose()
    }

    /// When the entry was written.
    pub(super) fn written_at(&self, seq: u64) -> Result<Timestamp, Error> {
        Ok(self.leaf(seq)?.ok_or(Error::Corrupt("an entry is missing"))?.at)
    }

    /// The place of the first entry written at `at` or later; without a time, of the first one kept. Times never go
    /// back, so halving finds it.
    pub(super) fn first_at(&self, at: Option<Timestamp>) -> Result<u64, Error> {
        let mut low = self.leaves.first()?.map_or(0, |row| row.0.value());
        let Some(at) = at else { return Ok(low) };
        let mut high = self.leaves.last()?.map_or(0, |row| row.0.value() + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.leaf(middle)?.is_some_and(|leaf| leaf.at < at) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}

fn read_leaf(row: &[u8]) -> Result<Leaf, Error> {
    serde_json::from_slice(row).map_err(|_| Error::Corrupt("a leaf"))
}
