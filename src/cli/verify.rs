//! `rollbook verify`: whether a log is what it was, and what speaks against it.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{LocalFlags, progress, serve};
use crate::config::Local;
use crate::control::{self, Feed, Parts, Reply, Request, feed, follow};
use crate::store::{AtRest, OpenError};
use crate::tlog::note::VerifierKey;
use crate::verify::{self, Kept, NoCheckpoint, Pace, Report, Terms};

pub(super) const HELP: &str = "\
Every entry, every tile of its tree, every checkpoint, every detail and every person is recomputed. A server that runs on \
the file does it and goes on meanwhile, and notes it in the log; otherwise the file is only read, and need not have its \
.key and .hwm beside it.

Exit status: 0 nothing was changed; 1 something was, and each finding names the place; 2 the command line is wrong, or \
there is no such file; 3 it could not be found out, because a file cannot be read or is in use.";

/// `rollbook verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// A data file, or a directory that `rollbook export log` made; otherwise the data file of the settings
    #[arg(value_name = "FILE|DIR")]
    pub path: Option<PathBuf>,
    /// The verifier key that you took down when the log began, whatever the log says of its own; can be repeated
    #[arg(long = "vkey", value_name = "KEY")]
    pub keys: Vec<VerifierKey>,
    /// A file with checkpoints that you kept elsewhere: as printed, or in the server's lines; can be repeated
    #[arg(long, value_name = "FILE")]
    pub against: Vec<PathBuf>,
    /// Settings.
    #[command(flatten)]
    pub flags: LocalFlags,
}

/// Why the log was not found whole.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There are findings. They were shown.
    #[error("the log is not what it was")]
    Tampered,
    /// There is nothing at that place.
    #[error("there is no data file and no export at {}", .0.display())]
    Nothing(PathBuf),
    /// The checkpoint to hold the log against cannot be read.
    #[error("--against {}: {cause}", .path.display())]
    Against {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// There is no checkpoint in that file.
    #[error("--against: {0}")]
    NoCheckpoint(#[from] NoCheckpoint),
    /// The running server cannot be asked.
    #[error(transparent)]
    Control(#[from] control::Error),
    /// The running server said no.
    #[error("{0}")]
    Refused(String),
    /// The data file cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log could not be read to its end.
    #[error(transparent)]
    Verify(#[from] verify::Error),
    /// The result cannot be written.
    #[error("cannot write the result: {0}")]
    Output(#[from] io::Error),
}

impl Error {
    /// How the command ends: 1 tampered with, 2 asked for wrongly, 3 not found out.
    #[must_use]
    pub const fn status(&self) -> u8 {
        match self {
            Self::Tampered => 1,
            Self::Nothing(_)
            | Self::Against { .. }
            | Self::NoCheckpoint(_)
            | Self::Verify(verify::Error::NoExport(_)) => 2,
            _ => 3,
        }
    }

    /// Whether everything was said when the findings were shown.
    #[must_use]
    pub const fn was_shown(&self) -> bool {
        matches!(self, Self::Tampered)
    }
}

/// Verifies the data file or the export that is named, else the data file of the settings. A running server does it
/// itself, in the file it has open.
///
/// # Errors
/// When anything speaks against the log, and when that cannot be found out.
pub async fn run(command: &Verify, local: &Local, out: &mut (dyn Write + Send)) -> Result<(), Error> {
    let terms = Terms { keys: command.keys.clone(), kept: kept(&command.against)? };
    let path = command.path.as_deref().unwrap_or(&local.data);
    let (feed, Parts { pieces, progress }) = feed();
    let stop = serve::stop_signal()?;
    let work = async {
        // Both go with the work: what draws the bar ends with the feed, and the work ends with nobody listening.
        let (feed, _pieces) = (feed, pieces);
        tokio::select! {
            report = verify(path, local.cache, terms, &feed) => report,
            () = stop => Err(verify::Error::Stopped.into()),
        }
    };
    let (report, ()) = tokio::join!(work, progress::show("verifying", progress));
    let report = match report {
        // Damage by which the file cannot even be opened.
        Err(Error::Open(error @ (OpenError::Torn { .. } | OpenError::Damaged(_)))) => {
            writeln!(out, "TAMPERED: {error}")?;
            return Err(Error::Tampered);
        }
        report => report?,
    };
    out.write_all(text(path, &report).as_bytes())?;
    if report.is_whole() { Ok(()) } else { Err(Error::Tampered) }
}

fn kept(files: &[PathBuf]) -> Result<Vec<Kept>, Error> {
    let mut kept = Vec::new();
    for path in files {
        let text = fs::read(path).map_err(|cause| Error::Against { path: path.clone(), cause })?;
        kept.extend(Kept::read(&path.display().to_string(), &String::from_utf8_lossy(&text))?);
    }
    Ok(kept)
}

async fn verify(path: &Path, cache: usize, terms: Terms, feed: &Feed) -> Result<Report, Error> {
    if !path.exists() {
        return Err(Error::Nothing(path.to_owned()));
    }
    if !path.is_dir() {
        let keys = terms.keys.iter().map(ToString::to_string).collect();
        let request = Request::Verify(control::Verify { keys, kept: terms.kept.clone() });
        match follow(path, &request, feed).await? {
            Some(Reply::Verified(report)) => return Ok(*report),
            Some(Reply::Refused { reason }) => return Err(Error::Refused(reason)),
            Some(_) => return Err(control::Error::NoAnswer.into()),
            None => {}
        }
    }
    let (path, feed) = (path.to_owned(), feed.clone());
    let work = move || {
        let mut watch = |done, total| match feed.progress(done, Some(total)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        if path.is_dir() {
            return Ok(verify::directory(&path, &terms, Pace::full(), &mut watch)?);
        }
        Ok(verify::file(&AtRest::open(&path, cache)?, &terms, Pace::full(), &mut watch)?)
    };
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// What is shown.
fn text(path: &Path, report: &Report) -> String {
    let mut text = String::new();
    let mut line = |name: &str, said: &str| {
        let _ = writeln!(text, "{name:9} {said}");
    };
    line("log", &std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string());
    let pruned = if report.pruned > 0 { format!(" ({} of them pruned)", report.pruned) } else { String::new() };
    line("entries", &format!("{}{pruned}", report.entries));
    if !report.root.is_empty() {
        line("root", &report.root);
    }
    line("signed", &signed(report));
    if report.kept > 0 {
        line(
            "against",
            &count(report.kept, "checkpoint that was kept elsewhere", "checkpoints that were kept elsewhere"),
        );
    }
    line(
        "details",
        &withheld(report.details.map(|details| format!("{} kept{}", details.there, erased(details.erased)))),
    );
    line("people", &withheld(report.people.map(|people| format!("{} known{}", people.known, erased(people.erased)))));
    for notice in &report.notices {
        line("note", notice);
    }
    if !report.keys_given && report.kept == 0 {
        line(
            "note",
            "this was checked with the key that the log itself names; only --vkey or --against, with something kept \
             elsewhere, shows that it is the right one",
        );
    }
    for finding in &report.findings.told {
        line("FOUND", finding);
    }
    for finding in &report.adopted.told {
        line("FOUND", &format!("{finding} (before an operator adopted the file as it was)"));
    }
    let untold = report.count() - (report.findings.told.len() + report.adopted.told.len()) as u64;
    if untold > 0 {
        line("FOUND", &format!("and {untold} more"));
    }
    let verdict = if report.is_whole() {
        match (report.keys_given, report.kept > 0) {
            (false, false) => "OK: the log agrees with itself and with what is signed of it".to_owned(),
            (true, false) => "OK: the log agrees with itself and with what your key has signed".to_owned(),
            (_, true) => "OK: the log agrees with itself and with the checkpoints you kept".to_owned(),
        }
    } else {
        format!("TAMPERED: {}", count(report.count(), "finding", "findings"))
    };
    let _ = writeln!(text, "{verdict}");
    text
}

fn signed(report: &Report) -> String {
    let Some(newest) = &report.newest else { return "nothing".to_owned() };
    let by = if newest.signers.is_empty() { "nobody known".to_owned() } else { newest.signers.join(" and ") };
    let since = report.entries.saturating_sub(newest.size);
    let since = match since {
        0 => String::new(),
        1 => "; 1 entry since then is not signed yet".to_owned(),
        since => format!("; {since} entries since then are not signed yet"),
    };
    format!(
        "{}, the newest of {} entries by {by}{since}",
        count(report.checkpoints, "checkpoint", "checkpoints"),
        newest.size
    )
}

fn erased(erased: u64) -> String {
    if erased > 0 { format!(", {erased} erased") } else { String::new() }
}

fn withheld(said: Option<String>) -> String {
    said.unwrap_or_else(|| "withheld".to_owned())
}

fn count(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
