//! How often somebody may ask: by the address a request comes from, and by the session or API key it is made with.
//!
//! A limit is so many requests a second, with ten seconds' worth of them at one go (the generic cell rate algorithm). An
//! IPv6 address counts for its /64. `/health` and `/ready` have no limit, and for webhooks the signature is looked at
//! first: a good one always passes, only others count.

mod bounded;

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::{Quota, RateLimiter};
use hyper::{HeaderMap, Method, Request};

use self::bounded::Bounded;
use super::call::Call;
use super::guard::{self, Peer};
use super::problem::Problem;
use super::{App, Settings};

/// So many seconds' worth of requests may come at one go.
const BURST_SECONDS: u32 = 10;

/// So many addresses, and so many sessions and keys, are told apart.
const TOLD_APART: usize = 100_000;

/// Where users are deleted by whoever signs with the webhook's secret.
const DELETIONS: &str = "/api/users/webhook/";

/// How often somebody may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests per second; `None` is without limit.
    pub per_second: Option<NonZeroU32>,
    /// Whether that holds also for requests that come from this machine itself.
    pub also_local: bool,
}

/// What is left to everybody. Nothing in it is kept over a restart.
#[derive(Debug)]
pub struct Limits {
    addresses: Allowance<IpAddr>,
    tokens: Allowance<String>,
}

impl Limits {
    /// With the rates that the operator chose.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self { addresses: Allowance::new(settings.rate_address), tokens: Allowance::new(settings.rate_token) }
    }

    /// Forgets whoever has asked for nothing lately. To be called now and then.
    pub fn forget_idle(&self) {
        self.addresses.forget_idle();
        self.tokens.forget_idle();
    }
}

/// Counts a request before it is routed, by the address it comes from.
///
/// # Errors
/// 429 once there were too many.
pub(super) fn check<B>(app: &App, request: &Request<B>, peer: Peer) -> Result<(), Problem> {
    if is_free(request.method(), request.uri().path()) {
        return Ok(());
    }
    count_address(app, request.headers(), peer)
}

/// Whether such requests are not counted when they come.
pub(super) fn is_free(method: &Method, path: &str) -> bool {
    match bare(path).strip_prefix(DELETIONS) {
        Some(id) => method == Method::DELETE && !id.contains('/'),
        None => is_signed(path) || matches!(bare(path), "/health" | "/ready"),
    }
}

/// Whether that path is for whoever signs with the webhook's secret.
pub(super) fn is_signed(path: &str) -> bool {
    matches!(bare(path), "/api/webhooks" | "/api/webhooks/clerk" | "/api/webhook/clerk") || path.starts_with(DELETIONS)
}

/// The path without the slash at its end, which does not matter.
fn bare(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

impl Call {
    /// Counts a request for whoever signs that was not signed well, which was not counted before.
    ///
    /// # Errors
    /// 429 once there were too many.
    pub(super) fn count_unsigned(&self) -> Result<(), Problem> {
        count_address(&self.app, &self.headers, self.peer)
    }

    /// Counts a request made with that session or API key, by its id, once it is known to be good; no request twice.
    ///
    /// # Errors
    /// 429 once there were too many.
    pub(super) fn count_token(&self, id: &str) -> Result<(), Problem> {
        if self.is_counted.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let waits = self.app.limits.tokens.take(&id.to_owned(), is_local(&self.headers, self.peer));
        waits.map_err(|seconds| limited(&self.app, "token", seconds))
    }
}

fn count_address(app: &App, headers: &HeaderMap, peer: Peer) -> Result<(), Problem> {
    let address = guard::household(guard::client_ip(headers, peer, &app.settings.trusted_proxies));
    let waits = app.limits.addresses.take(&address, is_local(headers, peer));
    waits.map_err(|seconds| limited(app, "address", seconds))
}

/// Whether a request comes from this machine itself, and is not one that a proxy here sends on.
fn is_local(headers: &HeaderMap, peer: Peer) -> bool {
    peer.remote.ip().is_loopback() && !guard::is_sent_on(headers)
}

fn limited(app: &App, by: &'static str, seconds: u64) -> Problem {
    app.tally.refused("api.limited", by);
    Problem::too_many_requests("Too many requests; please slow down.", seconds)
}

type Limiter<K, C> = RateLimiter<K, Bounded<K>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// One limit, and what is left of it to each `K`.
#[derive(Debug)]
struct Allowance<K: Hash + Eq + Clone, C: Clock = MonotonicClock> {
    limiter: Option<Limiter<K, C>>,
    also_local: bool,
}

impl<K: Hash + Eq + Clone> Allowance<K> {
    fn new(rate: Rate) -> Self {
        Self::with(rate, TOLD_APART, MonotonicClock)
    }
}

impl<K: Hash + Eq + Clone, C: Clock> Allowance<K, C> {
    fn with(rate: Rate, told_apart: usize, clock: C) -> Self {
        let quota = |per_second: NonZeroU32| {
            let burst = per_second.saturating_mul(NonZeroU32::MIN.saturating_add(BURST_SECONDS - 1));
            Quota::per_second(per_second).allow_burst(burst)
        };
        let limiter = |per_second| RateLimiter::new(quota(per_second), Bounded::new(told_apart), clock);
        Self { limiter: rate.per_second.map(limiter), also_local: rate.also_local }
    }

    /// Takes one request's worth.
    ///
    /// # Errors
    /// When nothing is left: in how many seconds there will be, at least 1.
    fn take(&self, key: &K, is_local: bool) -> Result<(), u64> {
        let Some(limiter) = self.limiter.as_ref().filter(|_| self.also_local || !is_local) else { return Ok(()) };
        limiter.check_key(key).map_err(|until| whole_seconds(until.wait_time_from(limiter.clock().now())))
    }

    fn forget_idle(&self) {
        if let Some(limiter) = &self.limiter {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

/// So many seconds that the time is over after them.
fn whole_seconds(time: Duration) -> u64 {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn allowance(per_second: u32, told_apart: usize) -> (Allowance<u32, FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let rate = Rate { per_second: NonZeroU32::new(per_second), also_local: false };
        (Allowance::with(rate, told_apart, clock.clone()), clock)
    }

    fn taken(allowance: &Allowance<u32, FakeRelativeClock>, key: u32) -> usize {
        (0..1_000).take_while(|_| allowance.take(&key, false).is_ok()).count()
    }

    #[test]
    fn ten_seconds_worth_at_one_go_and_then_the_rate() {
        let (allowance, clock) = allowance(2, 10);
        assert_eq!((taken(&allowance, 1), taken(&allowance, 2)), (20, 20));
        assert_eq!(allowance.take(&1, false), Err(1), "half a second, rounded up");
        clock.advance(Duration::from_secs(3));
        assert_eq!(taken(&allowance, 1), 6);
        clock.advance(Duration::from_mins(1));
        assert_eq!(taken(&allowance, 1), 20);
        assert_eq!(allowance.take(&1, true), Ok(()), "this machine itself");
    }

    #[test]
    fn the_idle_are_forgotten_and_the_busy_are_not() {
        let (allowance, clock) = allowance(1, 10);
        assert_eq!(taken(&allowance, 1), 10);
        clock.advance(Duration::from_secs(5));
        assert!(allowance.take(&2, false).is_ok());
        allowance.forget_idle();
        assert_eq!(allowance.limiter.as_ref().unwrap().len(), 2);
        clock.advance(Duration::from_secs(4));
        allowance.forget_idle();
        assert_eq!(allowance.limiter.as_ref().unwrap().len(), 1);
        assert_eq!(taken(&allowance, 1), 9, "forgetting gives nothing back");
    }

    #[test]
    fn beyond_so_many_the_newcomers_share() {
        let (allowance, clock) = allowance(1, 3);
        assert!((0..3).all(|key| allowance.take(&key, false).is_ok()));
        assert_eq!(taken(&allowance, 100), 10);
        assert_eq!((taken(&allowance, 101), taken(&allowance, 1)), (0, 9));
        assert_eq!(allowance.limiter.as_ref().unwrap().len(), 3);
        clock.advance(Duration::from_secs(30));
        allowance.forget_idle();
        assert_eq!((taken(&allowance, 100), taken(&allowance, 101)), (10, 10));
    }

    #[test]
    fn paths_whose_signature_is_checked_first() {
        for path in [
            "/api/webhooks/clerk",
            "/api/webhooks",
            "/api/webhooks/",
            "/api/webhook/clerk",
            "/api/users/webhook/user_1",
        ] {
            assert!(is_signed(path), "{path}");
        }
        for path in ["/api/webhook", "/api/webhooks/other", "/api/users/user_1", "/api/users", "/"] {
            assert!(!is_signed(path), "{path}");
        }
    }
}
