//! Deliveries: what became of them, how long they took, what was refused and why, and the last of them one by one.

mod advice;
mod secrets;

use askama::Template;
use serde::Deserialize;
use warp::http::StatusCode;
use warp::reply::Response;

use self::advice::Refused;
use self::secrets::Secret;
use super::brief::{brief, visible};
use super::chart::Bars;
use super::span::{self, Span, Traffic};
use super::view::{self, Frame, html, number};
use super::when::When;
use super::{Stop, session};
use crate::clock::Timestamp;
use crate::http::call::Call;
use crate::http::deliveries::{Attempt, End, UNAVAILABLE};
use crate::http::problem::Problem;
use crate::traffic::{Hour, hour_of};

const HERE: &str = "/admin/deliveries";

/// How many hours a secret is looked for in: 30 days.
const MONTH: u64 = 30 * 24;

/// What the last deliveries can be filtered by, and how that is called.
const ENDS: [(&str, &str); 8] = [
    ("applied", "Applied"),
    ("unchanged", "Unchanged"),
    ("stale", "Stale"),
    ("duplicate", "Duplicate"),
    ("recorded", "Recorded"),
    ("quarantined", "In quarantine"),
    ("refused", "Refused"),
    ("test", "Tests"),
];

/// How many of the last deliveries are shown, and what the name of a type may weigh, in bytes of HTML.
const SHOWN: usize = 40;
const KIND: usize = 96;

/// In milliseconds.
const HOUR: i64 = 60 * 60 * 1000;

/// How many of the last differences between the clocks are compared.
const COMPARED: usize = 100;

/// As far as the clocks may differ, in seconds, before somebody should look: Svix allows for 300.
const TOLERATED: i64 = 30;

#[derive(Template)]
#[template(path = "deliveries.html")]
struct Page {
    frame: Frame,
    spans: Vec<span::Choice>,
    span: Span,
    taken: String,
    success: Option<String>,
    /// Whether any was turned away.
    failing: bool,
    latency: Option<Latency>,
    clock: Option<Clock>,
    /// Where Clerk sends.
    endpoint: String,
    chart: Bars,
    outcomes: Vec<Outcome>,
    tests: Option<String>,
    refused: Vec<Refused>,
    secrets: Vec<Secret>,
    ends: Vec<Choice>,
    rows: Vec<Row>,
    /// How many fit, if not all of them are shown.
    fitting: Option<String>,
    filtered: bool,
    started: When,
}

/// Under which time half of them were, and so on.
struct Latency {
    half: String,
    most: String,
    nearly_all: String,
}

/// One of several things to choose.
struct Choice {
    value: &'static str,
    label: &'static str,
    chosen: bool,
}

/// How many deliveries came to something.
struct Outcome {
    word: &'static str,
    about: &'static str,
    count: String,
}

/// How our clock stands to the sender's.
pub(super) struct Clock {
    /// In the middle of the last deliveries.
    pub(super) median: String,
    last: String,
    /// Whether somebody should look.
    pub(super) off: bool,
}

/// One of the last deliveries.
struct Row {
    at: When,
    kind: Option<String>,
    message: Option<String>,
    end: &'static str,
    tone: &'static str,
    is_repeat: bool,
    is_own: bool,
    entry: Option<u64>,
    took: Option<String>,
    secret: Option<usize>,
    ip: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Query {
    span: Option<String>,
    outcome: Option<String>,
}

/// `GET /admin/deliveries`.
pub(super) async fn show(call: Call) -> Result<Response, Stop> {
    let admin = session::reader(&call, HERE).await?;
    let query: Query = call.query()?;
    let span = Span::read(query.span.as_deref())?;
    let wanted = query.outcome.as_deref().filter(|outcome| !outcome.is_empty());
    if wanted.is_some_and(|wanted| ENDS.iter().all(|(value, _)| *value != wanted)) {
        return Err(unknown().into());
    }
    let (app, now) = (&call.app, call.app.clock.now());
    let last = app.deliveries.last();
    let fitting: Vec<&Attempt> = last.iter().filter(|attempt| wanted.is_none_or(|end| fits(attempt, end))).collect();
    let shown = fitting.len().min(SHOWN);
    let mut look = admin.did("deliveries.listed");
    look.count = u64::try_from(shown).ok();
    app.store.record(look).await?;
    let traffic = span.traffic(app, now).await?;
    let end = hour_of(now) + 1;
    let mut month = sum(&app.store.hours(end.saturating_sub(MONTH)..end).await?);
    // What the file will have within a minute.
    app.deliveries.fresh().iter().for_each(|hour| month.count(hour));
    let outcomes = traffic.total.outcomes;
    let page = Page {
        frame: Frame::new(app, &admin, HERE),
        spans: span.choices(HERE),
        span,
        taken: number(outcomes.taken()),
        success: traffic.success(),
        failing: traffic.total.refused.contains_key(UNAVAILABLE),
        latency: Latency::of(&traffic),
        clock: Clock::of(&last),
        endpoint: view::endpoint(app),
        chart: traffic.chart(),
        outcomes: Outcome::all(&traffic.total),
        tests: (outcomes.test > 0).then(|| number(outcomes.test)),
        refused: advice::refused(&traffic.total.refused),
        secrets: secrets::all(app.webhooks.fingerprints(), &month, &traffic.total, now),
        ends: choices(ENDS, wanted),
        rows: fitting.iter().take(SHOWN).map(|attempt| Row::new(attempt, now)).collect(),
        fitting: (shown < fitting.len()).then(|| number(fitting.len() as u64)),
        filtered: wanted.is_some(),
        started: When::second(app.started_at, now),
    };
    Ok(html(StatusCode::OK, &page)?)
}

fn unknown() -> Problem {
    Problem::bad_request("The address names an outcome that there is not.")
}

fn choices<const N: usize>(all: [(&'static str, &'static str); N], chosen: Option<&str>) -> Vec<Choice> {
    all.map(|(value, label)| Choice { value, label, chosen: chosen == Some(value) }).into()
}

fn sum<'a>(hours: impl IntoIterator<Item = &'a Hour>) -> Hour {
    hours.into_iter().fold(Hour::new(0), |mut total, hour| {
        total.count(hour);
        total
    })
}

/// Whether a delivery is one of those that the form asks for.
fn fits(attempt: &Attempt, end: &str) -> bool {
    match end {
        "test" => is_own(attempt),
        "refused" => matches!(attempt.end, End::Refused(_)),
        outcome => attempt.end.as_str() == outcome && !is_own(attempt),
    }
}

fn is_own(attempt: &Attempt) -> bool {
    attempt.signed.as_ref().is_some_and(|signed| signed.is_own)
}

impl Outcome {
    fn all(total: &Hour) -> Vec<Self> {
        let o = &total.outcomes;
        [
            ("Applied", "The state changed.", o.applied),
            ("Unchanged", "A newer version with the same content.", o.unchanged),
            ("Stale", "Older than what was known, or about something deleted.", o.stale),
            ("Duplicate", "Had come before; nothing was done.", o.duplicate),
            ("Recorded", "Noted in the log; nothing to mirror.", o.recorded),
            ("Quarantined", "Kept, not applied.", o.quarantined),
        ]
        .map(|(word, about, count)| Self { word, about, count: number(count) })
        .into()
    }
}

impl Latency {
    fn of(traffic: &Traffic) -> Option<Self> {
        Some(Self { half: traffic.quantile(50)?, most: traffic.quantile(95)?, nearly_all: traffic.quantile(99)? })
    }
}

impl Clock {
    /// Of the newest deliveries from outside, as far as there are any: those of one hour, since clocks are set right.
    pub(super) fn of(last: &[Attempt]) -> Option<Self> {
        let since = last.first()?.at.plus_millis(-HOUR);
        let signed = last.iter().filter(|attempt| attempt.at >= since).filter_map(|attempt| attempt.signed.as_ref());
        let clerks = signed.filter(|signed| !signed.is_own);
        let mut ahead: Vec<i64> = clerks.take(COMPARED).map(|signed| signed.ahead).collect();
        let last = *ahead.first()?;
        ahead.sort_unstable();
        let median = *ahead.get(ahead.len() / 2)?;
        Some(Self { median: seconds(median), last: seconds(last), off: median.abs() > TOLERATED })
    }
}

/// How far one clock is from another, for people. Svix's has whole seconds alone, and a delivery takes its time to come.
fn seconds(ahead: i64) -> String {
    match ahead {
        -1..=2 => "none".to_owned(),
        ..-1 => format!("{} s behind", ahead.unsigned_abs()),
        _ => format!("{ahead} s ahead"),
    }
}

impl Row {
    fn new(attempt: &Attempt, now: Timestamp) -> Self {
        let signed = attempt.signed.as_ref();
        let (entry, took) = match attempt.end {
            End::Taken(ingested, took) => (Some(ingested.seq), Some(advice::exact(took))),
            End::Refused(_) => (None, None),
        };
        Self {
            at: When::second(attempt.at, now),
            kind: signed.and_then(|signed| signed.kind.as_deref()).map(|kind| brief(&visible(kind), KIND)),
            message: attempt.message.clone(),
            end: advice::word(attempt.end.as_str()),
            tone: match attempt.end.as_str() {
                "applied" => "good",
                "quarantined" => "warn",
                _ if entry.is_none() => "bad",
                _ => "",
            },
            is_repeat: attempt.end.is_repeat(),
            is_own: is_own(attempt),
            entry,
            took,
            secret: signed.map(|signed| signed.secret),
            ip: attempt.ip.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_said_to_differ_when_they_do() {
        let said = [-31, -2, -1, 0, 2, 3].map(seconds);
        assert_eq!(said, ["31 s behind", "2 s behind", "none", "none", "none", "3 s ahead"]);
    }
}
