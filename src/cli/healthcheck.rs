//! `rollbook healthcheck`: for containers that have no curl.

use crate::clerk::sender::{self, probe, probe_own};
use crate::config::Local;
use crate::control::{Reply, Request, ask};
use crate::server::{reachable, scheme};

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
    let (url, answer) = if let Some(url) = url {
        let url = format!("{}/ready", url.trim_end_matches('/'));
        let answer = probe(&url).await?;
        (url, answer)
    } else {
        let url = format!("{}/ready", base(local).await);
        let answer = probe_own(&url).await?;
        (url, answer)
    };
    match answer.status {
        200 => Ok(()),
        status => Err(Error::NotReady { url, status }),
    }
}

/// Where the server on the data file listens, as far as it can be asked; else where the settings say it would.
pub async fn base(local: &Local) -> String {
    let listens = match ask(&local.data, &Request::Status).await {
        Ok(Some(Reply::Status { address, tls, .. })) => address.parse().ok().map(|address| (address, tls)),
        _ => None,
    };
    let (address, is_tls) = listens.unwrap_or((local.listen, local.tls.is_some()));
    format!("{}://{}", scheme(is_tls), reachable(address))
}
