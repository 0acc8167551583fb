//! Numbers of deliveries in words, and what to do about those that were refused.

use std::collections::BTreeMap;
use std::time::Duration;

use super::number;
use crate::histogram::Histogram;

/// Deliveries that were refused for one reason.
pub(super) struct Refused {
    pub(super) word: &'static str,
    /// What it means, and what to do.
    pub(super) about: &'static str,
    pub(super) count: String,
}

/// Each reason for which any was refused.
pub(super) fn refused(counts: &BTreeMap<String, u64>) -> Vec<Refused> {
    let of = |(reason, count): (&String, &u64)| Refused {
        word: word(reason),
        about: match reason.as_str() {
            "bad_signature" => {
                "The signing secret here is not the endpoint’s, or the body was changed on its way. Compare \
                 CLERK_WEBHOOK_SIGNING_SECRET with the endpoint in the Clerk Dashboard. Now and then it is a stranger."
            }
            "bad_timestamp" => {
                "Signed more than five minutes ago, or ahead. Turn on time synchronisation on this machine; old messages \
                 that somebody sends again are refused so, too."
            }
            "bad_headers" => "Not a webhook of Clerk’s: its headers are missing or malformed. Mostly a stranger’s.",
            "bad_body" => "The body broke off, or is longer than 1 MiB. A proxy before Rollbook may have cut it.",
            "unavailable" => {
                "The signature was good, and the store took no writes. Clerk sends these again; look at the checks under \
                 System."
            }
            _ => "",
        },
        count: number(*count),
    };
    counts.iter().filter(|(_, count)| **count > 0).map(of).collect()
}

/// An outcome or a reason, for people.
pub(super) fn word(end: &str) -> &'static str {
    match end {
        "applied" => "applied",
        "unchanged" => "unchanged",
        "stale" => "stale",
        "duplicate" => "duplicate",
        "recorded" => "recorded",
        "quarantined" => "quarantined",
        "bad_signature" => "bad signature",
        "bad_timestamp" => "bad timestamp",
        "bad_headers" => "bad headers",
        "bad_body" => "bad body",
        "unavailable" => "unavailable",
        _ => "refused",
    }
}

/// A part of a whole, `99.98%`, never rounded up; `None` of nothing.
pub(super) fn percent(part: u64, whole: u64) -> Option<String> {
    let hundredths = u128::from(part) * 10_000 / (whole > 0).then_some(u128::from(whole))?;
    Some(match (hundredths / 100, hundredths % 100) {
        (ones, 0) => format!("{ones}%"),
        (ones, rest) => format!("{ones}.{rest:02}%"),
    })
}

/// Under which time half, 95 and 99 of a hundred were; `None` when there were none.
pub(super) fn latency(took: &Histogram) -> Option<[String; 3]> {
    (took.count() > 0).then(|| [50, 95, 99].map(|percent| quantile(took, percent)))
}

fn quantile(took: &Histogram, percent: u64) -> String {
    let rank = (took.count() * percent).div_ceil(100);
    match took.up_to().find(|(_, below)| *below >= rank) {
        Some((bound, _)) => format!("under {}", exact(Duration::from_micros(bound))),
        None => "over 10 s".to_owned(),
    }
}

/// A duration in the unit that suits it.
pub(super) fn exact(took: Duration) -> String {
    let micros = took.as_micros();
    match micros {
        ..10_000 if !micros.is_multiple_of(1000) => format!("{}.{} ms", micros / 1000, micros % 1000 / 100),
        ..1_000_000 => format!("{} ms", micros / 1000),
        _ if micros.is_multiple_of(1_000_000) => format!("{} s", micros / 1_000_000),
        _ => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::DURATIONS;

    #[test]
    fn durations_and_parts_are_written_as_people_do() {
        let said = [0, 100, 250, 999, 1000, 2500, 12_345, 500_000, 1_000_000, 2_500_000, 10_000_000]
            .map(|micros| exact(Duration::from_micros(micros)));
        let expected =
            ["0 ms", "0.1 ms", "0.2 ms", "0.9 ms", "1 ms", "2.5 ms", "12 ms", "500 ms", "1 s", "2.5 s", "10 s"];
        assert_eq!(said, expected);
        assert_eq!(percent(0, 0), None);
        let parts = [(1, 1), (9_999, 10_000), (99_999, 100_000), (0, 3), (1, 2)].map(|(part, of)| percent(part, of));
        assert_eq!(parts.map(Option::unwrap_or_default), ["100%", "99.99%", "99.99%", "0%", "50%"]);
    }

    #[test]
    fn latencies_are_the_bounds_above_them() {
        let mut took = Histogram::new(DURATIONS);
        assert_eq!(latency(&took), None);
        for micros in std::iter::repeat_n(900, 95).chain([4_000, 4_000, 4_000, 4_000, 20_000_000]) {
            took.note(micros);
        }
        assert_eq!(latency(&took), Some(["under 1 ms", "under 1 ms", "under 5 ms"].map(str::to_owned)));
        took.note(20_000_000);
        assert_eq!(quantile(&took, 99), "over 10 s");
    }
}
