//! What a client can hold on to, within TLS or on its way there.

use std::sync::Arc;
use std::time::Duration;

use rollbook::clock::Clock;
use rollbook::server::accept::{Drained, Limits};
use rollbook::tls::{Files, Tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::authority::Authority;
use crate::raw::{LARGE, Running, Wire, soon, start_with};

/// The beginning of a handshake, of which 500 bytes are still to come.
const HALF_A_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03rollbook";

/// Limits that tests need not wait for.
fn short() -> Limits {
    let moment = Duration::from_millis(200);
    Limits { handshake: moment, head: moment, stall: moment, drain: moment, ..Limits::default() }
}

async fn start(limits: Limits) -> (Running, Authority) {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let [(_, certificate), (_, key)] = authority.make().write(dir.path());
    let files = Files { certificate: certificate.into(), key: key.into() };
    let tls = Tls::open(files, Clock::system()).unwrap();
    (start_with(Some(tls), limits).await, authority)
}

async fn connect(server: &Running, authority: &Authority) -> TlsStream<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    // So small that answers soon fill it.
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = soon("connect", socket.connect(server.addr)).await.unwrap();
    let connector = TlsConnector::from(Arc::clone(&authority.client()));
    soon("handshake", connector.connect(ServerName::from(server.addr.ip()), stream)).await.unwrap()
}

async fn is_well(server: &Running, authority: &Authority) -> bool {
    let mut stream = connect(server, authority).await;
    stream.write_all(server.get("/health").as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    soon("answer", stream.read_exact(&mut answer)).await.unwrap();
    &answer == b"HTTP/1.1 200"
}

#[tokio::test]
async fn a_handshake_has_its_time_and_nobody_waits_for_it() {
    let (server, authority) = start(Limits { handshake: Duration::from_secs(2), ..short() }).await;
    let mut half = Wire::to(server.addr).await;
    half.say(HALF_A_HELLO).await;
    let mut silent = Wire::to(server.addr).await;
    // Both are still there, and whoever comes is served.
    assert!(is_well(&server, &authority).await);
    assert!(half.is_closed().await && silent.is_closed().await);
    assert_eq!(soon("stop", server.stop()).await.unwrap(), Drained { cut: 0, refused: 0 });
}

#[tokio::test]
async fn a_half_done_handshake_makes_room() {
    let (server, authority) =
        start(Limits { connections: 2, handshake: Duration::from_hours(1), ..Limits::default() }).await;
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let mut half = Wire::to(server.addr).await;
        half.say(HALF_A_HELLO).await;
        waiting.push(half);
    }
    assert!(is_well(&server, &authority).await);
    assert!(waiting[0].is_closed().await, "the one that has waited longest");
}

#[tokio::test]
async fn what_is_no_handshake_is_told_so() {
    let (server, authority) = start(Limits::default()).await;
    let mut line = soon("connect", TcpStream::connect(server.addr)).await.unwrap();
    line.write_all(server.get("/health").repeat(1000).as_bytes()).await.unwrap();
    let mut told = Vec::new();
    // It comes to its end: with bytes left unread the connection would be reset, and what is told may be lost.
    soon("close", line.read_to_end(&mut told)).await.unwrap();
    // A fatal alert, and nothing else.
    assert_eq!((told.len(), &told[..1], told[5]), (7, &b"\x15"[..], 2), "{}", told.escape_ascii());
    assert!(is_well(&server, &authority).await);
}

#[tokio::test]
async fn who_does_not_read_is_given_up() {
    // That alone is to be in a hurry: whoever does read has the time for a handshake and a head.
    let (server, authority) = start(Limits { stall: short().stall, ..Limits::default() }).await;
    let mut stream = connect(&server, &authority).await;
    let asks = server.get("/large").repeat(8);
    stream.write_all(asks.as_bytes()).await.unwrap();
    // Nothing is read until the server has hung up, which is when nothing more can be sent either.
    let given_up = async {
        while stream.write_all(b"GET /").await.is_ok() {
            tokio::time::sleep(short().stall).await;
        }
    };
    soon("hang up", given_up).await;
    let mut heard = Vec::new();
    let ended = soon("end", stream.read_to_end(&mut heard)).await;
    assert!(ended.is_err() && heard.len() < 8 * LARGE, "{} bytes", heard.len());
    assert!(is_well(&server, &authority).await);
}

#[tokio::test]
async fn a_server_that_stops_says_so_and_finishes_what_is_under_way() {
    let (server, authority) = start(Limits::default()).await;
    let mut idle = connect(&server, &authority).await;
    let mut busy = connect(&server, &authority).await;
    busy.write_all(server.get("/wait").as_bytes()).await.unwrap();
    let (begun, go_on) = (Arc::clone(&server.begun), Arc::clone(&server.go_on));
    soon("request", begun.notified()).await;
    let stopped = server.stop();
    let mut said = Vec::new();
    // Closed as TLS has it, not cut: the end would be an error.
    soon("close", idle.read_to_end(&mut said)).await.unwrap();
    assert!(said.is_empty());
    go_on.notify_one();
    soon("answer", busy.read_to_end(&mut said)).await.unwrap();
    assert!(said.ends_with(b"waited"), "{}", said.escape_ascii());
    assert_eq!(soon("stop", stopped).await.unwrap().cut, 0);
}
