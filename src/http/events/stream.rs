//! Events as a stream that stays open (server-sent events, WHATWG HTML). Nothing is queued for a reader: the next page is
//! read when the connection takes it, in a transaction of its own, so one who does not read holds nothing back.

use std::convert::Infallible;
use std::fmt::Write as _;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use sync_wrapper::SyncStream;
use warp::reply::Response;

use super::super::call::Call;
use super::super::caller::Caller;
use super::super::problem::Problem;
use super::super::streams::{self, Seat, Waiting, Wake};
use super::shown;
use crate::api_key::Scope;
use crate::page::Limit;
use crate::store::{FeedPage, FeedRequest};

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

/// Opens a stream.
pub(super) async fn open(call: Call, caller: &Caller, mut request: FeedRequest) -> Result<Response, Problem> {
    let streams = &call.app.streams;
    let full = || Problem::unavailable("Too many event streams are open; please try again.", 30);
    let seat = streams.seat(caller.credential()).ok_or_else(full)?;
    // What was read and not sent yet stays in memory for as long as the reader likes.
    request.limit = Limit::default();
    let waiting = streams.waiting(&call.app.store);
    // What is wrong with the request shows now, while it can still be said.
    let page = call.app.store.feed(request.clone()).await?;
    let look = caller.entry(&call, "events.streamed").with("after", request.after);
    call.app.store.record(look).await?;
    let open = Open { told: request.after, page: Some(page), call, request, waiting, _seat: seat };
    Ok(streams::events(open.chunks()))
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
            if self.waiting.is_over() {
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
        self.waiting.sent();
        Some(match page {
            Some(page) => self.events(&page, &reader),
            None => self.heartbeat(),
        })
    }

    async fn read(&mut self) -> Option<FeedPage> {
        // What is committed from here on wakes the stream again.
        self.waiting.size();
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
        streams::heartbeat(self.request.after, told).into()
    }
}
