//! Whatever byte is changed in what a data file holds of a log, it is found.

use std::ops::ControlFlow;
use std::path::Path;

use redb::{Database, ReadableTable as _, WriteTransaction};
use rollbook::clock::{Clock, Timestamp};
use rollbook::store::Store;
use rollbook::sync::Policy;
use rollbook::verify::{self, Pace, Terms};

use crate::disk::{Disk, Survival};
use crate::log::*;

/// A row of the file.
#[derive(Debug, Clone)]
enum Row {
    Leaf(u64),
    Detail(u64),
    Tile(u8, u64),
    Meta(&'static str),
    Checkpoint(u64, u64),
    Person(String),
}

impl Row {
    fn read(&self, txn: &WriteTransaction) -> Vec<u8> {
        match self {
            Self::Leaf(seq) => row(txn, LEAVES, *seq),
            Self::Detail(seq) => row(txn, DETAILS, *seq),
            Self::Tile(level, index) => row(txn, TILES, (*level, *index)),
            Self::Meta(name) => row(txn, META, *name),
            Self::Checkpoint(epoch, size) => row(txn, CHECKPOINTS, (*epoch, *size)),
            Self::Person(id) => row(txn, SUBJECTS, &**id),
        }
    }

    fn write(&self, txn: &WriteTransaction, bytes: &[u8]) {
        match self {
            Self::Leaf(seq) => put(txn, LEAVES, *seq, bytes),
            Self::Detail(seq) => put(txn, DETAILS, *seq, bytes),
            Self::Tile(level, index) => put(txn, TILES, (*level, *index), bytes),
            Self::Meta(name) => put(txn, META, *name, bytes),
            Self::Checkpoint(epoch, size) => put(txn, CHECKPOINTS, (*epoch, *size), bytes),
            Self::Person(id) => put(txn, SUBJECTS, &**id, bytes),
        }
    }

    /// When a checkpoint was signed is noted with it, and nobody vouches for that.
    const fn first(&self) -> usize {
        if matches!(self, Self::Checkpoint(..)) { 8 } else { 0 }
    }
}

fn rows(txn: &WriteTransaction) -> Vec<Row> {
    let mut rows = vec![Row::Meta("head"), Row::Meta("last_at")];
    rows.extend(txn.open_table(LEAVES).unwrap().iter().unwrap().map(|row| Row::Leaf(row.unwrap().0.value())));
    rows.extend(txn.open_table(DETAILS).unwrap().iter().unwrap().map(|row| Row::Detail(row.unwrap().0.value())));
    let tiles = txn.open_table(TILES).unwrap();
    rows.extend(tiles.iter().unwrap().map(|row| row.unwrap().0.value()).map(|(level, index)| Row::Tile(level, index)));
    let signed = txn.open_table(CHECKPOINTS).unwrap();
    rows.extend(signed.iter().unwrap().map(|row| row.unwrap().0.value()).map(|(e, size)| Row::Checkpoint(e, size)));
    let people = txn.open_table(SUBJECTS).unwrap();
    rows.extend(people.iter().unwrap().map(|row| Row::Person(row.unwrap().0.value().to_owned())));
    rows
}

fn open(disk: &Disk) -> (Store, Clock) {
    let clock = Clock::fixed(Timestamp::from_millis(T));
    let path = Path::new("/nowhere/rollbook.redb");
    (Store::with_backend(disk.clone(), path, 1 << 20, Policy::default(), clock.clone()).unwrap(), clock)
}

async fn is_whole(disk: &Disk) -> bool {
    let (store, _) = open(disk);
    let report = verify::store(&store, &Terms::default(), Pace::GENTLE, &mut |_, _| ControlFlow::Continue(()));
    store.close().await;
    report.unwrap().is_whole()
}

fn change(disk: &Disk, change: impl FnOnce(&WriteTransaction)) {
    let db = Database::builder().create_with_backend(disk.clone()).unwrap();
    let txn = db.begin_write().unwrap();
    change(&txn);
    txn.commit().unwrap();
}

#[tokio::test]
async fn every_byte_of_a_data_file_counts() {
    let log = Log::of(4).await;
    let disk = Disk::of(std::fs::read(log.data()).unwrap());
    assert!(is_whole(&disk.salvage(Survival::None)).await);
    let mut all = Vec::new();
    change(&disk, |txn| all = rows(txn));
    let mut flips = 0;
    for row in all {
        let mut whole = Vec::new();
        change(&disk, |txn| whole = row.read(txn));
        for byte in row.first()..whole.len() {
            let mut bytes = whole.clone();
            bytes[byte] ^= 1 << (byte % 8);
            let copy = disk.salvage(Survival::None);
            change(&copy, |txn| row.write(txn, &bytes));
            assert!(!is_whole(&copy).await, "{row:?}: byte {byte} can be changed");
            flips += 1;
        }
    }
    assert!(flips > 1500, "{flips}");
}
