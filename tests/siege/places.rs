//! Places that cannot be written or read, for somebody who is not root.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use crate::file::Witness;
use crate::ledger::{Ledger, data, left_behind, nth};
use crate::process::{Process, refused, said, serve, serve_under};
use crate::volume::Volume;
use crate::{can, skip};

/// A user and a group that own nothing.
const NOBODY: u32 = 65_534;

/// `rollbook serve` as somebody who may do only what modes allow.
fn serve_as_nobody(dir: &Path) -> Option<Command> {
    let user = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let program = env!("CARGO_BIN_EXE_rollbook");
    if !can("setpriv", &[&user[..], &["--inh-caps=-all", program, "--version"]].concat()) {
        skip("the server as another user", "only root can be somebody else, and the build has to be theirs to read");
        return None;
    }
    chown(dir, Some(NOBODY), Some(NOBODY)).unwrap();
    Some(serve_under("setpriv", &user, dir))
}

/// It does not start, says in one sentence why, and leaves the file as it was.
fn assert_refused(command: Command, dir: &Path, says: &str) {
    let was = fs::read(data(dir)).ok();
    let (code, said) = refused(command);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("ROLLBOOK_DATA") && said.contains(says), "{said}");
    assert_eq!(said.trim().lines().count(), 1, "one sentence is enough: {said}");
    assert_eq!(fs::read(data(dir)).ok(), was);
}

/// A data file with something in it, which nobody uses; and what was acknowledged.
fn made(dir: &Path, command: Command) -> Ledger {
    let ledger = Ledger::default();
    ledger.run(Process::start(command), 4, 30, |server| {
        server.terminate();
        assert!(server.wait().0.success());
    });
    ledger.check(&left_behind(dir), &mut Witness::default());
    ledger
}

fn assert_goes_on(dir: &Path, command: Command, ledger: &Ledger) {
    ledger.run(Process::start(command), 4, 10, Process::kill);
    ledger.check(&left_behind(dir), &mut Witness::default());
}

#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let Some(command) = serve_as_nobody(dir.path()) else { return };
    let mode = |mode| fs::set_permissions(dir.path(), Permissions::from_mode(mode)).unwrap();
    mode(0o500);
    assert_refused(command, dir.path(), "Permission denied");
    mode(0o700);
    let ledger = made(dir.path(), serve_as_nobody(dir.path()).unwrap());
    // The file itself can be written, but not the mark beside it: webhooks are taken, and what is amiss is said.
    mode(0o500);
    ledger.run(Process::start(serve_as_nobody(dir.path()).unwrap()), 4, 10, |server| {
        server.terminate();
        let (status, said) = server.wait();
        assert!(status.success() && said.contains("log.checkpoint_not_signed"), "{status}: {said}");
    });
    mode(0o700);
    assert_goes_on(dir.path(), serve_as_nobody(dir.path()).unwrap(), &ledger);
}

#[test]
fn a_folder_that_is_closed_while_it_serves_costs_no_webhook() {
    let dir = tempfile::tempdir().unwrap();
    let Some(command) = serve_as_nobody(dir.path()) else { return };
    let (ledger, mut witness) = (Ledger::default(), Witness::default());
    ledger.run(Process::start(command), 4, 10, |server| {
        fs::set_permissions(dir.path(), Permissions::from_mode(0o500)).unwrap();
        let mut line = server.connect();
        // The senders are at work on others.
        for n in 10_000..10_020 {
            let (id, body) = nth(n);
            assert_eq!(line.deliver(&id, &body).unwrap().0, 200, "the file itself can still be written");
            ledger.acknowledged.lock().unwrap().insert(n);
        }
        drop(line);
        server.terminate();
        assert!(server.wait().0.success());
    });
    ledger.check(&left_behind(dir.path()), &mut witness);
    fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
    assert_goes_on(dir.path(), serve_as_nobody(dir.path()).unwrap(), &ledger);
}

#[test]
fn a_file_that_cannot_be_read_or_written_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let Some(command) = serve_as_nobody(dir.path()) else { return };
    let ledger = made(dir.path(), command);
    chown(data(dir.path()), Some(0), Some(0)).unwrap();
    for mode in [0o600, 0o644] {
        fs::set_permissions(data(dir.path()), Permissions::from_mode(mode)).unwrap();
        assert_refused(serve_as_nobody(dir.path()).unwrap(), dir.path(), "cannot be opened for reading and writing");
    }
    chown(data(dir.path()), Some(NOBODY), Some(NOBODY)).unwrap();
    assert_goes_on(dir.path(), serve_as_nobody(dir.path()).unwrap(), &ledger);
}

#[test]
fn a_key_or_a_mark_of_another_s_is_seen_by_the_doctor() {
    let dir = tempfile::tempdir().unwrap();
    let Some(command) = serve_as_nobody(dir.path()) else { return };
    made(dir.path(), command);
    let doctor = |by: &str, found: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", by, "--regid", by, "--clear-groups", env!("CARGO_BIN_EXE_rollbook"), "doctor"]);
        let said = said(command.current_dir(dir.path()).env("ROLLBOOK_DATA", data(dir.path()))).out;
        assert!(said.contains(&format!("log's files  {found}")), "{by}, {found}: {said}");
    };
    let whole = format!("{} and ", dir.path().join("rollbook.redb.key").display());
    for name in ["rollbook.redb.key", "rollbook.redb.hwm"] {
        let path = dir.path().join(name);
        doctor("65534", &whole);
        chown(&path, Some(0), Some(0)).unwrap();
        doctor("65534", &format!("{} cannot be read (Permission denied); give it to", path.display()));
        // Whoever may read everything sees it by whose the data file is.
        doctor("0", &format!("{} belongs to another user than the data file; give it to", path.display()));
        chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        // Rollbook writes neither: it puts a new one in the place of the old.
        fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
        doctor("65534", &whole);
    }
}

#[test]
fn a_file_that_must_not_change_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = made(dir.path(), serve(dir.path()));
    let path = data(dir.path());
    if !can("chattr", &["+i", path.to_str().unwrap()]) {
        return skip("a file that must not change", "only root may say so, and not of every file system's files");
    }
    let (code, said) = refused(serve(dir.path()));
    assert!(can("chattr", &["-i", path.to_str().unwrap()]));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot be opened for reading and writing"), "{said}");
    assert_goes_on(dir.path(), serve(dir.path()), &ledger);
}

#[test]
fn a_file_system_that_is_read_only_is_refused() {
    let Some(volume) = Volume::mount(16 << 20) else { return };
    made(volume.path(), serve(volume.path()));
    volume.make_read_only();
    assert_refused(serve(volume.path()), volume.path(), "cannot be opened for reading and writing");
}
