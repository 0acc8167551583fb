//! One target: how far it is, what it is, and what can be done about it.

use askama::Template;
use serde::Deserialize;
use warp::http::{Method, StatusCode};
use warp::reply::Response;

use super::super::alert::Alert;
use super::super::brief::brief;
use super::super::password::Password;
use super::super::session::{self, Admin};
use super::super::view::{Frame, html, number};
use super::super::when::When;
use super::super::{Desk, Stop, form, sign_in};
use super::fields::{Choice, KINDS, Typed, WAYS, refusal, sentence, target};
use super::{HERE, SENTENCE, State, address, by, known};
use crate::clock::Timestamp;
use crate::forward::{Origin, Status};
use crate::http::call::Call;
use crate::http::reply;

#[derive(Template)]
#[template(path = "target.html")]
struct Page<'a> {
    frame: Frame,
    address: String,
    name: String,
    state: State,
    done: &'a str,
    alert: Alert,
    /// The last entry it is past, as a number and as people read it.
    after: Option<(u64, String)>,
    behind: String,
    delivered: String,
    delivered_at: Option<When>,
    failing: Option<Failing>,
    is_of_settings: bool,
    has_secret: bool,
    typed: Typed,
    kinds: &'static [Choice],
    ways: &'static [Choice],
    can_bear: bool,
}

/// What is wrong at the other end.
struct Failing {
    since: When,
    /// How its answer began.
    said: Option<String>,
    seq: u64,
    shown: String,
    /// How often.
    tried: String,
    next: Option<When>,
}

/// What was just done.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Done {
    Added,
    Saved,
    Paused,
    Resumed,
    Tried,
    Skipped,
    Past,
    Moved,
    Secret,
    Tested,
    Reached,
}

impl Done {
    const fn says(self) -> &'static str {
        match self {
            Self::Added => "Added. It is told from now on.",
            Self::Saved => "Saved.",
            Self::Paused => "Paused. Nothing is sent to it until you resume it.",
            Self::Resumed => "Resumed.",
            Self::Tried => "It is being tried again.",
            Self::Skipped => "Skipped. It goes on with what comes behind.",
            Self::Past => "That entry does not wait any more. Nothing was skipped.",
            Self::Moved => "It goes on from there.",
            Self::Secret => "It has its new secret.",
            Self::Tested => "A signed test was sent, and it took it.",
            Self::Reached => "It can be reached. The secret and the calls were not tested.",
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    done: Option<Done>,
    /// The status that a `GET` of its address was answered with.
    answered: Option<u16>,
}

impl Query {
    /// What was just done, in words.
    fn says(&self) -> String {
        match (self.done, self.answered) {
            (Some(Done::Reached), Some(status)) => {
                format!("It answered {status} to a GET. The secret and the calls were not tested.")
            }
            (done, _) => done.map_or("", Done::says).to_owned(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    url: String,
    kind: String,
    types: String,
    bearer: Option<String>,
    password: Password,
}

/// `GET` and `POST /admin/targets/{name}`.
pub(in super::super) async fn serve(desk: &Desk, mut call: Call, name: &str) -> Result<Response, Stop> {
    let admin = session::either(&call, HERE).await?;
    let status = known(&call, name)?;
    if call.method == Method::GET {
        let query: Query = call.query()?;
        return show(&call, &admin, &status, StatusCode::OK, &query.says(), Alert::default(), None);
    }
    call.no_query()?;
    let form = form::posted(&mut call).await?;
    change(desk, &call, &admin, &status, form).await
}

async fn change(desk: &Desk, call: &Call, admin: &Admin, status: &Status, form: Form) -> Result<Response, Stop> {
    let Form { url, kind, types, bearer, password } = form;
    let typed = Typed { url, kind, types, bearer: bearer.is_some(), ..Typed::default() };
    let refused = |code, alert: Alert| show(call, admin, status, code, "", alert, Some(typed.cut()));
    let target = match target(status.target.name.clone(), &typed) {
        Ok(target) => target,
        Err((field, cause)) => {
            return refused(StatusCode::BAD_REQUEST, Alert::of(field, format!("Nothing was saved: {cause}.")));
        }
    };
    if !sign_in::is_theirs(desk, call, admin, password).await? {
        let alert = Alert::of("password", "That is not your password. Nothing was saved.");
        return refused(StatusCode::FORBIDDEN, alert);
    }
    match call.app.forwarder.change(target, by(admin)).await {
        Ok(()) => Ok(done(status, Done::Saved)),
        Err(error) => refused(StatusCode::BAD_REQUEST, refusal("Nothing was saved", error)?),
    }
}

/// Back to the page, which says what was done.
pub(super) fn done(status: &Status, done: Done) -> Response {
    let word = match done {
        Done::Added => "added",
        Done::Saved => "saved",
        Done::Paused => "paused",
        Done::Resumed => "resumed",
        Done::Tried => "tried",
        Done::Skipped => "skipped",
        Done::Past => "past",
        Done::Moved => "moved",
        Done::Secret => "secret",
        Done::Tested => "tested",
        Done::Reached => "reached",
    };
    reply::see_other(&format!("{}?done={word}", address(&status.target.name)))
}

/// The page; the form is filled in as it was sent, if it was.
pub(super) fn show(
    call: &Call,
    admin: &Admin,
    status: &Status,
    code: StatusCode,
    done: &str,
    alert: Alert,
    typed: Option<Typed>,
) -> Result<Response, Stop> {
    let (now, course) = (call.app.clock.now(), &status.course);
    let mut state = State::new(status, now);
    if let (Some(failing), "Failing") = (&course.failing, &*state.word) {
        // What was tried, and since when, stands below.
        state.sentence = sentence(&failing.why, SENTENCE);
    }
    let page = Page {
        frame: Frame::new(&call.app, admin, HERE),
        address: address(&status.target.name),
        name: status.target.name.to_string(),
        state,
        done,
        alert,
        after: course.after.map(|seq| (seq, number(seq))),
        behind: number(status.behind),
        delivered: number(course.delivered),
        delivered_at: course.delivered_at.map(|at| When::ago(at, now)),
        failing: Failing::of(status, now),
        is_of_settings: status.origin == Origin::Settings,
        has_secret: status.has_secret,
        typed: typed.unwrap_or_else(|| Typed::of(&status.target)),
        kinds: &KINDS,
        ways: &WAYS,
        can_bear: call.app.backend.is_some(),
    };
    Ok(html(code, &page)?)
}

impl Failing {
    fn of(status: &Status, now: Timestamp) -> Option<Self> {
        let failing = status.course.failing.as_ref()?;
        Some(Self {
            since: When::ago(failing.since, now),
            said: status.said.as_ref().map(|said| brief(said, SENTENCE)),
            seq: failing.seq,
            shown: number(failing.seq),
            tried: if failing.attempts == 1 { "once".to_owned() } else { format!("{} times", failing.attempts) },
            next: status.next_try_at.map(|at| When::ahead(at, now)),
        })
    }
}
