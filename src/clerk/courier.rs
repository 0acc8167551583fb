//! Calls to the services that are told of what happens: where they may lead, how they are signed, and what comes back. A
//! call follows no redirect and uses no proxy; where its name leads is looked at each time a connection is made.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Method, Response};
use svix::webhooks::Webhook;
use url::Host;

use super::http::{self, Url, is_off_limits, is_public};
use super::sender::is_refused;
use crate::clock::Timestamp;

/// How long a whole call may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// As much of an answer as is read, in bytes.
const LONGEST_ANSWER: usize = 64 * 1024;

/// As much of an answer as is shown, in characters.
const LONGEST_SAID: usize = 200;

/// So much of a bearer token, in bytes, is not shown in an answer either.
const TELLTALE: usize = 12;

/// Where a service is, and that it may be called there as far as the address itself shows it.
#[derive(Debug, Clone)]
pub struct Address {
    url: Url,
    private: Arc<[IpNet]>,
}

/// Why an address cannot be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// It is none, or one that two readers could take for two.
    #[error("the address must be an https or http URL with no user, query or fragment")]
    Malformed,
    /// It would be called in the clear.
    #[error("http is for private networks only (ROLLBOOK_FORWARD_PRIVATE); over the internet it has to be https")]
    Clear,
    /// It is a number of a network that is not allowed.
    #[error("the address is not on the internet, nor in a network that ROLLBOOK_FORWARD_PRIVATE names")]
    OffLimits,
}

/// Calls one service.
#[derive(Debug)]
pub struct Courier {
    client: Client,
    url: Url,
    // Their Debug form shows no key.
    signers: Vec<Webhook>,
}

/// What is done at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `POST`.
    Post,
    /// `PATCH`.
    Patch,
    /// `DELETE`.
    Delete,
}

/// Which names the headers of the signature have. Libraries of Svix read either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `webhook-…`, as Standard Webhooks has them.
    Standard,
    /// `svix-…`, as Clerk's own messages have them.
    Svix,
}

/// One call.
#[derive(Debug, Clone)]
pub struct Message {
    /// What is done.
    pub verb: Verb,
    /// To what below the address.
    pub path: Vec<String>,
    /// The names of the signature's headers.
    pub family: Family,
    /// What the call is known by, the same each time it is made.
    pub id: String,
    /// JSON.
    pub body: String,
    /// The session token it carries.
    pub bearer: Option<Bearer>,
}

/// A session token: it is not shown by `Debug`.
#[derive(Clone)]
pub struct Bearer(String);

impl Bearer {
    /// Takes a token out of sight.
    #[must_use]
    pub const fn new(token: String) -> Self {
        Self(token)
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer([redacted])")
    }
}

/// What the service said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// How long it asks to be left alone.
    pub wait: Option<Duration>,
    /// How its body begins, if that is text; nothing that was secret in the call.
    pub said: Option<String>,
}

/// Why there was no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The name leads to no address that may be called.
    #[error("its name leads to no address that may be called (ROLLBOOK_FORWARD_PRIVATE)")]
    OffLimits,
    /// Nobody listens there.
    #[error("nothing listens there")]
    Refused,
    /// No connection came about for another reason.
    #[error("it cannot be reached")]
    Unreachable,
    /// The connection broke, or what came back was not HTTP.
    #[error("the connection broke")]
    Broken,
    /// Nothing came in time.
    #[error("no answer within 15 seconds")]
    TooSlow,
}

/// Why a service cannot be called at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadCourier {
    /// The secret is not one of Svix's.
    #[error("its secret is not of the form whsec_… (base64)")]
    Secret,
    /// The system has no certificates to check others by.
    #[error("no certificates found on this system (package ca-certificates)")]
    NoCertificates,
}

impl Address {
    /// Reads an address that is to be called on the internet, by https, or in one of the `private` networks.
    ///
    /// # Errors
    /// When it is none, or cannot be called whatever names lead to.
    pub fn parse(text: &str, private: &Arc<[IpNet]>) -> Result<Self, BadAddress> {
        let plain = |url: &Url| {
            matches!(url.scheme(), "http" | "https")
                && url.username().is_empty()
                && url.password().is_none()
                && url.query().is_none()
                && url.fragment().is_none()
                && url.port() != Some(0)
        };
        let url: Url = text.parse().map_err(|_| BadAddress::Malformed)?;
        if !plain(&url) || text.contains(['\\', ' ', '\t', '\n', '\r']) {
            return Err(BadAddress::Malformed);
        }
        let address = Self { url, private: Arc::clone(private) };
        // A number is connected to without anybody being asked for it.
        let fits = match address.url.host() {
            Some(Host::Ipv4(ip)) => address.may_lead_to(ip.into()),
            Some(Host::Ipv6(ip)) => address.may_lead_to(ip.into()),
            Some(Host::Domain(_)) => address.is_https() || !private.is_empty(),
            None => return Err(BadAddress::Malformed),
        };
        match fits {
            true => Ok(address),
            false if address.is_https() || !matches!(address.url.host(), Some(Host::Domain(_))) => {
                Err(BadAddress::OffLimits)
            }
            false => Err(BadAddress::Clear),
        }
    }

    /// Reads an address that the operator wrote into the settings. A number, or `localhost`, says itself where it leads:
    /// whoever writes it there has said so.
    ///
    /// # Errors
    /// As [`Address::parse`].
    pub fn of_settings(text: &str, private: &Arc<[IpNet]>) -> Result<Self, BadAddress> {
        // Clouds keep their machines' own keys at such addresses: they are to be named as a network, knowingly.
        let is_local = |ip: &IpAddr| match ip {
            IpAddr::V4(ip) => ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        let here = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
        let said: Vec<IpAddr> = match text.parse::<Url>().ok().as_ref().and_then(Url::host) {
            Some(Host::Ipv4(ip)) => vec![ip.into()],
            Some(Host::Ipv6(ip)) => vec![IpAddr::from(ip).to_canonical()],
            Some(Host::Domain("localhost")) => here.to_vec(),
            _ => Vec::new(),
        };
        let private: Vec<IpNet> =
            private.iter().copied().chain(said.into_iter().filter(|ip| !is_local(ip)).map(IpNet::from)).collect();
        Self::parse(text, &private.into())
    }

    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    fn may_lead_to(&self, ip: IpAddr) -> bool {
        let inside = ip.to_canonical();
        self.private.iter().any(|network| network.contains(&inside)) || self.is_https() && is_public(ip)
    }
}

impl Courier {
    /// Calls that address, and signs with each of the secrets. Reads the system's certificates: blocks.
    ///
    /// # Errors
    /// When a secret is none, or there are no certificates.
    pub fn new<'a>(address: &Address, secrets: impl IntoIterator<Item = &'a str>) -> Result<Self, BadCourier> {
        let signers =
            secrets.into_iter().map(Webhook::new).collect::<Result<_, _>>().map_err(|_| BadCourier::Secret)?;
        let (allowed, is_https) = (address.clone(), address.is_https());
        let builder = http::builder(move |ip| allowed.may_lead_to(ip)).timeout(PATIENCE).pool_max_idle_per_host(1);
        let builder = if is_https { builder.https_only(true) } else { builder.tls_certs_only([]) };
        let client = builder.build().map_err(|_| BadCourier::NoCertificates)?;
        Ok(Self { client, url: address.url.clone(), signers })
    }

    /// Makes a call, signed at `at`.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn send(&self, message: &Message, at: Timestamp) -> Result<Answer, NoAnswer> {
        let mut url = self.url.clone();
        if !message.path.is_empty() {
            // Each part is escaped, so that an id cannot lead anywhere else, but for those that escaping leaves out.
            if message.path.iter().any(|part| matches!(part.as_str(), "" | "." | "..")) {
                return Err(NoAnswer::Unreachable);
            }
            url.path_segments_mut().map_err(|()| NoAnswer::Unreachable)?.pop_if_empty().extend(&message.path);
        }
        let method = match message.verb {
            Verb::Post => Method::POST,
            Verb::Patch => Method::PATCH,
            Verb::Delete => Method::DELETE,
        };
        let mut request = self.client.request(method, url).header(CONTENT_TYPE, "application/json");
        for (name, value) in self.signature(message, at) {
            request = request.header(name, value);
        }
        if let Some(Bearer(token)) = &message.bearer {
            request = request.bearer_auth(token);
        }
        let answer = request.body(message.body.clone()).send().await.map_err(|error| failure(&error))?;
        let (status, wait) = (answer.status().as_u16(), pause_asked_for(&answer, at));
        let body = beginning(answer).await;
        Ok(Answer { status, wait, said: said(&body, message.bearer.as_ref()) })
    }

    /// What a plain `GET` of the address is answered, to see whether it can be reached.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn knock(&self) -> Result<Answer, NoAnswer> {
        let answer = self.client.get(self.url.clone()).send().await.map_err(|error| failure(&error))?;
        Ok(Answer { status: answer.status().as_u16(), wait: None, said: None })
    }

    fn signature(&self, message: &Message, at: Timestamp) -> [(&'static str, String); 3] {
        let (seconds, body) = (at.as_seconds(), message.body.as_bytes());
        // Signing fails on bodies that are not UTF-8 only.
        let signatures = self.signers.iter().filter_map(|signer| signer.sign(&message.id, seconds, body).ok());
        let signatures = signatures.collect::<Vec<_>>().join(" ");
        let names = match message.family {
            Family::Standard => ["webhook-id", "webhook-timestamp", "webhook-signature"],
            Family::Svix => ["svix-id", "svix-timestamp", "svix-signature"],
        };
        let [id, timestamp, signature] = names;
        [(id, message.id.clone()), (timestamp, seconds.to_string()), (signature, signatures)]
    }
}

fn failure(error: &reqwest::Error) -> NoAnswer {
    match () {
        () if is_off_limits(error) => NoAnswer::OffLimits,
        () if is_refused(error) => NoAnswer::Refused,
        () if error.is_timeout() => NoAnswer::TooSlow,
        () if error.is_connect() => NoAnswer::Unreachable,
        () => NoAnswer::Broken,
    }
}

/// What `Retry-After` asks for: seconds or a date (RFC 9110 §10.2.3).
fn pause_asked_for(answer: &Response, now: Timestamp) -> Option<Duration> {
    let text = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = text.parse().ok().map(Duration::from_secs);
    seconds.or_else(|| {
        let until = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_millisecond();
        Some(Duration::from_millis(u64::try_from(until.saturating_sub(now.as_millis())).unwrap_or_default()))
    })
}

/// How the answer's body begins. What was done is known by its status, so that a body which breaks off is no failure.
async fn beginning(mut answer: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = answer.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() >= LONGEST_ANSWER {
            body.truncate(LONGEST_ANSWER);
            break;
        }
    }
    body
}

/// The first words of an answer for people to see. Nothing of it when it repeats the token that it was called with.
fn said(body: &[u8], bearer: Option<&Bearer>) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let said: String = words.collect::<Vec<_>>().join(" ").chars().take(LONGEST_SAID).collect();
    let repeats = |Bearer(token): &Bearer| {
        token.as_bytes().windows(TELLTALE).any(|part| said.as_bytes().windows(TELLTALE).any(|words| words == part))
    };
    (!said.is_empty() && !bearer.is_some_and(repeats)).then_some(said)
}
