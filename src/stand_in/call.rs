//! A request, taken apart.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Method, Request};
use serde::de::DeserializeOwned;

use super::answer::Refusal;

/// The longest body, in bytes.
const LONGEST: usize = 64 << 10;

/// A whole request.
pub(super) struct Call {
    head: Parts,
    query: Vec<(String, String)>,
    body: Bytes,
}

impl Call {
    pub(super) async fn read(request: Request<Incoming>) -> Result<Self, Refusal> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, LONGEST).collect().await.map_err(|_| Refusal::body())?.to_bytes();
        let query = serde_urlencoded::from_str(head.uri.query().unwrap_or_default()).unwrap_or_default();
        Ok(Self { head, query, body })
    }

    pub(super) fn method(&self) -> &Method {
        &self.head.method
    }

    /// The path's parts, as they are written: ids need no escapes.
    pub(super) fn path(&self) -> Vec<&str> {
        self.head.uri.path().trim_start_matches('/').split('/').collect()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    /// The parameter, the first if there are several.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The parameter as a number that is not negative.
    pub(super) fn number(&self, name: &'static str) -> Result<Option<usize>, Refusal> {
        let value = self.first(name).map(|text| text.parse().map_err(|_| Refusal::parameter(name))).transpose()?;
        Ok(value)
    }

    /// The body, which may be left out when everything in it may.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        let body: &[u8] = if self.body.is_empty() { b"{}" } else { &self.body };
        serde_json::from_slice(body).map_err(|_| Refusal::body())
    }
}
