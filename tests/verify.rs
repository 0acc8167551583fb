//! `rollbook verify` before what an attacker can do to a log, and what a person reads then.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;
#[path = "common/disk.rs"]
mod disk;
#[path = "common/process.rs"]
mod process;

#[path = "verify/attacks.rs"]
mod attacks;
#[path = "verify/copies.rs"]
mod copies;
#[path = "verify/export.rs"]
mod export;
#[path = "verify/flips.rs"]
mod flips;
#[path = "verify/log.rs"]
mod log;
#[path = "verify/running.rs"]
mod running;
#[path = "verify/tampering.rs"]
mod tampering;
