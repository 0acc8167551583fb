//! What the log costs and gives at size: appending with checkpoints signed meanwhile, proofs, and the real release binary
//! verifying and exporting it. Prints one table.
//!
//! `cargo bench --bench log` ; settings by environment: `LOG_ENTRIES` (in the log, 1000000), `LOG_PEOPLE` (it is about,
//! 100000), `LOG_SECONDS` (per row of appending, 12), `LOG_RUNS` (of each command, 3, the median is shown).
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

mod common;

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::server::{memory, rollbook, watched};
use common::{each_while, env, folder, mixed, percentile};
use rollbook::audit::{Actor, Draft, Source};
use rollbook::clock::Clock;
use rollbook::merkle;
use rollbook::notary::Notary;
use rollbook::store::Store;
use rollbook::sync::Policy;
use rollbook::user::ClerkId;

fn person(n: u64) -> ClerkId {
    format!("user_{:027}", n % env("LOG_PEOPLE", 100_000)).parse().unwrap()
}

/// An entry as a look at somebody by way of the API leaves it.
fn entry(n: u64) -> Draft {
    // People are met in no order.
    let n = mixed(n);
    let mut draft = Draft::new("user.read", Actor::User(person(n >> 32)), Source::Api)
        .about(&person(n >> 16))
        .with("ip", Some("203.0.113.9"))
        .with("session", Some(format!("sess_{n:027}")))
        .with("user_agent", Some("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/150.0 Safari/537.36"));
    draft.request = Some(format!("req_{n:020}"));
    draft
}

/// Appends as long as that is so, so many at once; returns how many a second.
async fn append(
    store: &Store,
    at_once: u64,
    next: &Arc<AtomicU64>,
    goes_on: impl Fn(u64) -> bool + Clone + Send + 'static,
) -> f64 {
    let (from, store) = (next.load(Ordering::Relaxed), store.clone());
    let took = each_while(at_once, next, goes_on, move |n| {
        let store = store.clone();
        async move { store.record(entry(n)).await.unwrap() }
    });
    let took = took.await.as_secs_f64();
    (next.load(Ordering::Relaxed) - from) as f64 / took
}

/// p50 and p99 of what `work` takes, in microseconds.
fn latency(times: u64, mut work: impl FnMut(u64)) -> (f64, f64) {
    let mut taken: Vec<f64> = (0..times)
        .map(|n| {
            let begun = Instant::now();
            work(mixed(n) >> 8);
            begun.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    taken.sort_by(f64::total_cmp);
    (percentile(&taken, 50), percentile(&taken, 99))
}

/// Runs the binary; returns seconds and its peak of resident memory in MiB.
fn run(data: &Path, arguments: &[&str]) -> (f64, f64) {
    let begun = Instant::now();
    let mut command = rollbook(data);
    let child = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut peak = 0.0_f64;
    watched(child, Duration::from_millis(20), |id| peak = peak.max(memory(id, "VmHWM").unwrap_or_default()));
    (begun.elapsed().as_secs_f64(), peak)
}

fn median(mut runs: Vec<(f64, f64)>) -> (f64, f64) {
    runs.sort_by(|a, b| a.0.total_cmp(&b.0));
    (runs[runs.len() / 2].0, runs.iter().map(|run| run.1).fold(0.0, f64::max))
}

#[tokio::main]
async fn main() {
    let (entries, seconds, runs) = (env("LOG_ENTRIES", 1_000_000), env("LOG_SECONDS", 12), env("LOG_RUNS", 3));
    let dir = folder("LOG_DIR");
    let data = dir.path().join("log.redb");
    let store = Store::open(&data, 64 << 20, Policy::default(), Clock::system()).unwrap();
    let notary = Notary::open(store.clone(), Clock::system(), "localhost").await.unwrap();
    let next = Arc::new(AtomicU64::new(0));
    let filled = append(&store, 256, &next, move |n| n < entries).await;
    println!("filled with {entries} entries, 256 at once: {filled:.0}/s");
    let bytes = std::fs::metadata(&data).unwrap().len();
    println!("file: {} MiB, {:.0} bytes an entry", bytes >> 20, bytes as f64 / entries as f64);

    for at_once in [1, 16, 256] {
        let mut rates = [0.0; 2];
        for (signs, rate) in [false, true].into_iter().zip(&mut rates) {
            let ticking = notary.clone();
            let tick = tokio::spawn(async move {
                let mut every = tokio::time::interval(Duration::from_secs(10));
                if signs {
                    loop {
                        every.tick().await;
                        ticking.publish().await.unwrap();
                    }
                }
            });
            let until = Instant::now() + Duration::from_secs(seconds);
            *rate = append(&store, at_once, &next, move |_| Instant::now() < until).await;
            tick.abort();
        }
        println!(
            "appends/s, {at_once:>3} at once: {:.0} with checkpoints every 10 s, {:.0} without",
            rates[1], rates[0]
        );
    }

    let mut signing = Vec::new();
    for n in 0..50 {
        store.record(entry(n)).await.unwrap();
        let begun = Instant::now();
        notary.publish().await.unwrap();
        signing.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    signing.sort_by(f64::total_cmp);
    println!("signing a checkpoint, on disk twice: p50 {:.2} ms", signing[signing.len() / 2]);
    let size = notary.published().unwrap().checkpoint.size;
    let (p50, p99) = latency(10_000, |n| {
        let evidence = store.evidence().unwrap();
        merkle::inclusion(n % size, size, |level, index| evidence.hashes(level, index)).unwrap();
    });
    println!("inclusion proof: p50 {p50:.0} us, p99 {p99:.0} us");
    let (p50, p99) = latency(10_000, |n| {
        let evidence = store.evidence().unwrap();
        merkle::consistency(n % size + 1, size, |level, index| evidence.hashes(level, index)).unwrap();
    });
    println!("consistency proof: p50 {p50:.0} us, p99 {p99:.0} us");
    drop(notary);
    store.close().await;

    let out = dir.path().join("out");
    let out = out.to_str().unwrap();
    for arguments in [
        &["verify"][..],
        &["export", "log", "--out", out],
        &["verify", out],
        &["export", "audit", "--format", "jsonl"],
        &["export", "audit", "--format", "csv"],
        &["export", "audit", "--format", "ocsf"],
    ] {
        let done = (0..runs).map(|_| {
            if arguments.contains(&"--out") {
                let _ = std::fs::remove_dir_all(out);
            }
            run(&data, arguments)
        });
        let (took, peak) = median(done.collect());
        println!(
            "{}: {took:.2} s, {:.0} entries/s, {peak:.0} MiB",
            arguments.join(" ").replace(out, "DIR"),
            size as f64 / took
        );
    }
}
