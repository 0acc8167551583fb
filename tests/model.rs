//! The store against a naive model of it: whatever is done in whatever order, with crashes, restarts and restored backups
//! in between, the roll, the log and what is remembered of messages are what a few lines of maps and lists say.
//!
//! `PROPTEST_CASES` sets how many histories are tried: 24 unless said, some thousands before a release.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;
#[path = "common/deliveries.rs"]
mod deliveries;
#[path = "common/disk.rs"]
mod disk;
#[path = "common/file.rs"]
mod file;
#[path = "model/naive.rs"]
mod naive;
#[path = "model/real.rs"]
mod real;
#[path = "common/site.rs"]
mod site;

use proptest::test_runner::Config;
use proptest_state_machine::prop_state_machine;
use real::Real;

/// How many histories are tried unless the environment says otherwise.
const CASES: u32 = 24;

fn config() -> Config {
    let cases = std::env::var("PROPTEST_CASES").map_or(CASES, |cases| cases.parse().unwrap());
    Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() }
}

prop_state_machine! {
    #![proptest_config(config())]

    #[test]
    fn the_store_does_what_a_naive_model_does(sequential 1..30 => Real);
}
