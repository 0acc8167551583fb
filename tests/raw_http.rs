//! The server against clients that do not keep to the rules, byte by byte.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "common/raw.rs"]
mod raw;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use raw::{LARGE, Running, Wire, soon, start};
use rollbook::server::accept::{Drained, Limits};

/// Short enough to wait for.
const SHORT: Duration = Duration::from_millis(300);

/// The status of the one answer to these bytes, and whether the connection was closed after it. `HOST` in
/// them stands for the server's own.
async fn ask(server: &Running, bytes: &str) -> (Option<u16>, bool) {
    let mut wire = Wire::to(server.addr).await;
    wire.say(&bytes.replace("HOST", &format!("localhost:{}", server.port()))).await;
    let status = wire.status().await;
    let _ = wire.try_say(&server.get("/health")).await;
    (status, wire.answer().await.is_none())
}

async fn statuses(server: &Running, requests: &[(&str, u16)]) {
    for (bytes, expected) in requests {
        assert_eq!(ask(server, bytes).await.0, Some(*expected), "{bytes:?}");
    }
    assert!(server.is_well().await);
}

const POST: &str = "POST /api/webhooks/clerk HTTP/1.1\r\nHost: HOST\r\n";

#[tokio::test]
async fn bodies_of_doubtful_length_are_refused() {
    let server = start(Limits::default()).await;
    let heads = [
        "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Content-Length: 3, 3\r\n",
        "Content-Length: +3\r\n",
        "Content-Length: 0x3\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length : 3\r\n",
        "Content-Length:\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "X-Nul: a\0b\r\nContent-Length: 3\r\n",
    ];
    for head in heads {
        // Were the length read as anybody else might, what follows would be a second request.
        let (status, closed) = ask(&server, &format!("{POST}{head}\r\n0\r\n\r\n")).await;
        assert_eq!((status, closed), (Some(400), true), "{head:?}");
    }
    let (status, closed) =
        ask(&server, "POST /health HTTP/1.0\r\nHost: HOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await;
    assert_eq!((status, closed), (Some(400), true));
    assert!(server.is_well().await);
}

#[tokio::test]
async fn broken_chunks_end_the_request() {
    let server = start(Limits::default()).await;
    for chunks in
        ["fffffffffffffffff\r\nabc\r\n0\r\n\r\n", "3\nabc\n0\n\n", "3\r\nabcd\r\n0\r\n\r\n", "+3\r\nabc\r\n0\r\n\r\n"]
    {
        let (status, closed) = ask(&server, &format!("{POST}Transfer-Encoding: chunked\r\n\r\n{chunks}")).await;
        assert_eq!((status, closed), (Some(400), true), "{chunks:?}");
    }
}

#[tokio::test]
async fn heads_too_large_are_refused() {
    let server = start(Limits::default()).await;
    let with = |headers: usize| {
        let lines = "X-A: b\r\n".repeat(headers);
        format!("GET /health HTTP/1.1\r\nHost: HOST\r\n{lines}\r\n")
    };
    let long = |length: usize| format!("GET /health?{} HTTP/1.1\r\nHost: HOST\r\n\r\n", "a".repeat(length));
    assert_eq!(ask(&server, &with(63)).await, (Some(200), false));
    assert_eq!(ask(&server, &with(64)).await, (Some(431), true));
    assert_eq!(ask(&server, &with(101)).await, (Some(431), true));
    assert_eq!(ask(&server, &long(8_000)).await, (Some(200), false));
    assert_eq!(ask(&server, &long(70_000)).await, (Some(431), true));
}

#[tokio::test]
async fn harmless_oddities_are_accepted() {
    let server = start(Limits::default()).await;
    for request in [
        "GET /health HTTP/1.1\nHost: HOST\n\n",
        "POST /health HTTP/1.1\r\nHost: HOST\r\nTransfer-Encoding: Chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n",
        "POST /health HTTP/1.1\r\nHost: HOST\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        "GET /health HTTP/1.1\r\nhost:HOST\r\n\r\n",
    ] {
        assert_eq!(ask(&server, request).await, (Some(200), false), "{request:?}");
    }
}

/// A length beside a transfer encoding is dropped before we see it. A proxy that believed the length would
/// take what follows for its own next request, or for the body: so it is one request, and the last.
#[tokio::test]
async fn with_both_lengths_the_transfer_encoding_wins_and_nothing_follows() {
    let server = start(Limits::default()).await;
    let smuggled = server.get("/health");
    let both = [
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}", 5 + smuggled.len()),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n\r\n0\r\n\r\n{smuggled}", 5 + smuggled.len()),
        format!(
            "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{smuggled}\r\n0\r\n\r\n",
            smuggled.len()
        ),
    ];
    for request in both {
        let mut wire = Wire::to(server.addr).await;
        wire.say(&format!("{POST}{request}").replace("HOST", &format!("localhost:{}", server.port()))).await;
        let answer = wire.answer().await.unwrap();
        assert!(answer.body.is_empty() || answer.body == smuggled.as_bytes(), "{request:?}");
        assert!(wire.is_closed().await, "{request:?}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_turn() {
    let server = start(Limits::default()).await;
    let mut wire = Wire::to(server.addr).await;
    wire.say(&[server.get("/health"), server.get("/nowhere"), server.get("/health")].concat()).await;
    assert_eq!((wire.status().await, wire.status().await, wire.status().await), (Some(200), Some(404), Some(200)));
}

#[tokio::test]
async fn a_head_has_its_time() {
    let server = start(Limits { head: SHORT, ..Limits::default() }).await;
    assert!(Wire::to(server.addr).await.is_closed().await, "idle");

    let mut partial = Wire::to(server.addr).await;
    partial.say("GET /health HTTP/1.1\r\nHost: loc").await;
    assert!(partial.is_closed().await, "partial head");

    let mut drip = Wire::to(server.addr).await;
    drip.say("GET /health HTTP/1.1\r\n").await;
    assert_eq!(drip.rest_while_saying("X-A: b\r\n", SHORT / 10).await, b"", "dripping head");

    let mut kept = Wire::to(server.addr).await;
    kept.say(&server.get("/health")).await;
    assert_eq!(kept.status().await, Some(200));
    assert!(kept.is_closed().await, "kept alive and idle");
    assert!(server.is_well().await);
}

#[tokio::test]
async fn a_dripping_body_is_given_up() {
    let server = start(Limits { answer: SHORT, ..Limits::default() }).await;
    let mut wire = Wire::to(server.addr).await;
    wire.say(&format!("POST /health HTTP/1.1\r\nHost: localhost:{}\r\nContent-Length: 99999\r\n\r\n", server.port()))
        .await;
    let rest = wire.rest_while_saying("a", SHORT / 10).await;
    assert!(rest.starts_with(b"HTTP/1.1 503 "), "{}", String::from_utf8_lossy(&rest));
    assert!(server.is_well().await);
}

#[tokio::test]
async fn who_does_not_read_is_closed() {
    let server = start(Limits { stall: SHORT, ..Limits::default() }).await;
    let mut wire = Wire::narrow(server.addr).await;
    let requests = server.get("/health").repeat(100);
    while wire.try_say(&requests).await.is_ok() {}
    assert!(server.is_well().await);

    // Only a connection that ended by itself is not counted as cut.
    let server = start(Limits { stall: SHORT, ..Limits::default() }).await;
    let mut wire = Wire::narrow(server.addr).await;
    wire.say(&server.get("/large")).await;
    assert_eq!(wire.head().await.unwrap().status(), 200);
    assert_eq!(soon("drain", server.stop()).await.unwrap().cut, 0);
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let server = start(Limits::default()).await;
    let mut wire = Wire::narrow(server.addr).await;
    let size = 3 << 20;
    wire.say(&format!("POST /refuse HTTP/1.1\r\nHost: localhost:{}\r\nContent-Length: {size}\r\n\r\n", server.port()))
        .await;
    wire.say(&vec![b'a'; size]).await;
    assert_eq!(wire.status().await, Some(413));
    assert!(wire.is_closed().await);
}

#[tokio::test]
async fn a_connection_has_its_lifetime() {
    let server = start(Limits { lifetime: SHORT, ..Limits::default() }).await;
    let mut polite = Wire::to(server.addr).await;
    while polite.try_say(&server.get("/health")).await.is_ok() {
        let Some(answer) = polite.answer().await else { break };
        assert_eq!(answer.status(), 200);
    }
    let mut busy = Wire::to(server.addr).await;
    busy.rest_while_saying(&server.get("/health").repeat(50), Duration::ZERO).await;
    assert!(server.is_well().await);
}

#[tokio::test]
async fn a_request_may_outlive_its_connection_s_lifetime() {
    let server = start(Limits { lifetime: SHORT, ..Limits::default() }).await;
    let mut wire = Wire::to(server.addr).await;
    wire.say(&server.get("/wait")).await;
    soon("begin", server.begun.notified()).await;
    // The younger connection is over, so the older one is too.
    assert!(Wire::to(server.addr).await.is_closed().await);
    server.go_on.notify_one();
    assert_eq!(wire.answer().await.unwrap().body, b"waited");
    assert!(wire.is_closed().await);

    let server = start(Limits { lifetime: SHORT, overtime: SHORT, ..Limits::default() }).await;
    let mut wire = Wire::to(server.addr).await;
    wire.say(&server.get("/wait")).await;
    assert!(wire.is_closed().await, "but not for ever");
}

#[tokio::test]
async fn http_2_is_not_spoken() {
    let server = start(Limits::default()).await;
    let mut wire = Wire::to(server.addr).await;
    wire.say(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    assert!(wire.is_closed().await);

    let mut wire = Wire::to(server.addr).await;
    let upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    wire.say(&server.get("/health").replace("\r\n\r\n", &format!("\r\n{upgrade}"))).await;
    let answer = wire.answer().await.unwrap();
    assert_eq!((answer.status(), answer.header("upgrade")), (200, None));
    wire.say(&server.get("/health")).await;
    assert_eq!(wire.status().await, Some(200), "still HTTP/1.1");
}

#[tokio::test]
async fn a_request_names_one_host() {
    let server = start(Limits::default()).await;
    statuses(
        &server,
        &[
            ("GET /health HTTP/1.1\r\n\r\n", 400),
            ("GET /health HTTP/1.0\r\n\r\n", 400),
            ("GET /health HTTP/1.1\r\nHost:\r\n\r\n", 400),
            ("GET /health HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\n\r\n", 400),
            ("GET /health HTTP/1.1\r\nHost: HOST, HOST\r\n\r\n", 400),
            ("GET /health HTTP/1.1\r\nHost: evil@HOST\r\n\r\n", 400),
            ("GET /health HTTP/1.1\r\nHost: HOST/\r\n\r\n", 400),
            ("GET http://evil/health HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
            ("GET http://HOST/health HTTP/1.1\r\nHost: evil\r\n\r\n", 400),
            ("GET http://HOST/health HTTP/1.1\r\nHost: HOST\r\n\r\n", 200),
            ("GET /health HTTP/1.0\r\nHost: HOST\r\n\r\n", 200),
        ],
    )
    .await;
}

#[tokio::test]
async fn another_s_host_is_misdirected_on_every_route() {
    let server = start(Limits::default()).await;
    let port = server.port();
    let others = [
        "evil".to_owned(),
        format!("evil:{port}"),
        "127.0.0.1.evil".to_owned(),
        format!("127.0.0.1.evil:{port}"),
        "localhost".to_owned(),
        "localhost:81".to_owned(),
        format!("localhost.:{port}"),
        format!("[::1]:{port}"),
        format!("127.0.0.2:{port}"),
        format!("0.0.0.0:{port}"),
    ];
    for host in &others {
        for route in ["GET /", "GET /health", "POST /api/webhooks/clerk", "GET /admin", "GET /nowhere", "OPTIONS *"] {
            let (status, closed) = ask(&server, &format!("{route} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
            assert_eq!((status, closed), (Some(421), true), "{route} at {host}");
        }
    }
    for host in [format!("LocalHost:{port}"), format!("127.0.0.1:{port}")] {
        assert_eq!(ask(&server, &format!("GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n")).await.0, Some(200));
    }
}

#[tokio::test]
async fn methods_out_of_use_are_refused() {
    let server = start(Limits::default()).await;
    for request in ["TRACE /health", "BREW /health", "get /health", "CONNECT HOST", "CONNECT evil:443"] {
        let mut wire = Wire::to(server.addr).await;
        let host = format!("localhost:{}", server.port());
        wire.say(&format!("{request} HTTP/1.1\r\nHost: HOST\r\nX-Secret: echo\r\n\r\n").replace("HOST", &host)).await;
        let answer = wire.answer().await.unwrap();
        assert_eq!(answer.status(), 405, "{request}");
        assert_eq!(answer.header("allow"), Some("GET, HEAD, POST, PATCH, DELETE, OPTIONS"));
        assert!(!answer.body.windows(4).any(|four| four == b"echo"));
    }
}

#[tokio::test]
async fn a_panic_is_one_500() {
    let server = start(Limits::default()).await;
    let mut neighbour = Wire::to(server.addr).await;
    neighbour.say(&server.get("/wait")).await;
    soon("begin", server.begun.notified()).await;
    for _ in 0..3 {
        assert_eq!(ask(&server, &server.get("/panic")).await.0, Some(500));
    }
    assert!(server.is_well().await);
    server.go_on.notify_one();
    assert_eq!(neighbour.status().await, Some(200));
}

#[tokio::test]
async fn one_connection_too_many_is_closed_while_requests_are_under_way_on_all() {
    let server = start(Limits { connections: 2, ..Limits::default() }).await;
    let mut wires = Vec::new();
    for _ in 0..2 {
        let mut wire = Wire::to(server.addr).await;
        wire.say(&server.get("/wait")).await;
        soon("begin", server.begun.notified()).await;
        wires.push(wire);
    }
    assert!(Wire::to(server.addr).await.is_closed().await);
    server.go_on.notify_one();
    soon("room", async { while !server.is_well().await {} }).await;
    server.go_on.notify_one();
    for mut wire in wires {
        // One of them may have made room once it was answered, and not before.
        assert_eq!(wire.answer().await.unwrap().body, b"waited");
    }
    let Drained { cut, refused } = soon("drain", server.stop()).await.unwrap();
    assert_eq!(cut, 0);
    assert!(refused >= 1);
}

#[tokio::test]
async fn the_longest_idle_connection_makes_room() {
    let server = start(Limits { connections: 3, ..Limits::default() }).await;
    let mut busy = Wire::to(server.addr).await;
    busy.say(&server.get("/wait")).await;
    soon("begin", server.begun.notified()).await;
    let mut silent = Wire::to(server.addr).await;
    let mut kept = Wire::to(server.addr).await;
    kept.say(&server.get("/health")).await;
    assert_eq!(kept.status().await, Some(200));

    assert!(server.is_well().await);
    assert!(silent.is_closed().await, "it was there first and said nothing");
    // Half a head keeps no place either.
    let mut half = Wire::to(server.addr).await;
    half.say("GET /health HTTP/1.1\r\nHost: loc").await;
    let mut later = Vec::new();
    for _ in 0..2 {
        let mut wire = Wire::to(server.addr).await;
        wire.say(&server.get("/health")).await;
        assert_eq!(wire.status().await, Some(200));
        later.push(wire);
    }
    assert!(half.is_closed().await && kept.is_closed().await);
    server.go_on.notify_one();
    assert_eq!(busy.answer().await.unwrap().body, b"waited", "a request that is under way does not give way");
    busy.say(&server.get("/health")).await;
    assert_eq!(busy.status().await, Some(200), "and its connection goes on");
    assert_eq!(soon("drain", server.stop()).await.unwrap(), Drained { cut: 0, refused: 0 });
}

#[tokio::test]
async fn who_is_still_reading_an_answer_does_not_make_room() {
    let server = start(Limits { connections: 1, ..Limits::default() }).await;
    let mut reader = Wire::narrow(server.addr).await;
    reader.say(&server.get("/large")).await;
    let answer = reader.head().await.unwrap();
    assert!(Wire::to(server.addr).await.is_closed().await);
    assert_eq!(answer.header("content-length"), Some(&*LARGE.to_string()));
    assert_eq!(soon("body", reader.body(LARGE)).await.len(), LARGE);
    soon("room", async { while !server.is_well().await {} }).await;
    assert!(soon("drain", server.stop()).await.unwrap().refused >= 1);
}

#[tokio::test]
async fn stopping_finishes_what_has_begun() {
    let server = start(Limits::default()).await;
    let (addr, go_on) = (server.addr, server.go_on.clone());
    let mut kept = Wire::to(addr).await;
    kept.say(&server.get("/health")).await;
    assert_eq!(kept.status().await, Some(200));
    let mut fresh = Wire::to(addr).await;
    let mut busy = Wire::to(addr).await;
    busy.say(&server.get("/wait")).await;
    soon("begin", server.begun.notified()).await;

    let ending = server.stop();
    assert!(kept.is_closed().await && fresh.is_closed().await);
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
    go_on.notify_one();
    assert_eq!(busy.answer().await.unwrap().body, b"waited");
    assert_eq!(soon("drain", ending).await.unwrap(), Drained { cut: 0, refused: 0 });
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let server = start(Limits { drain: SHORT, ..Limits::default() }).await;
    let begun = server.begun.clone();
    let mut busy = Wire::to(server.addr).await;
    busy.say(&server.get("/wait")).await;
    soon("begin", begun.notified()).await;
    assert_eq!(soon("drain", server.stop()).await.unwrap().cut, 1);
    assert!(busy.is_closed().await);
}

/// Counts the log's lines about failing to accept.
#[derive(Clone, Default)]
struct Complaints(Arc<AtomicUsize>);

impl std::io::Write for Complaints {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.fetch_add(String::from_utf8_lossy(line).matches("cannot accept").count(), Ordering::Relaxed);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Runs itself again with room for few open files, then leaves none for the connection to be accepted.
#[cfg(unix)]
#[tokio::test]
async fn out_of_descriptors_the_server_waits_for_some() {
    const INSIDE: &str = "ROLLBOOK_TEST_FEW_FILES";
    if std::env::var_os(INSIDE).is_none() {
        let mut again = std::process::Command::new("sh");
        again.args(["-c", "ulimit -n 40 && exec \"$0\" --exact out_of_descriptors_the_server_waits_for_some"]);
        assert!(again.arg(std::env::current_exe().unwrap()).env(INSIDE, "1").status().unwrap().success());
        return;
    }
    let log = Complaints::default();
    let (lines, complaints) = (log.clone(), || log.0.load(Ordering::Relaxed));
    let logging = tracing_subscriber::fmt().with_writer(move || lines.clone()).finish();
    let _logging = tracing::subscriber::set_default(logging);

    let server = start(Limits::default()).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    let files: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
    let mut wire = Wire::over(socket, server.addr).await;
    wire.say(&server.get("/health")).await;
    soon("complaint", async {
        while complaints() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    drop(files);
    assert_eq!(wire.status().await, Some(200));
    assert!(complaints() < 50, "it tried {} times", complaints());

    // Where somebody is idle, nobody need wait for that.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    let files: Vec<_> = std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect();
    let mut next = Wire::over(socket, server.addr).await;
    next.say(&server.get("/health")).await;
    assert_eq!(next.status().await, Some(200));
    assert!(wire.is_closed().await);
    drop(files);
}
