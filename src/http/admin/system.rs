//! Whether everything is in order: the checks, the worst first, and the server's clock.

use askama::Template;
use warp::http::StatusCode;
use warp::reply::Response;

use super::deliveries::Clock;
use super::view::{Frame, Piece, html, pieces};
use super::when::When;
use super::{Stop, assets, clerk, session};
use crate::checks::{self, Check, Level};
use crate::http::App;
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::store;

const HERE: &str = "/admin/system";

#[derive(Template)]
#[template(path = "system.html")]
struct Page {
    frame: Frame,
    rows: Vec<Row>,
    /// How many of them are not in order, and how the worst looks.
    open: usize,
    worst: &'static str,
    now: When,
    /// The same in milliseconds since 1970, for the script.
    now_millis: i64,
    clock_script: &'static str,
    /// How the clock stands to that of whoever sends the webhooks.
    sender: Option<Clock>,
}

/// A check.
struct Row {
    name: String,
    /// The page on which more stands, if there is one.
    href: Option<&'static str>,
    tone: &'static str,
    sign: &'static str,
    word: &'static str,
    found: Vec<Piece>,
    advice: Vec<Piece>,
}

/// `GET /admin/system`.
pub(super) async fn show(call: Call) -> Result<Response, Stop> {
    let admin = session::reader(&call, HERE).await?;
    call.no_query()?;
    let checks = checks(&call.app).await?;
    let now = call.app.clock.now();
    let page = Page {
        frame: Frame::new(&call.app, &admin, HERE),
        open: checks.iter().filter(|check| check.level != Level::Ok).count(),
        worst: if checks.iter().any(|check| check.level == Level::Failure) { "bad" } else { "warn" },
        rows: checks.iter().map(Row::new).collect(),
        now: When::exact(now),
        now_millis: now.as_millis(),
        clock_script: assets::named("clock"),
        sender: Clock::of(&call.app.deliveries.last()),
    };
    Ok(html(StatusCode::OK, &page)?)
}

/// Every check that a running server can make of itself, the worst first. It asks the file system for a few names and
/// nobody else.
///
/// # Errors
/// 500 when a check panicked.
pub async fn checks(app: &App) -> Result<Vec<Check>, Problem> {
    let app = app.clone();
    // A disk that hangs should hold up nothing else.
    let found = tokio::task::spawn_blocking(move || all(&app)).await;
    Ok(found.map_err(|_| store::Error::Panicked)?)
}

fn all(app: &App) -> Vec<Check> {
    let (data, keys) = (app.store.path(), app.sessions.keys().status());
    let origins = app.settings.cors.as_ref().map_or(&[][..], |cors| cors.origins());
    let always = [
        checks::writes(&app.store),
        checks::data_file(data, true),
        checks::log_files(data),
        checks::room(data),
        checks::token_keys(keys),
    ];
    let clock = keys.ahead_seconds.map(checks::clock);
    let backups = [checks::backups(app.backups.rules(), Some(&app.backups), app.clock.now())];
    // A file that cannot be read shows elsewhere.
    let (last, failure) = (app.store.last_walk().ok().flatten(), app.walks.last().and_then(|last| last.result.err()));
    let compared = checks::compared(app.walks.has_key(), last.as_ref(), failure.as_deref(), app.clock.now());
    let targets = checks::targets(&app.forwarder.all(), app.clock.now());
    let settings = &app.settings;
    let certificate =
        settings.tls.as_ref().map(|tls| checks::certificate(tls, &settings.public_origin, app.clock.now()));
    let others = clock
        .into_iter()
        .chain(certificate)
        .chain(backups)
        .chain(compared)
        .chain(targets)
        .chain([checks::cors(origins)]);
    let mut found: Vec<Check> = always.into_iter().chain(others).collect();
    found.sort_by_key(|check| check.level);
    found
}

impl Row {
    fn new(check: &Check) -> Self {
        let (tone, sign, word) = match check.level {
            Level::Failure => ("bad", "✕", "Failure"),
            Level::Warning => ("warn", "!", "Warning"),
            Level::Ok => ("good", "✓", "In order"),
        };
        let href = match check.name {
            checks::COMPARED => Some(clerk::HERE),
            checks::TARGETS => Some("/admin/targets"),
            checks::BACKUPS => Some("/admin/backups"),
            "log's files" => Some("/admin/log"),
            "CORS" | checks::CERTIFICATE => Some("/admin/settings"),
            _ => None,
        };
        Self {
            href,
            name: capital(check.name),
            tone,
            sign,
            word,
            found: pieces(&format!("{}.", capital(&check.found))),
            advice: if check.advice.is_empty() { Vec::new() } else { pieces(&format!("{}.", capital(&check.advice))) },
        }
    }
}

/// The text as the beginning of a sentence; a path or a command stays as it is.
fn capital(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) if first.is_ascii_lowercase() => format!("{}{}", first.to_ascii_uppercase(), chars.as_str()),
        _ => text.to_owned(),
    }
}
