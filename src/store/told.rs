//! Waiting for the log, in tests of what writes to it in its own time.
#![allow(clippy::unwrap_used)]

use super::Store;
use crate::audit::{Entry, Filter};
use crate::page::PageRequest;

impl Store {
    /// Returns once the log has so many entries of that action, newest first.
    pub(crate) async fn told(&self, action: &str, many: usize) -> Vec<Entry> {
        let mut size = self.size();
        loop {
            size.borrow_and_update();
            let filter = Filter { action: action.parse().ok(), ..Filter::default() };
            let found = self.audit(filter, PageRequest::default()).await.unwrap().items;
            if found.len() >= many {
                return found;
            }
            size.changed().await.unwrap();
        }
    }
}
