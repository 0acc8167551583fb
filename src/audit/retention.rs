//! How long entries of the log are kept.

use jiff::Span;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::clock::Timestamp;

/// How long entries are kept unless the operator decides otherwise, in years. HIPAA wants documentation of actions
/// and activities kept for six (45 CFR 164.316(b)(2)(i)), and is read to mean audit logs too.
pub const YEARS: i8 = 6;

/// How long entries are kept whatever the operator decides, in days. Clerk's sender can still be told to repeat a
/// message of that age, and its mark must be there to know it by.
pub const DAYS: i64 = 90;

/// A day before whose begin (UTC) entries may go. Made by [`Cutoff::new`] alone, which checks that they may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cutoff {
    day: Date,
    at: Timestamp,
}

/// Why entries have to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Kept {
    /// They are not older than [`YEARS`].
    #[error(
        "{0} is less than six years ago. HIPAA wants records like these kept for six years (45 CFR 164.316(b)(2)(i)), \
         so they are kept unless you give --override-retention"
    )]
    Retention(Date),
    /// They are not older than [`DAYS`].
    #[error(
        "{0} is less than 90 days ago. Clerk can still send messages of that age again, \
         and without their entries they would count twice"
    )]
    Repeats(Date),
}

impl Cutoff {
    /// The begin of that day, if what is older may go `now`. `overridden` says that the operator takes it upon
    /// themselves not to keep entries for [`YEARS`].
    ///
    /// # Errors
    /// When entries of that age have to be kept.
    pub fn new(day: Date, now: Timestamp, overridden: bool) -> Result<Self, Kept> {
        let begin = day.to_zoned(TimeZone::UTC).map(|begin| Timestamp::from_millis(begin.timestamp().as_millisecond()));
        let Ok(at) = begin else { return Err(Kept::Repeats(day)) };
        if at > now.plus_millis(-DAYS * 24 * 60 * 60 * 1000) {
            return Err(Kept::Repeats(day));
        }
        if !overridden && years_before(now).is_none_or(|end| at > end) {
            return Err(Kept::Retention(day));
        }
        Ok(Self { day, at })
    }

    /// The day.
    #[must_use]
    pub const fn day(&self) -> Date {
        self.day
    }

    /// Its begin.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }
}

/// The moment [`YEARS`] before.
fn years_before(now: Timestamp) -> Option<Timestamp> {
    let now = jiff::Timestamp::from_millisecond(now.as_millis()).ok()?.to_zoned(TimeZone::UTC);
    let then = now.checked_sub(Span::new().years(YEARS)).ok()?;
    Some(Timestamp::from_millis(then.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(time: &str) -> Timestamp {
        Timestamp::from_millis(time.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    fn cutoff(day: &str, now: &str, overridden: bool) -> Result<Timestamp, Kept> {
        Cutoff::new(day.parse().unwrap(), at(now), overridden).map(|cutoff| cutoff.at())
    }

    #[test]
    fn six_years_are_six_years_of_the_calendar() {
        let midnight = |day: &str| at(&format!("{day}T00:00:00Z"));
        assert_eq!(cutoff("2020-03-01", "2026-03-01T00:00:00Z", false), Ok(midnight("2020-03-01")));
        assert_eq!(
            cutoff("2020-03-01", "2026-02-28T23:59:59.999Z", false),
            Err(Kept::Retention("2020-03-01".parse().unwrap()))
        );
        // There is no 29 February six years after one.
        assert_eq!(
            cutoff("2024-02-29", "2030-02-28T12:00:00Z", false),
            Err(Kept::Retention("2024-02-29".parse().unwrap()))
        );
        assert_eq!(cutoff("2024-02-29", "2030-03-01T00:00:00Z", false), Ok(midnight("2024-02-29")));
        assert_eq!(cutoff("0001-01-01", "2026-03-01T00:00:00Z", false), Ok(midnight("0001-01-01")));
    }

    #[test]
    fn what_can_be_repeated_is_kept_in_any_case() {
        let day = "2026-01-01".parse().unwrap();
        assert_eq!(cutoff("2026-01-01", "2026-04-01T00:00:00Z", false), Err(Kept::Retention(day)));
        assert_eq!(cutoff("2026-01-01", "2026-04-01T00:00:00Z", true), Ok(at("2026-01-01T00:00:00Z")));
        for overridden in [true, false] {
            assert_eq!(cutoff("2026-01-01", "2026-03-31T23:59:59.999Z", overridden), Err(Kept::Repeats(day)));
            assert_eq!(cutoff("2026-01-01", "2025-12-31T00:00:00Z", overridden), Err(Kept::Repeats(day)));
            assert!(cutoff("9999-12-31", "2026-03-31T00:00:00Z", overridden).is_err());
        }
    }
}
