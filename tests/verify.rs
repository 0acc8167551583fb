//! `rollbook verify` before what an attacker can do to a log, and what a person reads then.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "verify/log.rs"]
mod log;
#[path = "verify/tampering.rs"]
mod tampering;
