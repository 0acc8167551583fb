//! What an admin does with a service that is told.

use serde::Deserialize;
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::super::brief::brief;
use super::super::form::Nothing;
use super::super::session::{self, Admin};
use super::super::sure::{self, Question};
use super::super::{Desk, Stop, form};
use super::fields::{Typed, refusal, start};
use super::one::{Done, done, show};
use super::{HERE, SENTENCE, address, by, known};
use crate::audit;
use crate::event::ObjectKey;
use crate::forward::{Error, Status};
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::reply;
use crate::target::Kind;

/// What a button does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Act {
    Pause,
    Resume,
    Retry,
    Test,
}

/// Where to go on.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    from: String,
    entry: String,
    day: String,
}

/// `POST /admin/targets/{name}/pause`, `…/resume`, `…/retry` and `…/test`.
pub(in super::super) async fn serve(mut call: Call, name: &str, act: Act) -> Result<Response, Stop> {
    let admin = session::writer(&call).await?;
    let Nothing {} = form::posted(&mut call).await?;
    let status = known(&call, name)?;
    let (forwarder, name) = (&call.app.forwarder, status.target.name.clone());
    let ended = match act {
        Act::Pause => forwarder.pause(name, by(&admin)).await.map(|()| Done::Paused),
        Act::Resume => forwarder.resume(name, by(&admin)).await.map(|()| Done::Resumed),
        Act::Retry => forwarder.retry_now(&name).map(|()| Done::Tried),
        Act::Test => return test(&call, &admin, &status).await,
    };
    match ended {
        Ok(ended) => Ok(done(&status, ended)),
        Err(error) => {
            let alert = format!("Nothing was done: {}.", refusal(error)?);
            show(&call, &admin, &status, StatusCode::BAD_REQUEST, "", &alert, None)
        }
    }
}

/// `POST /admin/targets/{name}/replay`.
pub(in super::super) async fn replay(mut call: Call, name: &str) -> Result<Response, Stop> {
    let admin = session::writer(&call).await?;
    let Place { from, entry, day } = form::posted(&mut call).await?;
    let status = known(&call, name)?;
    let typed = Typed { from, entry, day, ..Typed::of(&status.target) };
    let refused = |cause: &str| {
        let alert = format!("It stays where it is: {cause}.");
        show(&call, &admin, &status, StatusCode::BAD_REQUEST, "", &alert, Some(typed.cut()))
    };
    let start = match start(&typed) {
        Ok(start) => start,
        Err(cause) => return refused(cause),
    };
    match call.app.forwarder.replay(status.target.name.clone(), start, by(&admin)).await {
        Ok(()) => Ok(done(&status, Done::Moved)),
        Err(error) => refused(&refusal(error)?),
    }
}

/// `GET` and `POST /admin/targets/{name}/skip/{entry}`.
pub(in super::super) async fn skip(desk: &Desk, mut call: Call, name: &str, seq: &str) -> Result<Response, Stop> {
    let admin = session::either(&call, HERE).await?;
    let status = known(&call, name)?;
    let failing = status.course.failing.as_ref();
    if call.method == Method::GET && failing.is_none_or(|failing| failing.seq.to_string() != seq) {
        return Ok(done(&status, Done::Past));
    }
    let seq: u64 = seq.parse().map_err(|_| Problem::not_found())?;
    let page = address(&status.target.name);
    let question = Question {
        here: HERE,
        back: (&page, status.target.name.as_str()),
        verb: "Skip",
        name: &format!("entry {seq}"),
        lines: &[
            "The service is never told of this one entry, unless it is told all again from there or before.",
            "It goes on with what comes behind.",
            "That you skipped it is noted in the log.",
        ],
        action: &format!("{page}/skip/{seq}"),
        button: "Skip it",
        is_loss: true,
    };
    if let Some(page) = sure::ask(desk, &mut call, &admin, question).await? {
        return Ok(page);
    }
    match call.app.forwarder.skip(status.target.name.clone(), seq, by(&admin)).await {
        Ok(()) => Ok(done(&status, Done::Skipped)),
        Err(Error::NotFailing) => Ok(done(&status, Done::Past)),
        Err(error) => {
            let alert = format!("Nothing was skipped: {}.", refusal(error)?);
            show(&call, &admin, &status, StatusCode::BAD_REQUEST, "", &alert, None)
        }
    }
}

/// `GET` and `POST /admin/targets/{name}/remove`.
pub(in super::super) async fn remove(desk: &Desk, mut call: Call, name: &str) -> Result<Response, Stop> {
    let admin = session::either(&call, HERE).await?;
    let status = known(&call, name)?;
    let page = address(&status.target.name);
    let question = Question {
        here: HERE,
        back: (&page, status.target.name.as_str()),
        verb: "Remove",
        name: status.target.name.as_str(),
        lines: &[
            "It is told nothing any more, from now on.",
            "How far it was is forgotten, and its secret too.",
            "What is in the log about it stays there.",
        ],
        action: &format!("{page}/remove"),
        button: "Remove",
        is_loss: true,
    };
    if let Some(page) = sure::ask(desk, &mut call, &admin, question).await? {
        return Ok(page);
    }
    match call.app.forwarder.remove(status.target.name.clone(), by(&admin)).await {
        Ok(()) => Ok(reply::see_other(&format!("{HERE}?removed"))),
        Err(error) => {
            let alert = format!("Nothing was removed: {}.", refusal(error)?);
            show(&call, &admin, &status, StatusCode::BAD_REQUEST, "", &alert, None)
        }
    }
}

/// Sends a test, and notes that and how it was answered.
async fn test(call: &Call, admin: &Admin, status: &Status) -> Result<Response, Stop> {
    let (name, kind) = (&status.target.name, status.target.kind);
    let answer = call.app.forwarder.test(name).await;
    let code = answer.as_ref().ok().map(|answer| answer.status);
    // Whoever is only looked at may answer what they like.
    let is_good = code.is_some_and(|code| kind == Kind::Api || (200..300).contains(&code));
    let mut entry = admin.did("target.tested").with("status", code);
    entry.target = name.as_str().parse().ok().map(|id| audit::Target::Object(ObjectKey { kind: "target".into(), id }));
    call.app.store.record(if is_good { entry } else { entry.ended("error", "not_taken") }).await?;
    let alert = match answer {
        Ok(answer) if kind == Kind::Api => {
            return Ok(reply::see_other(&format!("{}?done=reached&answered={}", address(name), answer.status)));
        }
        Ok(_) if is_good => return Ok(done(status, Done::Tested)),
        Ok(answer) => match answer.said {
            Some(said) => format!("The test was answered {}: {}", answer.status, brief(&said, SENTENCE)),
            None => format!("The test was answered {}.", answer.status),
        },
        Err(error) => format!("The test did not arrive: {}.", refusal(error)?),
    };
    show(call, admin, status, StatusCode::BAD_GATEWAY, "", &alert, None)
}
