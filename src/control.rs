//! What a command says to the server that runs on the same data file: over a Unix socket beside the file,
//! which only the file's owner can open.
//!
//! One JSON line asks, one answers. Before the answer the server may send any number of parts: lines that say how far
//! it is, and pieces of files, each a line that says how long it is and then that many bytes as they are. An
//! empty line, from either side, says no more than "still here". Neither side waits longer than ten seconds for the next
//! word of the other, so whoever has nothing to say for that long sends empty lines: the server while it works at
//! a long answer, the command while its own output is not taken (a pager stands still).
//!
//! # How a long command is written
//!
//! Its request is a [`Request`], and what does it is a method of [`Desk`] that is handed the [`Feed`]. It calls
//! [`Feed::progress`] when it starts and as it goes on, [`Feed::piece`] for what belongs in files, and returns
//! the [`Reply`] when it is done; [`Gone`] from either ends it. It does not know whether a socket or the command
//! itself is at the other end, and has to leave the file sound whenever it is dropped at an `await`.

mod acting;
mod answer;
mod backup;
mod client;
mod connection;
mod export;
mod feed;
mod health;
mod keys;
mod message;
mod retention;
mod server;
mod sync;
mod verify;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

pub use self::answer::Desk;
pub use self::client::{ask, follow};
pub use self::feed::{Feed, Gone, Parts, Piece, Progress, feed};
pub use self::message::{AuditExport, Erase, Found, Health, Listing, Practice, Reply, Request, UsersExport, Verify};
pub use self::server::{Listener, listen, serve};

/// The longest request, in bytes: some fifteen thousand checkpoints, which are signed in two days.
const MAX_REQUEST: u64 = 4 * 1024 * 1024;

/// The longest reply, in bytes: a page of 500 users with all that Clerk allows them.
const MAX_REPLY: u64 = 64 * 1024 * 1024;

/// How long either side waits for the next word of the other.
const PATIENCE: Duration = Duration::from_secs(10);

/// So often at least says somebody who has nothing to say that they are still there.
const STILL_HERE: Duration = Duration::from_secs(3);

/// Why a command and the server cannot talk.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another server runs on the same data file.
    #[error("another server is already running on this data file ({} answers)", .0.display())]
    Running(PathBuf),
    /// Something that is not ours lies where the socket belongs.
    #[error("{} is in the way: it is not a socket; move it or choose another data file", .0.display())]
    InTheWay(PathBuf),
    /// The other side broke off, or said what is no message.
    #[error("the running server gave no usable answer; it may be of another version")]
    NoAnswer,
    /// There is more in the request than a server takes.
    #[error("this is more than a running server takes at once; give it less, or let it work on a copy of the file")]
    TooLong,
    /// The server ended in the middle of a long answer.
    #[error("the running server broke off before it was done; it was stopped, or its log says why")]
    CutOff,
    /// Nobody takes the answer any more.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The other side said nothing for too long.
    #[error("the running server did not answer within {} seconds", PATIENCE.as_secs())]
    TooSlow,
    /// The socket cannot be made or used.
    #[error("{}: {error}", .path.display())]
    Io {
        /// The socket, or the directory it belongs in.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl Error {
    fn io(path: &Path) -> impl Fn(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Io { path: path.clone(), error }
    }
}

/// Where the socket of a data file is: beside it, `.sock` behind its name.
#[must_use]
pub fn socket_path(data: &Path) -> PathBuf {
    let mut path = data.as_os_str().to_owned();
    path.push(".sock");
    path.into()
}

/// Reads one message of at most `limit` bytes; `None` at the end of the stream.
async fn read<T: DeserializeOwned>(from: &mut (impl AsyncBufRead + Unpin), limit: u64) -> Result<Option<T>, Error> {
    loop {
        let mut line = Vec::new();
        let read = async { (&mut *from).take(limit).read_until(b'\n', &mut line).await };
        return match timeout(PATIENCE, read).await {
            Err(_) => Err(Error::TooSlow),
            Ok(Ok(0)) => Ok(None),
            Ok(Ok(1)) if line == b"\n" => continue,
            Ok(Ok(_)) if line.ends_with(b"\n") => serde_json::from_slice(&line).map(Some).map_err(|_| Error::NoAnswer),
            Ok(_) => Err(Error::NoAnswer),
        };
    }
}

/// A message as it is sent.
fn line(message: &impl Serialize) -> Result<Vec<u8>, Error> {
    let mut line = serde_json::to_vec(message).map_err(|_| Error::NoAnswer)?;
    line.push(b'\n');
    Ok(line)
}

/// Writes one message.
async fn write(to: &mut (impl AsyncWrite + Unpin), message: &[u8]) -> Result<(), Error> {
    match timeout(PATIENCE, to.write_all(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Error::NoAnswer),
        Err(_) => Err(Error::TooSlow),
    }
}

#[cfg(test)]
mod tests;
