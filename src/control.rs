//! What a command says to the server that runs on the same data file: over a Unix socket beside the file,
//! which only the file's owner can open. One JSON line asks, one answers.

mod answer;
mod client;
mod message;
mod retention;
mod server;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

pub use self::answer::Desk;
pub use self::client::ask;
pub use self::message::{Listing, Practice, Reply, Request};
pub use self::server::{Listener, listen, serve};

/// The longest request, in bytes.
const MAX_REQUEST: u64 = 64 * 1024;

/// The longest reply, in bytes: a page of 500 users with all that Clerk allows them.
const MAX_REPLY: u64 = 64 * 1024 * 1024;

/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(10);

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
    let mut line = Vec::new();
    let read = async { from.take(limit).read_until(b'\n', &mut line).await };
    match timeout(PATIENCE, read).await {
        Err(_) => Err(Error::TooSlow),
        Ok(Ok(0)) => Ok(None),
        Ok(Ok(_)) if line.ends_with(b"\n") => serde_json::from_slice(&line).map(Some).map_err(|_| Error::NoAnswer),
        Ok(_) => Err(Error::NoAnswer),
    }
}

/// Writes one message.
async fn write(to: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> Result<(), Error> {
    let mut line = serde_json::to_vec(message).map_err(|_| Error::NoAnswer)?;
    line.push(b'\n');
    match timeout(PATIENCE, to.write_all(&line)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Error::NoAnswer),
        Err(_) => Err(Error::TooSlow),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
    use std::os::unix::net::{UnixListener, UnixStream};

    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;

    use super::*;

    /// A server that knows every user, refuses lists with their limit, and everything else with no.
    fn start(data: &Path) -> (oneshot::Sender<()>, JoinHandle<()>) {
        let listener = listen(data).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let answer = |request| async move {
            match request {
                Request::User { id } => Reply::User { user: serde_json::json!({ "id": id.to_string() }) },
                Request::Users(listing) => Reply::Refused { reason: format!("{:?}", listing.limit) },
                _ => Reply::Refused { reason: "no".to_owned() },
            }
        };
        let stopped = async move { drop(stopped.await) };
        (stop, tokio::spawn(async move { serve(listener, answer, stopped).await }))
    }

    fn user() -> Request {
        Request::User { id: "user_1".parse().unwrap() }
    }

    #[tokio::test]
    async fn a_request_is_answered() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("roll.redb");
        assert!(ask(&data, &user()).await.unwrap().is_none(), "nobody listens yet");
        let (stop, served) = start(&data);
        let reply = ask(&data, &user()).await.unwrap();
        assert!(matches!(reply, Some(Reply::User { user }) if user["id"] == "user_1"));
        let listing = Listing { limit: "7".parse().unwrap(), ..Listing::default() };
        let reply = ask(&data, &Request::Users(listing)).await.unwrap();
        assert!(matches!(reply, Some(Reply::Refused { reason }) if reason == "Limit(7)"));
        stop.send(()).unwrap();
        served.await.unwrap();
        assert!(!socket_path(&data).exists(), "the socket goes with its server");
        assert!(ask(&data, &user()).await.unwrap().is_none());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
    }

    #[tokio::test]
    async fn only_the_owner_may_ask() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("roll.redb");
        let listener = listen(&data).unwrap();
        let meta = std::fs::metadata(socket_path(&data)).unwrap();
        assert!(meta.file_type().is_socket());
        assert_eq!(meta.permissions().mode() & 0o777, 0o600);
        drop(listener);
    }

    #[tokio::test]
    async fn a_dead_servers_socket_is_replaced_and_a_live_ones_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("roll.redb");
        drop(UnixListener::bind(socket_path(&data)).unwrap());
        assert!(socket_path(&data).exists());
        assert!(ask(&data, &user()).await.unwrap().is_none(), "a socket without a server is no server");

        let (stop, served) = start(&data);
        assert!(matches!(listen(&data), Err(Error::Running(_))));
        assert!(ask(&data, &user()).await.unwrap().is_some(), "the live server still answers");
        stop.send(()).unwrap();
        served.await.unwrap();

        std::fs::write(socket_path(&data), "somebody's notes").unwrap();
        assert!(matches!(listen(&data), Err(Error::InTheWay(_))));
        assert_eq!(std::fs::read_to_string(socket_path(&data)).unwrap(), "somebody's notes");
    }

    #[tokio::test]
    async fn a_successors_socket_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("roll.redb");
        let first = listen(&data).unwrap();
        std::fs::remove_file(socket_path(&data)).unwrap();
        let second = listen(&data).unwrap();
        drop(first);
        assert!(socket_path(&data).exists());
        drop(second);
        assert!(!socket_path(&data).exists());
    }

    /// Sends bytes as they are and reads everything that comes back.
    fn raw(data: &Path, bytes: &[u8]) -> String {
        use std::io::{Read as _, Write as _};
        let mut stream = UnixStream::connect(socket_path(data)).unwrap();
        // The server may have closed already: that is what some of these are about.
        let _ = stream.write_all(bytes).and_then(|()| stream.shutdown(std::net::Shutdown::Write));
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        String::from_utf8(all).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_no_request_is_refused_and_harms_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("roll.redb");
        let (stop, served) = start(&data);
        let long = format!("{}{}\n", " ".repeat(65 * 1024), serde_json::to_string(&user()).unwrap());
        let half = serde_json::to_vec(&user()).unwrap();
        for bad in [b"{}\n", &b"\"Nonsense\"\n"[..], b"{\"user\":{\"id\":\"\"}}\n", b"\xff\n", &half, long.as_bytes()] {
            assert!(raw(&data, bad).starts_with("{\"refused\""), "{bad:?}");
        }
        let two = serde_json::to_string(&user()).unwrap() + "\n";
        assert_eq!(raw(&data, two.repeat(2).as_bytes()).lines().count(), 2, "one connection may ask twice");
        assert!(ask(&data, &user()).await.unwrap().is_some());
        stop.send(()).unwrap();
        served.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_caller_does_not_hold_up_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("roll.redb");
        let (stop, served) = start(&data);
        let idle = UnixStream::connect(socket_path(&data)).unwrap();
        assert!(ask(&data, &user()).await.unwrap().is_some());
        // The clock stands still unless something waits for it: here nothing may.
        let start = tokio::time::Instant::now();
        stop.send(()).unwrap();
        served.await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
        drop(idle);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_says_nothing_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("roll.redb");
        let listener = UnixListener::bind(socket_path(&data)).unwrap();
        assert!(matches!(ask(&data, &user()).await, Err(Error::TooSlow)));
        drop(listener);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_who_says_nothing_is_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("roll.redb");
        let (_stop, _served) = start(&data);
        let mut idle = tokio::net::UnixStream::connect(socket_path(&data)).await.unwrap();
        assert_eq!(idle.read(&mut [0]).await.unwrap(), 0);
    }
}
