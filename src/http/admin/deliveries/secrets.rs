//! Which signing secrets are in use, and which one has done its service.

use super::{When, number};
use crate::clock::Timestamp;
use crate::traffic::Hour;

/// After so long without a match, in milliseconds, a secret that another has replaced can go: for a day after a rotation
/// Svix signs with both.
const RETIRED: i64 = 2 * 24 * 60 * 60 * 1000;

/// A signing secret.
pub(super) struct Secret {
    /// What it is called: its place in the settings.
    pub(super) name: String,
    pub(super) fingerprint: String,
    pub(super) last: Option<When>,
    /// Deliveries within the span.
    pub(super) count: String,
    /// What to do about it.
    pub(super) advice: &'static str,
}

/// Those that are set, in their order, and those that were and matched within the last 30 days.
pub(super) fn all<'a>(set: impl Iterator<Item = &'a str>, month: &Hour, span: &Hour, now: Timestamp) -> Vec<Secret> {
    let last_at = |fingerprint: &str| month.secrets.get(fingerprint).map(|used| used.last_at);
    let set: Vec<&str> = set.collect();
    let newest = set.iter().filter_map(|fingerprint| last_at(fingerprint)).max();
    let describe = |name: String, fingerprint: &str, advice| Secret {
        name,
        fingerprint: fingerprint.to_owned(),
        last: last_at(fingerprint).map(|at| When::ago(at, now)),
        count: number(span.secrets.get(fingerprint).map_or(0, |used| used.count)),
        advice,
    };
    let known = (1..).zip(&set).map(|(place, fingerprint)| {
        let last = last_at(fingerprint);
        let is_old = last.is_some_and(|at| now.as_millis() - at.as_millis() > RETIRED);
        let advice = match last {
            Some(_) if is_old && newest > last => {
                "Another has taken its place: take it out of CLERK_WEBHOOK_SIGNING_SECRET."
            }
            None if newest.is_some() => {
                "No match in the last 30 days. If it is from before a rotation, take it out of CLERK_WEBHOOK_SIGNING_SECRET."
            }
            _ => "",
        };
        describe(format!("Secret {place}"), fingerprint, advice)
    });
    let former = month.secrets.keys().filter(|fingerprint| !set.contains(&fingerprint.as_str()));
    let former = former.map(|fingerprint| describe("No longer set".to_owned(), fingerprint, ""));
    known.chain(former).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::SecretUse;

    #[test]
    fn a_secret_that_another_replaced_can_go() {
        let now = Timestamp::from_millis(100 * 24 * 60 * 60 * 1000);
        let ago = |hours: i64| now.plus_millis(-hours * 60 * 60 * 1000);
        let said = |set: &[&str], used: &[(&str, i64)]| -> Vec<String> {
            let mut month = Hour::new(0);
            for (fingerprint, hours) in used {
                month.note_secret(fingerprint, SecretUse { place: 1, count: 3, last_at: ago(*hours) });
            }
            let all = all(set.iter().copied(), &month, &month, now);
            all.into_iter().map(|s| format!("{}: {}", s.name, s.advice.chars().take(7).collect::<String>())).collect()
        };
        assert_eq!(said(&["a"], &[("a", 900)]), ["Secret 1: "]);
        assert_eq!(said(&["a", "b"], &[("a", 1), ("b", 47)]), ["Secret 1: ", "Secret 2: "]);
        assert_eq!(said(&["a", "b"], &[("a", 1), ("b", 49)]), ["Secret 1: ", "Secret 2: Another"]);
        assert_eq!(said(&["a", "b"], &[("b", 1)]), ["Secret 1: No matc", "Secret 2: "]);
        assert_eq!(said(&["a"], &[("a", 1), ("c", 70)]), ["Secret 1: ", "No longer set: "]);
    }
}
