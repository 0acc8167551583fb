//! Time as Rollbook uses it: whole milliseconds since 1970, read from a clock that tests can set.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde::{Deserialize, Serialize};

/// A moment, in milliseconds since 1970-01-01T00:00:00Z. Shown as RFC 3339 UTC, stored as an integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since 1970.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// From Clerk's event times, which are milliseconds in the field and seconds in some of the
    /// official samples: anything below 10^11 (the year 5138 in seconds, 1973 in milliseconds) is seconds.
    #[must_use]
    pub const fn from_seconds_or_millis(value: i64) -> Self {
        if value.saturating_abs() < 100_000_000_000 { Self(value.saturating_mul(1000)) } else { Self(value) }
    }

    /// What [`Timestamp::from_seconds_or_millis`] reads as this moment, if it ever gave it.
    #[must_use]
    pub const fn as_seconds_or_millis(self) -> i64 {
        if self.0.saturating_abs() < 100_000_000_000 { self.as_seconds() } else { self.0 }
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This moment, later by so many milliseconds.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

impl FromStr for Timestamp {
    type Err = jiff::Error;

    /// From RFC 3339.
    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        Ok(Self(text.parse::<jiff::Timestamp>()?.as_millisecond()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(t) => write!(f, "{t:.3}"),
            // Clerk may send any integer; a date past the year 9999 has no RFC 3339 form.
            Err(_) => f.write_str(if self.0 < 0 { "0000-01-01T00:00:00.000Z" } else { "9999-12-31T23:59:59.999Z" }),
        }
    }
}

/// A moment as people write it: RFC 3339, a date alone (its start, UTC), or milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Moment(pub Timestamp);

/// Text that says no moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time; write 2024-05-28, 2024-05-28T08:00:00Z, or milliseconds since 1970")]
pub struct BadMoment;

impl FromStr for Moment {
    type Err = BadMoment;

    fn from_str(text: &str) -> Result<Self, BadMoment> {
        let day = || {
            // A date would be read out of a time without an offset, too, and the hour be lost.
            let date = text.parse::<jiff::civil::Date>().ok().filter(|_| text.len() == "2024-05-28".len())?;
            date.to_zoned(jiff::tz::TimeZone::UTC).ok()
        };
        let at = match text.parse::<i64>() {
            // A year alone is no moment.
            Ok(millis) if text.len() > 10 => Timestamp::from_millis(millis),
            Ok(_) => return Err(BadMoment),
            Err(_) => match text.parse() {
                Ok(at) => at,
                Err(_) => Timestamp::from_millis(day().ok_or(BadMoment)?.timestamp().as_millisecond()),
            },
        };
        Ok(Self(at))
    }
}

impl TryFrom<String> for Moment {
    type Error = BadMoment;

    fn try_from(text: String) -> Result<Self, BadMoment> {
        text.parse()
    }
}

/// Where the time comes from: the system, possibly put forward or back, or a hand that tests move.
#[derive(Debug, Clone, Default)]
pub struct Clock(Hand);

#[derive(Debug, Clone, Default)]
enum Hand {
    #[default]
    System,
    /// The system's time and so many milliseconds.
    Adjusted(Arc<AtomicI64>),
    /// So many milliseconds since 1970.
    Fixed(Arc<AtomicI64>),
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub const fn system() -> Self {
        Self(Hand::System)
    }

    /// The system's clock, which goes on from wherever [`Clock::set`] puts it.
    #[must_use]
    pub fn adjustable() -> Self {
        Self(Hand::Adjusted(Arc::default()))
    }

    /// A clock that stands at `at` until [`Clock::set`] moves it.
    #[must_use]
    pub fn fixed(at: Timestamp) -> Self {
        Self(Hand::Fixed(Arc::new(AtomicI64::new(at.0))))
    }

    /// Moves the clock, and every clone of it; the system's own is left alone.
    pub fn set(&self, at: Timestamp) {
        match &self.0 {
            Hand::System => {}
            Hand::Adjusted(by) => by.store(at.0 - system(), Ordering::Relaxed),
            Hand::Fixed(hand) => hand.store(at.0, Ordering::Relaxed),
        }
    }

    /// Puts an adjusted clock right again.
    pub fn set_right(&self) {
        if let Hand::Adjusted(by) = &self.0 {
            by.store(0, Ordering::Relaxed);
        }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp(match &self.0 {
            Hand::System => system(),
            Hand::Adjusted(by) => system() + by.load(Ordering::Relaxed),
            Hand::Fixed(hand) => hand.load(Ordering::Relaxed),
        })
    }
}

fn system() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_rfc_3339_with_milliseconds() {
        assert_eq!(Timestamp::from_millis(1_716_883_200_000).to_string(), "2024-05-28T08:00:00.000Z");
        assert_eq!(Timestamp::from_millis(i64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn tells_seconds_from_milliseconds() {
        assert_eq!(Timestamp::from_seconds_or_millis(1_716_883_200), Timestamp::from_millis(1_716_883_200_000));
        assert_eq!(Timestamp::from_seconds_or_millis(1_654_012_591_835), Timestamp::from_millis(1_654_012_591_835));
    }

    #[test]
    fn what_was_read_as_seconds_or_milliseconds_is_written_so() {
        for value in [0, 1, -1, 99_999_999, 100_000_000, 99_999_999_999, 100_000_000_000, 1_716_883_200_123, i64::MAX] {
            let at = Timestamp::from_seconds_or_millis(value);
            assert_eq!(Timestamp::from_seconds_or_millis(at.as_seconds_or_millis()), at, "{value}");
        }
    }
}
