//! Cargo runs this before it compiles the program: it writes down what `--version` says. The commit is that of the
//! checkout the sources lie in; sources that came by themselves, as in an archive, have none, and nothing is said of it.

#![allow(clippy::print_stdout, reason = "what is printed is what cargo reads")]

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// What the program is made of.
const SOURCES: [&str; 4] = ["src", "templates", "Cargo.toml", "Cargo.lock"];

/// Names the commit where git cannot, such as in the build of a container.
const COMMIT: &str = "ROLLBOOK_COMMIT";

/// The moment that counts as that of the build, in seconds since 1970: <https://reproducible-builds.org/specs/source-date-epoch/>.
const EPOCH: &str = "SOURCE_DATE_EPOCH";

fn main() -> Result<(), String> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    // A file that is not there would have cargo run this every time.
    let mut watched: Vec<PathBuf> =
        SOURCES.map(|name| root.join(name)).into_iter().filter(|path| path.exists()).collect();
    // Who develops commits what was compiled already, and should not wait for it to be compiled once more.
    if env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        watched.extend(marks(&root));
    }
    for path in watched {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    for name in [COMMIT, EPOCH] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let set = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let commit = set(COMMIT).or_else(|| commit(&root));
    let built = day(moment(set(EPOCH).as_deref())?);
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    // Cargo sets it for whatever it runs, too, where a name of ours would pass for a setting.
    println!("cargo::rustc-env=VERSION_AND_BUILD={}", sentence(&version, commit.as_deref(), &built));
    Ok(())
}

/// What `--version` says behind the program's name.
pub(crate) fn sentence(version: &str, commit: Option<&str>, built: &str) -> String {
    let commit = commit.map(|commit| format!("commit {commit}, ")).unwrap_or_default();
    format!("{version} ({commit}built {built})")
}

/// The commit of the checkout at `root`, and whether the sources are no longer as it has them.
pub(crate) fn commit(root: &Path) -> Option<String> {
    // Of a checkout that somebody has put these sources into, the commit says nothing.
    if !git(root, &["rev-parse", "--show-prefix"])?.is_empty() {
        return None;
    }
    let commit = git(root, &["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(root, &[&["status", "--porcelain", "--"], &SOURCES[..]].concat())?;
    Some(if changed.is_empty() { commit } else { format!("{commit} with changes") })
}

/// The files that another commit changes: which one is checked out, and the list of all that were.
pub(crate) fn marks(root: &Path) -> Vec<PathBuf> {
    let paths = ["HEAD", "logs/HEAD"].iter().filter_map(|name| git(root, &["rev-parse", "--git-path", name]));
    paths.map(|path| root.join(path)).filter(|path| path.exists()).collect()
}

/// What git says; `None` where it is missing, or `root` is no checkout that it trusts.
fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("--no-optional-locks").arg("-C").arg(root).args(arguments).output().ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| said.trim().to_owned())
}

/// The moment of the build, in seconds since 1970: the one that is set, else now.
///
/// # Errors
/// When what is set is no such number.
pub(crate) fn moment(set: Option<&str>) -> Result<u64, String> {
    match set {
        Some(seconds) => {
            seconds.parse().map_err(|_| format!("{EPOCH}: {seconds:?} is no number of seconds since 1970"))
        }
        None => Ok(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()),
    }
}

/// The day (UTC) of a moment, as 2026-11-22.
pub(crate) fn day(seconds: u64) -> String {
    let (mut year, mut days) = (1970, seconds / 86400);
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}
