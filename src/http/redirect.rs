//! Plain HTTP beside HTTPS: whoever asks for a page is sent on. Whoever sends something is told that it went in the clear, and
//! is not sent on: done again by itself it would be so for ever, and nobody would notice.

use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use warp::http::header::{AUTHORIZATION, CONNECTION, LOCATION};
use warp::http::{HeaderValue, Method, StatusCode};
use warp::reply::Response;

use super::guard::{self, Hosts, Peer, Refusal};
use super::problem::Problem;
use super::{Answers, refused, reply};

/// Where HTTPS is spoken.
#[derive(Debug, Clone)]
pub struct Way {
    /// The names that are ours.
    pub hosts: Hosts,
    /// The origin that browsers use, if one was set.
    pub public_origin: Option<String>,
    /// The port, for whoever comes by another name.
    pub port: u16,
}

/// What answers there.
pub fn service(way: Way) -> impl Answers {
    let way = Arc::new(way);
    tower::service_fn(move |request: Request<Incoming>| {
        let way = Arc::clone(&way);
        async move { Ok(answer(&way, &request)) }
    })
}

fn answer<B>(way: &Way, request: &Request<B>) -> Response {
    let Some(peer) = request.extensions().get::<Peer>() else { return refused(Refusal::Host) };
    match guard::check(request, &way.hosts, *peer) {
        // Of the Host the name is looked at below: its port is not the one that is meant.
        Ok(()) | Err(Refusal::Misdirected) => {}
        Err(refusal) => return refused(refusal),
    }
    let Some(name) = way.hosts.name(request.headers(), peer.local) else { return refused(Refusal::Misdirected) };
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if !is_read || request.headers().contains_key(AUTHORIZATION) {
        return in_the_clear();
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let origin = way.public_origin.clone().unwrap_or_else(|| match way.port {
        443 => format!("https://{name}"),
        port => format!("https://{name}:{port}"),
    });
    match HeaderValue::try_from(format!("{origin}{path}")) {
        Ok(there) if path.starts_with('/') => sent_on(there),
        _ => reply::secured(Problem::bad_request("That is no path.").into_response()),
    }
}

/// 308: the same request again, there.
fn sent_on(there: HeaderValue) -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(LOCATION, there);
    reply::secured(response)
}

/// 403 to what carries something. What it carries is not read.
fn in_the_clear() -> Response {
    let refusal = Problem::forbidden(
        "This address only leads on to https://. Send it there; and replace any secret that was in it, as it has gone over \
         the network in the clear.",
    );
    let mut response = refusal.into_response();
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    reply::secured(response)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ask(way: &Way, method: &str, target: &str, headers: &[(&str, &str)]) -> (u16, String) {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap();
        let peer = Peer::new("192.0.2.7:50000".parse().unwrap(), "192.0.2.1:80".parse().unwrap());
        request.extensions_mut().insert(peer);
        let response = answer(way, &request);
        let there = response.headers().get(LOCATION).map_or("", |there| there.to_str().unwrap());
        (response.status().as_u16(), there.to_owned())
    }

    fn way(public: Option<&str>, port: u16) -> Way {
        let hosts = Hosts::new(public.map(|name| (name.to_owned(), 443)));
        Way { hosts, public_origin: public.map(|name| format!("https://{name}")), port }
    }

    #[test]
    fn who_reads_is_sent_on_to_the_name_that_is_known() {
        let public = way(Some("roll.example.com"), 8443);
        let unnamed = way(None, 8443);
        for (way, target, host, there) in [
            (&public, "/admin/users?q=a%20b", "roll.example.com", "https://roll.example.com/admin/users?q=a%20b"),
            (&public, "/", "ROLL.example.com:80", "https://roll.example.com/"),
            (&public, "//evil.example/x", "roll.example.com", "https://roll.example.com//evil.example/x"),
            (&public, "/docs", "192.0.2.1", "https://roll.example.com/docs"),
            (&public, "http://roll.example.com/docs", "roll.example.com", "https://roll.example.com/docs"),
            (&unnamed, "/docs", "192.0.2.1", "https://192.0.2.1:8443/docs"),
            (&unnamed, "/docs", "localhost:80", "https://localhost:8443/docs"),
            (&way_to(443), "/docs", "192.0.2.1:80", "https://192.0.2.1/docs"),
        ] {
            assert_eq!(ask(way, "GET", target, &[("host", host)]), (308, there.to_owned()), "{target} at {host}");
            assert_eq!(ask(way, "HEAD", target, &[("host", host)]).0, 308);
        }
    }

    fn way_to(port: u16) -> Way {
        way(None, port)
    }

    #[test]
    fn nobody_is_sent_where_a_stranger_says() {
        let public = way(Some("roll.example.com"), 443);
        for host in ["evil.example", "roll.example.com.evil.example", "192.0.2.2"] {
            assert_eq!(ask(&public, "GET", "/", &[("host", host)]), (421, String::new()), "{host}");
        }
        assert_eq!(ask(&public, "GET", "/", &[("host", "a@b")]).0, 400);
        assert_eq!(ask(&public, "GET", "/", &[]).0, 400);
        assert_eq!(ask(&public, "GET", "*", &[("host", "roll.example.com")]).0, 400);
    }

    #[test]
    fn what_carries_something_is_not_sent_on() {
        let public = way(Some("roll.example.com"), 443);
        let host = ("host", "roll.example.com");
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            assert_eq!(ask(&public, method, "/api/webhooks/clerk", &[host]), (403, String::new()), "{method}");
        }
        assert_eq!(ask(&public, "GET", "/api/users", &[host, ("authorization", "Bearer x")]), (403, String::new()));
        assert_eq!(ask(&public, "BREW", "/", &[host]).0, 405);
    }
}
