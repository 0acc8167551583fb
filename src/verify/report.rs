//! What came of a verification.

use serde::{Deserialize, Serialize};

/// So many findings are told; more are counted.
const TOLD: usize = 20;

/// What speaks against a log, each finding naming the entry, the tile or the checkpoint. Nobody is named in it: people
/// stand there by their references.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// The first twenty.
    pub told: Vec<String>,
    /// How many there are.
    pub count: u64,
}

impl Findings {
    pub(super) fn add(&mut self, finding: String) {
        if self.told.len() < TOLD {
            self.told.push(finding);
        }
        self.count += 1;
    }

    /// Whether there is nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// The details of entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// Those that are there.
    pub there: u64,
    /// Those that were erased, and the log says so.
    pub erased: u64,
}

/// The people that the log refers to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct People {
    /// Those who can be named.
    pub known: u64,
    /// Those who were erased, and the log says so.
    pub erased: u64,
}

/// The newest checkpoint that is kept with the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Newest {
    /// How many entries it speaks of.
    pub size: u64,
    /// Who signed it, of the keys that are known: names with the ids of their keys.
    pub signers: Vec<String>,
}

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// How many entries the log has.
    pub entries: u64,
    /// The root over them, in base64.
    pub root: String,
    /// How many of the entries are gone, as the log says (`log.pruned`).
    pub pruned: u64,
    /// How many checkpoints are kept with the log.
    pub checkpoints: u64,
    /// The newest of them.
    pub newest: Option<Newest>,
    /// How many checkpoints that were kept elsewhere it was held against.
    pub kept: u64,
    /// Whether keys were given, so that the log's own word was not what decided.
    pub keys_given: bool,
    /// `None` when they were withheld.
    pub details: Option<Details>,
    /// `None` when they were withheld.
    pub people: Option<People>,
    /// What is worth knowing and speaks against nothing.
    pub notices: Vec<String>,
    /// What speaks against the log.
    pub findings: Findings,
    /// What speaks against the details and the people of entries that an operator has adopted since (`log.forked`),
    /// knowing it or not.
    pub adopted: Findings,
    /// The newest entry that says that the file was adopted.
    #[serde(skip)]
    pub(super) adopted_before: u64,
    /// The first entry that is kept, as the log says.
    #[serde(skip)]
    pub(super) pruned_before: u64,
}

impl Report {
    /// Whether nothing speaks against the log.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.findings.is_empty() && self.adopted.is_empty()
    }

    /// All that speaks against it.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.findings.count + self.adopted.count
    }

    pub(super) fn notice(&mut self, notice: String) {
        if self.notices.len() < TOLD {
            self.notices.push(notice);
        }
    }

    /// Something about one entry.
    pub(super) fn entry(&mut self, seq: u64, finding: String) {
        if seq < self.adopted_before { self.adopted.add(finding) } else { self.findings.add(finding) }
    }
}
