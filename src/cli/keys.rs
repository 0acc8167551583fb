//! `rollbook keys`: API keys, made, listed and revoked from a terminal.

use std::io::{self, Write};
use std::str::FromStr;

use clap::{Args, Subcommand};

use super::LocalFlags;
use super::columns::{self, printable};
use super::local::{self, Error, answer};
use crate::api_key::{ApiKey, KeyId, KeyName, NoScope, Scope, Scopes, Secret, Wanted};
use crate::clock::{Clock, Moment, Timestamp};
use crate::config::Local;
use crate::control::{Reply, Request};

const DAY: i64 = 24 * 60 * 60 * 1000;

const CREATION: &str = "\
The key is printed on standard output, alone, and this once: Rollbook keeps a hash of it. Servers send it as \
`Authorization: Bearer rbk_…`.

Scopes, of which a key needs at least one:
  users:read    read users, sessions, organizations, and who ever had a value on file
  users:write   change and delete users, and so make admins
  audit:read    read the audit log with its details
  log:read      read the log's checkpoints, tiles and proofs
  metrics:read  read the metrics";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Make a key and print it, once
    #[command(after_help = CREATION)]
    Create(Create),
    /// List all keys, also those that are revoked or have expired
    List(LocalFlags),
    /// Revoke a key: it is refused from now on, for good
    Revoke(Revoke),
}

/// `rollbook keys create`.
#[derive(Debug, Args)]
pub struct Create {
    /// What to call it, for whoever reads the list
    #[arg(long)]
    pub name: KeyName,
    /// What it may do; may be given several times
    #[arg(long = "scope", value_name = "SCOPE", required = true)]
    pub scopes: Vec<Scope>,
    /// From when on it is refused: after so many days, such as 90d, or at a time, such as 2030-01-01; otherwise never
    #[arg(long, value_name = "DAYS|TIME")]
    pub expires: Option<Expiry>,
    /// Settings.
    #[command(flatten)]
    pub flags: LocalFlags,
}

/// `rollbook keys revoke`.
#[derive(Debug, Args)]
pub struct Revoke {
    /// The key's id, key_…, as the list shows it
    pub key: KeyId,
    /// Settings.
    #[command(flatten)]
    pub flags: LocalFlags,
}

/// When a key is to expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// After so many days.
    Days(u16),
    /// At that moment.
    At(Timestamp),
}

impl FromStr for Expiry {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wanted = "write days, like 90d, or a time, like 2030-01-01 or 2030-01-01T08:00:00Z";
        if let Some(days) = text.strip_suffix('d') {
            return days.parse().ok().filter(|days| *days > 0).map(Self::Days).ok_or(wanted);
        }
        text.parse::<Moment>().map(|moment| Self::At(moment.0)).map_err(|_| wanted)
    }
}

impl Expiry {
    fn after(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Days(days) => now.plus_millis(i64::from(days) * DAY),
            Self::At(at) => at,
        }
    }
}

impl Keys {
    pub(super) const fn flags(&self) -> &LocalFlags {
        match self {
            Self::Create(Create { flags, .. }) | Self::List(flags) | Self::Revoke(Revoke { flags, .. }) => flags,
        }
    }

    fn request(&self, now: Timestamp) -> Result<Request, NoScope> {
        Ok(match self {
            Self::Create(Create { name, scopes, expires, .. }) => Request::CreateKey(Wanted {
                name: name.clone(),
                scopes: Scopes::new(scopes.iter().copied())?,
                expires_at: expires.map(|expires| expires.after(now)),
            }),
            Self::List(_) => Request::Keys,
            Self::Revoke(Revoke { key, .. }) => Request::RevokeKey { id: key.clone() },
        })
    }
}

/// Does it. What is not the result itself is written to `err`.
///
/// # Errors
/// When there is no data file, or no such key.
pub async fn run(
    command: &Keys,
    local: &Local,
    out: &mut (dyn Write + Send),
    err: &mut (dyn Write + Send),
) -> Result<(), Error> {
    let now = Clock::system().now();
    let request = command.request(now).map_err(|error| Error::Refused(error.to_string()))?;
    match answer(local, request).await? {
        Reply::KeyCreated { key, secret } => Ok(created(&key, &secret, out, err)?),
        Reply::Keys { keys } => Ok(list(&keys, now, out)?),
        Reply::KeyRevoked { key } => Ok(writeln!(out, "{} is revoked", called(&key))?),
        other => local::show(other, out),
    }
}

/// The secret alone on standard output, so that it can be piped to where it belongs.
fn created(
    key: &ApiKey,
    secret: &Secret,
    out: &mut (dyn Write + Send),
    err: &mut (dyn Write + Send),
) -> io::Result<()> {
    writeln!(out, "{}", secret.reveal())?;
    out.flush()?;
    let until = key.expires_at.map_or_else(|| "until it is revoked".to_owned(), |at| format!("until {}", minute(at)));
    writeln!(err, "{} works {until} for {}", called(key), key.scopes)?;
    writeln!(err, "keep it now: it is not shown again")
}

fn called(key: &ApiKey) -> String {
    format!("{} ({})", key.id, printable(key.name.as_str()))
}

fn list(keys: &[ApiKey], now: Timestamp, out: &mut (dyn Write + Send)) -> io::Result<()> {
    if keys.is_empty() {
        return writeln!(out, "no keys");
    }
    let time = |at: Option<Timestamp>| at.map_or_else(|| "never".to_owned(), minute);
    let row = |key: &ApiKey| {
        [
            key.id.to_string(),
            printable(key.name.as_str()),
            key.state(now).as_str().to_owned(),
            minute(key.created_at),
            time(key.expires_at),
            time(key.last_used_at),
            key.scopes.to_string(),
        ]
    };
    let head = ["KEY", "NAME", "STATE", "CREATED", "EXPIRES", "LAST USED", "SCOPES"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(keys.iter().map(row)).collect();
    columns::write(&rows, out)
}

/// A moment to the minute, in UTC.
fn minute(at: Timestamp) -> String {
    format!("{}Z", at.to_string().chars().take("2024-05-28T08:00".len()).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_days_or_a_time() {
        let now = Timestamp::from_millis(1_000);
        assert_eq!("90d".parse::<Expiry>().map(|expiry| expiry.after(now)), Ok(now.plus_millis(90 * DAY)));
        let day = Timestamp::from_millis(1_893_456_000_000);
        assert_eq!("2030-01-01".parse(), Ok(Expiry::At(day)));
        assert_eq!("2030-01-01T00:00:00Z".parse(), Ok(Expiry::At(day)));
        for bad in ["", "d", "0d", "-1d", "90", "2030", "1w", "99999d", "2030-01-01T00:00:00"] {
            assert!(bad.parse::<Expiry>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_help_names_every_scope() {
        for scope in Scope::ALL {
            assert!(CREATION.contains(&format!("  {:13} {}", scope.as_str(), scope.describe())), "{scope}");
        }
    }
}
