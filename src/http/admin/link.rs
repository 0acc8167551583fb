//! Minting the single-use link by which an admin sets or resets the password.

use super::session::Admin;
use super::token::Token;
use crate::audit::{Actor, Draft, Source, Target};
use crate::clock::Timestamp;
use crate::event::ObjectKey;
use crate::http::call::Call;
use crate::http::problem::{Kind, Problem};
use crate::store::{self, AdminError, Link, Store};

/// How long a link may be used, in milliseconds: 24 hours.
const LIFE: i64 = 24 * 60 * 60 * 1000;

/// The longest name of an admin, in bytes.
const LONGEST_NAME: usize = 64;

/// Why no link was minted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// That cannot be the name of an admin.
    #[error(
        "an admin's name is 1 to 64 characters out of A-Z, a-z, 0-9, '_', '-' and '.', the first a letter or digit"
    )]
    BadName,
    /// The system has no randomness to give.
    #[error("no randomness: {0}")]
    Random(#[from] getrandom::Error),
    /// The link could not be kept.
    #[error(transparent)]
    Store(#[from] AdminError),
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
    keep(store, None, admin, now, Draft::new("admin.link_minted", actor, source), public_origin).await
}

/// The same for an admin who asks for it on the page, with the time until which it works. The log says that they did
/// `action`.
///
/// # Errors
/// Those of [`mint`]; also when their session has ended.
pub(super) async fn mint_for(call: &Call, by: &Admin, admin: &str, action: &str) -> Result<(String, Timestamp), Error> {
    let (app, now) = (&call.app, call.app.clock.now());
    let url = keep(&app.store, Some(by), admin, now, by.did(action), &app.settings.public_origin).await?;
    Ok((url, now.plus_millis(LIFE)))
}

async fn keep(
    store: &Store,
    by: Option<&Admin>,
    admin: &str,
    now: Timestamp,
    entry: Draft,
    public_origin: &str,
) -> Result<String, Error> {
    if !is_admin_name(admin) {
        return Err(Error::BadName);
    }
    let token = Token::fresh()?;
    let maker = by.map(|by| by.name.clone());
    let link = Link { admin: admin.to_owned(), expires_at: now.plus_millis(LIFE), by: maker };
    store.put_link(by.map(|by| by.session), token.hash(), link, about(entry, admin)).await?;
    Ok(format!("{public_origin}/admin/setup?token={}", token.reveal()))
}

/// The entry about an admin, whose name stands in the log as it is.
pub(super) fn about(mut entry: Draft, admin: &str) -> Draft {
    // What can be an admin's name can be an id.
    entry.target = admin.parse().ok().map(|id| Target::Object(ObjectKey { kind: "admin".to_owned(), id }));
    entry
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::BadName => Self::bad_request("That cannot be the name of an admin."),
            Error::Random(_) => Self::new(Kind::Internal, "No link could be made.").because(error),
            Error::Store(error) => error.into(),
        }
    }
}

/// Whether an admin may be called that. The name stands in the log, and in addresses, as it is.
pub(super) fn is_admin_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_words() {
        assert!(is_admin_name("admin") && is_admin_name("ada.lovelace-2_x"));
        for bad in ["", "two words", "é", "a\n", "a:b", ".", "..", "-a", &"a".repeat(65)] {
            assert!(!is_admin_name(bad), "{bad}");
        }
    }
}
