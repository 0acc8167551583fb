//! What happened to a person and what they did, without those who only looked.

use crate::audit::{Entry, Filter, is_look};
use crate::http::admin::entry::{Row, Rows};
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::page::PageRequest;
use crate::user::ClerkId;

/// So many entries are shown.
const MOST: usize = 20;

/// So many pages of the log are looked through for them.
const PAGES: usize = 4;

/// The newest entries about a person.
#[derive(Debug)]
pub(super) struct Timeline {
    pub(super) rows: Vec<Row>,
    /// How often somebody looked at the person meanwhile. A page that is kept open would drown everything else.
    pub(super) looks: usize,
    /// Whether there are older ones.
    pub(super) more: bool,
}

impl Timeline {
    /// Reads it.
    ///
    /// # Errors
    /// 503 when the file cannot be read.
    pub(super) async fn read(call: &Call, person: &ClerkId) -> Result<Self, Problem> {
        let about = Filter { subject: Some(person.clone()), ..Filter::default() };
        let (mut entries, mut looks, mut more) = (Vec::new(), 0, true);
        let mut request = PageRequest::default();
        for _ in 0..PAGES {
            let page = call.app.store.audit(about.clone(), request.clone()).await?;
            let (looked, told): (Vec<Entry>, Vec<Entry>) =
                page.items.into_iter().partition(|entry| is_look(&entry.leaf.action));
            looks += looked.len();
            entries.extend(told);
            more = page.next_cursor.is_some();
            if entries.len() > MOST || !more {
                break;
            }
            request.cursor = page.next_cursor;
        }
        more |= entries.len() > MOST;
        entries.truncate(MOST);
        let rows = Rows::new(&call.app.store, call.app.clock.now()).about(person).of(entries)?;
        Ok(Self { rows, looks, more })
    }

    /// Whether the log tells nothing at all.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.looks == 0 && !self.more
    }
}
