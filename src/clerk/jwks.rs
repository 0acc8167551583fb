//! Where the keys of session tokens come from: one PEM text, or a JWKS address asked as seldom as possible.
//!
//! A set lives an hour, is then renewed in the background, and serves for a day when the address does not
//! answer. One fetch runs at a time, outside any lock, and no fetch begins within 30 seconds of the one
//! before, whether that went well or not: nothing a caller sends makes Rollbook call out more often.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use reqwest::StatusCode;
use reqwest::header::ACCEPT;
use tokio::sync::watch;

use super::http::{self, Url};
use super::key::{BadKey, BadKeySet, Key, KeySet};
use crate::clock::{Clock, Timestamp};

/// How long a set is good without asking again, in milliseconds.
const LIFE: i64 = 60 * 60 * 1000;

/// How long a set serves when asking again fails, in milliseconds.
const MAX_STALE: i64 = 24 * LIFE;

/// The least time between the beginnings of two fetches, in milliseconds.
const COOL_DOWN: i64 = 30 * 1000;

/// The longest document, in bytes.
const MAX_DOCUMENT: usize = 64 * 1024;

/// The keys that session tokens are signed with. Clones share what they know.
#[derive(Clone)]
pub struct Keys(Origin);

#[derive(Clone)]
enum Origin {
    Pinned(Arc<Key>),
    Remote(Arc<Remote>),
}

struct Remote {
    url: Url,
    clock: Clock,
    newest: watch::Sender<Option<Bytes>>,
    state: Mutex<State>,
}

/// The lock on it is held for look-ups only, never across a fetch.
#[derive(Default)]
struct State {
    set: Option<Arc<KeySet>>,
    /// When the set was last known to be the published one.
    as_of: Timestamp,
    /// When the last fetch began.
    asked_at: Option<Timestamp>,
    /// How the last fetch failed, if it did.
    failure: Option<Failure>,
    /// By how many seconds our clock was ahead of the address's, at the last fetch that said.
    ahead: Option<i64>,
    /// Closed when the fetch that began last is over.
    flight: Option<watch::Receiver<()>>,
    /// How many fetches ended in each way, since the start.
    fetches: BTreeMap<&'static str, u64>,
}

/// Why there is no key for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoKey {
    /// The published set holds no key of that id.
    Unknown,
    /// No set was ever obtained, or none for a day.
    Unavailable {
        /// When asking again may help.
        retry_after_seconds: u64,
    },
}

/// Why a fetch brought no keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No connection, or a broken one.
    #[error("the address cannot be reached")]
    Unreachable,
    /// The host's name leads to private addresses only.
    #[error("the host has no public address")]
    NotPublic,
    /// The system has no certificates to check the address's own by.
    #[error("no certificates found on this system (package ca-certificates)")]
    NoCertificates,
    /// No whole answer within five seconds.
    #[error("no answer in time")]
    Timeout,
    /// Another status than 200; redirects are not followed.
    #[error("the answer's status is {0}, not 200")]
    Status(u16),
    /// More than 64 KiB.
    #[error("the answer is longer than 64 KiB")]
    TooLong,
    /// An answer that is not a set of keys to rely on.
    #[error("the answer is refused: {0}")]
    Document(#[from] BadKeySet),
}

impl Failure {
    /// The reason as one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::NotPublic => "not_public",
            Self::NoCertificates => "no_certificates",
            Self::Timeout => "timeout",
            Self::Status(_) => "status",
            Self::TooLong => "too_long",
            Self::Document(_) => "document",
        }
    }
}

/// How it stands with the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// How many usable keys there are.
    pub keys: usize,
    /// How many seconds ago they were last known to be the published ones; `None` for a pinned key, and without keys.
    pub age_seconds: Option<i64>,
    /// How the newest fetch failed, if it did.
    pub failure: Option<Failure>,
    /// By how many seconds our clock was ahead of theirs at the newest fetch that went well; `None` before there was
    /// one, when it did not say, and for a pinned key.
    pub ahead_seconds: Option<i64>,
    /// Whether the keys were asked for since the start; never so for a pinned key.
    pub asked: bool,
}

impl Keys {
    /// One key, pinned: no network, ever, and tokens need not name it.
    ///
    /// # Errors
    /// When the text is not an RSA public key of 2048 to 8192 bits.
    pub fn from_pem(pem: &str) -> Result<Self, BadKey> {
        Ok(Self(Origin::Pinned(Arc::new(Key::from_pem(pem)?))))
    }

    /// The keys published at `url`, asked for when first needed. `saved` is a document that [`Keys::changes`]
    /// gave earlier: it serves at once, and counts as an hour old, so that it is renewed at its first use.
    #[must_use]
    pub fn remote(url: Url, saved: Option<&[u8]>, clock: Clock) -> Self {
        let mut state = State::default();
        match saved.map(KeySet::read) {
            Some(Ok(set)) => {
                state.set = Some(Arc::new(set));
                state.as_of = clock.now().plus_millis(-LIFE);
            }
            Some(Err(reason)) => tracing::warn!(%reason, "the saved token keys are of no use"),
            None => {}
        }
        let newest = watch::Sender::new(None);
        Self(Origin::Remote(Arc::new(Remote { url, clock, newest, state: Mutex::new(state) })))
    }

    /// The newest document, `None` until a fetch brings other keys than were known: what to save, and to give
    /// to [`Keys::remote`] after a restart. Closed from the start for a pinned key.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Option<Bytes>> {
        match &self.0 {
            Origin::Pinned(_) => watch::channel(None).1,
            Origin::Remote(remote) => remote.newest.subscribe(),
        }
    }

    /// Asks for the keys now, unless that was done less than 30 seconds ago, and waits for the answer.
    pub async fn refresh(&self) -> Status {
        if let Origin::Remote(remote) = &self.0 {
            let now = remote.clock.now();
            let flight = {
                let mut state = remote.lock();
                state.in_flight().or_else(|| remote.begin(&mut state, now))
            };
            landed(flight).await;
        }
        self.status()
    }

    /// How it stands with the keys, without asking for them.
    #[must_use]
    pub fn status(&self) -> Status {
        match &self.0 {
            Origin::Pinned(_) => {
                Status { keys: 1, age_seconds: None, failure: None, ahead_seconds: None, asked: false }
            }
            Origin::Remote(remote) => remote.lock().status(remote.clock.now()),
        }
    }

    /// How many fetches ended in each way since the start: `ok`, or [`Failure::as_str`].
    #[must_use]
    pub fn fetches(&self) -> BTreeMap<&'static str, u64> {
        match &self.0 {
            Origin::Pinned(_) => BTreeMap::new(),
            Origin::Remote(remote) => remote.lock().fetches.clone(),
        }
    }

    /// The key a token is signed with, by the id in its header.
    pub(super) async fn find(&self, kid: Option<&str>) -> Result<Arc<Key>, NoKey> {
        match &self.0 {
            Origin::Pinned(key) => Ok(Arc::clone(key)),
            Origin::Remote(remote) => remote.find(kid.ok_or(NoKey::Unknown)?).await,
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Origin::Pinned(key) => f.debug_tuple("Keys").field(key).finish(),
            Origin::Remote(remote) => f.debug_tuple("Keys").field(&remote.url.as_str()).finish(),
        }
    }
}

impl Remote {
    async fn find(self: &Arc<Self>, kid: &str) -> Result<Arc<Key>, NoKey> {
        let flight = {
            let now = self.clock.now();
            let mut state = self.lock();
            state.forget_stale(now);
            if let Some(key) = state.key(kid) {
                if !is_within(LIFE, state.as_of, now) && state.in_flight().is_none() {
                    self.begin(&mut state, now);
                }
                return Ok(key);
            }
            state.in_flight().or_else(|| self.begin(&mut state, now))
        };
        landed(flight).await;
        let state = self.lock();
        match (state.key(kid), &state.set) {
            (Some(key), _) => Ok(key),
            (None, Some(_)) => Err(NoKey::Unknown),
            (None, None) => Err(NoKey::Unavailable { retry_after_seconds: state.cool_in(self.clock.now()) }),
        }
    }

    /// Begins a fetch, unless the last one began less than the cool-down ago. It runs to its end whoever hangs up.
    fn begin(self: &Arc<Self>, state: &mut State, now: Timestamp) -> Option<watch::Receiver<()>> {
        if state.asked_at.is_some_and(|at| is_within(COOL_DOWN, at, now)) {
            return None;
        }
        let (landing, flight) = watch::channel(());
        state.asked_at = Some(now);
        state.flight = Some(flight.clone());
        let remote = Arc::clone(self);
        tokio::spawn(async move {
            let (document, server_time) = match fetch(&remote.url).await {
                Ok((document, server_time)) => (Ok(document), server_time),
                Err(failure) => (Err(failure), None),
            };
            let fetched = document.and_then(|document| Ok((KeySet::read(&document)?, document)));
            remote.take(fetched, server_time);
            drop(landing);
        });
        Some(flight)
    }

    /// Puts a fetched set in the place of the old one; a failure leaves that as it is.
    fn take(&self, fetched: Result<(KeySet, Bytes), Failure>, server_time: Option<Timestamp>) {
        let mut state = self.lock();
        if let Some(theirs) = server_time {
            state.ahead = Some(self.clock.now().as_seconds() - theirs.as_seconds());
        }
        let ended = fetched.as_ref().map_or_else(|failure| failure.as_str(), |_| "ok");
        *state.fetches.entry(ended).or_default() += 1;
        match fetched {
            Ok((set, document)) => {
                let set = match &state.set {
                    Some(old) => set.succeeding(old),
                    None => set,
                };
                let changed = state.set.as_deref() != Some(&set);
                state.failure = None;
                state.as_of = self.clock.now();
                state.set = Some(Arc::new(set));
                if changed {
                    tracing::info!(keys = state.status(state.as_of).keys, "the token keys have changed");
                    self.newest.send_replace(Some(document));
                }
            }
            Err(failure) => {
                tracing::warn!(%failure, url = %self.url, "the token keys could not be fetched");
                state.failure = Some(failure);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn key(&self, kid: &str) -> Option<Arc<Key>> {
        self.set.as_ref()?.get(kid).map(Arc::clone)
    }

    /// Drops a set that nobody has confirmed for a day. A set from the future (the clock was set back)
    /// counts as an hour old, so that it cannot outlive its time.
    fn forget_stale(&mut self, now: Timestamp) {
        if self.as_of > now {
            self.as_of = now.plus_millis(-LIFE);
        }
        if !is_within(MAX_STALE, self.as_of, now) {
            self.set = None;
        }
    }

    /// The fetch under way, if there is one.
    fn in_flight(&self) -> Option<watch::Receiver<()>> {
        self.flight.clone().filter(|flight| flight.has_changed().is_ok())
    }

    /// In how many seconds the next fetch may begin, at least 1.
    fn cool_in(&self, now: Timestamp) -> u64 {
        let until = self.asked_at.unwrap_or(now).plus_millis(COOL_DOWN);
        u64::try_from(until.as_seconds() - now.as_seconds()).unwrap_or(0).max(1)
    }

    fn status(&self, now: Timestamp) -> Status {
        Status {
            keys: self.set.as_ref().map_or(0, |set| set.len()),
            age_seconds: self.set.as_ref().map(|_| now.as_seconds() - self.as_of.as_seconds()),
            failure: self.failure,
            ahead_seconds: self.ahead,
            asked: self.asked_at.is_some(),
        }
    }
}

/// Whether less than `span` milliseconds have passed since `since`; not so when that lies ahead, which only a
/// clock that was set back can make it.
fn is_within(span: i64, since: Timestamp, now: Timestamp) -> bool {
    (0..span).contains(&now.as_millis().saturating_sub(since.as_millis()))
}

/// Waits until the fetch is over: its task drops the sender, by finishing or by ending in any other way.
async fn landed(flight: Option<watch::Receiver<()>>) {
    if let Some(mut flight) = flight {
        while flight.changed().await.is_ok() {}
    }
}

/// Fetches the document: status 200, at most 64 KiB, within the client's time limit. With it comes what time it was there.
async fn fetch(url: &Url) -> Result<(Bytes, Option<Timestamp>), Failure> {
    // A client for each fetch: there is one an hour, and the certificates it holds are a megabyte to keep.
    let to = url.clone();
    let client = tokio::task::spawn_blocking(move || http::client(&to)).await;
    let client = client.map_err(|_| Failure::Unreachable)?.map_err(|_| Failure::NoCertificates)?;
    let failure = |error: reqwest::Error| match () {
        () if error.is_timeout() => Failure::Timeout,
        () if http::is_off_limits(&error) => Failure::NotPublic,
        () => Failure::Unreachable,
    };
    let mut response = client.get(url.clone()).header(ACCEPT, "application/json").send().await.map_err(failure)?;
    if response.status() != StatusCode::OK {
        return Err(Failure::Status(response.status().as_u16()));
    }
    let server_time = http::server_time(&response);
    let mut document = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(failure)? {
        if document.len() + chunk.len() > MAX_DOCUMENT {
            return Err(Failure::TooLong);
        }
        document.extend_from_slice(&chunk);
    }
    Ok((document.freeze(), server_time))
}

#[cfg(test)]
mod tests;
