//! What a backup costs those who send webhooks meanwhile: how long they wait before, during and after one, in rounds, on the
//! real release binary over loopback, each connection sending its next request when the last one was answered. And how long
//! the backup takes, beside nobody and beside `cp` of the same file. Prints one table; the last line is the ratio of the
//! 99th percentiles, which should be 3 at most.
//!
//! `cargo bench --bench backup` ; settings by environment: `BACKUP_USERS` (1000000), `BACKUP_ROUNDS` (3), `BACKUP_SECONDS`
//! (before and after, 20), `BACKUP_CONNECTIONS` (16), `BACKUP_WORK` (a folder for the data file, which stays and is used
//! again; by default one that goes).
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

mod common;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::people::{T, created, id, user};
use common::server::{Server, rollbook, watched};
use common::wire::{SECRET, Wire, delivery};
use common::{each, env, percentile};
use rollbook::clock::Clock;
use rollbook::store::Store;
use rollbook::sync::Policy;
use serde_json::{Value, json};
use svix::webhooks::Webhook;

/// Between two looks at the server's memory.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Of a user, so much that a user takes about what Clerk's do.
fn filler() -> Value {
    json!({ "filler": "x".repeat(900) })
}

/// So many users, handed in many at a time.
async fn fill(path: &Path, users: u64) {
    let store = Store::open(path, 256 << 20, Policy::default(), Clock::system()).unwrap();
    let filled = store.clone();
    each("users", users, move |n| {
        let store = filled.clone();
        async move { assert!(store.ingest(created(&id(n), n, &filler())).await.is_ok()) }
    })
    .await;
    store.close().await;
}

/// Sends webhooks over so many connections until it is told to stop; how long each took.
struct Load {
    address: String,
    connections: u64,
    users: u64,
    serial: Arc<AtomicU64>,
}

impl Load {
    async fn until<T>(&self, ended: impl Future<Output = T>) -> (Vec<Duration>, Duration, T) {
        let (stop, begun) = (Arc::new(AtomicBool::new(false)), Instant::now());
        let workers: Vec<_> = (0..self.connections)
            .map(|_| {
                let (address, serial, stop, users) =
                    (self.address.clone(), self.serial.clone(), stop.clone(), self.users);
                tokio::spawn(async move {
                    let webhook = Webhook::new(SECRET).unwrap();
                    let (mut wire, mut latencies) = (Wire::to(&address).await, Vec::new());
                    while !stop.load(Ordering::Relaxed) {
                        let request = request(&webhook, &address, serial.fetch_add(1, Ordering::Relaxed), users);
                        let sent = Instant::now();
                        wire.ask(&request).await;
                        latencies.push(sent.elapsed());
                    }
                    latencies
                })
            })
            .collect();
        let ended = ended.await;
        let took = begun.elapsed();
        stop.store(true, Ordering::Relaxed);
        let mut latencies = Vec::new();
        for worker in workers {
            latencies.extend(worker.await.unwrap());
        }
        latencies.sort_unstable();
        (latencies, took, ended)
    }
}

fn request(webhook: &Webhook, host: &str, serial: u64, users: u64) -> Vec<u8> {
    let n = serial.wrapping_mul(2_654_435_761) % users;
    let version = T + 1 + i64::try_from(serial).unwrap();
    let body = json!({
        "type": "user.updated", "object": "event", "timestamp": version, "instance_id": "ins_bench",
        "data": user(&id(n), n, version, &filler()),
    })
    .to_string();
    let message = format!("msg_{}_{serial}", Clock::system().now().as_millis());
    delivery(webhook, host, &message, &body)
}

/// One row of the table; the 99th percentile, in milliseconds.
fn show(what: &str, (latencies, took): (&[Duration], Duration)) -> f64 {
    let at = |percent| percentile(latencies, percent).as_secs_f64() * 1000.0;
    let rate = latencies.len() as f64 / took.as_secs_f64();
    println!("{what:10} {:>8.1} {rate:>9.0} {:>9.2} {:>9.2} {:>9.2}", took.as_secs_f64(), at(50), at(99), at(100));
    at(99)
}

/// Makes a backup by the command; how long it took, the file's length, and the most memory that the server held.
fn backup(server: &Server, data: &Path, to: &Path) -> (Duration, u64, f64) {
    let _ = fs::remove_file(to);
    let begun = Instant::now();
    let mut command = rollbook(data);
    let command =
        command.arg("backup").arg(std::path::absolute(to).unwrap()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut most = 0.0_f64;
    let command = command.spawn().unwrap();
    tokio::task::block_in_place(|| watched(command, LOOK_EVERY, |_| most = most.max(server.memory("VmRSS"))));
    let (took, bytes) = (begun.elapsed(), fs::metadata(to).unwrap().len());
    fs::remove_file(to).unwrap();
    (took, bytes, most)
}

/// How long `cp` takes, to the disk.
fn copy(data: &Path, to: &Path) -> Duration {
    let begun = Instant::now();
    assert!(Command::new("cp").arg(data).arg(to).status().unwrap().success());
    File::open(to).unwrap().sync_all().unwrap();
    let took = begun.elapsed();
    fs::remove_file(to).unwrap();
    took
}

#[tokio::main]
async fn main() {
    let (users, rounds, connections) =
        (env("BACKUP_USERS", 1_000_000), env("BACKUP_ROUNDS", 3), env("BACKUP_CONNECTIONS", 16));
    let still = Duration::from_secs(env("BACKUP_SECONDS", 20));
    let kept = std::env::var_os("BACKUP_WORK").map(PathBuf::from);
    let temporary = tempfile::tempdir().unwrap();
    let dir = kept.as_deref().unwrap_or(temporary.path());
    fs::create_dir_all(dir).unwrap();
    let (data, to) = (dir.join("rollbook.redb"), dir.join("copy.redb"));
    if !data.exists() {
        fill(&data, users).await;
    }
    let server = Server::start(&data, &[]);
    let serial = Arc::new(AtomicU64::new(u64::try_from(Clock::system().now().as_millis() - T).unwrap()));
    let load = Load { address: server.address.clone(), connections, users, serial };
    println!(
        "\n{connections} connections\n{:10} {:>8} {:>9} {:>9} {:>9} {:>9}",
        "", "s", "per s", "p50 ms", "p99 ms", "max ms"
    );
    let mut ratios = Vec::new();
    for _ in 0..rounds {
        let (before, took, ()) = load.until(tokio::time::sleep(still)).await;
        let before = show("before", (&before, took));
        let (during, took, (_, bytes, memory)) = load.until(async { backup(&server, &data, &to) }).await;
        let during = show("during", (&during, took));
        let (after, took, ()) = load.until(tokio::time::sleep(still)).await;
        let after = show("after", (&after, took));
        println!("           {} MiB, memory at most {memory:.0} MiB", bytes >> 20);
        ratios.push(during / f64::midpoint(before, after));
    }
    let (took, bytes, memory) = backup(&server, &data, &to);
    println!("\nalone: {:.1} s for {} MiB, memory at most {memory:.0} MiB", took.as_secs_f64(), bytes >> 20);
    drop(server);
    println!(
        "cp of the data file: {:.1} s for {} MiB",
        copy(&data, &to).as_secs_f64(),
        fs::metadata(&data).unwrap().len() >> 20
    );
    ratios.sort_by(f64::total_cmp);
    println!("p99 during, as a multiple of that without: {ratios:.2?}");
}
