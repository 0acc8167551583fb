//! Signed webhooks over kept-alive connections, byte for byte, so that the client costs little.

use rollbook::clock::Clock;
use svix::webhooks::Webhook;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What webhooks are signed with.
pub const SECRET: &str = "whsec_cm9sbGJvb2sgbG9hZCBiZW5jaCBzaWduaW5nIGtleQ==";

/// A delivery, signed now.
pub fn delivery(webhook: &Webhook, host: &str, id: &str, body: &str) -> Vec<u8> {
    let now = Clock::system().now().as_seconds();
    let signature = webhook.sign(id, now, body.as_bytes()).unwrap();
    format!(
        "POST /api/webhooks/clerk HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\nsvix-id: {id}\r\nsvix-timestamp: {now}\r\nsvix-signature: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A connection that sends its next request when the last one was answered.
pub struct Wire {
    address: String,
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    pub async fn to(address: &str) -> Self {
        Self { address: address.to_owned(), stream: connect(address).await, buffer: vec![0; 64 * 1024] }
    }

    /// Sends a request, and reads the answer to its end; it has to be 200. Where that was the last one on its connection,
    /// which has its time like any other, the next goes over a new one.
    pub async fn ask(&mut self, request: &[u8]) {
        self.stream.write_all(request).await.unwrap();
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await.unwrap();
            assert!(read > 0, "the connection was closed");
            filled += read;
            let said = &self.buffer[..filled];
            let Some(end) = said.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let head = std::str::from_utf8(&said[..end]).unwrap();
            assert!(head.starts_with("HTTP/1.1 200"), "{}", String::from_utf8_lossy(said));
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if filled >= end + 4 + length.parse::<usize>().unwrap() {
                if head.lines().any(|line| line == "connection: close") {
                    self.stream = connect(&self.address).await;
                }
                return;
            }
        }
    }
}

async fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}
