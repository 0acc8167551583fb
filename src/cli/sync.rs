//! `rollbook sync`: compares all users with Clerk's, and says what that came to.

use std::io::{self, Write};

use super::Sync;
use super::local::{self, answer_by};
use crate::config::{Local, Standalone};
use crate::control::{Reply, Request};
use crate::sync::{Named, Report, Walked};
use crate::user::ClerkId;

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be done.
    #[error(transparent)]
    Local(#[from] local::Error),
    /// It was broken off at the terminal.
    #[error(
        "interrupted; what was found so far is applied, and the next `rollbook sync` goes on from there. A running server goes on by itself"
    )]
    Suspended,
    /// The same, and nothing was to be changed.
    #[error("interrupted; nothing was changed")]
    Interrupted,
    /// Some users could not be compared.
    #[error("{0} could not be compared; the next `rollbook sync` tries again")]
    Incomplete(u64),
}

/// Does it, or with `--dry-run` says what it would do.
///
/// # Errors
/// When there is no data file or no key, Clerk does not answer, or some users could not be compared.
pub async fn run(
    command: &Sync,
    local: &Local,
    settings: &Standalone,
    out: &mut (dyn Write + Send),
) -> Result<(), Error> {
    let request = Request::Sync { dry_run: command.dry_run };
    let what = Some("comparing users");
    match answer_by(local, settings, request, what, (), |(), _| Ok(())).await {
        Ok((Reply::Synced { walked, named }, ())) => {
            show(&walked, &named, out).map_err(local::Error::from)?;
            let failed = walked.report.failed;
            if failed > 0 { Err(Error::Incomplete(failed)) } else { Ok(()) }
        }
        Ok((reply, ())) => Ok(local::show(reply, out)?),
        Err(local::Error::Interrupted) if command.dry_run => Err(Error::Interrupted),
        Err(local::Error::Interrupted) => Err(Error::Suspended),
        Err(error) => Err(error.into()),
    }
}

/// The report in words.
fn show(walked: &Walked, named: &Named, out: &mut (dyn Write + Send)) -> io::Result<()> {
    let Report { fetched, created, updated, deleted, unchanged, failed, apart } = walked.report;
    let would = if walked.is_dry { "would be " } else { "" };
    let rows = [
        ("fetched", fetched, "users Clerk has".to_owned()),
        ("created", created, format!("{would}put on the roll")),
        ("updated", updated, format!("{would}brought up to date")),
        ("deleted", deleted, format!("{would}deleted: Clerk has them no more")),
        ("unchanged", unchanged, "as Clerk has them".to_owned()),
        ("apart", apart, "at Clerk, but deleted or erased here: they stay so".to_owned()),
        ("failed", failed, "could not be read or asked for".to_owned()),
    ];
    for (name, count, meaning) in rows {
        writeln!(out, "{name:<9} {count:>9}  {meaning}")?;
    }
    for (what, ids, all) in [
        ("created", &named.created, created),
        ("updated", &named.updated, updated),
        ("deleted", &named.deleted, deleted),
    ] {
        name(what, ids, all, out)?;
    }
    let first = if walked.is_first { "first comparison: " } else { "" };
    match walked.drift() {
        0 => writeln!(out, "{first}drift 0: {}", if walked.is_first { "no user differed" } else { "nothing was lost" }),
        drift if walked.is_dry => writeln!(out, "{first}drift {drift}; nothing was changed"),
        drift => writeln!(out, "{first}drift {drift}, made good"),
    }
}

/// Some of those whom a comparison would change, a line each.
fn name(what: &str, ids: &[ClerkId], all: u64, out: &mut (dyn Write + Send)) -> io::Result<()> {
    for id in ids {
        writeln!(out, "would be {what}: {id}")?;
    }
    match all.saturating_sub(ids.len() as u64) {
        more if more > 0 && !ids.is_empty() => writeln!(out, "would be {what}: {more} more"),
        _ => Ok(()),
    }
}
