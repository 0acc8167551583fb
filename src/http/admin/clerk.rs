//! The roll and Clerk's own list: what the last comparison came to, how far the one is that goes on, and the buttons that
//! begin one.

use askama::Template;
use serde::Deserialize;
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::brief::brief;
use super::session::{self, Admin};
use super::view::{Frame, NAME, html, number};
use super::when::When;
use super::{Stop, assets, form};
use crate::audit::{Actor, Source};
use crate::clock::Timestamp;
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::{App, reply};
use crate::reconcile::{Counted, NotBegun, Outcome, Step};
use crate::store::By;
use crate::sync::{Named, Report, Walked};

pub(super) const HERE: &str = "/admin/clerk";

#[derive(Template)]
#[template(path = "clerk.html")]
struct Page {
    frame: Frame,
    /// Whether Clerk can be asked.
    has_key: bool,
    running: Option<Running>,
    /// How the last one ended since the start: its tone, when, and what to say.
    ended: Option<(&'static str, When, String)>,
    /// Whom the last one would change, if it was to change nothing: what of them, whom, and how many more.
    named: Vec<(&'static str, Vec<String>, Option<String>)>,
    /// How often users are compared, in words; `None` for never.
    every: Option<String>,
    /// Since when one waits to go on.
    suspended: Option<When>,
    last: Option<Last>,
    counted: Option<Count>,
    progress_script: &'static str,
}

/// A comparison that goes on.
struct Running {
    step: Step,
    done: String,
    of: Option<String>,
}

/// The last comparison that came to its end.
struct Last {
    ended: When,
    took: String,
    drift: String,
    is_first: bool,
    is_even: bool,
    rows: Vec<(&'static str, String, &'static str)>,
}

/// The last time the users were counted.
struct Count {
    at: When,
    theirs: String,
    ours: String,
    is_even: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// `nothing`, for a comparison that changes nothing.
    change: Option<String>,
}

/// `GET` and `POST /admin/clerk`.
pub(super) async fn serve(mut call: Call) -> Result<Response, Stop> {
    match call.method {
        Method::GET => {
            let admin = session::reader(&call, HERE).await?;
            call.no_query()?;
            show(&call.app, &admin).await
        }
        Method::POST => {
            let admin = session::writer(&call).await?;
            let Wanted { change } = form::posted(&mut call).await?;
            begin(&call.app, &admin, change.as_deref())
        }
        _ => Err(Problem::method_not_allowed("GET, HEAD, POST").into()),
    }
}

/// Begins one in the background. The page then says how far it is.
fn begin(app: &App, admin: &Admin, change: Option<&str>) -> Result<Response, Stop> {
    let is_dry = match change {
        None => false,
        Some("nothing") => true,
        Some(_) => return Err(Problem::bad_request("A field of the form says what it cannot.").into()),
    };
    let by = By { actor: Actor::Admin(admin.name.clone()), source: Source::Admin };
    match app.walks.begin(is_dry, by) {
        Ok(()) | Err(NotBegun::Busy) => Ok(reply::see_other(HERE)),
        Err(NotBegun::NoKey) => {
            Err(Problem::bad_request("Clerk cannot be asked without a secret key: set CLERK_SECRET_KEY.").into())
        }
        Err(NotBegun::Stopping) => Err(Problem::unavailable("Rollbook is stopping. Nothing was begun.", 10).into()),
    }
}

async fn show(app: &App, admin: &Admin) -> Result<Response, Stop> {
    let now = app.clock.now();
    let running = app.walks.running();
    let suspended = if running.is_none() { app.store.suspended_walk()? } else { None };
    let outcome = app.walks.last();
    let named = outcome.as_ref().filter(|_| running.is_none()).map(named).unwrap_or_default();
    if !named.is_empty() {
        app.store.record(admin.did("sync.read")).await?;
    }
    let page = Page {
        frame: Frame::new(app, admin, HERE),
        has_key: app.walks.has_key(),
        running: running.map(|step| Running { done: number(step.done), of: step.of.map(number), step }),
        ended: outcome.map(|outcome| ended(&outcome, now)),
        named,
        every: every(app),
        suspended: suspended.map(|walk| When::ago(walk.started_at, now)),
        last: app.store.last_walk()?.map(|walked| Last::new(&walked, now)),
        counted: app.walks.counted().map(|counted| Count::new(counted, now)),
        progress_script: assets::named("progress"),
    };
    Ok(html(StatusCode::OK, &page)?)
}

fn ended(outcome: &Outcome, now: Timestamp) -> (&'static str, When, String) {
    let (tone, words) = match &outcome.result {
        Ok(walked) => (if walked.report.failed > 0 { "warn" } else { "good" }, said(walked)),
        Err(cause) => ("bad", format!("The users were not compared to the end: {cause}.")),
    };
    (tone, When::ago(outcome.at, now), words)
}

/// Whom a dry one would change.
fn named(outcome: &Outcome) -> Vec<(&'static str, Vec<String>, Option<String>)> {
    let Ok(Walked { report, .. }) = outcome.result else { return Vec::new() };
    let Named { created, updated, deleted } = &outcome.named;
    let all = [
        ("created", created, report.created),
        ("updated", updated, report.updated),
        ("deleted", deleted, report.deleted),
    ];
    let named = all.into_iter().filter(|(_, ids, _)| !ids.is_empty());
    let named = named.map(|(what, ids, all)| {
        let more = all.saturating_sub(ids.len() as u64);
        (what, ids.iter().map(|id| brief(id.as_str(), NAME)).collect(), (more > 0).then(|| number(more)))
    });
    named.collect()
}

/// How often the server begins one by itself.
fn every(app: &App) -> Option<String> {
    let hours = app.settings.in_force.iter().find(|set| set.name == "ROLLBOOK_SYNC_INTERVAL")?.value.clone();
    hours
        .filter(|hours| hours != "off")
        .map(|hours| if hours == "1" { "hour".to_owned() } else { format!("{hours} hours") })
}

/// What one came to, as sentences.
fn said(walked: &Walked) -> String {
    let Report { fetched, created, updated, deleted, failed, .. } = walked.report;
    let (would, nothing) = if walked.is_dry { ("would be ", " Nothing was changed.") } else { ("", "") };
    let counts = [(created, "created"), (updated, "updated"), (deleted, "deleted")];
    let found = counts.into_iter().filter(|(count, _)| *count > 0);
    let found: Vec<String> = found.map(|(count, what)| format!("{} {would}{what}", number(count))).collect();
    let found = if found.is_empty() { "no differences".to_owned() } else { found.join(", ") };
    let failed = if failed > 0 { format!(" {} could not be compared.", number(failed)) } else { String::new() };
    let users = if fetched == 1 { "1 user" } else { &format!("{} users", number(fetched)) };
    format!("Compared {users}: {found}.{failed}{nothing}")
}

impl Last {
    fn new(walked: &Walked, now: Timestamp) -> Self {
        let Report { fetched, created, updated, deleted, unchanged, failed, apart } = walked.report;
        let seconds = (walked.ended_at.as_millis() - walked.started_at.as_millis()) / 1000;
        Self {
            ended: When::ago(walked.ended_at, now),
            took: match seconds {
                ..1 => "less than a second".to_owned(),
                1..120 => format!("{seconds} s"),
                _ => format!("{} min", seconds / 60),
            },
            drift: number(walked.drift()),
            is_first: walked.is_first,
            is_even: walked.drift() == 0,
            rows: vec![
                ("Fetched", number(fetched), "users Clerk has"),
                ("Created", number(created), "of whom nothing had come"),
                ("Updated", number(updated), "who were out of date"),
                ("Deleted", number(deleted), "whom Clerk does not have any more"),
                ("Unchanged", number(unchanged), "who were as Clerk has them"),
                ("Apart", number(apart), "whom Clerk has, and who were deleted or erased here: they stay so"),
                ("Failed", number(failed), "who could not be read or asked for"),
            ],
        }
    }
}

impl Count {
    fn new(counted: Counted, now: Timestamp) -> Self {
        Self {
            at: When::ago(counted.at, now),
            theirs: number(counted.theirs),
            ours: number(counted.ours),
            is_even: counted.difference() == 0,
        }
    }
}
