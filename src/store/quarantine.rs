//! The quarantine: deliveries with a good signature that could not be applied, and the two ways out of it. Whatever is done
//! with one, its log entry and its mark stay: the message is never taken a second time.

use std::ops::{Bound, Range};

use redb::ReadableTable as _;
use serde::{Deserialize, Serialize};

use super::error::Error;
use super::tables::{self, open};
use super::tx::Tx;
use super::users::Listing;
use super::{By, Ingested, Store};
use crate::audit::{Actor, Draft, Source};
use crate::clock::Timestamp;
use crate::event::{Delivery, DeliveryId, Event, Outcome, Reason, Unusable};
use crate::page::{Cursor, Page, PageRequest};
use crate::sync::Policy;
use crate::traffic::Outcomes;

const LIST: u8 = b'q';

/// So many deliveries are tried again in one transaction at most, and no more once they have so many bytes: those who
/// wait for the writer should not notice.
const AT_ONCE: usize = 100;
const BYTES_AT_ONCE: usize = 1 << 20;

/// A delivery that could not be applied, as the admin sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Quarantined {
    /// The log entry it left.
    #[serde(skip)]
    pub seq: u64,
    /// The message id.
    pub delivery: DeliveryId,
    /// When it came.
    pub received_at: Timestamp,
    /// The event's type, if it could be read.
    pub kind: Option<String>,
    /// Why it could not be applied.
    pub reason: Reason,
    /// The body, less secrets.
    pub body: String,
}

/// What came of deliveries that were tried again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reprocessed {
    /// How many were applied, and so on; those under `quarantined` are still there.
    pub outcomes: Outcomes,
    /// The entry from which on they were not tried yet; `None` when all were.
    pub next: Option<u64>,
}

impl Store {
    /// A page of the deliveries in quarantine, newest first.
    ///
    /// # Errors
    /// When the file cannot be read, or the cursor is another list's.
    pub async fn quarantine(&self, page: PageRequest) -> Result<Page<Quarantined>, Error> {
        self.scan(move |txn| {
            let before = match &page.cursor {
                Some(cursor) => u64::from_be_bytes(cursor.key(LIST)?.try_into().map_err(|_| Error::BadCursor)?),
                None => u64::MAX,
            };
            let mut list = Listing::new(&page);
            for row in open(txn, tables::quarantine())?.range(..before)?.rev() {
                let (seq, row) = row?;
                let item = decode(seq.value(), row.value())?;
                if list.take(Some(item), || Cursor::new(LIST, &seq.value().to_be_bytes())) {
                    break;
                }
            }
            Ok(list.page())
        })
        .await
    }

    /// The delivery in quarantine that left this log entry.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn quarantined(&self, seq: u64) -> Result<Option<Quarantined>, Error> {
        self.read(|txn| {
            let row = open(txn, tables::quarantine())?.get(seq)?;
            row.map(|row| decode(seq, row.value())).transpose()
        })
    }

    /// Tries the first of the deliveries that left entries in that range once more: `read` makes out what they say. What
    /// can be applied now is, as if it came now, and leaves the quarantine; the rest stays, with the reason of today. In
    /// one transaction; where there are more, it says where to go on.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn reprocess<F>(&self, range: Range<u64>, read: F, by: By) -> Result<Reprocessed, Error>
    where
        F: Fn(&Quarantined) -> Result<Event, Unusable> + Send + 'static,
    {
        let (now, policy) = (self.now(), self.0.policy.clone());
        self.write(move |tx| {
            let (items, next) = tx.quarantined(range.clone())?;
            let mut done = Reprocessed { next, ..Reprocessed::default() };
            for item in items {
                let delivery = Delivery { content: read(&item), id: item.delivery.clone() };
                done.outcomes.note(tx.reprocess(item, &delivery, &by, now, &policy)?, false);
            }
            Ok(done)
        })
        .await
    }

    /// Takes a delivery out of quarantine unapplied; says whether it was there. Its entry in the log stays.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn discard(&self, seq: u64, by: By) -> Result<bool, Error> {
        let now = self.now();
        self.write(move |tx| {
            let Some(item) = tx.tables.quarantine.remove(seq)?.map(|row| decode(seq, row.value())).transpose()? else {
                return Ok(false);
            };
            tx.state.stats.quarantined = tx.state.stats.quarantined.saturating_sub(1);
            let mut entry = by.entry("quarantine.discarded");
            entry.request = Some(item.delivery.to_string());
            tx.append(&entry, now)?;
            Ok(true)
        })
        .await
    }
}

impl Tx<'_> {
    /// Keeps a delivery that cannot be applied.
    pub(super) fn set_aside(
        &mut self,
        id: &DeliveryId,
        unusable: &Unusable,
        now: Timestamp,
    ) -> Result<Ingested, Error> {
        let outcome = Outcome::Quarantined;
        let mut draft = Draft::new("webhook.quarantined", Actor::Clerk, Source::Webhook)
            .ended(outcome.as_str(), unusable.reason.as_str())
            .with("type", unusable.kind.clone());
        draft.request = Some(id.to_string());
        let seq = self.append(&draft, now)?;
        self.put_quarantined(&Quarantined {
            seq,
            delivery: id.clone(),
            received_at: now,
            kind: unusable.kind.clone(),
            reason: unusable.reason,
            body: self.blanked(&unusable.body)?.unwrap_or_else(|| unusable.body.clone()),
        })?;
        self.state.stats.quarantined += 1;
        Ok(Ingested { outcome, seq })
    }

    fn put_quarantined(&mut self, item: &Quarantined) -> Result<(), Error> {
        self.tables.quarantine.insert(item.seq, &serde_json::to_vec(item).unwrap_or_default()[..])?;
        Ok(())
    }

    /// The first of the deliveries in that range, and where the next one is.
    fn quarantined(&self, range: Range<u64>) -> Result<(Vec<Quarantined>, Option<u64>), Error> {
        let (mut items, mut bytes) = (Vec::new(), 0);
        for row in self.tables.quarantine.range::<u64>((Bound::Included(range.start), Bound::Excluded(range.end)))? {
            let (seq, row) = row?;
            if items.len() == AT_ONCE || bytes >= BYTES_AT_ONCE {
                return Ok((items, Some(seq.value())));
            }
            bytes += row.value().len();
            items.push(decode(seq.value(), row.value())?);
        }
        Ok((items, None))
    }

    fn reprocess(
        &mut self,
        item: Quarantined,
        delivery: &Delivery,
        by: &By,
        now: Timestamp,
        policy: &Policy,
    ) -> Result<Outcome, Error> {
        let mut entry = by.entry("quarantine.reprocessed");
        entry.request = Some(delivery.id.to_string());
        let outcome = match self.attempt(delivery, now, policy)? {
            Ok(ingested) => {
                self.tables.quarantine.remove(item.seq)?;
                self.state.stats.quarantined = self.state.stats.quarantined.saturating_sub(1);
                ingested.outcome
            }
            Err(unusable) => {
                entry.reason = Some(unusable.reason.as_str());
                self.put_quarantined(&Quarantined { reason: unusable.reason, kind: unusable.kind, ..item })?;
                Outcome::Quarantined
            }
        };
        entry.outcome = outcome.as_str();
        self.append(&entry, now)?;
        Ok(outcome)
    }
}

fn decode(seq: u64, row: &[u8]) -> Result<Quarantined, Error> {
    let item: Quarantined = serde_json::from_slice(row).map_err(|_| Error::Corrupt("a quarantined delivery"))?;
    Ok(Quarantined { seq, ..item })
}
