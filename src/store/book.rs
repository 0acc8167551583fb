//! Reading the log: pages of entries, newest first, each with what may still be known of its people.

use std::net::IpAddr;
use std::ops::Range;

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable as _};
use serde_json::{Map, Value};

use super::error::Error;
use super::tables::{self, open};
use super::tx::read_subject;
use super::users::Listing;
use crate::audit::{Actions, Actor, Entry, Filter, Leaf};
use crate::clock::Timestamp;
use crate::page::{Cursor, Page, PageRequest};
use crate::user::ClerkId;

/// The letter of this list's cursors.
const LIST: u8 = b'a';

/// Places in the log, in order.
pub(super) type Places<'a> = Box<dyn DoubleEndedIterator<Item = Result<u64, Error>> + 'a>;

/// The tables the log is read from.
pub(super) struct Book {
    pub(super) leaves: ReadOnlyTable<u64, &'static [u8]>,
    details: ReadOnlyTable<u64, &'static [u8]>,
    by_subject: ReadOnlyTable<(u64, u64), ()>,
    pub(super) by_action: ReadOnlyTable<(&'static str, u64), ()>,
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
        for seq in self.places(filter, from..to.max(from))?.rev() {
            let seq = seq?;
            if list.take(self.entry_that_fits(seq, filter)?, || Cursor::new(LIST, &seq.to_be_bytes())) {
                break;
            }
        }
        Ok(list.page())
    }

    /// The places in the range that the filter's subject leads to, else its action, else all.
    pub(super) fn places<'a>(&'a self, filter: &'a Filter, range: Range<u64>) -> Result<Places<'a>, Error> {
        let Range { start, end } = range;
        if let Some(id) = &filter.subject {
            let Some(row) = self.subjects.get(id.as_str())? else { return Ok(Box::new(std::iter::empty())) };
            let number = read_subject(row.value())?.number;
            let rows = self.by_subject.range((number, start)..(number, end))?;
            Ok(Box::new(rows.map(|row| Ok(row?.0.value().1))))
        } else if let Some(Actions::Named(action)) = &filter.action {
            let rows = self.by_action.range((action.as_str(), start)..(action.as_str(), end))?;
            Ok(Box::new(rows.map(|row| Ok(row?.0.value().1))))
        } else {
            Ok(Box::new(self.leaves.range(start..end)?.map(|row| Ok(row?.0.value()))))
        }
    }

    /// The entry at a place that the filter led to, if the rest of the filter fits it too.
    pub(super) fn entry_that_fits(&self, seq: u64, filter: &Filter) -> Result<Option<Entry>, Error> {
        let Some(entry) = self.entry(seq)? else { return Ok(None) };
        Ok(Some(entry).filter(|entry| fits(entry, filter)))
    }

    pub(super) fn entry(&self, seq: u64) -> Result<Option<Entry>, Error> {
        let Some(row) = self.leaves.get(seq)? else { return Ok(None) };
        let bytes = Box::from(row.value());
        let leaf = read_leaf(&bytes)?;
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

/// Whether the entry fits in all but its subject and its time.
fn fits(entry: &Entry, filter: &Filter) -> bool {
    let by = |actor: &Actor| match actor {
        Actor::User(id) => entry.actor_user.as_ref() == Some(id),
        other => other.word().as_deref() == Some(&*entry.leaf.actor),
    };
    let address = || entry.detail.as_ref()?.get("ip")?.as_str()?.parse::<IpAddr>().ok();
    filter.action.as_ref().is_none_or(|actions| actions.fit(&entry.leaf.action))
        && filter.actor.as_ref().is_none_or(by)
        && filter.address.is_none_or(|wanted| address() == Some(wanted))
}

fn read_leaf(row: &[u8]) -> Result<Leaf, Error> {
    serde_json::from_slice(row).map_err(|_| Error::Corrupt("a leaf"))
}
