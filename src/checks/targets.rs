//! How the services stand that are told of what happens, in words.

use super::{Check, Level, ago, counted};
use crate::clock::Timestamp;
use crate::forward::{Status, Stuck};
use crate::target::Failing;

/// What the checks of services that are told are called.
pub const TARGETS: &str = "forwarding";

/// After how long a service that does not take what it is told is a failure, in milliseconds: an hour.
const OUTAGE: i64 = 60 * 60 * 1000;

/// How one service stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// How well.
    pub level: Level,
    /// In a word or two.
    pub word: &'static str,
    /// What there is to say besides, without a full stop; empty when there is nothing.
    pub found: String,
    /// What to do, without a full stop; empty when there is nothing to do.
    pub advice: &'static str,
}

/// Whether each service that is told takes it: one check for each, or one that says there is none.
#[must_use]
pub fn targets(all: &[Status], now: Timestamp) -> Vec<Check> {
    if all.is_empty() {
        return vec![Check::ok(TARGETS, "no service is told of what happens (ROLLBOOK_FORWARD_URL)")];
    }
    let check = |status: &Status| {
        let Standing { level, word, found, advice } = standing(status, now);
        let found = if found.is_empty() { word.to_owned() } else { found };
        Check {
            name: TARGETS,
            level,
            found: format!("service {}: {found}", status.target.name),
            advice: advice.to_owned(),
        }
    };
    all.iter().map(check).collect()
}

/// How a service stands.
#[must_use]
pub fn standing(status: &Status, now: Timestamp) -> Standing {
    let behind = (status.behind > 0).then(|| format!("{} behind", counted(status.behind, "entry", "entries")));
    if status.course.paused {
        let found = behind.map_or_else(|| "paused".to_owned(), |behind| format!("paused, {behind}"));
        return Standing { level: Level::Warning, word: "paused", found, advice: "resume it on the admin page" };
    }
    if let Some(stuck) = &status.stuck {
        let word = if *stuck == Stuck::NoSecret { "no secret" } else { "stands still" };
        return Standing { level: Level::Failure, word, found: stuck.to_string(), advice: "" };
    }
    match (&status.course.failing, behind) {
        (Some(failing), _) => failure(failing, now),
        (None, Some(found)) => Standing { level: Level::Ok, word: "behind", found, advice: "" },
        (None, None) => Standing { level: Level::Ok, word: "up to date", found: String::new(), advice: "" },
    }
}

fn failure(failing: &Failing, now: Timestamp) -> Standing {
    let age = now.as_millis() - failing.since.as_millis();
    let Failing { attempts, seq, why, .. } = failing;
    let tried = if *attempts == 1 { "tried once".to_owned() } else { format!("tried {attempts} times") };
    Standing {
        level: if age < OUTAGE { Level::Warning } else { Level::Failure },
        word: "failing",
        found: format!("{why}; entry {seq} was {tried}, first {}", ago(age / 1000)),
        advice: "see to the service: what it is to be told waits for it",
    }
}
