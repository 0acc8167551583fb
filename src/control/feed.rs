//! What a long answer gives ahead of its end: how far it has come, and files piece by piece.
//!
//! Whoever answers writes into a [`Feed`] and does not know where its other end, the [`Parts`], is: with the
//! command in the same process, or behind the socket. Either way only a few pieces are under way at any time, and the
//! answering side waits for the one that takes them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

/// The largest piece, in bytes. Larger ones are cut.
pub(super) const MAX_PIECE: usize = 256 * 1024;

/// So many pieces may wait to be taken.
const AHEAD: usize = 4;

/// How far something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// So much is done.
    pub done: u64,
    /// So much there is to do, where that is known.
    pub total: Option<u64>,
}

/// A part of a file. Pieces of one file follow each other; another name says that the file before is whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The file's name, with `/` between folders; what it means is between the request and its answer.
    pub file: String,
    /// What comes next in it.
    pub bytes: Bytes,
}

/// Nobody takes the answer any more: there is no sense in going on with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("whoever asked has gone")]
pub struct Gone;

/// Where a long answer goes while it is made. Its first use says that the answer is a long one: from then on the
/// one who waits is told that the work goes on, and the work ends with the server or with its caller. It ends at the
/// next `await`; what runs on a thread of its own learns of it by [`Gone`].
#[derive(Debug, Clone)]
pub struct Feed {
    pieces: mpsc::Sender<Piece>,
    progress: watch::Sender<Option<Progress>>,
}

/// The other end of a [`Feed`].
#[derive(Debug)]
pub struct Parts {
    /// The pieces; ends when no feed is left.
    pub pieces: mpsc::Receiver<Piece>,
    /// The newest word of how far it is; `None` until the answer turns out to be a long one.
    pub progress: watch::Receiver<Option<Progress>>,
}

/// A feed and its other end.
#[must_use]
pub fn feed() -> (Feed, Parts) {
    let (sender, pieces) = mpsc::channel(AHEAD);
    let progress = watch::Sender::new(None);
    let parts = Parts { pieces, progress: progress.subscribe() };
    (Feed { pieces: sender, progress }, parts)
}

impl Feed {
    /// Says how far it is. Cheap, and never waits: call it as often as something is done, from any thread.
    ///
    /// # Errors
    /// When nobody listens any more.
    pub fn progress(&self, done: u64, total: Option<u64>) -> Result<(), Gone> {
        self.progress.send_replace(Some(Progress { done, total }));
        if self.pieces.is_closed() { Err(Gone) } else { Ok(()) }
    }

    /// Sends what comes next in a file; waits while too much of what was sent before has not been taken.
    ///
    /// # Errors
    /// When nobody listens any more.
    pub async fn piece(&self, file: &str, bytes: impl Into<Bytes>) -> Result<(), Gone> {
        self.progress.send_if_modified(|progress| {
            let first = progress.is_none();
            progress.get_or_insert_default();
            first
        });
        let mut rest = bytes.into();
        loop {
            let bytes = rest.split_to(rest.len().min(MAX_PIECE));
            self.pieces.send(Piece { file: file.to_owned(), bytes }).await.map_err(|_| Gone)?;
            if rest.is_empty() {
                return Ok(());
            }
        }
    }
}
