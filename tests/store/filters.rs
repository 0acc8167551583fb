//! Every filter of the log finds what looking at every entry finds, in either direction and in pages, whatever went and came.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::Path;

use redb::TableDefinition;
use rollbook::audit::retention::Cutoff;
use rollbook::audit::{Actions, Actor, Draft, Entry, Filter, Source};
use rollbook::clock::{Clock, Timestamp};
use rollbook::page::PageRequest;
use rollbook::store::{AtRest, By, Order, Store};
use rollbook::sync::Policy;
use rollbook::user::{ClerkId, UserRef};
use rollbook::verify::{self, Pace, Terms};

use crate::common::{clerk_id, user_event};
use crate::deliveries::received;
use crate::file;

/// 2010-01-01: old enough to be pruned.
const BEGIN: i64 = 1_262_304_000_000;
const HOUR: i64 = 60 * 60 * 1000;

/// So many entries: two bundles, and some more.
const ENTRIES: i64 = 700;

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta-1");
const FACETS: TableDefinition<'_, (&str, u64), ()> = TableDefinition::new("audit_by_facet-1");

const ADDRESSES: [&str; 6] =
    ["192.0.2.1", "192.0.2.10", "::ffff:192.0.2.1", "2001:db8::1", "2001:DB8:0:0::1", "no address"];

const ACTIONS: [&str; 6] =
    ["user.read", "user.audit_read", "users.listed", "user", "admin.signed_in", "value.looked_up"];

/// Numbers that look random, the same each time.
struct Dice(u64);

impl Dice {
    fn of<T: Clone>(&mut self, sides: &[T]) -> T {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let side = (self.0 >> 33) % sides.len() as u64;
        sides[usize::try_from(side).unwrap()].clone()
    }
}

fn open(path: &Path, clock: &Clock) -> Store {
    Store::open(path, 16 << 20, Policy::default(), clock.clone()).unwrap()
}

fn actors() -> Vec<Actor> {
    let mut actors: Vec<Actor> =
        ["admin:ada", "admin:ada2", "admin:ad", "cli", "system", "anonymous", "user_1", "user_2"]
            .map(|actor| actor.parse().unwrap())
            .into();
    actors.push("key:key_0123456789abcdef".parse().unwrap());
    actors
}

/// One entry in three is a webhook's, the others are of any action by anybody from anywhere about anybody.
async fn put(store: &Store, n: i64, dice: &mut Dice) {
    if dice.of(&[true, false, false]) {
        let person = dice.of(&["user_1", "user_2", "user_3"]);
        let mut event = user_event("user.updated", person, BEGIN + n, &format!("Ann {n}"));
        event["event_attributes"]["http_request"]["client_ip"] = dice.of(&ADDRESSES).into();
        store.ingest(received(&format!("msg_{n}"), &event.to_string())).await.unwrap();
        return;
    }
    let mut draft = Draft::new(dice.of(&ACTIONS), dice.of(&actors()), Source::Api);
    if dice.of(&[true, true, false]) {
        draft = draft.with("ip", Some(dice.of(&ADDRESSES)));
    }
    if dice.of(&[true, false]) {
        draft = draft.about(&clerk_id(dice.of(&["user_1", "user_2", "user_3"])));
    }
    store.record(draft).await.unwrap();
}

/// A store with entries of any kind, four in an hour.
async fn filled(path: &Path, clock: &Clock) -> Store {
    let store = open(path, clock);
    let mut dice = Dice(7);
    for n in 0..ENTRIES {
        clock.set(Timestamp::from_millis(BEGIN + n * HOUR / 4));
        put(&store, n, &mut dice).await;
    }
    store
}

/// Every combination of these.
fn filters() -> Vec<Filter> {
    let actions = ["user.read", "user.*", "user.audit_read.*", "users.*", "none.such", "nothing.*"];
    let actions: Vec<Option<Actions>> = none_or(actions.map(|actions| actions.parse().unwrap()));
    let subjects: Vec<Option<ClerkId>> = none_or(["user_1", "user_3", "user_nobody"].map(clerk_id));
    let others = ["clerk", "user_3", "user_nobody", "admin:nobody"].map(|actor| actor.parse().unwrap());
    let actors: Vec<Option<Actor>> = none_or(actors().into_iter().chain(others));
    let addresses = ["192.0.2.1", "::ffff:192.0.2.10", "2001:db8::1", "203.0.113.1"];
    let addresses: Vec<Option<IpAddr>> = none_or(addresses.map(|address| address.parse().unwrap()));
    let time = |n: i64| Some(Timestamp::from_millis(BEGIN + n * HOUR / 4));
    let mut filters = Vec::new();
    for action in &actions {
        for subject in &subjects {
            for actor in &actors {
                for address in &addresses {
                    for (from, to) in [(None, None), (time(290), time(650))] {
                        let (action, subject) = (action.clone(), subject.clone());
                        // Every other one leaves out who only looked.
                        let without_looks = filters.len() % 2 == 1;
                        let (actor, address) = (actor.clone(), *address);
                        filters.push(Filter { action, subject, actor, address, without_looks, from, to });
                    }
                }
            }
        }
    }
    filters
}

fn none_or<T>(values: impl IntoIterator<Item = T>) -> Vec<Option<T>> {
    std::iter::once(None).chain(values.into_iter().map(Some)).collect()
}

/// Whether the entry is asked for, as anybody can see.
fn fits(entry: &Entry, filter: &Filter) -> bool {
    let said = String::from_utf8(entry.bytes.to_vec()).unwrap();
    let action = |actions: &Actions| match String::from(actions.clone()).strip_suffix('*') {
        Some(beginning) => said.starts_with(&format!("{{\"action\":\"{beginning}")),
        None => said.starts_with(&format!("{{\"action\":\"{}\"", String::from(actions.clone()))),
    };
    let subject = |id: &ClerkId| [&entry.target_user, &entry.actor_user].into_iter().flatten().any(|user| user == id);
    let actor = |actor: &Actor| match (actor, actor.word()) {
        (Actor::User(id), _) => entry.actor_user.as_ref() == Some(id),
        (_, word) => said.contains(&format!("\"actor\":\"{}\"", word.unwrap())),
    };
    let address = |address: IpAddr| {
        let told = entry.detail.as_ref().and_then(|detail| detail.get("ip")?.as_str());
        let told = told.map(|told| told.to_lowercase().replace("::ffff:", "").replace("0:0::", ":"));
        told == Some(address.to_string().replace("::ffff:", ""))
    };
    let looked = ["read\"", "listed\"", "streamed\"", "looked_up\""];
    let told = said.split_once(',').unwrap().0;
    (!filter.without_looks || !looked.iter().any(|look| told.ends_with(look)))
        && filter.action.as_ref().is_none_or(action)
        && filter.subject.as_ref().is_none_or(subject)
        && filter.actor.as_ref().is_none_or(actor)
        && filter.address.is_none_or(address)
        && filter.from.is_none_or(|from| entry.leaf.at >= from)
        && filter.to.is_none_or(|to| entry.leaf.at < to)
}

/// The entries that a filter finds, by their numbers, newest first.
async fn listed(store: &Store, filter: &Filter, limit: &str) -> Vec<Entry> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let request = PageRequest { limit: limit.parse().unwrap(), cursor };
        let page = store.audit(filter.clone(), request).await.unwrap();
        found.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            return found;
        }
    }
}

/// The same oldest first, and how many were looked at for it.
async fn walked(store: &Store, filter: &Filter) -> (Vec<u64>, u64) {
    let places = store.places(filter).await.unwrap();
    let (mut found, mut at, mut rows) = (Vec::new(), places.start, 0);
    loop {
        let stretch = store.walk_entries(filter.clone(), at..places.end).await.unwrap();
        rows += stretch.rows;
        found.extend(stretch.items.iter().map(|entry| entry.seq));
        match stretch.next {
            Some(next) => at = next,
            None => return (found, rows),
        }
    }
}

/// Whether lists alone say what fits. The entries of a user as an actor are among those they are in, and Clerk's anywhere.
fn is_listed(filter: &Filter) -> bool {
    !filter.without_looks && is_found_by_lists(filter)
}

fn is_found_by_lists(filter: &Filter) -> bool {
    let is_one = [filter.action.is_some(), filter.subject.is_some(), filter.actor.is_some(), filter.address.is_some()];
    is_one.into_iter().filter(|is| *is).count() == 1 && !matches!(filter.actor, Some(Actor::User(_) | Actor::Clerk))
}

/// Filters find what they should: all that have one list, and of the others one in five, from the n-th on. Returns how many found something.
async fn check(store: &Store, n: usize) -> usize {
    let all = listed(store, &Filter::default(), "500").await;
    let mut fruitful = 0;
    let (listed_alone, rest): (Vec<Filter>, Vec<Filter>) = filters().into_iter().partition(is_listed);
    for filter in listed_alone.into_iter().chain(rest.into_iter().skip(n).step_by(5)) {
        let expected: Vec<u64> = all.iter().filter(|entry| fits(entry, &filter)).map(|entry| entry.seq).collect();
        fruitful += usize::from(!expected.is_empty());
        let found: Vec<u64> = listed(store, &filter, "7").await.iter().map(|entry| entry.seq).collect();
        assert_eq!(found, expected, "{filter:?}");
        let (mut walked, rows) = walked(store, &filter).await;
        walked.reverse();
        assert_eq!(walked, expected, "{filter:?}");
        assert!(!is_listed(&filter) || rows == walked.len() as u64, "{rows} were looked at for {filter:?}");
    }
    fruitful
}

fn cli() -> By {
    By { actor: Actor::Cli, source: Source::Cli }
}

/// The lists that entries are in besides, which the witness has found to be right.
fn facets(path: &Path, witness: &mut file::Witness) -> file::Table {
    let db = file::open(path);
    witness.follow(&db);
    file::dump(&db).remove("audit_by_facet").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_filter_finds_what_looking_at_all_entries_finds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rollbook.redb");
    let clock = Clock::fixed(Timestamp::from_millis(BEGIN));
    let store = filled(&path, &clock).await;
    let fruitful = check(&store, 0).await;
    assert!(fruitful > 100, "{fruitful}");

    clock.set(Timestamp::from_millis(BEGIN + 10 * 366 * 24 * HOUR));
    let order = Order { by: cli(), reason: None, even_if_live: true, even_if_untold: false };
    let erased = store.erase(&UserRef::Clerk(clerk_id("user_1")), order, |_| {}).await.unwrap();
    assert!(erased.details > 100, "{erased:?}");
    let still = check(&store, 1).await;
    assert!((20..fruitful).contains(&still), "{still}");
    store.close().await;
    let mut witness = file::Witness::default();
    let before = facets(&path, &mut witness).len();

    let store = open(&path, &clock);
    let cutoff = Cutoff::new("2010-01-05".parse().unwrap(), clock.now(), false).unwrap();
    assert_eq!(store.prune(cutoff, cli(), |_, _| {}).await.unwrap().count(), 256);
    let still = check(&store, 2).await;
    assert!((20..fruitful).contains(&still), "{still}");
    store.scrub(cli(), |_, _| {}).await.unwrap();
    let still = check(&store, 3).await;
    assert!((20..fruitful).contains(&still), "{still}");
    store.close().await;
    assert!(facets(&path, &mut witness).len() < before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_schema_3_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rollbook.redb");
    let clock = Clock::fixed(Timestamp::from_millis(BEGIN));
    let store = filled(&path, &clock).await;
    let entries = store.counts().entries;
    store.close().await;
    let before = facets(&path, &mut file::Witness::default());
    let kinds: BTreeSet<&str> = before.keys().map(|key| key.split(':').next().unwrap()).collect();
    assert_eq!(kinds, BTreeSet::from(["(\"actor", "(\"ip"]));
    {
        let db = file::open(&path);
        let txn = db.begin_write().unwrap();
        assert!(txn.delete_table(FACETS).unwrap());
        txn.open_table(META).unwrap().insert("schema", &3_u32.to_be_bytes()[..]).unwrap();
        txn.commit().unwrap();
    }
    let older = AtRest::open(&path, 1 << 20).unwrap();
    let goes_on = &mut |_, _| ControlFlow::Continue(());
    let report = verify::file(&older, &Terms::default(), Pace::full(), goes_on).unwrap();
    assert!(report.is_whole() && report.entries == entries, "{report:?}");
    drop(older);
    let store = open(&path, &clock);
    check(&store, 4).await;
    store.close().await;
    assert_eq!(facets(&path, &mut file::Witness::default()), before);
}
