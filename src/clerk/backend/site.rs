//! A site on this machine that gives the answers it was handed, one to each request, and keeps what it was asked.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::Backend;
use crate::clock::{Clock, Timestamp};

/// The key that clients show it.
pub(super) const KEY: &str = "sk_test_canary_canary";

/// When everything is.
pub(super) const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// What to say to a request.
pub(super) enum Say {
    /// These bytes, and no more.
    Bytes(String),
    /// Spaces without end.
    Endless,
    /// Nothing, for as long as the client waits.
    Nothing,
}

/// The site; its task ends with the runtime.
pub(super) struct Site {
    pub(super) url: String,
    shared: Arc<Shared>,
}

struct Shared {
    answers: Mutex<VecDeque<Say>>,
    asked: Mutex<Vec<String>>,
    open: watch::Sender<bool>,
}

/// An answer with that status, those header lines and that body.
pub(super) fn say(status: &str, headers: &str, body: &str) -> Say {
    let length = body.len();
    Say::Bytes(format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"))
}

impl Site {
    /// Out of answers, it closes connections without a word.
    pub(super) async fn start(answers: impl IntoIterator<Item = Say>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers = Mutex::new(answers.into_iter().collect());
        let shared = Arc::new(Shared { answers, asked: Mutex::default(), open: watch::Sender::new(true) });
        let site = Self { url, shared: Arc::clone(&shared) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&shared)));
            }
        });
        site
    }

    /// A client of it.
    pub(super) fn backend(&self) -> Backend {
        self.backend_by(&Clock::fixed(NOW))
    }

    /// A client of it that has this clock.
    pub(super) fn backend_by(&self, clock: &Clock) -> Backend {
        Backend::new(&self.url, KEY, clock.clone()).unwrap()
    }

    /// Also gives this answer.
    pub(super) fn add(&self, answer: Say) {
        self.shared.answers.lock().unwrap().push_back(answer);
    }

    /// Whether requests are answered now, or kept waiting until they are.
    pub(super) fn set_open(&self, open: bool) {
        self.shared.open.send_replace(open);
    }

    /// The heads and bodies that came.
    pub(super) fn asked(&self) -> Vec<String> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// The method and the path of each.
    pub(super) fn lines(&self) -> Vec<String> {
        self.asked().iter().map(|asked| asked.split(" HTTP/").next().unwrap().to_owned()).collect()
    }
}

async fn answer(mut stream: TcpStream, shared: Arc<Shared>) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !is_whole(&request) {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    shared.asked.lock().unwrap().push(String::from_utf8(request).unwrap());
    let _ = shared.open.subscribe().wait_for(|open| *open).await;
    let answer = shared.answers.lock().unwrap().pop_front();
    match answer {
        Some(Say::Bytes(text)) => stream.write_all(text.as_bytes()).await,
        Some(Say::Endless) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            let chunk = [b"100000\r\n".as_slice(), &vec![b' '; 1 << 20], b"\r\n"].concat();
            loop {
                stream.write_all(&chunk).await?;
            }
        }
        Some(Say::Nothing) => stream.read_buf(&mut Vec::new()).await.map(|_| ()),
        None => Ok(()),
    }
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}
