//! Rollbook: the roll of your Clerk users, and the book of everything that happened to them, in one file.

pub mod audit;
pub mod clerk;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod event;
pub mod http;
pub mod json;
pub mod log;
pub mod merkle;
pub mod page;
pub mod sample;
pub mod server;
pub mod store;
pub mod sync;
pub mod user;
