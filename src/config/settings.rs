//! The settings: one table from which `Config::read`, the flags of `serve`, its help and every error are
//! made, so that they cannot disagree.

/// One setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// The environment variable.
    pub name: &'static str,
    /// Another name of the same variable.
    pub also: Option<&'static str>,
    /// The flag, without its dashes. Secrets have none (a command line is for everybody to read); they can
    /// be read from a file instead, see [`Setting::is_secret`].
    pub flag: Option<&'static str>,
    /// What its value looks like; choices are separated by `|`.
    pub value: &'static str,
    /// The value when it is not set; empty when there is none.
    pub default: &'static str,
    /// What it is for, in one sentence without a full stop.
    pub help: &'static str,
    /// Whether every command that works on the data or with the server has it, not `serve` alone.
    pub everywhere: bool,
}

impl Setting {
    /// Whether its value is a secret: then it is never a flag, and `NAME_FILE` may name a file that holds it.
    #[must_use]
    pub const fn is_secret(&self) -> bool {
        self.flag.is_none()
    }

    /// What it is about, as the heading over those that are about the same.
    #[must_use]
    pub fn heading(&self) -> &'static str {
        HEADINGS.iter().find(|(beginning, _)| self.name.starts_with(beginning)).map_or("Other", |(_, heading)| heading)
    }

    const fn new(name: &'static str, flag: &'static str, value: &'static str, help: &'static str) -> Self {
        Self { name, also: None, flag: Some(flag), value, default: "", help, everywhere: false }
    }

    const fn secret(name: &'static str, value: &'static str, help: &'static str) -> Self {
        Self { name, also: None, flag: None, value, default: "", help, everywhere: false }
    }

    const fn or(mut self, default: &'static str) -> Self {
        self.default = default;
        self
    }

    const fn everywhere(mut self) -> Self {
        self.everywhere = true;
        self
    }
}

/// The headings, by what the names of their settings begin with.
const HEADINGS: &[(&str, &str)] = &[
    ("CLERK_", CLERK),
    ("ROLLBOOK_REQUIRE_AZP", CLERK),
    ("ROLLBOOK_SYNC_", CLERK),
    ("ROLLBOOK_LISTEN", NETWORK),
    ("ROLLBOOK_PUBLIC_URL", NETWORK),
    ("ROLLBOOK_TRUSTED_PROXIES", NETWORK),
    ("ROLLBOOK_TLS_", NETWORK),
    ("ROLLBOOK_METRICS_", NETWORK),
    ("ROLLBOOK_RATE_", NETWORK),
    ("ROLLBOOK_DATA", "Data file"),
    ("ROLLBOOK_CACHE_", "Data file"),
    ("ROLLBOOK_LOG", "Logging"),
    ("ROLLBOOK_DELETE", POLICY),
    ("ROLLBOOK_PROVISION", POLICY),
    ("ROLLBOOK_HISTORY", POLICY),
    ("ROLLBOOK_IMPERSONATION", POLICY),
    ("ROLLBOOK_PUBLIC_LOG", POLICY),
    ("ROLLBOOK_CORS_", "Pages of other origins (CORS)"),
    ("ROLLBOOK_FORWARD_", "Telling a service"),
    ("ROLLBOOK_BACKUP_", "Backups"),
];
const CLERK: &str = "Clerk";
const NETWORK: &str = "Network";
const POLICY: &str = "Users and the log";

macro_rules! settings {
    ($($id:ident = $setting:expr;)*) => {
        $(pub(super) const $id: Setting = $setting;)*

        /// Every setting, in the order in which they are explained and their faults reported.
        pub const SETTINGS: &[Setting] = &[$($id),*];
    };
}

settings! {
    SIGNING_SECRET = Setting { also: Some("CLERK_WEBHOOK_SECRET"), ..Setting::secret(
        "CLERK_WEBHOOK_SIGNING_SECRET", "whsec_…",
        "Signing secret of the webhook endpoint; several, separated by commas, while rotating",
    )};
    PUBLISHABLE_KEY = Setting::new("CLERK_PUBLISHABLE_KEY", "publishable-key", "pk_…",
        "Publishable key of the Clerk instance; gives the issuer and the JWKS URL");
    JWT_KEY = Setting::secret("CLERK_JWT_KEY", "PEM",
        "Public key of the Clerk instance; tokens are then verified with no network");
    ISSUER = Setting::new("CLERK_ISSUER", "issuer", "URL",
        "Issuer of the session tokens, instead of the one the publishable key gives");
    JWKS_URL = Setting::new("CLERK_JWKS_URL", "jwks-url", "URL",
        "Where the keys are, instead of the issuer's /.well-known/jwks.json");
    SECRET_KEY = Setting::secret("CLERK_SECRET_KEY", "sk_…",
        "Secret key of the Clerk instance; for comparing users with Clerk's, and signing in as them");
    API_URL = Setting::new("CLERK_API_URL", "api-url", "URL",
        "Where Clerk's Backend API is").or("https://api.clerk.com");
    AUTHORIZED_PARTIES = Setting::new("CLERK_AUTHORIZED_PARTIES", "authorized-parties", "ORIGINS",
        "Origins a token may come from (azp), separated by commas; checked when the token names one");
    REQUIRE_AZP = Setting::new("ROLLBOOK_REQUIRE_AZP", "require-azp", "true|false",
        "Whether a token that names no origin is rejected").or("false");
    AUDIENCE = Setting::new("CLERK_AUDIENCE", "audience", "NAMES",
        "Names of this service, separated by commas; a token with an audience (aud) must name one of them");
    INSTANCE_ID = Setting::new("CLERK_INSTANCE_ID", "instance-id", "ins_…",
        "The only Clerk instance whose events are applied; otherwise that of the first event");
    LISTEN = Setting::new("ROLLBOOK_LISTEN", "listen", "ADDRESS:PORT",
        "Where to listen; port 0 takes a free one").or("127.0.0.1:8080").everywhere();
    TLS_CERT = Setting::new("ROLLBOOK_TLS_CERT", "tls-cert", "FILE",
        "The certificate to speak HTTPS with, in PEM, followed by its chain; taken anew when the file changes").everywhere();
    TLS_KEY = Setting::new("ROLLBOOK_TLS_KEY", "tls-key", "FILE",
        "Its key, in PEM").everywhere();
    DATA = Setting::new("ROLLBOOK_DATA", "data", "FILE",
        "The data file").or("rollbook.redb").everywhere();
    CACHE_MB = Setting::new("ROLLBOOK_CACHE_MB", "cache-mb", "MB",
        "Memory for the data file's cache, in MiB, 1 to 65536").or("64").everywhere();
    PUBLIC_URL = Setting::new("ROLLBOOK_PUBLIC_URL", "public-url", "URL",
        "How browsers reach Rollbook; otherwise the address it listens on").everywhere();
    LOG = Setting::new("ROLLBOOK_LOG", "log", "LEVEL",
        "Log level (error, warn, info, debug, trace or off), also per module: warn,rollbook=debug").or("info").everywhere();
    LOG_FORMAT = Setting::new("ROLLBOOK_LOG_FORMAT", "log-format", "json|text",
        "Form of the log; otherwise text on a terminal and json elsewhere").everywhere();
    DELETE = Setting::new("ROLLBOOK_DELETE", "delete", "soft|hard",
        "Whether the record of a deleted user is kept (soft) or removed (hard)").or("soft");
    PROVISION = Setting::new("ROLLBOOK_PROVISION", "provision", "on|off",
        "Whether a valid token of a user not yet synced creates the user").or("on");
    HISTORY = Setting::new("ROLLBOOK_HISTORY", "history", "full|fields",
        "Whether the log keeps old and new values (in its erasable part) or only the names of fields").or("full");
    IMPERSONATION = Setting::new("ROLLBOOK_IMPERSONATION", "impersonation", "allow|deny",
        "Whether an impersonated session may use the API").or("allow");
    PUBLIC_LOG = Setting::new("ROLLBOOK_PUBLIC_LOG", "public-log", "true|false",
        "Whether anybody, not only admins, may read /log (it names nobody)").or("false");
    TRUSTED_PROXIES = Setting::new("ROLLBOOK_TRUSTED_PROXIES", "trusted-proxies", "CIDRS",
        "Proxies whose X-Forwarded-For counts, separated by commas");
    CORS_ORIGINS = Setting::new("ROLLBOOK_CORS_ORIGINS", "cors-origins", "ORIGINS",
        "Origins whose pages may call the API from a browser, separated by commas; no others may");
    CORS_HEADERS = Setting::new("ROLLBOOK_CORS_HEADERS", "cors-headers", "NAMES",
        "Request headers that these pages may send").or("authorization,content-type,if-match,last-event-id");
    CORS_CREDENTIALS = Setting::new("ROLLBOOK_CORS_CREDENTIALS", "cors-credentials", "true|false",
        "Whether browsers may let these pages send credentials of their own; session tokens do not need this").or("false");
    CORS_MAX_AGE = Setting::new("ROLLBOOK_CORS_MAX_AGE", "cors-max-age", "SECONDS",
        "How long browsers may remember what these pages may do, 0 to 86400").or("600");
    RATE_ADDRESS = Setting::new("ROLLBOOK_RATE_ADDRESS", "rate-address", "NUMBER|off",
        "Requests a second from one address, 1 to 100000; by default those from this machine are not limited").or("50");
    RATE_TOKEN = Setting::new("ROLLBOOK_RATE_TOKEN", "rate-token", "NUMBER|off",
        "The same for one session or API key").or("50");
    METRICS_LISTEN = Setting::new("ROLLBOOK_METRICS_LISTEN", "metrics-listen", "ADDRESS:PORT",
        "Another address for /metrics and /health alone, which anybody may read there; port 0 takes a free one");
    TLS_REDIRECT_LISTEN = Setting::new("ROLLBOOK_TLS_REDIRECT_LISTEN", "tls-redirect-listen", "ADDRESS:PORT",
        "Another address for plain HTTP, which is sent on to HTTPS; port 0 takes a free one");
    SYNC_INTERVAL = Setting::new("ROLLBOOK_SYNC_INTERVAL", "sync-interval", "HOURS|off",
        "How often all users are compared with Clerk's, 1 to 168 hours; needs the secret key").or("24");
    FORWARD_URL = Setting::new("ROLLBOOK_FORWARD_URL", "forward-url", "URL",
        "A service that is told of everything that happens (a target); the admin page can add more");
    FORWARD_KIND = Setting::new("ROLLBOOK_FORWARD_KIND", "forward-kind", "events|api",
        "Whether it is sent the events, or called to create, update and delete users").or("events");
    FORWARD_SECRET = Setting::secret("ROLLBOOK_FORWARD_SECRET", "whsec_…",
        "Secret that calls to it are signed with, of your own making; needed with the URL");
    FORWARD_TYPES = Setting::new("ROLLBOOK_FORWARD_TYPES", "forward-types", "TYPES",
        "The only events it is told, such as user.*,session.created, separated by commas");
    FORWARD_BEARER = Setting::new("ROLLBOOK_FORWARD_BEARER", "forward-bearer", "true|false",
        "Whether calls carry a session token of the user, made by Clerk; needs the secret key").or("false");
    FORWARD_PRIVATE = Setting::new("ROLLBOOK_FORWARD_PRIVATE", "forward-private", "CIDRS",
        "Private networks that targets may be in, separated by commas; otherwise on the internet alone, by https");
    BACKUP_DIR = Setting::new("ROLLBOOK_BACKUP_DIR", "backup-dir", "FOLDER",
        "Folder for backups; without it none are made but by `rollbook backup DEST`");
    BACKUP_INTERVAL = Setting::new("ROLLBOOK_BACKUP_INTERVAL", "backup-interval", "HOURS|off",
        "Hours from one backup to the next, 1 to 8760; off leaves them to you").or("24");
    BACKUP_KEEP = Setting::new("ROLLBOOK_BACKUP_KEEP", "backup-keep", "NUMBER|off",
        "How many backups to keep, 1 to 100000; the oldest go once a newer one is proved").or("7");
}

/// One warning for every name in `names` that begins with `ROLLBOOK_` and is no setting: a misspelt
/// setting is one that is silently not in force.
pub(super) fn unknown<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut unknown: Vec<&str> = names
        .into_iter()
        .filter(|name| name.starts_with("ROLLBOOK_") && !SETTINGS.iter().any(|setting| setting.name == *name))
        .collect();
    unknown.sort_unstable();
    unknown.dedup();
    let warning = |name| format!("{name} is not a setting; it has no effect (`rollbook serve --help` lists them)");
    unknown.into_iter().map(warning).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_nothing_twice() {
        let mut names: Vec<_> = SETTINGS.iter().flat_map(|s| [Some(s.name), s.also, s.flag]).flatten().collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn each_has_a_heading() {
        assert!(SETTINGS.iter().all(|setting| setting.heading() != "Other"));
        assert!(HEADINGS.iter().all(|(_, heading)| *heading != "Other"));
    }

    #[test]
    fn what_has_no_effect_is_said() {
        let warnings = unknown(["ROLLBOOK_LISTEN", "PATH", "ROLLBOOK_LISTNE", "ROLLBOOK_TLS_CERTS", "ROLLBOOK_LISTNE"]);
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].starts_with("ROLLBOOK_LISTNE is not a setting;"), "{warnings:?}");
        assert!(warnings[1].starts_with("ROLLBOOK_TLS_CERTS is not a setting;"), "{warnings:?}");
    }
}
