//! Answers, and the error documents that refusals are told in.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::json;

pub(super) type Answer = Response<Full<Bytes>>;

/// Why there is no answer: a status, Clerk's word for it, and a sentence.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: &'static str,
    /// The sentence in short, where there is a shorter one.
    short: Option<&'static str>,
    message: String,
    /// The parameter that it is about.
    parameter: Option<&'static str>,
    /// In seconds.
    retry_after: Option<u64>,
}

/// 200 with this JSON.
pub(super) fn json(body: String) -> Answer {
    let mut answer = Response::new(Full::from(body));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// `GET /v1/instance`.
pub(super) fn instance(id: &str) -> Answer {
    let instance = json!({
        "object": "instance", "id": id, "environment_type": "development", "allowed_origins": null,
    });
    json(instance.to_string())
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, short: None, message: message.into(), parameter: None, retry_after: None }
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self { short: Some("not found"), ..Self::new(StatusCode::NOT_FOUND, "resource_not_found", message) }
    }

    /// A parameter has a value that it cannot have.
    pub(super) fn parameter(name: &'static str) -> Self {
        Self::of_parameter(name, "form_param_value_invalid", "is invalid", format!("{name} is invalid."))
    }

    /// A parameter is needed.
    pub(super) fn missing(name: &'static str) -> Self {
        Self::of_parameter(name, "form_param_missing", "is missing", format!("{name} must be included."))
    }

    fn of_parameter(name: &'static str, code: &'static str, short: &'static str, message: String) -> Self {
        let refusal = Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message);
        Self { short: Some(short), parameter: Some(name), ..refusal }
    }

    pub(super) fn body() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "request_body_invalid", "The request body is invalid")
    }

    pub(super) fn too_many(seconds: u64) -> Self {
        let message = "Too many requests. Please try again in a bit.";
        let refusal = Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message);
        Self { retry_after: Some(seconds), ..refusal }
    }

    pub(super) fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_clerk_error", "Something went wrong in the stand-in")
    }

    pub(super) fn answer(self) -> Answer {
        let short = self.short.unwrap_or(&self.message);
        let mut error = json!({ "message": short, "long_message": self.message, "code": self.code });
        if let Some(name) = self.parameter {
            error["meta"] = json!({ "param_name": name });
        }
        let body = json!({
            "errors": [error],
            "clerk_trace_id": super::random().map(|bytes| format!("{:032x}", u128::from_be_bytes(bytes))).ok(),
        });
        let mut answer = json(body.to_string());
        *answer.status_mut() = self.status;
        if let Some(seconds) = self.retry_after {
            answer.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        answer
    }
}
