//! The roll compared with Clerk's own list, for which a stand-in with the Backend API stands: what was lost is found, what is
//! here stays what it is, and a comparison can be broken off anywhere.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;
#[path = "common/file.rs"]
mod file;
#[path = "common/process.rs"]
mod process;

#[path = "reconcile/command.rs"]
mod command;
#[path = "reconcile/faults.rs"]
mod faults;
#[path = "reconcile/history.rs"]
mod history;
#[path = "reconcile/shown.rs"]
mod shown;

use common::{TestServer, clerk_id, user_event};
use rollbook::audit::{Actor, Entry, Source};
use rollbook::clerk::backend::{Backend, Patience};
use rollbook::clerk::clean::clean;
use rollbook::clock::{Clock, Timestamp};
use rollbook::sample::Scene;
use rollbook::stand_in::StandIn;
use rollbook::store::By;
use rollbook::sync::{Fetched, Found, Report, Stage, Walked};
use rollbook::user::{ClerkId, UserId};
use serde_json::{Map, Value};

const AT: i64 = 1_750_000_000_000;

/// Clerk, and a server that has its key.
struct Pair {
    clerk: StandIn,
    server: TestServer,
}

impl Pair {
    async fn start(changed: &[(&str, &str)]) -> Self {
        let clerk = StandIn::start("ins_test", Clock::system()).await.unwrap();
        let server = server(&clerk, &clerk.url, changed).await;
        Self { clerk, server }
    }

    /// Makes it true at Clerk, and lets its webhook be lost.
    fn lose(&self, event: &Value) {
        self.clerk.apply(event).unwrap();
    }

    /// Makes it true at Clerk, and delivers the webhook.
    async fn tell(&self, event: &Value) {
        self.clerk.apply(event).unwrap();
        self.server.outcome(event).await;
    }

    async fn walk(&self, is_dry: bool) -> Walked {
        walk(&self.server, is_dry).await.unwrap()
    }

    /// Fails unless the roll is Clerk's list.
    fn compare(&self) {
        let users = self.clerk.users();
        assert_eq!(self.server.app.store.counts().users, users.len() as u64);
        for mut user in users {
            clean("user.updated", &mut user);
            let kept = self.server.user(user["id"].as_str().unwrap()).unwrap();
            assert_eq!(serde_json::from_str::<Map<String, Value>>(kept.clerk.as_str()).unwrap(), user);
            assert_eq!(kept.deleted_at, None);
        }
    }
}

/// A server that asks at that address with the stand-in's key.
async fn server(clerk: &StandIn, url: &str, changed: &[(&str, &str)]) -> TestServer {
    let key = [("CLERK_SECRET_KEY", clerk.secret_key()), ("CLERK_API_URL", url)];
    TestServer::with(&[changed, &key[..]].concat()).await
}

fn by() -> By {
    By { actor: Actor::Cli, source: Source::Cli }
}

async fn walk(server: &TestServer, is_dry: bool) -> Result<Walked, String> {
    server.app.walks.follow(is_dry, by(), |_| ()).await.unwrap().result
}

fn created(id: &str, name: &str) -> Value {
    user_event("user.created", id, AT, name)
}

fn updated(id: &str, after: i64, name: &str) -> Value {
    user_event("user.updated", id, AT + after, name)
}

fn deleted(id: &str) -> Value {
    common::deleted_event(id, AT + 900)
}

async fn of_sync(server: &TestServer) -> Vec<Entry> {
    let of_sync = |entry: &Entry| entry.leaf.action.starts_with("sync.");
    server.entries().await.into_iter().filter(of_sync).collect()
}

#[tokio::test]
async fn what_was_lost_is_found_and_said() {
    let pair = Pair::start(&[]).await;
    pair.tell(&created("user_Same", "Same")).await;
    pair.tell(&created("user_Old", "Old")).await;
    pair.tell(&created("user_Gone", "Gone")).await;
    pair.lose(&updated("user_Old", 5, "New"));
    pair.lose(&deleted("user_Gone"));
    pair.lose(&created("user_Lost", "Lost"));

    let walked = pair.walk(false).await;
    let expected = Report { fetched: 3, created: 1, updated: 1, deleted: 1, unchanged: 1, ..Report::default() };
    assert_eq!((walked.report, walked.drift(), walked.is_first), (expected, 3, true));
    pair.compare();
    assert!(pair.server.user("user_Gone").unwrap().deleted_at.is_some());
    assert_eq!(pair.server.app.store.last_walk().unwrap(), Some(walked));
    assert_eq!(pair.server.app.store.suspended_walk().unwrap(), None);

    let entries = of_sync(&pair.server).await;
    let said = entries.iter().map(|e| (e.leaf.action.as_str(), e.leaf.actor.as_str(), e.leaf.source));
    let said: Vec<_> = said.collect();
    assert_eq!(
        said,
        [
            ("sync.started", "cli", Source::Cli),
            ("sync.user_created", "system", Source::Sync),
            ("sync.user_updated", "system", Source::Sync),
            ("sync.user_deleted", "system", Source::Sync),
            ("sync.finished", "cli", Source::Cli),
        ]
    );
    assert_eq!(entries[2].leaf.changed, ["first_name"]);
    assert_eq!(entries[2].detail.as_ref().unwrap()["changes"]["first_name"]["before"], "Old");
    assert_eq!(entries[2].target_user, Some(clerk_id("user_Old")));
    assert_eq!(entries[4].leaf.count, Some(3));
    assert_eq!(entries[4].detail.as_ref().unwrap()["report"]["unchanged"], 1);

    // There is nothing left to do, and nothing is done.
    let users = pair.server.app.store.counts();
    let again = pair.walk(false).await;
    assert_eq!(again.report, Report { fetched: 3, unchanged: 3, ..Report::default() });
    let after = pair.server.app.store.counts();
    assert_eq!((after.users, after.entries), (users.users, users.entries + 2));
}

#[tokio::test]
async fn the_first_one_of_an_empty_roll_fills_it() {
    let pair = Pair::start(&[]).await;
    // More than one page, and a last one that is full.
    pair.clerk.put_crowd(&Scene::new(b"crowd", Timestamp::from_millis(AT)), 1000, Timestamp::from_millis(AT));
    let walked = pair.walk(false).await;
    assert_eq!(walked.report, Report { fetched: 1000, created: 1000, ..Report::default() });
    assert_eq!((walked.is_first, walked.drift(), walked.lost()), (true, 1000, 0));
    pair.compare();
    assert!(!pair.walk(false).await.is_first);
}

#[tokio::test]
async fn a_dry_one_says_the_same_and_changes_nothing() {
    let pair = Pair::start(&[]).await;
    pair.tell(&created("user_Old", "Old")).await;
    pair.tell(&created("user_Gone", "Gone")).await;
    pair.lose(&updated("user_Old", 5, "New"));
    pair.lose(&deleted("user_Gone"));
    pair.lose(&created("user_Lost", "Lost"));
    let Pair { clerk, server } = pair;
    let dir = server.stop().await;
    let before = file::dump(&file::open(&dir.path().join("rollbook.redb")));
    let key = [("CLERK_SECRET_KEY", clerk.secret_key()), ("CLERK_API_URL", clerk.url.as_str())];
    let server = TestServer::open(dir, &key, Clock::system()).await;
    let dry = walk(&server, true).await.unwrap();
    let expected = Report { fetched: 2, created: 1, updated: 1, deleted: 1, ..Report::default() };
    assert_eq!((dry.report, dry.is_dry), (expected, true));
    let named = server.app.walks.last().unwrap().named;
    let ids: [Vec<&str>; 3] =
        [&named.created[..], &named.updated, &named.deleted].map(|ids| ids.iter().map(ClerkId::as_str).collect());
    assert_eq!(ids, [vec!["user_Lost"], vec!["user_Old"], vec!["user_Gone"]]);
    assert_eq!(server.app.store.last_walk().unwrap(), None);
    let dir = server.stop().await;
    let after = file::dump(&file::open(&dir.path().join("rollbook.redb")));
    for (name, rows) in before {
        // That somebody asked is in the log, and the hour of that has its numbers.
        if !name.starts_with("audit_") && name != "hours" {
            assert_eq!(after[&name], rows, "{name}");
        }
    }
    let server = TestServer::open(dir, &key, Clock::system()).await;
    assert_eq!(walk(&server, false).await.unwrap().report, expected);
}

#[tokio::test]
async fn who_was_deleted_or_erased_here_stays_so() {
    for policy in ["soft", "hard"] {
        let pair = Pair::start(&[("ROLLBOOK_DELETE", policy)]).await;
        for id in ["user_Deleted", "user_Erased", "user_Kept"] {
            pair.tell(&created(id, "Ann")).await;
        }
        let store = &pair.server.app.store;
        assert_eq!(pair.server.outcome(&deleted("user_Deleted")).await, "applied");
        let order = rollbook::store::Order { by: by(), reason: None, even_if_live: true, even_if_untold: false };
        store.erase(&"user_Erased".parse().unwrap(), order, |_| ()).await.unwrap();
        let walked = pair.walk(false).await;
        assert_eq!(walked.report, Report { fetched: 3, unchanged: 1, apart: 2, ..Report::default() });
        assert_eq!(pair.server.user("user_Erased"), None);
        assert!(pair.server.user("user_Deleted").is_none_or(|user| user.deleted_at.is_some()));
        assert_eq!(store.counts().users, 1);
        // They are no difference in the number either.
        let counted = pair.server.app.walks.count().await.unwrap();
        assert_eq!((counted.theirs, counted.ours, counted.difference()), (3, 3, 0));
        assert_eq!(pair.server.app.walks.counted(), Some(counted));
        pair.lose(&created("user_More", "Mo"));
        assert_eq!(pair.server.app.walks.count().await.unwrap().difference(), 1);
    }
}

#[tokio::test]
async fn what_clerk_moves_without_a_word_is_no_difference() {
    let pair = Pair::start(&[]).await;
    pair.tell(&created("user_Ann", "Ann")).await;
    let mut active = created("user_Ann", "Ann");
    active["data"]["last_sign_in_at"] = (AT + 77).into();
    active["data"]["last_active_at"] = (AT + 78).into();
    pair.lose(&active);
    let entries = pair.server.app.store.counts().entries;
    let walked = pair.walk(false).await;
    assert_eq!(walked.report, Report { fetched: 1, unchanged: 1, ..Report::default() });
    pair.compare();
    assert_eq!(pair.server.app.store.counts().entries, entries + 2);
    let user = pair.server.user("user_Ann").unwrap();
    assert_eq!(user.profile().last_sign_in_at, Some(Timestamp::from_millis(AT + 77)));
    // Of what an operator gave, nothing goes.
    pair.server.admin("user_Ann").await;
    pair.lose(&updated("user_Ann", 9, "Anna"));
    assert_eq!(pair.walk(false).await.report.updated, 1);
    assert!(pair.server.user("user_Ann").unwrap().role.is_admin());
    pair.compare();
}

#[tokio::test]
async fn the_feed_tells_what_changed_and_not_that_somebody_compared() {
    let pair = Pair::start(&[]).await;
    pair.lose(&created("user_Ann", "Ann"));
    pair.walk(false).await;
    let admin = pair.server.admin("user_Ann").await;
    let feed = pair.server.get_as(&admin, "/api/events?types=sync.*").await.json();
    let told: Vec<_> = feed["items"].as_array().unwrap().iter().map(|item| item["type"].clone()).collect();
    assert_eq!(told, ["sync.user_created"], "{feed:#}");
}

/// Somebody as Clerk has them now.
async fn fetched(pair: &Pair, id: &str) -> Fetched {
    let backend = Backend::new(&pair.clerk.url, pair.clerk.secret_key(), Clock::system()).unwrap();
    backend.user(&clerk_id(id), Patience::Short).await.unwrap().unwrap()
}

/// What the walk under way would know of somebody, if it was broken off there.
async fn meet(pair: &Pair, id: &str) {
    apply(pair, fetched(pair, id).await).await;
}

async fn apply(pair: &Pair, fetched: Fetched) {
    let store = &pair.server.app.store;
    let walk = match store.suspended_walk().unwrap() {
        Some(walk) => walk,
        None => store.begin_walk(false, None, by()).await.unwrap(),
    };
    let stage = Stage::List(Some(fetched.id.clone()));
    store.reconcile(walk, vec![Found::User(fetched)], stage).await.unwrap();
}

#[tokio::test]
async fn of_who_is_erased_or_deleted_for_good_no_mark_is_left() {
    let pair = Pair::start(&[("ROLLBOOK_DELETE", "hard")]).await;
    let store = &pair.server.app.store;
    for id in ["user_Erased", "user_Deleted", "user_Stays"] {
        pair.tell(&created(id, "Ann")).await;
        meet(&pair, id).await;
    }
    let order = rollbook::store::Order { by: by(), reason: None, even_if_live: true, even_if_untold: false };
    store.erase(&"user_Erased".parse().unwrap(), order, |_| ()).await.unwrap();
    assert_eq!(pair.server.outcome(&deleted("user_Deleted")).await, "applied");
    let kept = UserId::of(&clerk_id("user_Stays")).as_u128();
    let dir = pair.server.stop().await;
    let rows = file::dump(&file::open(&dir.path().join("rollbook.redb")));
    assert_eq!(rows["walk_marks"].keys().collect::<Vec<_>>(), [&format!("(0, {kept})")]);
}

#[tokio::test]
async fn one_broken_off_a_day_ago_begins_anew() {
    let clerk = StandIn::start("ins_test", Clock::system()).await.unwrap();
    let clock = Clock::fixed(Clock::system().now());
    let key = [("CLERK_SECRET_KEY", clerk.secret_key()), ("CLERK_API_URL", clerk.url.as_str())];
    let server = TestServer::with_clock(&key, clock.clone()).await;
    let pair = Pair { clerk, server };
    for id in ["user_1", "user_2", "user_3"] {
        pair.lose(&created(id, "Ann"));
    }
    meet(&pair, "user_1").await;
    clock.set(clock.now().plus_millis(24 * 60 * 60 * 1000 - 1));
    assert_eq!(pair.walk(false).await.report, Report { fetched: 3, created: 3, ..Report::default() });
    assert_eq!(pair.server.count("sync.started").await, 1, "it went on");

    meet(&pair, "user_1").await;
    clock.set(clock.now().plus_millis(24 * 60 * 60 * 1000));
    assert_eq!(pair.walk(false).await.report, Report { fetched: 3, unchanged: 3, ..Report::default() });
    assert_eq!(pair.server.count("sync.started").await, 3, "it began anew");
    let dir = pair.server.stop().await;
    assert!(file::dump(&file::open(&dir.path().join("rollbook.redb")))["walk_marks"].is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_came_a_moment_ago_is_asked_for_twice() {
    let pair = Pair::start(&[]).await;
    // The webhook was faster than what the API reads from.
    let mut event = created("user_New", "New");
    event["data"]["created_at"] = common::now().as_millis().into();
    assert_eq!(pair.server.outcome(&event).await, "applied");
    let appear = async {
        // Of the instance, the number, the list, and the user.
        while pair.clerk.requests() < 4 {
            tokio::task::yield_now().await;
        }
        // That one is answered before they are there, and the next is a while off.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        pair.lose(&event);
    };
    let (walked, ()) = tokio::join!(pair.walk(false), appear);
    assert_eq!(walked.report, Report { fetched: 1, unchanged: 1, ..Report::default() });
    assert!(pair.server.user("user_New").unwrap().deleted_at.is_none());
    // Twice is enough.
    pair.clerk.delete_user("user_New");
    assert_eq!(pair.walk(false).await.report, Report { deleted: 1, ..Report::default() });
    assert_eq!(pair.clerk.requests(), 5 + 5);
}

#[tokio::test]
async fn what_a_webhook_told_since_is_not_taken_back() {
    let pair = Pair::start(&[]).await;
    for id in ["user_Changed", "user_Gone"] {
        pair.tell(&created(id, "Ann")).await;
    }
    let (changed, gone) = (fetched(&pair, "user_Changed").await, fetched(&pair, "user_Gone").await);
    // They were on their way here when Clerk told more of them.
    pair.tell(&updated("user_Changed", 5, "Anna")).await;
    pair.tell(&deleted("user_Gone")).await;
    for fetched in [changed, gone] {
        apply(&pair, fetched).await;
    }
    pair.compare();
    assert!(pair.server.user("user_Gone").unwrap().deleted_at.is_some());
    let report = pair.server.app.store.suspended_walk().unwrap().unwrap().report;
    assert_eq!(report, Report { fetched: 2, unchanged: 1, apart: 1, ..Report::default() });
}
