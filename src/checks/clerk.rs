//! Clerk's Backend API, and how the roll stands to Clerk's own list of users.

use super::{Check, DAY, ago};
use crate::clerk::backend;
use crate::clock::Timestamp;
use crate::sync::{Report, Walked};

/// What the check of the last comparison with Clerk's users is called.
pub const COMPARED: &str = "comparison";

/// How old the last comparison may be, in days: the longest interval that can be set is a week.
const OLDEST: i64 = 8;

/// Whether Clerk takes the secret key, by what it `said` when it was asked for the number of its users; `None` without a key.
/// `theirs` is the Clerk instance that the key is of, `ours` the one whose events are applied, as far as either is known.
#[must_use]
pub fn answered(said: Option<&Result<u64, backend::Error>>, theirs: Option<&str>, ours: Option<&str>) -> Check {
    const NAME: &str = "Clerk's API";
    let other = theirs.zip(ours).filter(|(theirs, ours)| theirs != ours);
    match (said, other) {
        (None, _) => Check::ok(NAME, "not set: lost webhooks cannot be found; set CLERK_SECRET_KEY"),
        (Some(Err(error)), _) => {
            let advice = match error {
                backend::Error::Limited(_) | backend::Error::Broken(_) => "try again later",
                backend::Error::Unreachable | backend::Error::TooSlow => "look at the way to the internet",
                _ => "",
            };
            Check::failure(NAME, error.to_string(), advice)
        }
        (Some(Ok(_)), Some((theirs, ours))) => Check::failure(
            NAME,
            format!("the secret key is of the instance {theirs}, and the events here are of {ours}"),
            "set CLERK_SECRET_KEY to the key of the same instance",
        ),
        (Some(Ok(users)), None) => Check::ok(NAME, format!("takes the secret key; Clerk has {}", people(*users))),
    }
}

/// Whether there are as many users at Clerk as here, those counted in whom Clerk has and who were deleted or erased here, or
/// who could not be read.
#[must_use]
pub fn counted_there(theirs: u64, users: u64, apart: u64, failed: u64) -> Check {
    const NAME: &str = "users";
    let ours = match apart {
        0 => users.to_string(),
        apart => format!("{users}, and {apart} deleted or erased here alone"),
    };
    let report = Report { failed, apart, ..Report::default() };
    if theirs == users + apart {
        Check::ok(NAME, format!("as many on the roll as Clerk has: {ours}"))
    } else if theirs == report.counted(users, theirs) {
        Check::ok(NAME, format!("Clerk has {}, and the roll {ours}; the others cannot be read", people(theirs)))
    } else {
        let found = format!("Clerk has {}, and the roll {ours}", people(theirs));
        Check::warning(NAME, found, "if this lasts longer than a minute, `rollbook sync` finds who it is")
    }
}

/// How the last comparison with all of Clerk's users ended; `failure` says why the newest attempt did not. `None` without a
/// key: then there are none.
#[must_use]
pub fn compared(has_key: bool, last: Option<&Walked>, failure: Option<&str>, now: Timestamp) -> Option<Check> {
    const LOST: &str = "look in the Clerk Dashboard for failed messages, and whether the endpoint is for all events";
    if !has_key {
        return None;
    }
    if let Some(cause) = failure {
        let found = format!("the users could not be compared with Clerk's: {cause}");
        // Some causes say themselves what to do.
        let advice = if cause.contains("`rollbook sync") { "" } else { "`rollbook sync` tries again" };
        return Some(Check::warning(COMPARED, found, advice));
    }
    let Some(last) = last else {
        return Some(Check::ok(COMPARED, "the users have not been compared with Clerk's yet"));
    };
    let age = now.as_millis() - last.ended_at.as_millis();
    let when = ago(age / 1000);
    Some(match last.lost() {
        _ if age > OLDEST * DAY => {
            let found = format!("the users were last compared with Clerk's {} days ago", age / DAY);
            Check::warning(COMPARED, found, "run `rollbook sync`, or set ROLLBOOK_SYNC_INTERVAL")
        }
        0 if last.report.failed > 0 => {
            let found = format!("{} could not be compared {when}", people(last.report.failed));
            Check::warning(COMPARED, found, "`rollbook sync` tries again")
        }
        0 if last.drift() > 0 => Check::ok(
            COMPARED,
            format!("first comparison {when}: {} differed, and were put right", people(last.drift())),
        ),
        0 => Check::ok(COMPARED, format!("no user differed from Clerk's {when}")),
        drift => Check::warning(
            COMPARED,
            format!("{} differed from Clerk's {when}, and were put right", people(drift)),
            LOST,
        ),
    })
}

fn people(count: u64) -> String {
    if count == 1 { "1 user".to_owned() } else { format!("{count} users") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;
    use crate::checks::Level;

    #[test]
    fn a_key_is_taken_or_it_is_said_why_not() {
        let of = |said: Result<u64, backend::Error>, theirs, ours| answered(Some(&said), theirs, ours);
        assert_eq!(answered(None, None, None).level, Level::Ok);
        let fine = of(Ok(1), Some("ins_1"), Some("ins_1"));
        assert!(fine.level == Level::Ok && fine.found.ends_with("Clerk has 1 user"), "{fine:?}");
        assert_eq!(of(Ok(2), None, Some("ins_1")).level, Level::Ok);
        let other = of(Ok(2), Some("ins_2"), Some("ins_1"));
        assert!(other.level == Level::Failure && other.found.contains("ins_2, and the events here are of ins_1"));
        let refused = of(Err(backend::Error::Key), None, None);
        assert!(refused.level == Level::Failure && refused.sentence().contains("CLERK_SECRET_KEY"), "{refused:?}");
        let limited = of(Err(backend::Error::Limited(Duration::from_secs(7))), None, None);
        assert!(limited.sentence().ends_with("try again in 7 s; try again later"), "{limited:?}");
        let long = of(Err(backend::Error::Limited(Duration::MAX)), None, None);
        assert!(long.found.ends_with("try again in an hour or more"), "{long:?}");
    }

    #[test]
    fn numbers_agree_or_are_both_told() {
        assert_eq!(counted_there(3, 2, 1, 0).level, Level::Ok);
        assert_eq!(
            [2, 3, 4].map(|theirs| counted_there(theirs, 2, 0, 1).level),
            [Level::Ok, Level::Ok, Level::Warning]
        );
        let fewer = counted_there(3, 2, 0, 0);
        assert!(fewer.level == Level::Warning && fewer.found == "Clerk has 3 users, and the roll 2");
        assert!(counted_there(1, 2, 1, 0).found.contains("and 1 deleted or erased here alone"));
    }

    #[test]
    fn the_last_comparison_is_judged_by_age_and_by_what_it_found() {
        let now = Timestamp::from_millis(1_795_284_191_000);
        let of = |days: i64, report| {
            let ended_at = now.plus_millis(-days * DAY);
            let walked = Walked { started_at: ended_at, ended_at, is_dry: false, is_first: false, report };
            compared(true, Some(&walked), None, now).unwrap()
        };
        let even = Report { fetched: 5, unchanged: 5, ..Report::default() };
        assert_eq!(compared(false, None, None, now), None);
        assert_eq!(compared(true, None, None, now).unwrap().level, Level::Ok);
        let failed = compared(true, None, Some("Clerk is out of order"), now).unwrap();
        assert!(failed.level == Level::Warning && failed.found.ends_with("out of order"), "{failed:?}");
        let many = crate::reconcile::Error::TooManyMissing(101).to_string();
        let many = compared(true, None, Some(&many), now).unwrap();
        assert!(many.level == Level::Warning && many.advice.is_empty(), "{many:?}");
        assert_eq!([0, 8, 9].map(|days| of(days, even).level), [Level::Ok, Level::Ok, Level::Warning]);
        assert!(of(1, even).found.ends_with("24 hours ago"), "{:?}", of(1, even));
        let drifted = of(1, Report { created: 1, deleted: 2, ..even });
        assert!(drifted.level == Level::Warning && drifted.found.starts_with("3 users differed"), "{drifted:?}");
        let first = Walked {
            is_first: true,
            started_at: now,
            ended_at: now,
            is_dry: false,
            report: Report { created: 2, ..even },
        };
        let first = compared(true, Some(&first), None, now).unwrap();
        assert!(first.level == Level::Ok && first.found.contains("first comparison"), "{first:?}");
        assert!(of(1, Report { failed: 1, ..even }).found.starts_with("1 user could not be compared"));
    }
}
