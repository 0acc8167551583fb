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
    /// The folder that backups are put into; `None` when none are made.
    pub backup_dir: Option<PathBuf>,
    /// Every setting as it is in force, for people to look at.
    pub in_force: Vec<InForce>,
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
        let sync_interval = read.value(&names::SYNC_INTERVAL, value::hours);
        let forward = read.forward();
        let forward_private = read.list(&names::FORWARD_PRIVATE, value::network);
        let backup_dir = read.value(&names::BACKUP_DIR, |path| Ok(PathBuf::from(path)));
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
                backup_dir,
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
        read.finish(|| Some(Self { backend, instance, delete: delete?, history: history? }))
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
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SECRET: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAcanary";
    /// `clerk.example.com$`.
    const KEY: &str = "pk_test_Y2xlcmsuZXhhbXBsZS5jb20k";
    const MINIMUM: [(&str, &str); 2] = [("CLERK_WEBHOOK_SIGNING_SECRET", SECRET), ("CLERK_PUBLISHABLE_KEY", KEY)];

    fn read(values: &[(&str, &str)]) -> Result<Config, Faults> {
        Config::read(|name| values.iter().rev().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    fn with(values: &[(&str, &str)]) -> Result<Config, Faults> {
        read(&[&MINIMUM, values].concat())
    }

    /// The names of the variables that are at fault.
    fn faulty(values: &[(&str, &str)]) -> Vec<String> {
        let faults = read(values).unwrap_err().to_string();
        faults.lines().map(|line| line.split_once(": ").unwrap().0.to_owned()).collect()
    }

    fn pem() -> String {
        use base64::Engine as _;
        let der: Vec<u8> = [0x30, 0x82, 0x01, 0x00].into_iter().chain([5; 256]).collect();
        base64::engine::general_purpose::STANDARD.encode(der)
    }

    #[test]
    fn two_settings_are_enough() {
        let config = read(&MINIMUM).unwrap();
        assert_eq!(config.signing_secrets[0].expose(), SECRET);
        assert_eq!(config.tokens.issuer, "https://clerk.example.com");
        assert!(
            matches!(&config.tokens.keys, Keys::Remote(url) if url == "https://clerk.example.com/.well-known/jwks.json")
        );
        assert_eq!(config.local.listen, "127.0.0.1:8080".parse().unwrap());
        assert_eq!((config.local.data.to_str(), config.local.cache), (Some("rollbook.redb"), 64 << 20));
        assert_eq!((config.delete, config.history), (DeletePolicy::Soft, History::Full));
        assert_eq!((config.provision, config.allow_impersonation, config.require_azp), (true, true, false));
        assert_eq!((config.local.public_url, config.local.log_format, config.instance), (None, None, None));
        assert_eq!((config.cors.origins.len(), config.cors.headers.len(), config.cors.max_age), (0, 4, 600));
        let rate = Rate { per_second: NonZeroU32::new(50), is_set: false };
        assert_eq!((config.rate_address, config.rate_token, config.metrics_listen), (rate, rate, None));
        let set = with(&[("ROLLBOOK_RATE_ADDRESS", "50"), ("ROLLBOOK_RATE_TOKEN", "off")]).unwrap();
        assert_eq!(set.rate_address, Rate { is_set: true, ..rate });
        assert_eq!(set.rate_token, Rate { per_second: None, is_set: true });
    }

    #[test]
    fn nothing_set_names_what_is_needed() {
        assert_eq!(faulty(&[]), ["CLERK_WEBHOOK_SIGNING_SECRET", "CLERK_PUBLISHABLE_KEY"]);
        assert_eq!(faulty(&[("CLERK_WEBHOOK_SIGNING_SECRET", " , "), ("CLERK_PUBLISHABLE_KEY", "")]).len(), 2);
    }

    #[test]
    fn all_faults_are_reported_together_and_no_value_is_repeated() {
        let bad: Vec<(&str, &str)> = SETTINGS.iter().map(|setting| (setting.name, "canary /,x\n")).collect();
        // Any text can be the name of a file or of an audience.
        let free = ["ROLLBOOK_DATA", "CLERK_AUDIENCE", "ROLLBOOK_BACKUP_DIR"];
        let expected: Vec<&str> = SETTINGS.iter().map(|s| s.name).filter(|name| !free.contains(name)).collect();
        assert_eq!(faulty(&bad), expected);
        assert!(!read(&bad).unwrap_err().to_string().contains("canary"));
        assert!(with(&[("ROLLBOOK_DATA", "roll\u{fffd}.redb")]).is_err());
    }

    #[test]
    fn the_secret_key_is_one_and_of_the_same_instance() {
        let name = "CLERK_SECRET_KEY";
        for bad in [
            "sk_test_canary canary",
            "sk_test_canary\nx: y",
            "sk_test_canary\r\n1",
            "sk_canary-7",
            "canary",
            "pk_test_canary0",
        ] {
            let faults = with(&[(name, bad)]).unwrap_err().to_string();
            assert!(faults.starts_with("CLERK_SECRET_KEY: must be") && !faults.contains("canary"), "{faults}");
            // Where the path of its file belongs, it is not shown either, whole or mistyped.
            let faults = with(&[("CLERK_SECRET_KEY_FILE", bad)]).unwrap_err().to_string();
            assert!(faults.starts_with("CLERK_SECRET_KEY_FILE: "), "{faults}");
            assert!(!bad.starts_with("sk_") || !faults.contains("canary"), "{faults}");
        }
        let backend = with(&[(name, " sk_test_0123456789\n")]).unwrap().backend.unwrap();
        assert_eq!((backend.url.as_str(), backend.key.expose()), ("https://api.clerk.com", "sk_test_0123456789"));
        let other = with(&[(name, "sk_live_canary0123")]).unwrap_err().to_string();
        assert!(other.starts_with("CLERK_SECRET_KEY: is of a production instance, and ") && !other.contains("canary"));
        let issuer = [("CLERK_PUBLISHABLE_KEY", ""), ("CLERK_ISSUER", "https://clerk.example.com")];
        assert!(with(&[&issuer[..], &[(name, "sk_live_0123456789")]].concat()).is_ok(), "nothing says otherwise");
        for url in [
            "http://api.clerk.com",
            "https://169.254.169.254",
            "https://[fd00::1]",
            "https://a:b@api.clerk.com",
            "file:///x",
        ] {
            let faults = with(&[("CLERK_API_URL", url), (name, "sk_test_0123456789")]).unwrap_err().to_string();
            assert!(faults.starts_with("CLERK_API_URL: must be an https URL"), "{url}: {faults}");
        }
    }

    #[test]
    fn secrets_are_never_shown() {
        let config = with(&[("CLERK_JWT_KEY", &pem()), ("CLERK_WEBHOOK_SIGNING_SECRET", SECRET)]).unwrap();
        let shown = format!("{config:?}");
        assert!(!shown.contains("canary") && !shown.contains(&pem()[..40]), "{shown}");
        assert_eq!(shown.matches("[redacted]").count(), 2);
        let mistaken = [("CLERK_WEBHOOK_SIGNING_SECRET_FILE", SECRET), ("CLERK_JWT_KEY_FILE", &pem())];
        let faults = read(&mistaken).unwrap_err().to_string();
        assert!(!faults.contains("canary") && !faults.contains(&pem()[..40]), "{faults}");
    }

    #[test]
    fn what_is_in_force_says_where_it_is_from_and_no_secret() {
        let set = [("ROLLBOOK_RATE_TOKEN", "7"), ("CLERK_WEBHOOK_SECRET", &format!("{SECRET},{SECRET}"))];
        let environment = set.map(|(name, value)| (name.into(), value.into()));
        let file = format!("CLERK_PUBLISHABLE_KEY={KEY}\nCLERK_JWT_KEY={}\nROLLBOOK_RATE_TOKEN=8\n", pem());
        let flags = [("ROLLBOOK_DELETE", "hard".to_owned())].into();
        let config = Config::from_sources(&Sources::new(flags, environment, &file).unwrap()).unwrap();
        assert_eq!(config.in_force.len(), SETTINGS.len());
        let row = |name| config.in_force.iter().find(|row| row.setting.name == name).unwrap();
        let text = |text: &str| Value::Text(text.to_owned());
        for (name, variable, place, value) in [
            ("ROLLBOOK_DELETE", Some("ROLLBOOK_DELETE"), Some(Place::Flag), text("hard")),
            ("ROLLBOOK_RATE_TOKEN", Some("ROLLBOOK_RATE_TOKEN"), Some(Place::Environment), text("7")),
            ("CLERK_PUBLISHABLE_KEY", Some("CLERK_PUBLISHABLE_KEY"), Some(Place::File), text(KEY)),
            ("CLERK_JWT_KEY", Some("CLERK_JWT_KEY"), Some(Place::File), Value::Secrets(1)),
            ("CLERK_WEBHOOK_SIGNING_SECRET", Some("CLERK_WEBHOOK_SECRET"), Some(Place::Environment), Value::Secrets(2)),
            ("ROLLBOOK_HISTORY", None, None, text("full")),
            ("CLERK_INSTANCE_ID", None, None, Value::None),
        ] {
            let row = row(name);
            assert_eq!((row.variable.as_deref(), row.place, &row.value), (variable, place, &value), "{name}");
        }
        let shown = format!("{:?}", config.in_force);
        assert!(!shown.contains("canary") && !shown.contains(&pem()[..40]), "{shown}");
    }

    #[test]
    fn a_secret_may_be_in_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, format!("{SECRET},\n{SECRET}\r\n")).unwrap();
        let path = path.to_str().unwrap();
        let key = ("CLERK_PUBLISHABLE_KEY", KEY);
        assert_eq!(read(&[key, ("CLERK_WEBHOOK_SIGNING_SECRET_FILE", path)]).unwrap().signing_secrets.len(), 2);
        assert_eq!(read(&[key, ("CLERK_WEBHOOK_SECRET_FILE", path)]).unwrap().signing_secrets.len(), 2);
        let both = [key, ("CLERK_WEBHOOK_SECRET", SECRET), ("CLERK_WEBHOOK_SIGNING_SECRET_FILE", path)];
        assert_eq!(faulty(&both), ["CLERK_WEBHOOK_SIGNING_SECRET_FILE"]);
        let missing = format!("{path}.missing");
        let faults = read(&[key, ("CLERK_WEBHOOK_SIGNING_SECRET_FILE", &missing)]).unwrap_err().to_string();
        assert!(
            faults.starts_with(&format!("CLERK_WEBHOOK_SIGNING_SECRET_FILE: {missing} cannot be read")),
            "{faults}"
        );
        assert_eq!(faults.lines().count(), 1);
    }

    #[test]
    fn the_ways_to_verify_tokens() {
        let secret = ("CLERK_WEBHOOK_SECRET", SECRET);
        let issuer = ("CLERK_ISSUER", "https://id.example.com/");
        let (pem, jwks) = (pem(), ("CLERK_JWKS_URL", "https://keys.example.com/jwks"));
        let pem = ("CLERK_JWT_KEY", pem.as_str());
        let tokens = |values: &[(&str, &str)]| read(&[&[secret], values].concat()).unwrap().tokens;

        let alone = tokens(&[issuer]);
        assert_eq!(alone.issuer, "https://id.example.com");
        assert!(matches!(alone.keys, Keys::Remote(url) if url == "https://id.example.com/.well-known/jwks.json"));
        assert!(matches!(tokens(&[issuer, jwks]).keys, Keys::Remote(url) if url == "https://keys.example.com/jwks"));
        assert!(matches!(tokens(&[issuer, pem]).keys, Keys::Pem(_)));
        let both = tokens(&[issuer, pem, ("CLERK_PUBLISHABLE_KEY", KEY)]);
        assert!(both.issuer == "https://id.example.com" && matches!(both.keys, Keys::Pem(_)));

        assert_eq!(faulty(&[secret, pem]), ["CLERK_ISSUER"]);
        assert_eq!(faulty(&[secret, jwks]), ["CLERK_ISSUER"]);
        // A key given by hand needs no network, so the address of the keys is not asked.
        assert!(matches!(tokens(&[issuer, pem, jwks]).keys, Keys::Pem(_)));
        assert_eq!(faulty(&[secret, ("CLERK_PUBLISHABLE_KEY", "pk_test_")]), ["CLERK_PUBLISHABLE_KEY"]);
        assert_eq!(faulty(&[secret, ("CLERK_ISSUER", "http://id.example.com")]), ["CLERK_ISSUER"]);
    }

    #[test]
    fn tokens_of_users_are_for_calls_about_users_and_need_the_key() {
        let url = ("ROLLBOOK_FORWARD_URL", "https://app.example.com/api");
        let set = |more: &[(&'static str, &'static str)]| {
            [&MINIMUM[..], &[url, ("ROLLBOOK_FORWARD_SECRET", SECRET), ("ROLLBOOK_FORWARD_BEARER", "true")], more]
                .concat()
        };
        let (api, key) = (("ROLLBOOK_FORWARD_KIND", "api"), ("CLERK_SECRET_KEY", "sk_test_12345678"));
        assert_eq!(faulty(&set(&[])), ["ROLLBOOK_FORWARD_BEARER"]);
        assert_eq!(faulty(&set(&[key])), ["ROLLBOOK_FORWARD_BEARER"]);
        assert_eq!(faulty(&set(&[api])), ["ROLLBOOK_FORWARD_BEARER"]);
        let forward = read(&set(&[api, key])).unwrap().forward.unwrap();
        assert!(forward.bearer && forward.kind == Kind::Api);
    }

    #[test]
    fn a_target_is_set_whole_or_not_at_all() {
        let (url, secret) =
            (("ROLLBOOK_FORWARD_URL", "https://app.example.com/hooks"), ("ROLLBOOK_FORWARD_SECRET", SECRET));
        let forward = with(&[url, secret, ("ROLLBOOK_FORWARD_TYPES", "user.*")]).unwrap().forward.unwrap();
        assert_eq!((forward.url.as_str(), forward.kind, forward.bearer), (url.1, Kind::Events, false));
        assert!(with(&[]).unwrap().forward.is_none());
        let faulty = |values: &[(&str, &str)]| faulty(&[&MINIMUM, values].concat());
        assert_eq!(faulty(&[url]), ["ROLLBOOK_FORWARD_SECRET"]);
        for alone in [secret, ("ROLLBOOK_FORWARD_KIND", "api"), ("ROLLBOOK_FORWARD_TYPES", "user.*")] {
            assert_eq!(faulty(&[alone]), ["ROLLBOOK_FORWARD_URL"], "{alone:?}");
        }
        let long = format!("whsec_{}", "A".repeat(88));
        for bad in ["whsec_short", &long] {
            assert_eq!(faulty(&[url, ("ROLLBOOK_FORWARD_SECRET", bad)]), ["ROLLBOOK_FORWARD_SECRET"], "{bad}");
        }
    }

    #[test]
    fn other_commands_need_no_secret() {
        let local = Local::read(|name| (name == "ROLLBOOK_DATA").then(|| "/srv/roll.redb".to_owned())).unwrap();
        assert_eq!(local.data.to_str(), Some("/srv/roll.redb"));
        assert_eq!(signing_secrets(|_| None).unwrap_err().to_string().lines().count(), 1);
    }
}
