//! Lists of users and searches among them, in pages.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Bound;

use redb::{Range, ReadOnlyTable};
use serde::{Deserialize, Serialize};

use super::super::error::Error;
use super::decode;
use super::facets::{folded, scope, stretch, terms};
use crate::page::{Cursor, Page, PageRequest};
use crate::user::{PracticeId, Role, User};

/// So many rows a list may pass over in one go before it answers with what it has.
pub(in crate::store) const SCAN_BUDGET: usize = 5_000;

/// The letter of this list's cursors.
const LIST: u8 = b'u';

/// Which users to list; all members must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserFilter {
    /// The beginning of the full name, last name, user name or e-mail address, in any case.
    pub query: Option<String>,
    /// The primary e-mail address, in any case.
    pub email: Option<String>,
    /// The role.
    pub role: Option<Role>,
    /// The practice.
    pub practice: Option<PracticeId>,
    /// Those deleted at Clerk instead of those on the roll.
    pub deleted: bool,
}

impl UserFilter {
    /// The scope that all listed are in.
    pub(in crate::store) fn scope(&self) -> String {
        scope(self.deleted, self.role.as_ref(), self.practice.as_ref())
    }

    /// What to look for among them; `None` when nothing.
    fn sought(&self) -> Option<Sought> {
        let text = |text: &Option<String>| text.as_deref().map(folded).filter(|text| !text.is_empty());
        match (text(&self.email), text(&self.query)) {
            (Some(email), query) => Some(Sought { term: email, is_address: true, query }),
            (None, Some(query)) => Some(Sought { term: query, is_address: false, query: None }),
            (None, None) => None,
        }
    }

    /// Whether the user is one of those asked for.
    pub(in crate::store) fn fits(&self, user: &User) -> bool {
        let sought = || {
            self.sought()
                .is_none_or(|sought| sought.fits(user) && (sought.is_address || starts_one(&sought.term, user)))
        };
        self.deleted == user.deleted_at.is_some()
            && self.role.as_ref().is_none_or(|role| *role == user.role)
            && self.practice.as_ref().is_none_or(|practice| Some(practice) == user.practice_id.as_ref())
            && sought()
    }
}

/// What to look for in the index, folded as the terms are.
struct Sought {
    term: String,
    /// Whether the term is a whole e-mail address, and not the beginning of anything.
    is_address: bool,
    /// What one of the user's terms must begin with besides.
    query: Option<String>,
}

impl Sought {
    /// Whether somebody found by it is meant: a user name can look like an address.
    fn fits(&self, user: &User) -> bool {
        let email = || user.profile().email.map(|email| folded(&email));
        (!self.is_address || email().as_deref() == Some(&self.term))
            && self.query.as_ref().is_none_or(|query| starts_one(query, user))
    }
}

fn starts_one(query: &str, user: &User) -> bool {
    terms(user).iter().any(|term| term.starts_with(query))
}

/// The two tables a list of users is read from.
pub(in crate::store) struct Roll {
    pub(in crate::store) users: ReadOnlyTable<u128, &'static [u8]>,
    pub(in crate::store) index: ReadOnlyTable<(&'static str, u128), ()>,
}

impl Roll {
    /// A page of users, newest first; those found by a text in the order of what they were found by.
    pub(in crate::store) fn list(&self, filter: &UserFilter, page: &PageRequest) -> Result<Page<User>, Error> {
        let place = page.cursor.as_ref().map(Place::read).transpose()?;
        let mut list = Listing::new(page);
        match filter.sought() {
            None => self.newest(&filter.scope(), place.as_ref(), |id| {
                let user = self.user(id)?;
                Ok(list.take(user, || Place { term: String::new(), id }.cursor()))
            })?,
            Some(sought) => self.found(&filter.scope(), &sought, place.as_ref(), |place| {
                let user = self.user(place.id)?.filter(|user| sought.fits(user));
                Ok(list.take(user, || place.cursor()))
            })?,
        }
        Ok(list.page())
    }

    /// Shows the users of a scope to `take`, from `place` on, until it has enough.
    fn newest(
        &self,
        scope: &str,
        place: Option<&Place>,
        mut take: impl FnMut(u128) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let before = place.map_or(u128::MAX, |place| place.id);
        for row in self.index.range((scope, 0)..(scope, before))?.rev() {
            if take(row?.0.value().1)? {
                break;
            }
        }
        Ok(())
    }

    /// The same for those whose terms fit, in the order of the terms. A user with several of them is met once.
    fn found(
        &self,
        scope: &str,
        sought: &Sought,
        place: Option<&Place>,
        mut take: impl FnMut(Place) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        // A term that shares as much with the one before as is sought is not the first that fits.
        let open = |shared| Stretch::open(&self.index, &stretch(scope, shared), sought, place);
        let mut stretches = (0..sought.term.len()).map(open).collect::<Result<Vec<_>, _>>()?;
        let mut first = BinaryHeap::new();
        for (n, stretch) in stretches.iter_mut().enumerate() {
            first.extend(stretch.next()?.map(|place| Reverse((place, n))));
        }
        while let Some(Reverse((place, n))) = first.pop() {
            first.extend(stretches[n].next()?.map(|place| Reverse((place, n))));
            if take(place)? {
                break;
            }
        }
        Ok(())
    }

    pub(in crate::store) fn user(&self, id: u128) -> Result<Option<User>, Error> {
        self.users.get(id)?.map(|row| decode(id, row.value())).transpose()
    }
}

/// Where a list stands: behind that user, and the term they were found by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    term: String,
    id: u128,
}

impl Place {
    /// Any cursor of a list of users is a place in any of them. One that was cut short is filled up, and what can be no
    /// term stands near where it would.
    fn read(cursor: &Cursor) -> Result<Self, Error> {
        let key = cursor.key(LIST)?;
        let (head, term) = key.split_at(key.len().min(16));
        let mut id = [0; 16];
        id[..head.len()].copy_from_slice(head);
        Ok(Self { term: String::from_utf8_lossy(term).into_owned(), id: u128::from_be_bytes(id) })
    }

    fn cursor(&self) -> Cursor {
        Cursor::new(LIST, &[&self.id.to_be_bytes()[..], self.term.as_bytes()].concat())
    }
}

/// The rows of one stretch of the index that fit.
struct Stretch<'t> {
    rows: Range<'t, (&'static str, u128), ()>,
    /// What stands before the terms.
    head: usize,
    /// What the facets begin with, or are.
    wanted: String,
    is_whole: bool,
}

impl<'t> Stretch<'t> {
    fn open(
        index: &'t ReadOnlyTable<(&'static str, u128), ()>,
        head: &str,
        sought: &Sought,
        place: Option<&Place>,
    ) -> Result<Self, Error> {
        let wanted = format!("{head}{}", sought.term);
        let rows = match place.filter(|place| place.term >= sought.term) {
            Some(place) => {
                let facet = format!("{head}{}", place.term);
                index.range((Bound::Excluded((facet.as_str(), place.id)), Bound::Unbounded))?
            }
            None => index.range((wanted.as_str(), 0)..)?,
        };
        Ok(Self { rows, head: head.len(), wanted, is_whole: sought.is_address })
    }

    /// The next user in it.
    fn next(&mut self) -> Result<Option<Place>, Error> {
        let Some(row) = self.rows.next().transpose()? else { return Ok(None) };
        let (facet, id) = row.0.value();
        let is_wanted = if self.is_whole { facet == self.wanted } else { facet.starts_with(&self.wanted) };
        Ok(is_wanted.then(|| Place { term: facet[self.head..].to_owned(), id }))
    }
}

/// A page being filled, within the budget of rows it may pass over.
pub(in crate::store) struct Listing<T> {
    items: Vec<T>,
    limit: usize,
    budget: usize,
    next_cursor: Option<Cursor>,
    last: Option<Cursor>,
}

impl<T> Listing<T> {
    pub(in crate::store) fn new(page: &PageRequest) -> Self {
        Self { items: Vec::new(), limit: page.limit.get(), budget: SCAN_BUDGET, next_cursor: None, last: None }
    }

    /// Takes one row, `None` when it was passed over; says whether the page is done. A page ends when a
    /// row beyond it was seen, so that the last page says it is the last.
    pub(in crate::store) fn take(&mut self, item: Option<T>, cursor: impl FnOnce() -> Cursor) -> bool {
        if self.budget == 0 {
            self.next_cursor = self.last.take();
            return true;
        }
        self.budget -= 1;
        match item {
            Some(_) if self.items.len() == self.limit => {
                self.next_cursor = self.last.take();
                return true;
            }
            Some(item) => self.items.push(item),
            None => {}
        }
        self.last = Some(cursor());
        false
    }

    pub(in crate::store) fn page(self) -> Page<T> {
        Page { items: self.items, next_cursor: self.next_cursor }
    }
}
