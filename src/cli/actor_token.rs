//! `rollbook actor-token`: a link that signs somebody in as a user.

use std::io::{self, Write};

use super::ActorToken;
use super::local::{self, Error, answer_by};
use crate::config::{Local, Standalone};
use crate::control::{Reply, Request};

/// What the command's help adds.
pub(super) const HELP: &str = "\
Clerk makes the link, so this needs CLERK_SECRET_KEY: the running server's, or without one that of this command. The link \
alone is printed on standard output, and this once. Whoever opens it is signed in as the user: treat it like a password. \
Open it in a private window, where it takes nobody else's place.

The session's tokens name who acts (act.sub), for the application to show or refuse. The log says who asked, for whom and \
why; what is done in the session through Rollbook's API bears both names.";

/// Prints the link. What is not the link itself is written to `err`.
///
/// # Errors
/// When there is no data file or no key, the user may not come in, or Clerk refuses.
pub async fn run(
    command: &ActorToken,
    local: &Local,
    settings: &Standalone,
    out: &mut (dyn Write + Send),
    err: &mut (dyn Write + Send),
) -> Result<(), Error> {
    let ActorToken { user, reason, actor, .. } = command;
    let request = Request::ActorToken { user: user.clone(), actor: actor.clone(), reason: reason.clone() };
    match answer_by(local, settings, request, None, (), |(), _| Ok(())).await?.0 {
        Reply::ActorToken { url, life, session } => Ok(made(&url, (life / 60, session / 60), out, err)?),
        other => local::show(other, out),
    }
}

/// The link alone on standard output, so that it can be piped to where it belongs.
fn made(
    url: &str,
    (life, session): (u32, u32),
    out: &mut (dyn Write + Send),
    err: &mut (dyn Write + Send),
) -> io::Result<()> {
    writeln!(out, "{url}")?;
    out.flush()?;
    writeln!(
        err,
        "works once, within {life} minutes, and is not shown again; the session lasts {session} minutes at most"
    )
}
