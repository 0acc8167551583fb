//! `rollbook healthcheck`: for containers that have no curl.

use crate::clerk::sender::{self, probe};
use crate::config::Local;
use crate::control::{Reply, Request, ask};
use crate::server::reachable;

/// Why the server does not count as healthy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody answered.
    #[error(transparent)]
    NoAnswer(#[from] sender::Error),
    /// The server answered, but not that it is ready.
    #[error("{url} answered {status}")]
    NotReady {
        /// Where.
        url: String,
        /// What it answered.
        status: u16,
    },
}

/// Asks the server at `url`, else the one that runs on the data file, else the address it would listen on.
///
/// # Errors
/// Unless the server answers that it is ready.
pub async fn run(url: Option<&str>, local: &Local) -> Result<(), Error> {
    let base = match url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => base(local).await,
    };
    let url = format!("{base}/ready");
    match probe(&url).await?.status {
        200 => Ok(()),
        status => Err(Error::NotReady { url, status }),
    }
}

/// Where the server on the data file listens, as far as it can be asked; else where the settings say it would.
pub async fn base(local: &Local) -> String {
    let listens = match ask(&local.data, &Request::Status).await {
        Ok(Some(Reply::Status { address, .. })) => address.parse().ok(),
        _ => None,
    };
    format!("http://{}", reachable(listens.unwrap_or(local.listen)))
}
