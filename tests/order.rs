//! Order of arrival does not matter: whatever the permutation and however often a delivery is repeated,
//! the same deliveries end in the same users, tombstones, mirrored objects and indexes, byte for byte. What
//! they must end in is said by a model of a few lines.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/deliveries.rs"]
mod deliveries;
#[path = "common/disk.rs"]
mod disk;
#[path = "common/file.rs"]
mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use common::{SECRET, TestServer, sign};
use deliveries::received;
use disk::Disk;
use futures_util::future::join_all;
use proptest::collection::vec;
use proptest::prelude::*;
use rollbook::clock::{Clock, Timestamp};
use rollbook::event::Outcome;
use rollbook::page::PageRequest;
use rollbook::store::{Store, UserFilter};
use rollbook::sync::{DeletePolicy, Policy};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const T: i64 = 1_750_000_000_000;
const NAMES: [&str; 4] = ["Ann", "anna", "Bo", "Élan"];
const PLANS: [&str; 3] = ["free", "practice", "clinic"];
/// The states of subscriptions and their items, the better first; the last two are none yet.
const STATES: [&str; 6] = ["active", "past_due", "canceled", "ended", "upcoming", "abandoned"];
const ADDRESSES: [Option<&str>; 3] = [None, Some("Shared@example.org"), Some("bo@example.org")];

/// A message: its id, what it says, and of what it says the parts the model goes by.
#[derive(Debug, Clone)]
struct Message {
    id: String,
    body: String,
    says: Says,
}

#[derive(Debug, Clone)]
enum Says {
    /// A version of a user.
    User { user: String, version: Version, data: Value },
    /// A version of anything else.
    Object {
        key: (String, String),
        version: Version,
        data: Value,
        parents: Vec<String>,
        sign_in: Option<(String, i64)>,
    },
    /// A user is gone.
    UserDeleted { user: String, at: i64 },
    /// Anything else is gone.
    ObjectDeleted { key: (String, String), at: i64 },
    /// Nothing that changes the roll.
    Nothing,
}

/// `updated_at`, `timestamp`, svix-id.
type Version = (i64, i64, String);

/// Small numbers that become a message; most of them collide with those of other messages.
#[derive(Debug, Clone)]
struct Dice {
    what: u8,
    user: usize,
    other: usize,
    updated: Option<i64>,
    at: i64,
    in_seconds: bool,
    name: usize,
    id: u16,
}

fn dice(users: usize) -> impl Strategy<Value = Dice> {
    let updated = prop_oneof![1 => Just(None), 6 => (0..3_i64).prop_map(Some)];
    (0..26_u8, 0..users, 0..2_usize, updated, 0..3_i64, any::<bool>(), 0..NAMES.len() * ADDRESSES.len(), any::<u16>())
        .prop_map(|(what, user, other, updated, at, in_seconds, name, id)| Dice {
            what,
            user,
            other,
            updated,
            at,
            in_seconds,
            name,
            id,
        })
}

/// What happened at Clerk, and three orders in which it is told, with repetitions.
#[derive(Debug, Clone)]
struct Case {
    messages: Vec<Message>,
    arrivals: Vec<Vec<usize>>,
}

fn case(most: usize) -> impl Strategy<Value = Case> {
    let messages = (3..=6_usize).prop_flat_map(move |users| vec(dice(users), 1..most)).prop_map(|dice| {
        let number = |(n, dice): (usize, &Dice)| message(dice, &format!("msg_{:04x}_{n}", dice.id));
        dice.iter().enumerate().map(number).collect::<Vec<_>>()
    });
    messages.prop_flat_map(|messages| {
        let arrivals = vec(arrival(messages.len()), 3);
        (Just(messages), arrivals).prop_map(|(messages, arrivals)| Case { messages, arrivals })
    })
}

fn arrival(count: usize) -> impl Strategy<Value = Vec<usize>> {
    vec(0..count, 0..=count / 2).prop_map(move |again| (0..count).chain(again).collect::<Vec<_>>()).prop_shuffle()
}

impl Dice {
    fn user(&self) -> String {
        format!("user_{}", self.user)
    }

    /// The organisation of a membership. One that moves must leave the first one's list.
    fn home(&self) -> String {
        format!("org_{}", self.name % 2)
    }

    /// Kind and id of the object that is no user.
    fn key(&self) -> (String, String) {
        let Self { user, other, .. } = self;
        let (kind, id) = match self.what {
            ..12 => ("session", format!("sess_{user}_{other}")),
            12..15 => ("organization", format!("org_{other}")),
            20..24 => ("subscriptionItem", format!("item_{user}_{other}")),
            24.. => ("subscription", format!("csub_{user}")),
            15..20 => ("organizationMembership", format!("orgmem_{user}_{other}")),
        };
        (kind.to_owned(), id)
    }

    /// `created_at` of a session.
    fn made(&self) -> i64 {
        T + self.at * 7
    }

    /// The envelope's timestamp as written, and the moment it means. Some senders write seconds; the first of
    /// them is the same moment as the first of the milliseconds.
    fn at(&self) -> (i64, i64) {
        if self.in_seconds { (T / 1000 + self.at, T + self.at * 1000) } else { (T + self.at, T + self.at) }
    }

    fn event(&self) -> (&'static str, Value) {
        let (user, made, (_, id)) = (self.user(), self.made(), self.key());
        let member =
            || json!({ "id": id, "organization": { "id": self.home() }, "public_user_data": { "user_id": user } });
        let session = |status: &str| json!({ "id": id, "user_id": user, "created_at": made, "status": status });
        let (kind, mut data) = match self.what {
            0..=1 => ("user.created", user_data(self, &user)),
            2..=6 => ("user.updated", user_data(self, &user)),
            7..=8 => ("user.deleted", json!({ "id": user, "deleted": true, "object": "user" })),
            9..=10 => ("session.created", session("active")),
            11 => ("session.ended", session("ended")),
            12..=13 => ("organization.updated", json!({ "id": id, "name": NAMES[self.name % 4] })),
            14 => ("organization.deleted", json!({ "id": id, "deleted": true })),
            15..=16 => ("organizationMembership.created", member()),
            17 => ("organizationMembership.deleted", member()),
            18 => ("email.created", json!({ "id": "ema_1", "user_id": user })),
            20..24 => ("subscriptionItem.updated", self.item()),
            24.. => {
                // It tells of the first item, as it was at the time.
                let listed = json!([Self { other: 0, ..self.clone() }.item()]);
                ("subscription.updated", json!({ "id": id, "status": STATES[self.name % 4], "items": listed }))
            }
            _ => ("user.updated", json!({ "first_name": "Nobody" })),
        };
        if let Some(n) = self.updated.filter(|_| !kind.ends_with(".deleted")) {
            data["updated_at"] = (T + n).into();
        }
        if self.what >= 20 {
            // Some payers are organisations, whose plans are nobody's own.
            let who = if self.name % 7 == 6 { "organization_id" } else { "user_id" };
            data["payer"] = json!({ "user_id": "", "organization_id": "" });
            data["payer"][who] = if who == "user_id" { user } else { "org_0".to_owned() }.into();
        }
        (kind, data)
    }

    /// A subscription item. Its own `updated_at` is that of the message, or missing like it.
    fn item(&self) -> Value {
        let mut item = json!({
            "id": format!("item_{}_{}", self.user, self.other), "status": STATES[usize::from(self.id % 6)],
            "plan": { "slug": PLANS[self.name % PLANS.len()] }, "period_start": T + self.at,
            "subscription_id": format!("csub_{}", self.user),
        });
        if let Some(n) = self.updated {
            item["updated_at"] = (T + n).into();
        }
        item
    }
}

fn message(dice: &Dice, id: &str) -> Message {
    let ((kind, data), (written, at)) = (dice.event(), dice.at());
    let body =
        json!({ "type": kind, "object": "event", "timestamp": written, "instance_id": "ins_test", "data": data });
    let (user, key, version) = (dice.user(), dice.key(), (dice.updated.map_or(0, |n| T + n), at, id.to_owned()));
    let of_user = format!("user:{user}");
    let says = match dice.what {
        0..=6 => Says::User { user, version, data },
        7..=8 => Says::UserDeleted { user, at },
        9..=11 => {
            let sign_in = (kind == "session.created").then(|| (user, dice.made()));
            Says::Object { key, version, data, parents: vec![of_user], sign_in }
        }
        12..=13 => Says::Object { key, version, data, parents: vec![], sign_in: None },
        15..=16 => {
            let parents = vec![format!("organization:{}", dice.home()), of_user];
            Says::Object { key, version, data, parents, sign_in: None }
        }
        14 | 17 => Says::ObjectDeleted { key, at },
        20.. => {
            let payer = &data["payer"];
            let parent = |kind: &str, id: &Value| format!("{kind}:{}", id.as_str().unwrap());
            let parents = [parent("user", &payer["user_id"]), parent("organization", &payer["organization_id"])];
            let parents = parents.into_iter().filter(|parent| !parent.ends_with(':')).collect();
            Says::Object { key, version, data, parents, sign_in: None }
        }
        _ => Says::Nothing,
    };
    Message { id: id.to_owned(), body: body.to_string(), says }
}

fn user_data(dice: &Dice, user: &str) -> Value {
    let mut data = json!({
        "id": user, "first_name": NAMES[dice.name % 4], "last_name": if dice.name.is_multiple_of(3) { "Bo" } else { "Ames" },
        "last_sign_in_at": dice.name.is_multiple_of(5).then_some(T + dice.at * 5), "unsafe_metadata": { "n": dice.id },
        "primary_email_address_id": "idn_1", "email_addresses": [],
    });
    if let Some(address) = ADDRESSES[dice.name % ADDRESSES.len()] {
        data["email_addresses"] = json!([
            { "id": "idn_0", "email_address": "never-first@example.org" },
            { "id": "idn_1", "email_address": address },
        ]);
    }
    data
}

/// Where the messages must end, whatever their order: the greatest version of each object, unless it was
/// deleted; its deletion, at the earliest time said; the latest sign-in.
#[derive(Debug, Default)]
struct Model {
    users: BTreeMap<String, Value>,
    tombstones: BTreeMap<String, i64>,
    objects: BTreeMap<(String, String), Value>,
    children: BTreeSet<(String, String, String)>,
    /// Sign-ins of people who are not on the roll.
    sign_ins: BTreeMap<String, i64>,
}

impl Model {
    fn of(messages: &[Message], delete: DeletePolicy) -> Self {
        let mut model = Self::default();
        let (mut users, mut objects, mut gone) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for message in messages {
            match &message.says {
                Says::User { user, version, data } => greatest(&mut users, user, (version, data)),
                Says::UserDeleted { user, at } => earliest(&mut model.tombstones, user, *at),
                Says::ObjectDeleted { key, at } => earliest(&mut gone, key, *at),
                Says::Object { key, version, data, parents, sign_in } => {
                    greatest(&mut objects, key, (version, (data, parents)));
                    if let Some((user, at)) = sign_in {
                        let last = model.sign_ins.entry(user.clone()).or_insert(*at);
                        *last = (*last).max(*at);
                    }
                }
                Says::Nothing => {}
            }
        }
        if delete == DeletePolicy::Hard {
            users.retain(|user, _| !model.tombstones.contains_key(user));
            model.sign_ins.retain(|user, _| !model.tombstones.contains_key(user));
        }
        objects.retain(|key, _| !gone.contains_key(key));
        for (user, (version, data)) in users {
            let subscription = subscribed(&objects, &format!("user:{user}"));
            let (signed_in, deleted) = (model.sign_ins.remove(&user), model.tombstones.get(&user));
            let mut row = json!({ "clerk_id": user, "role": "USER", "source": "webhook", "version": shown(version), "clerk": data });
            subscription.inspect(|(plan, status)| row["subscription"] = json!({ "plan": plan, "status": status }));
            signed_in.inspect(|at| row["signed_in_at"] = (*at).into());
            deleted.inspect(|at| row["deleted_at"] = (**at).into());
            model.users.insert(user, row);
        }
        for (key, (version, (data, parents))) in objects {
            model.children.extend(parents.iter().map(|parent| (parent.clone(), key.0.clone(), key.1.clone())));
            let parents: Vec<Value> = parents
                .iter()
                .map(|parent| parent.split_once(':').unwrap())
                .map(|(kind, id)| json!({ "kind": kind, "id": id }))
                .collect();
            model.objects.insert(
                key,
                json!({ "version": shown(version), "deleted_at": null, "parents": parents, "body": data }),
            );
        }
        for (key, at) in gone {
            let version = json!({ "updated_at": 0, "event_at": at, "delivery": "" });
            model.objects.insert(key, json!({ "version": version, "deleted_at": at, "parents": [], "body": null }));
        }
        model
    }

    /// The same as it should stand in the file.
    fn roll(&self) -> file::Roll {
        file::Roll {
            users: self.users.clone(),
            tombstones: self.tombstones.clone(),
            index: self.index(),
            sign_ins: self.sign_ins.clone(),
            objects: self.objects.clone(),
            children: self.children.clone(),
        }
    }

    /// Whom each of the searches should find.
    fn found(&self) -> BTreeMap<String, BTreeSet<String>> {
        let fits = |search: &str, row: &Value| {
            let (deleted, text) = search.strip_prefix('-').map_or((false, search), |text| (true, text));
            let text = text.to_lowercase();
            let is_found = match text.strip_prefix('!') {
                Some(email) => Self::terms(row).contains(email),
                None => text.is_empty() || Self::terms(row).iter().any(|term| term.starts_with(&text)),
            };
            is_found && deleted == row.get("deleted_at").is_some()
        };
        let found =
            |search: &str| self.users.iter().filter(|(_, row)| fits(search, row)).map(|(id, _)| id.clone()).collect();
        SEARCHES.iter().map(|search| ((*search).to_owned(), found(search))).collect()
    }

    /// What a user is found by the beginnings of, in lower case.
    fn terms(row: &Value) -> BTreeSet<String> {
        let clerk = &row["clerk"];
        let text = |name: &str| clerk[name].as_str().unwrap().to_lowercase();
        let addresses = clerk["email_addresses"].as_array().unwrap().iter();
        let email = addresses
            .filter(|address| address["id"] == "idn_1")
            .map(|a| a["email_address"].as_str().unwrap().to_lowercase());
        email.chain([format!("{} {}", text("first_name"), text("last_name")), text("last_name")]).collect()
    }

    /// Every row of the users' index: each scope, and in each of them the terms, behind how much of them is the same as
    /// in the term before.
    fn index(&self) -> BTreeSet<(String, String)> {
        let mut index = BTreeSet::new();
        for (user, row) in &self.users {
            let state = if row.get("deleted_at").is_some() { 'd' } else { 'l' };
            for scope in ["a", "rUSER"].map(|scope| format!("{state}{scope}")) {
                let mut before = String::new();
                for term in Self::terms(row) {
                    let same = before.bytes().zip(term.bytes()).take_while(|(a, b)| a == b).count();
                    index.insert((format!("{scope}/{same:02x}{term}"), user.clone()));
                    before = term;
                }
                index.insert((scope, user.clone()));
            }
        }
        index
    }
}

type Objects<'m> = BTreeMap<(String, String), (Version, (&'m Value, &'m Vec<String>))>;

/// What the payer has subscribed to, unless that is what everybody has: the item in the best state that began last, as the
/// newest message about it says, and its subscription if that was updated later.
fn subscribed(objects: &Objects<'_>, payer: &str) -> Option<(String, String)> {
    let paid = |kind: &'static str| {
        let own =
            objects.iter().filter(move |((of, _), (_, (_, parents)))| of == kind && parents.iter().any(|p| p == payer));
        own.map(|((_, id), (version, (data, _)))| (id.clone(), version.clone(), *data))
    };
    let mut items: BTreeMap<String, (Version, &Value)> = BTreeMap::new();
    for (id, version, data) in paid("subscriptionItem") {
        greatest(&mut items, &id, (&version, data));
    }
    for (_, (updated_at, at, message), whole) in paid("subscription") {
        let item = &whole["items"][0];
        let version = (item["updated_at"].as_i64().unwrap_or(updated_at), at, message);
        greatest(&mut items, &item["id"].as_str().unwrap().to_owned(), (&version, item));
    }
    let ranked = items.into_iter().filter_map(|(id, (version, item))| {
        let own = STATES.iter().position(|state| item["status"] == *state).unwrap();
        let whole = paid("subscription").find(|(sub, whole, _)| item["subscription_id"] == *sub && whole.0 > version.0);
        let (state, version) = match whole {
            Some((_, version, data)) if own < 4 => {
                let whole = STATES.iter().position(|state| data["status"] == *state).unwrap();
                let (running, over) = (own < 2, own == 2 && whole == 3);
                (if running || over { whole } else { own }, version)
            }
            _ => (own, version),
        };
        let plan = item["plan"]["slug"].as_str().unwrap();
        (state < 4).then_some((std::cmp::Reverse(state), item["period_start"].as_i64(), version, id, plan))
    });
    let (state, .., plan) = ranked.max()?;
    let says = (plan.to_owned(), STATES[state.0].to_owned());
    (says != ("free".to_owned(), "active".to_owned())).then_some(says)
}

fn greatest<K: Ord + Clone, V: Clone>(map: &mut BTreeMap<K, (Version, V)>, key: &K, (version, value): (&Version, V)) {
    if map.get(key).is_none_or(|(kept, _)| version > kept) {
        map.insert(key.clone(), (version.clone(), value));
    }
}

fn earliest<K: Ord + Clone>(map: &mut BTreeMap<K, i64>, key: &K, at: i64) {
    let kept = map.entry(key.clone()).or_insert(at);
    *kept = (*kept).min(at);
}

fn shown((updated_at, event_at, delivery): Version) -> Value {
    json!({ "updated_at": updated_at, "event_at": event_at, "delivery": delivery })
}

/// A store on that disk.
fn store(disk: &Disk, delete: DeletePolicy) -> Store {
    let policy = Policy { delete, ..Policy::default() };
    let clock = Clock::fixed(Timestamp::from_millis(T + 100_000));
    Store::with_backend(disk.clone(), Path::new("a disk in memory"), 1 << 20, policy, clock).unwrap()
}

/// The messages as they come in, each signed and checked like one from outside, so many at once.
struct Sender<'a> {
    messages: &'a [Message],
    sent: BTreeSet<usize>,
    at_once: usize,
}

impl<'a> Sender<'a> {
    fn new(messages: &'a [Message], at_once: usize) -> Self {
        Self { messages, sent: BTreeSet::new(), at_once }
    }

    async fn send(&mut self, store: &Store, arrival: &[usize]) {
        for group in arrival.chunks(self.at_once) {
            let copies = group.iter().map(|n| &self.messages[*n]);
            let answers = join_all(copies.map(|copy| store.ingest(received(&copy.id, &copy.body)))).await;
            for (n, answer) in group.iter().zip(answers) {
                let seen = !self.sent.insert(*n);
                assert_eq!(answer.unwrap().outcome == Outcome::Duplicate, seen, "{}", self.messages[*n].id);
            }
        }
    }
}

/// A data file after the messages came in that order.
struct Ended {
    tables: BTreeMap<String, file::Table>,
    roll: file::Roll,
    found: BTreeMap<String, Vec<String>>,
}

/// Hands the messages in; half-way the store is closed and opened again.
async fn end(messages: &[Message], arrival: &[usize], at_once: usize, delete: DeletePolicy) -> Ended {
    let disk = Disk::default();
    let mut sender = Sender::new(messages, at_once);
    let (first, second) = arrival.split_at(arrival.len() / 2);
    let opened = store(&disk, delete);
    sender.send(&opened, first).await;
    opened.close().await;
    let opened = store(&disk, delete);
    sender.send(&opened, second).await;
    let found = searched(&opened).await;
    opened.close().await;
    let db = file::open_disk(&disk);
    file::Witness::default().follow(&db);
    Ended { tables: comparable(file::dump(&db)), roll: file::roll(&db), found }
}

/// All that must not depend on the order: everything but the log, what numbers its entries, and what counts what came
/// of each delivery.
fn comparable(mut tables: BTreeMap<String, file::Table>) -> BTreeMap<String, file::Table> {
    // What was ever on file is history: it goes by what was seen, not by what is.
    let is_history = |name: &str| name.starts_with("audit_") || name == "value_tags";
    tables.retain(|name, _| !is_history(name) && name != "subject_refs" && name != "hours");
    for name in ["deliveries", "subjects"] {
        tables.get_mut(name).unwrap().values_mut().for_each(String::clear);
    }
    let quarantine = tables.get_mut("quarantine").unwrap();
    *quarantine = std::mem::take(quarantine).into_values().map(|row| (row, String::new())).collect();
    tables
}

/// What is looked for; `!` marks whole addresses, `-` the deleted.
const SEARCHES: [&str; 12] = [
    "",
    "-",
    "a",
    "-a",
    "ann",
    "anna AM",
    "BO",
    "-bo",
    "él",
    "!SHARED@example.org",
    "!bo@example.org",
    "-!bo@example.org",
];

/// Whom each of the searches finds.
async fn searched(store: &Store) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for search in SEARCHES {
        let (deleted, text) = search.strip_prefix('-').map_or((false, search), |text| (true, text));
        let email = text.strip_prefix('!').map(str::to_owned);
        let query = (email.is_none() && !text.is_empty()).then(|| text.to_owned());
        let filter = UserFilter { query, email, deleted, ..UserFilter::default() };
        let mut page = PageRequest { limit: "2".parse().unwrap(), cursor: None };
        let ids: &mut Vec<String> = found.entry(search.to_owned()).or_default();
        loop {
            let answer = store.users(filter.clone(), page.clone()).await.unwrap();
            ids.extend(answer.items.iter().map(|user| user.clerk_id.to_string()));
            page.cursor = answer.next_cursor;
            if page.cursor.is_none() {
                break;
            }
        }
    }
    found
}

/// Tells the case in several orders, and compares what comes of it with the model and with each other.
async fn check(Case { messages, arrivals }: &Case, delete: DeletePolicy) {
    let model = Model::of(messages, delete);
    let told: Vec<usize> = (0..messages.len()).collect();
    let first = end(messages, &told, 1, delete).await;
    assert_eq!(first.roll, model.roll());
    assert_eq!(
        first
            .found
            .iter()
            .map(|(search, ids)| (search.clone(), ids.iter().cloned().collect()))
            .collect::<BTreeMap<_, BTreeSet<_>>>(),
        model.found()
    );
    let is_deletion = |n: &usize| matches!(messages[*n].says, Says::UserDeleted { .. } | Says::ObjectDeleted { .. });
    let (deletions, others): (Vec<usize>, Vec<usize>) = told.iter().partition(|n| is_deletion(n));
    let mut orders = vec![(others.iter().chain(&deletions).copied().collect(), 100)];
    orders.push((deletions.into_iter().chain(others).collect(), 7));
    orders.extend(arrivals.iter().cloned().zip([1, 5, 64]));
    for (arrival, at_once) in orders {
        let ended = end(messages, &arrival, at_once, delete).await;
        assert_eq!(ended.tables, first.tables, "in the order {arrival:?}, {at_once} at once");
        assert_eq!(ended.found, first.found, "in the order {arrival:?}, {at_once} at once");
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn cases(number: u32) -> ProptestConfig {
    ProptestConfig { cases: number, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn every_order_ends_in_the_same_file(case in case(40), hard in any::<bool>()) {
        let delete = if hard { DeletePolicy::Hard } else { DeletePolicy::Soft };
        runtime().block_on(check(&case, delete));
    }
}

proptest! {
    #![proptest_config(cases(10))]

    #[test]
    fn every_order_ends_in_the_same_answers(case in case(25), hard in any::<bool>()) {
        let delete = if hard { "hard" } else { "soft" };
        runtime().block_on(async {
            let told = answers(&case.messages, &(0..case.messages.len()).collect::<Vec<_>>(), delete).await;
            for arrival in &case.arrivals {
                for (answer, told) in answers(&case.messages, arrival, delete).await.iter().zip(&told) {
                    assert_eq!(answer, told, "in the order {arrival:?}");
                }
            }
        });
    }
}

/// What the API says of everybody after the messages came in that order, by HTTP: every list and every record.
async fn answers(messages: &[Message], arrival: &[usize], delete: &str) -> Vec<(String, u16, String)> {
    let clock = Clock::fixed(common::now());
    let server = TestServer::with_clock(&[("ROLLBOOK_DELETE", delete)], clock).await;
    // The reader comes by an event too: a record made from their token would hold the time of the token.
    server.outcome(&common::user_event("user.created", "user_admin", T, "Reader")).await;
    // Made now: the server's clock stands still, and however long the messages take, the token is not of a later time.
    let token = server.admin("user_admin").await;
    for Message { id, body, .. } in arrival.iter().map(|n| &messages[*n]) {
        let headers = sign::sign(SECRET, id, sign::now_seconds(), body.as_bytes());
        assert_eq!(server.post_signed(&headers, body).await.status, 200);
    }
    let users = (0..6).map(|n| format!("/api/users/user_{n}?include=clerk"));
    let lists =
        ["", "&deleted=true", "&query=a", "&query=bo&deleted=true", "&email=shared%40example.org", "&role=USER"];
    let lists = lists.map(|filter| format!("/api/users?include=clerk{filter}"));
    let mut answers = Vec::new();
    for path in users.chain(lists) {
        let answer = server.get_as(&token, &path).await;
        let problem = answer.status != 200;
        // The id of an error is new each time.
        answers.push((path, answer.status.as_u16(), if problem { String::new() } else { answer.text }));
    }
    server.stop().await;
    answers
}
