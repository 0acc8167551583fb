//! What Rollbook relies on Clerk for.

pub mod http;
pub mod jwks;
pub mod key;
pub mod organization;
pub mod publishable_key;
pub mod session;

mod claims;

#[cfg(test)]
#[path = "../tests/common/jwks_server.rs"]
mod jwks_server;
#[cfg(test)]
#[path = "../tests/common/tokens.rs"]
mod tokens;
