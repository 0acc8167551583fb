//! Which pages of other origins may call the API from a browser (CORS, <https://fetch.spec.whatwg.org/#http-cors-protocol>).
//! Where nothing is set there is nothing of it in any answer. The admin page, webhooks and metrics are never part of it.

use std::convert::Infallible;
use std::time::Duration;

use hyper::Request;
use tower::{Layer as _, Service, ServiceExt as _};
use tower_http::cors::CorsLayer;
use warp::http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, ETAG, HeaderName, LOCATION, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE,
};
use warp::http::{HeaderMap, HeaderValue, Method};
use warp::reply::Response;

use super::{limit, reply};

/// What pages may ask for.
const METHODS: [Method; 5] = [Method::GET, Method::HEAD, Method::POST, Method::PATCH, Method::DELETE];

/// What pages may read of an answer's headers, besides those that any may.
const EXPOSED: [HeaderName; 4] = [ETAG, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE];

/// Which pages may call, and with what.
#[derive(Debug, Clone)]
pub struct Cors {
    layer: CorsLayer,
    origins: Vec<String>,
}

/// An origin or a header's name that cannot be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an origin or the name of a header cannot be one")]
pub struct BadName;

impl Cors {
    /// For pages of these origins, which may send these headers. `credentials` lets browsers send their own, such as
    /// cookies; `max_age` is how long they may remember all this. `None` when there are no origins.
    ///
    /// # Errors
    /// When an origin or a header's name has characters that none may have.
    pub fn new(
        origins: &[String],
        headers: &[String],
        credentials: bool,
        max_age: Duration,
    ) -> Result<Option<Self>, BadName> {
        let allowed: Vec<HeaderValue> =
            origins.iter().map(|origin| origin.parse()).collect::<Result<_, _>>().map_err(|_| BadName)?;
        let headers: Vec<HeaderName> =
            headers.iter().map(|name| name.parse()).collect::<Result<_, _>>().map_err(|_| BadName)?;
        let layer = CorsLayer::new()
            .allow_methods(METHODS)
            .expose_headers(EXPOSED)
            .allow_headers(headers)
            .allow_credentials(credentials)
            .max_age(max_age);
        let cors = || Self { layer: layer.allow_origin(allowed), origins: origins.to_vec() };
        Ok((!origins.is_empty()).then(cors))
    }

    /// The origins of these pages.
    pub(super) fn origins(&self) -> &[String] {
        &self.origins
    }

    /// The answer of `service`, with what a browser has to be told; to the question that it asks beforehand, only that.
    pub(super) async fn answer<S, B>(&self, request: Request<B>, service: S) -> Result<Response, Infallible>
    where
        S: Service<Request<B>, Response = Response, Error = Infallible>,
    {
        let is_question = is_preflight(request.method(), request.headers());
        // What only looks like the question is a request as any other.
        if !applies_to(request.uri().path()) || request.method() == Method::OPTIONS && !is_question {
            return service.oneshot(request).await;
        }
        let answer = self.layer.layer(service).oneshot(request).await?;
        Ok(if is_question { reply::secured(answer) } else { answer })
    }
}

fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Whether that path is of the API, and not for whoever signs with the webhook's secret.
fn applies_to(path: &str) -> bool {
    let is_api = ["/api/", "/auth/", "/log/"].iter().any(|folder| path.starts_with(folder))
        || matches!(path, "/openapi.json" | "/health");
    is_api && !limit::is_signed(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_for_the_api_alone() {
        for path in ["/api/users", "/api/users/x/audit", "/auth/me", "/log/checkpoint", "/openapi.json", "/health"] {
            assert!(applies_to(path), "{path}");
        }
        for path in [
            "/",
            "/admin",
            "/admin/users",
            "/api/webhooks",
            "/api/webhooks/clerk",
            "/api/webhook/clerk/",
            "/docs",
            "/api/users/webhook/user_1",
            "/metrics",
            "/ready",
            "/logs",
            "/apix",
        ] {
            assert!(!applies_to(path), "{path}");
        }
    }
}
