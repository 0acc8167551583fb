//! What a target is and where it begins, as forms have it.

use super::super::alert::Alert;
use super::super::brief::{FIELD, brief, cut};
use super::super::form::filled;
use super::super::when::day_begins;
use crate::audit::feed::Types;
use crate::clock::Timestamp;
use crate::forward::{self, Start};
use crate::http::problem::{Kind as Fault, Problem};
use crate::target::{CALLS, Kind, Target, TargetName};

/// The longest address, in bytes.
const LONGEST: usize = 1024;

/// The field that something is wrong with, and what, in words behind a colon.
pub(super) type Wrong = (&'static str, &'static str);

/// One of several.
pub(super) struct Choice {
    pub(super) value: &'static str,
    pub(super) label: &'static str,
    pub(super) hint: &'static str,
}

/// What a target can be told.
pub(super) const KINDS: [Choice; 2] = [
    Choice {
        value: "events",
        label: "Each event",
        hint: "as JSON, signed as Standard Webhooks with a secret of its own",
    },
    Choice {
        value: "api",
        label: "What becomes of users",
        hint: "as calls: POST /users, PATCH /users/{id}, DELETE /users/webhook/{id}",
    },
];

/// Where a target can begin, or go on.
pub(super) const WAYS: [Choice; 4] = [
    Choice { value: "now", label: "What comes from now on", hint: "" },
    Choice { value: "all", label: "The oldest entry there is", hint: "" },
    Choice { value: "entry", label: "The entry of this number", hint: "" },
    Choice { value: "day", label: "The first entry of this day", hint: "in UTC" },
];

/// What was typed.
#[derive(Default)]
pub(super) struct Typed {
    pub(super) name: String,
    pub(super) url: String,
    pub(super) kind: String,
    pub(super) types: String,
    pub(super) bearer: bool,
    pub(super) from: String,
    pub(super) entry: String,
    pub(super) day: String,
}

impl Typed {
    /// What is proposed for a new one.
    pub(super) fn proposed() -> Self {
        Self { kind: KINDS[0].value.to_owned(), from: WAYS[0].value.to_owned(), ..Self::default() }
    }

    /// What a target is.
    pub(super) fn of(target: &Target) -> Self {
        Self {
            url: cut(&target.url, LONGEST).0.to_owned(),
            kind: word(target.kind).to_owned(),
            types: if target.types.are_all() { String::new() } else { target.types.to_string() },
            bearer: target.bearer,
            ..Self::default()
        }
    }

    /// What of it is shown again where it was refused.
    pub(super) fn cut(&self) -> Self {
        let cut = |text: &str| cut(text, FIELD).0.to_owned();
        Self {
            name: cut(&self.name),
            url: cut(&self.url),
            kind: cut(&self.kind),
            types: cut(&self.types),
            bearer: self.bearer,
            from: cut(&self.from),
            entry: cut(&self.entry),
            day: cut(&self.day),
        }
    }
}

/// The target of that name that was given.
///
/// # Errors
/// What is wrong with it, in words behind a colon.
pub(super) fn target(name: TargetName, given: &Typed) -> Result<Target, Wrong> {
    let kind = match &*given.kind {
        "events" => Kind::Events,
        "api" => Kind::Api,
        _ => return Err(("kind", "choose what it is told")),
    };
    let types = filled(Some(&given.types)).map(|types| types.replace(", ", ",").parse()).transpose();
    let types: Types = types
        .map_err(|_| ("types", "events are up to 32 names such as user.created or user.*, separated by commas"))?
        .unwrap_or_default();
    // Sign-ins make calls for those with a token, whatever the types.
    if kind == Kind::Api && !given.bearer && !CALLS.iter().any(|action| types.fit(action)) {
        return Err((
            "types",
            "calls are made of user.created, user.updated and user.deleted, and none of them is named",
        ));
    }
    let url = given.url.trim().to_owned();
    if url.len() > LONGEST {
        return Err(("url", "its address is longer than any should be"));
    }
    Ok(Target { name, url, kind, types, bearer: given.bearer })
}

/// Where to begin.
///
/// # Errors
/// What is wrong with it, in words behind a colon.
pub(super) fn start(typed: &Typed, now: Timestamp) -> Result<Start, Wrong> {
    match &*typed.from {
        "now" => Ok(Start::Now),
        "all" => Ok(Start::Beginning),
        "entry" => {
            let digits = typed.entry.trim();
            let seq = digits.parse().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()));
            seq.map(Start::At).ok_or(("entry", "the number of the entry is missing, or is none"))
        }
        "day" => match day_begins(&typed.day) {
            Some(at) if at > now => Err(("day", "that day has not come yet")),
            Some(at) => Ok(Start::Since(at)),
            None => Err(("day", "the day is missing, or is none")),
        },
        _ => Err(("from", "choose where it begins")),
    }
}

/// The word for a kind in forms and settings.
pub(super) const fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Events => "events",
        Kind::Api => "api",
    }
}

/// Why nothing was changed, where whoever asked can do something about it; `said` is what was not done.
///
/// # Errors
/// Where they cannot.
pub(super) fn refusal(said: &str, error: forward::Error) -> Result<Alert, Problem> {
    use forward::Error;
    let field = match &error {
        Error::Address(_) => "url",
        Error::BearerOfEvents | Error::NoKey => "bearer",
        Error::Taken => "name",
        Error::Ahead => "entry",
        _ => "",
    };
    match error {
        Error::Unknown => Err(Problem::not_found()),
        Error::Store(error) => Err(error.into()),
        Error::Stopping => Err(Problem::unavailable("Rollbook is stopping. Nothing was changed.", 10)),
        Error::NoRandomness(cause) => {
            Err(Problem::new(Fault::Internal, "Something went wrong on our side.").because(cause))
        }
        Error::Secrets(cause) => {
            let detail = "The secrets beside the data file cannot be written. Nothing was changed.";
            Err(Problem::unavailable(detail, 60).because(cause))
        }
        error => Ok(Alert::of(field, format!("{said}: {error}."))),
    }
}

/// The text with a capital.
pub(super) fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Words as a sentence of at most so many bytes of HTML.
pub(super) fn sentence(words: &str, most: usize) -> String {
    if words.is_empty() { String::new() } else { format!("{}.", capital(&brief(words, most))) }
}
