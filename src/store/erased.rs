//! People who were erased, and what still comes of them. Of each nothing is left but our id for them, which follows from
//! Clerk's and leads nowhere: enough to know a late event or token by, and to keep Clerk's id from coming back.

use std::borrow::Cow;

use memchr::memmem;
use redb::ReadableTable as _;
use redb::ReadableTableMetadata as _;

use super::error::Error;
use super::tables::{self, open};
use super::tx::Tx;
use super::{Ingested, Store};
use crate::audit::{Actor, Draft, Source};
use crate::clock::Timestamp;
use crate::event::{Change, DeliveryId, Event, Outcome};
use crate::json::Object;
use crate::user::{ClerkId, UserId};

/// What stands where somebody erased was named.
pub(super) const BLANK: &str = "[erased]";

/// How Clerk's ids of users begin.
const PREFIX: &str = "user_";

impl Store {
    /// Since when somebody counts as deleted who was erased; `None` for everybody else.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn erased_at(&self, id: &ClerkId) -> Result<Option<Timestamp>, Error> {
        self.read(|txn| {
            let at = open(txn, tables::erased())?.get(UserId::of(id).as_u128())?;
            Ok(at.map(|at| Timestamp::from_millis(at.value())))
        })
    }
}

impl Tx<'_> {
    /// As [`Store::erased_at`].
    pub(super) fn erased_at(&self, id: &ClerkId) -> Result<Option<Timestamp>, Error> {
        let at = self.tables.erased.get(UserId::of(id).as_u128())?;
        Ok(at.map(|at| Timestamp::from_millis(at.value())))
    }

    /// Whether the event is about somebody who was erased.
    pub(super) fn is_about_erased(&self, event: &Event) -> Result<bool, Error> {
        match &event.subject {
            Some(id) => Ok(self.erased_at(id)?.is_some()),
            None => Ok(false),
        }
    }

    /// Notes that an event came about somebody who was erased, and nothing else of it.
    pub(super) fn pass_over(&mut self, id: &DeliveryId, event: &Event, now: Timestamp) -> Result<Ingested, Error> {
        let outcome = Outcome::Stale;
        let mut draft = Draft::new(event.action(), Actor::Clerk, Source::Webhook).ended(outcome.as_str(), "erased");
        draft.event_at = Some(event.at);
        draft.request = Some(id.to_string());
        let seq = self.append(&draft, now)?;
        Ok(Ingested { outcome, seq })
    }

    /// The event, with the ids of erased people blanked wherever its content names them.
    pub(super) fn without_erased<'e>(&self, event: &'e Event) -> Result<Cow<'e, Event>, Error> {
        // Mostly nobody was ever erased, and then there is nothing to look for.
        if self.tables.erased.is_empty()? {
            return Ok(Cow::Borrowed(event));
        }
        let data = content(&event.change);
        let data = self.blanked(data.as_str())?;
        let more = if event.more.is_empty() {
            None
        } else {
            self.blanked(&serde_json::to_string(&event.more).unwrap_or_default())?
        };
        if data.is_none() && more.is_none() {
            return Ok(Cow::Borrowed(event));
        }
        let corrupt = |_| Error::Corrupt("an event");
        let mut event = event.clone();
        if let Some(data) = data {
            *content_mut(&mut event.change) = Object::new(serde_json::from_str(&data).map_err(corrupt)?);
        }
        if let Some(more) = more {
            event.more = serde_json::from_str(&more).map_err(corrupt)?;
        }
        Ok(Cow::Owned(event))
    }

    /// The text with the ids of erased people blanked; `None` when it names none. JSON stays JSON: an id has no
    /// character with a meaning there.
    pub(super) fn blanked(&self, text: &str) -> Result<Option<String>, Error> {
        if self.tables.erased.is_empty()? {
            return Ok(None);
        }
        let mut blanked: Option<String> = None;
        let mut kept = 0;
        for at in memmem::find_iter(text.as_bytes(), PREFIX) {
            let length = text[at..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len() - at);
            let Ok(id) = text[at..at + length].parse::<ClerkId>() else { continue };
            if at >= kept && self.erased_at(&id)?.is_some() {
                let blanked = blanked.get_or_insert_default();
                blanked.push_str(&text[kept..at]);
                blanked.push_str(BLANK);
                kept = at + length;
            }
        }
        Ok(blanked.map(|blanked| blanked + &text[kept..]))
    }
}

fn content(change: &Change) -> &Object {
    match change {
        Change::UserSaved { clerk: data, .. }
        | Change::ObjectSaved { body: data, .. }
        | Change::UserDeleted { note: data, .. }
        | Change::ObjectDeleted { note: data, .. }
        | Change::Recorded { note: data } => data,
    }
}

fn content_mut(change: &mut Change) -> &mut Object {
    match change {
        Change::UserSaved { clerk: data, .. }
        | Change::ObjectSaved { body: data, .. }
        | Change::UserDeleted { note: data, .. }
        | Change::ObjectDeleted { note: data, .. }
        | Change::Recorded { note: data } => data,
    }
}
