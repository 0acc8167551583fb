//! What the benches share: their settings, the people they are about, the real release binary, and what is said to it.
//! A bench has only what it measures.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

pub mod people;
pub mod server;
pub mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// The number in that variable.
pub fn env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

/// A folder that goes with the bench, in the one that the variable names, or else the system's for such.
pub fn folder(variable: &str) -> TempDir {
    tempfile::tempdir_in(std::env::var_os(variable).map_or_else(std::env::temp_dir, Into::into)).unwrap()
}

/// A number that looks like any other, the same each time.
pub const fn mixed(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// One of them.
pub fn pick<'a>(list: &[&'a str], n: u64) -> &'a str {
    list[usize::try_from(n % list.len() as u64).unwrap()]
}

/// The value that so many in a hundred of these, which are in order, do not exceed.
pub fn percentile<T: Copy>(sorted: &[T], percent: usize) -> T {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// Does `work` with each number from 0 that `goes_on` with, so many at once; how long that took.
pub async fn each_while<F: Future<Output = ()> + Send>(
    at_once: u64,
    next: &Arc<AtomicU64>,
    goes_on: impl Fn(u64) -> bool + Clone + Send + 'static,
    work: impl Fn(u64) -> F + Clone + Send + 'static,
) -> Duration {
    let begun = Instant::now();
    let workers = (0..at_once).map(|_| {
        let (next, goes_on, work) = (next.clone(), goes_on.clone(), work.clone());
        tokio::spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if !goes_on(n) {
                    break;
                }
                work(n).await;
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    begun.elapsed()
}

/// Does `work` with each number below `count`, many at once, and says how long that took.
pub async fn each<F: Future<Output = ()> + Send>(
    what: &str,
    count: u64,
    work: impl Fn(u64) -> F + Clone + Send + 'static,
) {
    let took = each_while(256, &Arc::default(), move |n| n < count, work).await;
    println!("{count} {what} in {:.0} s", took.as_secs_f64());
}
