//! `rollbook prune`: says which of the oldest entries of the log are to go and, with `--yes`, removes them.

use std::io::{self, Write};

use super::Prune;
use super::local::{self, Error, answer_at_length};
use crate::clock::Timestamp;
use crate::config::Local;
use crate::control::Request;
use crate::store::Prunable;

/// Does it, or says what it would do.
///
/// # Errors
/// When there is no data file, the entries have to be kept, or `--yes` is missing.
pub async fn run(command: &Prune, local: &Local, out: &mut (dyn Write + Send)) -> Result<(), Error> {
    let Prune { before, override_retention, yes, .. } = command;
    let request = Request::Prune { before: *before, override_retention: *override_retention, go: *yes };
    let (reply, ()) = answer_at_length(local, request, Some("pruning entries"), (), |(), _| Ok(())).await?;
    local::show(reply, out)
}

/// Tells what went, or what would.
pub(super) fn show(entries: &Prunable, done: bool, out: &mut (dyn Write + Send)) -> io::Result<()> {
    let Some((oldest, newest)) = entries.written else {
        return writeln!(out, "nothing to prune: entries go 256 at a time, and fewer are from before that day");
    };
    let (count, first, last) = (entries.count(), entries.first, entries.end - 1);
    let verb = if done { "are gone" } else { "would go" };
    writeln!(out, "{count} entries {verb}, {first} to {last}, written from {} to {}", day(oldest), day(newest))?;
    if entries.quarantined > 0 {
        writeln!(out, "with them the deliveries in quarantine that they are about: {}", entries.quarantined)?;
    }
    if done {
        writeln!(out, "their bytes may still be in the data file; `rollbook scrub` rewrites it without them")?;
    }
    Ok(())
}

/// The day of a moment, in UTC.
fn day(at: Timestamp) -> String {
    at.to_string().chars().take("2024-05-28".len()).collect()
}
