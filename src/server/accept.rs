//! The accept loop: HTTP/1.1 and nothing else, by itself or within TLS, with a limit on everything a client can hold on to.
//!
//! A connection is one task. It ends when the client closes it, when a limit says so, or when the server
//! stops; a request that is being answered is finished first, within the time left. When there is no room for one more, the
//! one that has been idle for longest makes it (`seats`).

mod body;
mod handshake;
mod line;
mod seats;

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tower::{Service, ServiceExt as _};
use tracing::{debug, warn};

use self::body::Counted;
use self::line::Line;
use self::seats::{Seat, Seats, State};
use crate::http::Fault;
use crate::http::guard::Peer;
use crate::http::metrics::{Connections, Open};
use crate::tls::Tls;

/// Where connections come in, and whether they begin with a handshake.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    tls: Option<Tls>,
}

/// What clients may use. The defaults are for the open internet.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once. For one more the longest idle is closed; while requests are under way on all, it is itself.
    pub connections: usize,
    /// The same for one IPv4 address or one IPv6 /64, among its own; loopback and trusted proxies have no such limit.
    pub per_peer: usize,
    /// The proxies whose clients share their address.
    pub trusted: Vec<IpNet>,
    /// From the start of a connection to the end of its handshake, where there is one.
    pub handshake: Duration,
    /// From the start of a request, or of the wait for it, to the end of its head.
    pub head: Duration,
    /// From the end of a request's head to the start of its answer.
    pub answer: Duration,
    /// A client that takes nothing of its answer for so long is closed.
    pub stall: Duration,
    /// The age at which a connection takes no more requests.
    pub lifetime: Duration,
    /// How long the request being answered at that age may go on.
    pub overtime: Duration,
    /// How long requests may go on once the server stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            per_peer: 64,
            trusted: Vec::new(),
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            lifetime: Duration::from_mins(2),
            overtime: Duration::from_mins(30),
            drain: Duration::from_secs(10),
        }
    }
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Drained {
    /// Connections that were cut, as they did not end within [`Limits::drain`].
    pub cut: usize,
    /// Connections that were closed when they came, for want of room.
    pub refused: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    Draining,
    Cutting,
}

impl Door {
    /// Through which all speak TLS.
    #[must_use]
    pub const fn with_tls(listener: TcpListener, tls: Option<Tls>) -> Self {
        Self { listener, tls }
    }
}

impl From<TcpListener> for Door {
    /// Through which nobody speaks TLS.
    fn from(listener: TcpListener) -> Self {
        Self { listener, tls: None }
    }
}

/// What all connections share, and nothing in it is locked while a request is answered.
#[derive(Debug)]
struct Shared {
    http: http1::Builder,
    tls: Option<Tls>,
    limits: Limits,
}

/// What a connection holds to its end.
#[derive(Debug)]
struct Place {
    phase: watch::Receiver<Phase>,
    seat: Seat,
    open: Open,
}

/// Serves connections until `shutdown`, then lets them finish, and counts them in `counts`. Every request carries its
/// [`Peer`] in its extensions. `fault` makes the answer to a request with that method whose handler failed.
///
/// When it returns, the tasks of all connections are gone, and with them their clones of `service`, unless
/// a handler blocks its thread.
pub async fn serve<S, B, F>(
    door: impl Into<Door>,
    service: S,
    fault: F,
    limits: Limits,
    counts: Arc<Connections>,
    shutdown: impl Future<Output = ()>,
) -> Drained
where
    F: Fn(Fault, &Method) -> Response<B> + Clone + Send + Sync + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let (Door { listener, tls }, drain) = (door.into(), limits.drain);
    let connections = watch::Sender::new(Phase::Serving);
    let seats = Arc::new(Seats::new(limits.connections, limits.per_peer, limits.trusted.clone()));
    let shared = Arc::new(Shared { http: builder(&limits), tls, limits });
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, remote) = tokio::select! {
            () = shutdown.as_mut() => break,
            accepted = next(&listener, &seats, &counts) => accepted,
        };
        let Some(taking) = seats.take(remote.ip()) else {
            refuse(&counts);
            continue;
        };
        if taking.gave_way {
            close_idle(&counts);
        }
        if let Ok((stream, peer)) = prepare(stream, remote) {
            let place = Place { phase: connections.subscribe(), seat: taking.seat, open: counts.open() };
            tokio::spawn(connection(stream, peer, service.clone(), fault.clone(), Arc::clone(&shared), place));
        }
    }
    drop(listener);
    Drained { cut: close(&connections, drain).await, refused: counts.refused() }
}

fn builder(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(32 * 1024).max_headers(64);
    http
}

/// Counts a connection that finds no room. Said at each doubling: a flood must not be able to fill the log.
fn refuse(counts: &Connections) {
    let refused = counts.refuse();
    if refused.is_power_of_two() {
        warn!(refused, "connections refused, there are too many");
    }
}

/// Counts a connection that makes room for another. Said at each doubling.
fn close_idle(counts: &Connections) {
    let closed = counts.close_idle();
    if closed.is_power_of_two() {
        warn!(closed, "idle connections closed to make room for others");
    }
}

/// The next connection. Errors are waited out: out of descriptors, `accept` fails at once and again until
/// some are closed, and the longest idle connection has to give its own.
async fn next(listener: &TcpListener, seats: &Seats, counts: &Connections) -> (TcpStream, SocketAddr) {
    let mut pause = Duration::from_millis(50);
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_theirs(&error) => debug!(%error, "a connection was gone before it was accepted"),
            Err(error) => {
                warn!(%error, "cannot accept connections");
                sleep(pause).await;
                // Its descriptor is free once its task has run.
                if seats.make_room() {
                    close_idle(counts);
                } else {
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
            }
        }
    }
}

fn is_theirs(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

fn prepare(stream: TcpStream, remote: SocketAddr) -> io::Result<(TcpStream, Peer)> {
    stream.set_nodelay(true)?;
    let peer = Peer::new(remote, stream.local_addr()?);
    Ok((stream, peer))
}

/// One connection, from its first byte to its last.
async fn connection<S, B, F>(stream: TcpStream, peer: Peer, service: S, fault: F, shared: Arc<Shared>, mut place: Place)
where
    F: Fn(Fault, &Method) -> Response<B> + Clone + Send + Sync + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    B: Body<Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    let line = Line::new(stream, shared.limits.stall, Arc::clone(&place.seat.state));
    match &shared.tls {
        None => converse(line, peer, service, fault, &shared, &mut place).await,
        Some(tls) => {
            if let Some(stream) = handshake::shake_hands(tls, line, peer, shared.limits.handshake, &mut place).await {
                converse(stream, peer, service, fault, &shared, &mut place).await;
            }
        }
    }
}

/// Requests and answers, for as long as there are any.
async fn converse<T, S, B, F>(io: T, peer: Peer, service: S, fault: F, shared: &Shared, place: &mut Place)
where
    T: AsyncRead + AsyncWrite + Unpin,
    F: Fn(Fault, &Method) -> Response<B> + Clone + Send + Sync + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    B: Body<Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    let Limits { answer, lifetime, overtime, .. } = shared.limits;
    let state = Arc::clone(&place.seat.state);
    let begun = Arc::clone(&state);
    let handler = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let (state, service, fault) = (Arc::clone(&begun), service.clone(), fault.clone());
        async move {
            if !state.begin() {
                // Nothing was done for this request, and nothing is: the connection's task is about to see that.
                return std::future::pending().await;
            }
            let counted = Counted::guard(state);
            respond(service, request, fault, answer).await.map(|answer| answer.map(|body| counted.over(body)))
        }
    });
    let mut http = pin!(shared.http.serve_connection(TokioIo::new(io), handler));
    // The limits are polled first: what a busy client makes the connection do counts against what the runtime
    // lets a task do at one go, and a timer polled after that is spent does not see its time come.
    tokio::select! {
        biased;
        () = sleep(lifetime) => (),
        _ = place.phase.wait_for(|phase| *phase != Phase::Serving) => (),
        () = state.told_to_leave() => return debug!(%peer.remote, "an idle connection made room"),
        ended = settled(http.as_mut(), &state) => return log(peer, ended),
    }
    http.as_mut().graceful_shutdown();
    tokio::select! {
        biased;
        () = sleep(overtime) => debug!(%peer.remote, "cut a connection that did not end"),
        _ = place.phase.wait_for(|phase| *phase == Phase::Cutting) => (),
        () = state.told_to_leave() => debug!(%peer.remote, "an idle connection made room"),
        ended = settled(http, &state) => log(peer, ended),
    }
}

/// Waits for the end of a connection. Whenever it can do nothing more for now, that is when its state is looked at.
async fn settled<F: Future>(mut http: Pin<&mut F>, state: &State) -> F::Output {
    std::future::poll_fn(|cx| {
        let ended = http.as_mut().poll(cx);
        state.settle();
        ended
    })
    .await
}

fn log(peer: Peer, ended: hyper::Result<()>) {
    if let Err(error) = ended {
        debug!(%peer.remote, %error, "a connection broke off");
    }
}

async fn respond<S, B>(
    service: S,
    request: Request<Incoming>,
    fault: impl Fn(Fault, &Method) -> Response<B>,
    limit: Duration,
) -> Result<Response<B>, Infallible>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
{
    let method = request.method().clone();
    match timeout(limit, caught(service.oneshot(request))).await {
        Ok(Some(answer)) => answer,
        Ok(None) => Ok(fault(Fault::Panicked, &method)),
        Err(_) => Ok(fault(Fault::TooSlow, &method)),
    }
}

/// What the future says, or `None` when it panics; nothing of it is used after that.
async fn caught<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// Lets the connections end, cuts those that have not by then, and says how many those were.
async fn close(connections: &watch::Sender<Phase>, limit: Duration) -> usize {
    connections.send_replace(Phase::Draining);
    if timeout(limit, connections.closed()).await.is_ok() {
        return 0;
    }
    let cut = connections.receiver_count();
    connections.send_replace(Phase::Cutting);
    // Their tasks need only run once more.
    if timeout(Duration::from_secs(1), connections.closed()).await.is_err() {
        warn!(left = connections.receiver_count(), "connections are stuck in handlers that block");
    }
    cut
}
