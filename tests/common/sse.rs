//! An event stream as it comes (server-sent events), block by block.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, clippy::panic)]

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};

/// Nothing here takes this long. What does is a failure, not a slow machine.
const PATIENCE: Duration = Duration::from_mins(1);

pub struct Blocks {
    chunks: Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>,
    text: String,
}

impl Blocks {
    /// Those of an answer that is a stream.
    pub fn of(response: reqwest::Response) -> Self {
        assert_eq!(response.status(), reqwest::StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Self { chunks: Box::pin(response.bytes_stream()), text: String::new() }
    }

    /// The next block, without the empty line behind it; `None` at the end of the stream. That the connection broke is a
    /// failure.
    pub async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, taken) = (block.to_owned(), self.text.len() - rest.len());
                drop(self.text.drain(..taken));
                return Some(block);
            }
            let chunk = tokio::time::timeout(PATIENCE, self.chunks.next()).await.unwrap()?.unwrap();
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}
