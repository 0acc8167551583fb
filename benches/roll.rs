//! What lists of users and searches among them take at size: every kind of filter, first pages, last pages, and those that
//! find nothing. Prints one table.
//!
//! `cargo bench --bench roll` ; settings by environment: `ROLL_USERS` (1000000), `ROLL_RUNS` (of each list, 100), `ROLL_DIR`
//! (where the file goes, the system's folder for such).
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
#![allow(clippy::cast_precision_loss)]

mod common;

use std::time::Instant;

use common::people::{address, created, id};
use common::{each, env, folder, mixed, percentile};
use rollbook::audit::{Actor, Source};
use rollbook::clock::Clock;
use rollbook::http::record;
use rollbook::page::{Cursor, PageRequest};
use rollbook::store::{By, Store, UserFilter, UserPatch};
use rollbook::sync::Policy;
use rollbook::user::UserId;
use serde_json::json;

/// One in ten a nurse, one in a hundred a doctor, one in a hundred thousand an admin; four in ten of fifty practices, and
/// half of those of the first. One in twenty is deleted.
async fn put(store: &Store, n: u64) {
    store.ingest(created(&id(n), n, &json!({}))).await.unwrap();
    let dice = mixed(n + 77);
    let role = match dice % 100_000 {
        0 => Some("ADMIN"),
        1..1_001 => Some("DOCTOR"),
        1_001..11_001 => Some("NURSE"),
        _ => None,
    };
    let place = (dice >> 32) % 100;
    let practice = (place < 40).then_some(if place < 20 { 0 } else { (dice >> 40) % 50 });
    let by = By { actor: Actor::Cli, source: Source::Cli };
    if role.is_some() || practice.is_some() {
        let patch = UserPatch {
            role: role.map(|role| role.parse().unwrap()),
            practice_id: practice.map(|n| Some(format!("practice-{n}").parse().unwrap())),
            ..UserPatch::default()
        };
        store.set_user(UserId::of(&id(n)), patch, None, by.entry("user.assigned")).await.unwrap().unwrap();
    }
    if (dice >> 20).is_multiple_of(20) {
        assert!(store.delete_user(UserId::of(&id(n)), None, by.entry("user.deleted")).await.unwrap());
    }
}

/// `query`, `email`, `role`, `practice` and `deleted`, each but the last left out by being empty.
fn filter(query: &str, email: &str, role: &str, practice: &str, deleted: bool) -> UserFilter {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    UserFilter {
        query: text(query),
        email: text(email),
        role: text(role).map(|role| role.parse().unwrap()),
        practice: text(practice).map(|practice| practice.parse().unwrap()),
        deleted,
    }
}

/// Reads a page and makes of it what the API answers; returns how many there were, and milliseconds.
async fn read(store: &Store, filter: &UserFilter, limit: &str, cursor: Option<Cursor>) -> (usize, f64) {
    let begun = Instant::now();
    let page = store.users(filter.clone(), PageRequest { limit: limit.parse().unwrap(), cursor }).await.unwrap();
    let body: Vec<_> = page.items.iter().map(record).collect();
    let bytes = serde_json::to_vec(&body).unwrap();
    std::hint::black_box(bytes);
    (body.len(), begun.elapsed().as_secs_f64() * 1e3)
}

/// A place near to the end of the list, so that the page behind it is the last one or nearly so. All ids begin with the same
/// time here, so that a few stand before any other.
fn late(filter: &UserFilter) -> Cursor {
    const LOW: u128 = 0x0145_f680_b000_7000_9000_0000_0000_0000;
    let (id, term) = match (&filter.email, &filter.query) {
        (None, None) => (LOW, String::new()),
        (Some(email), _) => (LOW, email.clone()),
        (None, Some(query)) => (0, format!("{query}.999")),
    };
    Cursor::new(b'u', &[&id.to_be_bytes()[..], term.as_bytes()].concat())
}

/// One kind of list, and what its pages took in milliseconds.
struct Timed {
    name: String,
    limit: &'static str,
    found: usize,
    taken: Vec<f64>,
}

impl Timed {
    /// The slowest but for so many in a hundred.
    fn p(&self, percent: usize) -> f64 {
        percentile(&self.taken, percent)
    }
}

/// What to list: the parts of a filter, whose page, and from where.
struct Wanted {
    parts: [&'static str; 4],
    deleted: bool,
    limit: &'static str,
    is_late: bool,
}

impl Wanted {
    /// Every combination of these.
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for deleted in [false, true] {
            for query in ["", "a", "ha", "zoë w", "jansen", "duarte.5", "nobody", "zoez"] {
                for email in ["", "some", "nobody@example.org"] {
                    for role in ["", "USER", "NURSE", "ADMIN", "NONE"] {
                        for practice in ["", "practice-0", "practice-7", "none"] {
                            let parts = [query, email, role, practice];
                            for (limit, is_late) in [("50", false), ("50", true), ("500", false)] {
                                all.push(Self { parts, deleted, limit, is_late });
                            }
                        }
                    }
                }
            }
        }
        all
    }

    fn name(&self) -> String {
        let parts = ["query", "email", "role", "practice"].into_iter().zip(self.parts);
        let parts = parts.filter(|(_, text)| !text.is_empty()).map(|(name, text)| format!("{name}={text}"));
        let states = [(self.deleted, "deleted"), (self.is_late, "(last page)")];
        let states = states.into_iter().filter(|(is, _)| *is).map(|(_, text)| text.to_owned());
        parts.chain(states).collect::<Vec<_>>().join(" ")
    }

    async fn time(&self, store: &Store, users: u64, runs: u64) -> Timed {
        let (mut taken, mut found) = (Vec::new(), 0);
        for run in 0..runs {
            let [query, email, role, practice] = self.parts;
            let email = if email == "some" { address(mixed(run) % users) } else { email.to_owned() };
            let filter = filter(query, &email, role, practice, self.deleted);
            let cursor = self.is_late.then(|| late(&filter));
            let (count, took) = read(store, &filter, self.limit, cursor).await;
            found = found.max(count);
            taken.push(took);
        }
        taken.sort_by(f64::total_cmp);
        Timed { name: self.name(), limit: self.limit, found, taken }
    }
}

#[tokio::main]
async fn main() {
    let (users, runs) = (env("ROLL_USERS", 1_000_000), env("ROLL_RUNS", 100));
    let dir = folder("ROLL_DIR");
    let data = dir.path().join("roll.redb");
    let store = Store::open(&data, 64 << 20, Policy::default(), Clock::system()).unwrap();
    let filled = store.clone();
    each("users", users, move |n| {
        let store = filled.clone();
        async move { put(&store, n).await }
    })
    .await;
    let bytes = std::fs::metadata(&data).unwrap().len();
    println!("file: {} MiB, {:.0} bytes a user", bytes >> 20, bytes as f64 / users as f64);
    let mut lists = Vec::new();
    for wanted in Wanted::all() {
        lists.push(wanted.time(&store, users, runs).await);
    }
    lists.sort_by(|a, b| b.p(99).total_cmp(&a.p(99)));
    println!("{} kinds of lists, {runs} times each; the slowest, and every one without a filter:", lists.len());
    println!("{:<64} {:>5} {:>5} {:>8} {:>8} {:>8}", "", "limit", "found", "p50 ms", "p99 ms", "max ms");
    for (place, list) in lists.iter().enumerate() {
        if place < 30 || !list.name.contains('=') {
            let Timed { name, limit, found, .. } = list;
            println!("{name:<64} {limit:>5} {found:>5} {:>8.2} {:>8.2} {:>8.2}", list.p(50), list.p(99), list.p(100));
        }
    }
    let late = lists.iter().filter(|list| list.p(99) >= 20.0).count();
    println!("with a p99 of 20 ms or more: {late}");
    store.close().await;
}
