//! Paging through lists that are read by key: older pages by the cursor the list gives, newer ones by
//! the cursors of the pages seen on the way, which the address carries along.

use serde::Serialize;

use crate::http::problem::Problem;
use crate::page::{Cursor, PageRequest};

/// The most pages the address remembers. Beyond, the way back leads to the newest page.
const LONGEST_TRAIL: usize = 64;

/// The links under a list.
#[derive(Debug, Default)]
pub(super) struct Pager {
    /// The newest page, when that is not the next newer one.
    pub(super) newest: Option<String>,
    /// The page before this one.
    pub(super) newer: Option<String>,
    /// The page after this one.
    pub(super) older: Option<String>,
}

/// Where in a list an address stands.
#[derive(Debug)]
pub(super) struct Place {
    cursor: Option<Cursor>,
    /// The cursors of the pages between the first and this one.
    trail: Vec<Cursor>,
}

impl Place {
    /// Reads `cursor` and `trail` of an address.
    ///
    /// # Errors
    /// 400 when they are none of ours.
    pub(super) fn read(cursor: Option<&str>, trail: Option<&str>) -> Result<Self, Problem> {
        let parse = |text: &str| text.parse::<Cursor>().map_err(|cause| bad().because(cause));
        let cursor = cursor.map(parse).transpose()?;
        let trail: Vec<Cursor> = trail.map_or(Ok(Vec::new()), |trail| trail.split('.').map(parse).collect())?;
        if trail.len() > LONGEST_TRAIL || (cursor.is_none() && !trail.is_empty()) {
            return Err(bad());
        }
        Ok(Self { cursor, trail })
    }

    /// What to ask the store for.
    pub(super) fn request(&self) -> PageRequest {
        PageRequest { cursor: self.cursor.clone(), ..PageRequest::default() }
    }

    /// The links under this page of the list at `path` with these `filters`; `next` is where the list goes on.
    ///
    /// # Errors
    /// 500 when the filters cannot be written, which text always can.
    pub(super) fn pager(&self, path: &str, filters: &impl Serialize, next: Option<&Cursor>) -> Result<Pager, Problem> {
        let filters = serde_urlencoded::to_string(filters).map_err(|cause| bad().because(cause))?;
        let link = |cursor: Option<&Cursor>, trail: &[&Cursor]| {
            let mut query: Vec<String> = vec![filters.clone()];
            query.extend(cursor.map(|cursor| format!("cursor={cursor}")));
            let trail: Vec<String> = trail.iter().map(ToString::to_string).collect();
            query.push(if trail.is_empty() { String::new() } else { format!("trail={}", trail.join(".")) });
            query.retain(|part| !part.is_empty());
            if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) }
        };
        let seen: Vec<&Cursor> = self.trail.iter().collect();
        let onward: Vec<&Cursor> = seen.iter().copied().chain(&self.cursor).collect();
        let onward = &onward[onward.len().saturating_sub(LONGEST_TRAIL)..];
        Ok(Pager {
            newest: (!seen.is_empty()).then(|| link(None, &[])),
            newer: self.cursor.as_ref().map(|_| match seen.split_last() {
                Some((last, before)) => link(Some(last), before),
                None => link(None, &[]),
            }),
            older: next.map(|next| link(Some(next), onward)),
        })
    }
}

fn bad() -> Problem {
    Problem::bad_request("The address does not lead to a page of this list.")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_way_back_is_the_way_there() {
        let filters = [("role", "A B")];
        let cursor = |n: u8| Cursor::new(b'l', &[n]);
        let follow = |address: &str| {
            let query = address.split_once('?').unwrap().1;
            let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap();
            let value = |name| pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
            assert_eq!(value("role"), Some("A B"));
            Place::read(value("cursor"), value("trail")).unwrap()
        };
        let first = Place::read(None, None).unwrap();
        let links = first.pager("/l", &filters, Some(&cursor(2))).unwrap();
        assert!(links.newer.is_none() && links.newest.is_none());
        let second = follow(&links.older.unwrap());
        assert_eq!(second.cursor, Some(cursor(2)));
        let links = second.pager("/l", &filters, Some(&cursor(3))).unwrap();
        assert_eq!((links.newest, links.newer.as_deref()), (None, Some("/l?role=A+B")));
        let third = follow(&links.older.unwrap());
        let links = third.pager("/l", &filters, Some(&cursor(4))).unwrap();
        let fourth = follow(&links.older.unwrap());
        let links = fourth.pager("/l", &filters, None).unwrap();
        assert!(links.older.is_none());
        let third = follow(&links.newer.unwrap());
        assert_eq!((third.cursor.as_ref(), &third.trail[..]), (Some(&cursor(3)), &[cursor(2)][..]));
        let links = third.pager("/l", &filters, None).unwrap();
        assert_eq!(follow(&links.newer.unwrap()).cursor, Some(cursor(2)));
        assert_eq!(links.newest.as_deref(), Some("/l?role=A+B"));
    }

    #[test]
    fn strange_addresses_lead_nowhere() {
        assert!(Place::read(Some("*"), None).is_err());
        assert!(Place::read(None, Some("l01")).is_err());
        assert!(Place::read(Some("l01"), Some("l01..l01")).is_err());
        assert!(Place::read(Some("l01"), Some(&vec!["l01"; 65].join("."))).is_err());
    }

    #[test]
    fn the_address_does_not_grow_for_ever() {
        let trail = vec!["l01"; LONGEST_TRAIL].join(".");
        let place = Place::read(Some("l02"), Some(&trail)).unwrap();
        let older = place.pager("/l", &[("", ""); 0], Some(&Cursor::new(b'l', &[4]))).unwrap().older.unwrap();
        assert_eq!(older.matches('.').count(), LONGEST_TRAIL - 1);
        assert_eq!(older.rsplit('.').next(), Some("l02"));
    }
}
