//! Proofs to be handed on (C2SP tlog-proof v1): that something is in the log, in one text that needs nothing else than
//! the log's public key to be checked.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::{BadCheckpoint, Checkpoint};
use super::note::{BadNote, Note, VerifierKey};
use super::{base64_of, decimal, hash_from};
use crate::merkle::{self, Hash, leaf_hash, verify_inclusion};

/// The first line.
const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// That some leaf is in the log, at this place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// Whatever the maker of the proof puts beside it. Nothing vouches for it. Empty when there is nothing.
    pub extra: Vec<u8>,
    /// Which leaf, from 0.
    pub index: u64,
    /// The way from the leaf to the root.
    pub path: Vec<Hash>,
    /// The checkpoint that states the root.
    pub checkpoint: Note,
}

/// Why a proof proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadProof {
    /// It is no such proof.
    #[error("not a proof of inclusion: {0}")]
    Form(&'static str),
    /// Its checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] BadCheckpoint),
    /// The leaf is not what the checkpoint's tree has in this place.
    #[error("the leaf is not in the log at this place")]
    Inclusion(#[from] merkle::BadProof),
}

impl Proof {
    /// Checks that this leaf is in the log whose key is among `keys`, and returns the checkpoint that says so.
    ///
    /// # Errors
    /// When the checkpoint is not signed as [`Checkpoint::open`] wants it, or the leaf is not in its tree.
    pub fn verify(&self, leaf: &[u8], keys: &[VerifierKey]) -> Result<Checkpoint, BadProof> {
        let checkpoint = Checkpoint::of_note(&self.checkpoint, keys)?;
        verify_inclusion(&leaf_hash(leaf), self.index, checkpoint.size, &self.path, &checkpoint.root)?;
        Ok(checkpoint)
    }
}

impl FromStr for Proof {
    type Err = BadProof;

    fn from_str(text: &str) -> Result<Self, BadProof> {
        // Neither the header nor a hash is an empty line.
        let (head, checkpoint) = text.split_once("\n\n").ok_or(BadProof::Form("no checkpoint behind it"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(BadProof::Form("it does not begin with c2sp.org/tlog-proof@v1"));
        }
        let extra = lines.next_if(|line| line.starts_with("extra ")).map_or(Some(Vec::new()), extra);
        let index = lines.next().and_then(|line| decimal(line.strip_prefix("index ")?));
        Ok(Self {
            extra: extra.ok_or(BadProof::Form("its extra data is not base64"))?,
            index: index.ok_or(BadProof::Form("no index"))?,
            path: lines.map(hash_from).collect::<Option<_>>().ok_or(BadProof::Form("a line is no hash"))?,
            checkpoint: checkpoint.parse().map_err(|fault: BadNote| BadCheckpoint::from(fault))?,
        })
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if !self.extra.is_empty() {
            writeln!(f, "extra {}", STANDARD.encode(&self.extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.path {
            writeln!(f, "{}", base64_of(hash))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

/// The extra data of its line. Nothing is said by leaving the line out, not by an empty one.
fn extra(line: &str) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(line.strip_prefix("extra ")?).ok()?;
    (!bytes.is_empty()).then_some(bytes)
}
