//! Minting the single-use link by which an admin sets or resets the password.

use super::token::Token;
use crate::audit::{Actor, Draft, Source};
use crate::clock::Timestamp;
use crate::store::{self, Link, Store};

/// How long a link may be used, in milliseconds: 24 hours.
const LIFE: i64 = 24 * 60 * 60 * 1000;

/// The longest name of an admin, in bytes.
const LONGEST_NAME: usize = 64;

/// Why no link was minted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// That cannot be the name of an admin.
    #[error("an admin's name is 1 to 64 characters out of A-Z, a-z, 0-9, '_', '-' and '.'")]
    BadName,
    /// The system has no randomness to give.
    #[error("no randomness: {0}")]
    Random(#[from] getrandom::Error),
    /// The link could not be kept.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// The address at which `admin` may set the password, once, within 24 hours of `now`. It begins with
/// `public_origin`, the origin browsers use, and is the only copy of the secret in it.
///
/// # Errors
/// When the name is none, or the store cannot keep the link.
pub async fn mint(
    store: &Store,
    admin: &str,
    now: Timestamp,
    actor: Actor,
    source: Source,
    public_origin: &str,
) -> Result<String, Error> {
    if !is_admin_name(admin) {
        return Err(Error::BadName);
    }
    let token = Token::fresh()?;
    let link = Link { admin: admin.to_owned(), expires_at: now.plus_millis(LIFE) };
    let draft = Draft::new("admin.link_minted", actor, source).with("admin", Some(admin));
    store.put_link(token.hash(), link, draft).await?;
    Ok(format!("{public_origin}/admin/setup?token={}", token.reveal()))
}

/// Whether an admin may be called that. The name stands in the log as it is.
pub(super) fn is_admin_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_words() {
        assert!(is_admin_name("admin") && is_admin_name("ada.lovelace-2_x"));
        for bad in ["", "two words", "é", "a\n", "a:b", &"a".repeat(65)] {
            assert!(!is_admin_name(bad), "{bad}");
        }
    }
}
