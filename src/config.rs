//! The settings, read once at the start: every fault is reported, each by the name of its variable, and
//! what has been read needs no further checking. No value is ever repeated in a fault.

mod in_force;
mod reader;
mod settings;
mod sources;
mod url;
mod value;

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use ipnet::IpNet;

use crate::audit::feed::Types;
use crate::log;
use crate::sync::{DeletePolicy, History};
use crate::target::Kind;

pub use self::in_force::{InForce, Value};
pub use self::settings::{SETTINGS, Setting};
pub use self::sources::{Place, Sources};
pub use self::url::Origin;

use self::reader::Reader;
use self::settings as names;

/// What `serve` needs to know.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own, not a state of one thing")]
pub struct Config {
    /// What other commands need too.
    pub local: Local,
    /// The signing secrets of the webhook endpoint, at least one. Each is valid base64 of 24 bytes or more.
    pub signing_secrets: Vec<Secret>,
    /// How session tokens are verified.
    pub tokens: TokenSource,
    /// How Clerk's Backend API is called; `None` without a secret key.
    pub backend: Option<Backend>,
    /// How often all users are compared with Clerk's, in hours; `None` is never.
    pub sync_interval: Option<NonZeroU32>,
    /// The service that is told of what happens, if one is set.
    pub forward: Option<Forward>,
    /// Private networks that such services may be in.
    pub forward_private: Vec<IpNet>,
    /// The values of `azp` that are allowed; empty when all are.
    pub authorized_parties: Vec<String>,
    /// Whether tokens without `azp` are rejected.
    pub require_azp: bool,
    /// The values of `aud` that name us; empty when it is not checked.
    pub audience: Vec<String>,
    /// The Clerk instance to be pinned to; the first event's when `None`.
    pub instance: Option<String>,
    /// What becomes of the record of a deleted user.
    pub delete: DeletePolicy,
    /// Whether a valid token of a user not yet synced creates the user.
    pub provision: bool,
    /// What the log keeps of a change.
    pub history: History,
    /// Whether impersonated sessions may use the API.
    pub allow_impersonation: bool,
    /// Whether anybody may read `/log`, not admins alone.
    pub public_log: bool,
    /// Proxies whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpNet>,
    /// Which pages may call the API.
    pub cors: Cors,
    /// How often one address may ask.
    pub rate_address: Rate,
    /// How often one session or API key may ask.
    pub rate_token: Rate,
    /// Where else the metrics are, for whoever can reach that address.
    pub metrics_listen: Option<SocketAddr>,
    /// Where plain HTTP is taken and sent on to HTTPS; only with TLS.
    pub redirect_listen: Option<SocketAddr>,
    /// Where backups are put; `None` when none are made but where somebody says.
    pub backups: Option<Backups>,
    /// Every setting as it is in force, for people to look at.
    pub in_force: Vec<InForce>,
}

/// Where backups are put, and what becomes of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backups {
    /// The folder.
    pub folder: PathBuf,
    /// How many hours after the newest one the server makes another; `None` is never.
    pub interval: Option<NonZeroU32>,
    /// How many are kept; `None` is all.
    pub keep: Option<NonZeroU32>,
}

/// How Clerk's Backend API is called.
#[derive(Debug, Clone)]
pub struct Backend {
    /// Where it is.
    pub url: String,
    /// The instance's secret key.
    pub key: Secret,
}

/// A service that is told of what happens.
#[derive(Debug, Clone)]
pub struct Forward {
    /// Where it is.
    pub url: String,
    /// What it is told.
    pub kind: Kind,
    /// What that is signed with: valid base64 of 24 bytes or more.
    pub secret: Secret,
    /// Of which types.
    pub types: Types,
    /// Whether calls carry a session token of the user.
    pub bearer: bool,
}

/// The files, in PEM, of what HTTPS is spoken with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The certificate and its chain.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Which pages of other origins may call the API from a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// Their origins as browsers write them; none when none may.
    pub origins: Vec<String>,
    /// The request headers they may send, in lower case.
    pub headers: Vec<String>,
    /// Whether they may send credentials that the browser adds by itself.
    pub credentials: bool,
    /// How long browsers may remember this, in seconds.
    pub max_age: u64,
}

/// How often somebody may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests per second; `None` is without limit.
    pub per_second: Option<NonZeroU32>,
    /// Whether the operator chose it: then it holds for this machine's own requests too.
    pub is_set: bool,
}

/// What every command that works on the data or with the server needs to know.
#[derive(Debug, Clone)]
pub struct Local {
    /// The data file.
    pub data: PathBuf,
    /// Memory for the data file's cache, in bytes.
    pub cache: usize,
    /// Where the server listens.
    pub listen: SocketAddr,
    /// How browsers reach it; the address it listens on when `None`.
    pub public_url: Option<Origin>,
    /// What it speaks HTTPS with; plain HTTP when `None`.
    pub tls: Option<Tls>,
    /// Which lines are logged.
    pub log: log::Filter,
    /// The form of the log; by what standard output is when `None`.
    pub log_format: Option<log::Format>,
}

/// What a command goes by that does a server's work itself because none runs.
#[derive(Debug, Clone, Default)]
pub struct Standalone {
    /// How Clerk's Backend API is called; `None` without a secret key.
    pub backend: Option<Backend>,
    /// The Clerk instance to be pinned to.
    pub instance: Option<String>,
    /// What becomes of the record of a deleted user.
    pub delete: DeletePolicy,
    /// What the log keeps of a change.
    pub history: History,
    /// Where backups are put.
    pub backups: Option<Backups>,
}

/// Who issues session tokens, and where the keys come from.
#[derive(Debug, Clone)]
pub struct TokenSource {
    /// The exact value of `iss`; no slash at the end.
    pub issuer: String,
    /// The keys.
    pub keys: Keys,
}

/// Where the keys come from that session tokens are verified with.
#[derive(Debug, Clone)]
pub enum Keys {
    /// From the settings: one RSA public key, as PEM.
    Pem(Secret),
    /// From this URL, as JWKS.
    Remote(String),
}

/// A text that is not for showing: it prints as `[redacted]` and cannot be serialised.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes a text out of sight.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What is wrong with one setting, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    name: String,
    text: String,
}

impl Fault {
    fn new(name: impl fmt::Display, text: impl Into<String>) -> Self {
        Self { name: name.to_string(), text: text.into() }
    }
}

/// Everything that is wrong with the settings, one line for each: the variable, then what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Fault { name, text }) in self.0.iter().enumerate() {
            write!(f, "{}{name}: {text}", if at == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

impl Config {
    /// Reads every setting; `get` gives the value of a variable. A value that is empty counts as not set.
    ///
    /// # Errors
    /// With everything that is wrong or missing.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        let read = Reader::new(&get);
        let signing_secrets = read.signing_secrets();
        let tokens = read.tokens();
        let backend = read.backend();
        let authorized_parties = read.list(&names::AUTHORIZED_PARTIES, value::origin_of_app);
        let require_azp = read.choice(&names::REQUIRE_AZP, [true, false]);
        let audience = read.list(&names::AUDIENCE, |name| Ok(name.to_owned()));
        let instance = read.value(&names::INSTANCE_ID, value::instance);
        let local = read.local();
        let delete = read.choice(&names::DELETE, [DeletePolicy::Soft, DeletePolicy::Hard]);
        let provision = read.choice(&names::PROVISION, [true, false]);
        let history = read.choice(&names::HISTORY, [History::Full, History::Fields]);
        let allow_impersonation = read.choice(&names::IMPERSONATION, [true, false]);
        let public_log = read.choice(&names::PUBLIC_LOG, [true, false]);
        let trusted_proxies = read.list(&names::TRUSTED_PROXIES, value::network);
        let cors = read.cors();
        let rate_address = read.rate(&names::RATE_ADDRESS);
        let rate_token = read.rate(&names::RATE_TOKEN);
        let metrics_listen = read.value(&names::METRICS_LISTEN, value::listen);
        let redirect_listen = read.redirect();
        let sync_interval = read.value(&names::SYNC_INTERVAL, value::hours);
        let forward = read.forward();
        let forward_private = read.list(&names::FORWARD_PRIVATE, value::network);
        let backups = read.backups();
        let in_force = in_force::all(&get, signing_secrets.len());
        read.finish(|| {
            Some(Self {
                local: local?,
                signing_secrets,
                tokens: tokens?,
                backend,
                sync_interval: sync_interval?,
                forward,
                forward_private,
                authorized_parties,
                require_azp: require_azp?,
                audience,
                instance,
                delete: delete?,
                provision: provision?,
                history: history?,
                allow_impersonation: allow_impersonation?,
                public_log: public_log?,
                trusted_proxies,
                cors: cors?,
                rate_address: rate_address?,
                rate_token: rate_token?,
                metrics_listen,
                redirect_listen,
                backups,
                in_force,
            })
        })
    }

    /// Reads every setting, and takes down where each was found.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn from_sources(sources: &Sources) -> Result<Self, Faults> {
        let mut config = Self::read(|name| sources.get(name))?;
        for row in &mut config.in_force {
            row.place = row.variable.as_deref().and_then(|name| sources.place(name));
        }
        Ok(config)
    }
}

impl Local {
    /// Reads the settings that every command has, and no others.
    ///
    /// # Errors
    /// With everything that is wrong.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        let read = Reader::new(&get);
        let local = read.local();
        read.finish(|| local)
    }
}

impl Standalone {
    /// Reads these settings, and no others.
    ///
    /// # Errors
    /// With everything that is wrong.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        let read = Reader::new(&get);
        let backend = read.backend();
        let instance = read.value(&names::INSTANCE_ID, value::instance);
        let delete = read.choice(&names::DELETE, [DeletePolicy::Soft, DeletePolicy::Hard]);
        let history = read.choice(&names::HISTORY, [History::Full, History::Fields]);
        read.finish(|| Some(Self { backend, instance, delete: delete?, history: history?, backups: None }))
    }

    /// Reads the settings of backups, and no others.
    ///
    /// # Errors
    /// With everything that is wrong.
    pub fn of_backups(get: impl Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        let read = Reader::new(&get);
        let backups = read.backups();
        read.finish(|| Some(Self { backups, ..Self::default() }))
    }
}

/// Reads the signing secrets alone, for what signs test messages.
///
/// # Errors
/// When there is none, or one is not a signing secret.
pub fn signing_secrets(get: impl Fn(&str) -> Option<String>) -> Result<Vec<Secret>, Faults> {
    let read = Reader::new(&get);
    let secrets = read.signing_secrets();
    read.finish(|| Some(secrets))
}

#[cfg(test)]
mod tests;
