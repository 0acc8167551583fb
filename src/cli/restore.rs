//! `rollbook restore`: puts a copy in the place of a data file that was lost, and says what that means.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;

use super::{LocalFlags, progress, serve};
use crate::audit::Doubt;
use crate::config::Local;
use crate::control::{self, Feed, Parts, Reply, Request, ask, feed};
use crate::disk::{quoted, size};
use crate::notary::{Marked, key_path, mark_path};
use crate::restore::{self, Restored, Source, Standing};
use crate::target::TargetName;

pub(super) const HELP: &str = "\
For a server that is stopped and whose data file is gone. The file that is named stays as it is: a backup, a copy of the data \
file of a stopped server, or one out of a snapshot of the volume. It is copied, every page of the copy is checked and its \
log recomputed, and only then it gets the name of the data file. Nothing is ever overwritten.

Then it is held against the signing key (.key) and the newest checkpoint ever signed (.hwm), which lie beside the data file \
and are in no backup. What is missing is said, and what to do next.";

/// `rollbook restore`.
#[derive(Debug, Args)]
pub struct Restore {
    /// The copy
    #[arg(value_name = "FILE")]
    pub from: PathBuf,
    /// Settings.
    #[command(flatten)]
    pub flags: LocalFlags,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be.
    #[error(transparent)]
    Restore(#[from] restore::Error),
    /// A folder was named, and there is a backup in it.
    #[error("{cause}. To restore that:\n\n  rollbook restore {}{flag}", quoted(.newest))]
    Folder {
        /// That it is a folder.
        cause: restore::Error,
        /// The newest backup in it.
        newest: PathBuf,
        /// The flag that names the data file, if it was given.
        flag: String,
    },
    /// A server runs on the data file, which is there.
    #[error(
        "a server runs on {} (process {pid}), and nothing was changed.\n\
         If its file is to be given up, stop the server and move the file away before you restore", .data.display()
    )]
    Running {
        /// The data file.
        data: PathBuf,
        /// The server's process.
        pid: u32,
    },
    /// The data file is gone, and a server has it open.
    #[error(
        "{} is gone, but a server still has it open (process {pid}). Do not stop that server: it has everything.\n\
         Let it make a backup, and restore that once it is stopped:\n\n  rollbook backup {}{flag}", .data.display(), quoted(.data.with_file_name("rescued.redb"))
    )]
    Unlinked {
        /// Where the data file was.
        data: PathBuf,
        /// The flag that names it, if it was given.
        flag: String,
        /// The server's process.
        pid: u32,
    },
    /// Something runs on the data file that cannot be asked.
    #[error(transparent)]
    Control(#[from] control::Error),
    /// The result cannot be written.
    #[error("cannot write the result: {0}")]
    Output(#[from] io::Error),
}

/// Does it, or says why not. Ctrl-C leaves nothing behind.
///
/// # Errors
/// When nothing was restored.
pub async fn run(command: &Restore, local: &Local, out: &mut (dyn Write + Send)) -> Result<(), Error> {
    let data_flag = command.flags.data().map(|data| format!(" --data {}", quoted(data))).unwrap_or_default();
    if let Some(Reply::Status { pid, .. }) = ask(&local.data, &Request::Status).await? {
        let data = std::path::absolute(&local.data).unwrap_or_else(|_| local.data.clone());
        return Err(if data.exists() {
            Error::Running { data, pid }
        } else {
            Error::Unlinked { data, flag: data_flag, pid }
        });
    }
    let stopped = Arc::new(AtomicBool::new(false));
    let (stop, flag) = (serve::stop_signal()?, stopped.clone());
    let watch = tokio::spawn(async move {
        stop.await;
        flag.store(true, Ordering::Relaxed);
    });
    let restored = restore(command.from.clone(), local, &stopped).await;
    watch.abort();
    let restored = restored.map_err(|error| match error {
        Error::Restore(cause @ restore::Error::Folder { .. }) => in_folder(cause, data_flag.clone()),
        error => error,
    })?;
    out.write_all(text(&command.from, &restored, &data_flag).as_bytes())?;
    Ok(())
}

/// With the command that names the newest backup, if there is one.
fn in_folder(cause: restore::Error, flag: String) -> Error {
    match &cause {
        restore::Error::Folder { newest: Some(newest), .. } => Error::Folder { newest: newest.clone(), cause, flag },
        _ => cause.into(),
    }
}

async fn restore(from: PathBuf, local: &Local, stopped: &Arc<AtomicBool>) -> Result<Restored, Error> {
    let (to, cache) = (local.data.clone(), local.cache);
    let source = blocking(move || Source::open(&from, &to, cache)).await?;
    let bytes = source.bytes()?;
    let stop = stopped.clone();
    let copied = shown("copying bytes", move |feed| source.copy(&mut |done| goes_on(&stop, feed, done, bytes)));
    let (copied, stop) = (copied.await?, stopped.clone());
    let proved = shown("checking", move |feed| copied.prove(&mut |done, of| goes_on(&stop, feed, done, of)));
    let proved = proved.await?;
    if stopped.load(Ordering::Relaxed) {
        return Err(restore::Error::Stopped.into());
    }
    blocking(move || proved.put_in_place()).await
}

/// Says how far it is, and whether it was broken off.
fn goes_on(stopped: &AtomicBool, feed: &Feed, done: u64, of: u64) -> ControlFlow<()> {
    let _ = feed.progress(done, Some(of));
    if stopped.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// Does that on a thread that may block, while it is shown how far it is.
async fn shown<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce(&Feed) -> Result<T, restore::Error> + Send + 'static,
) -> Result<T, Error> {
    let (feed, Parts { pieces, progress }) = feed();
    let (done, ()) = tokio::join!(blocking(move || work(&feed)), progress::show(what, progress));
    drop(pieces);
    done
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, restore::Error> + Send + 'static,
) -> Result<T, Error> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(io::Error::other)??)
}

/// What is said: what there is now, what is missing, what to do.
fn text(from: &Path, restored: &Restored, data: &str) -> String {
    let Restored { path, bytes, standing } = restored;
    let newest = standing.newest_at.map_or_else(String::new, |at| format!(", the newest of {at}"));
    let mut text = format!(
        "The copy is whole: {}{newest}.\nIt is in place: {} ({}).\n",
        entries(standing.entries),
        path.display(),
        size(*bytes)
    );
    let _ = write!(text, "\n{}\n", verdict(path, standing));
    if is_older(standing) {
        text += GONE_BACK;
    }
    if standing.is_older_schema {
        text += OLDER_SCHEMA;
    }
    if !standing.mute.is_empty() {
        let names: Vec<&str> = standing.mute.iter().map(TargetName::as_str).collect();
        let _ = write!(
            text,
            "\nThese targets stand still until they have a secret to sign with, which is in no backup: {}.\n\
             Put {}.targets back if you have it, or give them new ones on the admin page.\n",
            names.join(", "),
            path.display()
        );
    }
    text += "\nWhat to do now, in this order:\n";
    for (n, step) in steps(from, path, standing, data).iter().enumerate() {
        let _ = write!(text, "\n{}. {step}\n", n + 1);
    }
    text
}

/// Whether something is missing, or nobody can tell.
fn is_older(standing: &Standing) -> bool {
    let marked = standing.foreseen.marked.as_ref();
    match standing.foreseen.doubt {
        None => false,
        Some(Doubt::NoKey) => marked.is_none_or(|marked| marked.checkpoint.size > standing.entries),
        Some(_) => true,
    }
}

/// What comes back with an older copy besides.
const GONE_BACK: &str = "
Everything else in the file is as it was when the copy was made: whoever was erased since is in it again, API keys that were
revoked since work again, and admins have the passwords they had. Do those things once more; the lines that the server has
written since (user.erased, key.revoked) say which.
";

const OLDER_SCHEMA: &str = "
An older Rollbook wrote the copy. The first start brings it up to date, and keeps it beside it as it was: that takes as much
room again.
";

/// Whether the log in the copy is all that was signed.
fn verdict(path: &Path, standing: &Standing) -> String {
    let (has, marked) = (standing.entries, standing.foreseen.marked.as_ref());
    let (key, mark) = (key_path(path), mark_path(path));
    let (key, mark) = (key.display(), mark.display());
    match (&standing.foreseen.doubt, marked) {
        (None, Some(marked)) => format!(
            "NOTHING THAT WAS SIGNED IS MISSING. {} {} signed here{}, and the copy has them.",
            entries(marked.checkpoint.size),
            if marked.checkpoint.size == 1 { "was" } else { "were" },
            at(marked),
        ),
        (None, None) => "This log was never signed, so that nobody can tell whether there was more of it.".to_owned(),
        (Some(Doubt::RolledBack { .. }), Some(marked)) => missing(has, marked),
        (Some(Doubt::NoKey), marked) => format!(
            "THE SIGNING KEY IS NOT HERE ({key}). It is in no backup.\n{}",
            as_marked(has, marked, standing.has_mark, &mark.to_string())
        ),
        (Some(Doubt::NoMark), _) => format!(
            "IT CANNOT BE TOLD WHETHER ANYTHING IS MISSING: the high-water mark is not here ({mark}).\n\
             More may have been signed than the {has} entries of the copy; whoever keeps a checkpoint can tell."
        ),
        (Some(Doubt::OtherKey), marked) => format!(
            "THE SIGNING KEY HERE IS NOT THE ONE THAT THE COPY NAMES ({key}).\n\
             Either the copy is of another log, or the key was changed or the log adopted since the copy was made.\n{}",
            as_marked(has, marked, standing.has_mark, &mark.to_string())
        ),
        (Some(Doubt::Forked { marked }), _) => format!(
            "THE COPY IS NOT OF THE LOG THAT WAS SIGNED HERE: its first {marked} entries are others.\n\
             Make sure that this is the right copy, and that key and mark are those that belong to it."
        ),
        (Some(doubt), _) => format!("THE COPY IS IN DOUBT: {doubt}."),
    }
}

/// What an older copy does not have.
fn missing(has: u64, marked: &Marked) -> String {
    let signed = marked.checkpoint.size;
    let gone = match signed - has {
        1 => format!("entry {has}, and whatever it"),
        _ => format!("entries {has} to {}, and whatever they", signed - 1),
    };
    format!(
        "THE COPY IS OLDER THAN WHAT WAS SIGNED HERE. {} were signed{}; the copy has {has}.\n\
         Missing: {gone} said about users. Whoever keeps a checkpoint of more than {has} entries can\n\
         prove that they were there.",
        entries(signed),
        at(marked),
    )
}

/// The same where the key does not settle whose mark it is.
fn as_marked(has: u64, marked: Option<&Marked>, has_mark: bool, path: &str) -> String {
    match marked {
        Some(marked) if marked.checkpoint.size > has => {
            let Marked { checkpoint, .. } = marked;
            format!(
                "The high-water mark says that {} were signed{}, under the name {}; the copy has {has}.",
                entries(checkpoint.size),
                at(marked),
                checkpoint.origin
            )
        }
        Some(marked) => {
            format!(
                "The high-water mark speaks of {}{}, and the copy has {has}.",
                entries(marked.checkpoint.size),
                at(marked)
            )
        }
        None if has_mark => format!("The high-water mark here is not of this log either ({path})."),
        None => format!(
            "Neither is the high-water mark ({path}): more may have been signed than the {has} entries of the copy."
        ),
    }
}

fn at(marked: &Marked) -> String {
    marked.at.map(|at| format!(" (the mark was last written at {at})")).unwrap_or_default()
}

fn entries(count: u64) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

/// What to do, in order.
fn steps(from: &Path, path: &Path, standing: &Standing, data: &str) -> Vec<String> {
    let doubt = standing.foreseen.doubt.as_ref();
    let mut steps = Vec::new();
    steps.extend(doubt.and_then(|doubt| put_back(doubt, path, standing.has_mark)));
    if doubt.is_some() {
        let name = from.file_name().unwrap_or_default().to_string_lossy();
        steps.push(format!(
            "Start the server as always (`rollbook serve{data}`). While it is read only, webhooks are answered 503, and Clerk\n   \
             sends them again for about a day."
        ));
        let reason = quoted(format!("restored {name}"));
        steps.push(format!(
            "If it says that it is read only: take the copy for the log, and say why. This is not undone: if a newer copy may\n   \
             still turn up, look for it first.\n\n     rollbook adopt --reason {reason}{data}"
        ));
    } else {
        steps.push(format!("Start the server as always (`rollbook serve{data}`)."));
    }
    steps
        .push(format!("Get the users as Clerk has them now. This needs CLERK_SECRET_KEY.\n\n     rollbook sync{data}"));
    let since = standing.newest_at.map_or_else(|| "there are".to_owned(), |at| format!("were sent since {at}"));
    steps.push(format!(
        "Replay all messages that {since}: in the Clerk Dashboard, on\n   \
         the page of the webhook endpoint. What the copy has counts as duplicate."
    ));
    steps.push(format!("See whether all is well.\n\n     rollbook doctor{data}"));
    steps
}

/// What to look for before the server starts.
fn put_back(doubt: &Doubt, path: &Path, has_mark: bool) -> Option<String> {
    let (key, mark) = (key_path(path), mark_path(path));
    let kept = |file: &Path| {
        let file = quoted(file);
        format!("     cp /where/you/kept/it {file}\n     chmod 600 {file}")
    };
    let without = "Without it the log goes on under another key.";
    let also = if has_mark { String::new() } else { format!(" The high-water mark too:\n\n{}", kept(&mark)) };
    match doubt {
        Doubt::NoKey => Some(format!(
            "If you kept the signing key elsewhere, put it back now:\n\n{}\n\n   {without}{also}",
            kept(&key)
        )),
        Doubt::OtherKey => Some(format!(
            "If you kept the key that belongs to the copy elsewhere, move the one that is here away first, and put that one in \
             its place now:\n\n     mv {} {}\n{}\n\n   {without}{also}",
            quoted(&key),
            quoted(format!("{}.other", key.display())),
            kept(&key)
        )),
        Doubt::NoMark => Some(format!("If you have the right high-water mark, put it there first:\n\n{}", kept(&mark))),
        _ => None,
    }
}
