//! A signed event to ourselves and back: whether the endpoint takes what carries its signature.

use askama::Template;
use warp::http::StatusCode;
use warp::reply::Response;

use super::brief::brief;
use super::form::Nothing;
use super::view::{Frame, html};
use super::{Stop, form, session};
use crate::clerk::sender;
use crate::http::call::Call;
use crate::http::reply;

const HERE: &str = "/admin";

/// As much of an answer as is shown, in bytes of HTML.
const ANSWER: usize = 1024;

#[derive(Template)]
#[template(path = "send_test.html")]
struct Page {
    frame: Frame,
    alert: String,
}

/// `POST /admin/test`. The event goes to the address by which the form came, past every proxy.
pub(super) async fn serve(mut call: Call) -> Result<Response, Stop> {
    let admin = session::writer(&call).await?;
    let Nothing {} = form::posted(&mut call).await?;
    let found = match call.app.webhooks.sender(call.peer.local, call.app.settings.tls.is_some()) {
        Ok(sender) => failure(sender.test("test").await),
        Err(cause) => Some(cause.to_string()),
    };
    let sent = admin.did("admin.test_sent");
    let sent = if found.is_some() { sent.ended("error", "not_taken") } else { sent };
    call.app.store.record(sent).await?;
    let Some(alert) = found else { return Ok(reply::see_other("/admin?tested")) };
    Ok(html(StatusCode::BAD_GATEWAY, &Page { frame: Frame::new(&call.app, &admin, HERE), alert })?)
}

/// Why the test was not taken; `None` when it was.
fn failure(answer: Result<sender::Answer, sender::Error>) -> Option<String> {
    match answer {
        Ok(answer) if answer.status == 200 => None,
        Ok(answer) if answer.status == 401 => Some(
            "The signature was refused, although it is our own: this machine’s clock may have been set meanwhile."
                .to_owned(),
        ),
        Ok(answer) => {
            Some(format!("The answer to a signed event was {}: {}", answer.status, brief(&answer.body, ANSWER)))
        }
        Err(cause) => Some(format!("The event did not arrive: {cause}.")),
    }
}
