//! Reads settings one by one and remembers what is wrong with them.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::audit::feed::BadTypes;
use crate::log;
use crate::target::Kind;

use super::settings::{self as names, Setting};
use super::url::{self, Origin};
use super::value::{self, Parsed};
use super::{Backend, Backups, Cors, Fault, Faults, Forward, Keys, Local, Rate, Secret, Tls, TokenSource};

/// The largest file a secret is read from, in bytes.
const MAX_FILE: u64 = 64 * 1024;

/// Reads settings. `None` means that a setting is not set or that its fault has been noted.
pub(super) struct Reader<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
    faults: RefCell<Vec<Fault>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(get: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { get, faults: RefCell::default() }
    }

    /// What was read, if nothing is wrong.
    pub(super) fn finish<T>(self, read: impl FnOnce() -> Option<T>) -> Result<T, Faults> {
        match read() {
            Some(read) if self.faults.borrow().is_empty() => Ok(read),
            _ => Err(Faults(self.faults.into_inner())),
        }
    }

    /// The settings that every command has.
    pub(super) fn local(&self) -> Option<Local> {
        let listen = self.value(&names::LISTEN, value::listen);
        let data = self.value(&names::DATA, |path| Ok(PathBuf::from(path)));
        let cache = self.value(&names::CACHE_MB, value::mebibytes);
        let public_url = self.value(&names::PUBLIC_URL, Origin::parse);
        let tls = self.tls(public_url.as_ref());
        let log = self.value(&names::LOG, |text| text.parse().map_err(|error: log::BadFilter| error.to_string()));
        let log_format = self.choice(&names::LOG_FORMAT, [log::Format::Json, log::Format::Text]);
        Some(Local { data: data?, cache: cache?, listen: listen?, public_url, tls, log: log?, log_format })
    }

    /// What HTTPS is spoken with, if it is: both files or none.
    fn tls(&self, public_url: Option<&Origin>) -> Option<Tls> {
        let path = |setting| self.value(setting, value::path_of_pem);
        match (path(&names::TLS_CERT), path(&names::TLS_KEY)) {
            (Some(certificate), Some(key)) => {
                if public_url.is_some_and(|url| !url.is_https()) {
                    self.fault(
                        names::PUBLIC_URL.name,
                        "must begin with https://: with ROLLBOOK_TLS_CERT, Rollbook answers to nothing else",
                    );
                }
                Some(Tls { certificate, key })
            }
            (Some(_), None) if !self.is_set(&names::TLS_KEY) => {
                self.fault(names::TLS_KEY.name, "set it too: the file with the key of ROLLBOOK_TLS_CERT");
                None
            }
            (None, Some(_)) if !self.is_set(&names::TLS_CERT) => {
                self.fault(names::TLS_CERT.name, "set it too: the file with the certificate of ROLLBOOK_TLS_KEY");
                None
            }
            _ => None,
        }
    }

    /// Where plain HTTP is sent on from.
    pub(super) fn redirect(&self) -> Option<SocketAddr> {
        let listen = self.value(&names::TLS_REDIRECT_LISTEN, value::listen)?;
        if !self.is_set(&names::TLS_CERT) && !self.is_set(&names::TLS_KEY) {
            self.fault(
                names::TLS_REDIRECT_LISTEN.name,
                "set ROLLBOOK_TLS_CERT and ROLLBOOK_TLS_KEY too: it sends on to the HTTPS that they are for",
            );
        }
        Some(listen)
    }

    /// The signing secrets; that there are some is required.
    pub(super) fn signing_secrets(&self) -> Vec<Secret> {
        let setting = &names::SIGNING_SECRET;
        let faults = self.faults.borrow().len();
        let secrets = self
            .secret(setting, |text| value::list(text, value::signing_secret).map(|_| text.to_owned()))
            .map(|text| value::items(&text).map(|item| Secret::new(item.to_owned())).collect::<Vec<_>>())
            .unwrap_or_default();
        if secrets.is_empty() && self.faults.borrow().len() == faults {
            self.fault(
                setting.name,
                "set it to the signing secret of the webhook endpoint (whsec_…; Clerk dashboard, Webhooks), \
                 or CLERK_WEBHOOK_SIGNING_SECRET_FILE to a file that holds it",
            );
        }
        secrets
    }

    /// How session tokens are verified; that there is a way is required.
    pub(super) fn tokens(&self) -> Option<TokenSource> {
        let is_set = |setting| self.is_set(setting);
        let of_key = self.value(&names::PUBLISHABLE_KEY, value::issuer_of);
        let pem = self.secret(&names::JWT_KEY, value::public_key);
        let issuer = self.value(&names::ISSUER, url::remote);
        let jwks_url = self.value(&names::JWKS_URL, url::remote);
        let has_keys = is_set(&names::JWT_KEY) || is_set(&names::JWKS_URL);
        if !is_set(&names::PUBLISHABLE_KEY) && !is_set(&names::ISSUER) {
            if has_keys {
                self.fault(names::ISSUER.name, "set it too (or CLERK_PUBLISHABLE_KEY, which names the issuer): keys alone do not say whose tokens to accept");
            } else {
                self.fault(names::PUBLISHABLE_KEY.name, "set it, so that session tokens can be verified (pk_…; Clerk dashboard, API keys); or set CLERK_ISSUER");
            }
        }
        let issuer = issuer.or(of_key)?;
        let keys = match pem {
            Some(pem) => Keys::Pem(Secret::new(pem)),
            None => Keys::Remote(jwks_url.unwrap_or_else(|| format!("{issuer}/.well-known/jwks.json"))),
        };
        Some(TokenSource { issuer, keys })
    }

    /// How Clerk's Backend API is called, if it is.
    pub(super) fn backend(&self) -> Option<Backend> {
        let key = self.secret(&names::SECRET_KEY, value::secret_key);
        let url = self.value(&names::API_URL, url::remote);
        let published = self.text(names::PUBLISHABLE_KEY.name).unwrap_or_default();
        let kinds = key.as_deref().and_then(value::kind_of_key).zip(value::kind_of_key(&published));
        if let Some((ours, theirs)) = kinds.filter(|(ours, theirs)| ours != theirs) {
            self.fault(
                names::SECRET_KEY.name,
                format!("is of a {ours} instance, and CLERK_PUBLISHABLE_KEY of a {theirs} one; copy both from the same (Clerk dashboard, API keys)"),
            );
        }
        let key = key.map(Secret::new);
        Some(Backend { url: url?, key: key? })
    }

    /// The service that is told of what happens, if one is set.
    pub(super) fn forward(&self) -> Option<Forward> {
        let url = self.value(&names::FORWARD_URL, url::target);
        let kind = self.choice(&names::FORWARD_KIND, [Kind::Events, Kind::Api]);
        let secret = self.secret(&names::FORWARD_SECRET, value::target_secret);
        let types = self.value(&names::FORWARD_TYPES, |text| text.parse().map_err(|bad: BadTypes| bad.to_string()));
        let bearer = self.choice(&names::FORWARD_BEARER, [true, false]);
        let others = [&names::FORWARD_KIND, &names::FORWARD_SECRET, &names::FORWARD_TYPES, &names::FORWARD_BEARER];
        if let Some(other) = others.into_iter().find(|setting| self.is_set(setting))
            && !self.is_set(&names::FORWARD_URL)
        {
            self.fault(
                names::FORWARD_URL.name,
                format!("set it too: {} is about the target that it names", other.name),
            );
        }
        let url = url?;
        if secret.is_none() && !self.is_set(&names::FORWARD_SECRET) {
            self.fault(
                names::FORWARD_SECRET.name,
                "set it too: what is sent is signed with it, and the receiver checks that (whsec_ and 24 to 64 random bytes in base64)",
            );
        }
        let wants_key = bearer == Some(true) && !self.is_set(&names::SECRET_KEY);
        if bearer == Some(true) && kind == Some(Kind::Events) {
            self.fault(
                names::FORWARD_BEARER.name,
                "is for ROLLBOOK_FORWARD_KIND=api: only calls about users can carry their tokens",
            );
        } else if wants_key {
            self.fault(names::FORWARD_BEARER.name, "set CLERK_SECRET_KEY too: Clerk makes the tokens");
        }
        let secret = Secret::new(secret?);
        Some(Forward { url, kind: kind?, secret, types: types.unwrap_or_default(), bearer: bearer? })
    }

    /// Where backups are put, if anywhere.
    pub(super) fn backups(&self) -> Option<Backups> {
        let folder = self.value(&names::BACKUP_DIR, |path| Ok(PathBuf::from(path)));
        let interval = self.value(&names::BACKUP_INTERVAL, value::backup_hours);
        let keep = self.value(&names::BACKUP_KEEP, value::kept);
        if let Some(other) = [&names::BACKUP_INTERVAL, &names::BACKUP_KEEP].into_iter().find(|s| self.is_set(s))
            && !self.is_set(&names::BACKUP_DIR)
        {
            self.fault(names::BACKUP_DIR.name, format!("set it too: {} is about the folder that it names", other.name));
        }
        Some(Backups { folder: folder?, interval: interval?, keep: keep? })
    }

    /// Which pages may call the API.
    pub(super) fn cors(&self) -> Option<Cors> {
        let origins = self.list(&names::CORS_ORIGINS, value::cors_origin);
        let headers = self.list(&names::CORS_HEADERS, value::header);
        let credentials = self.choice(&names::CORS_CREDENTIALS, [true, false]);
        let max_age = self.value(&names::CORS_MAX_AGE, value::max_age);
        Some(Cors { origins, headers, credentials: credentials?, max_age: max_age? })
    }

    /// How often somebody may ask.
    pub(super) fn rate(&self, setting: &Setting) -> Option<Rate> {
        let is_set = self.text(setting.name).is_some();
        self.value(setting, value::rate).map(|per_second| Rate { per_second, is_set })
    }

    /// A setting, or its default.
    pub(super) fn value<T>(&self, setting: &Setting, parse: impl Fn(&str) -> Parsed<T>) -> Option<T> {
        let default = || Some(setting.default.to_owned()).filter(|text| !text.is_empty());
        let text = self.text(setting.name).or_else(default)?;
        self.noted(setting.name, utf8(&text).and_then(parse))
    }

    /// A setting that is a list; empty when it is not set.
    pub(super) fn list<T>(&self, setting: &Setting, item: impl Fn(&str) -> Parsed<T>) -> Vec<T> {
        self.value(setting, |text| value::list(text, &item)).unwrap_or_default()
    }

    /// A setting that is one of a few words, `values` being what they mean, in the order of the table.
    pub(super) fn choice<T: Copy, const N: usize>(&self, setting: &Setting, values: [T; N]) -> Option<T> {
        self.value(setting, |text| {
            let found = setting.value.split('|').zip(values).find(|(word, _)| *word == text);
            found.map(|(_, value)| value).ok_or_else(|| format!("must be {}", setting.value.replace('|', " or ")))
        })
    }

    /// A secret, from its variable or from the file that another variable names.
    fn secret<T>(&self, setting: &Setting, parse: impl Fn(&str) -> Parsed<T>) -> Option<T> {
        let names = [Some(setting.name), setting.also].into_iter().flatten();
        let mut set = names
            .flat_map(|name| [(name.to_owned(), false), (format!("{name}_FILE"), true)])
            .filter_map(|(name, is_file)| self.text(&name).map(|text| (name, is_file, text)));
        let (name, is_file, text) = set.next()?;
        if let Some((other, ..)) = set.next() {
            self.fault(&name, format!("{other} is set too; set only one of the two"));
            return None;
        }
        let content = if is_file { self.noted(&name, contents(&text, |text| parse(text).is_ok()))? } else { text };
        self.noted(&name, utf8(&content).and_then(&parse))
    }

    fn is_set(&self, setting: &Setting) -> bool {
        let file = || self.text(&format!("{}_FILE", setting.name));
        self.text(setting.name).is_some() || (setting.is_secret() && file().is_some())
    }

    fn text(&self, name: &str) -> Option<String> {
        (self.get)(name).filter(|text| !text.is_empty())
    }

    fn noted<T>(&self, name: &str, value: Parsed<T>) -> Option<T> {
        value.map_err(|text| self.fault(name, text)).ok()
    }

    fn fault(&self, name: &str, text: impl Into<String>) {
        self.faults.borrow_mut().push(Fault::new(name, text));
    }
}

/// The text, unless it stands for bytes that were none: that mark is put by [`super::Sources`].
fn utf8(text: &str) -> Parsed<&str> {
    if text.contains('\u{fffd}') { Err("holds bytes that are not UTF-8".into()) } else { Ok(text) }
}

/// What the file at `path` holds, without the line end behind it. `is_secret` tells whether somebody
/// wrote the secret where its file's path belongs, which then must not be shown.
fn contents(path: &str, is_secret: impl Fn(&str) -> bool) -> Parsed<String> {
    if is_secret(path) || path.starts_with("whsec_") || path.starts_with("sk_") || path.contains("-----") {
        return Err("holds the secret itself; the path of a file that holds it belongs here".into());
    }
    let read = || -> io::Result<String> {
        let mut text = String::new();
        File::open(path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
        Ok(text)
    };
    match read() {
        Err(error) => Err(format!("{path} cannot be read: {error}")),
        Ok(text) if text.len() as u64 > MAX_FILE => Err(format!("{path} is larger than any secret")),
        Ok(text) if text.trim().is_empty() => Err(format!("{path} is empty")),
        Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
    }
}
