//! What Rollbook says over HTTP.

pub mod guard;
