//! Commands that work on the data: they ask the running server, or open the file themselves when none runs.

use std::io::{self, Write};
use std::path::PathBuf;

use serde_json::Value;

use super::{Admin, Users, prune, scrub};
use crate::clock::Clock;
use crate::config::Local;
use crate::control::{self, Desk, Reply, Request, ask};
use crate::notary::{self, Notary};
use crate::page::Cursor;
use crate::server::{log_host, public_origin};
use crate::store::{OpenError, Store};
use crate::sync::Policy;

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no data file.
    #[error("there is no data file at {}; start `rollbook serve` once, or name the right one with --data", .0.display())]
    NoData(PathBuf),
    /// The running server cannot be asked.
    #[error(transparent)]
    Control(#[from] control::Error),
    /// The data file cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log's key or mark cannot be used.
    #[error(transparent)]
    Notary(#[from] notary::Error),
    /// No such user.
    #[error("there is no such user")]
    NotFound,
    /// The server said no.
    #[error("{0}")]
    Refused(String),
    /// The result cannot be written.
    #[error("cannot write the result: {0}")]
    Output(#[from] io::Error),
}

/// `rollbook admin link`: prints the link alone, so that it can be piped.
///
/// # Errors
/// When there is no data file, or the link cannot be kept.
pub async fn admin(command: &Admin, local: &Local, out: &mut (dyn Write + Send)) -> Result<(), Error> {
    let Admin::Link(_) = command;
    show(answer(local, Request::AdminLink).await?, out)
}

/// `rollbook users …`.
///
/// # Errors
/// When there is no data file, no such user, or the change is refused.
pub async fn users(command: &Users, local: &Local, out: &mut (dyn Write + Send)) -> Result<(), Error> {
    show(answer(local, command.request()).await?, out)
}

/// `rollbook checkpoint`: prints the newest checkpoint, a new one if the log has grown.
///
/// # Errors
/// When there is no data file, or nothing can be signed.
pub async fn checkpoint(local: &Local, out: &mut (dyn Write + Send)) -> Result<(), Error> {
    show(answer(local, Request::Checkpoint).await?, out)
}

/// `rollbook rotate-key`: prints what signatures are checked with from now on.
///
/// # Errors
/// When there is no data file, or the key cannot be changed.
pub async fn rotate_key(local: &Local, out: &mut (dyn Write + Send)) -> Result<(), Error> {
    show(answer(local, Request::RotateKey).await?, out)
}

/// `rollbook adopt`: prints the first checkpoint under the log's new name.
///
/// # Errors
/// When there is no data file, or nothing is in doubt.
pub async fn adopt(reason: &str, local: &Local, out: &mut (dyn Write + Send)) -> Result<(), Error> {
    show(answer(local, Request::Adopt { reason: reason.to_owned() }).await?, out)
}

/// The answer of the running server, else our own.
pub(super) async fn answer(local: &Local, request: Request) -> Result<Reply, Error> {
    if let Some(reply) = ask(&local.data, &request).await? {
        return Ok(reply);
    }
    if !local.data.exists() {
        return Err(Error::NoData(std::path::absolute(&local.data).unwrap_or_else(|_| local.data.clone())));
    }
    let (path, cache) = (local.data.clone(), local.cache);
    let opened = tokio::task::spawn_blocking(move || Store::open(&path, cache, Policy::default(), Clock::system()));
    let store = opened.await.map_err(io::Error::other)??;
    let notary = Notary::open(store.clone(), Clock::system(), &log_host(local.public_url.as_ref())).await?;
    let desk = Desk {
        store,
        notary,
        clock: Clock::system(),
        public_origin: public_origin(local.public_url.as_ref(), local.listen),
        address: local.listen.to_string(),
    };
    let reply = desk.answer(request).await;
    // What the command has written is vouched for before anybody else opens the file.
    match desk.notary.publish().await {
        Ok(_) | Err(notary::Error::InDoubt(_)) => {}
        Err(cause) => tracing::error!(%cause, "log.checkpoint_not_signed"),
    }
    desk.store.close().await;
    Ok(reply)
}

pub(super) fn show(reply: Reply, out: &mut (dyn Write + Send)) -> Result<(), Error> {
    match reply {
        Reply::AdminLink { url } => writeln!(out, "{url}")?,
        Reply::Status { version, pid, address, ready } => {
            let state = if ready { "ready" } else { "not ready" };
            writeln!(out, "rollbook {version}, process {pid}, http://{address}, {state}")?;
        }
        Reply::User { user } => writeln!(out, "{user:#}")?,
        Reply::Users { items, next_cursor } => table(&items, next_cursor.as_ref(), out)?,
        Reply::Checkpoint { note } => write!(out, "{note}")?,
        Reply::VerifierKey { vkey } => writeln!(out, "{vkey}")?,
        Reply::Pruned { entries, done } => prune::show(&entries, done, out)?,
        Reply::Scrubbed { before, after } => scrub::show(before, after, out)?,
        Reply::NotFound => return Err(Error::NotFound),
        Reply::Refused { reason } => return Err(Error::Refused(reason)),
    }
    Ok(())
}

/// A line for each user, in columns.
fn table(users: &[Value], next: Option<&Cursor>, out: &mut (dyn Write + Send)) -> io::Result<()> {
    if users.is_empty() && next.is_none() {
        return writeln!(out, "no users");
    }
    let text = |user: &Value, name: &str| printable(user[name].as_str().unwrap_or_default());
    let name = |user: &Value| format!("{} {}", text(user, "first_name"), text(user, "last_name")).trim().to_owned();
    let row = |user: &Value| {
        let id = if user["clerk_user_id"].is_string() { "clerk_user_id" } else { "id" };
        [text(user, id), text(user, "role"), text(user, "email"), name(user)]
    };
    if users.is_empty() {
        return writeln!(out, "no users");
    }
    let mut rows = vec![["USER", "ROLE", "EMAIL", "NAME"].map(str::to_owned)];
    rows.extend(users.iter().map(row));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let [id, role, email] = [width(0), width(1), width(2)];
    for row in &rows {
        let line = format!("{:id$}  {:role$}  {:email$}  {}", row[0], row[1], row[2], row[3]);
        writeln!(out, "{}", line.trim_end())?;
    }
    match next {
        Some(cursor) => writeln!(out, "more: --cursor {cursor}"),
        None => Ok(()),
    }
}

/// A name as a terminal may show it: no control characters, which could rewrite the line.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
