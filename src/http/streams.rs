//! Answers that stay open: how many there may be, whose they are, and what they wait for. Nothing is queued for a reader:
//! what comes next is read when the connection takes it, in a transaction of its own, so one who does not read holds
//! nothing back.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until};
use warp::Reply as _;
use warp::http::HeaderValue;
use warp::http::header::CONTENT_TYPE;
use warp::reply::Response;

use crate::store::Store;

/// So many streams may be open at once.
const MOST: usize = 64;

/// So many of them with one session or key.
const MOST_OF_ONE: usize = 32;

/// How long a stream of events is silent at most. Proxies and readers take a longer silence for a dead connection.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The streams that are open: how many more may be, whose they are, and that they must end.
#[derive(Debug, Clone)]
pub struct Streams {
    seats: Arc<Semaphore>,
    held: Held,
    stopping: watch::Sender<bool>,
}

/// How many streams are open with each session or key.
type Held = Arc<Mutex<BTreeMap<String, usize>>>;

/// Room for one stream, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    who: String,
    held: Held,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.who) {
            *count -= 1;
        }
        held.retain(|_, count| *count > 0);
    }
}

impl Default for Streams {
    fn default() -> Self {
        Self { seats: Arc::new(Semaphore::new(MOST)), held: Held::default(), stopping: watch::Sender::new(false) }
    }
}

impl Streams {
    /// A seat for whoever has that session or key; `None` when there is none left, for them or at all.
    pub(super) fn seat(&self, who: &str) -> Option<Seat> {
        let permit = self.seats.clone().try_acquire_owned().ok()?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(who.to_owned()).or_default();
        if *count == MOST_OF_ONE {
            return None;
        }
        *count += 1;
        Some(Seat { who: who.to_owned(), held: self.held.clone(), _permit: permit })
    }

    /// What a stream of what happens in the store has to wait for.
    pub(super) fn waiting(&self, store: &Store) -> Waiting {
        let mut size = store.size();
        size.mark_unchanged();
        Waiting { size, stopping: self.stopping.subscribe(), heartbeat: Instant::now() + HEARTBEAT }
    }

    /// Whether all streams are to end.
    pub(super) fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Ends all streams: left alone they would hold up the server's end.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }
}

/// What a stream that has sent everything waits for.
#[derive(Debug)]
pub(super) struct Waiting {
    size: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    heartbeat: Instant,
}

/// Why a stream waits no longer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wake {
    /// The log has grown.
    Grown,
    /// Nothing was sent for so long that a sign of life is due.
    Quiet,
    /// The server stops.
    Stopping,
}

/// An answer of these events.
pub(super) fn events(chunks: impl Stream<Item = Result<Bytes, Infallible>> + Send + Sync + 'static) -> Response {
    let mut response = warp::reply::stream(chunks).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // nginx gathers what it passes on unless it is told not to.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// A sign of life to a reader whose place is `told`. Where entries were passed over since, up to `after`, it moves the place
/// there, or a reader of rare events would come back for entries that were pruned long ago.
pub(super) fn heartbeat(after: Option<u64>, told: Option<u64>) -> String {
    let place = after.filter(|_| after != told).map(|seq| format!("id: {seq}\n"));
    format!(": heartbeat\n{}\n", place.unwrap_or_default())
}

impl Waiting {
    /// How large the log is. What is committed from here on wakes the stream again.
    pub(super) fn size(&mut self) -> u64 {
        *self.size.borrow_and_update()
    }

    /// Whether the stream is to end.
    pub(super) fn is_over(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Something was sent: no sign of life is due for a while.
    pub(super) fn sent(&mut self) {
        self.heartbeat = Instant::now() + HEARTBEAT;
    }

    /// Waits until there is something to do.
    pub(super) async fn next(&mut self) -> Wake {
        tokio::select! {
            biased;
            _ = self.stopping.wait_for(|stopping| *stopping) => Wake::Stopping,
            () = sleep_until(self.heartbeat) => Wake::Quiet,
            grown = self.size.changed() => if grown.is_ok() { Wake::Grown } else { Wake::Stopping },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting() -> (Waiting, watch::Sender<u64>, watch::Sender<bool>) {
        let (size, stopping) = (watch::Sender::new(1), watch::Sender::new(false));
        let waiting =
            Waiting { size: size.subscribe(), stopping: stopping.subscribe(), heartbeat: Instant::now() + HEARTBEAT };
        (waiting, size, stopping)
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_stream_gives_a_sign_of_life_every_fifteen_seconds() {
        let (mut waiting, _size, _stopping) = waiting();
        let began = Instant::now();
        assert_eq!(waiting.next().await, Wake::Quiet);
        assert_eq!(began.elapsed().as_secs(), 15);
    }

    #[tokio::test(start_paused = true)]
    async fn growth_wakes_a_stream_and_does_not_put_off_its_sign_of_life() {
        let (mut waiting, size, _stopping) = waiting();
        let began = Instant::now();
        let grow = async {
            loop {
                tokio::time::sleep(Duration::from_secs(4)).await;
                size.send_modify(|size| *size += 1);
            }
        };
        let wakes = async {
            for _ in 0..3 {
                assert_eq!(waiting.next().await, Wake::Grown);
            }
            assert_eq!(waiting.next().await, Wake::Quiet);
        };
        tokio::select! {
            () = grow => {}
            () = wakes => {}
        }
        assert_eq!(began.elapsed().as_secs(), 15);
    }

    #[test]
    fn a_sign_of_life_says_how_far_the_log_was_looked_through() {
        assert_eq!(heartbeat(Some(7), Some(7)), ": heartbeat\n\n");
        assert_eq!(heartbeat(Some(9), Some(7)), ": heartbeat\nid: 9\n\n");
        assert_eq!(heartbeat(None, None), ": heartbeat\n\n");
    }

    #[tokio::test]
    async fn a_stream_ends_with_the_server() {
        let (mut waiting, size, stopping) = waiting();
        size.send_replace(2);
        stopping.send_replace(true);
        assert_eq!(waiting.next().await, Wake::Stopping);
        let (mut waiting, size, _stopping) = self::waiting();
        drop(size);
        assert_eq!(waiting.next().await, Wake::Stopping);
    }
}
