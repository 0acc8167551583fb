//! Sending events the way Clerk does: signed by Svix's rules, to a webhook endpoint, following no redirect.

use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use serde_json::{Value, json};
use svix::webhooks::Webhook;

use super::http::server_time;
use crate::clock::{Clock, Timestamp};

/// Where Rollbook takes webhooks.
const PATH: &str = "/api/webhooks/clerk";
/// How long Svix waits for an answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// As much of an answer as Svix keeps, in bytes.
const LONGEST_ANSWER: usize = 20_000;

/// Sends signed events to one endpoint.
#[derive(Debug)]
pub struct Sender {
    // Its Debug form shows no key.
    signer: Arc<Webhook>,
    http: Client,
    url: Url,
}

/// What the endpoint said.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, cut off after 20,000 bytes.
    pub body: String,
    /// The time on the server's clock, in whole seconds, if it told.
    pub server_time: Option<Timestamp>,
}

/// Why an event could not be sent, or had no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The secret is not one of Svix's.
    #[error("the signing secret is not of the form whsec_… (base64)")]
    BadSecret,
    /// The address is none.
    #[error("{0:?} is not an http:// or https:// address")]
    BadUrl(String),
    /// Nobody listens there.
    #[error("nothing listens at {0}: start the server with `rollbook serve`, or give its address with --url")]
    Refused(Url),
    /// No connection came about for another reason.
    #[error("no connection to {0}: {1}")]
    Unreachable(Url, String),
    /// The system gives no random numbers for the message's id.
    #[error("no randomness for the message's id")]
    NoRandomness,
    /// The answer did not come in time.
    #[error("{0} did not answer within 15 seconds")]
    TooSlow(Url),
    /// The connection broke, or what came back was not HTTP.
    #[error("no answer from {0}: {1}")]
    Broken(Url, String),
}

impl Sender {
    /// Signs with `secret` and sends to `url`: to the path Rollbook takes webhooks at, unless `url` has one.
    ///
    /// # Errors
    /// When the secret or the address is not one.
    pub fn new(secret: &str, url: &str) -> Result<Self, Error> {
        let signer = Arc::new(Webhook::new(secret.trim()).map_err(|_| Error::BadSecret)?);
        let url = endpoint(url)?;
        let is_near = is_loopback(&url);
        Self::with(signer, url, is_near)
    }

    /// The same to our own server at its address: see [`probe_own`].
    ///
    /// # Errors
    /// As [`Sender::new`].
    pub fn to_own(secret: &str, url: &str) -> Result<Self, Error> {
        let signer = Arc::new(Webhook::new(secret.trim()).map_err(|_| Error::BadSecret)?);
        Self::with(signer, endpoint(url)?, true)
    }

    /// Sends to the server itself, past every proxy.
    pub(super) fn to_itself(signer: Arc<Webhook>, address: SocketAddr, is_tls: bool) -> Result<Self, Error> {
        let scheme = if is_tls { "https" } else { "http" };
        Self::with(signer, endpoint(&format!("{scheme}://{address}"))?, true)
    }

    fn with(signer: Arc<Webhook>, url: Url, is_near: bool) -> Result<Self, Error> {
        let http = client(&url, is_near).map_err(|e| Error::Broken(url.clone(), root_cause(&e)))?;
        Ok(Self { signer, http, url })
    }

    /// Where events go.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Sends one event as the message `id`, signed at `at`.
    ///
    /// # Errors
    /// When no answer came. An answer that refuses the event is an [`Answer`].
    pub async fn send(&self, id: &str, at: Timestamp, event: &Value) -> Result<Answer, Error> {
        let body = event.to_string();
        let seconds = at.as_seconds();
        // Signing fails on bodies that are not UTF-8 only.
        let signature = self.signer.sign(id, seconds, body.as_bytes()).map_err(|_| Error::BadSecret)?;
        let sent = self.http.post(self.url.clone()).header(CONTENT_TYPE, "application/json").header("svix-id", id);
        let sent = sent.header("svix-timestamp", seconds).header("svix-signature", signature).body(body).send();
        let mut response = sent.await.map_err(|e| self.failure(&e))?;
        let (status, server_time) = (response.status().as_u16(), server_time(&response));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.failure(&e))? {
            body.extend_from_slice(&chunk);
            if body.len() >= LONGEST_ANSWER {
                body.truncate(LONGEST_ANSWER);
                break;
            }
        }
        Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned(), server_time })
    }

    /// Sends a test of Rollbook's own, of the type `rollbook.{name}`: it is recorded, and changes nothing.
    ///
    /// # Errors
    /// As [`Sender::send`]; and without randomness for its id.
    pub async fn test(&self, name: &str) -> Result<Answer, Error> {
        let mut noise = [0; 8];
        getrandom::fill(&mut noise).map_err(|_| Error::NoRandomness)?;
        let id = format!("msg_{name}_{:016x}", u64::from_be_bytes(noise));
        // Svix's verifier knows the system's clock alone.
        let now = Clock::system().now();
        let event = json!({
            "type": format!("rollbook.{name}"), "object": "event", "timestamp": now.as_millis(), "data": {},
        });
        self.send(&id, now, &event).await
    }

    fn failure(&self, error: &reqwest::Error) -> Error {
        let url = self.url.clone();
        if error.is_timeout() {
            Error::TooSlow(url)
        } else if is_refused(error) {
            Error::Refused(url)
        } else if error.is_connect() {
            Error::Unreachable(url, root_cause(error))
        } else {
            Error::Broken(url, root_cause(error))
        }
    }
}

/// What a server says to a plain `GET` of `url`; the body is not read.
///
/// # Errors
/// When the address is none, or no answer came.
pub async fn probe(url: &str) -> Result<Answer, Error> {
    let url: Url = url.parse().map_err(|_| Error::BadUrl(url.to_owned()))?;
    let is_near = is_loopback(&url);
    ask(url, is_near).await
}

/// The same of our own server, at the address that it told us itself or would listen on. That is none of the names in its
/// certificate, which is not looked at: over plain http nobody would show one either.
///
/// # Errors
/// As [`probe`].
pub async fn probe_own(url: &str) -> Result<Answer, Error> {
    ask(url.parse().map_err(|_| Error::BadUrl(url.to_owned()))?, true).await
}

async fn ask(url: Url, is_near: bool) -> Result<Answer, Error> {
    let failed = |error: reqwest::Error| {
        if is_refused(&error) {
            Error::Refused(url.clone())
        } else {
            Error::Unreachable(url.clone(), root_cause(&error))
        }
    };
    let answer = client(&url, is_near).map_err(failed)?.get(url.clone()).send().await.map_err(failed)?;
    Ok(Answer { status: answer.status().as_u16(), body: String::new(), server_time: server_time(&answer) })
}

fn client(url: &Url, is_near: bool) -> reqwest::Result<Client> {
    let mut http = Client::builder().redirect(Policy::none()).timeout(PATIENCE);
    if is_near {
        // A proxy for the outside world would look for the server on its own machine.
        // And no name in a certificate is that of a machine to itself.
        http = http.no_proxy().tls_danger_accept_invalid_certs(true);
    }
    if url.scheme() == "http" {
        // Plain http needs no certificates, and a container may have none.
        http = http.tls_certs_only([]);
    }
    http.build()
}

fn endpoint(text: &str) -> Result<Url, Error> {
    let bad = || Error::BadUrl(text.to_owned());
    let mut url = Url::parse(text.trim()).map_err(|_| bad())?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(bad());
    }
    if url.path() == "/" {
        url.set_path(PATH);
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

pub(super) fn is_refused(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The innermost cause: the outer ones only repeat the address.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use reqwest::header::{HeaderMap, HeaderName};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::JoinHandle;

    use super::*;

    const SECRET: &str = "whsec_YSBzZWNyZXQgZm9yIHRoZSBzZW5kZXIgdGVzdA==";

    /// Reads one request: its head and its body.
    async fn request(stream: &mut TcpStream) -> (String, String) {
        let mut read = String::new();
        let mut buffer = [0; 4096];
        loop {
            let n = stream.read(&mut buffer).await.unwrap();
            read.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
            let Some((head, body)) = read.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if body.len() == length.parse::<usize>().unwrap() {
                return (head.to_owned(), body.to_owned());
            }
        }
    }

    /// A sender, and a server that gives one answer and returns the request.
    async fn pair(answer: &'static str) -> (Sender, JoinHandle<(String, String)>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sender = Sender::new(SECRET, &format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = request(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
            request
        });
        (sender, server)
    }

    #[tokio::test]
    async fn follows_no_redirect() {
        let (sender, _server) =
            pair("HTTP/1.1 307 X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(sender.send("msg_1", Clock::system().now(), &json!({})).await.unwrap().status, 307);
    }

    #[tokio::test]
    async fn svix_accepts_what_is_sent() {
        let answer = "HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\ncontent-length: 2\r\n\r\n{}";
        let (sender, server) = pair(answer).await;
        let answer = sender.send("msg_1", Clock::system().now(), &json!({ "a": "ü" })).await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "{}"));
        assert_eq!(answer.server_time, Some(Timestamp::from_millis(784_111_777_000)));

        let (head, body) = server.await.unwrap();
        assert!(head.starts_with("POST /api/webhooks/clerk HTTP/1.1\r\n"), "{head}");
        let pairs = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let headers: HeaderMap =
            pairs.map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())).collect();
        assert_eq!(headers["svix-id"], "msg_1");
        Webhook::new(SECRET).unwrap().verify(body.as_bytes(), &headers).unwrap();
        assert_eq!(body, r#"{"a":"ü"}"#);
    }

    #[tokio::test]
    async fn says_when_nothing_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let sender = Sender::new(SECRET, &format!("http://{address}")).unwrap();
        let error = sender.send("msg_1", Clock::system().now(), &json!({})).await.unwrap_err();
        assert!(matches!(error, Error::Refused(_)), "{error}");
    }

    #[test]
    fn addresses_get_the_path_they_lack() {
        for (given, taken) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/api/webhooks/clerk"),
            ("https://roll.example.org/", "https://roll.example.org/api/webhooks/clerk"),
            (" http://[::1]:1/api/webhooks ", "http://[::1]:1/api/webhooks"),
        ] {
            assert_eq!(Sender::new(SECRET, given).unwrap().url(), taken);
        }
        for bad in ["", "127.0.0.1:8080", "localhost:8080", "ftp://example.org", "http://"] {
            assert!(matches!(Sender::new(SECRET, bad), Err(Error::BadUrl(_))), "{bad}");
        }
        assert!(
            is_loopback(&endpoint("http://[::1]:1").unwrap()) && is_loopback(&endpoint("http://localhost").unwrap())
        );
        assert!(!is_loopback(&endpoint("http://localhost.example.org").unwrap()));
    }

    #[test]
    fn no_secret_is_shown() {
        let secret = "whsec_YSBzZWNyZXQgZm9yIHRoZSBzZW5kZXIgdGVzdA";
        assert!(matches!(Sender::new(&format!("{secret}!"), "http://a"), Err(Error::BadSecret)));
        let shown = format!("{:?} {}", Sender::new(SECRET, "http://a").unwrap(), Error::BadSecret);
        assert!(!shown.contains("YSBzZWNyZXQ") && !shown.contains("97, 32, 115"), "{shown}");
    }
}
