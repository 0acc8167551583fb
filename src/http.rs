//! The HTTP side: every route in one list, handlers that take, ask and shape.

pub mod admin;
mod audit;
pub mod call;
mod caller;
mod denials;
mod ever;
pub mod guard;
mod health;
mod log;
mod openapi;
pub mod problem;
mod query;
pub mod reply;
mod review;
pub mod route;
mod tally;
mod users;
mod webhook;

use std::convert::Infallible;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use hyper::Request;
use hyper::body::Incoming;
use ipnet::IpNet;
use serde_json::Value;
use tower::Service;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::HeaderValue;
use warp::http::header::CONNECTION;
use warp::path::FullPath;
use warp::reply::Response;

use crate::clerk::session::Sessions;
use crate::clerk::webhook::Webhooks;
use crate::clock::Clock;
use crate::notary::Notary;
use crate::store::Store;

pub use self::audit::entry;
use self::call::{Call, call};
use self::denials::Denials;
use self::guard::{Hosts, Peer};
use self::problem::Problem;
use self::route::{Route, Table};
pub use self::tally::Tally;
pub use self::users::record;

/// What handlers work with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct App(Arc<Parts>);

/// The parts of an [`App`].
#[derive(Debug)]
pub struct Parts {
    /// The roll and the book.
    pub store: Store,
    /// Vouches for the book.
    pub notary: Notary,
    /// Checks and reads webhooks.
    pub webhooks: Webhooks,
    /// Checks session tokens.
    pub sessions: Sessions,
    /// The time.
    pub clock: Clock,
    /// What the operator chose.
    pub settings: Settings,
    /// Counts what strangers do.
    pub tally: Tally,
    /// Whom a denial was last noted of.
    pub denials: Denials,
    description: OnceLock<Value>,
}

/// The settings that handlers go by.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The origin browsers use, `https://rollbook.example.org`, without a slash at the end.
    pub public_origin: String,
    /// Whether a valid token of a user not yet synced creates the user.
    pub provision: bool,
    /// Whether an impersonated session may use the API.
    pub allow_impersonation: bool,
    /// Proxies whose `X-Forwarded-For` counts.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether anybody may read the log's hashes and entries, without what is known of people.
    pub public_log: bool,
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl App {
    /// An application of these parts.
    #[must_use]
    pub fn new(
        store: Store,
        notary: Notary,
        webhooks: Webhooks,
        sessions: Sessions,
        clock: Clock,
        settings: Settings,
    ) -> Self {
        let (tally, denials) = (Tally::default(), Denials::default());
        let description = OnceLock::new();
        Self(Arc::new(Parts { store, notary, webhooks, sessions, clock, settings, tally, denials, description }))
    }

    /// The description of the API.
    fn description(&self) -> &Value {
        self.0.description.get_or_init(|| openapi::document(&Table::new(api()), &self.settings.public_origin))
    }
}

/// Why a request got no answer of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The code that was to answer it panicked: 500. The message went to the panic hook.
    #[error("the handler panicked")]
    Panicked,
    /// It was not answered in the time a handler has: 503. What it set in motion may still happen.
    #[error("the handler took too long")]
    TooSlow,
}

/// What answers requests: checks each of them, then routes it.
pub fn service(app: &App, hosts: Hosts) -> impl Answers {
    let (routes, hosts) = (warp::service(routes(app)), Arc::new(hosts));
    tower::service_fn(move |request: Request<Incoming>| {
        let refusal = match request.extensions().get::<Peer>() {
            Some(peer) => guard::check(&request, &hosts, *peer).err(),
            None => Some(guard::Refusal::Host),
        };
        let mut routes = routes.clone();
        async move {
            match refusal {
                Some(refusal) => Ok(self::refused(refusal)),
                None => routes.call(request).await,
            }
        }
    })
}

/// The answer to a request whose handler failed.
#[must_use]
pub fn failed(fault: Fault) -> Response {
    reply::secured(Problem::from(fault).into_response())
}

/// The answer to a request that is not routed. Where such a request ends was the sender's to say, and may
/// have been read otherwise on the way: the connection is not used again.
#[must_use]
pub fn refused(refusal: guard::Refusal) -> Response {
    let mut response = Problem::from(refusal).into_response();
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    reply::secured(response)
}

/// A service for the accept loop.
pub trait Answers:
    Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<S> Answers for S where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

/// Every route.
pub fn routes(app: &App) -> BoxedFilter<(Response,)> {
    let table = Arc::new(Table::new(api()));
    let api = warp::path::full().and(call(app)).then(move |path: FullPath, call: Call| {
        let table = Arc::clone(&table);
        async move { table.answer(path.as_str(), call).await }
    });
    admin::routes(app).or(api).unify().map(reply::secured).boxed()
}

/// The routes of the API, in the order in which they are described.
fn api() -> Vec<Route> {
    [
        users::routes(),
        ever::routes(),
        audit::routes(),
        review::routes(),
        log::routes(),
        webhook::routes(),
        health::routes(),
        openapi::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
