//! What is tried on a service like this, what must come of it, and the tests that show it: to look up, and to learn from
//! what else to test. "Nothing is written" means that no row of the data file is another than before, but for the
//! entry in which strangers are counted once a minute.
//!
//! The table is held against the sources: each test that it names is there.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "attacks/http.rs"]
mod http;
#[path = "attacks/log.rs"]
mod log;
#[path = "common/named.rs"]
mod named;
#[path = "attacks/people.rs"]
mod people;
#[path = "attacks/secrets.rs"]
mod secrets;
#[path = "attacks/tokens.rs"]
mod tokens;
#[path = "attacks/webhooks.rs"]
mod webhooks;

use std::collections::{BTreeMap, BTreeSet};

use named::tests_of;

/// One thing that is tried.
struct Attack {
    /// What is tried, with all its forms.
    tried: &'static str,
    /// What must come of it.
    answer: &'static str,
    /// `file::test`.
    shown_by: &'static [&'static str],
}

const fn attack(tried: &'static str, answer: &'static str, shown_by: &'static [&'static str]) -> Attack {
    Attack { tried, answer, shown_by }
}

/// What others defend against and Rollbook has no defence for, and why. No test shows it.
const NOT_HERE: [(&str, &str); 4] = [
    (
        "A webhook from an address that is not one of Svix's",
        "There is no list of addresses: the signature says who sent it, the list would be one more thing to keep up, and a \
         firewall does it better.",
    ),
    (
        "A witness of the log that answers wrongly, hangs, or signs something else",
        "Nobody co-signs checkpoints. Whoever keeps one is a witness, and `verify --against` hears them.",
    ),
    (
        "An RSA key that its maker's chip made guessable (ROCA)",
        "The pattern is not looked for. Clerk would have to publish such a key.",
    ),
    (
        "A length and a transfer encoding in one request",
        "The length is dropped before we see the request, so it cannot be refused here; the encoding counts, and the \
         connection ends with that request.",
    ),
];

/// The areas, in the order in which somebody from outside meets them.
const AREAS: [(&str, &[Attack]); 6] = [
    ("connections and requests", http::ATTACKS),
    ("webhooks", webhooks::ATTACKS),
    ("session tokens", tokens::ATTACKS),
    ("admins and their browsers", people::ATTACKS),
    ("secrets, files, and calls to others", secrets::ATTACKS),
    ("the log", log::ATTACKS),
];

#[test]
fn every_test_that_the_table_names_is_there() {
    let mut known: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (area, attacks) in AREAS {
        for attack in attacks {
            assert!(!attack.shown_by.is_empty(), "{area}: {}: nothing shows it", attack.tried);
            for named in attack.shown_by {
                let (file, test) = named.split_once("::").unwrap();
                let tests = known.entry(file).or_insert_with(|| tests_of(file));
                assert!(tests.contains(test), "{area}: {}: there is no {named}", attack.tried);
            }
        }
    }
}

#[test]
fn nothing_stands_in_the_table_twice() {
    let mut all = BTreeSet::new();
    for attack in AREAS.iter().flat_map(|(_, attacks)| *attacks) {
        assert!(all.insert(attack.tried), "{} is tried twice", attack.tried);
        assert!(attack.tried.len() > 10 && attack.answer.ends_with('.'), "{}", attack.tried);
        let once: BTreeSet<_> = attack.shown_by.iter().collect();
        assert_eq!(once.len(), attack.shown_by.len(), "{} is shown twice by one test", attack.tried);
    }
    assert!(NOT_HERE.iter().all(|(tried, why)| all.insert(tried) && why.ends_with('.')));
}
