//! The side of the command.

use std::io::ErrorKind;
use std::path::Path;

use tokio::io::{AsyncReadExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use super::feed::MAX_PIECE;
use super::message::Message;
use super::{
    Error, Feed, MAX_REPLY, MAX_REQUEST, PATIENCE, Reply, Request, STILL_HERE, feed, line, read, socket_path, write,
};

/// Asks the server that runs on the data file `data` for what it answers at once. `None` when none does: then the
/// command may open the file itself.
///
/// # Errors
/// When a server runs but may not be asked by this user, or does not answer in time or in words we know.
pub async fn ask(data: &Path, request: &Request) -> Result<Option<Reply>, Error> {
    let (nobody_listens, _) = feed();
    follow(data, request, &nobody_listens).await
}

/// The same for what takes long or answers with files: `feed` is given the parts of the answer as they come.
///
/// # Errors
/// As [`ask`], and when the server ends before the answer does, or nobody takes the parts.
pub async fn follow(data: &Path, request: &Request, feed: &Feed) -> Result<Option<Reply>, Error> {
    let path = socket_path(data);
    let line = line(request)?;
    if line.len() as u64 > MAX_REQUEST {
        return Err(Error::TooLong);
    }
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
    write(&mut stream, &line).await?;
    let mut parts = 0_u64;
    loop {
        let cut_off = |error| if parts > 0 && matches!(error, Error::NoAnswer) { Error::CutOff } else { error };
        match read(&mut stream, MAX_REPLY).await.and_then(|message| message.ok_or(Error::NoAnswer)).map_err(cut_off)? {
            Message::Reply(reply) => return Ok(Some(reply)),
            Message::Progress(progress) => feed.progress(progress.done, progress.total)?,
            Message::Piece { file, bytes } => pass_on(&mut stream, feed, &file, bytes).await?,
        }
        parts += 1;
    }
}

/// Reads one piece and hands it on. While nobody takes it, the server hears that we are still there.
async fn pass_on(stream: &mut BufReader<UnixStream>, feed: &Feed, file: &str, length: usize) -> Result<(), Error> {
    if length > MAX_PIECE {
        return Err(Error::NoAnswer);
    }
    let mut bytes = vec![0; length];
    match timeout(PATIENCE, stream.read_exact(&mut bytes)).await {
        Ok(Ok(_)) => {}
        Ok(Err(_)) => return Err(Error::CutOff),
        Err(_) => return Err(Error::TooSlow),
    }
    let mut taken = std::pin::pin!(feed.piece(file, bytes));
    loop {
        tokio::select! {
            taken = &mut taken => return Ok(taken?),
            () = sleep(STILL_HERE) => write(stream, b"\n").await.map_err(|_| Error::CutOff)?,
        }
    }
}
