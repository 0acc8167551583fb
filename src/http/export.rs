//! Entries of the log on their way out, for whoever takes all that fit: over the socket, or by the admin page. First the
//! log says that they leave.

use std::ops::Range;

use super::audit;
use crate::audit::{Actor, Draft, Filter};
use crate::export::entries::{self, Format};
use crate::notary::Notary;
use crate::store::{self, Store};

/// An export under way. It is read a stretch at a time, each in a transaction of its own.
#[derive(Debug)]
pub struct AuditExport {
    store: Store,
    filter: Filter,
    format: Format,
    /// What the log is called.
    log: String,
    places: Range<u64>,
    /// Where to go on; `None` once all of it was read.
    at: Option<u64>,
    count: u64,
}

impl AuditExport {
    /// Notes in the log, by this `entry`, that what fits leaves in that form. The export goes up to that note.
    ///
    /// # Errors
    /// When the store cannot be read, or takes no entry: then nothing leaves.
    pub async fn begin(
        store: &Store,
        notary: &Notary,
        filter: Filter,
        format: Format,
        entry: Draft,
    ) -> Result<Self, store::Error> {
        store.record(described(entry.with("format", Some(format.as_str())), &filter)).await?;
        let places = store.places(&filter).await?;
        let log = match notary.verifiers().first() {
            Some(key) => key.name().to_owned(),
            None => store.path().file_name().unwrap_or_default().to_string_lossy().into_owned(),
        };
        Ok(Self { store: store.clone(), filter, format, log, at: Some(places.start), places, count: 0 })
    }

    /// What comes before the first entry.
    #[must_use]
    pub fn head(&self) -> Vec<u8> {
        entries::head(self.format)
    }

    /// The next of it, oldest first; may be nothing although more follows. `None` when that was all.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, store::Error> {
        let Some(at) = self.at else { return Ok(None) };
        let stretch = self.store.walk_entries(self.filter.clone(), at..self.places.end).await?;
        self.at = stretch.next;
        self.count += stretch.items.len() as u64;
        let (format, items, log) = (self.format, stretch.items, self.log.clone());
        // Work that would keep others waiting.
        let rows = tokio::task::spawn_blocking(move || entries::rows(format, &items, &log, audit::entry)).await;
        rows.map(Some).map_err(|_| store::Error::Panicked)
    }

    /// How many of the entries in question were looked at, and how many those are.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        let total = self.places.end - self.places.start;
        (self.at.map_or(total, |at| at - self.places.start), total)
    }

    /// How many entries there were so far.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }
}

/// The entry with what was asked for. It names people only by their references.
pub(super) fn described(mut entry: Draft, filter: &Filter) -> Draft {
    let actor = filter.actor.as_ref().map(|actor| actor.word().unwrap_or_else(|| "user".to_owned()));
    entry = entry
        .with("action", filter.action.clone().map(String::from))
        .with("actor", actor)
        .with("without_looks", filter.without_looks.then_some(true))
        .with("address", filter.address.map(|address| address.to_string()))
        .with("from", filter.from.map(|at| at.to_string()))
        .with("to", filter.to.map(|at| at.to_string()));
    if let Some(Actor::User(id)) = &filter.actor {
        entry.members.push(id.clone());
    }
    match &filter.subject {
        Some(subject) => entry.about(subject),
        None => entry,
    }
}
