//! `POST /api/webhooks/clerk` and its two other names.

use serde::Serialize;
use warp::http::Method;
use warp::reply::Response;

use super::call::Call;
use super::problem::{Kind, Problem};
use super::reply;
use crate::clerk::webhook;
use crate::event::Outcome;

/// The longest body taken, in bytes. Clerk's are below 20 kB.
const MAX_BODY: usize = 1024 * 1024;

#[derive(Serialize)]
struct Health {
    status: &'static str,
    service: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
struct Reply {
    outcome: Outcome,
}

/// Takes a webhook, or says that this is where they go.
pub(super) async fn handle(call: Call) -> Result<Response, Problem> {
    match call.method {
        Method::GET => {
            Ok(reply::json(&Health { status: "ok", service: "rollbook", version: env!("CARGO_PKG_VERSION") }))
        }
        Method::POST => receive(call).await,
        _ => Err(Problem::method_not_allowed("GET, HEAD, POST")),
    }
}

async fn receive(mut call: Call) -> Result<Response, Problem> {
    let body = call.body(MAX_BODY).await?;
    let received = call.app.webhooks.receive(&call.headers, &body, call.app.clock.now());
    let delivery = received.map_err(|error| {
        call.app.tally.note("webhook.rejected", error.as_str());
        refused(error)
    })?;
    let ingested = call.app.store.ingest(delivery).await?;
    Ok(reply::json(&Reply { outcome: ingested.outcome }))
}

/// Says enough for an honest sender to find the mistake: Svix shows the answer in its dashboard.
fn refused(error: webhook::Error) -> Problem {
    let problem = match error {
        webhook::Error::Headers(_) => Problem::bad_request(
            "Each of svix-id, svix-timestamp and svix-signature is required, once and well formed.",
        ),
        webhook::Error::Signature => Problem::new(
            Kind::BadSignature,
            "No signature matches: the signing secret differs from this endpoint's, or the body was changed on its way.",
        ),
        webhook::Error::Timestamp(_) => Problem::new(
            Kind::BadSignature,
            "The signature's timestamp is more than five minutes off; check the clocks of both sides.",
        ),
    };
    problem.because(error)
}
