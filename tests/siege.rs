//! The real binary under siege: a disk that is full, files that fail at any call, places that cannot be written, clocks
//! that jump, and crowds of clients that want nothing good.
//!
//! `SIEGE_ROUNDS` sets how often each kind of fault is tried: a few times unless said; 100 before a release.
//! `SIEGE_FLOOD` sets how many forged webhooks there are: 5,000 unless said; 50,000 before a release.
//!
//! A disk that is full is a file system in memory, which root alone may mount. Files that fail are libfiu's doing, clocks
//! that jump faketime's; both come from Debian (`fiu-utils`, `faketime`).
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, missing_docs)]

#[path = "common/authority.rs"]
mod authority;
mod common;
#[path = "common/file.rs"]
mod file;
#[path = "common/ledger.rs"]
mod ledger;
#[path = "common/process.rs"]
mod process;

#[path = "siege/clocks.rs"]
mod clocks;
#[path = "siege/crowds.rs"]
mod crowds;
#[path = "siege/faults.rs"]
mod faults;
#[path = "siege/floods.rs"]
mod floods;
#[path = "siege/full.rs"]
mod full;
#[path = "siege/places.rs"]
mod places;
#[path = "siege/volume.rs"]
mod volume;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// How often, as the variable says.
fn times(variable: &str, unless_said: usize) -> usize {
    std::env::var(variable).map_or(unless_said, |times| times.parse().unwrap())
}

/// Says what was not tried.
#[allow(clippy::explicit_write, reason = "what the macro prints a passing test keeps to itself")]
fn skip(what: &str, why: &str) {
    writeln!(std::io::stderr(), "SKIPPED {what}: {why}").unwrap();
}

/// Whether the program is there and does this without complaint.
fn can(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    let command = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The log of a server that does not run, recomputed by the command for it.
fn assert_verified(dir: &Path) {
    process::rollbook(dir, &["verify"]).done();
}
