//! Reads, writes and flushes that fail now and then, as a broken disk's do, between the real binary and the real system.

use std::process::ExitStatus;

use tempfile::TempDir;

use crate::file::Witness;
use crate::ledger::{Dice, Ledger, data, left_behind};
use crate::process::{Line, Process, serve, serve_under};
use crate::{assert_verified, can, skip, times};

/// A new folder after so many rounds: each of them checks the whole log.
const FOLDER: usize = 25;

/// What the runtime says when it cannot wake itself.
const WOKEN: &str = "failed to wake I/O driver";

/// How rounds ended.
#[derive(Debug, Default)]
struct Ends {
    /// It did not come up.
    refused: usize,
    /// It came up and took nothing.
    read_only: usize,
    /// It stopped by itself.
    stopped: usize,
    /// It got through, and was killed.
    killed: usize,
    acknowledged: usize,
    entries: usize,
}

/// Serves and is served with calls of these names that fail with this probability, many times over.
fn besiege(points: &[&str], probability: f64) {
    if !can("fiu-run", &["-x", "-f", "", "true"]) {
        return skip("files that fail", "fiu-run is not installed");
    }
    let (mut dice, mut ends, mut left) = (Dice::new(), Ends::default(), times("SIEGE_ROUNDS", 4));
    while left > 0 {
        let rounds = left.min(FOLDER);
        left -= rounds;
        let (dir, ledger, mut witness) = (tempfile::tempdir().unwrap(), Ledger::default(), Witness::default());
        for _ in 0..rounds {
            round(&dir, &ledger, points, probability, 1 + dice.below(250), &mut ends);
            // Where it did not get as far as to make its file, there is none.
            if data(dir.path()).exists() || ledger.acknowledged() > 0 {
                ledger.check(&left_behind(dir.path()), &mut witness);
            }
            // What repairs the file must be the server: it starts, works and is killed, and the log is whole.
            ledger.run(Process::start(serve(dir.path())), 2, 5, Process::kill);
            ledger.check(&left_behind(dir.path()), &mut witness);
            assert_verified(dir.path());
        }
        let server = Process::start(serve(dir.path()));
        ledger.settle(&server);
        server.terminate();
        assert!(server.wait().0.success());
        let db = left_behind(dir.path());
        ledger.check(&db, &mut witness);
        assert_eq!(crate::file::deliveries(&db).len(), ledger.acknowledged());
        ends.acknowledged += ledger.acknowledged();
        ends.entries += witness.size();
    }
    println!("{points:?}: {ends:?}, lost 0");
}

fn round(dir: &TempDir, ledger: &Ledger, points: &[&str], probability: f64, acks: u64, ends: &mut Ends) {
    let commands: Vec<String> =
        points.iter().map(|name| format!("enable_random name={name},probability={probability}")).collect();
    let mut arguments = vec!["-x", "-f", ""];
    arguments.extend(commands.iter().flat_map(|command| ["-c", command]));
    match Process::launch(serve_under("fiu-run", &arguments, dir.path())) {
        Err((status, said)) => {
            assert_fair(status, &said, status.code() == Some(2) && said.contains(".env: cannot be read"));
            ends.refused += 1;
        }
        // A mark or a key that is said not to be there leaves the log in doubt, and the file as it is.
        Ok(server) if is_read_only(&server) => {
            ends.read_only += 1;
            server.kill();
        }
        Ok(server) => drop(ledger.run_while(server, 8, acks, |server, acknowledged| {
            if acknowledged == acks {
                ends.killed += 1;
                return server.kill();
            }
            ends.stopped += 1;
            match server.end() {
                Ok((status, said)) => {
                    assert_fair(status, &said, false);
                    assert!(said.contains("the store has failed") || status.code().is_none(), "{status}: {said}");
                }
                // Threads that nobody could wake wait for ever.
                Err(said) => assert!(said.contains(WOKEN), "it does not end: {said}"),
            }
        })),
    }
}

fn is_read_only(server: &Process) -> bool {
    let asked = Line::to(server.address).and_then(|mut line| line.get("/metrics"));
    asked.is_ok_and(|(_, measured)| measured.lines().any(|line| line == "rollbook_log_in_doubt 1"))
}

/// It ended with 1 and not in a panic. Otherwise it has to be `excused`, or it was the runtime, which takes it for granted
/// that it can wake itself, and which these faults hit as they do files.
fn assert_fair(status: ExitStatus, said: &str, excused: bool) {
    let fair = status.code() == Some(1) && !said.contains("panicked");
    assert!(said.contains(WOKEN) || fair || excused, "{status}: {said}");
}

#[test]
fn reads_that_fail_lose_nothing() {
    besiege(&["posix/io/rw/pread", "posix/io/rw/preadv"], 0.02);
}

#[test]
fn writes_that_fail_lose_nothing() {
    besiege(&["posix/io/rw/pwrite", "posix/io/rw/ftruncate"], 0.002);
}

#[test]
fn anything_read_or_written_that_fails_loses_nothing() {
    besiege(&["posix/io/rw/*"], 0.0005);
}

#[test]
fn reads_and_writes_that_fall_short_are_finished() {
    besiege(&["posix/io/rw/pread/reduce", "posix/io/rw/pwrite/reduce"], 0.05);
}

#[test]
fn flushes_that_fail_lose_nothing() {
    besiege(&["posix/io/sync/*"], 0.01);
}

#[test]
fn files_that_cannot_be_opened_or_renamed_lose_nothing() {
    besiege(&["posix/io/oc/open", "posix/io/dir/rename", "posix/io/dir/unlink"], 0.1);
}
