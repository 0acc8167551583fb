//! The admin page: server-rendered HTML for people, which needs no script. Signing in is by password; the first
//! password is set behind a single-use link from the terminal. Every look at somebody's data is an entry
//! in the book before it is an answer.

mod admins;
mod alert;
mod assets;
mod attention;
mod audit;
mod backups;
mod brief;
mod chart;
mod clerk;
mod csrf;
mod deliveries;
mod download;
mod entry;
mod erase;
mod ever;
mod form;
mod keys;
mod limit;
pub mod link;
mod log_key;
mod overview;
mod paging;
mod password;
mod password_change;
mod quarantine;
mod send_test;
mod session;
mod sessions;
mod settings;
mod setup;
mod sign_in;
mod span;
mod sure;
mod system;
mod targets;
mod token;
mod user;
mod users;
pub(super) mod view;
mod when;

pub use self::system::checks;

use std::sync::Arc;

use warp::Filter as _;
use warp::filters::BoxedFilter;
use warp::path::Tail;
use warp::reply::Response;

use self::targets::acts::Act;
use super::App;
use super::call::{self, Call};
use super::problem::Problem;
use super::reply;
use super::route::Matched;
use crate::store;

/// What the handlers of the page share beside the application.
#[derive(Debug, Default)]
struct Desk {
    passwords: password::Passwords,
    sign_ins: limit::SignIns,
    links: limit::Links,
}

/// Why a handler answers with something else than its page.
#[derive(Debug)]
enum Stop {
    /// Something is wrong.
    Problem(Problem),
    /// Sign in first, then go on there.
    SignIn(String),
    /// No admin has set a password yet.
    NoAdmin,
    /// The set-up link is wrong, used or too old.
    NoLink,
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<store::Error> for Stop {
    fn from(error: store::Error) -> Self {
        Self::Problem(error.into())
    }
}

/// Everything under `/admin`.
pub fn routes(app: &App) -> BoxedFilter<(Response,)> {
    let desk = Arc::new(Desk::default());
    warp::path("admin")
        .and(warp::path::tail())
        .and(call::call(app))
        .then(move |path: Tail, call: Call| {
            let desk = Arc::clone(&desk);
            async move {
                let https = call.app.settings.public_origin.starts_with("https://");
                let doubt = call.app.store.doubt().map(|doubt| (call.app.clone(), call.headers.clone(), doubt));
                let reply = route(&desk, path.as_str(), call).await.unwrap_or_else(|stop| {
                    let told = doubt.filter(|(app, headers, _)| session::is_open(app, headers));
                    stopped(stop, told.map(|(.., doubt)| doubt.to_string()).as_deref())
                });
                let mut reply = view::secured(reply, https);
                reply.extensions_mut().insert(Matched("/admin/{page*}"));
                reply
            }
        })
        .boxed()
}

/// The page at that path behind `/admin/`, which is matched as it was sent: nothing is decoded.
async fn route(desk: &Desk, path: &str, call: Call) -> Result<Response, Stop> {
    let parts: Vec<&str> = path.split('/').collect();
    if let ["assets", name] = parts[..] {
        call.get_only()?;
        return Ok(assets::serve(name)?);
    }
    csrf::needs_private_way(&call.headers, &call.app.settings.public_origin)?;
    match parts[..] {
        ["setup"] => setup::serve(desk, call).await,
        ["sign-in"] => sign_in::serve(desk, call).await,
        ["sign-out"] => sign_in::out(call).await,
        [""] => overview::show(call).await,
        ["users"] => users::list(call).await,
        ["users", "ever"] => ever::ask(call).await,
        ["users", id] => user::serve(call, id).await,
        ["users", id, "object"] => user::object::show(call, id).await,
        ["users", id, "delete"] => user::delete::serve(desk, call, id).await,
        ["users", id, "act"] => user::act::serve(desk, call, id).await,
        ["users", id, "erase"] => erase::serve(desk, call, id).await,
        ["audit"] => audit::serve(call).await,
        ["test"] => send_test::serve(call).await,
        ["deliveries"] => deliveries::show(call).await,
        ["quarantine"] => quarantine::list(call).await,
        ["quarantine", "reprocess"] => quarantine::reprocess_all(call).await,
        ["quarantine", seq] => quarantine::one(call, seq).await,
        ["quarantine", seq, "reprocess"] => quarantine::reprocess(call, seq).await,
        ["quarantine", seq, "discard"] => quarantine::discard(call, seq).await,
        ["audit", "export"] => audit::export(call).await,
        ["audit", "live"] => audit::live(call).await,
        ["audit", seq] => audit::one(call, seq).await,
        ["audit", seq, "leaf"] => audit::file(call, seq, audit::File::Leaf).await,
        ["audit", seq, "detail"] => audit::file(call, seq, audit::File::Detail).await,
        ["audit", seq, "proof"] => audit::file(call, seq, audit::File::Proof).await,
        ["system"] => system::show(call).await,
        ["settings"] => settings::show(call).await,
        ["log"] => log_key::show(call).await,
        ["clerk"] => clerk::serve(call).await,
        ["backups"] => backups::serve(call).await,
        ["backups", "download"] => backups::download(desk, call).await,
        ["targets"] => targets::serve(desk, call).await,
        ["targets", name] => targets::one::serve(desk, call, name).await,
        ["targets", name, "pause"] => targets::acts::serve(call, name, Act::Pause).await,
        ["targets", name, "resume"] => targets::acts::serve(call, name, Act::Resume).await,
        ["targets", name, "retry"] => targets::acts::serve(call, name, Act::Retry).await,
        ["targets", name, "test"] => targets::acts::serve(call, name, Act::Test).await,
        ["targets", name, "replay"] => targets::acts::place(call, name).await,
        ["targets", name, "replay", place] => targets::acts::replay(desk, call, name, place).await,
        ["targets", name, "secret"] => targets::secret::serve(desk, call, name).await,
        ["targets", name, "skip", seq] => targets::acts::skip(desk, call, name, seq).await,
        ["targets", name, "remove"] => targets::acts::remove(desk, call, name).await,
        ["keys"] => keys::serve(desk, call).await,
        ["keys", id, "revoke"] => keys::revoke(call, id).await,
        ["admins"] => admins::serve(desk, call).await,
        ["admins", name, "link"] => admins::reset(desk, call, name).await,
        ["admins", name, "remove"] => admins::remove(desk, call, name).await,
        ["password"] => password_change::serve(desk, call).await,
        ["sessions", "end"] => sessions::end_all(call).await,
        ["sessions", id, "end"] => sessions::end(call, id).await,
        _ => Err(Problem::not_found().into()),
    }
}

fn stopped(stop: Stop, doubt: Option<&str>) -> Response {
    match stop {
        Stop::Problem(problem) => view::problem(&problem, doubt),
        Stop::SignIn(next) => reply::see_other(&sign_in::address(&next)),
        Stop::NoAdmin => view::no_admin(),
        Stop::NoLink => view::no_link(),
    }
}
