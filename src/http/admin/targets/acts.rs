//! What an admin does with a target.

use std::cmp::Ordering;

use serde::Deserialize;
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::super::alert::Alert;
use super::super::brief::brief;
use super::super::form::Nothing;
use super::super::session::{self, Admin};
use super::super::sure::{self, Question};
use super::super::view::number;
use super::super::{Desk, Stop, form};
use super::fields::{Typed, refusal, start};
use super::one::{Done, done, show};
use super::{HERE, SENTENCE, address, by, known};
use crate::audit;
use crate::event::ObjectKey;
use crate::forward::{Error, Start, Status};
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
    #[serde(default)]
    from: String,
    #[serde(default)]
    entry: String,
    #[serde(default)]
    day: String,
}

/// The places that have no number of their own, in addresses.
const NOW: &str = "now";
const ALL: &str = "all";

/// What is said of a target that was not moved.
const STAYS: &str = "It stays where it is";

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
            show(&call, &admin, &status, StatusCode::BAD_REQUEST, "", refusal("Nothing was done", error)?, None)
        }
    }
}

/// `GET /admin/targets/{name}/replay`: from the place that was chosen to the page that asks whether to go there.
pub(in super::super) async fn place(call: Call, name: &str) -> Result<Response, Stop> {
    let admin = session::reader(&call, HERE).await?;
    let Place { from, entry, day } = call.query()?;
    let status = known(&call, name)?;
    let typed = Typed { from, entry, day, ..Typed::of(&status.target) };
    let place = match start(&typed, call.app.clock.now()) {
        Ok(Start::Now) => NOW.to_owned(),
        Ok(Start::Beginning) => ALL.to_owned(),
        Ok(Start::At(seq)) => seq.to_string(),
        Ok(Start::Since(at)) => call.app.store.place_at(Some(at)).await?.to_string(),
        Err((field, cause)) => {
            let alert = Alert::of(field, format!("{STAYS}: {cause}."));
            return show(&call, &admin, &status, StatusCode::BAD_REQUEST, "", alert, Some(typed.cut()));
        }
    };
    Ok(reply::see_other(&format!("{}/replay/{place}", address(&status.target.name))))
}

/// `GET` and `POST /admin/targets/{name}/replay/{place}`.
pub(in super::super) async fn replay(desk: &Desk, mut call: Call, name: &str, place: &str) -> Result<Response, Stop> {
    let admin = session::either(&call, HERE).await?;
    let status = known(&call, name)?;
    let refused = |call: &Call, alert| {
        let typed = Typed { from: "entry".to_owned(), entry: place.to_owned(), ..Typed::of(&status.target) };
        show(call, &admin, &status, StatusCode::BAD_REQUEST, "", alert, Some(typed.cut()))
    };
    let end = call.app.store.counts().entries;
    let (start, first) = match place {
        NOW => (Start::Now, end),
        ALL => (Start::Beginning, 0),
        seq => {
            let seq = seq.parse().map_err(|_| Problem::not_found())?;
            (Start::At(seq), seq)
        }
    };
    if first > end {
        return refused(&call, refusal(STAYS, Error::Ahead)?);
    }
    let page = address(&status.target.name);
    let oldest = call.app.store.place_at(None).await?;
    // What lies before the entry that waits was passed over, if that is not written down yet.
    let course = &status.course;
    let next = course.after.map_or(0, |after| after.saturating_add(1)).max(oldest);
    let next = course.failing.as_ref().map_or(next, |failing| failing.seq.max(next));
    let first = first.max(oldest);
    let question = Question {
        here: HERE,
        back: (&page, status.target.name.as_str()),
        verb: "Move",
        name: status.target.name.as_str(),
        lines: &[&way(next, first, end), "That you moved it, and where to, is noted in the log."],
        action: &format!("{page}/replay/{place}"),
        button: "Go there",
        is_loss: first > next,
    };
    if let Some(page) = sure::ask(desk, &mut call, &admin, question).await? {
        return Ok(page);
    }
    match call.app.forwarder.replay(status.target.name.clone(), start, by(&admin)).await {
        Ok(()) => Ok(done(&status, Done::Moved)),
        Err(error) => refused(&call, refusal(STAYS, error)?),
    }
}

/// What it means for a target that goes on with the entry `next` to go to `first`, in a log of `end` entries.
fn way(next: u64, first: u64, end: u64) -> String {
    let between = match first.abs_diff(next) {
        1 => "1 entry".to_owned(),
        many => format!("{} entries", number(many)),
    };
    let lie = if first.abs_diff(next) == 1 { "lies" } else { "lie" };
    let place = if first == end { "what comes from now on".to_owned() } else { format!("entry {}", number(first)) };
    match first.cmp(&next) {
        Ordering::Less => format!(
            "It goes back to {place}: {between} of the log {lie} between. The events among them are sent again, with \
             the ids they had."
        ),
        Ordering::Equal => format!("It goes on with {place}, as it would without this: nothing lies between."),
        Ordering::Greater => format!(
            "It goes on to {place}: {between} of the log {lie} between. The events among them are not sent, unless it \
             goes back there."
        ),
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
            "The target is never told of this one entry, unless it goes back to it or before.",
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
            show(&call, &admin, &status, StatusCode::BAD_REQUEST, "", refusal("Nothing was skipped", error)?, None)
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
            show(&call, &admin, &status, StatusCode::BAD_REQUEST, "", refusal("Nothing was removed", error)?, None)
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
            Some(said) => Alert::quoting(format!("The test was answered {}:", answer.status), brief(&said, SENTENCE)),
            None => Alert::of("", format!("The test was answered {}.", answer.status)),
        },
        Err(error) => refusal("The test did not arrive", error)?,
    };
    show(call, admin, status, StatusCode::BAD_GATEWAY, "", alert, None)
}
