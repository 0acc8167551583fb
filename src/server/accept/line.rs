//! The socket under a connection: it gives up on a client that does not read, and hangs up politely.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::seats::State;

/// How long a closed connection is still read, and how much. Closed with bytes unread, the system resets
/// it, and a client that is still sending would lose the answer that tells it why it should not.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 4 * 1024 * 1024;

/// A stream with a limit on how long a write may make no progress.
#[derive(Debug)]
pub(super) struct Line<T> {
    io: T,
    stall: Duration,
    state: Arc<State>,
    /// Made at the first stall, used again for the next.
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether the timer runs.
    timed: bool,
    /// What may still be read and thrown away, once our side is closed.
    linger: Option<usize>,
}

impl<T> Line<T> {
    pub(super) const fn new(io: T, stall: Duration, state: Arc<State>) -> Self {
        Self { io, stall, state, timer: None, timed: false, linger: None }
    }

    /// Pending until the time is over, counted from the first call after `self.timed` was unset.
    fn poll_timer(&mut self, limit: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        if !self.timed {
            timer.as_mut().reset(Instant::now() + limit);
            self.timed = true;
        }
        timer.as_mut().poll(cx)
    }

    /// The outcome of a write, or an error when there has been none for too long.
    fn progress<O>(&mut self, outcome: Poll<io::Result<O>>, cx: &mut Context<'_>) -> Poll<io::Result<O>> {
        self.state.stuck(outcome.is_pending());
        if outcome.is_ready() {
            // Once closed, the timer is the lingering's; hyper still flushes before each look at it.
            self.timed &= self.linger.is_some();
            return outcome;
        }
        self.poll_timer(self.stall, cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Line<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buf)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Line<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let line = self.get_mut();
        let outcome = Pin::new(&mut line.io).poll_write(cx, buf);
        line.progress(outcome, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let line = self.get_mut();
        let outcome = Pin::new(&mut line.io).poll_write_vectored(cx, bufs);
        line.progress(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let line = self.get_mut();
        let outcome = Pin::new(&mut line.io).poll_flush(cx);
        line.progress(outcome, cx)
    }

    /// Closes our side, then reads what the client still sends, to its end or the limits.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let line = self.get_mut();
        let mut left = if let Some(left) = line.linger {
            left
        } else {
            let outcome = Pin::new(&mut line.io).poll_shutdown(cx);
            ready!(line.progress(outcome, cx))?;
            LINGER_BYTES
        };
        let mut waste = [0_u8; 4096];
        while left > 0 {
            let mut buf = ReadBuf::new(&mut waste);
            match Pin::new(&mut line.io).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => left = left.saturating_sub(buf.filled().len()),
                Poll::Ready(_) => break,
                Poll::Pending => {
                    line.linger = Some(left);
                    return line.poll_timer(LINGER, cx).map(Ok);
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    fn state() -> Arc<State> {
        Arc::new(State::new(std::time::Instant::now()))
    }

    #[tokio::test]
    async fn a_write_without_progress_fails() {
        let (near, mut far) = duplex(8);
        let mut line = Line::new(near, Duration::from_millis(20), state());
        line.write_all(b"12345678").await.unwrap();
        assert_eq!(line.write_all(b"9").await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        // Room again: the clock starts anew.
        far.read_exact(&mut [0; 8]).await.unwrap();
        line.write_all(b"9").await.unwrap();
    }

    #[tokio::test]
    async fn what_the_client_still_sends_is_read() {
        let (near, mut far) = duplex(8);
        let mut line = Line::new(near, Duration::from_secs(5), state());
        line.write_all(b"no").await.unwrap();
        let talking = async {
            far.write_all(&[0; 100]).await.unwrap();
            let mut answer = String::new();
            far.read_to_string(&mut answer).await.unwrap();
            far.shutdown().await.unwrap();
            answer
        };
        let (closed, answer) = tokio::join!(line.shutdown(), talking);
        closed.unwrap();
        assert_eq!(answer, "no");
    }
}
