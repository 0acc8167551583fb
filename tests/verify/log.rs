//! A log of some hundred entries, and hands that change its file behind its back.

use std::borrow::Borrow;
use std::fs;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use redb::{Database, ReadableTable as _, TableDefinition, WriteTransaction};
use rollbook::audit::{Actor, Draft, Source};
use rollbook::clock::{Clock, Timestamp};
use rollbook::notary::Notary;
use rollbook::store::{AtRest, Store};
use rollbook::sync::Policy;
use rollbook::user::ClerkId;
use rollbook::verify::{self, Pace, Report, Terms};
use serde_json::Value;
use tempfile::TempDir;

/// When these logs begin, in milliseconds.
pub(crate) const T: i64 = 1_750_000_000_000;

pub(crate) const LEAVES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit_leaf-1");
pub(crate) const DETAILS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit_detail-1");
pub(crate) const TILES: TableDefinition<'_, (u8, u64), &[u8]> = TableDefinition::new("audit_tile-1");
pub(crate) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("audit_meta-1");
pub(crate) const CHECKPOINTS: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("audit_checkpoint-1");
pub(crate) const SUBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("subjects-1");
pub(crate) const REFS: TableDefinition<'_, &str, &str> = TableDefinition::new("subject_refs-1");
pub(crate) const BY_ACTION: TableDefinition<'_, (&str, u64), ()> = TableDefinition::new("audit_by_action-1");
pub(crate) const BY_SUBJECT: TableDefinition<'_, (u64, u64), ()> = TableDefinition::new("audit_by_subject-1");
pub(crate) const BY_FACET: TableDefinition<'_, (&str, u64), ()> = TableDefinition::new("audit_by_facet-1");

/// A data file with its key and its mark, in a folder of its own.
pub(crate) struct Log {
    pub(crate) dir: TempDir,
}

/// What a command said and how it ended.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn person(n: u64) -> ClerkId {
    format!("user_{n:027}").parse().unwrap()
}

/// The n-th entry: about a person and by another, with a detail.
pub(crate) fn entry(n: u64) -> Draft {
    let mut entry = Draft::new("user.read", Actor::User(person(n % 7)), Source::Api)
        .about(&person(n % 31))
        .with("ip", Some("192.0.2.1"))
        .with("n", Some(n));
    entry.request = Some(format!("req_{n}"));
    entry
}

impl Log {
    /// A log of so many entries, a checkpoint signed after each hundred and at the end.
    pub(crate) async fn of(entries: u64) -> Self {
        let log = Self { dir: tempfile::tempdir().unwrap() };
        log.grow_to(entries).await;
        log
    }

    /// Goes on with it.
    pub(crate) async fn grow_to(&self, entries: u64) {
        let clock = Clock::fixed(Timestamp::from_millis(T));
        let store = Store::open(&self.data(), 1 << 20, Policy::default(), clock.clone()).unwrap();
        let notary = Notary::open(store.clone(), clock.clone(), "log.example.com").await.unwrap();
        while store.counts().entries < entries {
            let n = store.counts().entries;
            clock.set(clock.now().plus_millis(10));
            store.record(entry(n)).await.unwrap();
            if (n + 1).is_multiple_of(100) {
                notary.publish().await.unwrap();
            }
        }
        notary.publish().await.unwrap();
        drop(notary);
        store.close().await;
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("rollbook.redb")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The log's folder as it is now, elsewhere.
    pub(crate) fn copy(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(self.dir.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
            }
        }
        Self { dir }
    }

    /// Changes the file by hand.
    pub(crate) fn change(&self, change: impl FnOnce(&WriteTransaction)) {
        let db = Database::open(self.data()).unwrap();
        let txn = db.begin_write().unwrap();
        change(&txn);
        txn.commit().unwrap();
    }

    /// Looks into the file by hand.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&WriteTransaction) -> T) -> T {
        let db = Database::open(self.data()).unwrap();
        read(&db.begin_write().unwrap())
    }

    /// The verifier key it is signed under.
    pub(crate) fn vkey(&self) -> String {
        let identity = self.read(|txn| row(txn, META, "identity"));
        serde_json::from_slice::<Value>(&identity).unwrap()["vkey"].as_str().unwrap().to_owned()
    }

    /// All its leaves, with their places.
    pub(crate) fn leaves(&self) -> Vec<(u64, Value)> {
        let leaf = |(seq, leaf): (u64, Vec<u8>)| (seq, serde_json::from_slice(&leaf).unwrap());
        self.read(|txn| {
            let table = txn.open_table(LEAVES).unwrap();
            let rows = table.iter().unwrap().map(|row| row.unwrap());
            rows.map(|(seq, row)| leaf((seq.value(), row.value().to_vec()))).collect()
        })
    }

    /// What the library says of the file.
    pub(crate) fn verified(&self) -> Report {
        let file = AtRest::open(&self.data(), 1 << 20).unwrap();
        verify::file(&file, &Terms::default(), Pace::full(), &mut |_, _| ControlFlow::Continue(())).unwrap()
    }

    /// `rollbook` with these arguments, in the log's folder, the data file its own.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollbook"));
        command.args(arguments).env_clear().env("ROLLBOOK_DATA", self.data()).current_dir(self.dir.path());
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Said {
    /// What was shown of a log that is whole.
    pub(crate) fn whole(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{}", self.out);
        assert!(self.out.lines().last().unwrap().starts_with("OK: "), "{}", self.out);
        assert!(!self.out.contains("FOUND"), "{}", self.out);
        self.out
    }

    /// The findings about one that is not.
    pub(crate) fn tampered(self) -> Vec<String> {
        assert_eq!(self.code, Some(1), "{}{}", self.out, self.err);
        let found: Vec<String> =
            self.out.lines().filter_map(|line| line.strip_prefix("FOUND     ")).map(str::to_owned).collect();
        let last = self.out.lines().last().unwrap();
        assert!(last.starts_with("TAMPERED: ") && !found.is_empty(), "{}", self.out);
        found
    }
}

/// Flips the lowest bit of one byte of a row.
pub(crate) fn flip<'k, K: redb::Key>(
    txn: &WriteTransaction,
    table: TableDefinition<'static, K, &'static [u8]>,
    key: impl Borrow<K::SelfType<'k>> + Copy,
    byte: usize,
) {
    let mut table = txn.open_table(table).unwrap();
    let mut row = table.get(key).unwrap().unwrap().value().to_vec();
    row[byte] ^= 1;
    table.insert(key, &row[..]).unwrap();
}

pub(crate) fn row<'k, K: redb::Key>(
    txn: &WriteTransaction,
    table: TableDefinition<'static, K, &'static [u8]>,
    key: impl Borrow<K::SelfType<'k>> + Copy,
) -> Vec<u8> {
    txn.open_table(table).unwrap().get(key).unwrap().unwrap().value().to_vec()
}

pub(crate) fn put<'k, K: redb::Key>(
    txn: &WriteTransaction,
    table: TableDefinition<'static, K, &'static [u8]>,
    key: impl Borrow<K::SelfType<'k>> + Copy,
    row: &[u8],
) {
    txn.open_table(table).unwrap().insert(key, row).unwrap();
}

pub(crate) fn remove<'k, K: redb::Key, V: redb::Value>(
    txn: &WriteTransaction,
    table: TableDefinition<'static, K, V>,
    key: impl Borrow<K::SelfType<'k>> + Copy,
) {
    assert!(txn.open_table(table).unwrap().remove(key).unwrap().is_some());
}
