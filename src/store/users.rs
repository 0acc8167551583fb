//! User rows and what users are found by.

use std::collections::{BTreeMap, BTreeSet};

use redb::{ReadOnlyTable, ReadableTable as _};
use serde::{Deserialize, Serialize};

use super::error::Error;
use super::tx::Tx;
use crate::clock::Timestamp;
use crate::event::Version;
use crate::json::Object;
use crate::page::{Cursor, Page, PageRequest};
use crate::user::{ClerkId, PracticeId, Role, Source, Subscription, User, UserId};

/// So many index rows a list may pass over in one go before it answers with what it has.
pub(super) const SCAN_BUDGET: usize = 5_000;

/// The letter of this list's cursors.
const LIST: u8 = b'u';

/// The longest text a user is found by, in bytes.
const MAX_TERM: usize = 128;

/// Which users to list; all members must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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

/// A row as stored. The Clerk object comes last: it is the longest part.
#[derive(Serialize, Deserialize)]
struct Row {
    clerk_id: ClerkId,
    role: Role,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    practice_id: Option<PracticeId>,
    #[serde(default, skip_serializing_if = "is_default")]
    subscription: Subscription,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    usage: BTreeMap<String, u64>,
    source: Source,
    version: Version,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signed_in_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deleted_at: Option<Timestamp>,
    clerk: Object,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A user's row as a user.
pub(super) fn decode(id: u128, row: &[u8]) -> Result<User, Error> {
    let row: Row = serde_json::from_slice(row).map_err(|_| Error::Corrupt("a user"))?;
    Ok(User {
        id: UserId::from_u128(id),
        clerk_id: row.clerk_id,
        role: row.role,
        practice_id: row.practice_id,
        subscription: row.subscription,
        usage: row.usage,
        source: row.source,
        version: row.version,
        signed_in_at: row.signed_in_at,
        deleted_at: row.deleted_at,
        clerk: row.clerk,
    })
}

fn encode(user: User) -> Vec<u8> {
    let row = Row {
        clerk_id: user.clerk_id,
        role: user.role,
        practice_id: user.practice_id,
        subscription: user.subscription,
        usage: user.usage,
        source: user.source,
        version: user.version,
        signed_in_at: user.signed_in_at,
        deleted_at: user.deleted_at,
        clerk: user.clerk,
    };
    serde_json::to_vec(&row).unwrap_or_default()
}

impl Tx<'_> {
    /// The user, if there is a row.
    pub(super) fn user(&self, id: UserId) -> Result<Option<User>, Error> {
        let row = self.tables.users.get(id.as_u128())?;
        row.map(|row| decode(id.as_u128(), row.value())).transpose()
    }

    /// Writes a user and brings the index up to date with it.
    pub(super) fn put_user(&mut self, before: Option<&User>, user: User) -> Result<(), Error> {
        self.reindex(before, Some(&user))?;
        self.count(before, -1);
        self.count(Some(&user), 1);
        let id = user.id.as_u128();
        self.tables.users.insert(id, &encode(user)[..])?;
        Ok(())
    }

    /// Removes a user and everything the index says of it.
    pub(super) fn remove_user(&mut self, user: &User) -> Result<(), Error> {
        self.reindex(Some(user), None)?;
        self.count(Some(user), -1);
        self.tables.users.remove(user.id.as_u128())?;
        Ok(())
    }

    fn count(&mut self, user: Option<&User>, by: i64) {
        if let Some(user) = user {
            let stats = &mut self.state.stats;
            let count = if user.deleted_at.is_some() { &mut stats.deleted } else { &mut stats.users };
            *count = count.saturating_add_signed(by);
        }
    }

    fn reindex(&mut self, before: Option<&User>, after: Option<&User>) -> Result<(), Error> {
        let old = before.map(facets).unwrap_or_default();
        let new = after.map(facets).unwrap_or_default();
        let Some(id) = before.or(after).map(|user| user.id.as_u128()) else { return Ok(()) };
        for gone in old.difference(&new) {
            self.tables.user_index.remove((gone.as_str(), id))?;
        }
        for come in new.difference(&old) {
            self.tables.user_index.insert((come.as_str(), id), ())?;
        }
        Ok(())
    }
}

/// What a user is listed and found by. The first letter says whether they are live or deleted, the second
/// what kind of facet it is: `a` all, `r` role, `p` practice, `t` a term to search for.
fn facets(user: &User) -> BTreeSet<String> {
    let state = state_letter(user.deleted_at.is_some());
    let mut facets = BTreeSet::from([format!("{state}a"), format!("{state}r{}", user.role)]);
    facets.extend(user.practice_id.as_ref().map(|practice| format!("{state}p{practice}")));
    facets.extend(terms(user).into_iter().map(|term| format!("{state}t{term}")));
    facets
}

const fn state_letter(deleted: bool) -> char {
    if deleted { 'd' } else { 'l' }
}

/// The texts a user is found by the beginnings of.
fn terms(user: &User) -> BTreeSet<String> {
    let profile = user.profile();
    let texts = [profile.full_name(), profile.last_name, profile.username, profile.email];
    texts.into_iter().flatten().map(|text| folded(&text)).filter(|term| !term.is_empty()).collect()
}

/// A text as it is searched: lower case, single spaces, bounded.
fn folded(text: &str) -> String {
    let mut folded = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    folded.truncate(folded.floor_char_boundary(MAX_TERM));
    folded
}

/// The two tables a list of users is read from.
pub(super) struct Roll {
    pub(super) users: ReadOnlyTable<u128, &'static [u8]>,
    pub(super) index: ReadOnlyTable<(&'static str, u128), ()>,
}

impl Roll {
    /// A page of users, newest first; those found by a query in the order of what they were found by.
    pub(super) fn list(&self, filter: &UserFilter, page: &PageRequest) -> Result<Page<User>, Error> {
        let state = state_letter(filter.deleted);
        match (&filter.email, &filter.query) {
            (None, None) => self.list_newest(&facet(filter), filter, page),
            (Some(email), _) => self.search(&format!("{state}t{}", folded(email)), true, filter, page),
            (None, Some(query)) => self.search(&format!("{state}t{}", folded(query)), false, filter, page),
        }
    }

    fn list_newest(&self, facet: &str, filter: &UserFilter, page: &PageRequest) -> Result<Page<User>, Error> {
        let before = match &page.cursor {
            Some(cursor) => cursor_id(cursor.key(LIST)?)?,
            None => u128::MAX,
        };
        let mut list = Listing::new(page);
        for row in self.index.range((facet, 0)..(facet, before))?.rev() {
            let id = row?.0.value().1;
            let user = self.user(id)?.filter(|user| fits(filter, user));
            if list.take(user, || Cursor::new(LIST, &id.to_be_bytes())) {
                break;
            }
        }
        Ok(list.page())
    }

    fn search(&self, term: &str, exact: bool, filter: &UserFilter, page: &PageRequest) -> Result<Page<User>, Error> {
        let is_found = |found: &str| if exact { found == term } else { found.starts_with(term) };
        let (from_term, from_id) = match &page.cursor {
            Some(cursor) => {
                let (id, found) = cursor.key(LIST)?.split_at_checked(16).ok_or(Error::BadCursor)?;
                let found = std::str::from_utf8(found).ok().filter(|found| is_found(found)).ok_or(Error::BadCursor)?;
                (found.to_owned(), cursor_id(id)?)
            }
            None => (term.to_owned(), 0),
        };
        let mut list = Listing::new(page);
        for row in self.index.range((from_term.as_str(), from_id)..)? {
            let row = row?.0;
            let (found, id) = row.value();
            if !is_found(found) {
                break;
            }
            if page.cursor.is_some() && (found, id) == (from_term.as_str(), from_id) {
                continue;
            }
            let user = self.user(id)?.filter(|user| fits(filter, user) && is_first_match(user, found, term));
            if list.take(user, || Cursor::new(LIST, &[&id.to_be_bytes()[..], found.as_bytes()].concat())) {
                break;
            }
        }
        Ok(list.page())
    }

    pub(super) fn user(&self, id: u128) -> Result<Option<User>, Error> {
        self.users.get(id)?.map(|row| decode(id, row.value())).transpose()
    }
}

/// The facet that fewest users have, of those the filter asks for.
pub(super) fn facet(filter: &UserFilter) -> String {
    let state = state_letter(filter.deleted);
    match (&filter.practice, &filter.role) {
        (Some(practice), _) => format!("{state}p{practice}"),
        (None, Some(role)) => format!("{state}r{role}"),
        (None, None) => format!("{state}a"),
    }
}

pub(super) fn fits(filter: &UserFilter, user: &User) -> bool {
    let email = || user.profile().email.map(|email| folded(&email));
    filter.role.as_ref().is_none_or(|role| *role == user.role)
        && filter.practice.as_ref().is_none_or(|practice| Some(practice) == user.practice_id.as_ref())
        && filter.email.as_ref().is_none_or(|wanted| email() == Some(folded(wanted)))
        && filter.query.as_ref().is_none_or(|query| terms(user).iter().any(|term| term.starts_with(&folded(query))))
}

/// Whether the user was not already found by an earlier term: Jane Jansen stands under both names, but is listed once.
fn is_first_match(user: &User, found: &str, wanted: &str) -> bool {
    let wanted = wanted.get(2..).unwrap_or_default();
    terms(user).iter().find(|term| term.starts_with(wanted)).map(String::as_str) == found.get(2..)
}

fn cursor_id(key: &[u8]) -> Result<u128, Error> {
    Ok(u128::from_be_bytes(key.try_into().map_err(|_| Error::BadCursor)?))
}

/// A page being filled, within the budget of rows it may pass over.
pub(super) struct Listing<T> {
    items: Vec<T>,
    limit: usize,
    budget: usize,
    next_cursor: Option<Cursor>,
    last: Option<Cursor>,
}

impl<T> Listing<T> {
    pub(super) fn new(page: &PageRequest) -> Self {
        Self { items: Vec::new(), limit: page.limit.get(), budget: SCAN_BUDGET, next_cursor: None, last: None }
    }

    /// Takes one row, `None` when it was passed over; says whether the page is done. A page ends when a
    /// row beyond it was seen, so that the last page says it is the last.
    pub(super) fn take(&mut self, item: Option<T>, cursor: impl FnOnce() -> Cursor) -> bool {
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

    pub(super) fn page(self) -> Page<T> {
        Page { items: self.items, next_cursor: self.next_cursor }
    }
}
