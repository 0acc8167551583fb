//! How many connections each peer has.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::IpNet;

use crate::http::guard::{household, trusts};

/// The seats of one server. Locked when a connection comes and when it goes.
#[derive(Debug)]
pub(super) struct Seats {
    per_peer: usize,
    trusted: Vec<IpNet>,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection's seat, free again when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    holder: Option<IpAddr>,
}

impl Seats {
    pub(super) fn new(per_peer: usize, trusted: Vec<IpNet>) -> Self {
        Self { per_peer, trusted, taken: Mutex::default() }
    }

    /// A seat for a connection from there, unless that peer has all of its own.
    pub(super) fn take(self: &Arc<Self>, remote: IpAddr) -> Option<Seat> {
        let remote = remote.to_canonical();
        if remote.is_loopback() || trusts(&self.trusted, remote) {
            return Some(Seat { seats: Arc::clone(self), holder: None });
        }
        let holder = household(remote);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(holder).or_default();
        if *count >= self.per_peer {
            return None;
        }
        *count += 1;
        Some(Seat { seats: Arc::clone(self), holder: Some(holder) })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(holder) = self.holder else { return };
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&holder) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn take(seats: &Arc<Seats>, ip: &str) -> Option<Seat> {
        seats.take(ip.parse().unwrap())
    }

    #[test]
    fn a_peer_has_so_many_seats_and_gets_them_back() {
        let seats = Arc::new(Seats::new(2, Vec::new()));
        let first = take(&seats, "192.0.2.1").unwrap();
        let second = take(&seats, "::ffff:192.0.2.1").unwrap();
        assert!(take(&seats, "192.0.2.1").is_none());
        let other = take(&seats, "192.0.2.2").unwrap();
        drop(first);
        assert!(take(&seats, "192.0.2.1").is_some());
        drop((second, other));
        assert!(seats.taken.lock().unwrap().is_empty());
    }

    #[test]
    fn an_ipv6_peer_is_its_64() {
        let seats = Arc::new(Seats::new(1, Vec::new()));
        let _first = take(&seats, "2001:db8:0:1::1").unwrap();
        assert!(take(&seats, "2001:db8:0:1:ffff::2").is_none());
        assert!(take(&seats, "2001:db8:0:2::1").is_some());
    }

    #[test]
    fn loopback_and_trusted_proxies_are_not_counted() {
        let seats = Arc::new(Seats::new(0, vec!["10.0.0.0/8".parse().unwrap()]));
        for free in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.1.2.3", "::ffff:10.1.2.3"] {
            assert!(take(&seats, free).is_some(), "{free}");
        }
        assert!(take(&seats, "192.0.2.1").is_none());
    }
}
