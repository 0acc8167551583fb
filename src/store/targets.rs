//! The services that are told of what happens: which there are, and how far each has come. What their messages are
//! signed with is not in the data file.

use redb::{ReadTransaction, ReadableDatabase as _, ReadableTable as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::book::Book;
use super::error::Error;
use super::tables::{self, open};
use super::{AtRest, Store};
use crate::audit::Draft;
use crate::clock::Timestamp;
use crate::target::{Course, Target, TargetName};

impl Store {
    /// Every target that was added here, by name. The one of the settings is none of them.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn targets(&self) -> Result<Vec<Target>, Error> {
        let mut targets: Vec<Target> = self.scan(every).await?;
        targets.retain(|target| target.name != TargetName::of_settings());
        Ok(targets)
    }

    /// The target of the settings, as it was at the last start.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn target_of_settings(&self) -> Result<Option<Target>, Error> {
        self.read(|txn| {
            let name = TargetName::of_settings();
            open(txn, tables::targets())?.get(name.as_str())?.map(|row| decode(row.value())).transpose()
        })
    }

    /// How far the target of that name has come; `None` when none of that name was ever begun with.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn course(&self, name: &TargetName) -> Result<Option<Course>, Error> {
        self.read(|txn| course(txn, name))
    }

    /// Adds a target, which is to be told what comes behind its course's place. Says whether there was none of that name.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn add_target(&self, target: Target, course: Course, entry: Draft) -> Result<bool, Error> {
        let now = self.now();
        self.write(move |tx| {
            let name = target.name.as_str();
            if tx.tables.targets.get(name)?.is_some() {
                return Ok(false);
            }
            tx.tables.targets.insert(name, &encode(&target)[..])?;
            tx.tables.target_courses.insert(name, &encode(&course)[..])?;
            tx.append(&entry, now)?;
            Ok(true)
        })
        .await
    }

    /// Puts a target in the place of the one of the same name, if there is one, with how far it has come.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn put_target(&self, target: Target, course: Course, entry: Draft) -> Result<(), Error> {
        let now = self.now();
        self.write(move |tx| {
            let name = target.name.as_str();
            tx.tables.targets.insert(name, &encode(&target)[..])?;
            tx.tables.target_courses.insert(name, &encode(&course)[..])?;
            tx.append(&entry, now)?;
            Ok(())
        })
        .await
    }

    /// Removes a target and its course. Says whether there was one.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn remove_target(&self, name: TargetName, entry: Draft) -> Result<bool, Error> {
        let now = self.now();
        self.write(move |tx| {
            if tx.tables.targets.remove(name.as_str())?.is_none() {
                return Ok(false);
            }
            tx.tables.target_courses.remove(name.as_str())?;
            tx.append(&entry, now)?;
            Ok(true)
        })
        .await
    }

    /// Writes down how far a target has come, with the entry that says why if it is more than a step on its way. It is
    /// done also while the log is in doubt.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn put_course(&self, name: TargetName, course: Course, entry: Option<Draft>) -> Result<(), Error> {
        self.write_beside(entry, move |tx| {
            tx.tables.target_courses.insert(name.as_str(), &encode(&course)[..])?;
            Ok(())
        })
        .await
    }

    /// The place of the first entry that is kept and was written at `at` or later; of the oldest kept without a time, of
    /// the next to come when all are older.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn place_at(&self, at: Option<Timestamp>) -> Result<u64, Error> {
        self.scan(move |txn| Book::open(txn)?.first_at(at)).await
    }
}

impl AtRest {
    /// The names of the targets that were added there, whose secrets are not in the file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn target_names(&self) -> Result<Vec<TargetName>, Error> {
        let names = every(&self.db().begin_read()?)?.into_iter().map(|target| target.name);
        Ok(names.filter(|name| *name != TargetName::of_settings()).collect())
    }
}

/// Every target of the file, by name.
pub(super) fn every(txn: &ReadTransaction) -> Result<Vec<Target>, Error> {
    open(txn, tables::targets())?.range::<&str>(..)?.map(|row| decode(row?.1.value())).collect()
}

pub(super) fn course(txn: &ReadTransaction, name: &TargetName) -> Result<Option<Course>, Error> {
    open(txn, tables::target_courses())?.get(name.as_str())?.map(|row| decode(row.value())).transpose()
}

fn encode(row: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(row).unwrap_or_default()
}

fn decode<T: DeserializeOwned>(row: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(row).map_err(|_| Error::Corrupt("a target's row"))
}
