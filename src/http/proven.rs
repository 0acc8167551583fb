//! One entry of the log with what proves it. What would not convince its reader is not handed out.

use std::sync::Arc;

use super::App;
use super::problem::{Kind, Problem};
use crate::audit::Salt;
use crate::merkle::{self, Hash, leaf_hash};
use crate::notary::Published;
use crate::store::{self, Evidence};
use crate::tlog::note::Note;
use crate::tlog::proof::Proof;

/// An entry's rows, the way from it to the root, and the checkpoint that states the root.
#[derive(Debug)]
pub(super) struct Proven {
    pub(super) index: u64,
    /// The leaf's exact bytes, which are text.
    pub(super) leaf: String,
    /// Salt (32 bytes) and detail.
    pub(super) detail: Option<Vec<u8>>,
    pub(super) path: Vec<Hash>,
    pub(super) published: Arc<Published>,
}

/// Why there is no proof of an entry.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unproven {
    /// There is no such entry, or none that is under a checkpoint yet.
    #[error("there is no such entry")]
    Unknown,
    /// It was pruned.
    #[error("the entry was pruned")]
    Pruned,
    /// Nobody vouches for the log.
    #[error("the log is in doubt: {0}")]
    InDoubt(String),
    /// The file cannot be read, or is not what was signed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Proven {
    /// The entry under the newest checkpoint. Of one that is younger than that, if one `may_be_signed`, a checkpoint is
    /// signed now.
    ///
    /// # Errors
    /// When there is no such proof; [`store::Error::Corrupt`] when the entry is not what was hashed.
    pub(super) async fn find(app: &App, index: u64, may_be_signed: bool) -> Result<Self, Unproven> {
        let published = covering(app, index, may_be_signed).await?;
        let size = published.checkpoint.size;
        let found = app.store.examine(move |evidence| read(evidence, index, size)).await?;
        let (leaf, detail, path) = found.ok_or(Unproven::Pruned)?;
        Ok(Self { index, leaf, detail, path, published })
    }

    /// The same in one text (C2SP tlog-proof).
    ///
    /// # Errors
    /// When the checkpoint is none.
    pub(super) fn file(&self) -> Result<Proof, Unproven> {
        let checkpoint: Note =
            self.published.note.parse().map_err(|_| Unproven::InDoubt("a checkpoint cannot be read".to_owned()))?;
        Ok(Proof { extra: Vec::new(), index: self.index, path: self.path.clone(), checkpoint })
    }

    /// Salt and detail, if there is one and it was not erased.
    ///
    /// # Errors
    /// When the row is not what was written.
    pub(super) fn salt_and_detail(&self) -> Result<Option<(&Salt, &[u8])>, store::Error> {
        match self.detail.as_deref() {
            Some(row) => row.split_first_chunk().map(Some).ok_or(store::Error::Corrupt("a detail")),
            None => Ok(None),
        }
    }
}

impl From<Unproven> for Problem {
    fn from(why: Unproven) -> Self {
        match why {
            Unproven::Unknown => Self::not_found(),
            Unproven::Pruned => pruned(),
            Unproven::InDoubt(cause) => in_doubt().because(cause),
            Unproven::Store(error) => error.into(),
        }
    }
}

/// What is said of entries that went.
pub(super) const fn pruned() -> Problem {
    Problem::new(Kind::Gone, "These entries were pruned; the tree still covers them.")
}

/// What is said while nobody vouches for the log.
pub(super) fn in_doubt() -> Problem {
    Problem::unavailable("The log is in doubt; nothing of it is vouched for until its operator settles that.", 60)
}

/// The way from a leaf to the root of the tree of that size.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn path(evidence: &Evidence, index: u64, size: u64) -> Result<Vec<Hash>, store::Error> {
    merkle::inclusion(index, size, |level, index| evidence.hashes(level, index))
}

/// A checkpoint that covers the entry.
async fn covering(app: &App, index: u64, may_be_signed: bool) -> Result<Arc<Published>, Unproven> {
    let nobody = || Unproven::InDoubt("there is no checkpoint".to_owned());
    let published = app.notary.published();
    match published {
        Some(published) if index < published.checkpoint.size => Ok(published),
        _ if may_be_signed && index < app.store.counts().entries => {
            app.notary.publish().await.map_err(|cause| Unproven::InDoubt(cause.to_string()))
        }
        Some(_) => Err(Unproven::Unknown),
        None => Err(nobody()),
    }
}

type Read = (String, Option<Vec<u8>>, Vec<Hash>);

/// `None` when the entry was pruned.
fn read(evidence: &Evidence, index: u64, size: u64) -> Result<Option<Read>, store::Error> {
    let Some((_, leaf)) = evidence.leaves(index..index + 1)?.pop() else { return Ok(None) };
    let path = path(evidence, index, size)?;
    if merkle::verify_inclusion(&leaf_hash(&leaf), index, size, &path, &evidence.root_at(size)?).is_err() {
        return Err(store::Error::Corrupt("an entry is not what was hashed"));
    }
    let leaf = String::from_utf8(leaf).map_err(|_| store::Error::Corrupt("a leaf"))?;
    let detail = evidence.details(index..index + 1)?.pop().map(|(_, row)| row);
    Ok(Some((leaf, detail, path)))
}
