//! Numbers of deliveries in words, and what to do about those that were refused.

use std::collections::BTreeMap;
use std::time::Duration;

use super::number;

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
            "rollbook_event" => {
                "A Rollbook, maybe this one, tells its events to this address: a target of the kind “events” leads here. \
                 Give that target another address."
            }
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
        "rollbook_event" => "event of a Rollbook",
        "unavailable" => "unavailable",
        _ => "refused",
    }
}

/// A duration in the unit that suits it.
pub(super) fn exact(took: Duration) -> String {
    let micros = took.as_micros();
    match micros {
        0..10_000 => format!("{}.{} ms", micros / 1000, micros % 1000 / 100),
        10_000..1_000_000 => format!("{} ms", micros / 1000),
        _ => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_people_do() {
        let said = [0, 100, 999, 1000, 2500, 12_345, 500_000, 1_000_000, 2_500_000]
            .map(|micros| exact(Duration::from_micros(micros)));
        assert_eq!(said, ["0.0 ms", "0.1 ms", "0.9 ms", "1.0 ms", "2.5 ms", "12 ms", "500 ms", "1.0 s", "2.5 s"]);
    }
}
