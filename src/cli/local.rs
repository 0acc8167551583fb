//! Commands that work on the data: they ask the running server, or open the file themselves when none runs.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::columns::{self, printable};
use super::{Admin, AdminLink, Users, backup, erasure, ever, progress, prune, scrub, serve};
use crate::backup::Backups;
use crate::clerk::backend::{Backend, BadBackend};
use crate::clock::Clock;
use crate::config::{Local, Standalone};
use crate::control::{self, Desk, Feed, Parts, Piece, Reply, Request, feed, follow};
use crate::disk::quoted;
use crate::notary::{self, Notary};
use crate::page::Cursor;
use crate::reconcile;
use crate::server::{backup_rules, log_host, public_origin, scheme};
use crate::store::{OpenError, Store};
use crate::sync::Policy;

/// How long the output may take to let go when the command is broken off.
const LET_GO: Duration = Duration::from_secs(1);

/// Memory for the data file's cache in a command that opens the file itself, in bytes, at most: it reads every row once.
const CACHE: usize = 16 << 20;

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
    /// Clerk's Backend API cannot be called with what is set.
    #[error("CLERK_SECRET_KEY, CLERK_API_URL: {0}")]
    Backend(#[from] BadBackend),
    /// A name that cannot be told.
    #[error("{} cannot be used: the name is not UTF-8 text; name another place", quoted(.0))]
    NoText(PathBuf),
    /// No such user.
    #[error("there is no such user")]
    NotFound,
    /// What would be erased or removed was shown.
    #[error("nothing was done; to go ahead, add --yes")]
    NotConfirmed,
    /// The server said no.
    #[error("{0}")]
    Refused(String),
    /// It was broken off at the terminal.
    #[error("interrupted")]
    Interrupted,
    /// The result cannot be written.
    #[error("cannot write the result: {0}")]
    Output(#[from] io::Error),
}

/// `rollbook admin link`: prints the link alone, so that it can be piped.
///
/// # Errors
/// When there is no data file, or the link cannot be kept.
pub async fn admin(command: &Admin, local: &Local, out: &mut (dyn Write + Send)) -> Result<(), Error> {
    let Admin::Link(AdminLink { name, .. }) = command;
    show(answer(local, Request::AdminLink { name: name.clone() }).await?, out)
}

/// `rollbook users …`.
///
/// # Errors
/// When there is no data file, no such user, or the change is refused.
pub async fn users(command: &Users, local: &Local, out: &mut (dyn Write + Send)) -> Result<(), Error> {
    let what = match command {
        Users::Erase(_) => "searching the file",
        Users::Ever(_) => "asking of everybody",
        Users::List(_) | Users::Show(_) | Users::Set(_) => return show(answer(local, command.request()).await?, out),
    };
    let (reply, ()) = answer_at_length(local, command.request(), Some(what), (), |(), _| Ok(())).await?;
    show(reply, out)
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

/// What the running server, else we ourselves, answer at once.
pub(super) async fn answer(local: &Local, request: Request) -> Result<Reply, Error> {
    let (nobody_listens, _) = feed();
    follow_or_do(local, &Standalone::default(), request, &nobody_listens, std::future::pending()).await
}

/// What they answer at length: meanwhile `what` ("exporting users") is shown to go on, if given, and `take` puts the
/// pieces of files into `output`, on a thread that may block. Ctrl-C ends it.
///
/// # Errors
/// When it was not done, an error of `take` among the reasons.
pub async fn answer_at_length<O: Send + 'static>(
    local: &Local,
    request: Request,
    what: Option<&'static str>,
    output: O,
    take: impl Fn(&mut O, Piece) -> io::Result<()> + Send + 'static,
) -> Result<(Reply, O), Error> {
    answer_by(local, &Standalone::default(), request, what, output, take).await
}

/// The same for what takes more settings to do without a server.
///
/// # Errors
/// As [`answer_at_length`].
pub(super) async fn answer_by<O: Send + 'static>(
    local: &Local,
    settings: &Standalone,
    request: Request,
    what: Option<&'static str>,
    mut output: O,
    take: impl Fn(&mut O, Piece) -> io::Result<()> + Send + 'static,
) -> Result<(Reply, O), Error> {
    let (feed, Parts { mut pieces, progress }) = feed();
    let (done, taken) = oneshot::channel();
    // A thread of our own: the program can end although it waits for a pager that stands still.
    std::thread::spawn(move || {
        let mut take_all = || {
            while let Some(piece) = pieces.blocking_recv() {
                take(&mut output, piece)?;
            }
            Ok(())
        };
        let taken: io::Result<()> = take_all();
        drop(pieces);
        let _ = done.send(taken.map(|()| output));
    });
    let stop = serve::stop_signal()?;
    let answer = async {
        // The feed goes with the answer, and the other two end with the feed.
        let feed = feed;
        follow_or_do(local, settings, request, &feed, stop).await
    };
    let shown = async {
        if let Some(what) = what {
            progress::show(what, progress).await;
        }
    };
    let (reply, ()) = tokio::join!(answer, shown);
    if matches!(reply, Err(Error::Interrupted)) {
        // What was half written is let go of, if it can be.
        let _ = timeout(LET_GO, taken).await;
        return Err(Error::Interrupted);
    }
    // An output that takes no more is why the rest failed.
    let output = taken.await.map_err(io::Error::other)??;
    Ok((reply?, output))
}

/// Asks the running server, or does it ourselves when none runs, until `stop`.
async fn follow_or_do(
    local: &Local,
    settings: &Standalone,
    request: Request,
    feed: &Feed,
    stop: impl Future<Output = ()>,
) -> Result<Reply, Error> {
    let mut stop = std::pin::pin!(stop);
    let answered = tokio::select! {
        answered = follow(&local.data, &request, feed) => answered?,
        () = &mut stop => return Err(Error::Interrupted),
    };
    if let Some(reply) = answered {
        return Ok(reply);
    }
    if !local.data.exists() {
        if let Some(lost) = notary::lost(&local.data)? {
            return Err(notary::Error::from(lost).into());
        }
        return Err(Error::NoData(std::path::absolute(&local.data).unwrap_or_else(|_| local.data.clone())));
    }
    let desk = open(local, settings).await?;
    let reply = tokio::select! {
        reply = desk.answer(request, feed) => Ok(reply),
        () = stop => Err(Error::Interrupted),
    };
    desk.walks.stop();
    desk.walks.idle().await;
    desk.backups.stop();
    desk.backups.idle().await;
    // What the command has written is vouched for before anybody else opens the file.
    match desk.notary.publish().await {
        Ok(_) | Err(notary::Error::InDoubt(_)) => {}
        Err(cause) => tracing::error!(%cause, "log.checkpoint_not_signed"),
    }
    desk.store.close().await;
    reply
}

/// What answers when no server runs, with the data file.
async fn open(local: &Local, settings: &Standalone) -> Result<Desk, Error> {
    let clock = Clock::system();
    let Standalone { backend, instance, delete, history, backups } = settings.clone();
    let backend = backend.map(|set| Backend::new(&set.url, set.key.expose(), clock.clone())).transpose()?;
    let policy = Policy { delete, history, instance };
    let (path, cache, system) = (local.data.clone(), local.cache.min(CACHE), clock.clone());
    let opened = tokio::task::spawn_blocking(move || Store::open(&path, cache, policy, system));
    let store = opened.await.map_err(io::Error::other)??;
    let notary = Notary::open(store.clone(), clock.clone(), &log_host(local.public_url.as_ref())).await?;
    Ok(Desk {
        backups: Backups::new(store.clone(), notary.clone(), clock.clone(), backups.map(backup_rules)),
        walks: reconcile::Desk::new(store.clone(), backend.clone(), clock.clone()),
        backend,
        store,
        notary,
        clock,
        public_origin: public_origin(local.public_url.as_ref(), local.tls.is_some(), local.listen),
        address: local.listen.to_string(),
        server: None,
    })
}

pub(super) fn show(reply: Reply, out: &mut (dyn Write + Send)) -> Result<(), Error> {
    match reply {
        Reply::AdminLink { url } => writeln!(out, "{url}")?,
        Reply::Status { version, pid, address, ready, tls, .. } => {
            let state = if ready { "ready" } else { "not ready" };
            let scheme = scheme(tls);
            writeln!(out, "rollbook {version}, process {pid}, {scheme}://{address}, {state}")?;
        }
        Reply::User { user } => writeln!(out, "{user:#}")?,
        Reply::Users { items, next_cursor } => table(&items, next_cursor.as_ref(), out)?,
        Reply::Checkpoint { note } => write!(out, "{note}")?,
        Reply::VerifierKey { vkey } => writeln!(out, "{vkey}")?,
        Reply::Pruned { entries, done } => {
            prune::show(&entries, done, out)?;
            if !done && entries.count() > 0 {
                return Err(Error::NotConfirmed);
            }
        }
        Reply::Scrubbed { before, after } => scrub::show(before, after, out)?,
        Reply::BackedUp { path, bytes, entries, took } => backup::show(&path, bytes, entries, took, out)?,
        Reply::Erasure { extent, done } => {
            erasure::show(&extent, done, out)?;
            if !done {
                return Err(Error::NotConfirmed);
            }
        }
        Reply::Sightings(sightings) => ever::show(&sightings, out)?,
        // Said by the commands themselves, which know what it was for.
        Reply::Exported { .. }
        | Reply::Verified(_)
        | Reply::Synced { .. }
        | Reply::ActorToken { .. }
        | Reply::Checks(_)
        | Reply::KeyCreated { .. }
        | Reply::Keys { .. }
        | Reply::KeyRevoked { .. } => {}
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
    columns::write(&rows, out)?;
    match next {
        Some(cursor) => writeln!(out, "more: --cursor {cursor}"),
        None => Ok(()),
    }
}
