//! One request as handlers see it: who called, with what, and what they may be told.

use std::net::IpAddr;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt as _};
use serde::de::DeserializeOwned;
use serde_json::Value;
use warp::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, USER_AGENT};
use warp::http::{HeaderMap, Method};
use warp::{Filter, Rejection};

use super::App;
use super::guard::{self, Peer};
use super::problem::{Kind, Problem};
use super::route::Parts;
use crate::json;

/// How long a body may take to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(10);

/// One request.
pub struct Call {
    /// The application.
    pub app: App,
    /// The method; `HEAD` comes as `GET`, the body of the reply is left out by the connection.
    pub method: Method,
    /// The headers.
    pub headers: HeaderMap,
    /// The caller's address: the peer's, or the one a trusted proxy vouches for.
    pub ip: IpAddr,
    /// The connection it came by.
    pub peer: Peer,
    /// Whether it was counted against the limit of its session or key: a stream checks them again and again.
    pub(super) is_counted: AtomicBool,
    parts: Parts,
    query: String,
    body: Pin<Box<dyn Stream<Item = Result<Bytes, warp::Error>> + Send + Sync>>,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Headers and query may hold tokens.
        f.debug_struct("Call").field("method", &self.method).field("ip", &self.ip).finish_non_exhaustive()
    }
}

/// Takes the rest of the request, whatever it is: what is wrong with it is for the handler to say.
pub fn call(app: &App) -> impl Filter<Extract = (Call,), Error = Rejection> + Clone + use<> {
    let app = app.clone();
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::method()
        .and(warp::header::headers_cloned())
        .and(warp::ext::get::<Peer>())
        .and(query)
        .and(warp::body::stream())
        .map(move |method: Method, headers: HeaderMap, peer: Peer, query, body| Call {
            method: if method == Method::HEAD { Method::GET } else { method },
            ip: guard::client_ip(&headers, peer, &app.settings.trusted_proxies),
            app: app.clone(),
            peer,
            is_counted: AtomicBool::new(false),
            headers,
            parts: Parts::new(),
            query,
            body: Box::pin(frames(body)),
        })
}

fn frames(
    body: impl Stream<Item = Result<impl Buf, warp::Error>> + Send + Sync,
) -> impl Stream<Item = Result<Bytes, warp::Error>> + Send + Sync {
    body.map(|frame| frame.map(|mut data| data.copy_to_bytes(data.remaining())))
}

impl Call {
    /// The same call, with what stands in its path where the route has a name.
    pub(super) fn at(self, parts: Parts) -> Self {
        Self { parts, ..self }
    }

    /// What stands in the path where the route says `{name}`, as a `T`.
    ///
    /// # Errors
    /// 404 when it cannot be one.
    pub fn part<T: FromStr>(&self, name: &str) -> Result<T, Problem> {
        let part = self.parts.iter().find(|(known, _)| *known == name);
        part.and_then(|(_, text)| text.parse().ok()).ok_or_else(Problem::not_found)
    }

    /// Refuses every method but `GET` (and so `HEAD`).
    ///
    /// # Errors
    /// 405 with the methods allowed.
    pub fn get_only(&self) -> Result<(), Problem> {
        if self.method == Method::GET { Ok(()) } else { Err(Problem::method_not_allowed("GET, HEAD")) }
    }

    /// The query as a `T`, which names every parameter the route knows.
    ///
    /// # Errors
    /// 400 for an unknown parameter, one that stands twice, or one with an impossible value.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        // The cause repeats what was sent, which may be a token or somebody's address: it stays out of the log.
        serde_urlencoded::from_str(&self.query).map_err(|_| {
            Problem::bad_request("A query parameter is missing, unknown, given twice or has an impossible value.")
        })
    }

    /// Refuses any query at all.
    ///
    /// # Errors
    /// 400 when there is one.
    pub fn no_query(&self) -> Result<(), Problem> {
        if self.query.is_empty() { Ok(()) } else { Err(Problem::bad_request("This path takes no query parameters.")) }
    }

    /// The caller's user agent, bounded; personal data.
    pub fn user_agent(&self) -> Option<String> {
        let text = self.headers.get(USER_AGENT)?.to_str().ok()?;
        Some(text.chars().take(256).collect())
    }

    /// The whole body, at most `limit` bytes of it.
    ///
    /// # Errors
    /// 415 when it is encoded, 413 when it is larger, 408 when it comes too slowly, 400 when it breaks off.
    pub async fn body(&mut self, limit: usize) -> Result<Bytes, Problem> {
        if self.headers.contains_key(CONTENT_ENCODING) {
            return Err(Problem::new(Kind::UnsupportedMediaType, "The body must come without Content-Encoding."));
        }
        let read = async {
            let mut whole = Vec::new();
            while let Some(frame) = self.body.next().await {
                let frame = frame.map_err(|cause| Problem::bad_request("The body broke off.").because(cause))?;
                if whole.len() + frame.len() > limit {
                    return Err(Problem::new(Kind::TooLarge, "The body is larger than this path takes."));
                }
                whole.extend_from_slice(&frame);
            }
            Ok(Bytes::from(whole))
        };
        let late = Problem::new(Kind::Timeout, "The body took too long to arrive.");
        tokio::time::timeout(BODY_DEADLINE, read).await.unwrap_or(Err(late))
    }

    /// The body as a `T`, which names every member the route knows; `wrong` says what it should be.
    ///
    /// # Errors
    /// Those of [`Call::body`]; 415 for another type than JSON, 400 for unknown, doubled, missing or impossible members.
    pub async fn json<T: DeserializeOwned>(&mut self, limit: usize, wrong: &'static str) -> Result<T, Problem> {
        self.says_json()?;
        let body = self.body(limit).await?;
        read(&body).ok_or_else(|| Problem::bad_request(wrong))
    }

    /// The same, where there need not be a body.
    ///
    /// # Errors
    /// Those of [`Call::json`].
    pub async fn maybe_json<T: DeserializeOwned>(
        &mut self,
        limit: usize,
        wrong: &'static str,
    ) -> Result<Option<T>, Problem> {
        let body = self.body(limit).await?;
        if body.is_empty() {
            return Ok(None);
        }
        self.says_json()?;
        read(&body).map(Some).ok_or_else(|| Problem::bad_request(wrong))
    }

    fn says_json(&self) -> Result<(), Problem> {
        let kind = self.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
            return Ok(());
        }
        Err(Problem::new(Kind::UnsupportedMediaType, "The body must be JSON, with Content-Type: application/json."))
    }

    /// What stands in the `Authorization` header, if there is one: a session token or an API key.
    ///
    /// # Errors
    /// 401 when there are two, or it is of another scheme than `Bearer`.
    pub(super) fn bearer(&self) -> Result<Option<&str>, Problem> {
        let mut values = self.headers.get_all(AUTHORIZATION).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => bearer(value).map(Some).ok_or_else(|| self.unauthenticated("not_bearer")),
            (Some(_), Some(_)) => Err(self.unauthenticated("two_tokens")),
        }
    }

    /// Counts that the caller did not prove who they are.
    pub(super) fn unauthenticated(&self, reason: &'static str) -> Problem {
        self.app.tally.refused("api.unauthenticated", reason);
        Problem::unauthorized().because(reason)
    }
}

/// The object in a body as a `T`. An array would be read as the members in their order. The cause of a failure repeats what
/// was sent, which may be somebody's address: it stays out of the log.
fn read<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    let object = json::parse_strict(std::str::from_utf8(body).ok()?).ok().filter(Value::is_object)?;
    serde_json::from_value(whole(object)).ok()
}

/// The same value, with whole numbers written as such: `2.0` is 2 to whoever sends it, but no number to a reader of
/// integers.
fn whole(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => {
            let number = Value::Number(number);
            json::whole_number(&number).map_or(number, Value::from)
        }
        Value::Array(items) => items.into_iter().map(whole).collect(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, whole(value))).collect(),
        other => other,
    }
}

/// The token of a `Bearer` header; the scheme's case does not matter (RFC 9110 §11.1).
fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
