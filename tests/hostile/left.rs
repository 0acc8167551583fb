//! What the program takes and leaves: memory while many try passwords, core dumps, files.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use futures_util::future::join_all;
use reqwest::header::COOKIE;

use crate::common::wait::until;
use crate::program::{Program, skip};

/// What one password takes while it is hashed, in kB.
const HASH: u64 = 64 * 1024;

/// A line of `/proc/<pid>/status`, in kB.
fn memory(program: &Program, name: &str) -> u64 {
    let status = program.proc("status");
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn two_hundred_who_try_passwords_at_once_take_the_memory_of_two() {
    let program = Program::start("true");
    program.admin().await;
    let before = memory(&program, "VmRSS:");
    let names: Vec<String> = (0..200).map(|n| format!("name{n}")).collect();
    let tries = names
        .iter()
        .map(|name| program.form("/admin/sign-in", &[("name", name), ("password", "not the password")]).send());
    let statuses: Vec<u16> =
        join_all(tries).await.into_iter().map(|answer| answer.unwrap().status().as_u16()).collect();
    let with = |wanted| statuses.iter().filter(|status| **status == wanted).count();
    // Where hashing takes very long, the last of them are told that it did.
    assert!(with(401) > 10 && with(401) + with(429) + with(503) == 200, "{statuses:?}");
    let most = memory(&program, "VmHWM:");
    assert!(most < before + 3 * HASH, "{before} kB before, {most} kB at most");
}

/// A process that crashes has every secret in its memory. It leaves none of it.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_crash_leaves_no_core() {
    let program = Program::start("ulimit -c unlimited");
    let limits = program.proc("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    let piped = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default().starts_with('|');
    let (status, home) = program.end("ABRT");
    assert_eq!(status.signal(), Some(6));
    if piped {
        return skip("whether a core is dumped", "the system hands cores to a program of its own");
    }
    assert!(!status.core_dumped());
    let mut files = fs::read_dir(home.path()).unwrap().map(|file| file.unwrap().file_name());
    assert!(files.all(|name| !name.to_string_lossy().starts_with("core")));
}

/// Every file and folder below, and how it may be used.
fn modes(folder: &Path, found: &mut Vec<(String, u32)>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        let meta = entry.metadata().unwrap();
        found.push((entry.path().display().to_string(), meta.permissions().mode() & 0o777));
        if meta.is_dir() {
            modes(&entry.path(), found);
        }
    }
}

/// Whatever the umask is.
#[tokio::test]
async fn what_it_writes_is_its_owners_alone() {
    let program = Program::start("umask 000");
    let cookie = program.admin().await;
    let asked = program.form("/admin/backups", &[]).header(COOKIE, &cookie).send().await.unwrap();
    assert_eq!(asked.status(), 303);
    let is_there =
        |file: std::io::Result<fs::DirEntry>| file.unwrap().path().extension().is_some_and(|end| end == "redb");
    until("a backup", || fs::read_dir(program.home.path().join("backups")).unwrap().any(is_there)).await;
    for arguments in [&["export", "log", "--out", "log"][..], &["export", "users", "--format", "csv", "--out", "users"]]
    {
        program.printed("umask 000", arguments);
    }
    let (status, home) = program.end("TERM");
    assert!(status.success());
    let mut found = Vec::new();
    modes(home.path(), &mut found);
    for name in ["rollbook.redb", "rollbook.redb.key", "rollbook.redb.hwm", "backups", "log", "users"] {
        assert!(found.iter().any(|(path, _)| path.ends_with(&format!("/{name}"))), "{name}: {found:?}");
    }
    assert!(found.iter().any(|(path, _)| path.contains("/backups/rollbook-")), "{found:?}");
    let open: Vec<_> = found.iter().filter(|(_, mode)| mode & 0o077 != 0).collect();
    assert!(open.is_empty(), "{open:?}");
    assert_eq!(
        fs::metadata(home.path()).unwrap().uid(),
        fs::metadata(home.path().join("rollbook.redb")).unwrap().uid()
    );
}
