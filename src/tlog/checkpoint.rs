//! Checkpoints (C2SP tlog-checkpoint v1): the log's signed word on how long it is and what is in it.

use std::fmt;

use super::note::{self, BadNote, Note, SigningKey, VerifierKey};
use super::{base64_of, decimal, hash_from};
use crate::merkle::Hash;

/// What a log says of itself: this is my name, so many leaves, and the root over them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name, which is also that of its keys.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
}

/// Why a checkpoint is not to be believed, or cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadCheckpoint {
    /// The note around it.
    #[error(transparent)]
    Note(#[from] BadNote),
    /// The note says something else than a checkpoint does.
    #[error("not a checkpoint: {0}")]
    Form(&'static str),
    /// It is signed, but by no key of the log that it names.
    #[error("the checkpoint is of {0}, and no key of that name signed it")]
    Origin(String),
}

impl Checkpoint {
    /// Signs it with each of these keys, which must be of its origin's name. The note, to be published as it is.
    ///
    /// # Errors
    /// When the keys are none, one is there twice, or one has another name.
    pub fn sign(&self, keys: &[&SigningKey]) -> Result<String, BadCheckpoint> {
        if keys.iter().any(|key| key.verifier().name() != self.origin) {
            return Err(BadCheckpoint::Origin(self.origin.clone()));
        }
        Ok(note::sign(&self.to_string(), keys)?.to_string())
    }

    /// Reads a checkpoint that one of these keys signed, one of its origin's name. Other keys' signatures may be there
    /// too: those of keys in the list must be right, the rest are passed over.
    ///
    /// # Errors
    /// When it is no checkpoint, or is not signed like that.
    pub fn open(note: &str, keys: &[VerifierKey]) -> Result<Self, BadCheckpoint> {
        Self::of_note(&note.parse()?, keys)
    }

    /// The same of a note that is parsed already.
    pub(super) fn of_note(note: &Note, keys: &[VerifierKey]) -> Result<Self, BadCheckpoint> {
        let checkpoint = Self::of_text(note.text())?;
        if note.verify(keys)?.iter().all(|key| key.name() != checkpoint.origin) {
            return Err(BadCheckpoint::Origin(checkpoint.origin));
        }
        Ok(checkpoint)
    }

    /// Reads a checkpoint without asking who signed it. Nothing in it may be relied on.
    ///
    /// # Errors
    /// When it is no checkpoint.
    pub fn unverified(note: &str) -> Result<Self, BadCheckpoint> {
        Self::of_text(note.parse::<Note>()?.text())
    }

    fn of_text(text: &str) -> Result<Self, BadCheckpoint> {
        let lines: Vec<&str> = text.split('\n').collect();
        // Behind the last newline comes the empty text.
        let [origin, size, root, ""] = lines[..] else {
            return Err(BadCheckpoint::Form("it has other than three lines"));
        };
        if origin.is_empty() {
            return Err(BadCheckpoint::Form("its origin is empty"));
        }
        let size = decimal(size).ok_or(BadCheckpoint::Form("its size is no plain number"))?;
        let root = hash_from(root).ok_or(BadCheckpoint::Form("its root is not 32 bytes in base64"))?;
        Ok(Self { origin: origin.to_owned(), size, root })
    }
}

/// The text that is signed.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, base64_of(&self.root))
    }
}
