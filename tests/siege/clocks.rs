//! A clock that is wrong at the start, or jumps while the server runs.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::common::{CLERK, sign, tokens};
use crate::file::{self, Witness};
use crate::ledger::{Dice, Ledger, left_behind, nth};
use crate::process::{Line, Process, rollbook, serve};
use crate::{assert_verified, skip, times};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// The clock on the wall, as the server sees it.
struct Wall {
    dir: TempDir,
    preload: OsString,
    ahead: i64,
}

impl Wall {
    /// One that is right; `None`, and said so, where there is no faketime.
    fn hang() -> Option<Self> {
        let told = Command::new("faketime").args(["-m", "-f", "+0", "env"]).output();
        let told = told.map(|told| String::from_utf8_lossy(&told.stdout).into_owned()).unwrap_or_default();
        let Some(preload) = told.lines().find_map(|line| line.strip_prefix("LD_PRELOAD=")) else {
            skip("a clock that jumps", "faketime is not installed");
            return None;
        };
        let mut wall = Self { dir: tempfile::tempdir().unwrap(), preload: preload.into(), ahead: 0 };
        wall.set(0);
        Some(wall)
    }

    /// Puts it so many seconds ahead of the true time, for all who look at it.
    fn set(&mut self, ahead: i64) {
        self.ahead = ahead;
        // Renamed into place: nobody reads half of it.
        let fresh = self.dir.path().join("fresh");
        fs::write(&fresh, format!("{ahead:+}")).unwrap();
        fs::rename(fresh, self.dir.path().join("time")).unwrap();
    }

    /// In seconds since 1970.
    fn now(&self) -> i64 {
        sign::now_seconds() + self.ahead
    }

    fn serve(&self, dir: &Path) -> Command {
        let mut command = serve(dir);
        command.env("LD_PRELOAD", &self.preload).env("FAKETIME_TIMESTAMP_FILE", self.dir.path().join("time"));
        // What measures time that passes is not what jumps when somebody sets a clock.
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("NO_FAKE_STAT", "1");
        command
    }

    fn token(&self) -> String {
        CLERK.mint(&tokens::claims("user_1", self.now()))
    }

    /// What is signed and said by this clock is taken, and what the true one says is not, if they differ.
    fn assert_followed(&self, line: &mut Line, n: i64) {
        let ((id, body), (late, _)) = (nth(n), nth(n + 1));
        assert_eq!(line.deliver_at(self.now(), &id, &body).unwrap().0, 200, "{} s ahead", self.ahead);
        for off in [-400, 400] {
            assert_eq!(line.deliver_at(self.now() + off, &late, &body).unwrap().0, 401, "{off} s off");
        }
        for off in [-200, 200] {
            assert_eq!(line.deliver_at(self.now() + off, &id, &body).unwrap().0, 200, "{off} s off is tolerated");
        }
        assert_eq!(line.get_as(&self.token(), "/api/auth/me").unwrap().0, 200, "{} s ahead", self.ahead);
        if self.ahead != 0 {
            let truly = CLERK.mint(&tokens::claims("user_1", sign::now_seconds()));
            assert_eq!(line.get_as(&truly, "/api/auth/me").unwrap().0, 401, "{} s ahead", self.ahead);
        }
    }
}

/// How often the log says that the clock was turned back; that its time never goes back is what the witness checks.
fn steps(dir: &Path, witness: &mut Witness) -> usize {
    let db = left_behind(dir);
    witness.follow(&db);
    let leaves = file::leaves(&db).into_iter().map(|leaf| serde_json::from_slice::<Value>(&leaf).unwrap());
    leaves.filter(|leaf| leaf["action"] == "system.clock_step").count()
}

fn stop(server: Process) {
    server.terminate();
    let (status, said) = server.wait();
    assert!(status.success(), "{said}");
}

#[test]
fn a_clock_that_jumps_while_it_runs_is_followed_and_the_log_never_goes_back() {
    let Some(mut wall) = Wall::hang() else { return };
    let (dir, mut witness) = (tempfile::tempdir().unwrap(), Witness::default());
    let server = Process::start(wall.serve(dir.path()));
    let mut line = server.connect();
    let key = rollbook(dir.path(), &["keys", "create", "--name", "a server", "--scope", "users:read"]).done();
    let key = key.trim();
    for (n, ahead) in [(1, 0), (3, -HOUR), (5, DAY), (7, 0)] {
        wall.set(ahead);
        wall.assert_followed(&mut line, n * 10);
        assert_eq!(line.get_as(key, "/api/users").unwrap().0, 200, "{ahead} s ahead");
    }
    stop(server);
    // Back by an hour, and back by a day: the second is not told when it comes within a minute of the first.
    assert!((1..=2).contains(&steps(dir.path(), &mut witness)));
    assert_verified(dir.path());
}

#[test]
fn a_clock_that_was_turned_between_two_starts_is_followed_and_the_log_never_goes_back() {
    let Some(mut wall) = Wall::hang() else { return };
    let (dir, mut witness) = (tempfile::tempdir().unwrap(), Witness::default());
    let mut told_of = 0;
    // Told at each start that finds the log's time ahead of the clock, as long as it is.
    for (n, ahead, steps_back) in [(1, 0, 0), (2, -HOUR, 1), (3, DAY, 0), (4, 0, 1), (5, 0, 1), (6, DAY + HOUR, 0)] {
        wall.set(ahead);
        let server = Process::start(wall.serve(dir.path()));
        wall.assert_followed(&mut server.connect(), n * 10);
        stop(server);
        told_of += steps_back;
        assert_eq!(steps(dir.path(), &mut witness), told_of, "started {ahead} s ahead");
    }
    assert_verified(dir.path());
}

#[test]
fn killed_under_load_while_the_clock_jumps_it_loses_nothing() {
    let Some(mut wall) = Wall::hang() else { return };
    let (dir, mut dice) = (tempfile::tempdir().unwrap(), Dice::new());
    let (ledger, mut witness) = (Ledger::default(), Witness::default());
    let rounds = times("SIEGE_ROUNDS", 4);
    for _ in 0..rounds {
        let server = Process::start(wall.serve(dir.path()));
        // As far as what senders sign by their own clocks is still taken.
        let ahead = i64::try_from(dice.below(500)).unwrap() - 250;
        for acks in [1 + dice.below(60), 0] {
            wall.set(if acks == 0 { ahead } else { -ahead });
        }
        ledger.run(server, 8, 1 + dice.below(100), Process::kill);
        ledger.check(&left_behind(dir.path()), &mut witness);
    }
    println!(
        "{rounds} kills, {} acknowledged, {} steps back told",
        ledger.acknowledged(),
        steps(dir.path(), &mut witness)
    );
    assert_verified(dir.path());
}
