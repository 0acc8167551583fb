//! What has to be right for Rollbook to do its work, each thing with a verdict and what to do: for `rollbook doctor` and
//! for the admin page.
//!
//! Nothing here calls out or reads more than a few names and numbers, so that a page may ask at every view.

mod backups;
mod certificate;
mod clerk;
mod targets;

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::clerk::jwks;
use crate::disk::{self, folder, size};
use crate::notary::{self, key_path, mark_path};
use crate::store::{self, Store};

pub use self::backups::{BACKUPS, backups};
pub use self::certificate::{CERTIFICATE, certificate};
pub use self::clerk::{COMPARED, answered, compared, counted_there};
pub use self::targets::{Standing, TARGETS, standing, targets};

/// As much of a difference between two clocks, in seconds, as neither Svix (300) nor session tokens (5) mind.
const CLOCK_TOLERANCE: i64 = 4;

/// As much room on the disk, in bytes, as there should be.
const ENOUGH_ROOM: u64 = 256 << 20;

/// So many writes may wait before somebody should look at the disk: a quarter of those that can.
const BACKLOG: usize = 256;

const DAY: i64 = 24 * 60 * 60 * 1000;

/// How it stands with one thing. The worst comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// It does not work, or will soon not.
    Failure,
    /// Somebody should see to it.
    Warning,
    /// All is well.
    Ok,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it stands.
    pub level: Level,
    /// What was found, without a full stop.
    pub found: String,
    /// What to do, without a full stop; empty when there is nothing to do.
    pub advice: String,
}

impl Check {
    /// All is well.
    #[must_use]
    pub fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, level: Level::Ok, found: found.into(), advice: String::new() }
    }

    /// Somebody should see to it.
    #[must_use]
    pub fn warning(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, level: Level::Warning, found: found.into(), advice: advice.into() }
    }

    /// It does not work, or will soon not.
    #[must_use]
    pub fn failure(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, level: Level::Failure, found: found.into(), advice: advice.into() }
    }

    /// Both in one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        match &*self.advice {
            "" => self.found.clone(),
            advice => format!("{}; {advice}", self.found),
        }
    }
}

/// Whether the data file is there, ours, and for nobody else to read. Whether a server runs on it decides what it means
/// that it is gone.
#[must_use]
pub fn data_file(path: &Path, is_served: bool) -> Check {
    const NAME: &str = "data file";
    const GIVE: &str = "give it to the user Rollbook runs as";
    let shown = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let shown = shown.display();
    let meta = match OpenOptions::new().read(true).write(true).open(path).and_then(|file| file.metadata()) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => {
            if is_served {
                let found = format!("{shown} was removed while the server runs");
                return Check::failure(
                    NAME,
                    found,
                    "do not stop it: `rollbook backup /another/folder` saves everything",
                );
            }
            match notary::lost(path) {
                Ok(None) => {}
                Ok(Some(lost)) => return Check::failure(NAME, lost.to_string(), ""),
                Err(cause) => return Check::failure(NAME, cause.to_string(), ""),
            }
            return match tempfile::tempfile_in(folder(path)) {
                Ok(_) => Check::ok(NAME, format!("{shown} is made at the first start")),
                Err(cause) => {
                    let advice = "create its folder and give it to the user Rollbook runs as";
                    Check::failure(NAME, format!("{shown} cannot be made ({cause})"), advice)
                }
            };
        }
        Err(cause) => return Check::failure(NAME, format!("{shown} cannot be opened ({cause})"), GIVE),
        Ok(meta) => meta,
    };
    match meta.permissions().mode() & 0o777 {
        mode if mode & 0o077 == 0 => {
            Check::ok(NAME, format!("{shown}, {}, for its owner only", size(disk::used(&meta))))
        }
        mode => Check::failure(NAME, format!("{shown} has mode {mode:o}: others can read it"), "run chmod 600 on it"),
    }
}

/// Whether the signing key and the high-water mark are there, and for whoever runs Rollbook alone.
#[must_use]
pub fn log_files(data: &Path) -> Check {
    const NAME: &str = "log's files";
    let (key, mark) = (key_path(data), mark_path(data));
    if !data.exists() && !key.exists() && !mark.exists() {
        return Check::ok(NAME, "the signing key and the high-water mark are made at the first start");
    }
    for path in [&key, &mark] {
        let shown = path.display();
        match path.symlink_metadata() {
            Err(cause) => {
                let advice = "put it back, or see `rollbook adopt --help`";
                return Check::failure(NAME, format!("{shown} is missing or out of reach ({cause})"), advice);
            }
            Ok(meta) if !meta.is_file() || meta.permissions().mode() & 0o077 != 0 => {
                let found = format!("{shown} must be a file that its owner alone can read");
                return Check::failure(NAME, found, "run chmod 600 on it, and think about who may have read it");
            }
            Ok(_) => {}
        }
        if let Some(found) = out_of_reach(path, data) {
            return Check::failure(NAME, found, "give it to the user Rollbook runs as");
        }
    }
    let found = format!("{} and {}, for their owner only", key.display(), mark.display());
    Check { advice: "keep a copy of the key elsewhere".to_owned(), ..Check::ok(NAME, found) }
}

/// Why whoever runs Rollbook cannot use a file beside the data file, if they cannot. They are us, or, where we are root and
/// could use anything, whoever has the data file.
fn out_of_reach(path: &Path, data: &Path) -> Option<String> {
    let shown = path.display();
    // Nothing is written to them: each is replaced by a new one.
    if let Err(cause) = File::open(path) {
        return Some(format!("{shown} cannot be read ({})", disk::cause(&cause)));
    }
    let [of_file, of_data] = [path, data].map(|path| path.metadata().map(|meta| meta.uid()).ok());
    let is_root = rustix::process::geteuid().is_root();
    let differs = is_root && of_data.is_some_and(|uid| uid != 0) && of_file != of_data;
    differs.then(|| format!("{shown} belongs to another user than the data file"))
}

/// The copies that were kept of the data file before it was brought up to date; `None` when there are none.
#[must_use]
pub fn former_copies(data: &Path) -> Option<Check> {
    let copies = store::former_copies(data).ok().filter(|copies| !copies.is_empty())?;
    let names: Vec<String> = copies.iter().map(|copy| copy.display().to_string()).collect();
    let taken = copies.iter().filter_map(|copy| copy.metadata().ok()).map(|file| disk::used(&file)).sum();
    let found = format!(
        "{} ({}) is the data file as an older Rollbook left it, with what was erased since",
        names.join(", "),
        size(taken)
    );
    Some(Check::warning("older copy", found, "remove it once you will not go back to that version"))
}

/// Whether the data file has room to grow, and to be rewritten.
#[must_use]
pub fn room(data: &Path) -> Check {
    let taken = data.metadata().map_or(0, |file| disk::used(&file));
    match disk::free(folder(data)) {
        Ok(free) => enough(free, taken),
        Err(cause) => {
            let found = format!("{} cannot be asked how much room it has ({cause})", folder(data).display());
            Check::failure("disk", found, "put the folder back")
        }
    }
}

/// With so many bytes free, and so many taken by the data file.
fn enough(free: u64, taken: u64) -> Check {
    let shown = format!("{} free", size(free));
    if free < ENOUGH_ROOM {
        Check::failure("disk", format!("only {shown}"), "make room before writes fail")
    } else if free < taken {
        let found = format!("{shown}, less than the {} of the data file", size(taken));
        Check::warning("disk", found, "make room: `rollbook scrub`, and a backup on the same disk, need as much again")
    } else {
        Check::ok("disk", shown)
    }
}

/// Whether our clock is that of whoever signs tokens and webhooks, given by how many seconds it is ahead.
#[must_use]
pub fn clock(ahead: i64) -> Check {
    if ahead.abs() <= CLOCK_TOLERANCE {
        return Check::ok("clock", "agrees with the issuer's");
    }
    let direction = if ahead > 0 { "fast" } else { "slow" };
    let found = format!("{} s {direction} by the issuer's; tokens and webhooks will be refused", ahead.abs());
    Check::failure("clock", found, "turn on time synchronisation")
}

/// Which pages may call the API from a browser: one that may not is told no more by the browser than that it failed.
#[must_use]
pub fn cors(origins: &[String]) -> Check {
    match origins {
        [] => Check::ok("CORS", "no page of another origin may call the API (ROLLBOOK_CORS_ORIGINS)"),
        origins => Check::ok("CORS", format!("pages of {} may call the API", origins.join(", "))),
    }
}

/// Whether a running server can tell good session tokens from bad ones, as far as it knows: it asks for keys when a token
/// needs them.
#[must_use]
pub fn token_keys(status: jwks::Status) -> Check {
    const NAME: &str = "token keys";
    let keys = match status.keys {
        1 => "1 key".to_owned(),
        n => format!("{n} keys"),
    };
    match (status.keys, status.age_seconds, status.failure) {
        (0, _, Some(failure)) => Check::failure(
            NAME,
            format!("there are none: {failure}; session tokens are answered 503"),
            "look at CLERK_PUBLISHABLE_KEY, CLERK_ISSUER and CLERK_JWKS_URL, and at the way to the internet",
        ),
        (0, _, None) => Check::ok(NAME, "not asked for yet: no session token has come since the start"),
        (_, None, _) => Check::ok(NAME, "from CLERK_JWT_KEY"),
        (_, Some(age), Some(failure)) => Check::warning(
            NAME,
            format!("{keys}, from {}; the last try to renew them failed: {failure}", ago(age)),
            "look at the way to the issuer; these are used for a day at most",
        ),
        (_, Some(_), None) if !status.asked => {
            Check::ok(NAME, format!("{keys}, kept from before the start; no session token has come since"))
        }
        (_, Some(age), None) => Check::ok(NAME, format!("{keys}, fetched {}", ago(age))),
    }
}

fn ago(seconds: i64) -> String {
    match seconds / 60 {
        ..1 => "just now".to_owned(),
        1 => "a minute ago".to_owned(),
        minutes @ 2..120 => format!("{minutes} minutes ago"),
        minutes => format!("{} hours ago", minutes / 60),
    }
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Whether a running server takes writes.
#[must_use]
pub fn writes(store: &Store) -> Check {
    const NAME: &str = "writes";
    if store.has_failed() {
        return Check::failure(
            NAME,
            "the data file could not be read or written, and nothing is written any more",
            "restart Rollbook once the disk is in order",
        );
    }
    match store.doubt() {
        Some(doubt) => Check::failure(
            NAME,
            format!("read only: {doubt}"),
            "put the right files back, or settle it at the terminal: `rollbook adopt --help`",
        ),
        None => waiting(store.figures().waiting),
    }
}

/// With so many operations in line for the disk.
fn waiting(operations: usize) -> Check {
    match operations {
        0 => Check::ok("writes", "taken, and none is waiting"),
        1..BACKLOG => Check::ok("writes", format!("taken; {operations} in line")),
        _ => Check::warning(
            "writes",
            format!("{operations} are in line for the disk"),
            "if this lasts, the disk is too slow: look at what else uses it",
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn room_is_judged_by_what_is_free_and_what_is_taken() {
        assert_eq!(enough(ENOUGH_ROOM - 1, 0).level, Level::Failure);
        assert_eq!(enough(ENOUGH_ROOM, ENOUGH_ROOM).level, Level::Ok);
        let tight = enough(ENOUGH_ROOM, ENOUGH_ROOM + (1 << 20));
        assert!(
            tight.level == Level::Warning && tight.sentence().starts_with("256.0 MiB free, less than the 257.0 MiB")
        );
        assert_eq!(room(Path::new("/nowhere/at/all.redb")).level, Level::Failure);
    }

    #[test]
    fn clocks_may_differ_a_little() {
        assert_eq!([0, 4, -4].map(|ahead| clock(ahead).level), [Level::Ok; 3]);
        assert!(clock(5).found.starts_with("5 s fast") && clock(-90).found.starts_with("90 s slow"));
        assert_eq!(clock(5).level, Level::Failure);
    }

    #[test]
    fn token_keys_are_judged_without_asking() {
        let unasked = jwks::Status { keys: 0, age_seconds: None, failure: None, ahead_seconds: None, asked: false };
        let failed = jwks::Status { asked: true, failure: Some(jwks::Failure::Timeout), ..unasked };
        let stale = jwks::Status { keys: 2, age_seconds: Some(7200), ..failed };
        for (status, level, words) in [
            (unasked, Level::Ok, "not asked for yet"),
            (failed, Level::Failure, "no answer in time"),
            (stale, Level::Warning, "2 keys, from 2 hours ago"),
            (jwks::Status { failure: None, ..stale }, Level::Ok, "fetched 2 hours ago"),
            (jwks::Status { failure: None, asked: false, ..stale }, Level::Ok, "kept from before the start"),
            (jwks::Status { keys: 1, ..unasked }, Level::Ok, "CLERK_JWT_KEY"),
        ] {
            let check = token_keys(status);
            assert!(check.level == level && check.found.contains(words), "{status:?}: {check:?}");
        }
    }

    #[test]
    fn a_long_line_is_told() {
        assert_eq!([0, 1, BACKLOG - 1, BACKLOG].map(|n| waiting(n).level == Level::Ok), [true, true, true, false]);
    }
}
