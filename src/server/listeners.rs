//! The addresses that a server has taken.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::BindError;
use crate::config::Config;

/// A listener, and the address it came to have.
pub(super) type Bound = (TcpListener, SocketAddr);

/// Each of them. The main one is for everything.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) main: Bound,
    /// For the metrics alone.
    pub(super) metrics: Option<Bound>,
    /// For plain HTTP that is sent on.
    pub(super) redirect: Option<Bound>,
}

impl Listeners {
    pub(super) async fn bind(config: &Config) -> Result<Self, BindError> {
        Ok(Self {
            main: listen("ROLLBOOK_LISTEN", config.local.listen).await?,
            metrics: maybe_listen("ROLLBOOK_METRICS_LISTEN", config.metrics_listen).await?,
            redirect: maybe_listen("ROLLBOOK_TLS_REDIRECT_LISTEN", config.redirect_listen).await?,
        })
    }

    /// The main address.
    pub(super) const fn address(&self) -> SocketAddr {
        self.main.1
    }

    pub(super) fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics.as_ref().map(|bound| bound.1)
    }

    pub(super) fn redirect_address(&self) -> Option<SocketAddr> {
        self.redirect.as_ref().map(|bound| bound.1)
    }
}

async fn maybe_listen(setting: &'static str, address: Option<SocketAddr>) -> Result<Option<Bound>, BindError> {
    match address {
        Some(address) => listen(setting, address).await.map(Some),
        None => Ok(None),
    }
}

async fn listen(setting: &'static str, address: SocketAddr) -> Result<Bound, BindError> {
    let listener = TcpListener::bind(address).await.map_err(|cause| match cause.kind() {
        std::io::ErrorKind::AddrInUse => BindError::Taken { setting, address },
        _ => BindError::Listen { setting, address, cause },
    })?;
    let bound = listener.local_addr().map_err(|cause| BindError::Listen { setting, address, cause })?;
    Ok((listener, bound))
}
