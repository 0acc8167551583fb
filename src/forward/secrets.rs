//! What messages to each target are signed with, in a file of its own beside the data file: copies of the data file do not
//! hold it. For a day after a secret was changed the former one signs too.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::disk;
use crate::target::TargetName;

/// What secrets begin with in Standard Webhooks.
const PREFIX: &str = "whsec_";

/// How long a secret that was changed signs beside the new one, in milliseconds: time to give the receiver the new one.
const OVERLAP: i64 = 24 * 60 * 60 * 1000;

/// A secret that messages are signed with. It is not shown by `Debug` and has no `Display`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Secret(String);

/// Text that is no signing secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret is whsec_ and 24 to 64 random bytes in base64")]
pub struct BadSecret;

/// No secret can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no randomness for a secret")]
pub struct NoRandomness;

impl Secret {
    /// A new one.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn random() -> Result<Self, NoRandomness> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|_| NoRandomness)?;
        Ok(Self(format!("{PREFIX}{}", STANDARD.encode(key))))
    }

    /// The secret itself, for its bearer.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Secret {
    type Error = BadSecret;

    fn try_from(text: String) -> Result<Self, BadSecret> {
        let key = STANDARD.decode(text.strip_prefix(PREFIX).unwrap_or(&text));
        if key.is_ok_and(|key| (24..=64).contains(&key.len())) { Ok(Self(text)) } else { Err(BadSecret) }
    }
}

impl FromStr for Secret {
    type Err = BadSecret;

    fn from_str(text: &str) -> Result<Self, BadSecret> {
        Self::try_from(text.trim().to_owned())
    }
}

impl From<Secret> for String {
    fn from(secret: Secret) -> Self {
        secret.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// Others than its owner can get at it.
    #[error(
        "{0} must be a file that its owner alone can read, and not a link: run chmod 600 on it, and give the targets new secrets"
    )]
    Exposed(PathBuf),
    /// It does not hold secrets.
    #[error("{0} does not hold the secrets of targets; put the right file in its place, or remove it")]
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

/// What one target's messages are signed with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    secret: Secret,
    /// The one before it, and until when it signs too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    former: Option<Former>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Former {
    secret: Secret,
    until: Timestamp,
}

impl Kept {
    /// That one alone.
    pub(super) const fn of(secret: Secret) -> Self {
        Self { secret, former: None }
    }

    /// Those that sign now.
    pub(super) fn signing(&self, now: Timestamp) -> impl Iterator<Item = &str> {
        let former = self.former.as_ref().filter(|former| now < former.until);
        [&self.secret].into_iter().chain(former.map(|former| &former.secret)).map(Secret::reveal)
    }

    /// When the former one signs no longer, if one does yet.
    pub(super) fn changes_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.former.as_ref().map(|former| former.until).filter(|until| now < *until)
    }

    /// The same, with a new secret in its place.
    fn followed_by(self, secret: Secret, now: Timestamp) -> Self {
        let former = Former { secret: self.secret, until: now.plus_millis(OVERLAP) };
        Self { secret, former: Some(former) }
    }
}

/// The file, as it was last written.
#[derive(Debug)]
pub(super) struct Secrets {
    path: PathBuf,
    kept: BTreeMap<TargetName, Kept>,
    /// Why it could not be used when it was last looked at.
    fault: Option<String>,
}

impl Secrets {
    /// The file of that data file, also when it cannot be used: then it holds nothing, and is not written. Blocks.
    pub(super) fn open(data: &Path) -> Self {
        Self::of(data).unwrap_or_else(|fault| {
            tracing::warn!(cause = %fault, "forward.no_secrets");
            Self { path: secrets_path(data), kept: BTreeMap::new(), fault: Some(fault.to_string()) }
        })
    }

    /// Looks at the file again if it could not be used. Blocks.
    ///
    /// # Errors
    /// With why it cannot be used.
    pub(super) fn usable(&mut self) -> Result<(), String> {
        if self.fault.is_some() {
            match Self::read(self.path.clone()) {
                Ok(read) => *self = read,
                Err(fault) => return Err(self.fault.insert(fault.to_string()).clone()),
            }
        }
        Ok(())
    }

    /// Reads the file of that data file; there is none before there is a secret. Blocks.
    pub(super) fn of(data: &Path) -> Result<Self, SecretsError> {
        Self::read(secrets_path(data))
    }

    fn read(path: PathBuf) -> Result<Self, SecretsError> {
        let io = |cause| SecretsError::Io { path: path.clone(), cause };
        let meta = match fs::symlink_metadata(&path) {
            Err(cause) if cause.kind() == ErrorKind::NotFound => {
                return Ok(Self { path, kept: BTreeMap::new(), fault: None });
            }
            meta => meta.map_err(io)?,
        };
        if !meta.is_file() || meta.permissions().mode() & 0o077 != 0 {
            return Err(SecretsError::Exposed(path));
        }
        let text = fs::read(&path).map_err(io)?;
        match serde_json::from_slice(&text) {
            Ok(kept) => Ok(Self { path, kept, fault: None }),
            Err(_) => Err(SecretsError::Garbled(path)),
        }
    }

    /// What that target's messages are signed with.
    pub(super) fn find(&self, name: &TargetName) -> Option<&Kept> {
        self.kept.get(name)
    }

    /// Keeps a secret, in the place of whatever was there. Blocks.
    pub(super) fn put(&mut self, name: TargetName, secret: Secret) -> Result<(), SecretsError> {
        self.change(|kept| drop(kept.insert(name, Kept::of(secret))))
    }

    /// Keeps a secret, and for a day the one before it. Blocks.
    pub(super) fn renew(&mut self, name: TargetName, secret: Secret, now: Timestamp) -> Result<(), SecretsError> {
        self.change(|kept| {
            let next = match kept.remove(&name) {
                Some(former) => former.followed_by(secret, now),
                None => Kept::of(secret),
            };
            kept.insert(name, next);
        })
    }

    /// Keeps for a target what was kept before. Blocks.
    pub(super) fn restore(&mut self, name: TargetName, before: Option<Kept>) -> Result<(), SecretsError> {
        self.change(|kept| match before {
            Some(before) => drop(kept.insert(name, before)),
            None => drop(kept.remove(&name)),
        })
    }

    /// Forgets a target's. Blocks.
    pub(super) fn remove(&mut self, name: &TargetName) -> Result<(), SecretsError> {
        self.change(|kept| drop(kept.remove(name)))
    }

    fn change(&mut self, change: impl FnOnce(&mut BTreeMap<TargetName, Kept>)) -> Result<(), SecretsError> {
        let mut kept = self.kept.clone();
        change(&mut kept);
        let text = serde_json::to_vec_pretty(&kept).unwrap_or_default();
        disk::write_private(&self.path, &text).map_err(|cause| SecretsError::Io { path: self.path.clone(), cause })?;
        self.kept = kept;
        Ok(())
    }
}

/// Where the secrets are: beside the data file, `.targets` behind its name.
#[must_use]
pub fn secrets_path(data: &Path) -> PathBuf {
    let mut path = data.as_os_str().to_owned();
    path.push(".targets");
    path.into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn name(text: &str) -> TargetName {
        text.parse().unwrap()
    }

    fn secret(byte: u8) -> Secret {
        format!("{PREFIX}{}", STANDARD.encode([byte; 32])).parse().unwrap()
    }

    #[test]
    fn a_secret_has_24_to_64_bytes_and_is_not_shown() {
        for bytes in [24, 64] {
            assert!(format!("{PREFIX}{}", STANDARD.encode(vec![7; bytes])).parse::<Secret>().is_ok());
        }
        for bad in [format!("{PREFIX}{}", STANDARD.encode([7; 23])), STANDARD.encode([7; 65]), "?".repeat(40)] {
            assert_eq!(bad.parse::<Secret>(), Err(BadSecret), "{bad}");
        }
        let shown = format!("{:?} {:?}", secret(7), Kept::of(secret(7)));
        assert!(!shown.contains("BwcHBwcH"), "{shown}");
        assert_ne!(Secret::random().unwrap(), Secret::random().unwrap());
    }

    #[test]
    fn the_file_is_private_and_comes_back_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("roll.redb");
        let now = Timestamp::from_millis(1);
        let mut secrets = Secrets::of(&data).unwrap();
        secrets.put(name("a"), secret(1)).unwrap();
        secrets.renew(name("a"), secret(2), now).unwrap();
        secrets.renew(name("b"), secret(3), now).unwrap();
        let path = dir.path().join("roll.redb.targets");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let mut read = Secrets::of(&data).unwrap();
        let signing = |secrets: &Secrets, name: &TargetName, now| {
            secrets.find(name).unwrap().signing(now).map(str::to_owned).collect::<Vec<_>>()
        };
        let (one, two) = (secret(1).reveal().to_owned(), secret(2).reveal().to_owned());
        assert_eq!(signing(&read, &name("a"), now), [two.clone(), one]);
        assert_eq!(signing(&read, &name("a"), now.plus_millis(OVERLAP)), [two]);
        assert_eq!(signing(&read, &name("b"), now).len(), 1);
        read.remove(&name("b")).unwrap();
        assert!(Secrets::of(&data).unwrap().find(&name("b")).is_none());
    }

    #[test]
    fn a_file_that_others_can_read_or_that_is_something_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("roll.redb");
        let path = dir.path().join("roll.redb.targets");
        disk::write_private(&path, b"{}").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Secrets::of(&data), Err(SecretsError::Exposed(_))));
        disk::write_private(&path, br#"{"a":{"secret":"whsec_short"}}"#).unwrap();
        assert!(matches!(Secrets::of(&data), Err(SecretsError::Garbled(_))));
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(dir.path().join("other"), &path).unwrap();
        assert!(matches!(Secrets::of(&data), Err(SecretsError::Exposed(_))));
    }
}
