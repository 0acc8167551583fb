//! The HTTP side: every route in one list, handlers that take, ask and shape.

pub mod admin;
mod audit;
pub mod call;
mod caller;
mod denials;
mod events;
mod ever;
mod forward_auth;
pub mod guard;
mod health;
mod log;
mod mirror;
mod organizations;
pub mod problem;
pub mod reply;
mod review;
mod sessions;
mod tally;
mod users;
mod webhook;

use std::convert::Infallible;
use std::ops::Deref;
use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use ipnet::IpNet;
use tower::Service;
use warp::filters::BoxedFilter;
use warp::http::HeaderValue;
use warp::http::header::CONNECTION;
use warp::path::Tail;
use warp::reply::Response;
use warp::{Filter, Rejection, path};

use crate::clerk::session::Sessions;
use crate::clerk::webhook::Webhooks;
use crate::clock::Clock;
use crate::notary::Notary;
use crate::store::Store;
use crate::user::{ClerkId, UserRef};

pub use self::audit::entry;
use self::call::{Call, answer, call};
use self::denials::Denials;
pub use self::events::Streams;
use self::guard::{Hosts, Peer};
use self::problem::Problem;
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
    /// The event streams that are open.
    pub streams: Streams,
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
        let (tally, denials, streams) = (Tally::default(), Denials::default(), Streams::default());
        Self(Arc::new(Parts { store, notary, webhooks, sessions, clock, settings, tally, denials, streams }))
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

/// Every route. A rejection means only "not my path"; all else is an answer.
pub fn routes(app: &App) -> BoxedFilter<(Response,)> {
    let call = call(app);
    let webhooks = path!("api" / "webhooks" / "clerk")
        .or(path!("api" / "webhooks"))
        .unify()
        .or(path!("api" / "webhook" / "clerk"))
        .unify();
    let me = path!("api" / "auth" / "me").or(path!("auth" / "me")).unify();
    let one_user = path!("api" / "users" / UserRef);
    let users_audit = path!("api" / "users" / UserRef / "audit");

    let api = plain(webhooks, &call, webhook::handle)
        .or(plain(me, &call, users::me))
        .unify()
        .or(plain(path!("api" / "session"), &call, users::session))
        .unify()
        .or(plain(path!("api" / "users"), &call, users::list))
        .unify()
        .or(plain(path!("api" / "users" / "ever"), &call, ever::ask))
        .unify()
        .or(one_user.and(call.clone()).then(|user, call| answer(users::show(call, user))).boxed())
        .unify()
        .or(users_audit.and(call.clone()).then(|user, call| answer(audit::of_user(call, user))).boxed())
        .unify()
        .or(plain(path!("api" / "auth" / "verify"), &call, forward_auth::verify))
        .unify()
        .or(plain(path!("api" / "events"), &call, events::list))
        .unify()
        .or(path!("api" / "users" / UserRef / "sessions")
            .and(call.clone())
            .then(|user, call| answer(sessions::list(call, user)))
            .boxed())
        .unify()
        .or(plain(path!("api" / "organizations"), &call, organizations::list))
        .unify()
        .or(path!("api" / "organizations" / ClerkId)
            .and(call.clone())
            .then(|id, call| answer(organizations::show(call, id)))
            .boxed())
        .unify()
        .or(path!("api" / "organizations" / ClerkId / "members")
            .and(call.clone())
            .then(|id, call| answer(organizations::members(call, id)))
            .boxed())
        .unify()
        .or(plain(path!("api" / "audit"), &call, audit::list))
        .unify()
        .or(plain(path!("api" / "audit" / "review"), &call, review::serve))
        .unify()
        .or(warp::path("log").and(warp::path::tail()).and(call.clone()).then(log_route).boxed())
        .unify()
        .or(plain(path!("health"), &call, health::health))
        .unify()
        .or(plain(path!("ready"), &call, health::ready))
        .unify()
        .or(plain(warp::path::end(), &call, health::front_door))
        .unify()
        .boxed();
    let nothing = warp::any().map(|| Problem::not_found().into_response());
    api.or(admin::routes(app)).unify().or(nothing).unify().map(reply::secured).boxed()
}

/// Everything under `/log`, whose paths have parts of their own.
async fn log_route(path: Tail, call: Call) -> Response {
    answer(log::serve(call, path.as_str())).await
}

/// A route without a parameter in its path.
fn plain<H, F>(
    path: impl Filter<Extract = (), Error = Rejection> + Clone + Send + Sync + 'static,
    call: &(impl Filter<Extract = (Call,), Error = Rejection> + Clone + Send + Sync + 'static),
    handle: H,
) -> BoxedFilter<(Response,)>
where
    H: Fn(Call) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response, Problem>> + Send,
{
    path.and(call.clone()).then(move |call| answer(handle(call))).boxed()
}
