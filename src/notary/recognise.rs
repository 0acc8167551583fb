//! Whether signing key, high-water mark and log belong together.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::key_file::Keys;
use super::{Error, key_path, mark_path};
use crate::audit::Doubt;
use crate::clock::Timestamp;
use crate::store::{self, AtRest, Evidence, Head};
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::note::VerifierKey;

/// What a start would find if a copy of the data file were in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreseen {
    /// What would speak against going on with it.
    pub doubt: Option<Doubt>,
    /// The high-water mark that is there, if a key of the log's has signed it, or the key that is there.
    pub marked: Option<Marked>,
    /// The log's name in the copy, once it was signed.
    pub name: Option<String>,
}

/// What a high-water mark says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked {
    /// What was signed last.
    pub checkpoint: Checkpoint,
    /// When the file was written, as far as the system knows: when that was signed.
    pub at: Option<Timestamp>,
}

/// What a start would find if `copy` were the data file at `data`.
///
/// # Errors
/// When the key or the mark that is there cannot be read, or the copy.
pub fn foresee(data: &Path, copy: &AtRest) -> Result<Foreseen, Error> {
    let keys = Keys::read(&key_path(data))?.map(|keys| keys.verifiers());
    let path = mark_path(data);
    let mark = read_mark(&path)?;
    let evidence = copy.evidence()?;
    let identity = evidence.identity()?;
    let named: Vec<String> =
        identity.into_iter().flat_map(|known| [known.vkey].into_iter().chain(known.former)).collect();
    let named = named.iter().filter_map(|vkey| vkey.parse::<VerifierKey>().ok());
    let known: Vec<VerifierKey> = keys.iter().flatten().cloned().chain(named.clone()).collect();
    let checkpoint = mark.as_ref().and_then(|note| Checkpoint::open(note, &known).ok());
    let name = named.map(|key| key.name().to_owned()).next();
    let doubt = match judge(&evidence, keys.as_deref(), mark)? {
        Standing::Doubtful(doubt) => Some(doubt),
        Standing::Nameless | Standing::Unsigned | Standing::Continued(..) => None,
    };
    let written = fs::metadata(&path).and_then(|file| file.modified()).ok();
    let at = written.and_then(|at| jiff::Timestamp::try_from(at).ok());
    let at = at.map(|at| Timestamp::from_millis(at.as_millisecond()));
    Ok(Foreseen { doubt, marked: checkpoint.map(|checkpoint| Marked { checkpoint, at }), name })
}

/// How a log stands to what was signed of it.
pub(super) enum Standing {
    /// It has no key yet.
    Nameless,
    /// It has its key, and nothing was signed with it yet.
    Unsigned,
    /// It goes on from the checkpoint in the mark, which is this note.
    Continued(Checkpoint, String),
    /// Something speaks against going on with it.
    Doubtful(Doubt),
}

/// Judges a log by the keys and the mark that are beside it, if they are.
pub(super) fn judge(
    evidence: &Evidence,
    keys: Option<&[VerifierKey]>,
    mark: Option<String>,
) -> Result<Standing, store::Error> {
    let keys = match (evidence.identity()?, keys) {
        (None, _) if mark.is_none() => return Ok(Standing::Nameless),
        (_, None) => return Ok(Standing::Doubtful(Doubt::NoKey)),
        (Some(identity), Some(keys)) if !keys.iter().any(|key| key.to_string() == identity.vkey) => {
            return Ok(Standing::Doubtful(Doubt::OtherKey));
        }
        // Without an identity, what was signed is missing from the file altogether.
        (_, Some(keys)) => keys,
    };
    let Some(note) = mark else {
        let is_signed = evidence.newest_checkpoint()?.is_some();
        return Ok(if is_signed { Standing::Doubtful(Doubt::NoMark) } else { Standing::Unsigned });
    };
    let Ok(checkpoint) = Checkpoint::open(&note, keys) else { return Ok(Standing::Doubtful(Doubt::BadMark)) };
    Ok(match contradiction(evidence, &checkpoint, evidence.head()?)? {
        Some(doubt) => Standing::Doubtful(doubt),
        None => Standing::Continued(checkpoint, note),
    })
}

/// What speaks against a log with that head, given that the checkpoint was signed before.
pub(super) fn contradiction(
    evidence: &Evidence,
    signed: &Checkpoint,
    head: Head,
) -> Result<Option<Doubt>, store::Error> {
    if signed.size > head.size {
        return Ok(Some(Doubt::RolledBack { size: head.size, marked: signed.size }));
    }
    match evidence.root_at(signed.size) {
        Ok(root) if root == signed.root => Ok(None),
        Ok(_) | Err(store::Error::Corrupt(_)) => Ok(Some(Doubt::Forked { marked: signed.size })),
        Err(error) => Err(error),
    }
}

/// The high-water mark; `None` when there is none.
pub(super) fn read_mark(path: &Path) -> Result<Option<String>, Error> {
    match fs::read(path) {
        // What is no text is no checkpoint either.
        Ok(note) => Ok(Some(String::from_utf8_lossy(&note).into_owned())),
        Err(cause) if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(cause) => Err(Error::Mark { path: path.to_owned(), cause }),
    }
}
