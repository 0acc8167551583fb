//! What Rollbook relies on Clerk for.

pub mod clean;
mod payload;
pub mod webhook;
