//! The HTTP side: every route in one list, handlers that take, ask and shape.

pub mod acting;
pub mod admin;
mod audit;
pub mod call;
mod caller;
pub mod cors;
mod deliveries;
mod denials;
mod docs;
mod events;
mod ever;
mod export;
mod forward_auth;
pub mod guard;
mod health;
pub mod limit;
mod log;
pub mod metrics;
mod mirror;
mod openapi;
mod organizations;
pub mod problem;
mod proven;
mod query;
pub mod redirect;
pub mod reply;
mod review;
pub mod route;
mod sessions;
mod streams;
mod tally;
mod users;
mod webhook;

use std::convert::Infallible;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use hyper::Request;
use hyper::body::Incoming;
use ipnet::IpNet;
use serde_json::Value;
use tower::{Service, ServiceExt as _};
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::header::CONNECTION;
use warp::http::{HeaderValue, Method};
use warp::path::FullPath;
use warp::reply::Response;

use crate::backup::{self, Backups};
use crate::clerk::backend::{Backend, Lookups};
use crate::clerk::session::Sessions;
use crate::clerk::webhook::Webhooks;
use crate::clock::{Clock, Timestamp};
use crate::forward::Forwarder;
use crate::notary::Notary;
use crate::reconcile;
use crate::store::Store;
use crate::tls::Tls;

pub use self::audit::entry;
use self::call::{Call, call};
use self::cors::Cors;
pub use self::deliveries::Deliveries;
use self::denials::Denials;
pub use self::events::event;
pub use self::export::AuditExport;
use self::guard::{Hosts, Peer};
use self::limit::{Limits, Rate};
use self::metrics::Metrics;
use self::problem::Problem;
use self::route::{Route, Table};
pub use self::streams::Streams;
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
    /// Asks Clerk; `None` without a secret key.
    pub backend: Option<Backend>,
    /// Tells other services.
    pub forwarder: Forwarder,
    /// Asks Clerk for users of whom no event has come; `None` without a secret key.
    pub lookups: Option<Lookups>,
    /// The time.
    pub clock: Clock,
    /// What the operator chose.
    pub settings: Settings,
    /// Counts what strangers do.
    pub tally: Tally,
    /// Deliveries as they came.
    pub deliveries: Deliveries,
    /// Whom a denial was last noted of.
    pub denials: Denials,
    /// The answers that stay open.
    pub streams: Streams,
    /// How much each caller may still ask.
    pub limits: Limits,
    /// What is measured.
    pub metrics: Metrics,
    /// The backups.
    pub backups: Backups,
    /// The walks over Clerk's users.
    pub walks: reconcile::Desk,
    /// When the server started.
    pub started_at: Timestamp,
    description: OnceLock<Value>,
}

/// Whom Rollbook calls by itself.
#[derive(Debug)]
pub struct Abroad {
    /// Asks Clerk; `None` without a secret key.
    pub backend: Option<Backend>,
    /// Tells other services.
    pub forwarder: Forwarder,
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
    /// Which pages of other origins may call the API from a browser; `None` when there are none.
    pub cors: Option<Cors>,
    /// How often one address may ask.
    pub rate_address: Rate,
    /// How often one session or API key may ask.
    pub rate_token: Rate,
    /// Where backups are put; `None` when none are made but where somebody says.
    pub backups: Option<backup::Rules>,
    /// What HTTPS is spoken with; `None` where a proxy does that, or nobody.
    pub tls: Option<Tls>,
    /// Every setting as it is in force, for admins to look at. No secret is in it.
    pub in_force: Vec<InForce>,
}

/// A setting as it is in force.
#[derive(Debug, Clone)]
pub struct InForce {
    /// The variable it goes by.
    pub name: &'static str,
    /// What it is for, in one sentence without a full stop.
    pub help: &'static str,
    /// Its value, or how many secrets it holds; `None` when there is none.
    pub value: Option<String>,
    /// Where that is from, in a few words.
    pub from: String,
    /// Whether somebody set it.
    pub is_set: bool,
    /// Whether it is a secret, and `value` not it.
    pub is_secret: bool,
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
        abroad: Abroad,
        clock: Clock,
        settings: Settings,
    ) -> Self {
        let Abroad { backend, forwarder } = abroad;
        Self(Arc::new(Parts {
            limits: Limits::new(&settings),
            backups: Backups::new(store.clone(), notary.clone(), clock.clone(), settings.backups.clone()),
            walks: reconcile::Desk::new(store.clone(), backend.clone(), clock.clone()),
            started_at: clock.now(),
            store,
            notary,
            webhooks,
            sessions,
            lookups: backend.clone().map(Lookups::new),
            backend,
            forwarder,
            clock,
            settings,
            tally: Tally::default(),
            deliveries: Deliveries::default(),
            denials: Denials::default(),
            streams: Streams::default(),
            metrics: Metrics::default(),
            description: OnceLock::new(),
        }))
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

/// What answers requests: checks each of them, then routes it, and counts whatever came of it.
pub fn service(app: &App, hosts: Hosts) -> impl Answers {
    let (app, routes, hosts) = (app.clone(), warp::service(routes(app)), Arc::new(hosts));
    tower::service_fn(move |request: Request<Incoming>| {
        let (app, routes, hosts) = (app.clone(), routes.clone(), Arc::clone(&hosts));
        async move {
            let (method, began) = (request.method().clone(), Instant::now());
            let is_for_localhost = guard::names_localhost(request.headers());
            let mut response = checked(&app, &hosts, routes, request).await?;
            reply::insist_on_https(&mut response, app.settings.tls.is_some(), is_for_localhost);
            app.metrics.answered(&method, Some(began.elapsed()), &response);
            Ok(response)
        }
    })
}

/// The answer to a request that passed every check, or to what is wrong with it.
async fn checked(
    app: &App,
    hosts: &Hosts,
    routes: impl Answers,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    let peer = match request.extensions().get::<Peer>() {
        Some(peer) => *peer,
        None => return Ok(refused(guard::Refusal::Host)),
    };
    if let Err(refusal) = guard::check(&request, hosts, peer) {
        return Ok(refused(refusal));
    }
    // Within what CORS adds: a page that is told to slow down has to be able to read that.
    let limited = tower::service_fn(|request: Request<Incoming>| {
        let routes = routes.clone();
        async move {
            match limit::check(app, &request, peer) {
                Ok(()) => routes.oneshot(request).await,
                Err(problem) => Ok(reply::secured(problem.into_response())),
            }
        }
    });
    match &app.settings.cors {
        Some(cors) => cors.answer(request, limited).await,
        None => limited.oneshot(request).await,
    }
}

/// What answers in the place of handlers that fail, and counts that.
pub fn faults(app: &App) -> impl Fn(Fault, &Method) -> Response + Clone + Send + Sync + 'static {
    let app = app.clone();
    move |fault, method| {
        let response = failed(fault);
        app.metrics.answered(method, None, &response);
        response
    }
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
        forward_auth::routes(),
        sessions::routes(),
        ever::routes(),
        organizations::routes(),
        events::routes(),
        audit::routes(),
        review::routes(),
        log::routes(),
        webhook::routes(),
        health::routes(),
        metrics::routes(),
        docs::routes(),
        openapi::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
