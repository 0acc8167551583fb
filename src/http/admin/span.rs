//! How far back a page looks, and what came in that time: by the hour, by six hours or by the day.

use std::ops::Range;

use super::chart::{self, Bars, Curve, Series};
use super::when::When;
use crate::clock::Timestamp;
use crate::http::App;
use crate::http::problem::Problem;
use crate::store;
use crate::traffic::{Hour, hour_of, start_of};

/// How far back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Span {
    #[default]
    Day,
    Week,
    Month,
}

/// What came in a span.
#[derive(Debug)]
pub(super) struct Traffic {
    span: Span,
    now: Timestamp,
    /// One for each piece of the span; `None` where nothing happened.
    pieces: Vec<Option<Hour>>,
    /// All of them together.
    pub(super) total: Hour,
}

/// A span as a link.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) href: String,
    pub(super) label: &'static str,
    pub(super) chosen: bool,
}

impl Span {
    const ALL: [Self; 3] = [Self::Day, Self::Week, Self::Month];

    /// Reads `span` of an address.
    ///
    /// # Errors
    /// 400 when there is no such span.
    pub(super) fn read(text: Option<&str>) -> Result<Self, Problem> {
        let Some(text) = text else { return Ok(Self::default()) };
        let found = Self::ALL.into_iter().find(|span| span.word() == text);
        found.ok_or_else(|| Problem::bad_request("A span is 24h, 7d or 30d."))
    }

    /// How an address says it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
        }
    }

    /// How people say it.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Day => "24 hours",
            Self::Week => "7 days",
            Self::Month => "30 days",
        }
    }

    /// How long a piece of it is, as people say it.
    pub(super) const fn piece(self) -> &'static str {
        match self {
            Self::Day => "hour",
            Self::Week => "six hours",
            Self::Month => "day",
        }
    }

    /// The same page with each of the spans.
    pub(super) fn choices(self, path: &str) -> Vec<Choice> {
        let choice = |span: Self| Choice {
            href: format!("{path}?span={}", span.word()),
            label: span.label(),
            chosen: span == self,
        };
        Self::ALL.map(choice).into()
    }

    /// How many hours a piece has, and how many pieces there are.
    const fn pieces(self) -> (u64, u64) {
        match self {
            Self::Day => (1, 24),
            Self::Week => (6, 28),
            Self::Month => (24, 30),
        }
    }

    /// Its hours, up to the end of the piece that `now` is in.
    fn hours(self, now: Timestamp) -> Range<u64> {
        let (step, count) = self.pieces();
        let end = (hour_of(now) / step + 1) * step;
        end.saturating_sub(count * step)..end
    }

    /// What came in it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) async fn traffic(self, app: &App, now: Timestamp) -> Result<Traffic, store::Error> {
        let hours = self.hours(now);
        let (step, count) = self.pieces();
        let mut total = Hour::new(hours.start);
        let mut pieces: Vec<Option<Hour>> = (0..count).map(|_| None).collect();
        for hour in app.store.hours(hours.clone()).await? {
            total.add(&hour);
            let place = usize::try_from((hour.hour - hours.start) / step).unwrap_or(usize::MAX);
            match pieces.get_mut(place) {
                Some(Some(piece)) => piece.add(&hour),
                Some(piece) => *piece = Some(hour),
                None => {}
            }
        }
        // What the file does not have yet.
        for hour in app.deliveries.fresh().iter().filter(|hour| hours.contains(&hour.hour)) {
            total.count(hour);
            let place = usize::try_from((hour.hour - hours.start) / step).unwrap_or(usize::MAX);
            if let Some(Some(piece)) = pieces.get_mut(place) {
                piece.count(hour);
            }
        }
        Ok(Traffic { span: self, now, pieces, total })
    }
}

impl Traffic {
    /// Deliveries by what became of them.
    pub(super) fn chart(&self) -> Bars {
        let series = |label, class, count: fn(&Hour) -> u64| Series {
            label,
            class,
            values: self.pieces.iter().map(|piece| piece.as_ref().map_or(0, count)).collect(),
        };
        let mut all = vec![
            series("Applied", "applied", |hour| hour.outcomes.applied),
            series("Recorded", "recorded", |hour| hour.outcomes.recorded),
            series("Unchanged", "unchanged", |hour| hour.outcomes.unchanged),
            series("Stale", "stale", |hour| hour.outcomes.stale),
            series("Duplicate", "duplicate", |hour| hour.outcomes.duplicate),
            series("Quarantined", "quarantined", |hour| hour.outcomes.quarantined),
            series("Not taken", "failed", failed),
        ];
        all.retain(|series| series.class == "applied" || series.values.iter().any(|value| *value > 0));
        chart::bars(("delivery", "deliveries"), &self.times(), &all)
    }

    /// How many users there were; `None` as long as nothing is known.
    pub(super) fn users(&self, now: u64) -> Option<Curve> {
        let mut last = None;
        let mut values: Vec<Option<u64>> = self
            .pieces
            .iter()
            .map(|piece| {
                last = piece.as_ref().map(|piece| piece.users).or(last);
                last
            })
            .collect();
        if let Some(newest) = values.last_mut() {
            *newest = Some(now);
        }
        chart::curve("Users", &self.times(), &values)
    }

    /// How many more users there are than at the first time of the span that is known.
    pub(super) fn grown(&self, now: u64) -> Option<i64> {
        let first = self.pieces.iter().flatten().next()?.users;
        Some(i64::try_from(now).ok()? - i64::try_from(first).ok()?)
    }

    /// Which share of the deliveries that were ours to take was taken; `None` when there were none.
    pub(super) fn success(&self) -> Option<String> {
        let (taken, failed) = (self.total.outcomes.taken(), failed(&self.total));
        let tenths = (taken * 1000).checked_div(taken + failed)?;
        Some(if failed == 0 { "100 %".to_owned() } else { format!("{}.{} %", tenths / 10, tenths % 10) })
    }

    /// How long half of the deliveries took at most, and 95 of a hundred; `None` when there were none.
    pub(super) fn latency(&self) -> Option<(String, String)> {
        Some((self.quantile(50)?, self.quantile(95)?))
    }

    /// How long so many of a hundred deliveries took at most, as far as the steps say it.
    pub(super) fn quantile(&self, percent: u64) -> Option<String> {
        let took = &self.total.took;
        let wanted = (took.count() * percent).div_ceil(100);
        if wanted == 0 {
            return None;
        }
        let bound = took.up_to().find(|(_, count)| *count >= wanted).map(|(bound, _)| bound);
        Some(bound.map_or_else(|| "over 10 s".to_owned(), |bound| format!("under {}", duration(bound))))
    }

    /// When the pieces begin.
    fn times(&self) -> Vec<When> {
        let (step, _) = self.span.pieces();
        let begins = |hour| match self.span {
            Span::Month => When::day(start_of(hour), self.now),
            Span::Day | Span::Week => When::hour(start_of(hour)),
        };
        self.span.hours(self.now).step_by(usize::try_from(step).unwrap_or(1)).map(begins).collect()
    }
}

/// Deliveries that were ours to take and were not: the sender tries again.
fn failed(hour: &Hour) -> u64 {
    hour.refused.get("unavailable").copied().unwrap_or_default()
}

/// Microseconds as people read them.
fn duration(micros: u64) -> String {
    let part = |whole: u64, unit| {
        let tenths = micros * 10 / whole;
        if tenths.is_multiple_of(10) {
            format!("{} {unit}", tenths / 10)
        } else {
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
    };
    if micros < 1_000_000 { part(1_000, "ms") } else { part(1_000_000, "s") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_span_ends_with_the_piece_that_now_is_in() {
        let now = at("2024-05-28T08:30:00Z");
        for (span, first, end) in [
            (Span::Day, "2024-05-27T09:00:00Z", "2024-05-28T09:00:00Z"),
            (Span::Week, "2024-05-21T12:00:00Z", "2024-05-28T12:00:00Z"),
            (Span::Month, "2024-04-29T00:00:00Z", "2024-05-29T00:00:00Z"),
        ] {
            let hours = span.hours(now);
            assert_eq!((start_of(hours.start), start_of(hours.end)), (at(first), at(end)), "{span:?}");
            assert_eq!(Span::read(Some(span.word())).unwrap(), span);
        }
        assert!(Span::read(Some("1y")).is_err() && Span::read(None).unwrap() == Span::Day);
    }

    fn traffic(pieces: Vec<Option<Hour>>) -> Traffic {
        let mut total = Hour::new(0);
        pieces.iter().flatten().for_each(|piece| total.add(piece));
        Traffic { span: Span::Day, now: at("2024-05-28T08:30:00Z"), pieces, total }
    }

    #[test]
    fn success_and_time_to_answer_are_of_what_was_ours_to_take() {
        let mut hour = Hour::new(0);
        hour.outcomes.applied = 998;
        hour.refused.insert("bad_signature".to_owned(), 50);
        assert_eq!(traffic(vec![Some(hour.clone())]).success().unwrap(), "100 %", "strangers do not count");
        hour.refused.insert("unavailable".to_owned(), 2);
        (0..90).for_each(|_| hour.took.note(900));
        (0..10).for_each(|_| hour.took.note(40_000));
        let traffic = traffic(vec![None, Some(hour)]);
        assert_eq!(traffic.success().unwrap(), "99.8 %");
        assert_eq!(traffic.latency().unwrap(), ("under 1 ms".to_owned(), "under 50 ms".to_owned()));
    }

    #[test]
    fn users_are_carried_over_hours_in_which_nothing_came() {
        let with = |users| Some(Hour { users, ..Hour::new(0) });
        let mut pieces: Vec<Option<Hour>> = vec![None, with(3), None, with(5)];
        pieces.resize_with(24, || None);
        let traffic = traffic(pieces);
        let curve = traffic.users(4).unwrap();
        let values: Vec<&str> = curve.rows.iter().map(|row| &*row.values[0]).collect();
        assert_eq!(values, ["4", "5", "3"]);
        assert_eq!(traffic.grown(4), Some(1));
        assert!(self::traffic(vec![None; 24]).grown(4).is_none());
    }
}
