//! The program in surroundings that are not its friends: many who want in at once, a proxy that may read a request in
//! another way, and whoever looks at what it leaves on the disk.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;
#[path = "hostile/left.rs"]
mod left;
#[path = "common/port.rs"]
mod port;
#[path = "hostile/program.rs"]
mod program;
#[path = "hostile/proxy.rs"]
mod proxy;
