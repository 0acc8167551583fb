//! What the server counts of itself, and `GET /metrics`, where that stands in Prometheus' text format. Nothing of it
//! names a person: what comes from outside (paths, methods, outcomes) is shown by words of ours alone, so that there is
//! only so much of it.

mod families;
mod listener;
mod scrape;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use warp::http::{HeaderMap, Method};
use warp::reply::Response;

use super::call::Call;
use super::caller::Caller;
use super::guard::{self, Peer};
use super::problem::Problem;
use super::route::{Matched, Operation, Route, Who};
use crate::api_key::Scope;
use crate::event::Outcome;
use crate::histogram::{DURATIONS, Histogram};

pub use self::listener::service;

/// Counts since the start.
#[derive(Debug)]
pub struct Metrics {
    requests: Mutex<Requests>,
    deliveries: Mutex<Deliveries>,
    /// The connections of the server's main address.
    pub connections: Arc<Connections>,
}

/// Requests by the template of their path, their method and the status of their answer.
#[derive(Debug, Default)]
struct Requests {
    answered: BTreeMap<(&'static str, &'static str, u16), u64>,
    took: BTreeMap<&'static str, Histogram>,
}

/// Webhooks by what became of them, and how long the taken ones took from the whole body to the answer.
#[derive(Debug)]
struct Deliveries {
    ended: BTreeMap<&'static str, u64>,
    took: Histogram,
}

/// How many connections there are, how many were idle and made room for others, and how many found none.
#[derive(Debug, Default)]
pub struct Connections {
    open: AtomicU64,
    closed_idle: AtomicU64,
    refused: AtomicU64,
    /// In the order of [`Handshake`].
    handshakes: [AtomicU64; 3],
}

/// How a handshake ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// Both sides have agreed.
    Done,
    /// They could not.
    Failed,
    /// The client left, took too long, or had to make room.
    Unfinished,
}

impl Handshake {
    const ALL: [(Self, &str); 3] = [(Self::Done, "done"), (Self::Failed, "failed"), (Self::Unfinished, "unfinished")];
}

/// One open connection, until it is dropped.
#[derive(Debug)]
pub struct Open(Arc<Connections>);

impl Default for Metrics {
    fn default() -> Self {
        use Outcome::{Applied, Duplicate, Quarantined, Recorded, Stale, Unchanged};
        let outcomes = [Applied, Unchanged, Stale, Duplicate, Recorded, Quarantined];
        // Known from the start, so that the first of a kind is a rise and not a beginning.
        let ended = outcomes.iter().map(|outcome| (outcome.as_str(), 0)).collect();
        Self {
            requests: Mutex::default(),
            deliveries: Mutex::new(Deliveries { ended, took: Histogram::new(DURATIONS) }),
            connections: Arc::default(),
        }
    }
}

impl Metrics {
    /// Counts a request that was answered. `took` is from the end of its head to the start of the answer; `None` where
    /// the handler never came to one.
    pub(super) fn answered(&self, method: &Method, took: Option<Duration>, response: &Response) {
        let route = response.extensions().get::<Matched>().map_or("unmatched", |matched| matched.0);
        let mut requests = lock(&self.requests);
        *requests.answered.entry((route, word(method), response.status().as_u16())).or_default() += 1;
        if let Some(took) = took {
            requests.took.entry(route).or_insert_with(|| Histogram::new(DURATIONS)).note(micros(took));
        }
    }

    /// Counts a webhook that was taken.
    pub(super) fn delivered(&self, outcome: Outcome, took: Duration) {
        let mut deliveries = lock(&self.deliveries);
        *deliveries.ended.entry(outcome.as_str()).or_default() += 1;
        deliveries.took.note(micros(took));
    }

    /// Counts a webhook that was not taken, for a reason that is a word of ours.
    pub(super) fn not_delivered(&self, reason: &'static str) {
        *lock(&self.deliveries).ended.entry(reason).or_default() += 1;
    }
}

impl Connections {
    /// Counts a connection as long as the value returned lives.
    #[must_use]
    pub fn open(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    /// Counts a connection that is closed at once, and says how many those were.
    pub fn refuse(&self) -> u64 {
        self.refused.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Counts an idle connection that is closed to make room, and says how many those were.
    pub fn close_idle(&self) -> u64 {
        self.closed_idle.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How many handshakes ended how.
    pub(super) fn handshakes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let count = |(result, word): (Handshake, _)| (word, self.handshakes[result as usize].load(Ordering::Relaxed));
        Handshake::ALL.into_iter().map(count)
    }

    /// How many connections found no room.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Open {
    /// Counts the handshake of the connection.
    pub fn shook_hands(&self, result: Handshake) {
        self.0.handshakes[result as usize].fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where the metrics are.
pub(super) fn routes() -> Vec<Route> {
    let show = Operation::new("metrics", "The server's measurements", show)
        .tag("Operation")
        .describe(
            "In the text format of Prometheus. A process on the server's own machine needs no token, unless a proxy asks \
             on somebody's behalf.",
        )
        .by(Who::NearbyOr(Scope::MetricsRead))
        .answers_in::<String>(200, "text/plain", "A line for each value, with its name and labels.");
    vec![Route::at("/metrics").get(show)]
}

/// For whoever watches from this machine, and for admins.
async fn show(call: Call) -> Result<Response, Problem> {
    call.no_query()?;
    if !is_at_hand(call.peer, &call.headers) {
        let caller = call.caller().await?;
        call.require(&caller, Scope::MetricsRead).await?;
        if let Caller::Key(key) = &caller {
            call.app.tally.done_by(&key.id, "metrics.read");
        }
    }
    scrape::answer(&call.app)
}

/// Whether a request comes from this machine and nobody sent it on.
fn is_at_hand(peer: Peer, headers: &HeaderMap) -> bool {
    let is_here = peer.remote.ip().is_loopback() && guard::names_this_machine(headers, peer);
    is_here && !guard::is_sent_on(headers)
}

/// The method by a word of ours: anybody can invent another.
fn word(method: &Method) -> &'static str {
    const WORDS: [&str; 6] = ["GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"];
    WORDS.into_iter().find(|word| method.as_str() == *word).unwrap_or("other")
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
