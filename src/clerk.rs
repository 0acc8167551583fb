//! What Rollbook relies on Clerk for.

pub mod clean;
pub mod sender;
