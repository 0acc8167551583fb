//! The server.

pub mod accept;
