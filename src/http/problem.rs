//! Errors as a caller sees them: RFC 9457 problem documents with a fixed public sentence and an id. The
//! cause is logged once, here, under the same id, and never sent.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Serialize;
use warp::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use warp::http::{HeaderValue, StatusCode};
use warp::reply::Response;

use super::guard::{self, Refusal};
use super::{Fault, reply};
use crate::clerk::session;
use crate::store;

/// An error on its way to a caller.
#[derive(Debug)]
pub struct Problem {
    kind: Kind,
    detail: &'static str,
    cause: Option<String>,
    allow: Cow<'static, str>,
    retry_after: u64,
    is_damage: bool,
}

/// What went wrong, as far as a caller can do something about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request is not one we understand.
    BadRequest,
    /// The caller did not prove who they are.
    Unauthorized,
    /// The caller did not prove who they are, with a signature.
    BadSignature,
    /// The caller may not do this.
    Forbidden,
    /// There is no such thing, or none the caller may know of.
    NotFound,
    /// What is asked for contradicts what is.
    Conflict,
    /// What is to be changed is not in a state that the caller expects.
    PreconditionFailed,
    /// There was such a thing, and there will not be again.
    Gone,
    /// The path exists, the method does not.
    MethodNotAllowed,
    /// The request came too slowly.
    Timeout,
    /// The body is too large.
    TooLarge,
    /// The body's encoding is not one we read.
    UnsupportedMediaType,
    /// The request names a host that is not ours.
    Misdirected,
    /// Too many tries.
    TooManyRequests,
    /// Our own fault.
    Internal,
    /// Our own trouble, which should pass.
    Unavailable,
}

impl Kind {
    /// Every kind.
    pub const ALL: &[Self] = &[
        Self::BadRequest,
        Self::Unauthorized,
        Self::BadSignature,
        Self::Forbidden,
        Self::NotFound,
        Self::Conflict,
        Self::Gone,
        Self::PreconditionFailed,
        Self::MethodNotAllowed,
        Self::Timeout,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::Misdirected,
        Self::TooManyRequests,
        Self::Internal,
        Self::Unavailable,
    ];

    /// Status, the last part of the problem's type, and title.
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::BadRequest => (StatusCode::BAD_REQUEST, "bad-request", "Bad request"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "Not signed in"),
            Self::BadSignature => (StatusCode::UNAUTHORIZED, "bad-signature", "Signature refused"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "Not allowed"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "Not found"),
            Self::Conflict => (StatusCode::CONFLICT, "conflict", "Conflict"),
            Self::PreconditionFailed => {
                (StatusCode::PRECONDITION_FAILED, "precondition-failed", "Changed in the meantime")
            }
            Self::Gone => (StatusCode::GONE, "gone", "Gone"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed"),
            Self::Timeout => (StatusCode::REQUEST_TIMEOUT, "timeout", "Request too slow"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "Body too large"),
            Self::UnsupportedMediaType => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "Media type not supported")
            }
            Self::Misdirected => (StatusCode::MISDIRECTED_REQUEST, "misdirected", "Wrong host"),
            Self::TooManyRequests => (StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "Too many requests"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Temporarily unavailable"),
        }
    }
}

/// What went wrong, as RFC 9457 has it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(super) struct Document<'a> {
    /// `urn:rollbook:problem:` and a word, the same for every problem of the kind.
    r#type: String,
    title: &'a str,
    status: u16,
    /// What it means for the caller; one fixed sentence.
    detail: &'a str,
    /// The id under which the server's log has the cause.
    error_id: &'a str,
}

impl Problem {
    /// A problem of that kind, explained to the caller in that sentence.
    #[must_use]
    pub const fn new(kind: Kind, detail: &'static str) -> Self {
        Self { kind, detail, cause: None, allow: Cow::Borrowed(""), retry_after: 0, is_damage: false }
    }

    /// The request is not one we understand.
    #[must_use]
    pub const fn bad_request(detail: &'static str) -> Self {
        Self::new(Kind::BadRequest, detail)
    }

    /// No valid session or key. One sentence for every reason, so that nobody learns which check failed.
    #[must_use]
    pub const fn unauthorized() -> Self {
        Self::new(Kind::Unauthorized, "A valid session token or API key is required in the Authorization header.")
    }

    /// The caller may not do this.
    #[must_use]
    pub const fn forbidden(detail: &'static str) -> Self {
        Self::new(Kind::Forbidden, detail)
    }

    /// There is no such thing, or none the caller may know of.
    #[must_use]
    pub const fn not_found() -> Self {
        Self::new(Kind::NotFound, "There is nothing here.")
    }

    /// The path exists, but not with this method.
    #[must_use]
    pub fn method_not_allowed(allow: impl Into<Cow<'static, str>>) -> Self {
        Self { allow: allow.into(), ..Self::new(Kind::MethodNotAllowed, "This path does not take that method.") }
    }

    /// Our own trouble; the caller should try again after so many seconds.
    #[must_use]
    pub fn unavailable(detail: &'static str, retry_after: u64) -> Self {
        Self { retry_after, ..Self::new(Kind::Unavailable, detail) }
    }

    /// Too many tries; the next one is heard after so many seconds.
    #[must_use]
    pub fn too_many_requests(detail: &'static str, retry_after: u64) -> Self {
        Self { retry_after, ..Self::new(Kind::TooManyRequests, detail) }
    }

    /// The same problem with its cause, for the log.
    #[must_use]
    pub fn because(mut self, cause: impl std::fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// What went wrong.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The status it is answered with.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.kind.parts().0
    }

    /// Whether a row of the file cannot be read, which is for whoever looks after the file to know, and for nobody else.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        self.is_damage
    }

    /// The title and the sentence for the caller.
    #[must_use]
    pub const fn words(&self) -> (&'static str, &'static str) {
        (self.kind.parts().2, self.detail)
    }

    /// Writes the cause to the log under a new id, and returns the id.
    #[must_use]
    pub fn log(&self) -> String {
        let id = reply::error_id();
        let status = self.status().as_u16();
        let cause = self.cause.as_deref().unwrap_or(self.detail);
        if self.status().is_server_error() {
            tracing::error!(error_id = id, status, cause, "request.failed");
        } else {
            tracing::debug!(error_id = id, status, cause, "request.refused");
        }
        id
    }

    /// Adds the headers that go with the status to a reply.
    pub fn add_headers(&self, response: &mut Response) {
        let headers = response.headers_mut();
        if !self.allow.is_empty() {
            headers.extend(HeaderValue::from_str(&self.allow).ok().map(|allow| (ALLOW, allow)));
        }
        if self.retry_after > 0 {
            headers.insert(RETRY_AFTER, HeaderValue::from(self.retry_after));
        }
        if self.kind == Kind::Unauthorized {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""));
        }
    }

    /// The problem as a problem document.
    #[must_use]
    pub fn into_response(self) -> Response {
        let error_id = self.log();
        let (status, slug, title) = self.kind.parts();
        let document = Document {
            r#type: format!("urn:rollbook:problem:{slug}"),
            title,
            status: status.as_u16(),
            detail: self.detail,
            error_id: &error_id,
        };
        let mut response = reply::json_with(status, &document);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        self.add_headers(&mut response);
        response
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::BadCursor => Self::bad_request("The cursor is not one that this list gave out."),
            store::Error::ReadOnly => {
                Self::unavailable("The log is in doubt; nothing is written until its operator settles that.", 60)
                    .because(error)
            }
            store::Error::Failed | store::Error::Storage(_) => {
                Self::unavailable("The store cannot take this now; please try again.", 5).because(error)
            }
            store::Error::Panicked | store::Error::Corrupt(_) => {
                let is_damage = matches!(error, store::Error::Corrupt(_));
                Self { is_damage, ..Self::new(Kind::Internal, "Something went wrong on our side.") }.because(error)
            }
        }
    }
}

impl From<store::ChangeError> for Problem {
    fn from(error: store::ChangeError) -> Self {
        match error {
            store::ChangeError::Outdated => {
                Self::new(Kind::PreconditionFailed, "The record has changed since that ETag was read; read it again.")
            }
            store::ChangeError::Full => Self::new(
                Kind::Conflict,
                "A user has at most 64 counters, and none may pass 9007199254740991; nothing was added.",
            ),
            store::ChangeError::Store(error) => error.into(),
        }
    }
}

impl From<store::AdminError> for Problem {
    fn from(error: store::AdminError) -> Self {
        match error {
            store::AdminError::Ended => {
                Self::new(Kind::Unauthorized, "You are not signed in, or no longer. Nothing was changed.")
            }
            store::AdminError::Unknown => Self::not_found(),
            store::AdminError::Taken => {
                Self::new(Kind::Conflict, "Somebody has that name already, written in other upper and lower case.")
            }
            store::AdminError::Last => Self::new(Kind::Conflict, "Nobody would be left who could sign in here."),
            store::AdminError::Store(error) => error.into(),
        }
    }
}

impl From<store::ReviewError> for Problem {
    fn from(error: store::ReviewError) -> Self {
        match error {
            store::ReviewError::NoEntry => Self::new(Kind::Conflict, "There is no entry with that number."),
            store::ReviewError::Covered => {
                Self::new(Kind::Conflict, "The log has already been reviewed up to there, or further.")
            }
            store::ReviewError::Store(error) => error.into(),
        }
    }
}

impl From<session::Error> for Problem {
    fn from(error: session::Error) -> Self {
        match error {
            session::Error::Invalid(fault) => Self::unauthorized().because(fault.as_str()),
            session::Error::Pending(_) => Self::forbidden("The session has open tasks to finish first."),
            session::Error::Unavailable { retry_after_seconds } => {
                Self::unavailable("The keys to check this token with cannot be had now.", retry_after_seconds)
            }
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Method => Self::method_not_allowed(guard::ALLOW),
            Refusal::TransferEncoding => Self::bad_request("The only transfer encoding taken is chunked."),
            Refusal::Host => Self::bad_request("A request needs exactly one well-formed Host header."),
            Refusal::Target => Self::bad_request("The request's target and its Host header name different hosts."),
            Refusal::Misdirected => Self::new(
                Kind::Misdirected,
                "This host is not served here. If it should be, name it in ROLLBOOK_PUBLIC_URL.",
            ),
        }
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Panicked => Self::new(Kind::Internal, "Something went wrong on our side.").because(fault),
            Fault::TooSlow => Self::unavailable("This took too long; please try again.", 5).because(fault),
        }
    }
}
