//! `rollbook scrub`: rewrites the data file, so that nothing of removed rows is left in it.

use std::io::{self, Write};

use super::local::{self, Error, answer_at_length};
use crate::config::Local;
use crate::control::Request;
use crate::disk::size;

/// Does it.
///
/// # Errors
/// When there is no data file, or it cannot be rewritten; then it is as it was.
pub async fn run(local: &Local, out: &mut (dyn Write + Send)) -> Result<(), Error> {
    let what = Some("rewriting rows");
    let (reply, ()) = answer_at_length(local, Request::Scrub, what, (), |(), _| Ok(())).await?;
    local::show(reply, out)
}

/// Tells what came of it.
pub(super) fn show(before: u64, after: u64, out: &mut (dyn Write + Send)) -> io::Result<()> {
    writeln!(
        out,
        "rewritten: {} on the disk before, {} now; no byte of removed rows is left",
        size(before),
        size(after)
    )
}
