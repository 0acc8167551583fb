//! `rollbook demo`: the whole thing with no account and no settings. A stand-in has the users, issues tokens and answers as
//! Clerk would; events are signed and sent through the real endpoint into a real data file.

mod stage;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::serve::{self, stop_signal};
use crate::audit::{Actor, Source};
use crate::clerk::issuer;
use crate::clerk::sender::{self, Sender};
use crate::clock::Clock;
use crate::config::{Config, Faults};
use crate::http::App;
use crate::http::admin::link;
use crate::server::{BindError, Server};
use crate::stand_in::{self, StandIn};
use crate::store::{By, UserPatch};
use crate::user::{BadId, ClerkId, UserId};

use self::stage::{INSTANCE, Stage};

/// How long the token that is shown lasts, in seconds. Clerk's own last a minute.
const TOKEN_LIFE: i64 = 8 * 60 * 60;

/// The port that is tried first: what the README's examples say.
const USUAL_PORT: u16 = 8080;

/// Why the demo ended badly.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A folder, a socket or the output cannot be had.
    #[error("the demo cannot start: {0}")]
    System(#[from] io::Error),
    /// The stand-in for Clerk does not start, or does not take what happens.
    #[error(transparent)]
    StandIn(#[from] stand_in::Error),
    /// Its token could not be signed.
    #[error(transparent)]
    Issuer(#[from] issuer::Error),
    /// The settings made up for it are wrong.
    #[error("{0}")]
    Settings(#[from] Faults),
    /// Another program has the port.
    #[error("port {0} is taken by another program; choose another, or leave --port out to take a free one")]
    Taken(u16),
    /// The server did not start or did not last.
    #[error(transparent)]
    Serve(serve::Error),
    /// An event could not be sent.
    #[error(transparent)]
    Send(#[from] sender::Error),
    /// The server did not take an event.
    #[error("the server answered {status} to {kind}: {body}")]
    Refused {
        /// The event's type.
        kind: &'static str,
        /// The status.
        status: u16,
        /// The answer.
        body: String,
    },
    /// An invented id cannot be one.
    #[error(transparent)]
    Id(#[from] BadId),
    /// The store gave up.
    #[error(transparent)]
    Store(#[from] crate::store::ChangeError),
}

impl From<BindError> for Error {
    fn from(cause: BindError) -> Self {
        match cause {
            // The setting that a server's own words name is none of the demo's.
            BindError::Taken { address, .. } => Self::Taken(address.port()),
            cause => Self::Serve(cause.into()),
        }
    }
}

/// Shows the flow and then serves until SIGINT or SIGTERM. The data file is in a fresh folder, which goes
/// with the demo. `port` is tried and no other, if given.
///
/// # Errors
/// When something in the flow does not work.
pub async fn run(port: Option<u16>, out: &mut (dyn Write + Send)) -> Result<(), Error> {
    let stop = stop_signal()?;
    let folder = tempfile::Builder::new().prefix("rollbook-demo-").tempdir()?;
    let stand_in = StandIn::start(INSTANCE, Clock::system()).await?;
    let secret = format!("whsec_{}", STANDARD.encode(random()?));
    let port = match port {
        Some(port) => port,
        None => free_port().await,
    };
    let (clock, now) = (Clock::adjustable(), Clock::system().now());
    clock.set(stage::opens(now));
    let config = settings(&stand_in, &secret, folder.path(), port)?;
    let server = Server::bind(config, clock.clone()).await?;
    let (address, app) = (server.address(), server.app().clone());
    let (end, ended) = oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async move { drop(ended.await) }));

    let base = format!("http://{address}");
    writeln!(out, "listening on {base}\ndata in {}\n", app.store.path().display())?;
    writeln!(out, "A week of a small application, as signed webhooks, and what became of each:")?;
    let (clerk, sender) = (&stand_in, Sender::new(&secret, &base)?);
    clerk.tell(Sender::new(&secret, &base)?);
    let stage = Stage { clerk, sender, seed: random()?.to_vec(), now, clock };
    stage.play(out).await?;

    introduce(&app, &stage, &base, out).await?;
    drop(app);

    stop.await;
    drop(end);
    let ran = running.await.map_err(io::Error::other)?;
    stand_in.stop().await;
    ran.map_err(|cause| Error::Serve(cause.into()))
}

/// Makes somebody an admin, and says what can be tried.
async fn introduce(app: &App, stage: &Stage<'_>, base: &str, out: &mut (dyn Write + Send)) -> Result<(), Error> {
    let (admin, now): (ClerkId, _) = (stage.person(0).user_id().parse()?, stage.now);
    let by = By { actor: Actor::Cli, source: Source::Cli };
    let patch = UserPatch { role: "ADMIN".parse().ok(), ..UserPatch::default() };
    app.store.set_user(UserId::of(&admin), patch, None, by.entry("user.assigned")).await?;
    let token = stage.clerk.issuer.token(&admin, &stage.person(0).session_id(), now, TOKEN_LIFE)?;
    let origin = &app.settings.public_origin;
    let link = link::mint(&app.store, "admin", now, Actor::Cli, Source::Cli, origin).await;
    let link = link.map_err(|cause| Error::Serve(cause.into()))?;
    let somebody = stage.person(2).user_id();
    write!(out, "{}", invitation(base, &link, &token, app.store.path(), (&admin, &somebody)))?;
    Ok(out.flush()?)
}

/// What to try, with everything filled in.
fn invitation(base: &str, link: &str, token: &str, data: &Path, (admin, somebody): (&ClerkId, &str)) -> String {
    let data = data.display();
    // As it was called: a newcomer's has not been installed anywhere yet.
    let program = std::env::args().next().unwrap_or_else(|| "rollbook".to_owned());
    format!(
        "  (The message that came twice had one effect, what came after the deletion changed nothing, and the event of another
  Clerk instance waits in quarantine. Of the one that was lost Rollbook knows nothing, until `sync` asks Clerk.)

The admin page; the link sets your password and works once:
  {link}

A session token of {admin} (role ADMIN), good for eight hours:
  TOKEN={token}

The API, described for people:
  {base}/docs

To try:
  curl {base}/health
  curl -H \"Authorization: Bearer $TOKEN\" {base}/api/auth/me
  curl -H \"Authorization: Bearer $TOKEN\" '{base}/api/users?limit=3'
  curl -H \"Authorization: Bearer $TOKEN\" '{base}/api/audit?limit=3'
  curl -N -H \"Authorization: Bearer $TOKEN\" -H 'Accept: text/event-stream' '{base}/api/events'
  {program} users list --data {data}
  {program} sync --data {data}
  {program} actor-token {somebody} --reason 'to try it' --data {data}

Stop with Ctrl-C; the data goes with it.
"
    )
}

/// The settings, read as the user's own would be.
fn settings(clerk: &StandIn, secret: &str, folder: &Path, port: u16) -> Result<Config, Faults> {
    let data = folder.join("rollbook.redb").display().to_string();
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string();
    let values = BTreeMap::from([
        ("CLERK_WEBHOOK_SIGNING_SECRET", secret.to_owned()),
        ("CLERK_ISSUER", clerk.url.clone()),
        ("CLERK_API_URL", clerk.url.clone()),
        ("CLERK_SECRET_KEY", clerk.secret_key().to_owned()),
        // The one event that is lost is left to be found by whoever looks.
        ("ROLLBOOK_SYNC_INTERVAL", "off".to_owned()),
        ("ROLLBOOK_DATA", data),
        // What somebody tries out beside it is on this machine as well.
        ("ROLLBOOK_FORWARD_PRIVATE", "127.0.0.0/8,::1".to_owned()),
        ("ROLLBOOK_LISTEN", listen),
    ]);
    Config::read(|name| values.get(name).cloned())
}

/// The usual port if nobody has it, else any.
async fn free_port() -> u16 {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, USUAL_PORT)).await {
        Ok(_) => USUAL_PORT,
        Err(_) => 0,
    }
}

fn random() -> io::Result<[u8; 24]> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}
