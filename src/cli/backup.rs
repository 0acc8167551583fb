//! `rollbook backup`: makes a backup, and says where it is.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Backup;
use super::local::{self, Error, answer_by};
use crate::config::{Local, Standalone};
use crate::control::Request;
use crate::disk::size;

pub(super) const HELP: &str = "\
A running server makes it and takes webhooks meanwhile: the data as of one moment, in a file of its own. Without a server \
this command does. The log in the copy is recomputed and held against the newest checkpoint; only what passes gets its name, \
and nothing is written over. In the folder of the settings the oldest backups go once there are more than \
ROLLBOOK_BACKUP_KEEP, elsewhere none do.

The file is written by the user that the server runs as. The signing key (.key) is not in it: keep a copy of that elsewhere. \
Ctrl-C leaves nothing behind.";

/// Does it.
///
/// # Errors
/// When there is no data file, or none could be made; then nothing of it is left.
pub async fn run(
    command: &Backup,
    local: &Local,
    settings: &Standalone,
    out: &mut (dyn Write + Send),
) -> Result<(), Error> {
    let to = command.to.as_deref().map(whole).transpose()?;
    let request = Request::Backup { to };
    let what = Some("making a backup, in percent");
    let (reply, ()) = answer_by(local, settings, request, what, (), |(), _| Ok(())).await?;
    local::show(reply, out)
}

/// The path as the server, which is in another folder, can use it. One that ends as folders do still does.
fn whole(path: &Path) -> Result<PathBuf, Error> {
    let path = std::path::absolute(path)?;
    // Servers are told in text, and so is the log.
    if path.to_str().is_some() { Ok(path) } else { Err(Error::NoText(path)) }
}

/// Tells what came of it.
pub(super) fn show(path: &Path, bytes: u64, entries: u64, took: i64, out: &mut (dyn Write + Send)) -> io::Result<()> {
    let took = if took < 1000 { "less than a second".to_owned() } else { format!("{} s", took / 1000) };
    writeln!(out, "{}", path.display())?;
    writeln!(out, "made and proved in {took}: {}, with a log of {entries} entries", size(bytes))
}
