//! One entry: all that is known of it, and its proof spelled out. The proof is checked whenever somebody looks, the way
//! a stranger with nothing but the public key would.

use std::fmt::Write as _;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use warp::http::StatusCode;
use warp::reply::Response;

use super::super::brief::{brief, cut, visible, weight};
use super::super::entry::{self, Change, ENTRY, Row, Rows};
use super::super::session::Admin;
use super::super::view::{self, Frame, html, number};
use super::super::when::When;
use super::super::{Stop, csrf, session};
use crate::audit::{self, Entry, Filter, Salt};
use crate::clock::Timestamp;
use crate::http::App;
use crate::http::call::Call;
use crate::http::events;
use crate::http::problem::{Kind, Problem};
use crate::http::proven::{Proven, Unproven, pruned};
use crate::merkle::{Hash, leaf_hash};
use crate::notary::Published;
use crate::store::{self, Store};

/// What the detail may weigh on the page, in bytes of HTML.
const DETAIL: usize = 16 * 1024;

/// What the table of changes may weigh, and one value in it.
const CHANGES: usize = 12 * 1024;
const VALUE: usize = 1024;

#[derive(Template)]
#[template(path = "entry.html")]
struct Page {
    frame: Frame,
    href: String,
    older: Option<String>,
    newer: Option<String>,
    row: Row,
    facts: Facts,
    changes: Vec<Change>,
    more_changes: usize,
    detail: Detail,
    line: String,
    line_hash: String,
    proof: Shown,
}

/// What a list does not say of an entry.
struct Facts {
    written: When,
    source: &'static str,
    happened: Option<When>,
    request: Option<String>,
    changed: Vec<String>,
    address: Option<String>,
    /// What to filter by for more of the same actor.
    by: String,
}

/// The detail of an entry.
enum Detail {
    /// There never was one.
    None,
    /// It was erased.
    Erased { commitment: String },
    /// It is there.
    Kept { text: String, is_cut: bool, salt: String, commitment: String, fits: bool },
}

/// How the proof is shown.
enum Shown {
    /// It holds.
    Holds(Box<Holds>),
    /// It does not.
    Fails { cause: String },
    /// Nobody vouches for the log.
    InDoubt,
}

struct Holds {
    size: String,
    signed: Option<When>,
    log: String,
    keys: Vec<String>,
    path: Vec<String>,
}

/// `GET /admin/audit/{seq}`.
pub(in crate::http::admin) async fn show(call: Call, seq: &str) -> Result<Response, Stop> {
    let admin = session::reader(&call, &format!("{}/{seq}", super::HERE)).await?;
    call.no_query()?;
    let entry = read(&call, &admin, seq).await?;
    let (app, seq) = (&call.app, entry.seq);
    let proof = Shown::of(app, seq).await?;
    let (changes, more_changes) = within(entry.detail.as_ref().map(entry::changes).unwrap_or_default());
    let first = app.store.first_entry()?;
    let page = Page {
        frame: Frame::new(app, &admin, super::HERE),
        href: format!("{ENTRY}{seq}"),
        older: seq.checked_sub(1).filter(|older| *older >= first).map(|older| format!("{ENTRY}{older}")),
        newer: (seq + 1 < app.store.counts().entries).then(|| format!("{ENTRY}{}", seq + 1)),
        facts: Facts::of(&entry),
        changes,
        more_changes,
        detail: Detail::of(&app.store, &entry).await?,
        line: String::from_utf8_lossy(&entry.bytes).into_owned(),
        line_hash: hex(&leaf_hash(&entry.bytes)),
        proof,
        row: Rows::new(&app.store, app.clock.now()).row(entry)?,
    };
    Ok(html(StatusCode::OK, &page)?)
}

/// A file of an entry's.
#[derive(Debug, Clone, Copy)]
pub(in crate::http::admin) enum File {
    /// The exact bytes that are hashed.
    Leaf,
    /// The exact bytes that the leaf commits to, behind their salt.
    Detail,
    /// The proof (C2SP tlog-proof).
    Proof,
}

/// `GET /admin/audit/{seq}/leaf`, `/detail` and `/proof`.
pub(in crate::http::admin) async fn file(call: Call, seq: &str, file: File) -> Result<Response, Stop> {
    call.get_only()?;
    csrf::check_get(&call.headers, &call.app.settings.public_origin)?;
    let admin = session::reader(&call, super::HERE).await?;
    call.no_query()?;
    let Entry { seq, bytes, .. } = read(&call, &admin, seq).await?;
    let (name, kind, body) = match file {
        File::Leaf => (format!("entry-{seq}.json"), "application/json", bytes.into_vec()),
        File::Detail => {
            let (_, detail) = salted(&call.app.store, seq).await?.ok_or_else(Problem::not_found)?;
            (format!("entry-{seq}-detail.json"), "application/json", detail)
        }
        File::Proof => {
            let proof = Proven::find(&call.app, seq, true).await.and_then(|proven| proven.file());
            let proof = proof.map_err(Problem::from)?.to_string().into_bytes();
            (format!("entry-{seq}.tlog-proof"), "text/plain; charset=utf-8", proof)
        }
    };
    Ok(view::attachment(&name, kind, Response::new(body.into())))
}

/// The entry of that number, once it is noted that it is read.
async fn read(call: &Call, admin: &Admin, seq: &str) -> Result<Entry, Problem> {
    let store = &call.app.store;
    let seq = events::number(seq).filter(|seq| *seq < store.counts().entries).ok_or_else(Problem::not_found)?;
    let found = match store.walk_entries(Filter::default(), seq..seq + 1).await {
        Ok(mut stretch) => stretch.items.pop(),
        Err(store::Error::Corrupt(cause)) => return Err(damaged().because(cause)),
        Err(other) => return Err(other.into()),
    };
    let entry = match found {
        Some(entry) => entry,
        None if seq < store.first_entry()? => return Err(pruned()),
        None => return Err(damaged().because("an entry is missing")),
    };
    store.record(admin.did("log.entry_read").with("index", Some(seq))).await?;
    Ok(entry)
}

/// What is said where there is no entry to show, and there should be.
const fn damaged() -> Problem {
    Problem::new(Kind::Internal, "This entry is missing or cannot be read. The file was changed: run rollbook verify.")
}

/// Salt and detail as they are stored.
async fn salted(store: &Store, seq: u64) -> Result<Option<(Salt, Vec<u8>)>, store::Error> {
    let mut rows = store.examine(move |evidence| evidence.details(seq..seq + 1)).await?;
    let split = |(_, row): (u64, Vec<u8>)| {
        let (salt, detail) = row.split_first_chunk().ok_or(store::Error::Corrupt("a detail"))?;
        Ok((*salt, detail.to_vec()))
    };
    rows.pop().map(split).transpose()
}

impl Facts {
    fn of(entry: &Entry) -> Self {
        let leaf = &entry.leaf;
        let address = entry.detail.as_ref().and_then(|detail| detail.get("ip")?.as_str());
        Self {
            written: When::exact(leaf.at),
            source: entry::source(leaf.source),
            happened: leaf.event_at.map(When::exact),
            request: leaf.request.clone(),
            changed: leaf.changed.clone(),
            address: address.map(|address| brief(address, VALUE)),
            by: entry.actor_user.as_ref().map_or_else(|| leaf.actor.clone(), |id| format!("user:{id}")),
        }
    }
}

impl Detail {
    async fn of(store: &Store, entry: &Entry) -> Result<Self, Problem> {
        let Some(commitment) = entry.leaf.detail.clone() else { return Ok(Self::None) };
        let kept = salted(store, entry.seq).await?;
        let (Some((salt, bytes)), Some(detail)) = (kept, &entry.detail) else {
            return Ok(Self::Erased { commitment });
        };
        let json = visible(&view::pretty(&Value::Object(detail.clone())));
        let (text, is_cut) = cut(&json, DETAIL);
        Ok(Self::Kept {
            text: text.to_owned(),
            is_cut,
            salt: STANDARD.encode(salt),
            fits: audit::commitment(&salt, &bytes) == commitment,
            commitment,
        })
    }
}

impl Shown {
    async fn of(app: &App, seq: u64) -> Result<Self, Problem> {
        let proven = match Proven::find(app, seq, true).await {
            Ok(proven) => proven,
            Err(Unproven::InDoubt(_)) => return Ok(Self::InDoubt),
            Err(Unproven::Store(store::Error::Corrupt(cause))) => return Ok(Self::Fails { cause: cause.to_owned() }),
            Err(other) => return Err(other.into()),
        };
        let keys = app.notary.verifiers();
        match proven.file()?.verify(proven.leaf.as_bytes(), &keys) {
            Ok(checkpoint) => Ok(Self::Holds(Box::new(Holds {
                size: number(checkpoint.size),
                signed: signed_at(&app.store, &proven.published).await?.map(When::exact),
                log: checkpoint.origin,
                keys: keys.iter().map(ToString::to_string).collect(),
                path: proven.path.iter().map(|hash| STANDARD.encode(hash)).collect(),
            }))),
            Err(cause) => Ok(Self::Fails { cause: cause.to_string() }),
        }
    }
}

/// When the checkpoint was signed, if that is still known.
async fn signed_at(store: &Store, published: &Published) -> Result<Option<Timestamp>, store::Error> {
    if published.signed_at.is_some() {
        return Ok(published.signed_at);
    }
    let newest = store.examine(store::Evidence::newest_checkpoint).await?;
    Ok(newest.filter(|newest| newest.size == published.checkpoint.size).map(|newest| newest.at))
}

/// The changes that the page has room for, each value cut to what a table can show, and how many others there are.
fn within(all: Vec<Change>) -> (Vec<Change>, usize) {
    let (of, mut left) = (all.len(), CHANGES);
    let cut = |change: Change| Change {
        name: brief(&change.name, VALUE),
        before: brief(&change.before, VALUE),
        after: brief(&change.after, VALUE),
    };
    let fits = |change: &Change| {
        let needed = weight(&change.name) + weight(&change.before) + weight(&change.after);
        let fits = needed <= left;
        left = left.saturating_sub(needed);
        fits
    };
    let shown: Vec<Change> = all.into_iter().map(cut).take_while(fits).collect();
    let more = of - shown.len();
    (shown, more)
}

/// As `sha256sum` writes it.
fn hex(hash: &Hash) -> String {
    let mut text = String::with_capacity(2 * hash.len());
    for byte in hash {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
