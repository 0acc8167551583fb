//! The commands.

pub mod send_test;
