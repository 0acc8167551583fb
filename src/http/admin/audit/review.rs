//! How far the log was reviewed, and the form to say that it was.

use serde::Deserialize;
use warp::http::StatusCode;
use warp::reply::Response;

use super::super::brief::cut;
use super::super::entry::{Row, Rows};
use super::super::session::Admin;
use super::super::view::number;
use super::super::when::When;
use super::super::{Stop, form};
use super::search::Search;
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::{reply, review};
use crate::store::{ReviewError, Reviewed};

/// What a note may weigh when it is shown again, in bytes of HTML: one that is not too long fits.
const NOTE: usize = 10 * 1024;

/// What the page says of reviews.
#[derive(Debug)]
pub(super) struct Review {
    pub(super) last: Option<Last>,
    pub(super) since: String,
    /// The newest entry that the page shows, for the form and for people.
    pub(super) to: u64,
    pub(super) number: String,
    pub(super) done: bool,
    pub(super) alert: &'static str,
    pub(super) note: String,
}

/// The newest review.
#[derive(Debug)]
pub(super) struct Last {
    pub(super) to: String,
    pub(super) at: When,
    /// The review's own entry.
    pub(super) row: Row,
    pub(super) note: Option<String>,
}

/// What is wrong with a review, and the note that was typed.
#[derive(Debug)]
pub(super) struct Refused {
    problem: Problem,
    note: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    to: u64,
    note: String,
}

/// `POST /admin/audit`.
pub(super) async fn take(mut call: Call, admin: &Admin) -> Result<Response, Stop> {
    let Form { to, note } = form::posted(&mut call).await?;
    let refused = match review::noted(admin.did("audit.reviewed"), &note) {
        Err(problem) => problem,
        Ok(entry) => match call.app.store.review(to, entry).await {
            Ok(_) => return Ok(reply::see_other("/admin/audit?reviewed")),
            Err(ReviewError::Store(error)) => return Err(error.into()),
            Err(error) => error.into(),
        },
    };
    super::show(&call, admin, &Search::default(), Some(Refused { problem: refused, note })).await
}

impl Review {
    /// What there is to say where entries up to `newest` are shown.
    ///
    /// # Errors
    /// 503 when the reviewer cannot be looked up.
    pub(super) fn new(reviewed: Reviewed, newest: u64, done: bool, rows: &mut Rows<'_>) -> Result<Self, Problem> {
        let last = match reviewed.last {
            None => None,
            Some(last) => Some(Last {
                to: number(last.to),
                at: rows.day(last.entry.leaf.at),
                note: last.entry.detail.as_ref().and_then(|detail| Some(detail.get("note")?.as_str()?.to_owned())),
                row: rows.row(last.entry)?,
            }),
        };
        Ok(Self {
            last,
            since: number(reviewed.since),
            to: newest,
            number: number(newest),
            done,
            alert: "",
            note: String::new(),
        })
    }

    /// The same with what is wrong with the form just sent; says with what status to answer.
    pub(super) fn refuse(&mut self, refused: Refused) -> StatusCode {
        let Refused { problem, note } = refused;
        (self.alert, self.note) = (problem.words().1, cut(&note, NOTE).0.to_owned());
        problem.status()
    }
}
