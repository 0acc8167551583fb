//! `POST /api/webhooks/clerk` and its two other names.

use std::time::Instant;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use warp::reply::Response;

use super::call::Call;
use super::deliveries::{self, Attempt, End, UNAVAILABLE};
use super::problem::{Kind, Problem};
use super::reply;
use super::route::{Header, Operation, Route, Who};
use crate::clerk::webhook::{self, Received};
use crate::clock::Clock;
use crate::event::{DeliveryId, Outcome};
use crate::traffic;

/// The longest body taken, in bytes. Clerk's are below 20 kB.
const MAX_BODY: usize = 1024 * 1024;

/// That this is where webhooks go.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "WebhookHealth")]
struct Health {
    status: &'static str,
    service: &'static str,
    version: &'static str,
}

/// What became of a message.
#[derive(Serialize, JsonSchema)]
pub(super) struct Delivered {
    /// `applied`, `unchanged`, `stale`, `duplicate`, `recorded` or `quarantined`.
    #[schemars(with = "String")]
    outcome: Outcome,
}

/// The three headers of a signed message, as Svix names them. `webhook-…` (Standard Webhooks) will do as well.
pub(super) const SIGNED: [Header; 3] = [
    Header {
        name: "svix-id",
        about: "The message's id, the same at every attempt.",
        pattern: "^[A-Za-z0-9_-]{1,128}$",
        required: true,
    },
    Header {
        name: "svix-timestamp",
        about: "When it was signed, in seconds since 1970; at most five minutes off.",
        pattern: "^[1-9][0-9]{9,10}$",
        required: true,
    },
    Header {
        name: "svix-signature",
        about: "`v1,` and the signature in base64; several may stand here, separated by spaces.",
        pattern: "^v1,[A-Za-z0-9+/]{43}=$",
        required: true,
    },
];

/// Where webhooks come in.
pub(super) fn routes() -> Vec<Route> {
    let receive = Operation::new("receiveWebhook", "Receive a webhook from Clerk", receive)
        .tag("Webhooks")
        .describe(
            "The body is an event as Clerk sends it; the signature is over its bytes. What is answered 200 is on the disk. \
             A message that was seen before changes nothing. One that carries a good signature is kept whatever is in it: \
             what cannot be applied goes to quarantine.",
        )
        .by(Who::Signature)
        .body::<Map<String, Value>>()
        .answers::<Delivered>(200, "What became of it.");
    let health = Operation::new("webhookHealth", "Check the webhook address", health)
        .tag("Webhooks")
        .answers::<Health>(200, "It is.");
    vec![
        Route::at("/api/webhooks/clerk")
            .also("/api/webhooks")
            .also("/api/webhook/clerk")
            .post(SIGNED.into_iter().fold(receive, Operation::header))
            .get(health),
    ]
}

async fn health(_: Call) -> Result<Response, Problem> {
    Ok(reply::json(&Health { status: "ok", service: "rollbook", version: env!("CARGO_PKG_VERSION") }))
}

/// A message with a good signature.
pub(super) struct Signed {
    pub(super) received: Received,
    /// When its body was there.
    pub(super) began: Instant,
}

async fn receive(mut call: Call) -> Result<Response, Problem> {
    let signed = received(&mut call).await?;
    ingest(&call, signed).await
}

/// The message that the request is.
///
/// # Errors
/// Those of [`Call::body`]; 400 when the headers are not those of one message or it is a Rollbook's own event, 401 when its
/// signature is not good.
pub(super) async fn received(call: &mut Call) -> Result<Signed, Problem> {
    let (app, body) = (call.app.clone(), call.body(MAX_BODY).await);
    let not_taken = |call: &Call, reason| {
        app.metrics.not_delivered(reason);
        let message = call.headers.get("svix-id").and_then(|id| id.to_str().ok()?.parse::<DeliveryId>().ok());
        let (at, message) = (app.clock.now(), message.map(|id| id.to_string()));
        app.deliveries.note(Attempt { at, ip: call.ip, message, signed: None, end: End::Refused(reason) }, "");
    };
    let body = body.map_err(|problem| {
        not_taken(call, "bad_body");
        call.count_unsigned().err().unwrap_or(problem)
    });
    let (body, began) = (body?, Instant::now());
    let received = app.webhooks.receive(&call.headers, &body, app.clock.now());
    let received = received.map_err(|error| {
        not_taken(call, error.as_str());
        // Its signature is good, and an entry would be another event to tell.
        if error == webhook::Error::OfRollbook {
            return refused(error);
        }
        app.tally.refused("webhook.rejected", error.as_str());
        call.count_unsigned().err().unwrap_or_else(|| refused(error))
    })?;
    Ok(Signed { received, began })
}

/// Applies the message, and says what became of it.
///
/// # Errors
/// 503 when the store takes no writes.
pub(super) async fn ingest(call: &Call, signed: Signed) -> Result<Response, Problem> {
    let Signed { received: Received { delivery, secret, signed_at }, began } = signed;
    let (app, at) = (&call.app, call.app.clock.now());
    let known = deliveries::Signed {
        kind: delivery.kind().map(str::to_owned),
        is_own: delivery.kind().is_some_and(traffic::is_own),
        secret: secret + 1,
        // By the system's clock, which svix goes by.
        ahead: Clock::system().now().as_seconds() - signed_at.as_seconds(),
    };
    let message = Some(delivery.id.to_string());
    let ingested = app.store.ingest(delivery).await;
    let end = if let Ok(ingested) = &ingested {
        let took = began.elapsed();
        app.metrics.delivered(ingested.outcome, took);
        End::Taken(*ingested, took)
    } else {
        app.metrics.not_delivered(UNAVAILABLE);
        End::Refused(UNAVAILABLE)
    };
    let fingerprint = app.webhooks.fingerprints().nth(secret).unwrap_or_default();
    app.deliveries.note(Attempt { at, ip: call.ip, message, signed: Some(known), end }, fingerprint);
    Ok(reply::json(&Delivered { outcome: ingested?.outcome }))
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
        webhook::Error::OfRollbook => Problem::bad_request(
            "This is an event of a Rollbook, not of Clerk. A target of the kind `events` cannot be a Rollbook's webhook \
             address; the kind `api` calls another Rollbook's API.",
        ),
    };
    problem.because(error)
}
