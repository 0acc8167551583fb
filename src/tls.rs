//! TLS: the certificate that Rollbook shows where it is not behind a proxy that does, and its key. Both are read from files
//! that somebody else renews, are judged before they are served, and are read again when the files change.
//!
//! TLS 1.2 and 1.3 with what rustls holds to be safe, HTTP/1.1 alone, no client certificates, no early data (which could be
//! sent twice). What is resumed is resumed under tickets whose key is in memory, changes every few hours, and ends with the
//! certificate.

mod certificate;
mod pair;
mod watch;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use self::pair::Pair;
use self::watch::Look;
use crate::clock::Clock;

pub use self::certificate::Certificate;
pub use self::pair::Error;

/// The two files, each of them in PEM. They may be one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The server's own certificate, and after it those that lead from it to a root.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// A connection over which both sides have agreed on keys.
pub type Stream<T> = tokio_rustls::server::TlsStream<T>;

/// What is served, and from where. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: Files,
    clock: Clock,
    /// What the files were like just before they were first read.
    opened: Look,
    served: RwLock<Served>,
}

/// What is served now.
#[derive(Debug, Clone)]
struct Served {
    config: Arc<ServerConfig>,
    certificate: Arc<Certificate>,
    /// Why what is in the files since cannot be.
    trouble: Option<Arc<str>>,
}

impl Tls {
    /// Reads both files.
    ///
    /// # Errors
    /// When they cannot be served.
    pub fn open(files: Files, clock: Clock) -> Result<Self, Error> {
        let opened = Look::at(&files);
        let served = RwLock::new(Served::from(pair::read(&files, clock.now())?));
        Ok(Self(Arc::new(Inner { files, clock, opened, served })))
    }

    /// Agrees on keys with a client. Who has come before a change of the certificate goes on as they began.
    ///
    /// # Errors
    /// When that does not come about: why, and the connection, on which the client has been told.
    pub async fn accept<T: AsyncRead + AsyncWrite + Unpin>(&self, io: T) -> Result<Stream<T>, (io::Error, T)> {
        TlsAcceptor::from(self.served().config).accept(io).into_fallible().await
    }

    /// The two files.
    pub fn files(&self) -> &Files {
        &self.0.files
    }

    /// What is known of the certificate that is served.
    pub fn certificate(&self) -> Arc<Certificate> {
        self.served().certificate
    }

    /// Why what is in the files cannot be served, and what was in them before still is; `None` when all is well.
    pub fn trouble(&self) -> Option<Arc<str>> {
        self.served().trouble
    }

    /// Whether everybody on this machine can read the key.
    ///
    /// # Errors
    /// When its file cannot be looked at.
    pub fn is_exposed(&self) -> io::Result<bool> {
        pair::is_exposed(&self.0.files.key)
    }

    fn served(&self) -> Served {
        self.0.served.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes what the files hold now for what is served, or remembers why that cannot be.
    fn renew(&self, read: Result<Pair, Error>) {
        let mut served = self.0.served.write().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(pair) => {
                tracing::info!(not_after = %pair.certificate.not_after(), "tls.certificate_renewed");
                *served = pair.into();
            }
            Err(cause) => {
                let still = served.certificate.not_after();
                tracing::error!(%cause, served_until = %still, "tls.certificate_not_renewed");
                served.trouble = Some(cause.to_string().into());
            }
        }
    }
}

impl From<Pair> for Served {
    fn from(Pair { config, certificate }: Pair) -> Self {
        Self { config: Arc::new(config), certificate: Arc::new(certificate), trouble: None }
    }
}
