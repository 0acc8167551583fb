//! The server's end of one connection: requests come in, parts and replies go out.

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Duration, Instant, MissedTickBehavior, interval, sleep};

use super::message::Message;
use super::{Error, MAX_REQUEST, PATIENCE, Parts, Reply, Request, STILL_HERE, line, read};

/// So often at most the caller hears how far it is.
const TICK: Duration = Duration::from_millis(250);

/// The connection.
pub(super) struct Connection {
    from: BufReader<OwnedReadHalf>,
    to: OwnedWriteHalf,
}

impl Connection {
    pub(super) fn new(stream: UnixStream) -> Self {
        let (from, to) = stream.into_split();
        Self { from: BufReader::new(from), to }
    }

    /// The next request; `None` when there will be none.
    pub(super) async fn request(&mut self) -> Result<Option<Request>, Error> {
        read(&mut self.from, MAX_REQUEST).await
    }

    /// Sends the end of an answer.
    pub(super) async fn reply(&mut self, reply: Reply) -> Result<(), Error> {
        self.send(&line(&Message::Reply(reply))?, &[]).await
    }

    /// Sends parts until there are no more. While there are none, a long answer is kept alive, which also shows
    /// whether the caller is still there.
    pub(super) async fn parts(&mut self, mut parts: Parts) -> Result<(), Error> {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = Instant::now();
        loop {
            tokio::select! {
                piece = parts.pieces.recv() => {
                    let Some(piece) = piece else { return Ok(()) };
                    let head = line(&Message::Piece { file: piece.file, bytes: piece.bytes.len() })?;
                    self.send(&head, &piece.bytes).await?;
                }
                _ = tick.tick() => {
                    let news = parts.progress.has_changed().unwrap_or_default();
                    let progress = *parts.progress.borrow_and_update();
                    match progress {
                        Some(progress) if news => self.send(&line(&Message::Progress(progress))?, &[]).await?,
                        Some(_) if last.elapsed() >= STILL_HERE => self.send(b"\n", &[]).await?,
                        _ => continue,
                    }
                }
            }
            last = Instant::now();
        }
    }

    /// Sends a line and what follows it. Waits for a caller who takes nothing only while they say that they are there.
    async fn send(&mut self, line: &[u8], then: &[u8]) -> Result<(), Error> {
        let Self { from, to } = self;
        let mut sent = std::pin::pin!(async {
            to.write_all(line).await?;
            to.write_all(then).await
        });
        loop {
            tokio::select! {
                biased;
                sent = &mut sent => return sent.map_err(|_| Error::NoAnswer),
                () = still_there(from) => {}
                () = sleep(PATIENCE) => return Err(Error::TooSlow),
            }
        }
    }
}

/// Returns when the caller says that they are still there: never, if they have closed their side or ask already
/// for something else.
async fn still_there(from: &mut BufReader<OwnedReadHalf>) {
    match from.fill_buf().await {
        Ok([b'\n', ..]) => from.consume(1),
        _ => std::future::pending().await,
    }
}
