//! What Rollbook relies on Clerk for.

pub mod backend;
mod claims;
pub mod clean;
pub mod courier;
pub mod http;
pub mod issuer;
pub mod jwks;
pub mod key;
pub mod organization;
mod payload;
pub mod sender;
pub mod session;
pub mod webhook;

#[cfg(test)]
#[path = "../tests/common/jwks_server.rs"]
mod jwks_server;
#[cfg(test)]
#[path = "../tests/common/tokens.rs"]
mod tokens;
