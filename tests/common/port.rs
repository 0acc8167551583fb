//! A port for a program that has to be told where to listen.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below those that the system gives to whoever asks for any: one of these, free a moment ago, may be somebody's by now.
const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

/// A port of this machine that is free, and that nobody is about to be given.
pub fn free() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    // Programs that run at the same time begin at different ones.
    let from = u16::try_from(std::process::id() * 97 % u32::from(COUNT)).unwrap();
    loop {
        let port = FIRST + (from + TAKEN.fetch_add(1, Ordering::Relaxed)) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
