//! The metrics at an address of their own, for whoever can reach it.

use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use warp::http::Method;
use warp::reply::Response;

use super::super::guard::{self, Hosts, Peer, Refusal};
use super::super::problem::Problem;
use super::super::{Answers, App, health, refused, reply};
use super::scrape;

/// What answers there: `/metrics` and `/health`, and nothing else.
pub fn service(app: &App) -> impl Answers {
    let (app, hosts) = (app.clone(), Arc::new(Hosts::default()));
    tower::service_fn(move |request: Request<Incoming>| {
        let (app, hosts) = (app.clone(), Arc::clone(&hosts));
        async move { Ok(answer(&app, &hosts, &request)) }
    })
}

fn answer(app: &App, hosts: &Hosts, request: &Request<Incoming>) -> Response {
    let checked = match request.extensions().get::<Peer>() {
        Some(peer) => guard::check(request, hosts, *peer),
        None => Err(Refusal::Host),
    };
    match checked {
        // Prometheus comes by whatever name it knows this machine by, and what it finds is for everybody here.
        Ok(()) | Err(Refusal::Misdirected) => {}
        Err(refusal) => return refused(refusal),
    }
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let found = match request.uri().path() {
        "/metrics" | "/health" if !is_read => Err(Problem::method_not_allowed("GET, HEAD")),
        "/metrics" => scrape::answer(app),
        "/health" => Ok(health::well()),
        _ => Err(Problem::not_found()),
    };
    reply::secured(found.unwrap_or_else(Problem::into_response))
}
