//! What came in, by the hour ([`crate::traffic`]). What became of a delivery is counted in the transaction that takes it;
//! what belongs to no transaction is counted elsewhere and added now and then.

use std::ops::Range;

use redb::ReadableTable as _;

use super::Store;
use super::error::Error;
use super::tables::{self, open};
use super::tx::Tx;
use crate::clock::Timestamp;
use crate::traffic::{Hour, hour_of};

/// For how many hours the numbers are kept: 400 days, so that a month can be laid beside that of the year before.
const KEPT: u64 = 400 * 24;

/// So many of the oldest hours go at most when a new one begins. More than one, so that what piled up comes to an end;
/// few, so that a clock that is years ahead for a while takes little with it.
const DROPPED_AT_ONCE: usize = 4;

/// The hour that the writer counts in, once it does.
#[derive(Debug, Clone, Default)]
pub(super) struct Current {
    hour: Option<Hour>,
    /// Whether something was counted that the file does not have yet.
    changed: bool,
    /// Whether it takes in how many users there are now: not so one that was over, to which something is added.
    live: bool,
}

impl Store {
    /// The hours in that range in which anything happened ([`hour_of`]), in their order.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn hours(&self, range: Range<u64>) -> Result<Vec<Hour>, Error> {
        self.scan(move |txn| {
            let rows = open(txn, tables::hours())?.range(range)?;
            rows.map(|row| row.map_err(Error::from).and_then(|(hour, row)| decode(hour.value(), row.value()))).collect()
        })
        .await
    }

    /// Adds what came in these hours and was counted elsewhere. This is not the log, and is written also while that is in
    /// doubt.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn count(&self, hours: Vec<Hour>) -> Result<(), Error> {
        self.write_beside(None, move |tx| {
            for counted in &hours {
                tx.hour_to_count_in(counted.hour)?.count(counted);
            }
            Ok(())
        })
        .await
    }
}

impl Tx<'_> {
    /// The hour it is, to count in.
    pub(super) fn hour(&mut self, now: Timestamp) -> Result<&mut Hour, Error> {
        self.note_hour(now)?;
        self.hour_to_count_in(hour_of(now))
    }

    /// Sees to it that the hour has its row, with how many users there are in the end.
    pub(super) fn note_hour(&mut self, now: Timestamp) -> Result<(), Error> {
        self.turn_to(hour_of(now))?;
        self.state.hour.live = true;
        Ok(())
    }

    /// Writes down the hour that was counted in, if it is other than it was.
    pub(super) fn put_hour(&mut self) -> Result<(), Error> {
        let Current { hour: Some(hour), changed, live } = &mut self.state.hour else { return Ok(()) };
        let users = (self.state.stats.users, self.state.stats.deleted);
        if *live && (hour.users, hour.deleted) != users {
            (hour.users, hour.deleted) = users;
            *changed = true;
        }
        if std::mem::take(changed) {
            self.tables.hours.insert(hour.hour, &serde_json::to_vec(hour).unwrap_or_default()[..])?;
        }
        Ok(())
    }

    fn hour_to_count_in(&mut self, number: u64) -> Result<&mut Hour, Error> {
        self.turn_to(number)?;
        let current = &mut self.state.hour;
        current.changed = true;
        Ok(current.hour.get_or_insert_with(|| Hour::new(number)))
    }

    fn turn_to(&mut self, number: u64) -> Result<(), Error> {
        if self.state.hour.hour.as_ref().is_some_and(|hour| hour.hour == number) {
            return Ok(());
        }
        self.put_hour()?;
        // Numbers that cannot be read are no reason to turn a delivery away: they begin anew.
        let kept = self.tables.hours.get(number)?.and_then(|row| decode(number, row.value()).ok());
        let is_new = kept.is_none();
        if is_new {
            self.drop_oldest(number.saturating_sub(KEPT))?;
        }
        let hour = kept.unwrap_or_else(|| Hour::new(number));
        self.state.hour = Current { hour: Some(hour), changed: is_new, live: is_new };
        Ok(())
    }

    fn drop_oldest(&mut self, before: u64) -> Result<(), Error> {
        let old = self.tables.hours.range(..before)?.take(DROPPED_AT_ONCE);
        let old: Vec<u64> = old.map(|row| row.map(|(hour, _)| hour.value())).collect::<Result<_, _>>()?;
        for hour in old {
            self.tables.hours.remove(hour)?;
        }
        Ok(())
    }
}

fn decode(hour: u64, row: &[u8]) -> Result<Hour, Error> {
    let counted: Hour = serde_json::from_slice(row).map_err(|_| Error::Corrupt("an hour's numbers"))?;
    Ok(Hour { hour, ..counted })
}
