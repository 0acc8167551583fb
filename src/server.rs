//! The server as a value: bound, asked for its address, run until told to stop. The only place that wires.

pub mod accept;
mod descriptors;
mod in_force;
mod listeners;
mod self_check;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::audit::{Actor, Draft, Source};
use crate::backup;
use crate::clerk::backend::{Backend, BadBackend};
use crate::clerk::http::Url;
use crate::clerk::jwks::Keys;
use crate::clerk::key::BadKey;
use crate::clerk::session::{Rules, Sessions};
use crate::clerk::webhook::{BadSecret, Webhooks};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::control::{self, Desk};
use crate::forward::{self, Forwarder};
use crate::http::cors::{self, Cors};
use crate::http::guard::Hosts;
use crate::http::limit::Rate;
use crate::http::redirect::Way;
use crate::http::{self, Abroad, App, Settings};
use crate::notary::{self, Notary};
use crate::reconcile;
use crate::store::{self, OpenError, Store};
use crate::sync::Policy;
use crate::target::{Target, TargetName};
use crate::tls::{self, Files, Tls};

use self::accept::{Door, Limits};
use self::listeners::{Bound, Listeners};

/// How often a checkpoint is signed, if the log has grown.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(10);

/// Connections at once to the metrics' own address.
const METRICS_CONNECTIONS: usize = 32;

/// The same to the address that sends plain HTTP on, which takes no time to answer.
const REDIRECT_CONNECTIONS: usize = 32;

/// How often what is counted between times is written down.
const TALLY_EVERY: Duration = Duration::from_mins(1);

/// A server that holds its address and its data file, and does not serve yet.
#[derive(Debug)]
pub struct Server {
    listeners: Listeners,
    hosts: Hosts,
    limits: Limits,
    app: App,
    /// Whether browsers come by another origin than the address itself.
    has_public_url: bool,
    keys: Keys,
    /// How often all users are compared with Clerk's, in hours.
    sync_interval: Option<NonZeroU32>,
    control: Option<control::Listener>,
}

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program has the address.
    #[error(
        "{setting}: {address} is taken by another program; stop that one, or choose another port (0 picks a free one)"
    )]
    Taken {
        /// The variable.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("{setting}: cannot listen on {address}: {cause}")]
    Listen {
        /// The variable.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The data file cannot be used.
    #[error("ROLLBOOK_DATA: {0}")]
    Open(#[from] OpenError),
    /// The data file has a backup's name in the folder of the backups.
    #[error(
        "ROLLBOOK_DATA, ROLLBOOK_BACKUP_DIR: {} lies among the backups under a name of theirs, and would be taken for one of \
         them; put a copy of it elsewhere with `rollbook restore`, and start on that", .0.display()
    )]
    AmongBackups(PathBuf),
    /// HTTPS cannot be spoken with the files that are set.
    #[error("ROLLBOOK_TLS_CERT, ROLLBOOK_TLS_KEY: {0}")]
    Tls(#[from] tls::Error),
    /// A signing secret cannot be one.
    #[error("CLERK_WEBHOOK_SIGNING_SECRET: {0}")]
    Secret(#[from] BadSecret),
    /// The PEM is no usable key.
    #[error("CLERK_JWT_KEY: {0}")]
    Key(#[from] BadKey),
    /// A page's origin or a header's name cannot be one.
    #[error("ROLLBOOK_CORS_ORIGINS, ROLLBOOK_CORS_HEADERS: {0}")]
    Cors(#[from] cors::BadName),
    /// The address of the keys is no URL.
    #[error("CLERK_JWKS_URL: not a URL")]
    KeysUrl,
    /// Clerk's Backend API cannot be called with what is set.
    #[error("CLERK_SECRET_KEY, CLERK_API_URL: {0}")]
    Backend(#[from] BadBackend),
    /// The services that are told cannot be.
    #[error("ROLLBOOK_FORWARD_URL, ROLLBOOK_FORWARD_SECRET, ROLLBOOK_DATA: {0}")]
    Forward(#[from] forward::Error),
    /// The log's key or mark cannot be used.
    #[error("ROLLBOOK_DATA: {0}")]
    Notary(#[from] notary::Error),
    /// The data file was opened but cannot be used.
    #[error("ROLLBOOK_DATA: {0}")]
    Store(#[from] store::Error),
}

/// Why a server stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store failed; what was acknowledged is on disk, and a restart will find it.
    #[error("the store has failed and takes no more writes; restart Rollbook once the disk is in order")]
    StoreFailed,
}

impl Server {
    /// Takes the address and opens the data file.
    ///
    /// # Errors
    /// With what is in the way, named by the setting to change.
    pub async fn bind(config: Config, clock: Clock) -> Result<Self, BindError> {
        let listeners = Listeners::bind(&config).await?;
        let address = listeners.address();
        let tls = config.local.tls.clone().map(|set| Tls::open(tls_files(set), clock.clone())).transpose()?;
        let cors = cors(&config.cors)?;
        let in_force = in_force::rows(&config, &listeners);
        let backend = config.backend.map(|set| Backend::new(&set.url, set.key.expose(), clock.clone())).transpose()?;
        let webhooks = Webhooks::new(config.signing_secrets.iter().map(config::Secret::expose))?;
        let policy = Policy { delete: config.delete, history: config.history, instance: config.instance };
        ensure_not_lost(&config.local.data, config.backups.as_ref())?;
        let backups = config.backups.map(backup_rules);
        if backups.as_ref().is_some_and(|rules| rules.take_for_backup(&config.local.data)) {
            return Err(BindError::AmongBackups(config.local.data));
        }
        let store = open(config.local.data, config.local.cache, policy, clock.clone()).await?;
        let control = control::listen(store.path())
            .inspect_err(|cause| tracing::warn!(%cause, "control.unavailable: commands cannot reach this server"))
            .ok();
        let keys = token_keys(&config.tokens.keys, &store, &clock)?;
        let rules = Rules {
            issuer: config.tokens.issuer,
            authorized_parties: config.authorized_parties,
            require_azp: config.require_azp,
            audiences: config.audience,
        };
        let settings = Settings {
            public_origin: public_origin(config.local.public_url.as_ref(), tls.is_some(), address),
            provision: config.provision,
            allow_impersonation: config.allow_impersonation,
            trusted_proxies: config.trusted_proxies.clone(),
            public_log: config.public_log,
            cors,
            rate_address: rate(config.rate_address),
            rate_token: rate(config.rate_token),
            backups,
            tls,
            in_force,
        };
        let host = log_host(config.local.public_url.as_ref());
        let notary = Notary::open(store.clone(), clock.clone(), &host).await?;
        let forwarder = forward::Setup {
            store: store.clone(),
            clock: clock.clone(),
            backend: backend.clone(),
            private: config.forward_private,
            log: notary.verifiers().first().map_or(host, |key| key.name().to_owned()),
            shape: Arc::new(http::event),
            set: config.forward.map(target).transpose()?,
        };
        let abroad = Abroad { backend, forwarder: Forwarder::open(forwarder).await? };
        store.record(turn("system.started")).await?;
        publish(&notary).await;
        let sessions = Sessions::new(keys.clone(), rules, clock.clone());
        let app = App::new(store, notary, webhooks, sessions, abroad, clock, settings);
        let public_url = config.local.public_url.as_ref();
        let hosts = Hosts::new(public_url.map(config::Origin::host_and_port)).with_tls(app.settings.tls.is_some());
        let limits = Limits::default();
        let connections = descriptors::connections(limits.connections);
        let limits = Limits { trusted: config.trusted_proxies, connections, ..limits };
        let (has_public_url, sync_interval) = (public_url.is_some(), config.sync_interval);
        Ok(Self { listeners, hosts, limits, app, has_public_url, keys, sync_interval, control })
    }

    /// The address that connections are taken on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.listeners.address()
    }

    /// Where plain HTTP is sent on from, if it is.
    #[must_use]
    pub fn redirect_address(&self) -> Option<SocketAddr> {
        self.listeners.redirect_address()
    }

    /// The address that the metrics have for themselves, if they have one.
    #[must_use]
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.listeners.metrics_address()
    }

    /// What the handlers work with.
    #[must_use]
    pub const fn app(&self) -> &App {
        &self.app
    }

    /// Serves until `shutdown`, then finishes what is under way and closes the data file.
    ///
    /// # Errors
    /// When the store failed. The process should then end, for its supervisor to start it again.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        let (store, notary) = (self.app.store.clone(), self.app.notary.clone());
        let (stop, stopped) = watch::channel(());
        let mut chores = JoinSet::new();
        chores.spawn(write_tallies(self.app.clone(), stopped.clone()));
        chores.spawn(keep_keys(self.keys, store.clone(), stopped.clone()));
        chores.spawn(publish_checkpoints(notary.clone(), stopped.clone()));
        chores.spawn(self_check::run(store.clone(), stopped.clone()));
        chores.spawn(reconcile::keep(self.app.walks.clone(), self.sync_interval, stopped.clone()));
        chores.spawn(backup::keep(self.app.backups.clone(), stopped.clone()));
        let tls = self.app.settings.tls.clone();
        chores.spawn(renew(tls.clone(), stopped.clone()));
        let Listeners { main: (listener, address), metrics, redirect } = self.listeners;
        if let Some((listener, _)) = metrics {
            let limits = Limits { connections: METRICS_CONNECTIONS, ..self.limits.clone() };
            chores.spawn(show_metrics(listener, self.app.clone(), limits, stopped.clone()));
        }
        if let Some(bound) = redirect {
            let limits = Limits { connections: REDIRECT_CONNECTIONS, ..self.limits.clone() };
            let public_origin = self.has_public_url.then(|| self.app.settings.public_origin.clone());
            let way = Way { hosts: self.hosts.clone().with_tls(false), public_origin, port: address.port() };
            chores.spawn(send_on(bound, way, limits, stopped.clone()));
        }
        if let Some(listener) = self.control {
            chores.spawn(answer_commands(listener, desk(&self.app, address), stopped));
        }
        let (service, faults) = (http::service(&self.app, self.hosts), http::faults(&self.app));
        let (streams, connections) = (self.app.streams.clone(), self.app.metrics.connections.clone());
        let (backups, walks) = (self.app.backups.clone(), self.app.walks.clone());
        let forwarder = self.app.forwarder.clone();
        forwarder.start().await;
        drop(self.app);
        let until = async {
            tokio::select! {
                () = shutdown => {}
                () = store.failed() => {}
            }
            streams.stop();
            backups.stop();
            forwarder.stop();
            walks.stop();
        };
        let drained =
            accept::serve(Door::with_tls(listener, tls), service, faults, self.limits, connections, until).await;
        if drained.cut > 0 {
            tracing::warn!(connections = drained.cut, "server.connections_cut");
        }
        drop(stop);
        while chores.join_next().await.is_some() {}
        backups.idle().await;
        drop(backups);
        forwarder.idle().await;
        drop(forwarder);
        walks.idle().await;
        drop(walks);
        if let Err(cause) = store.record(turn("system.stopped")).await {
            tracing::warn!(%cause, "audit.not_written");
        }
        publish(&notary).await;
        drop(notary);
        let failed = store.has_failed();
        store.close().await;
        if failed { Err(RunError::StoreFailed) } else { Ok(()) }
    }
}

/// The keys that session tokens are verified with: the one that is set, or Clerk's, as they were last known.
fn token_keys(set: &config::Keys, store: &Store, clock: &Clock) -> Result<Keys, BindError> {
    match set {
        config::Keys::Pem(pem) => Ok(Keys::from_pem(pem.expose())?),
        config::Keys::Remote(url) => {
            let url: Url = url.parse().map_err(|_| BindError::KeysUrl)?;
            Ok(Keys::remote(url, store.keys()?.as_deref(), clock.clone()))
        }
    }
}

fn cors(set: &config::Cors) -> Result<Option<Cors>, cors::BadName> {
    Cors::new(&set.origins, &set.headers, set.credentials, Duration::from_secs(set.max_age))
}

/// The target of the settings, and its secret.
fn target(set: config::Forward) -> Result<(Target, forward::Secret), forward::Error> {
    let config::Forward { url, kind, secret, types, bearer } = set;
    Ok((Target { name: TargetName::of_settings(), url, kind, types, bearer }, secret.expose().parse()?))
}

/// A limit left at its default is not for this machine's own programs: they would be held up by each other.
const fn rate(set: config::Rate) -> Rate {
    Rate { per_second: set.per_second, also_local: set.is_set }
}

/// The rules for backups that the settings come to.
#[must_use]
pub fn backup_rules(set: config::Backups) -> backup::Rules {
    let config::Backups { folder, interval, keep } = set;
    backup::Rules { folder: absolute(folder), every: interval, keep }
}

/// The same path whatever folder the process is in later.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// Refuses to make a data file where one was, and says what could take its place.
fn ensure_not_lost(data: &Path, backups: Option<&config::Backups>) -> Result<(), notary::Error> {
    let Some(lost) = notary::lost(data)? else { return Ok(()) };
    let newest = backups.and_then(|set| {
        let newest = backup::list(&set.folder).ok()?.into_iter().next()?;
        Some(absolute(set.folder.join(newest.name)))
    });
    Err(notary::Lost { newest, ..lost }.into())
}

async fn open(path: PathBuf, cache: usize, policy: Policy, clock: Clock) -> Result<Store, BindError> {
    let opened = tokio::task::spawn_blocking(move || Store::open(&path, cache, policy, clock)).await;
    Ok(opened.map_err(|_| store::Error::Panicked)??)
}

/// The origin browsers use: the one set, else the address itself.
#[must_use]
pub fn public_origin(set: Option<&config::Origin>, is_tls: bool, address: SocketAddr) -> String {
    set.map_or_else(|| format!("{}://{}", scheme(is_tls), reachable(address)), |origin| origin.as_str().to_owned())
}

/// How a server's address begins.
#[must_use]
pub const fn scheme(is_tls: bool) -> &'static str {
    if is_tls { "https" } else { "http" }
}

/// The files that HTTPS is spoken with.
#[must_use]
pub fn tls_files(set: config::Tls) -> Files {
    let config::Tls { certificate, key } = set;
    Files { certificate: absolute(certificate), key: absolute(key) }
}

/// The host that the log's name begins with: the one browsers use, if it was set.
#[must_use]
pub fn log_host(set: Option<&config::Origin>) -> String {
    let host = set.and_then(|origin| origin.as_str().split_once("://")).map(|(_, host)| host.to_owned());
    host.unwrap_or_else(|| "localhost".to_owned())
}

/// An address as a browser on this machine would write it: "all addresses" is none.
#[must_use]
pub fn reachable(address: SocketAddr) -> String {
    if address.ip().is_unspecified() { format!("localhost:{}", address.port()) } else { address.to_string() }
}

/// An entry for a turn in the server's own life.
fn turn(action: &str) -> Draft {
    Draft::new(action, Actor::System, Source::System).with("version", Some(env!("CARGO_PKG_VERSION")))
}

/// What answers commands on this machine.
fn desk(app: &App, address: SocketAddr) -> Desk {
    Desk {
        store: app.store.clone(),
        notary: app.notary.clone(),
        backend: app.backend.clone(),
        walks: app.walks.clone(),
        backups: app.backups.clone(),
        clock: app.clock.clone(),
        public_origin: app.settings.public_origin.clone(),
        address: address.to_string(),
        server: Some(app.clone()),
    }
}

async fn answer_commands(listener: control::Listener, desk: Desk, mut stopped: watch::Receiver<()>) {
    let answer = move |request, feed| {
        let desk = desk.clone();
        async move { desk.answer(request, &feed).await }
    };
    control::serve(listener, answer, async move { drop(stopped.changed().await) }).await;
}

/// Signs a checkpoint every ten seconds, if there is something new to sign.
async fn publish_checkpoints(notary: Notary, mut stopped: watch::Receiver<()>) {
    while tokio::time::timeout(CHECKPOINT_EVERY, stopped.changed()).await.is_err() {
        publish(&notary).await;
    }
}

async fn publish(notary: &Notary) {
    match notary.publish().await {
        // That the log is in doubt was said when it showed.
        Ok(_) | Err(notary::Error::InDoubt(_)) => {}
        Err(cause) => tracing::error!(%cause, "log.checkpoint_not_signed"),
    }
}

/// Serves the certificate anew when its files change.
async fn renew(tls: Option<Tls>, stopped: watch::Receiver<()>) {
    if let Some(tls) = tls {
        tls.keep(stopped).await;
    }
}

/// Sends plain HTTP on to HTTPS.
async fn send_on((listener, _): Bound, way: Way, limits: Limits, mut stopped: watch::Receiver<()>) {
    let until = async move { drop(stopped.changed().await) };
    let fault = |fault, _: &_| http::failed(fault);
    let _ = accept::serve(listener, http::redirect::service(way), fault, limits, Arc::default(), until).await;
}

/// Answers at the metrics' own address.
async fn show_metrics(listener: TcpListener, app: App, limits: Limits, mut stopped: watch::Receiver<()>) {
    let (service, fault) = (http::metrics::service(&app), |fault, _: &_| http::failed(fault));
    drop(app);
    let until = async move { drop(stopped.changed().await) };
    let _ = accept::serve(listener, service, fault, limits, Arc::default(), until).await;
}

/// Writes down every minute, and at the end, what strangers did and what is known of deliveries, and forgets who has not
/// asked for anything lately.
async fn write_tallies(app: App, mut stopped: watch::Receiver<()>) {
    loop {
        let last = tokio::time::timeout(TALLY_EVERY, stopped.changed()).await.is_ok();
        app.limits.forget_idle();
        for entry in app.tally.take() {
            if let Err(cause) = app.store.record(entry).await {
                tracing::warn!(%cause, "audit.not_written");
            }
        }
        let counted = app.deliveries.take();
        if !counted.is_empty()
            && let Err(cause) = app.store.count(counted).await
        {
            tracing::warn!(%cause, "deliveries.not_counted");
        }
        if last {
            return;
        }
    }
}

/// Keeps each new set of Clerk's keys, so that a restart while Clerk cannot be reached still knows them.
async fn keep_keys(keys: Keys, store: Store, mut stopped: watch::Receiver<()>) {
    let mut newest = keys.changes();
    loop {
        tokio::select! {
            // Keys that came just before the end are kept too.
            biased;
            more = newest.changed() => if more.is_err() {
                return;
            },
            _ = stopped.changed() => return,
        }
        let document = newest.borrow_and_update().clone();
        if let Some(document) = document
            && let Err(cause) = store.keep_keys(document.to_vec()).await
        {
            tracing::warn!(%cause, "keys.not_kept");
        }
    }
}
