//! Files that are sent as they are read: how many there may be, and why one breaks off. What was sent until then is not
//! all of it, so the connection is broken too: a file that ends as if it were whole would deceive.

use std::io;

use super::session::{self, Admin};
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::streams::Seat;
use crate::store;

/// Why a download broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the session of who asked for it has ended")]
    SignedOut,
    #[error("the server stops")]
    Stopping,
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("the file cannot be read: {0}")]
    File(#[from] io::Error),
}

/// Room for one more download.
///
/// # Errors
/// 503 when there is none left.
pub(super) fn seat(call: &Call, admin: &Admin) -> Result<Seat, Problem> {
    let full = || Problem::unavailable("Too many downloads and streams are open; please try again.", 30);
    call.app.streams.seat(&admin.seat()).ok_or_else(full)
}

/// To be asked before every piece: whether who asked for it is still signed in, and the server stays.
///
/// # Errors
/// When the download has to break off.
pub(super) async fn may_go_on(call: &Call) -> Result<(), Broken> {
    if call.app.streams.is_stopping() {
        return Err(Broken::Stopping);
    }
    match session::still_in(call).await {
        Ok(Some(_)) => Ok(()),
        _ => Err(Broken::SignedOut),
    }
}
