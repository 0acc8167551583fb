//! Events as a stream that stays open (server-sent events, WHATWG HTML). Nothing is queued for a reader: the next page is
//! read when the connection takes it, in a transaction of its own, so one who does not read holds nothing back.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use sync_wrapper::SyncStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until};
use warp::Reply as _;
use warp::http::HeaderValue;
use warp::http::header::CONTENT_TYPE;
use warp::reply::Response;

use super::super::call::Call;
use super::super::caller::Caller;
use super::super::problem::Problem;
use super::shown;
use crate::api_key::Scope;
use crate::page::Limit;
use crate::store::{FeedPage, FeedRequest};

/// So many streams may be open at once.
const MOST: usize = 64;

/// So many of them with one session or key.
const MOST_OF_ONE: usize = 32;

/// How long a stream is silent at most. Proxies and readers take a longer silence for a dead connection.
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
struct Seat {
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
    fn seat(&self, who: &str) -> Option<Seat> {
        let permit = self.seats.clone().try_acquire_owned().ok()?;
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(who.to_owned()).or_default();
        if *count == MOST_OF_ONE {
            return None;
        }
        *count += 1;
        Some(Seat { who: who.to_owned(), held: self.held.clone(), _permit: permit })
    }

    /// Ends all streams: left alone they would hold up the server's end.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }
}

/// One stream, between two chunks of it.
struct Open {
    call: Call,
    request: FeedRequest,
    /// What was read and not sent yet.
    page: Option<FeedPage>,
    /// The number that the reader goes on from if it is cut off now.
    told: Option<u64>,
    waiting: Waiting,
    _seat: Seat,
}

/// What a stream that has sent everything waits for.
struct Waiting {
    size: watch::Receiver<u64>,
    stopping: watch::Receiver<bool>,
    heartbeat: Instant,
}

/// Why a stream waits no longer.
#[derive(Debug, PartialEq, Eq)]
enum Wake {
    /// The log has grown.
    Grown,
    /// Nothing was sent for so long that a sign of life is due.
    Quiet,
    /// The server stops.
    Stopping,
}

/// Opens a stream.
pub(super) async fn open(call: Call, caller: &Caller, mut request: FeedRequest) -> Result<Response, Problem> {
    let streams = &call.app.streams;
    let full = || Problem::unavailable("Too many event streams are open; please try again.", 30);
    let seat = streams.seat(caller.credential()).ok_or_else(full)?;
    // What was read and not sent yet stays in memory for as long as the reader likes.
    request.limit = Limit::default();
    let mut waiting = Waiting {
        size: call.app.store.size(),
        stopping: streams.stopping.subscribe(),
        heartbeat: Instant::now() + HEARTBEAT,
    };
    waiting.size.mark_unchanged();
    // What is wrong with the request shows now, while it can still be said.
    let page = call.app.store.feed(request.clone()).await?;
    let look = caller.entry(&call, "events.streamed").with("after", request.after);
    call.app.store.record(look).await?;
    let open = Open { told: request.after, page: Some(page), call, request, waiting, _seat: seat };
    let mut response = warp::reply::stream(open.chunks()).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // nginx gathers what it passes on unless it is told not to.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

impl Open {
    fn chunks(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + Sync {
        // Only the connection ever polls it, but warp asks of a body that it could be shared.
        SyncStream::new(unfold(self, |mut open| async move {
            let chunk = open.next().await?;
            Some((Ok(chunk), open))
        }))
    }

    /// The next chunk, when there is one; `None` ends the stream. The reader may then come back, and is told why not if
    /// it may not.
    async fn next(&mut self) -> Option<Bytes> {
        let page = loop {
            if *self.waiting.stopping.borrow() {
                return None;
            }
            let page = match self.page.take() {
                Some(page) => page,
                None => self.read().await?,
            };
            self.request.after = page.next_after;
            if !page.items.is_empty() {
                break Some(page);
            }
            if page.is_end {
                match self.waiting.next().await {
                    Wake::Grown => {}
                    Wake::Quiet => break None,
                    Wake::Stopping => return None,
                }
            }
        };
        let reader = self.reader().await?;
        self.waiting.heartbeat = Instant::now() + HEARTBEAT;
        Some(match page {
            Some(page) => self.events(&page, &reader),
            None => self.heartbeat(),
        })
    }

    async fn read(&mut self) -> Option<FeedPage> {
        // What is committed from here on wakes the stream again.
        self.waiting.size.mark_unchanged();
        let page = self.call.app.store.feed(self.request.clone()).await;
        page.inspect_err(|cause| tracing::debug!(%cause, "events.stream_ended")).ok()
    }

    /// The reader, if they still may read: tokens run out, and rights are taken back.
    async fn reader(&self) -> Option<Caller> {
        let caller = self.call.caller().await.ok()?;
        self.call.require(&caller, Scope::AuditRead).await.ok()?;
        Some(caller)
    }

    fn events(&mut self, page: &FeedPage, reader: &Caller) -> Bytes {
        let mut text = String::new();
        for event in shown(page, reader, self.call.app.clock.now()).items {
            // JSON has no line breaks of its own, and an action no other characters than names have.
            let data = serde_json::to_string(&event).unwrap_or_default();
            // Writing to a string cannot fail.
            let _ = write!(text, "id: {}\nevent: {}\ndata: {data}\n\n", event.seq, event.r#type);
            self.told = Some(event.seq);
        }
        text.into()
    }

    fn heartbeat(&mut self) -> Bytes {
        let told = std::mem::replace(&mut self.told, self.request.after);
        heartbeat(self.request.after, told).into()
    }
}

/// A sign of life to a reader whose place is `told`. Where entries were passed over since, up to `after`, it moves the place
/// there, or a reader of rare events would come back for entries that were pruned long ago.
fn heartbeat(after: Option<u64>, told: Option<u64>) -> String {
    let place = after.filter(|_| after != told).map(|seq| format!("id: {seq}\n"));
    format!(": heartbeat\n{}\n", place.unwrap_or_default())
}

impl Waiting {
    async fn next(&mut self) -> Wake {
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
