//! What comparing the roll with Clerk's list takes at size: a first walk, which fills an empty file, and a second one, which
//! finds nothing to do. Clerk is a stand-in in this process; the server is one of its own, and its memory is looked at four
//! times a second. Prints one table for each walk.
//!
//! `cargo bench --bench walk` ; settings by environment: `WALK_USERS` (1000000), `WALK_DIR` (where the file goes, the system's
//! folder for such). At eight pages of 500 users a second, no walk over a million can take less than 250 s.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
#![allow(clippy::cast_precision_loss)]

mod common;

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::server::{Server, rollbook, watched};
use common::{env, folder};
use rollbook::clock::{Clock, Timestamp};
use rollbook::sample::Scene;
use rollbook::stand_in::StandIn;

/// When the first of the users signed up.
const SINCE: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Between two looks at the server's memory.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Has the server walk once, and prints what that took.
fn walk(name: &str, users: u64, server: &Server, clerk: &StandIn, data: &Path) {
    let (before, first) = (clerk.requests(), server.memory("VmRSS"));
    let begun = Instant::now();
    let mut command = rollbook(data).arg("sync").stdout(Stdio::piped()).spawn().unwrap();
    let said = command.stdout.take().unwrap();
    let mut looks = Vec::new();
    watched(command, LOOK_EVERY, |_| looks.push(server.memory("VmRSS")));
    let took = begun.elapsed().as_secs_f64();
    let said = std::io::read_to_string(said).unwrap();
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
    let dir = folder("WALK_DIR");
    let data = dir.path().join("rollbook.redb");
    let clerk = StandIn::start("ins_walk", Clock::system()).await.unwrap();
    clerk.put_crowd(&Scene::new(b"walk", SINCE), usize::try_from(users).unwrap(), SINCE);
    println!("{users} users; the stand-in allows 100 requests in ten seconds");
    let settings = [
        ("CLERK_ISSUER", clerk.url.as_str()),
        ("CLERK_JWT_KEY", clerk.issuer.public_pem()),
        ("CLERK_SECRET_KEY", clerk.secret_key()),
        ("CLERK_API_URL", &clerk.url),
        ("ROLLBOOK_SYNC_INTERVAL", "off"),
    ];
    let server = Server::start(&data, &settings);
    tokio::task::block_in_place(|| {
        walk("A first walk, into an empty file", users, &server, &clerk, &data);
        walk("A second one, with nothing to do", users, &server, &clerk, &data);
    });
}
