//! Moments as people read them, always in UTC.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::clock::Timestamp;

/// A moment for a `<time>` element.
#[derive(Debug, Clone)]
pub(super) struct When {
    /// RFC 3339 with milliseconds, for machines and for those who hover.
    pub(super) exact: String,
    /// For people.
    pub(super) words: String,
}

impl When {
    /// To the minute, `28 May 2024, 08:00`: for records.
    pub(super) fn minute(at: Timestamp) -> Self {
        Self::written(at, "%-d %b %Y, %H:%M")
    }

    /// To the second, without the year if it is this one: for lists of entries.
    pub(super) fn second(at: Timestamp, now: Timestamp) -> Self {
        let year = |t: Timestamp| civil(t).map(DateTime::year);
        Self::written(at, if year(at) == year(now) { "%-d %b, %H:%M:%S" } else { "%-d %b %Y, %H:%M:%S" })
    }

    /// The day and the hour, `28 May, 08:00`.
    pub(super) fn hour(at: Timestamp) -> Self {
        Self::written(at, "%-d %b, %H:%M")
    }

    /// To the second, `28 May 2024, 08:00:05`: for one entry.
    pub(super) fn exact(at: Timestamp) -> Self {
        Self::written(at, "%-d %b %Y, %H:%M:%S")
    }

    /// The day, `28 May`, with its year if it is not this one.
    pub(super) fn day(at: Timestamp, now: Timestamp) -> Self {
        let year = |t: Timestamp| civil(t).map(DateTime::year);
        Self::written(at, if year(at) == year(now) { "%-d %b" } else { "%-d %b %Y" })
    }

    /// How long ago, `3 minutes ago`.
    pub(super) fn ago(at: Timestamp, now: Timestamp) -> Self {
        let minutes = (now.as_millis() - at.as_millis()) / 60_000;
        let words = match minutes {
            ..1 => "just now".to_owned(),
            1..120 => plural(minutes, "minute"),
            120..2880 => plural(minutes / 60, "hour"),
            _ => plural(minutes / 1440, "day"),
        };
        Self { exact: at.to_string(), words }
    }

    /// How long until then, `in 3 minutes`.
    pub(super) fn ahead(at: Timestamp, now: Timestamp) -> Self {
        let seconds = (at.as_millis() - now.as_millis() + 999) / 1000;
        let words = match seconds {
            ..1 => "now".to_owned(),
            1..60 => "in less than a minute".to_owned(),
            60..7200 => format!("in {}", many(seconds / 60, "minute")),
            _ => format!("in {}", many(seconds / 3600, "hour")),
        };
        Self { exact: at.to_string(), words }
    }

    fn written(at: Timestamp, form: &str) -> Self {
        let exact = at.to_string();
        let words = civil(at).map_or_else(|| exact.clone(), |t| t.strftime(form).to_string());
        Self { exact, words }
    }
}

/// The moment at which a day, `2024-05-28`, begins.
pub(super) fn day_begins(day: &str) -> Option<Timestamp> {
    let day: Date = day.parse().ok()?;
    // The first and the last days there are have hours that are no moments any more.
    let beyond = if day.year() < 1970 { i64::MIN } else { i64::MAX };
    let millis = day.to_zoned(TimeZone::UTC).map_or(beyond, |begins| begins.timestamp().as_millisecond());
    Some(Timestamp::from_millis(millis))
}

/// The moment at which a day ends and the next begins.
pub(super) fn day_ends(day: &str) -> Option<Timestamp> {
    Some(day_begins(day)?.plus_millis(24 * 60 * 60 * 1000))
}

fn civil(at: Timestamp) -> Option<DateTime> {
    Some(TimeZone::UTC.to_datetime(jiff::Timestamp::from_millisecond(at.as_millis()).ok()?))
}

fn plural(n: i64, unit: &str) -> String {
    format!("{} ago", many(n, unit))
}

fn many(n: i64, unit: &str) -> String {
    format!("{n} {unit}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const AT: Timestamp = Timestamp::from_millis(1_716_883_205_000);

    #[test]
    fn says_when_in_utc() {
        assert_eq!(When::minute(AT).words, "28 May 2024, 08:00");
        assert_eq!(When::minute(AT).exact, "2024-05-28T08:00:05.000Z");
        assert_eq!(When::second(AT, AT).words, "28 May, 08:00:05");
        assert_eq!(When::second(AT, AT.plus_millis(366 * 86_400_000)).words, "28 May 2024, 08:00:05");
        assert_eq!(When::exact(AT).words, "28 May 2024, 08:00:05");
        assert_eq!(When::day(AT, AT).words, "28 May");
        assert_eq!(When::day(AT, AT.plus_millis(366 * 86_400_000)).words, "28 May 2024");
        assert_eq!(When::minute(Timestamp::from_millis(i64::MAX)).words, "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn says_how_long_ago() {
        let ago = |minutes: i64| When::ago(AT, AT.plus_millis(minutes * 60_000)).words;
        let said = [-5, 0, 1, 119, 120, 2879, 2880].map(ago);
        let expected =
            ["just now", "just now", "1 minute ago", "119 minutes ago", "2 hours ago", "47 hours ago", "2 days ago"];
        assert_eq!(said, expected);
    }

    #[test]
    fn says_how_long_until_then() {
        let ahead = |seconds: i64| When::ahead(AT.plus_millis(seconds * 1000), AT).words;
        let said = [-5, 0, 1, 60, 7199, 7200].map(ahead);
        assert_eq!(said, ["now", "now", "in less than a minute", "in 1 minute", "in 119 minutes", "in 2 hours"]);
    }

    #[test]
    fn days_begin_and_end_at_midnight() {
        assert_eq!(day_begins("2024-05-28").unwrap().to_string(), "2024-05-28T00:00:00.000Z");
        assert_eq!(day_ends("2024-02-28").unwrap().to_string(), "2024-02-29T00:00:00.000Z");
        assert_eq!(day_begins("0001-01-01").unwrap().to_string(), "0001-01-01T00:00:00.000Z");
        assert_eq!(day_ends("9999-12-30").unwrap().to_string(), "9999-12-31T23:59:59.999Z");
        assert!(day_begins("9999-12-31").unwrap() > AT && day_ends("9999-12-31") >= day_begins("9999-12-31"));
        assert!(day_begins("2024-02-30").is_none() && day_begins("yesterday").is_none());
    }
}
