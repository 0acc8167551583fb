//! `rollbook sync`: compares all users with Clerk's, and says what that came to.

use std::io::{self, Write};

use super::Sync;
use super::local::{self, answer_by};
use crate::config::{Local, Standalone};
use crate::control::{Reply, Request};
use crate::sync::{Report, Walked};

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
        Ok((Reply::Synced(walked), ())) => {
            show(&walked, out).map_err(local::Error::from)?;
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
fn show(walked: &Walked, out: &mut (dyn Write + Send)) -> io::Result<()> {
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
    match (walked.is_first, walked.report.drift()) {
        (true, _) => writeln!(out, "the roll was empty before"),
        (false, 0) => writeln!(out, "drift 0: nothing was lost"),
        (false, drift) if walked.is_dry => writeln!(out, "drift {drift}; nothing was changed"),
        (false, drift) => writeln!(out, "drift {drift}, made good"),
    }
}
