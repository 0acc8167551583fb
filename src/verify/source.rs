//! What a log is read from: a data file or a directory.

use std::ops::Range;

use super::Error;
use super::report::Report;
use super::signed::Signed;
use crate::audit::{Leaf, Ranges};
use crate::clock::Timestamp;
use crate::merkle::Hash;
use crate::store::Mapping;

/// Why something cannot be read.
#[derive(Debug)]
pub(super) enum Fault {
    /// What is there is no log, or not one any more; a finding.
    Damaged(String),
    /// It could not be found out.
    Error(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// A log that is read step by step.
pub(super) trait Source {
    /// What it looks like at one moment.
    type View<'a>: View
    where
        Self: 'a;

    /// Finds out what the log says of itself, and who has signed what of it.
    fn begin(&mut self, signed: &mut Signed<'_>, report: &mut Report) -> Result<(), Fault>;

    /// The log as it is now, for reading the entries in that range, as far as it goes.
    fn view(&mut self, range: Range<u64>, report: &mut Report) -> Result<Self::View<'_>, Fault>;
}

/// A log at one moment. Several threads may read it.
pub(super) trait View: Sync {
    /// How many entries there are to be looked at.
    fn size(&self) -> u64;

    /// The root that is stated for that many entries.
    fn root(&self) -> Option<Hash>;

    /// The leaves in that range, each with its place. What cannot be read of them is said in `faults`.
    fn leaves(&self, range: Range<u64>, faults: &mut Vec<String>) -> Result<Numbered, Fault>;

    /// Salts and details in that range, each pair with its place; `None` when they are withheld.
    fn details(&self, range: Range<u64>) -> Result<Option<Numbered>, Fault>;

    /// The hashes of a tile as its row or its file holds them.
    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<u8>>, Fault>;

    /// What stands behind a reference; `None` when that is withheld.
    fn mapping(&self, reference: &str) -> Result<Option<Mapping>, Fault>;

    /// The list in which the entry is missing, if it is; `people` are the numbers of those it refers to, `detail` is its
    /// salt and detail if it has the one that its leaf speaks of.
    fn unlisted(
        &self,
        seq: u64,
        leaf: &Leaf,
        detail: Option<&[u8]>,
        people: &[u64],
    ) -> Result<Option<&'static str>, Fault>;

    /// Checks what belongs to no single entry, once all of them are done.
    fn finish(
        &self,
        root: &Hash,
        last_at: Option<Timestamp>,
        signed: &mut Signed<'_>,
        report: &mut Report,
    ) -> Result<(), Fault>;

    /// Those of the places whose detail is still there.
    fn details_among(&self, places: &Ranges) -> Result<Ranges, Fault>;
}

/// Rows, each with its place in the log.
pub(super) type Numbered = Vec<(u64, Vec<u8>)>;
