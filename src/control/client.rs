//! The side of the command.

use std::io::ErrorKind;
use std::path::Path;

use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{Error, MAX_REPLY, PATIENCE, Reply, Request, read, socket_path, write};

/// Asks the server that runs on the data file `data`. `None` when none does: then the command may open
/// the file itself.
///
/// # Errors
/// When a server runs but may not be asked by this user, or does not answer in time or in words we know.
pub async fn ask(data: &Path, request: &Request) -> Result<Option<Reply>, Error> {
    let path = socket_path(data);
    let stream = match timeout(PATIENCE, UnixStream::connect(&path)).await {
        Err(_) => return Err(Error::TooSlow),
        Ok(Ok(stream)) => stream,
        // No socket, or one whose server has died.
        Ok(Err(error)) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Ok(Err(error)) => return Err(Error::io(&path)(error)),
    };
    let mut stream = BufReader::new(stream);
    write(&mut stream, request).await?;
    read(&mut stream, MAX_REPLY).await?.ok_or(Error::NoAnswer).map(Some)
}
