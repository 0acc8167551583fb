//! The side of the server.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as Probe;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::connection::Connection;
use super::{Error, Feed, Parts, Progress, Reply, Request, feed, socket_path};
use crate::disk::folder;

/// How long to wait before accepting again when the system has no room for another connection.
const BACK_OFF: Duration = Duration::from_millis(100);

/// A socket that is listened on. Its file goes when this goes, unless another server has taken its place.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
    /// Device and inode of the file that is ours.
    file: (u64, u64),
}

impl Drop for Listener {
    fn drop(&mut self) {
        if identity(&self.path).is_some_and(|file| file == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens beside the data file `data`, which the caller has opened: the file's own lock decides which
/// of two servers that start at once may go on, this socket does not.
///
/// # Errors
/// When another server answers there, something else is in the way, or the directory takes no socket
/// (the system allows about 100 bytes for the path of one).
pub fn listen(data: &Path) -> Result<Listener, Error> {
    let path = socket_path(data);
    refuse_if_taken(&path)?;
    let parent = folder(&path);
    // Made where nobody else can reach it and moved when its mode is right, so that there is no moment
    // at which another user could connect.
    let private = Permissions::from_mode(0o700);
    let dir =
        tempfile::Builder::new().prefix(".").permissions(private).tempdir_in(parent).map_err(Error::io(parent))?;
    let made = dir.path().join("s");
    let socket = UnixListener::bind(&made).map_err(Error::io(&path))?;
    fs::set_permissions(&made, Permissions::from_mode(0o600)).map_err(Error::io(&path))?;
    let file = identity(&made).ok_or(Error::NoAnswer)?;
    fs::rename(&made, &path).map_err(Error::io(&path))?;
    Ok(Listener { socket, path, file })
}

/// A socket that refuses connections is a dead server's; one that takes them, or would if it were less
/// busy, is a live one's.
fn refuse_if_taken(path: &Path) -> Result<(), Error> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io(path)(error)),
    };
    if !meta.file_type().is_socket() {
        return Err(Error::InTheWay(path.to_owned()));
    }
    match Probe::connect(path) {
        Ok(_) => Err(Error::Running(path.to_owned())),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(Error::Running(path.to_owned())),
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) => Ok(()),
        Err(error) => Err(Error::io(path)(error)),
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Answers requests until `shutdown` is done; then the socket goes, and requests that have begun are
/// answered before this returns. Long answers are broken off.
pub async fn serve<H, F>(listener: Listener, handler: H, shutdown: impl Future<Output = ()>)
where
    H: Fn(Request, Feed) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    let (stop, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.socket.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(converse(stream, handler.clone(), stopped.clone()))),
                Err(error) => {
                    tracing::warn!(%error, "control.accept_failed");
                    tokio::time::sleep(BACK_OFF).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    drop(stop);
    while connections.join_next().await.is_some() {}
}

/// Answers one caller, until they go, say nothing for too long, say nonsense, or the server stops.
async fn converse<H, F>(stream: UnixStream, handler: H, mut stopped: watch::Receiver<()>)
where
    H: Fn(Request, Feed) -> F,
    F: Future<Output = Reply>,
{
    let mut connection = Connection::new(stream);
    loop {
        let request = tokio::select! {
            request = connection.request() => request,
            _ = stopped.changed() => return,
        };
        let request = match request {
            Ok(Some(request)) => request,
            Ok(None) | Err(Error::TooSlow) => return,
            Err(_) => {
                let reason = "the running server does not know this request; it may be of another version".to_owned();
                let _ = connection.reply(Reply::Refused { reason }).await;
                return;
            }
        };
        let (feed, parts) = feed();
        let progress = parts.progress.clone();
        let answered = tokio::select! {
            biased;
            answered = answer(&mut connection, handler(request, feed), parts) => answered,
            () = cut_short(stopped.clone(), progress) => return,
        };
        if answered.is_err() {
            return;
        }
    }
}

/// Sends the parts of an answer as they are made, and then its end. Gives up the work when the caller is gone.
async fn answer(connection: &mut Connection, work: impl Future<Output = Reply>, parts: Parts) -> Result<(), Error> {
    let (reply, ()) = tokio::try_join!(async { Ok(work.await) }, connection.parts(parts))?;
    connection.reply(reply).await
}

/// Returns once the server stops and the answer is a long one. Short ones are waited for.
async fn cut_short(mut stopped: watch::Receiver<()>, mut progress: watch::Receiver<Option<Progress>>) {
    let _ = stopped.changed().await;
    if progress.wait_for(Option::is_some).await.is_err() {
        // The work is done: there is nothing left to cut.
        std::future::pending::<()>().await;
    }
}
