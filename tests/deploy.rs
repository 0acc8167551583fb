//! What is handed out for running Rollbook: the image, the unit, the alerts, the dashboard, the manual. Each is tried as
//! far as it can be without the machine it is for. What judges it elsewhere judges it here, where it is installed.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;
#[path = "common/process.rs"]
mod process;

#[path = "deploy/container.rs"]
mod container;
#[path = "deploy/image.rs"]
mod image;
#[path = "deploy/manual.rs"]
mod manual;
#[path = "deploy/monitoring.rs"]
mod monitoring;
#[path = "deploy/systemd.rs"]
mod systemd;

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

/// A file of `deploy/`.
fn handed_out(name: &str) -> String {
    std::fs::read_to_string(deploy().join(name)).unwrap()
}

/// A line for whoever reads the tests' output.
#[expect(clippy::explicit_write, reason = "a passing test keeps to itself what it prints by macro")]
fn skip(what: &str, why: impl std::fmt::Display) {
    writeln!(std::io::stderr(), "SKIPPED {what}: {why}").unwrap();
}

/// What a program of somebody else's says; `None` where it is not installed.
fn judge(program: &str, arguments: &[impl AsRef<OsStr>]) -> Option<Output> {
    let judged = Command::new(program).args(arguments).output();
    judged.inspect_err(|cause| skip(program, cause)).ok()
}

/// What it said, where it has nothing against it.
fn approved(judged: &Output) -> String {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (said(&judged.stdout), said(&judged.stderr));
    assert!(judged.status.success(), "{}\n{out}{err}", judged.status);
    out + &err
}

/// Whether we may do what root may.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0)
}
