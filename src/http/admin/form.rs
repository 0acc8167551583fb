//! What forms send: small bodies and query strings in which an empty field says nothing.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use warp::http::header::CONTENT_TYPE;

use super::csrf;
use crate::http::call::Call;
use crate::http::problem::{Kind, Problem};

/// The largest form, in bytes: a note of 2,000 characters, each of four bytes and escaped.
const LARGEST: usize = 32 * 1024;

/// A form that is a button and nothing else.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// The form of a `POST` that comes from our own pages. `T` names every field the form has.
///
/// # Errors
/// 403 for a form of another site, 415 for another type, 400 for unknown, doubled or missing fields.
pub(super) async fn posted<T: DeserializeOwned>(call: &mut Call) -> Result<T, Problem> {
    csrf::check(&call.headers, &call.app.settings.public_origin)?;
    let kind = call.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(Problem::new(Kind::UnsupportedMediaType, "Only forms are taken here."));
    }
    let body = call.body(LARGEST).await?;
    // What was typed may be a password: the cause stays out of the log.
    serde_urlencoded::from_bytes(&body)
        .map_err(|_| Problem::bad_request("A field of the form is unknown, stands twice or is missing."))
}

/// A field's value, trimmed, unless it is empty.
pub(super) fn filled(field: Option<&String>) -> Option<&str> {
    field.map(|text| text.trim()).filter(|text| !text.is_empty())
}
