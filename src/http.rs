//! The HTTP side: every route in one list, handlers that take, ask and shape.

pub mod call;
pub mod guard;
pub mod problem;
pub mod reply;

use std::ops::Deref;
use std::sync::Arc;

use ipnet::IpNet;

use crate::clerk::session::Sessions;
use crate::clerk::webhook::Webhooks;
use crate::clock::Clock;
use crate::store::Store;

use self::tally::Tally;

/// What handlers work with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct App(Arc<Parts>);

/// The parts of an [`App`].
#[derive(Debug)]
pub struct Parts {
    /// The roll and the book.
    pub store: Store,
    /// Checks and reads webhooks.
    pub webhooks: Webhooks,
    /// Checks session tokens.
    pub sessions: Sessions,
    /// The time.
    pub clock: Clock,
    /// What the operator chose.
    pub settings: Settings,
    /// Counts what strangers do.
    pub tally: Tally,
}

/// The settings that handlers go by.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The origin browsers use, `https://rollbook.example.org`, without a slash at the end.
    pub public_origin: String,
    /// Whether a valid token of a user not yet synced creates the user.
    pub provision: bool,
    /// Whether an impersonated session may use the API.
    pub allow_impersonation: bool,
    /// Proxies whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpNet>,
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
