//! What stands between the network and the handlers, and what is measured there, through the front door.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;
#[path = "edge/cors.rs"]
mod cors;
#[path = "edge/limits.rs"]
mod limits;
#[path = "edge/metrics.rs"]
mod metrics;
#[path = "common/process.rs"]
mod process;
#[path = "edge/promtool.rs"]
mod promtool;
