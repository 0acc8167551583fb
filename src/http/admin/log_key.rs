//! The log as something that can be proved: its name and size, the newest checkpoints, the keys they are checked with, and
//! what to keep elsewhere.

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use warp::http::StatusCode;
use warp::reply::Response;

use super::view::{Frame, html, number};
use super::when::When;
use super::{Stop, session};
use crate::clock::Timestamp;
use crate::http::App;
use crate::http::call::Call;
use crate::store::{self, Evidence, Head, StoredCheckpoint};
use crate::tlog::checkpoint::Checkpoint;

const HERE: &str = "/admin/log";

/// How many checkpoints are listed.
const LISTED: usize = 20;

#[derive(Template)]
#[template(path = "log_key.html")]
struct Page {
    frame: Frame,
    /// The name in its checkpoints; `None` before it has a key.
    name: Option<String>,
    epoch: u64,
    size: String,
    /// How many of the oldest entries are gone.
    pruned: Option<String>,
    root: String,
    newest: Option<Newest>,
    keys: Vec<Key>,
    checkpoints: Vec<Row>,
    more: bool,
}

/// The newest checkpoint that others may know of.
struct Newest {
    size: String,
    at: Option<When>,
    note: String,
    /// How many entries there are since.
    since: Option<String>,
}

/// A key to check signatures with.
struct Key {
    text: String,
    /// Until when it still signs beside the one that replaced it.
    until: Option<When>,
}

/// A checkpoint in the list.
struct Row {
    at: When,
    size: String,
    /// `None` when the note cannot be read.
    root: Option<String>,
    epoch: u64,
}

/// The log's rows that the page is made of.
struct Log {
    head: Head,
    first: u64,
    epoch: u64,
    checkpoints: Vec<StoredCheckpoint>,
}

/// `GET /admin/log`.
pub(super) async fn show(call: Call) -> Result<Response, Stop> {
    let admin = session::reader(&call, HERE).await?;
    call.no_query()?;
    let log = call.app.store.examine(Log::read).await?;
    let now = call.app.clock.now();
    let keys = keys(&call.app);
    let page = Page {
        frame: Frame::new(&call.app, &admin, HERE),
        name: call.app.notary.verifiers().first().map(|key| key.name().to_owned()),
        epoch: log.epoch,
        size: number(log.head.size),
        pruned: (log.first > 0).then(|| number(log.first)),
        root: STANDARD.encode(log.head.root),
        newest: newest(&call.app, &log, now),
        keys,
        more: log.checkpoints.len() > LISTED,
        checkpoints: log.checkpoints.iter().take(LISTED).map(|row| Row::new(row, now)).collect(),
    };
    Ok(html(StatusCode::OK, &page)?)
}

impl Log {
    fn read(rows: &Evidence) -> Result<Self, store::Error> {
        Ok(Self {
            head: rows.head()?,
            first: rows.first()?,
            epoch: rows.identity()?.map_or(1, |identity| identity.epoch),
            checkpoints: rows.newest_checkpoints(LISTED + 1)?,
        })
    }
}

fn newest(app: &App, log: &Log, now: Timestamp) -> Option<Newest> {
    let published = app.notary.published()?;
    let size = published.checkpoint.size;
    // One from before the start is in the list as well.
    let kept = log.checkpoints.iter().find(|row| row.size == size).map(|row| row.at);
    let since = log.head.size.saturating_sub(size);
    Some(Newest {
        size: number(size),
        at: published.signed_at.or(kept).map(|at| When::second(at, now)),
        note: published.note.clone(),
        since: (since > 0).then(|| number(since)),
    })
}

/// The keys, the one that stays first.
fn keys(app: &App) -> Vec<Key> {
    let (keys, until) = (app.notary.verifiers(), app.notary.retires_at());
    let key = |(at, key): (usize, _)| Key {
        text: ToString::to_string(&key),
        until: until.filter(|_| at > 0).map(When::minute),
    };
    keys.into_iter().enumerate().map(key).collect()
}

impl Row {
    fn new(row: &StoredCheckpoint, now: Timestamp) -> Self {
        Self {
            at: When::second(row.at, now),
            size: number(row.size),
            root: Checkpoint::unverified(&row.note).ok().map(|checkpoint| STANDARD.encode(checkpoint.root)),
            epoch: row.epoch,
        }
    }
}
