//! Clerk's objects other than users: sessions, organisations, memberships and whatever else is mirrored, by their kind
//! and id, and by the objects they are listed by. A child may come before its parent: each row stands for itself.

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable as _};

use super::Store;
use super::error::Error;
use super::tables::{self, open};
use super::tx::Tx;
use super::users::Listing;
use crate::event::{Mirrored, ObjectKey};
use crate::page::{Cursor, Page, PageRequest};

/// The letter of these lists' cursors.
const LIST: u8 = b'o';

/// Behind every id, which is ASCII.
const BEHIND_ALL: &str = "\u{10ffff}";

impl Store {
    /// The object, also when Clerk deleted it: then it has no body.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn object(&self, key: &ObjectKey) -> Result<Option<Mirrored>, Error> {
        self.read(|txn| Mirror::open(txn)?.object(key))
    }

    /// A page of the objects of that kind that Clerk has not deleted, newest id first.
    ///
    /// # Errors
    /// When the file cannot be read, or the cursor is another list's.
    pub async fn objects(&self, kind: &'static str, page: PageRequest) -> Result<Page<(ObjectKey, Mirrored)>, Error> {
        self.scan(move |txn| Mirror::open(txn)?.list(kind, &page)).await
    }

    /// A page of the objects of that kind that are listed by `parent`, newest id first. The parent need not be known.
    ///
    /// # Errors
    /// When the file cannot be read, or the cursor is another list's.
    pub async fn children(
        &self,
        parent: ObjectKey,
        kind: &'static str,
        page: PageRequest,
    ) -> Result<Page<(ObjectKey, Mirrored)>, Error> {
        self.scan(move |txn| Mirror::open(txn)?.children(&parent, kind, &page)).await
    }
}

/// The two tables that mirrored objects are read from.
pub(super) struct Mirror {
    objects: ReadOnlyTable<(&'static str, &'static str), &'static [u8]>,
    children: ReadOnlyTable<(&'static str, &'static str, &'static str), ()>,
}

impl Mirror {
    pub(super) fn open(txn: &ReadTransaction) -> Result<Self, Error> {
        Ok(Self { objects: open(txn, tables::objects())?, children: open(txn, tables::object_children())? })
    }

    pub(super) fn object(&self, key: &ObjectKey) -> Result<Option<Mirrored>, Error> {
        self.objects.get((key.kind.as_str(), key.id.as_str()))?.map(|row| decode(row.value())).transpose()
    }

    fn list(&self, kind: &str, page: &PageRequest) -> Result<Page<(ObjectKey, Mirrored)>, Error> {
        let before = place(page)?;
        let mut list = Listing::new(page);
        for row in self.objects.range((kind, "")..(kind, before.as_str()))?.rev() {
            let (key, row) = row?;
            let key = object_key(key.value().0, key.value().1)?;
            let object = Some(decode(row.value())?).filter(|object| object.body.is_some());
            let cursor = Cursor::new(LIST, key.id.as_str().as_bytes());
            if list.take(object.map(|object| (key, object)), || cursor) {
                break;
            }
        }
        Ok(list.page())
    }

    fn children(
        &self,
        parent: &ObjectKey,
        kind: &str,
        page: &PageRequest,
    ) -> Result<Page<(ObjectKey, Mirrored)>, Error> {
        let (parent, before) = (parent.to_string(), place(page)?);
        let mut list = Listing::new(page);
        let rows = self.children.range((parent.as_str(), kind, "")..(parent.as_str(), kind, before.as_str()))?;
        for row in rows.rev() {
            let key = object_key(kind, row?.0.value().2)?;
            let object = self.object(&key)?;
            let cursor = Cursor::new(LIST, key.id.as_str().as_bytes());
            if list.take(object.map(|object| (key, object)), || cursor) {
                break;
            }
        }
        Ok(list.page())
    }
}

/// The id that a list goes on before. A cursor that is no id still has a place among them: what is not ASCII stands
/// behind all that is.
fn place(page: &PageRequest) -> Result<String, Error> {
    match &page.cursor {
        Some(cursor) => Ok(String::from_utf8_lossy(cursor.key(LIST)?).into_owned()),
        None => Ok(BEHIND_ALL.to_owned()),
    }
}

fn object_key(kind: &str, id: &str) -> Result<ObjectKey, Error> {
    Ok(ObjectKey { kind: kind.to_owned(), id: id.parse().map_err(|_| Error::Corrupt("an object's id"))? })
}

/// An object's row as the object.
pub(super) fn decode(row: &[u8]) -> Result<Mirrored, Error> {
    serde_json::from_slice(row).map_err(|_| Error::Corrupt("a mirrored object"))
}

impl Tx<'_> {
    /// The object, if there is a row.
    pub(super) fn object(&self, key: &ObjectKey) -> Result<Option<Mirrored>, Error> {
        self.tables.objects.get((key.kind.as_str(), key.id.as_str()))?.map(|row| decode(row.value())).transpose()
    }

    /// Writes an object, and brings the lists of its parents up to date with it.
    pub(super) fn put_object(
        &mut self,
        key: &ObjectKey,
        before: Option<&Mirrored>,
        after: &Mirrored,
    ) -> Result<(), Error> {
        let (kind, id) = (key.kind.as_str(), key.id.as_str());
        for parent in before.iter().flat_map(|before| &before.parents).filter(|p| !after.parents.contains(p)) {
            self.tables.object_children.remove((parent.to_string().as_str(), kind, id))?;
        }
        for parent in after.parents.iter().filter(|p| before.is_none_or(|before| !before.parents.contains(p))) {
            self.tables.object_children.insert((parent.to_string().as_str(), kind, id), ())?;
        }
        self.tables.objects.insert((kind, id), &serde_json::to_vec(after).unwrap_or_default()[..])?;
        Ok(())
    }
}
