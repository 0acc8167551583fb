//! Rollbook: the roll of your Clerk users, and the book of everything that happened to them, in one file.

pub mod audit;
pub mod clerk;
pub mod cli;
pub mod clock;
pub mod event;
pub mod json;
pub mod page;
pub mod sample;
pub mod store;
pub mod user;
