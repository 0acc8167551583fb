//! How often somebody may be wrong. What is remembered is bounded: once everybody together has been
//! wrong too often in a minute, nothing more is looked at, and so nothing more is remembered.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::guard::household;
use crate::clock::Timestamp;

const MINUTE: i64 = 60 * 1000;
const QUARTER: i64 = 15 * MINUTE;

/// Failures per quarter of an hour for one name from one address.
const PER_CALLER: usize = 5;

/// Failures per minute for everybody together.
const TOGETHER: usize = 30;

/// Wrong links, from anywhere, until set-up rests for a quarter of an hour.
const WRONG_LINKS: usize = 5;

/// Sign-ins: what went wrong in the last quarter of an hour, oldest first.
#[derive(Debug, Default)]
pub(super) struct SignIns(Mutex<VecDeque<Failure>>);

#[derive(Debug)]
struct Failure {
    at: Timestamp,
    caller: Caller,
}

/// A name and the network it is tried from.
#[derive(Debug, PartialEq, Eq)]
struct Caller(String, IpAddr);

impl SignIns {
    /// Notes a try that counts as failed until [`SignIns::succeeded`] says otherwise, so that many at
    /// the same time are no way around the limit.
    ///
    /// # Errors
    /// When there were too many: the seconds to wait. The try is then not noted.
    pub(super) fn begin(&self, name: &str, ip: IpAddr, now: Timestamp) -> Result<(), u64> {
        let caller = caller(name, ip);
        let mut failures = lock(&self.0);
        while failures.front().is_some_and(|f| !within(f.at, QUARTER, now)) {
            failures.pop_front();
        }
        let mine = failures.iter().filter(|f| f.caller == caller).map(|f| f.at);
        let all = failures.iter().map(|f| f.at);
        let wait = wait(mine, PER_CALLER, QUARTER, now).max(wait(all, TOGETHER, MINUTE, now));
        if let Some(seconds) = wait {
            return Err(seconds);
        }
        failures.push_back(Failure { at: now, caller });
        Ok(())
    }

    /// Forgets the failures of a caller who got it right.
    pub(super) fn succeeded(&self, name: &str, ip: IpAddr) {
        let caller = caller(name, ip);
        lock(&self.0).retain(|f| f.caller != caller);
    }
}

/// Set-up links: when a wrong one was last shown.
#[derive(Debug, Default)]
pub(super) struct Links(Mutex<VecDeque<Timestamp>>);

impl Links {
    /// Whether links are looked at.
    ///
    /// # Errors
    /// After too many wrong ones: the seconds to wait.
    pub(super) fn open(&self, now: Timestamp) -> Result<(), u64> {
        let wrong = lock(&self.0);
        match wrong.back() {
            Some(last) if wrong.len() >= WRONG_LINKS && within(*last, QUARTER, now) => Err(left(*last, QUARTER, now)),
            _ => Ok(()),
        }
    }

    /// Notes a wrong link.
    pub(super) fn wrong(&self, now: Timestamp) {
        let mut wrong = lock(&self.0);
        if wrong.len() >= WRONG_LINKS {
            wrong.clear();
        }
        wrong.retain(|at| within(*at, QUARTER, now));
        wrong.push_back(now);
    }
}

/// The name as far as it can be one, and the network: a caller with IPv6 owns a whole /64.
fn caller(name: &str, ip: IpAddr) -> Caller {
    let name = if super::link::is_admin_name(name) { name } else { "" };
    Caller(name.to_owned(), household(ip))
}

/// The seconds until fewer than `most` of `times` (oldest first) lie in the last `span` milliseconds.
fn wait(times: impl DoubleEndedIterator<Item = Timestamp>, most: usize, span: i64, now: Timestamp) -> Option<u64> {
    let oldest = times.rev().nth(most - 1).filter(|at| within(*at, span, now))?;
    Some(left(oldest, span, now))
}

/// Whether `at` lies in the last `span` milliseconds. A clock set back makes it so for longer, never for ever.
fn within(at: Timestamp, span: i64, now: Timestamp) -> bool {
    (now.as_millis() - at.as_millis()).abs() < span
}

/// The seconds, at least one, until `at` lies `span` milliseconds back.
fn left(at: Timestamp, span: i64, now: Timestamp) -> u64 {
    let millis = at.as_millis() + span - now.as_millis();
    u64::try_from(millis).unwrap_or_default().div_ceil(1000).max(1)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + millis)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn five_failures_hold_one_caller_up_for_a_quarter_of_an_hour() {
        let sign_ins = SignIns::default();
        for n in 0..5 {
            assert_eq!(sign_ins.begin("ada", ip("192.0.2.1"), at(n * 1000)), Ok(()));
        }
        assert_eq!(sign_ins.begin("ada", ip("192.0.2.1"), at(5000)), Err(15 * 60 - 5));
        assert_eq!(sign_ins.begin("ada", ip("::ffff:192.0.2.1"), at(5000)), Err(15 * 60 - 5));
        assert_eq!(sign_ins.begin("ada", ip("192.0.2.2"), at(5000)), Ok(()));
        assert_eq!(sign_ins.begin("bob", ip("192.0.2.1"), at(5000)), Ok(()));
        assert_eq!(sign_ins.begin("ada", ip("192.0.2.1"), at(QUARTER)), Ok(()));
        assert!(sign_ins.begin("ada", ip("192.0.2.1"), at(QUARTER)).is_err());
    }

    #[test]
    fn success_clears_the_slate_of_that_caller_alone() {
        let sign_ins = SignIns::default();
        for _ in 0..5 {
            sign_ins.begin("ada", ip("2001:db8::1"), at(0)).unwrap();
            sign_ins.begin("bob", ip("2001:db8::1"), at(0)).unwrap();
        }
        assert!(sign_ins.begin("ada", ip("2001:db8::2"), at(1)).is_err(), "the same /64");
        sign_ins.succeeded("ada", ip("2001:db8::3"));
        assert_eq!(sign_ins.begin("ada", ip("2001:db8::1"), at(1)), Ok(()));
        assert!(sign_ins.begin("bob", ip("2001:db8::1"), at(1)).is_err());
    }

    #[test]
    fn everybody_together_has_a_limit_which_bounds_the_memory() {
        let sign_ins = SignIns::default();
        let mut heard = 0;
        for n in 0..100_000_u32 {
            let ip = IpAddr::from(n.to_be_bytes());
            heard += i64::from(sign_ins.begin(&format!("name{n}"), ip, at(i64::from(n) * 10)).is_ok());
        }
        // 1,000 seconds: 17 minutes begun, 30 in each.
        assert_eq!(heard, 17 * 30);
        assert!(lock(&sign_ins.0).len() <= 16 * TOGETHER);
    }

    #[test]
    fn five_wrong_links_rest_set_up_for_a_quarter_of_an_hour() {
        let links = Links::default();
        for n in 0..4 {
            links.wrong(at(n));
        }
        assert_eq!(links.open(at(4)), Ok(()));
        links.wrong(at(60_000));
        assert_eq!(links.open(at(60_000)), Err(15 * 60));
        assert_eq!(links.open(at(60_000 + QUARTER - 1)), Err(1));
        assert_eq!(links.open(at(60_000 + QUARTER)), Ok(()));
        links.wrong(at(60_000 + QUARTER));
        assert_eq!(links.open(at(60_000 + QUARTER)), Ok(()));
    }
}
