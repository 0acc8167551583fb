//! A client that says exactly the bytes it is given, and a server to say them to.

#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use rollbook::http::guard::{self, Hosts, Peer};
use rollbook::http::{failed, refused};
use rollbook::server::accept::{Door, Drained, Limits, serve};
use rollbook::tls::Tls;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use warp::reply::Response;

/// Nothing here takes this long. What does is a failure, not a slow machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// The length of the body at `/large`: more than the system takes off the server's hands while nobody reads.
pub(crate) const LARGE: usize = 16 << 20;

/// The future's output; a failed test where there is none.
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: still waiting"))
}

/// A running server.
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    /// Told whenever a request for `/wait` has begun.
    pub(crate) begun: Arc<Notify>,
    /// Lets one request for `/wait` go on.
    pub(crate) go_on: Arc<Notify>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Drained>,
}

impl Running {
    pub(crate) fn port(&self) -> u16 {
        self.addr.port()
    }

    /// Tells the server to stop, without waiting for it.
    pub(crate) fn stop(self) -> JoinHandle<Drained> {
        self.stop.send(()).unwrap();
        self.served
    }

    /// Whether `/health` is answered with 200 on a new connection.
    pub(crate) async fn is_well(&self) -> bool {
        let mut wire = Wire::to(self.addr).await;
        wire.say(&self.get("/health")).await;
        wire.status().await == Some(200)
    }

    /// A GET that asks for the connection to be kept.
    pub(crate) fn get(&self, path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", self.port())
    }
}

/// Starts a server with these limits on a free port of 127.0.0.1.
pub(crate) async fn start(limits: Limits) -> Running {
    start_with(None, limits).await
}

/// The same, within TLS if there is some. When it has stopped, nothing of the service
/// is left in any task.
pub(crate) async fn start_with(tls: Option<Tls>, limits: Limits) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (stop, stopped) = oneshot::channel::<()>();
    let in_use = Arc::new(());
    let (used, b, g) = (Arc::clone(&in_use), Arc::clone(&begun), Arc::clone(&go_on));
    let service = tower::service_fn(move |request| {
        let (used, answer) = (Arc::clone(&used), answer(request, Arc::clone(&b), Arc::clone(&g)));
        async move {
            let answer = answer.await;
            drop(used);
            answer
        }
    });
    let served = tokio::spawn(async move {
        let (fault, until) = (|fault, _: &_| failed(fault), async { stopped.await.unwrap_or_default() });
        let drained = serve(Door::with_tls(listener, tls), service, fault, limits, Arc::default(), until).await;
        assert_eq!(Arc::strong_count(&in_use), 1);
        drained
    });
    Running { addr, begun, go_on, stop, served }
}

/// What the routes of a server would do, and paths that misbehave.
async fn answer(request: Request<Incoming>, begun: Arc<Notify>, go_on: Arc<Notify>) -> Result<Response, Infallible> {
    let peer = *request.extensions().get::<Peer>().unwrap();
    if let Err(refusal) = guard::check(&request, &Hosts::default(), peer) {
        return Ok(refused(refusal));
    }
    match request.uri().path() {
        "/health" | "/api/webhooks/clerk" => match request.into_body().collect().await {
            Ok(body) => Ok(Response::new(body.to_bytes().into())),
            Err(_) => Ok(status(StatusCode::BAD_REQUEST)),
        },
        "/wait" => {
            begun.notify_one();
            go_on.notified().await;
            Ok(Response::new("waited".into()))
        }
        "/panic" => panic!("on purpose"),
        "/refuse" => Ok(status(StatusCode::PAYLOAD_TOO_LARGE)),
        "/large" => Ok(Response::new(vec![b'x'; LARGE].into())),
        _ => Ok(status(StatusCode::NOT_FOUND)),
    }
}

fn status(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

/// One connection of a client.
pub(crate) struct Wire(TcpStream);

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }

    /// A header's value; names in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

impl Wire {
    pub(crate) async fn to(addr: SocketAddr) -> Self {
        Self(soon("connect", TcpStream::connect(addr)).await.unwrap())
    }

    /// A connection with buffers so small that answers soon fill them, and nothing is sent that is not read.
    pub(crate) async fn narrow(addr: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.set_send_buffer_size(1 << 16).unwrap();
        Self::over(socket, addr).await
    }

    /// A connection over this socket.
    pub(crate) async fn over(socket: TcpSocket, addr: SocketAddr) -> Self {
        Self(soon("connect", socket.connect(addr)).await.unwrap())
    }

    pub(crate) async fn say(&mut self, bytes: &(impl AsRef<[u8]> + ?Sized)) {
        self.try_say(bytes).await.unwrap();
    }

    pub(crate) async fn try_say(&mut self, bytes: &(impl AsRef<[u8]> + ?Sized)) -> std::io::Result<()> {
        soon("say", self.0.write_all(bytes.as_ref())).await
    }

    /// The next answer without its body, or `None` when the server closed instead.
    pub(crate) async fn head(&mut self) -> Option<Answer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.byte().await?);
        }
        Some(Answer { head: String::from_utf8(head).unwrap(), body: Vec::new() })
    }

    /// The next answer, or `None` when the server closed instead.
    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        let mut answer = self.head().await?;
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        answer.body.resize(length, 0);
        soon("body", self.0.read_exact(&mut answer.body)).await.unwrap();
        Some(answer)
    }

    /// So many bytes of an answer whose head was read.
    pub(crate) async fn body(&mut self, length: usize) -> Vec<u8> {
        let mut body = vec![0; length];
        soon("body", self.0.read_exact(&mut body)).await.unwrap();
        body
    }

    pub(crate) async fn status(&mut self) -> Option<u16> {
        self.answer().await.map(|answer| answer.status())
    }

    async fn byte(&mut self) -> Option<u8> {
        soon("answer", self.0.read_u8()).await.ok()
    }

    /// All that still comes until the server closes, which it must.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = soon("close", self.0.read_to_end(&mut rest)).await;
        rest
    }

    /// The same, while saying this over and over. Fails the test if the server never closes.
    pub(crate) async fn rest_while_saying(&mut self, bytes: &str, pace: Duration) -> Vec<u8> {
        let (mut reader, mut writer) = self.0.split();
        let mut rest = Vec::new();
        let talk = async {
            while writer.write_all(bytes.as_bytes()).await.is_ok() {
                tokio::time::sleep(pace).await;
            }
            // Closed on them: the reader is about to find out.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = soon("close", reader.read_to_end(&mut rest)) => rest,
            () = talk => unreachable!(),
        }
    }

    /// Whether the server closed and said nothing before.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.rest().await.is_empty()
    }
}
