//! The admin page in a real browser: Debian's Chromium, with script and without, and judged by axe-core.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "browser/accessible.rs"]
mod accessible;
#[path = "browser/driver.rs"]
mod driver;
#[path = "browser/house.rs"]
mod house;
#[path = "browser/walk.rs"]
mod walk;

mod common;
