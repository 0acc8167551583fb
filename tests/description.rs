//! What `/openapi.json` says against what the server does: every operation is called, for everybody and by everybody.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/file.rs"]
mod file;
#[path = "description/independent.rs"]
mod independent;
#[path = "description/operations.rs"]
mod operations;
#[path = "description/page.rs"]
mod page;
#[path = "description/statuses.rs"]
mod statuses;
#[path = "description/walk.rs"]
mod walk;
