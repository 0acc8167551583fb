//! What comes into the log while somebody looks, as server-sent events (WHATWG HTML): each new entry that fits the filter
//! as the row that a list would show. Opening a stream is an entry; what goes through it makes none.

use std::convert::Infallible;
use std::fmt::Write as _;

use askama::Template as _;
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use sync_wrapper::SyncStream;
use warp::reply::Response;

use super::super::entry::{Row, Rows};
use super::super::{Stop, csrf, session};
use super::search::Search;
use crate::audit::{Entry, Filter};
use crate::http::call::Call;
use crate::http::events::{last_event, number};
use crate::http::export::described;
use crate::http::problem::{Kind, Problem};
use crate::http::streams::{self, Seat, Waiting, Wake};

/// How far back a stream begins at most, in entries. What is older is on the pages of the list.
const BACK: u64 = 5_000;

/// The last event of a stream whose session has ended: there is no use in coming back.
const ENDED: &str = "event: ended\ndata:\n\n";

#[derive(askama::Template)]
#[template(path = "entry_row.html")]
struct Item {
    row: Row,
}

/// A stream, between two chunks of it.
struct Open {
    call: Call,
    filter: Filter,
    /// The next entry to look at.
    next: u64,
    /// The number that the reader goes on from if it is cut off now.
    told: Option<u64>,
    is_over: bool,
    waiting: Waiting,
    _seat: Seat,
}

/// `GET /admin/audit/live`.
pub(in crate::http::admin) async fn open(call: Call) -> Result<Response, Stop> {
    call.get_only()?;
    csrf::check_get(&call.headers, &call.app.settings.public_origin)?;
    let gone = || Problem::new(Kind::Unauthorized, "Your session has ended.");
    let admin = session::still_in(&call).await?.ok_or_else(gone)?;
    let search = Search::read(&call, &["after"])?;
    let bad = || Problem::bad_request("after is not the number of an entry.");
    let after = search.given("after").map(|text| number(text).ok_or_else(bad)).transpose()?;
    let after = last_event(&call)?.or(after);
    let store = &call.app.store;
    let filter = search.filter(store).await?.map_err(Problem::bad_request)?;
    let full = || Problem::unavailable("Too many streams are open; please try again.", 30);
    let seat = call.app.streams.seat(&admin.seat()).ok_or_else(full)?;
    let waiting = call.app.streams.waiting(store);
    let size = store.counts().entries;
    store.record(described(admin.did("audit.streamed").with("after", after), &filter)).await?;
    let next = after.map_or(size, |after| after.saturating_add(1)).clamp(size.saturating_sub(BACK), size);
    let open = Open { told: after, next, filter, is_over: false, waiting, _seat: seat, call };
    Ok(streams::events(open.chunks()))
}

impl Open {
    fn chunks(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + Sync {
        // Only the connection ever polls it, but warp asks of a body that it could be shared.
        SyncStream::new(unfold(self, |mut open| async move {
            let chunk = open.chunk().await?;
            Some((Ok(chunk), open))
        }))
    }

    /// The next chunk, when there is one; `None` ends the stream.
    async fn chunk(&mut self) -> Option<Bytes> {
        let entries = loop {
            if self.is_over || self.waiting.is_over() {
                return None;
            }
            let entries = self.read().await?;
            if !entries.is_empty() {
                break entries;
            }
            if self.next >= self.waiting.size() {
                match self.waiting.next().await {
                    Wake::Grown => {}
                    Wake::Quiet => break entries,
                    Wake::Stopping => return None,
                }
            }
        };
        // Nothing is told to somebody who has signed out meanwhile, or is idle for too long.
        if !matches!(session::still_in(&self.call).await, Ok(Some(_))) {
            self.is_over = true;
            return Some(ENDED.into());
        }
        self.waiting.sent();
        if entries.is_empty() { Some(self.heartbeat()) } else { self.events(entries) }
    }

    /// A stretch of what is there by now; may be nothing although more follows.
    async fn read(&mut self) -> Option<Vec<Entry>> {
        let size = self.waiting.size();
        if self.next >= size {
            return Some(Vec::new());
        }
        let read = self.call.app.store.walk_entries(self.filter.clone(), self.next..size).await;
        let stretch = read.inspect_err(|cause| tracing::debug!(%cause, "audit.stream_ended")).ok()?;
        self.next = stretch.next.unwrap_or(size);
        let in_time = |entry: &Entry| {
            self.filter.from.is_none_or(|from| entry.leaf.at >= from)
                && self.filter.to.is_none_or(|to| entry.leaf.at < to)
        };
        Some(stretch.items.into_iter().filter(in_time).collect())
    }

    fn events(&mut self, entries: Vec<Entry>) -> Option<Bytes> {
        let rows = Rows::new(&self.call.app.store, self.call.app.clock.now()).of(entries).ok()?;
        let mut text = String::new();
        for row in rows {
            self.told = Some(row.seq);
            event(&mut text, row.seq, &Item { row }.render().ok()?);
        }
        Some(text.into())
    }

    fn heartbeat(&mut self) -> Bytes {
        let after = self.next.checked_sub(1);
        let told = std::mem::replace(&mut self.told, after);
        streams::heartbeat(after, told).into()
    }
}

/// Writes one event. A line break in a name must not begin a line of the stream's own.
fn event(text: &mut String, seq: u64, html: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "id: {seq}\nevent: entry");
    for line in html.split(['\n', '\r']) {
        let _ = writeln!(text, "data: {line}");
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_ends_an_event() {
        let mut text = String::new();
        event(&mut text, 7, "<li>\n\r\nevent: ended\r</li>");
        assert_eq!(text, "id: 7\nevent: entry\ndata: <li>\ndata: \ndata: \ndata: event: ended\ndata: </li>\n\n");
    }
}
