//! What comparing the roll with Clerk's list takes at size: a first walk, which fills an empty file, and a second one, which
//! finds nothing to do. Clerk is a stand-in in this process; the server is one of its own, and its memory is looked at four
//! times a second. Prints one table for each walk.
//!
//! `cargo bench --bench walk` ; settings by environment: `WALK_USERS` (1000000), `WALK_DIR` (where the file goes, the system's
//! folder for such). At eight pages of 500 users a second, no walk over a million can take less than 250 s.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
#![allow(clippy::cast_precision_loss)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rollbook::clock::{Clock, Timestamp};
use rollbook::sample::Scene;
use rollbook::stand_in::StandIn;

/// When the first of the users signed up.
const SINCE: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Between two looks at the server's memory.
const LOOK_EVERY: Duration = Duration::from_millis(250);

fn env(name: &str, default: usize) -> usize {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

fn rollbook(command: &str, data: &Path) -> Command {
    let mut rollbook = Command::new(env!("CARGO_BIN_EXE_rollbook"));
    rollbook.arg(command).env_clear().env("ROLLBOOK_DATA", data).current_dir(data.parent().unwrap());
    rollbook.stdin(Stdio::null()).stderr(Stdio::inherit());
    rollbook
}

struct Server(Child);

impl Server {
    /// Starts it and waits until it listens.
    fn start(data: &Path, clerk: &StandIn) -> Self {
        let mut command = rollbook("serve", data);
        command
            .env("CLERK_WEBHOOK_SIGNING_SECRET", "whsec_cm9sbGJvb2sgZml4dHVyZXMgc2lnbiB3aXRoIHRoaXM=")
            .env("CLERK_ISSUER", &clerk.url)
            .env("CLERK_JWT_KEY", clerk.issuer.public_pem())
            .env("CLERK_SECRET_KEY", clerk.secret_key())
            .env("CLERK_API_URL", &clerk.url)
            .env("ROLLBOOK_SYNC_INTERVAL", "off")
            .env("ROLLBOOK_LISTEN", "127.0.0.1:0")
            .env("ROLLBOOK_LOG", "warn")
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("http://") {
            line.clear();
            assert!(out.read_line(&mut line).unwrap() > 0, "the server did not start");
        }
        // Its log is read away, as a supervisor would.
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        Self(child)
    }

    /// What it holds of the machine's memory, in MiB.
    fn memory(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// Has the server walk once, and prints what that took.
fn walk(name: &str, users: usize, server: &Server, clerk: &StandIn, data: &Path) {
    let (before, first) = (clerk.requests(), server.memory());
    let begun = Instant::now();
    let mut command = rollbook("sync", data).stdout(Stdio::piped()).spawn().unwrap();
    let mut looks = Vec::new();
    let status = loop {
        if let Some(status) = command.try_wait().unwrap() {
            break status;
        }
        looks.push(server.memory());
        std::thread::sleep(LOOK_EVERY);
    };
    let took = begun.elapsed().as_secs_f64();
    let said = std::io::read_to_string(command.stdout.take().unwrap()).unwrap();
    assert!(status.success(), "{said}");
    let requests = clerk.requests() - before;
    println!("\n{name}\n{said}");
    println!("took               {took:>10.1} s");
    println!("users a second     {:>10.0}", users as f64 / took);
    println!("requests           {requests:>10}, {:.2} a second", requests as f64 / took);
    println!("memory before      {first:>10.1} MiB");
    for tenth in 1..=10 {
        let until = looks.len() * tenth / 10;
        let most = looks[looks.len() * (tenth - 1) / 10..until].iter().copied().fold(0.0, f64::max);
        println!("  at most, {:>3} %   {most:>10.1} MiB", tenth * 10);
    }
    println!("data file          {:>10.1} MiB", std::fs::metadata(data).unwrap().len() as f64 / 1_048_576.0);
}

#[tokio::main]
async fn main() {
    let users = env("WALK_USERS", 1_000_000);
    let dir = match std::env::var_os("WALK_DIR") {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    };
    let dir = dir.unwrap();
    let data = dir.path().join("rollbook.redb");
    let clerk = StandIn::start("ins_walk", Clock::system()).await.unwrap();
    clerk.put_crowd(&Scene::new(b"walk", SINCE), users, SINCE);
    println!("{users} users; the stand-in allows 100 requests in ten seconds");
    let server = Server::start(&data, &clerk);
    tokio::task::block_in_place(|| {
        walk("A first walk, into an empty file", users, &server, &clerk, &data);
        walk("A second one, with nothing to do", users, &server, &clerk, &data);
    });
}
