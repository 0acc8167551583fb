//! The file that holds the signing key, and while keys change the one before it.
//!
//! A line for each key, in the text form that Go's `sumdb/note` gives signing keys; behind a key that is being retired
//! stands until when it signs. Lines that begin with `#` are for people.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::disk;
use crate::tlog::note::{SigningKey, VerifierKey};

const PREAMBLE: &str = "\
# Rollbook's signing key. Whoever has it can sign another past. Keep it secret, keep a copy, and keep that apart from
# copies of the data file.
";

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Others than its owner can get at it.
    #[error(
        "{0} must be a file that its owner alone can read, and not a link: run chmod 600 on it, and think about who may have read it"
    )]
    Exposed(PathBuf),
    /// It does not hold keys.
    #[error("{0} does not hold a signing key; put the right file in its place")]
    Garbled(PathBuf),
    /// It cannot be read or written.
    #[error("{path} cannot be read or written: {cause}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
}

/// The keys that sign.
#[derive(Debug)]
pub(super) struct Keys {
    /// The one that stays.
    pub(super) active: Arc<SigningKey>,
    /// The one before it, and until when it signs beside the active one.
    pub(super) retiring: Option<(Arc<SigningKey>, Timestamp)>,
}

impl Keys {
    /// That key alone.
    pub(super) fn of(active: SigningKey) -> Self {
        Self { active: Arc::new(active), retiring: None }
    }

    /// Reads the file; `None` when there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Error> {
        let io = |cause| Error::Io { path: path.to_owned(), cause };
        let meta = match fs::symlink_metadata(path) {
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            meta => meta.map_err(io)?,
        };
        if !meta.is_file() || meta.permissions().mode() & 0o077 != 0 {
            return Err(Error::Exposed(path.to_owned()));
        }
        let text = fs::read_to_string(path).map_err(io)?;
        parse(&text).map(Some).ok_or_else(|| Error::Garbled(path.to_owned()))
    }

    /// Writes the file.
    pub(super) fn write(&self, path: &Path) -> Result<(), Error> {
        let mut text = format!("{PREAMBLE}{}\n", self.active.expose());
        if let Some((key, until)) = &self.retiring {
            let _ = writeln!(text, "{} until {until}", key.expose());
        }
        disk::write_private(path, text.as_bytes()).map_err(|cause| Error::Io { path: path.to_owned(), cause })
    }

    /// All keys that sign now, the active one first.
    pub(super) fn signing(&self) -> Vec<&SigningKey> {
        [&*self.active].into_iter().chain(self.retiring.as_ref().map(|(key, _)| &**key)).collect()
    }

    /// What their signatures are checked with, the active one's first.
    pub(super) fn verifiers(&self) -> Vec<VerifierKey> {
        self.signing().into_iter().map(|key| key.verifier().clone()).collect()
    }
}

fn parse(text: &str) -> Option<Keys> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let active = Arc::new(lines.next()?.parse().ok()?);
    let retiring = match lines.next() {
        Some(line) => {
            let (key, until) = line.split_once(" until ")?;
            Some((Arc::new(key.parse().ok()?), until.parse().ok()?))
        }
        None => None,
    };
    lines.next().is_none().then_some(Keys { active, retiring })
}
