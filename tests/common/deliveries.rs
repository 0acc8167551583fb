//! Deliveries for the store alone: signed, and received as the server would.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use rollbook::clerk::webhook::Webhooks;
use rollbook::event::Delivery;

use crate::common::{SECRET, now, sign};

/// The message with that id and that body.
pub fn received(id: &str, body: &str) -> Delivery {
    let headers = sign::sign(SECRET, id, sign::now_seconds(), body.as_bytes()).into_iter();
    let headers = headers.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::try_from(value).unwrap()));
    let headers: HeaderMap = headers.collect();
    Webhooks::new([SECRET]).unwrap().receive(&headers, body.as_bytes(), now()).unwrap().delivery
}
