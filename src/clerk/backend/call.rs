//! One request and its answer: how long it may take, what is tried again and when, and what an answer means.

use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Backend;
use crate::clerk::http::{is_off_limits, shortened};

/// The longest answer, in bytes: a page of 500 users with all the metadata they may have.
const LONGEST: usize = 64 << 20;

/// How long one try may take, when somebody waits for it.
const SHORT: Duration = Duration::from_secs(5);

/// How long one try may take, when nobody does.
const LONG: Duration = Duration::from_secs(30);

/// How often a request is made at most, when nobody waits for it.
const TRIES: u32 = 6;

/// The first pause between two tries. Each is twice as long as the one before, and shortened by chance.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause that is waited out; who asks for a longer one is asked another time.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// From here on it does not matter how long it is.
const HOUR: Duration = Duration::from_hours(1);

/// How long to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Somebody waits: one try of five seconds.
    Short,
    /// Nobody does: several tries, pauses between them, as long as the answers ask for.
    Long,
}

/// Why there is no answer to go by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// 401: the key is none of the instance's.
    #[error("Clerk refuses the secret key; take another from the dashboard (CLERK_SECRET_KEY)")]
    Key,
    /// 404.
    #[error("Clerk has no such thing")]
    NotFound,
    /// 429, still.
    #[error("Clerk asks for fewer requests; try again in {}", in_words(*.0))]
    Limited(Duration),
    /// Another refusal, with Clerk's word for it.
    #[error("Clerk refuses with {status}: {code}")]
    Refused {
        /// The status.
        status: u16,
        /// `errors[0].code`.
        code: String,
    },
    /// 5xx, still.
    #[error("Clerk is out of order and answers {0}")]
    Broken(u16),
    /// No connection, or a broken one.
    #[error("Clerk's API cannot be reached")]
    Unreachable,
    /// No whole answer in time.
    #[error("Clerk's API does not answer in time")]
    TooSlow,
    /// The host's name leads to private addresses only.
    #[error("the host of CLERK_API_URL has no public address")]
    NotPublic,
    /// The system has no certificates to check the API's own by.
    #[error("no certificates found on this system (package ca-certificates)")]
    NoCertificates,
    /// An answer that is not what the API is documented to give.
    #[error("Clerk's API gave an answer that cannot be read")]
    Unreadable,
}

impl Error {
    /// Whether the same request may be answered another time.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Limited(_) | Self::Broken(_) | Self::Unreachable | Self::TooSlow)
    }

    /// The reason as one word.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Key => "key_refused",
            Self::NotFound => "not_found",
            Self::Limited(_) => "limited",
            Self::Refused { .. } => "refused",
            Self::Broken(_) => "broken",
            Self::Unreachable => "unreachable",
            Self::TooSlow => "timeout",
            Self::NotPublic => "not_public",
            Self::NoCertificates => "no_certificates",
            Self::Unreadable => "unreadable",
        }
    }
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<Fault>,
}

#[derive(Deserialize)]
struct Fault {
    code: String,
}

impl Backend {
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        patience: Patience,
    ) -> Result<T, Error> {
        self.call(Method::GET, path, query, None, patience).await
    }

    /// Asks, and asks again what may be asked again: reading always, anything else only when it was not taken.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
        patience: Patience,
    ) -> Result<T, Error> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..if patience == Patience::Long { TRIES } else { 1 } {
            let error = match self.attempt(&method, path, query, body, LONG).await {
                Err(error) if error.is_passing() => error,
                done => return done,
            };
            let wait = match error {
                Error::Limited(wait) if wait > LONGEST_PAUSE => return Err(Error::Limited(wait)),
                // Not all at once when the time is up, and not at once when none is given.
                Error::Limited(wait) => wait + shortened(FIRST_PAUSE),
                _ if method == Method::GET => shortened(pause),
                error => return Err(error),
            };
            tracing::info!(cause = error.as_str(), wait_ms = wait.as_millis(), "clerk.again");
            tokio::time::sleep(wait).await;
            pause *= 2;
        }
        let timeout = if patience == Patience::Long { LONG } else { SHORT };
        self.attempt(&method, path, query, body, timeout).await
    }

    async fn attempt<T: DeserializeOwned>(
        &self,
        method: &Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
        timeout: Duration,
    ) -> Result<T, Error> {
        // Each part is escaped, so that an id cannot lead anywhere else, but for those that escaping leaves out.
        if path.iter().any(|part| matches!(*part, "" | "." | "..")) {
            return Err(Error::NotFound);
        }
        let mut url = self.0.base.clone();
        url.path_segments_mut().map_err(|()| Error::Unreachable)?.pop_if_empty().extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.0.client().await?.request(method.clone(), url).headers(self.0.headers.clone());
        let request = body.iter().fold(request.timeout(timeout), reqwest::RequestBuilder::json);
        let answer = request.send().await.map_err(|error| failure(&error))?;
        let status = answer.status();
        let wait = pause_asked_for(&answer);
        let body = whole(answer).await?;
        match status {
            status if status.is_success() => serde_json::from_slice(&body).map_err(|_| Error::Unreadable),
            StatusCode::UNAUTHORIZED => Err(Error::Key),
            StatusCode::NOT_FOUND => Err(Error::NotFound),
            StatusCode::TOO_MANY_REQUESTS => Err(Error::Limited(wait)),
            status if status.is_server_error() => Err(Error::Broken(status.as_u16())),
            status => Err(Error::Refused { status: status.as_u16(), code: code(&body) }),
        }
    }
}

/// A wait, as far as anybody would wait.
fn in_words(wait: Duration) -> String {
    if wait < HOUR { format!("{} s", wait.as_secs().max(1)) } else { "an hour or more".to_owned() }
}

fn failure(error: &reqwest::Error) -> Error {
    match () {
        () if is_off_limits(error) => Error::NotPublic,
        () if error.is_timeout() => Error::TooSlow,
        () => Error::Unreachable,
    }
}

/// What `Retry-After` asks for, in seconds (RFC 9110 §10.2.3); Clerk sends no dates.
fn pause_asked_for(answer: &Response) -> Duration {
    let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    seconds.map_or(Duration::from_secs(1), Duration::from_secs)
}

async fn whole(mut answer: Response) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| failure(&error))? {
        if body.len() + chunk.len() > LONGEST {
            return Err(Error::Unreadable);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Clerk's word for what is wrong, if it looks like one: it is shown, and may be anything.
fn code(body: &[u8]) -> String {
    let first = serde_json::from_slice::<Errors>(body).ok().and_then(|said| said.errors.into_iter().next());
    let plain =
        |code: &String| (1..=64).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    first.map(|fault| fault.code).filter(plain).unwrap_or_else(|| "no reason given".to_owned())
}

#[cfg(test)]
mod tests;
