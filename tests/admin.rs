//! The admin page, through the front door.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "admin/access.rs"]
mod access;
#[path = "admin/act.rs"]
mod act;
#[path = "admin/admins.rs"]
mod admins;
#[path = "admin/audit.rs"]
mod audit;
#[path = "admin/backups.rs"]
mod backups;
#[path = "admin/clerk.rs"]
mod clerk;
#[path = "admin/danger.rs"]
mod danger;
#[path = "admin/deliveries.rs"]
mod deliveries;
#[path = "admin/entry.rs"]
mod entry;
#[path = "admin/export.rs"]
mod export;
#[path = "admin/forms.rs"]
mod forms;
#[path = "common/jwks_server.rs"]
mod jwks_server;
#[path = "admin/keys.rs"]
mod keys;
#[path = "admin/live.rs"]
mod live;
#[path = "admin/pages.rs"]
mod pages;
#[path = "admin/people.rs"]
mod people;
#[path = "admin/quarantine.rs"]
mod quarantine;
#[path = "admin/review.rs"]
mod review;
#[path = "admin/site.rs"]
mod site;
#[path = "common/sse.rs"]
mod sse;
#[path = "admin/system.rs"]
mod system;
#[path = "admin/targets.rs"]
mod targets;

mod common;
#[path = "common/file.rs"]
mod file;
#[allow(dead_code, reason = "not all that it can is needed here")]
#[path = "forward/receiver.rs"]
mod receiver;
