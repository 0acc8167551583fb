//! `GET /health`, `GET /ready` and `GET /`.

use serde::Serialize;
use warp::reply::Response;

use super::call::Call;
use super::problem::Problem;
use super::reply;

#[derive(Serialize)]
struct Status {
    status: &'static str,
}

/// The process answers.
pub(super) async fn health(call: Call) -> Result<Response, Problem> {
    call.get_only()?;
    Ok(reply::json(&Status { status: "ok" }))
}

/// Whoever opens the bare address in a browser wants the admin page.
pub(super) async fn front_door(call: Call) -> Result<Response, Problem> {
    call.get_only()?;
    Ok(reply::see_other("/admin"))
}

/// The store takes writes.
pub(super) async fn ready(call: Call) -> Result<Response, Problem> {
    call.get_only()?;
    if call.app.store.is_ready() {
        Ok(reply::json(&Status { status: "ok" }))
    } else {
        Err(Problem::unavailable("The store takes no writes.", 5))
    }
}
