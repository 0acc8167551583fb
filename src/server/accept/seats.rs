//! Who has a connection: how many each peer holds, which of them are idle, and who gives way when all are taken.
//!
//! A connection is idle while no request is under way on it: from its start, or from the moment the last byte of an answer
//! was handed to the system, until the head of the next request is whole. A head that comes in drop by drop thus
//! does not keep the place of one that is there.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::sync::Notify;

use crate::http::guard::{household, trusts};

/// The seats of one server. Locked when a connection comes and when it goes.
#[derive(Debug)]
pub(super) struct Seats {
    most: usize,
    per_peer: usize,
    trusted: Vec<IpNet>,
    began: Instant,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    seats: HashMap<u64, Sitter>,
    peers: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Sitter {
    /// `None` for whom nobody counts.
    holder: Option<IpAddr>,
    state: Arc<State>,
}

/// One connection's seat, free again when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    number: u64,
    pub(super) state: Arc<State>,
}

/// Room for a newcomer.
#[derive(Debug)]
pub(super) struct Taking {
    pub(super) seat: Seat,
    /// Whether another connection had to go.
    pub(super) gave_way: bool,
}

/// What a connection is at.
#[derive(Debug)]
pub(super) struct State {
    began: Instant,
    /// Microseconds from `began` to when it fell idle, [`BUSY`] or [`LEAVING`].
    idle_since: AtomicU64,
    /// An answer is being made or not yet all in hyper's hands.
    answering: AtomicBool,
    /// The client does not take what is written to it.
    stuck: AtomicBool,
    leave: Notify,
}

/// Whoever has not begun a request for so long is not about to.
const A_WHILE: Duration = Duration::from_secs(1);

const BUSY: u64 = u64::MAX;
const LEAVING: u64 = u64::MAX - 1;

impl Seats {
    pub(super) fn new(most: usize, per_peer: usize, trusted: Vec<IpNet>) -> Self {
        Self { most, per_peer, trusted, began: Instant::now(), taken: Mutex::default() }
    }

    /// A seat for a connection from there. Where the peer has all of its own, its longest idle connection gives way; where
    /// everybody together has all there are, the longest idle of all. `None` when there is no idle one.
    pub(super) fn take(self: &Arc<Self>, remote: IpAddr) -> Option<Taking> {
        let remote = remote.to_canonical();
        let is_free = remote.is_loopback() || trusts(&self.trusted, remote);
        let holder = (!is_free).then(|| household(remote));
        let mut taken = self.lock();
        let mut gave_way = false;
        if let Some(holder) = holder
            && taken.peers.get(&holder).copied().unwrap_or_default() >= self.per_peer
        {
            taken.clear(|sitter| sitter.holder == Some(holder))?;
            gave_way = true;
        }
        if taken.seats.len() >= self.most {
            taken.clear(|_| true)?;
            gave_way = true;
        }
        Some(Taking { seat: self.seat(&mut taken, holder), gave_way })
    }

    /// Has the longest idle connection go, if there is one that has been so for a while: who has just come, and has not had
    /// the time to say anything, stays.
    pub(super) fn make_room(&self) -> bool {
        let since = micros(self.began.elapsed().saturating_sub(A_WHILE));
        self.lock().clear(|sitter| sitter.state.idle_since().is_some_and(|at| at < since)).is_some()
    }

    fn seat(self: &Arc<Self>, taken: &mut Taken, holder: Option<IpAddr>) -> Seat {
        let (number, state) = (taken.next, Arc::new(State::new(self.began)));
        taken.next += 1;
        taken.seats.insert(number, Sitter { holder, state: Arc::clone(&state) });
        if let Some(holder) = holder {
            *taken.peers.entry(holder).or_default() += 1;
        }
        Seat { seats: Arc::clone(self), number, state }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Sends away the longest idle of those. One that gets busy as we look is passed over.
    fn clear(&mut self, of: impl Fn(&Sitter) -> bool) -> Option<()> {
        loop {
            let idle = self.seats.iter().filter(|(_, sitter)| of(sitter));
            let idle = idle.filter_map(|(number, sitter)| Some((sitter.state.idle_since()?, *number)));
            let (since, number) = idle.min()?;
            if self.seats[&number].state.send_away(since) {
                self.free(number);
                return Some(());
            }
        }
    }

    fn free(&mut self, number: u64) {
        let Some(Sitter { holder: Some(holder), .. }) = self.seats.remove(&number) else { return };
        if let Some(count) = self.peers.get_mut(&holder) {
            *count -= 1;
            if *count == 0 {
                self.peers.remove(&holder);
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.lock().free(self.number);
    }
}

impl State {
    /// Idle, as measured from there.
    pub(super) fn new(began: Instant) -> Self {
        let (answering, stuck) = (AtomicBool::new(false), AtomicBool::new(false));
        let state = Self { began, idle_since: AtomicU64::new(BUSY), answering, stuck, leave: Notify::new() };
        state.settle();
        state
    }

    /// A request is under way from here on. `false` when the connection has to go instead.
    pub(super) fn begin(&self) -> bool {
        let at = self.idle_since.load(Ordering::Relaxed);
        // Nobody else makes it anything but `LEAVING`.
        let begun = at == BUSY || at != LEAVING && self.exchange(at, BUSY);
        self.answering.store(begun, Ordering::Relaxed);
        begun
    }

    /// The answer's last byte is in hyper's hands, or nobody wants it any more.
    pub(super) fn answered(&self) {
        self.answering.store(false, Ordering::Relaxed);
    }

    /// The client takes what is written to it, or not.
    pub(super) fn stuck(&self, is_stuck: bool) {
        self.stuck.store(is_stuck, Ordering::Relaxed);
    }

    /// Called each time the connection's task has done all it could for now: idle from here on, unless there is
    /// something that it waits for other than a request.
    pub(super) fn settle(&self) {
        if !self.answering.load(Ordering::Relaxed) && !self.stuck.load(Ordering::Relaxed) {
            self.exchange(BUSY, micros(self.began.elapsed()));
        }
    }

    /// Resolves once the connection has to go.
    pub(super) async fn told_to_leave(&self) {
        self.leave.notified().await;
    }

    fn idle_since(&self) -> Option<u64> {
        let at = self.idle_since.load(Ordering::Relaxed);
        (at < LEAVING).then_some(at)
    }

    /// Whether it was idle since then until now, and goes.
    fn send_away(&self, since: u64) -> bool {
        let sent = self.exchange(since, LEAVING);
        if sent {
            self.leave.notify_one();
        }
        sent
    }

    fn exchange(&self, from: u64, to: u64) -> bool {
        self.idle_since.compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).map_or(LEAVING - 1, |micros| micros.min(LEAVING - 1))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn take(seats: &Arc<Seats>, ip: &str) -> Option<Taking> {
        seats.take(ip.parse().unwrap())
    }

    /// A seat whose holder is at work.
    fn work(seats: &Arc<Seats>, ip: &str) -> Option<Seat> {
        let seat = take(seats, ip)?.seat;
        assert!(seat.state.begin());
        Some(seat)
    }

    fn is_away(seat: &Seat) -> bool {
        !seat.state.begin()
    }

    #[test]
    fn a_peer_has_so_many_seats_and_gets_them_back() {
        let seats = Arc::new(Seats::new(9, 2, Vec::new()));
        let first = work(&seats, "192.0.2.1").unwrap();
        let second = work(&seats, "::ffff:192.0.2.1").unwrap();
        assert!(take(&seats, "192.0.2.1").is_none());
        let other = work(&seats, "192.0.2.2").unwrap();
        drop(first);
        assert!(take(&seats, "192.0.2.1").is_some());
        drop((second, other));
        assert!(seats.lock().peers.is_empty() && seats.lock().seats.is_empty());
    }

    #[test]
    fn an_ipv6_peer_is_its_64() {
        let seats = Arc::new(Seats::new(9, 1, Vec::new()));
        let _first = work(&seats, "2001:db8:0:1::1").unwrap();
        assert!(take(&seats, "2001:db8:0:1:ffff::2").is_none());
        assert!(take(&seats, "2001:db8:0:2::1").is_some());
    }

    #[test]
    fn loopback_and_trusted_proxies_are_not_counted() {
        let seats = Arc::new(Seats::new(9, 0, vec!["10.0.0.0/8".parse().unwrap()]));
        for free in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.1.2.3", "::ffff:10.1.2.3"] {
            assert!(take(&seats, free).is_some(), "{free}");
        }
        assert!(take(&seats, "192.0.2.1").is_none());
    }

    #[test]
    fn the_longest_idle_gives_way_and_who_works_does_not() {
        let seats = Arc::new(Seats::new(3, 3, Vec::new()));
        let at_work = work(&seats, "192.0.2.1").unwrap();
        let was_at_work = work(&seats, "192.0.2.2").unwrap();
        let waits = take(&seats, "192.0.2.3").unwrap().seat;
        std::thread::sleep(Duration::from_millis(1));
        was_at_work.state.answered();
        was_at_work.state.settle();
        let fourth = take(&seats, "192.0.2.4").unwrap();
        assert!(fourth.gave_way && is_away(&waits), "it waited longest");
        assert!(fourth.seat.state.begin());
        let fifth = work(&seats, "192.0.2.5").unwrap();
        assert!(is_away(&was_at_work), "next came who had been answered");
        assert!(take(&seats, "192.0.2.6").is_none() && !seats.make_room(), "all are at work");
        drop((waits, was_at_work));
        assert_eq!(seats.lock().seats.len(), 3, "a seat that was given up is not freed twice");
        drop((at_work, fourth, fifth));
        assert!(seats.lock().peers.is_empty() && seats.lock().seats.is_empty());
    }

    #[test]
    fn a_peer_with_all_of_its_seats_loses_one_of_its_own() {
        let seats = Arc::new(Seats::new(9, 2, Vec::new()));
        let quiet = take(&seats, "192.0.2.1").unwrap().seat;
        let greedy: Vec<_> = (0..20).map(|_| take(&seats, "192.0.2.2").unwrap().seat).collect();
        assert!(greedy[..18].iter().all(is_away) && !greedy[18..].iter().any(is_away));
        assert!(!is_away(&quiet), "another peer's is left alone");
    }

    #[test]
    fn what_the_client_has_not_taken_yet_is_still_under_way() {
        let seats = Arc::new(Seats::new(1, 9, Vec::new()));
        let reader = work(&seats, "127.0.0.1").unwrap();
        reader.state.stuck(true);
        reader.state.answered();
        reader.state.settle();
        assert!(take(&seats, "127.0.0.1").is_none());
        reader.state.stuck(false);
        reader.state.settle();
        assert!(take(&seats, "127.0.0.1").is_some() && is_away(&reader));
    }
}
