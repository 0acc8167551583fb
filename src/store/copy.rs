//! Every live row of one database into another, which ends up as small as it can be.

use std::ops::Bound;

use redb::{Database, ReadTransaction, ReadableTable as _, TableDefinition, WriteTransaction};

use super::error::Error;
use super::tables::{self, open};

/// So many bytes of rows go into one transaction: enough that syncs do not count, few enough to be held in memory.
const CHUNK: usize = 64 * 1024 * 1024;

/// After so many rows it is said how far the copy is: few enough that the listener can give way to others.
const STEP: u64 = 128;

/// Hears how much is copied, of how much, and says whether to go on: rows here, bytes where those are what is copied.
pub(super) type Listener<'a> = &'a mut dyn FnMut(u64, u64) -> bool;

/// Why there is no copy.
#[derive(Debug)]
pub(super) enum Fault {
    /// What is copied cannot be read.
    Source(Error),
    /// The copy cannot be written.
    Target(Error),
    /// The listener wants no more of it.
    Stopped,
}

fn source(error: impl Into<Error>) -> Fault {
    Fault::Source(error.into())
}

fn target(error: impl Into<Error>) -> Fault {
    Fault::Target(error.into())
}

/// Copies every row of every table into `to`, which is empty, and brings it to the disk.
pub(super) fn copy(from: &ReadTransaction, to: &Database, listener: Listener<'_>) -> Result<(), Fault> {
    let total = tables::count(from).map_err(Fault::Source)?.iter().map(|(_, rows)| rows).sum();
    let mut copier = Copier { from, to, txn: None, bytes: 0, done: 0, total, listener };
    tables::each(&mut copier)?;
    copier.commit(true)?;
    copier.report()
}

struct Copier<'a> {
    from: &'a ReadTransaction,
    to: &'a Database,
    /// The transaction under way.
    txn: Option<WriteTransaction>,
    /// How many bytes of rows are in it.
    bytes: usize,
    done: u64,
    total: u64,
    listener: Listener<'a>,
}

impl tables::Visit for Copier<'_> {
    type Error = Fault;

    fn visit<K: redb::Key + 'static, V: redb::Value + 'static>(
        &mut self,
        definition: TableDefinition<'static, K, V>,
    ) -> Result<(), Fault> {
        let table = open(self.from, definition).map_err(source)?;
        let mut rows = table.iter().map_err(source)?;
        loop {
            let txn = match self.txn.take() {
                Some(txn) => txn,
                None => self.to.begin_write().map_err(target)?,
            };
            let ended = {
                let mut copy = txn.open_table(definition).map_err(target)?;
                let mut end = copy.upper_bound_mut(Bound::<K::SelfType<'_>>::Unbounded).map_err(target)?;
                let ended = loop {
                    let Some(row) = rows.next() else { break true };
                    let (key, value) = row.map_err(source)?;
                    let (key, value) = (key.value(), value.value());
                    self.bytes += K::as_bytes(&key).as_ref().len() + V::as_bytes(&value).as_ref().len();
                    end.insert_before(&key, &value).map_err(target)?;
                    self.done += 1;
                    if self.done.is_multiple_of(STEP) {
                        self.report()?;
                    }
                    if self.bytes >= CHUNK {
                        break false;
                    }
                };
                end.close().map_err(target)?;
                ended
            };
            self.txn = Some(txn);
            if ended {
                return Ok(());
            }
            self.commit(false)?;
            self.report()?;
        }
    }
}

impl Copier<'_> {
    fn report(&mut self) -> Result<(), Fault> {
        if (self.listener)(self.done, self.total) { Ok(()) } else { Err(Fault::Stopped) }
    }

    /// Commits what is under way; the last time so that the copy opens without a repair.
    fn commit(&mut self, last: bool) -> Result<(), Fault> {
        self.bytes = 0;
        let Some(mut txn) = self.txn.take() else { return Ok(()) };
        txn.set_two_phase_commit(last);
        txn.set_quick_repair(last);
        txn.commit().map_err(target)
    }
}
