//! `rollbook serve`: the appliance, until it is told to stop.

mod supervisor;

use std::io::{self, IsTerminal as _, Write as _};

use tokio::signal::unix::{SignalKind, signal};

use crate::audit::{Actor, Source};
use crate::backup;
use crate::clock::Clock;
use crate::config::Config;
use crate::disk;
use crate::http::admin::link;
use crate::log;
use crate::server::{BindError, RunError, Server, scheme};

use self::supervisor::Supervisor;

/// Why serving ended badly.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server could not start.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The server stopped by itself.
    #[error(transparent)]
    Run(#[from] RunError),
    /// Standard output or the signals cannot be had.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
    /// The link for the first password could not be made.
    #[error("cannot make the link for the first password: {0}")]
    Link(#[from] link::Error),
}

/// Serves until SIGINT or SIGTERM. Says on standard output where, as a line of its own.
///
/// # Errors
/// When the server cannot start, or its store fails.
pub async fn run(config: Config) -> Result<(), Error> {
    // Dropped last, so that the last lines are written.
    let _log = log::start(config.local.log.clone(), config.local.log_format.unwrap_or_else(log::Format::of_stdout))?;
    let stop = stop_signal()?;
    let supervisor = Supervisor::from_env();
    let server = Server::bind(config, Clock::system()).await?;
    match greet(&server).await {
        // Whoever listened has gone away; webhooks come all the same.
        Err(Error::System(cause)) if cause.kind() == io::ErrorKind::BrokenPipe => {}
        greeted => greeted?,
    }
    supervisor.ready(&format!("listening on http://{}", server.address()));
    let store = server.app().store.clone();
    let watch = tokio::spawn(supervisor.clone().watch(store.clone()));
    let stop = async move {
        tokio::select! {
            () = stop => {}
            () = store.failed() => {}
        }
        watch.abort();
        supervisor.stopping();
    };
    Ok(server.run(stop).await?)
}

/// Says where the server listens and, while nobody has set the admin's password, how to. The link itself
/// is shown on a terminal only: what goes to a log stays there.
async fn greet(server: &Server) -> Result<(), Error> {
    let app = server.app();
    let mut out = io::stdout();
    writeln!(out, "listening on {}://{}", scheme(app.settings.tls.is_some()), server.address())?;
    if let Some(address) = server.redirect_address() {
        writeln!(out, "sending on to https from http://{address}")?;
    }
    if let Some(address) = server.metrics_address() {
        writeln!(out, "metrics on http://{address}")?;
    }
    if let (true, Some(key)) = (app.notary.is_new(), app.notary.verifiers().first()) {
        writeln!(
            out,
            "the log is signed by a new key; keep this line elsewhere, its proofs are checked with it: {key}"
        )?;
    }
    if let Some(doubt) = app.store.doubt() {
        writeln!(out, "READ ONLY: {doubt}; `rollbook adopt --help` says what can be done")?;
    }
    if let Some(folder) = app.backups.rules().map(|rules| &rules.folder)
        && let Err(cause) = backup::takes_files(folder)
    {
        let (folder, cause) = (folder.display(), disk::cause(&cause));
        writeln!(
            out,
            "WARNING: no backups: {folder} takes no files ({cause}); make the folder and give it to the user Rollbook runs as"
        )?;
    }
    if !app.store.has_admin().map_err(link::Error::from)? {
        if out.is_terminal() {
            let origin = &app.settings.public_origin;
            let url = link::mint(&app.store, "admin", app.clock.now(), Actor::System, Source::System, origin).await?;
            writeln!(out, "set the admin's password, once, within 24 hours: {url}")?;
        } else {
            writeln!(out, "the admin page has no password yet: `rollbook admin link` prints a link to set it")?;
        }
    }
    Ok(out.flush()?)
}

/// Resolves at the first SIGINT or SIGTERM.
///
/// # Errors
/// When the signals cannot be listened for.
pub fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
