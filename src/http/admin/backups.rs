//! Backups: the list, the button that makes one, how far it is, and the way to take one home.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use askama::Template;
use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::try_unfold;
use serde::Deserialize;
use sync_wrapper::SyncStream;
use warp::http::header::CONTENT_LENGTH;
use warp::http::{HeaderValue, Method, StatusCode};
use warp::reply::{Reply as _, Response};

use super::download::{self, Broken};
use super::form::Nothing;
use super::password::Password;
use super::session::{self, Admin};
use super::sign_in::{self, Proof};
use super::view::{self, Frame, html, number};
use super::when::When;
use super::{Desk, Stop, assets, form};
use crate::audit::{Actor, Filter, Source};
use crate::backup::{self, Backup, Backups, Due, Made, NotBegun, Step};
use crate::clock::Timestamp;
use crate::disk::{self, size};
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::streams::Seat;
use crate::http::{App, reply};
use crate::page::{Limit, PageRequest};
use crate::store::{self, By};

const HERE: &str = "/admin/backups";

/// How many backups are listed, the newest.
const LISTED: usize = 50;

/// A file is sent in pieces of so many bytes.
const CHUNK: u64 = 256 * 1024;

#[derive(Template)]
#[template(path = "backups.html")]
struct Page<'a> {
    frame: Frame,
    /// Where they are put; `None` when nothing is set.
    folder: Option<String>,
    /// Why the folder cannot be read.
    unreadable: Option<String>,
    /// What the server does by itself.
    plan: Option<Plan>,
    /// Whether none is made because the log is in doubt.
    in_doubt: bool,
    running: Option<Step>,
    /// How the last one ended: whether well, when, and what to say.
    last: Option<(bool, When, String)>,
    rows: Vec<Row>,
    /// Whether a name in the list says a time that is yet to come.
    has_ahead: bool,
    more: Option<String>,
    need: String,
    free: Option<String>,
    alert: &'a str,
    chosen: &'a str,
    progress_script: &'static str,
}

/// What the server does by itself: how often it makes one and when the next, and how many it keeps.
struct Plan {
    every: Option<String>,
    next: Option<When>,
    /// Whether that is another try.
    is_retry: bool,
    keep: Option<String>,
}

impl Plan {
    fn new(backups: &Backups, found: &[Backup], now: Timestamp) -> Option<Self> {
        let rules = backups.rules()?;
        let newest = found.iter().find(|backup| !backup.is_ahead(now)).map(|backup| backup.at);
        let every =
            rules.every.map(|hours| if hours.get() == 1 { "hour".to_owned() } else { format!("{hours} hours") });
        let due = backups.due(now, newest);
        let next = due.map(|Due { at, .. }| {
            // It is looked once a minute.
            if at <= now { When::ahead(now.plus_millis(1), now) } else { When::ahead(at, now) }
        });
        Some(Self {
            every,
            next,
            is_retry: due.is_some_and(|due| due.is_retry),
            keep: rules.keep.map(|keep| number(u64::from(keep.get()))),
        })
    }
}

/// A backup in the list.
struct Row {
    name: String,
    at: When,
    /// `None` where its name says a time that is yet to come.
    age: Option<When>,
    size: String,
    /// How many entries its log has; `None` when the log does not say.
    entries: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    name: String,
    password: Password,
}

/// `GET` and `POST /admin/backups`.
pub(super) async fn serve(mut call: Call) -> Result<Response, Stop> {
    match call.method {
        Method::GET => {
            let admin = session::reader(&call, HERE).await?;
            call.no_query()?;
            list(&call, &admin, StatusCode::OK, "", "").await
        }
        Method::POST => {
            let admin = session::writer(&call).await?;
            let Nothing {} = form::posted(&mut call).await?;
            begin(&call.app, &admin)
        }
        _ => Err(Problem::method_not_allowed("GET, HEAD, POST").into()),
    }
}

/// Begins one in the background. The page then says how far it is.
fn begin(app: &App, admin: &Admin) -> Result<Response, Stop> {
    let by = By { actor: Actor::Admin(admin.name.clone()), source: Source::Admin };
    match app.backups.begin(by) {
        // The page says why there is none.
        Ok(()) | Err(NotBegun::Busy | NotBegun::InDoubt) => Ok(reply::see_other(HERE)),
        Err(NotBegun::NoFolder) => {
            Err(Problem::bad_request("No folder for backups is set: ROLLBOOK_BACKUP_DIR names one.").into())
        }
        Err(NotBegun::Stopping) => Err(Problem::unavailable("Rollbook is stopping. No backup was begun.", 10).into()),
    }
}

/// `POST /admin/backups/download`.
pub(super) async fn download(desk: &Desk, mut call: Call) -> Result<Response, Stop> {
    let admin = session::writer(&call).await?;
    let Form { name, password } = form::posted(&mut call).await?;
    match sign_in::prove_again(desk, &call, &admin, password).await? {
        Proof::Right(_) => {}
        Proof::Wrong => {
            let alert = "That is not your password. Nothing was downloaded.";
            return list(&call, &admin, StatusCode::FORBIDDEN, alert, &name).await;
        }
        Proof::Locked(seconds) => return Err(Problem::too_many_requests(sign_in::LOCKED, seconds).into()),
    }
    let folder = call.app.backups.rules().ok_or(Problem::not_found())?.folder.clone();
    let wanted = name.clone();
    let opened = blocking(move || backup::open(&folder, &wanted)).await?;
    let opened = opened.map_err(|cause| Problem::unavailable("The backup cannot be read.", 60).because(cause))?;
    let (file, left) = opened.ok_or(Problem::not_found())?;
    let seat = download::seat(&call, &admin)?;
    let entry = admin.did("backup.downloaded").with("name", Some(name.clone())).with("bytes", Some(left));
    call.app.store.record(entry).await?;
    Ok(Sending { call, file, left, _seat: seat }.attachment(&name))
}

/// A backup on its way to a browser.
struct Sending {
    call: Call,
    file: File,
    /// So many bytes are still to be sent.
    left: u64,
    _seat: Seat,
}

impl Sending {
    /// The file, to be kept under its name.
    fn attachment(self, name: &str) -> Response {
        let bytes = self.left;
        // Only the connection ever polls it, but warp asks of a body that it could be shared.
        let mut response = warp::reply::stream(SyncStream::new(self.pieces())).into_response();
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(bytes));
        view::attachment(name, "application/octet-stream", response)
    }

    /// The file piece by piece, each read when the one before is sent.
    fn pieces(self) -> impl Stream<Item = Result<Bytes, Broken>> {
        try_unfold(self, |mut sending| async move {
            let piece = sending.next().await.inspect_err(|cause| tracing::info!(%cause, "backup.download_broken"))?;
            Ok(piece.map(|piece| (piece, sending)))
        })
    }

    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        if self.left == 0 {
            return Ok(None);
        }
        download::may_go_on(&self.call).await?;
        let mut file = self.file.try_clone()?;
        let mut piece = vec![0; usize::try_from(self.left.min(CHUNK)).unwrap_or_default()];
        let read = move || file.read_exact(&mut piece).map(|()| piece);
        let piece = tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??;
        self.left -= piece.len() as u64;
        Ok(Some(piece.into()))
    }
}

async fn list(call: &Call, admin: &Admin, status: StatusCode, alert: &str, chosen: &str) -> Result<Response, Stop> {
    let (app, now) = (&call.app, call.app.clock.now());
    let rules = app.backups.rules();
    let folder = rules.map(|rules| rules.folder.clone());
    let data = app.store.path().to_owned();
    let looked = blocking(move || Looked::at(folder.as_deref(), &data)).await?;
    let (found, unreadable) = match looked.found {
        Ok(found) => (found, None),
        Err(cause) => (Vec::new(), Some(disk::cause(&cause))),
    };
    let sizes = if found.is_empty() { HashMap::new() } else { log_sizes(app).await? };
    let has_ahead = found.iter().take(LISTED).any(|backup| backup.is_ahead(now));
    let older = found.len().saturating_sub(LISTED);
    let page = Page {
        frame: Frame::new(app, admin, HERE),
        folder: rules.map(|rules| rules.folder.display().to_string()),
        plan: Plan::new(&app.backups, &found, now),
        in_doubt: app.backups.is_in_doubt(),
        running: app.backups.running(),
        // Where the folder cannot be read, that is why, and it is said.
        last: app.backups.last().filter(|last| unreadable.is_none() || last.result.is_ok()).map(|outcome| {
            let (is_good, words) = match outcome.result {
                Ok(made) => (true, said(&made)),
                Err(cause) => (false, format!("No backup was made: {cause}.")),
            };
            (is_good, When::ago(outcome.at, now), words)
        }),
        unreadable,
        rows: found.into_iter().take(LISTED).map(|backup| Row::new(backup, &sizes, now)).collect(),
        has_ahead,
        more: (older > 0).then(|| number(older as u64)),
        need: size(looked.need),
        free: looked.free.map(size),
        alert,
        chosen,
        progress_script: assets::named("progress"),
    };
    Ok(html(status, &page)?)
}

/// What the disk says.
struct Looked {
    found: io::Result<Vec<Backup>>,
    /// What the data file takes, in bytes.
    need: u64,
    /// How much room the folder has; `None` when that cannot be found out.
    free: Option<u64>,
}

impl Looked {
    fn at(folder: Option<&Path>, data: &Path) -> Self {
        Self {
            found: folder.map_or(Ok(Vec::new()), backup::list),
            need: fs::metadata(data).map_or(0, |file| disk::used(&file)),
            free: folder.and_then(|folder| disk::free(folder).ok()),
        }
    }
}

/// How many entries each backup's log has, by the backup's name, as the log says of the newest.
async fn log_sizes(app: &App) -> Result<HashMap<String, u64>, Stop> {
    let filter = Filter { action: "backup.made".parse().ok(), ..Filter::default() };
    let made = app.store.audit(filter, PageRequest { limit: Limit::MAX, cursor: None }).await?;
    let size = |detail: serde_json::Map<String, serde_json::Value>| {
        Some((detail.get("name")?.as_str()?.to_owned(), detail.get("entries")?.as_u64()?))
    };
    Ok(made.items.into_iter().filter_map(|entry| size(entry.detail?)).collect())
}

fn said(made: &Made) -> String {
    let name = made.path.file_name().unwrap_or_default().to_string_lossy();
    let took = if made.took < 1000 { "in less than a second".to_owned() } else { format!("in {} s", made.took / 1000) };
    format!("{name} was made and proved {took}: {}, with a log of {} entries.", size(made.bytes), number(made.entries))
}

impl Row {
    fn new(backup: Backup, sizes: &HashMap<String, u64>, now: Timestamp) -> Self {
        Self {
            at: When::exact(backup.at),
            age: (!backup.is_ahead(now)).then(|| When::ago(backup.at, now)),
            size: taken(&backup),
            entries: sizes.get(&backup.name).copied().map(number),
            name: backup.name,
        }
    }
}

/// How long the file is, and what it takes, where that is something else: much of its length may hold nothing.
fn taken(backup: &Backup) -> String {
    let (length, used) = (size(backup.bytes), size(backup.used));
    if length == used { length } else { format!("{length}, {used} on disk") }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(|_| store::Error::Panicked)?)
}
