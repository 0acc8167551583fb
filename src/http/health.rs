//! `GET /health`, `GET /ready` and `GET /`.

use schemars::JsonSchema;
use serde::Serialize;
use warp::reply::Response;

use super::call::Call;
use super::problem::Problem;
use super::reply;
use super::route::{Operation, Route};

/// Always `ok`; what is not answers otherwise.
#[derive(Serialize, JsonSchema)]
struct Status {
    status: &'static str,
}

/// What is there for those who watch over the server.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::at("/health").get(
            Operation::new("health", "Whether the process answers", health)
                .tag("Operation")
                .answers::<Status>(200, "It does."),
        ),
        Route::at("/ready").get(
            Operation::new("ready", "Whether the store takes writes", ready)
                .tag("Operation")
                .describe("503 when it does not: after an error of the disk, or while the log is in doubt.")
                .answers::<Status>(200, "It does.")
                .problems(&[503]),
        ),
        Route::at("/").get(
            Operation::new("frontDoor", "Go to the admin page", front_door)
                .tag("Operation")
                .answers_bare(303, "The admin page is at `/admin`."),
        ),
    ]
}

/// The process answers.
async fn health(_: Call) -> Result<Response, Problem> {
    Ok(well())
}

/// What says so.
pub(super) fn well() -> Response {
    reply::json(&Status { status: "ok" })
}

/// Whoever opens the bare address in a browser wants the admin page.
async fn front_door(_: Call) -> Result<Response, Problem> {
    Ok(reply::see_other("/admin"))
}

/// The store takes writes.
async fn ready(call: Call) -> Result<Response, Problem> {
    if call.app.store.is_ready() {
        Ok(reply::json(&Status { status: "ok" }))
    } else {
        Err(Problem::unavailable("The store takes no writes.", 5))
    }
}
