//! Replies: JSON, and the headers every reply carries.

use schemars::JsonSchema;
use serde::Serialize;
use warp::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use warp::http::{HeaderValue, StatusCode};
use warp::reply::Response;

use crate::page::Cursor;

/// For a year, and for this host alone: what else is served under the domain is not ours to decide.
pub(in crate::http) const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// A JSON reply with status 200.
#[must_use]
pub fn json(body: &impl Serialize) -> Response {
    json_with(StatusCode::OK, body)
}

/// A JSON reply with that status.
#[must_use]
pub fn json_with(status: StatusCode, body: &impl Serialize) -> Response {
    // Our own reply types always serialise: string keys only, no failing implementations.
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    let mut response = Response::new(bytes.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// That it is done, and that there is nothing to say of it.
#[must_use]
pub fn no_content() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// The way to another page of ours, to be asked for with `GET`.
#[must_use]
pub fn see_other(path: &str) -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::SEE_OTHER;
    if let Ok(path) = HeaderValue::from_str(path) {
        response.headers_mut().insert(LOCATION, path);
    }
    response
}

/// The headers that keep a reply from being sniffed, framed or kept, unless the handler set its own.
#[must_use]
pub fn secured(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    response
}

/// Tells browsers to come by https from now on (RFC 6797), if they have come by it to us. What is said for `localhost` would
/// hold for every other server on the machine, whatever its port: there it is not said.
pub(super) fn insist_on_https(response: &mut Response, is_tls: bool, is_for_localhost: bool) {
    let headers = response.headers_mut();
    if is_for_localhost {
        headers.remove(STRICT_TRANSPORT_SECURITY);
    } else if is_tls {
        headers.insert(STRICT_TRANSPORT_SECURITY, HSTS);
    }
}

/// A fresh id that a reply and the log share, `ERR_` and 16 characters.
#[must_use]
pub fn error_id() -> String {
    const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let mut bytes = [0; 16];
    // Without randomness the id is all zeros: still an error reply, which matters more.
    let _ = getrandom::fill(&mut bytes);
    let letters = bytes.iter().map(|b| char::from(LETTERS[usize::from(b % 32)]));
    "ERR_".chars().chain(letters).collect()
}

/// One page of a list.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PageOf{T}")]
pub(super) struct PageOf<'a, T> {
    /// May be fewer than asked for although more follow.
    items: &'a [T],
    /// Where the next page starts; null on the last one.
    #[schemars(with = "Option<String>")]
    next_cursor: Option<&'a Cursor>,
}

/// One page of a list.
#[must_use]
pub fn page<T: Serialize>(items: &[T], next_cursor: Option<&Cursor>) -> Response {
    json(&PageOf { items, next_cursor })
}
