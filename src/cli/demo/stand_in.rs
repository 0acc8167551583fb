//! What stands in for Clerk: a server on this machine that publishes the issuer's keys.

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Error;
use crate::clerk::issuer::Issuer;
use crate::http::Fault;
use crate::server::accept::{Drained, Limits, serve};

/// A running stand-in.
pub(super) struct StandIn {
    /// The issuer its tokens name; also where it listens.
    pub(super) url: String,
    pub(super) issuer: Arc<Issuer>,
    end: oneshot::Sender<()>,
    served: JoinHandle<Drained>,
}

impl StandIn {
    /// Starts on a free port of this machine.
    pub(super) async fn start(instance: &'static str) -> Result<Self, Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let name = url.clone();
        // Making a key keeps a thread busy for a while.
        let made = tokio::task::spawn_blocking(move || Issuer::generate(name, instance)).await;
        let issuer = Arc::new(made.map_err(io::Error::other)??);
        let keys = issuer.clone();
        let service = tower::service_fn(move |request: Request<Incoming>| {
            let answer = answer(&request, &keys);
            async move { Ok::<_, Infallible>(answer) }
        });
        let (end, ended) = oneshot::channel::<()>();
        let ended = async move { drop(ended.await) };
        let served = tokio::spawn(serve(
            listener,
            service,
            |fault, _: &_| failed(fault),
            Limits::default(),
            Arc::default(),
            ended,
        ));
        Ok(Self { url, issuer, end, served })
    }

    /// Stops it.
    pub(super) async fn stop(self) {
        drop(self.end);
        let _ = self.served.await;
    }
}

fn answer(request: &Request<Incoming>, issuer: &Issuer) -> Response<Full<Bytes>> {
    match request.uri().path() {
        "/.well-known/jwks.json" => Response::new(Full::from(issuer.jwks().to_owned())),
        _ => status(StatusCode::NOT_FOUND),
    }
}

fn failed(_: Fault) -> Response<Full<Bytes>> {
    status(StatusCode::INTERNAL_SERVER_ERROR)
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}
