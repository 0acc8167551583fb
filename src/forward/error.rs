//! Why a target could not be changed.

use super::{BadSecret, MOST, NoRandomness, SecretsError, Stuck};
use crate::clerk::courier::{BadAddress, NoAnswer};
use crate::store;

/// Why a target could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none of that name.
    #[error("there is no target of that name")]
    Unknown,
    /// There is one of that name.
    #[error("there is a target of that name already")]
    Taken,
    /// It is the settings' to change.
    #[error("this target is that of the settings (ROLLBOOK_FORWARD_URL…), and can be changed there only")]
    OfSettings,
    /// There are as many as there can be.
    #[error("there are {MOST} targets already; remove one first")]
    TooMany,
    /// The address cannot be called.
    #[error("{0}")]
    Address(#[from] BadAddress),
    /// Session tokens are for calls of users.
    #[error("only calls that create, update and delete users can carry session tokens")]
    BearerOfEvents,
    /// Session tokens cannot be made.
    #[error("for calls to carry session tokens, CLERK_SECRET_KEY has to be set")]
    NoKey,
    /// That entry is not in the way.
    #[error("that entry is not what the target fails at")]
    NotFailing,
    /// The log ends before that entry.
    #[error("the log ends before that entry")]
    Ahead,
    /// Nothing can be sent to it.
    #[error("{0}")]
    Stuck(Stuck),
    /// It does not answer.
    #[error("{0}")]
    NoAnswer(#[from] NoAnswer),
    /// The secret is none.
    #[error(transparent)]
    BadSecret(#[from] BadSecret),
    /// No secret can be made.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The file of the secrets cannot be used.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The store takes no writes, or cannot be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The server stops.
    #[error("the server stops")]
    Stopping,
}
