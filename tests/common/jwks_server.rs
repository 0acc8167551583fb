//! A JWKS address on this machine that answers what it is told to, when it is told to, and counts who asks.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The server; its task ends with the runtime.
#[derive(Debug)]
pub struct JwksServer {
    url: String,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    hits: AtomicUsize,
    answer: Mutex<Vec<u8>>,
    open: watch::Sender<bool>,
}

impl JwksServer {
    /// A server that answers with the document.
    pub async fn start(document: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/.well-known/jwks.json", listener.local_addr().unwrap());
        let shared = Shared { hits: AtomicUsize::new(0), answer: Mutex::default(), open: watch::Sender::new(true) };
        let server = Self { url, shared: Arc::new(shared) };
        server.publish(document);
        let shared = Arc::clone(&server.shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&shared)));
            }
        });
        server
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// How many requests have come.
    pub fn hits(&self) -> usize {
        self.shared.hits.load(Ordering::SeqCst)
    }

    /// From now on answers 200 with the document.
    pub fn publish(&self, document: &str) {
        self.say("200 OK", "", document);
    }

    /// From now on answers so. `headers` are whole lines.
    pub fn say(&self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        let answer =
            format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}");
        *self.shared.answer.lock().unwrap() = answer.into_bytes();
    }

    /// From now on closes the connection without a word.
    pub fn fail(&self) {
        self.shared.answer.lock().unwrap().clear();
    }

    /// From now on takes requests, but answers none until [`JwksServer::release`].
    pub fn hold(&self) {
        self.shared.open.send_replace(false);
    }

    /// Answers what was held.
    pub fn release(&self) {
        self.shared.open.send_replace(true);
    }
}

async fn answer(mut stream: TcpStream, shared: Arc<Shared>) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !is_whole(&request) {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    shared.hits.fetch_add(1, Ordering::SeqCst);
    // Fails when the server is gone, and then there is nobody to answer.
    if shared.open.subscribe().wait_for(|open| *open).await.is_ok() {
        let answer = shared.answer.lock().unwrap().clone();
        stream.write_all(&answer).await?;
    }
    Ok(())
}

/// Whether that is a whole request, with the body that its head speaks of.
fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    request.len() >= end + 4 + length.unwrap_or(0)
}
