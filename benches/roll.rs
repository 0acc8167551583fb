//! What lists of users and searches among them take at size: every kind of filter, first pages, last pages, and those that
//! find nothing. Prints one table.
//!
//! `cargo bench --bench roll` ; settings by environment: `ROLL_USERS` (1000000), `ROLL_RUNS` (of each list, 100), `ROLL_DIR`
//! (where the file goes, the system's folder for such).
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
#![allow(clippy::cast_precision_loss)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rollbook::audit::{Actor, Source};
use rollbook::clock::{Clock, Timestamp};
use rollbook::event::{Change, Client, Delivery, Event};
use rollbook::http::record;
use rollbook::json::Object;
use rollbook::page::{Cursor, PageRequest};
use rollbook::store::{By, Store, UserFilter, UserPatch};
use rollbook::sync::Policy;
use rollbook::user::{ClerkId, UserId};
use serde_json::json;

const FIRST: [&str; 24] = [
    "Ada", "Ben", "Chloe", "Dev", "Elif", "Farid", "Grace", "Hana", "Ines", "Jonas", "Kofi", "Lena", "Mateo", "Noor",
    "Omar", "Priya", "Quinn", "Rosa", "Sven", "Tomasz", "Uma", "Viktor", "Wanda", "Zoë",
];
const LAST: [&str; 20] = [
    "Adler", "Berg", "Castro", "Duarte", "Eriksen", "Fischer", "Garcia", "Haddad", "Ito", "Jansen", "Kaya", "Lopez",
    "Moreau", "Novak", "Okafor", "Patel", "Rossi", "Silva", "Tanaka", "Wilk",
];

fn env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

/// A number that looks like any other, the same each time.
const fn mixed(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

fn pick<'a>(list: &[&'a str], n: u64) -> &'a str {
    list[usize::try_from(n % list.len() as u64).unwrap()]
}

fn id(n: u64) -> ClerkId {
    format!("user_{:027}", mixed(n)).parse().unwrap()
}

/// The n-th user as Clerk sends them.
fn created(n: u64) -> Delivery {
    let (id, dice) = (id(n), mixed(n + 1_000_000_007));
    let (first, last) = (pick(&FIRST, dice), pick(&LAST, dice >> 8));
    let at = 1_700_000_000_000 + i64::try_from(n).unwrap();
    let clerk = json!({
        "object": "user", "id": id.as_str(), "first_name": first, "last_name": last,
        "username": format!("{}{n}", first.to_lowercase()), "image_url": "https://img.example.com/people/1.png",
        "primary_email_address_id": "idn_1",
        "email_addresses": [{
            "id": "idn_1", "object": "email_address", "email_address": format!("{}.{n}@example.org", last.to_lowercase()),
            "verification": { "status": "verified", "strategy": "email_code", "attempts": null, "expire_at": null },
        }],
        "phone_numbers": [], "external_accounts": [], "public_metadata": {}, "private_metadata": {},
        "unsafe_metadata": {}, "banned": false, "locked": false, "two_factor_enabled": false, "password_enabled": true,
        "created_at": at, "updated_at": at, "last_sign_in_at": at,
    });
    let event = Event {
        kind: "user.created".to_owned(),
        instance: None,
        timestamp: Some(Timestamp::from_millis(at)),
        at: Timestamp::from_millis(at),
        client: Client::default(),
        impersonator: None,
        subject: Some(id.clone()),
        change: Change::UserSaved {
            id,
            updated_at: Timestamp::from_millis(at),
            clerk: Object::new(clerk.as_object().unwrap().clone()),
        },
        more: serde_json::Map::new(),
    };
    Delivery { id: format!("msg_{n}").parse().unwrap(), content: Ok(event) }
}

/// One in ten a nurse, one in a hundred a doctor, one in a hundred thousand an admin; four in ten of fifty practices, and
/// half of those of the first. One in twenty is deleted.
async fn put(store: &Store, n: u64) {
    store.ingest(created(n)).await.unwrap();
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

async fn fill(store: &Store, users: u64) {
    let (next, begun) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let workers = (0..256).map(|_| {
        let (store, next) = (store.clone(), next.clone());
        tokio::spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= users {
                    break;
                }
                put(&store, n).await;
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    println!("filled with {users} users in {:.0} s", begun.elapsed().as_secs_f64());
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

/// A place so near to the end of the list that the page from there on is its last, if there is one to be had so.
fn late(filter: &UserFilter) -> Cursor {
    let (id, term) = match (&filter.email, &filter.query) {
        (None, None) => (0x0000_0190_u128 << 96, String::new()),
        (Some(email), _) => (0x0000_0190_u128 << 96, email.clone()),
        (None, Some(query)) => (0, format!("{query}y")),
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
        self.taken[(self.taken.len() * percent / 100).min(self.taken.len() - 1)]
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
            for query in ["", "a", "an", "zoë w", "jansen", "duarte.5", "nobody", "zoez"] {
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

/// The address of the n-th user.
fn address(n: u64) -> String {
    format!("{}.{n}@example.org", pick(&LAST, mixed(n + 1_000_000_007) >> 8).to_lowercase())
}

#[tokio::main]
async fn main() {
    let (users, runs) = (env("ROLL_USERS", 1_000_000), env("ROLL_RUNS", 100));
    let dir =
        tempfile::tempdir_in(std::env::var("ROLL_DIR").map_or_else(|_| std::env::temp_dir(), Into::into)).unwrap();
    let data = dir.path().join("roll.redb");
    let store = Store::open(&data, 64 << 20, Policy::default(), Clock::system()).unwrap();
    fill(&store, users).await;
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
