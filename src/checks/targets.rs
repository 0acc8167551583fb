//! How the services stand that are told of what happens, in words.

use super::{Check, Level, ago, counted};
use crate::clock::Timestamp;
use crate::forward::{Status, Stuck};
use crate::target::Failing;

/// What the checks of services that are told are called.
pub const TARGETS: &str = "targets";

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
        return vec![Check::ok(TARGETS, "no target is told of what happens (ROLLBOOK_FORWARD_URL)")];
    }
    let check = |status: &Status| {
        let Standing { level, word, found, advice } = standing(status, now);
        let found = if found.is_empty() { word.to_owned() } else { found };
        Check {
            name: TARGETS,
            level,
            found: format!("target {}: {found}", status.target.name),
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
        let paused =
            status.course.paused_for.as_ref().map_or_else(|| "paused".to_owned(), |why| format!("paused: {why}"));
        let found = behind.map_or_else(|| paused.clone(), |behind| format!("{paused}, {behind}"));
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
        found: format!("{why}; entry {seq} was {tried}, since {}", ago(age / 1000)),
        advice: "check the target; its events are kept and will be sent",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::audit::feed::Types;
    use crate::forward::Origin;
    use crate::target::{Course, Kind, Target};

    const NOW: Timestamp = Timestamp::from_millis(1_795_284_191_000);

    fn status() -> Status {
        let url = "https://hooks.example.com/".to_owned();
        let name = "crm".parse().unwrap();
        Status {
            target: Target { name, url, kind: Kind::Events, types: Types::default(), bearer: false },
            origin: Origin::Page,
            course: Course::default(),
            behind: 0,
            next_try_at: None,
            said: None,
            stuck: None,
            failures: 0,
            has_secret: true,
        }
    }

    fn failing_since(minutes: i64) -> Status {
        let since = NOW.plus_millis(-minutes * 60_000);
        let failing = Failing { since, attempts: 4, seq: 12, why: "it answers 503".to_owned() };
        Status { course: Course { failing: Some(failing), ..Course::default() }, behind: 3, ..status() }
    }

    #[test]
    fn the_worst_that_is_known_of_a_service_is_told() {
        let paused = Status { course: Course { paused: true, ..failing_since(90).course }, behind: 1, ..status() };
        for (status, level, word, found) in [
            (status(), Level::Ok, "up to date", ""),
            (Status { behind: 2, ..status() }, Level::Ok, "behind", "2 entries behind"),
            (
                failing_since(59),
                Level::Warning,
                "failing",
                "it answers 503; entry 12 was tried 4 times, since 59 minutes",
            ),
            (failing_since(60), Level::Failure, "failing", "it answers 503; entry 12"),
            (
                Status { stuck: Some(Stuck::NoSecret), ..failing_since(1) },
                Level::Failure,
                "no secret",
                "its secret is not",
            ),
            (Status { stuck: Some(Stuck::Ahead), ..status() }, Level::Failure, "stands still", "the log ends before"),
            (
                Status {
                    course: Course { paused_for: Some("it answered 410 (gone)".into()), ..paused.course.clone() },
                    ..paused.clone()
                },
                Level::Warning,
                "paused",
                "paused: it answered 410 (gone), 1 entry behind",
            ),
            (paused, Level::Warning, "paused", "paused, 1 entry behind"),
        ] {
            let standing = standing(&status, NOW);
            assert_eq!((standing.level, standing.word), (level, word), "{status:?}");
            assert!(standing.found.starts_with(found), "{standing:?}");
        }
    }

    #[test]
    fn there_is_a_check_for_each_service_or_one_that_says_there_is_none() {
        assert!(targets(&[], NOW)[0].found.contains("ROLLBOOK_FORWARD_URL"));
        let found = targets(&[status(), failing_since(1)], NOW);
        assert_eq!(found.iter().map(|check| &*check.found).next(), Some("target crm: up to date"));
        assert!(found.len() == 2 && found[1].sentence().ends_with("will be sent"), "{found:?}");
    }
}
