//! The log as a feed: what Clerk said and what changed, oldest first, each entry with the record it is about as that is
//! now. A page is one read transaction, so a record is never older than the entry that it stands beside.

use std::collections::BTreeSet;
use std::ops::Range;

use redb::{ReadTransaction, ReadableTable as _};
use serde_json::{Map, Value};

use super::Store;
use super::book::Book;
use super::error::Error;
use super::mirror::Mirror;
use super::places::{Order, Places};
use super::tables::{self, open};
use super::users::{self, SCAN_BUDGET};
use crate::audit::feed::{Types, is_never_told};
use crate::audit::{Actions, Entry};
use crate::event::{Mirrored, ObjectKey};
use crate::page::Limit;
use crate::user::{ClerkId, User, UserId};

/// So many entries are sooner looked at one by one than found by their actions.
const NEAR: u64 = 1_000;

/// A page ends once its items hold so many bytes, so that what is read for one caller is bounded, however long records are.
const MOST_BYTES: usize = 1024 * 1024;

/// What to read of the feed.
#[derive(Debug, Clone, Default)]
pub struct FeedRequest {
    /// Begin behind the entry of this number; with the oldest there is when `None`.
    pub after: Option<u64>,
    /// Which types.
    pub types: Types,
    /// At most so many items.
    pub limit: Limit,
}

/// A stretch of the feed.
#[derive(Debug, Clone)]
pub struct FeedPage {
    /// The items, oldest first. May be fewer than asked for although more follow.
    pub items: Vec<FeedItem>,
    /// The number of the last entry that was looked at: where to go on. `None` while the log is empty.
    pub next_after: Option<u64>,
    /// Whether that was the last entry there is.
    pub is_end: bool,
}

/// An entry that is told.
#[derive(Debug, Clone)]
pub struct FeedItem {
    /// The entry.
    pub entry: Entry,
    /// What it is about, if that is known.
    pub subject: Option<Subject>,
}

impl FeedItem {
    /// About how many bytes it is: those of the longest parts.
    fn size(&self) -> usize {
        let detail = self.entry.detail.iter().flatten().map(|(_, value)| length(value)).sum::<usize>();
        let record = match &self.subject {
            Some(Subject::User(_, Some(user))) => user.clerk.as_str().len(),
            Some(Subject::Object(_, Some(Mirrored { body: Some(body), .. }))) => body.as_str().len(),
            _ => 0,
        };
        self.entry.bytes.len() + detail + record
    }
}

/// About how long a value is as text.
fn length(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(length).sum(),
        Value::Object(members) => members.iter().map(|(name, value)| name.len() + length(value)).sum(),
        _ => 8,
    }
}

/// What an entry is about, and its record as it is now; `None` where there is none any more, or none yet.
#[derive(Debug, Clone)]
pub enum Subject {
    /// A person.
    User(ClerkId, Option<Box<User>>),
    /// Another object of Clerk's.
    Object(ObjectKey, Option<Mirrored>),
}

/// Why there is no such stretch.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The log ends before that entry.
    #[error("the log ends before that entry")]
    Ahead,
    /// Entries behind that one were pruned.
    #[error("entries behind that one were pruned")]
    Pruned,
    /// The file cannot be read.
    #[error(transparent)]
    Store(#[from] Error),
}

impl Store {
    /// A stretch of the feed, oldest first.
    ///
    /// # Errors
    /// When nobody can say what comes behind `after`, or the file cannot be read.
    pub async fn feed(&self, request: FeedRequest) -> Result<FeedPage, FeedError> {
        self.scan(move |txn| Feed::open(txn)?.page(&request)).await?
    }
}

/// The tables the feed is read from.
struct Feed<'txn> {
    txn: &'txn ReadTransaction,
    book: Book,
    mirror: Mirror,
}

impl<'txn> Feed<'txn> {
    fn open(txn: &'txn ReadTransaction) -> Result<Self, Error> {
        Ok(Self { txn, book: Book::open(txn)?, mirror: Mirror::open(txn)? })
    }

    /// The page, or why there is none; the outer error is the file's.
    fn page(&self, request: &FeedRequest) -> Result<Result<FeedPage, FeedError>, Error> {
        let leaves = &self.book.leaves;
        let first = leaves.first()?.map_or(0, |row| row.0.value());
        let end = leaves.last()?.map_or(0, |row| row.0.value() + 1);
        let from = match request.after {
            Some(after) if after >= end => return Ok(Err(FeedError::Ahead)),
            Some(after) if after + 1 < first => return Ok(Err(FeedError::Pruned)),
            Some(after) => after + 1,
            None => first,
        };
        let mut page = FeedPage { items: Vec::new(), next_after: end.checked_sub(1), is_end: true };
        let (mut budget, mut bytes) = (SCAN_BUDGET, 0);
        for place in self.places(&request.types, from..end)? {
            let seq = place?.seq;
            let item = self.item(seq, &request.types)?;
            bytes += item.as_ref().map_or(0, FeedItem::size);
            page.items.extend(item);
            budget -= 1;
            if budget == 0 || bytes >= MOST_BYTES || page.items.len() == request.limit.get() {
                page.next_after = Some(seq);
                page.is_end = seq + 1 == end;
                break;
            }
        }
        Ok(Ok(page))
    }

    /// The places in the range where entries of these types may be, in order.
    fn places(&self, types: &Types, range: Range<u64>) -> Result<Places<'_>, Error> {
        let order = Order::OldestFirst;
        let is_near = range.end.saturating_sub(range.start) <= NEAR;
        let places = Places::new(order, range);
        if is_near {
            places.among([self.book.of_all(order)])
        } else {
            self.book.among_actions(places, self.actions(types)?, order)
        }
    }

    /// The actions that the log has entries of and that may be told, of these types.
    fn actions(&self, types: &Types) -> Result<BTreeSet<String>, Error> {
        let all = [Actions::Beginning(String::new())];
        let wanted = if types.named().is_empty() { &all[..] } else { types.named() };
        let mut found = BTreeSet::new();
        for actions in wanted {
            found.append(&mut self.book.actions(actions)?);
        }
        found.retain(|action| !is_never_told(action));
        Ok(found)
    }

    /// The entry, if it is told and of these types.
    fn item(&self, seq: u64, types: &Types) -> Result<Option<FeedItem>, Error> {
        let Some(leaf) = self.book.leaf(seq)? else { return Ok(None) };
        if !leaf.is_told() || !types.fit(&leaf.action) {
            return Ok(None);
        }
        let entry = self.book.entry(seq)?.ok_or(Error::Corrupt("an entry is missing"))?;
        let subject = match object(&entry) {
            Some(key) => {
                let now = self.mirror.object(&key)?;
                Some(Subject::Object(key, now))
            }
            None => self.person(&entry)?,
        };
        Ok(Some(FeedItem { entry, subject }))
    }

    fn person(&self, entry: &Entry) -> Result<Option<Subject>, Error> {
        let Some(id) = entry.target_user.clone() else { return Ok(None) };
        let place = UserId::of(&id).as_u128();
        let row = open(self.txn, tables::users())?.get(place)?;
        let user = row.map(|row| users::decode(place, row.value())).transpose()?;
        Ok(Some(Subject::User(id, user.map(Box::new))))
    }
}

/// The object of Clerk's that an entry is about: its target, or in the detail where the target is a person.
fn object(entry: &Entry) -> Option<ObjectKey> {
    let in_detail = |detail: &Map<String, Value>| Some(detail.get("object")?.as_str()?.to_owned());
    let text = match entry.leaf.target.as_deref() {
        Some(target) if !target.starts_with("s1.") => Some(target.to_owned()),
        _ => entry.detail.as_ref().and_then(in_detail),
    };
    let (kind, id) = text.as_deref()?.split_once(':')?;
    Some(ObjectKey { kind: kind.to_owned(), id: id.parse().ok()? })
}
