//! The store under many hands and on bad disks: nobody is hurt by a neighbour, and whatever breaks when,
//! what was acknowledged is there afterwards.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod common;
#[path = "common/deliveries.rs"]
mod deliveries;
#[path = "common/disk.rs"]
mod disk;
#[path = "common/file.rs"]
mod file;
#[path = "store/filters.rs"]
mod filters;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use common::tokens::ISSUER;
use common::{Answer, CLERK, SECRET, deleted_event, sign, user_event};
use deliveries::received;
use disk::{Call, Disk, Survival};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use reqwest::Client;
use rollbook::audit::{Actor, Draft, Source};
use rollbook::clerk::jwks::Keys;
use rollbook::clerk::session::{Rules, Sessions};
use rollbook::clerk::webhook::Webhooks;
use rollbook::clock::{Clock, Timestamp};
use rollbook::event::Outcome;
use rollbook::forward::{self, Forwarder};
use rollbook::http::guard::Hosts;
use rollbook::http::limit::Rate;
use rollbook::http::{self, Abroad, App, Settings};
use rollbook::notary::Notary;
use rollbook::page::{Limit, PageRequest};
use rollbook::server::accept;
use rollbook::store::{Error, OpenError, Store, UserFilter};
use rollbook::sync::Policy;
use tokio::net::TcpListener;

const T: i64 = 1_750_000_000_000;

/// The size of redb's pages.
const PAGE: usize = 4096;

fn clock() -> Clock {
    Clock::fixed(Timestamp::from_millis(T))
}

/// A store on that disk, with so little cache that it must read too.
fn on(disk: &Disk) -> Result<Store, OpenError> {
    Store::with_backend(disk.clone(), Path::new("a disk in memory"), 64 * 1024, Policy::default(), clock())
}

/// The n-th message: about one of twenty users, mostly a newer version, now and then a deletion.
fn nth(n: i64) -> (String, String) {
    let user = format!("user_{}", n % 20);
    let event =
        if n % 50 == 49 { deleted_event(&user, T + n) } else { user_event("user.updated", &user, T + n, "Ann") };
    (format!("msg_{n}"), event.to_string())
}

async fn ingest(store: &Store, n: i64) -> Result<Outcome, Error> {
    let (id, body) = nth(n);
    store.ingest(received(&id, &body)).await.map(|ingested| ingested.outcome)
}

#[tokio::test]
async fn a_caller_who_hangs_up_changes_nothing_for_the_others_and_their_work_is_done() {
    let disk = Disk::default();
    let store = on(&disk).unwrap();
    let calls: Vec<_> = (0..300).map(|n| Box::pin(ingest(&store, n))).collect();
    let mut waiting = Vec::new();
    let mut gone = 0;
    for (n, mut call) in calls.into_iter().enumerate() {
        if n % 3 == 0 {
            // Asked, and gone before the answer; unless the answer was there at once.
            gone += usize::from(call.as_mut().now_or_never().is_none());
        } else {
            waiting.push(call);
        }
    }
    assert!(gone > 50, "only {gone} callers hung up");
    for answer in join_all(waiting).await {
        assert!(matches!(answer, Ok(Outcome::Applied | Outcome::Stale | Outcome::Unchanged)), "{answer:?}");
    }
    store.close().await;
    let db = file::open_disk(&disk);
    file::Witness::default().follow(&db);
    assert_eq!(file::deliveries(&db).len(), 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_writers_at_once_share_transactions_and_each_hears_its_own_answer() {
    let disk = Disk::default();
    let store = on(&disk).unwrap();
    let writers = (0..16).map(|writer| {
        let store = store.clone();
        tokio::spawn(async move {
            let mut outcomes = Vec::new();
            for round in 0..20 {
                // Everybody's own messages, and one in four that everybody sends.
                let n = if round % 4 == 0 { 10_000 + round } else { writer * 100 + round };
                outcomes.push((n, ingest(&store, n).await.unwrap()));
            }
            outcomes
        })
    });
    let outcomes: Vec<_> = join_all(writers).await.into_iter().flat_map(Result::unwrap).collect();
    let first = outcomes.iter().filter(|(_, outcome)| *outcome != Outcome::Duplicate).map(|(n, _)| *n);
    let (first, distinct) = (first.collect::<Vec<_>>(), outcomes.iter().map(|(n, _)| *n).collect::<BTreeSet<_>>());
    assert_eq!(first.len(), distinct.len(), "a message was applied twice or never");
    let batches = store.figures().batches;
    let (transactions, operations) = (batches.count(), batches.sum());
    assert_eq!(operations, 320);
    assert!(transactions < operations, "nobody shared a transaction");
    store.close().await;
    let db = file::open_disk(&disk);
    file::Witness::default().follow(&db);
    assert_eq!(file::deliveries(&db).len(), distinct.len());
}

#[tokio::test]
async fn an_operation_that_cannot_be_done_fails_alone() {
    let disk = Disk::default();
    let store = on(&disk).unwrap();
    let note = |action: String| store.record(Draft::new(action, Actor::System, Source::System));
    let (good, bad) = ((0..60).map(|n| ingest(&store, n)), (0..60).map(|n| note("x".repeat(1 + (n % 3) * 3_000))));
    let calls = good.zip(bad).map(|(good, bad)| async { futures_util::join!(good, bad) });
    for (n, (good, bad)) in join_all(calls).await.into_iter().enumerate() {
        good.unwrap();
        match n % 3 {
            2 => assert!(matches!(bad, Err(Error::Corrupt(_))), "{bad:?}"),
            _ => bad.unwrap(),
        }
    }
    assert!(store.is_ready());
    let batches = store.figures().batches;
    let (transactions, operations) = (batches.count(), batches.sum());
    assert!(transactions < operations && operations == 100, "{transactions} transactions, {operations} operations");
    store.close().await;
    let db = file::open_disk(&disk);
    file::Witness::default().follow(&db);
    assert_eq!((file::deliveries(&db).len(), file::leaves(&db).len()), (60, 100));
}

/// Hands in messages, four at a time, until the store says no. Returns those acknowledged.
async fn until_broken(store: &Store, messages: std::ops::Range<i64>) -> BTreeSet<i64> {
    let mut acknowledged = BTreeSet::new();
    let all: Vec<i64> = messages.collect();
    for group in all.chunks(4) {
        let answers = join_all(group.iter().map(|n| ingest(store, *n))).await;
        acknowledged.extend(group.iter().zip(&answers).filter(|(_, answer)| answer.is_ok()).map(|(n, _)| *n));
        if let Some(error) = answers.into_iter().find_map(Result::err) {
            assert!(matches!(error, Error::Failed), "{error:?}");
            break;
        }
    }
    acknowledged
}

/// What was acknowledged is on the disk, the log is sound, and the store goes on from there.
async fn assert_nothing_lost(disk: &Disk, acknowledged: &BTreeSet<i64>, case: &str) {
    let store = on(disk).unwrap_or_else(|error| panic!("{case}: {error}"));
    assert!(store.is_ready());
    store.close().await;
    let mut witness = file::Witness::default();
    let db = file::open_disk(disk);
    witness.follow(&db);
    let found = file::deliveries(&db);
    drop(db);
    for n in acknowledged {
        assert!(found.contains_key(&format!("msg_{n}")), "{case}: message {n} is lost");
    }
    let store = on(disk).unwrap();
    for n in acknowledged.iter().take(3) {
        assert_eq!(ingest(&store, *n).await.unwrap(), Outcome::Duplicate, "{case}");
    }
    let again: Vec<i64> = (0..60).collect();
    for outcome in join_all(again.iter().map(|n| ingest(&store, *n))).await {
        outcome.unwrap();
    }
    store.close().await;
    let db = file::open_disk(disk);
    witness.follow(&db);
    assert_eq!(file::deliveries(&db).len(), found.len().max(60), "{case}");
}

/// Ways in which a page can be damaged.
const DAMAGES: [fn(&mut [u8]); 3] = [
    |page| page.fill(0),
    |page| page.iter_mut().for_each(|byte| *byte = !*byte),
    |page| page.iter_mut().skip(32).step_by(61).for_each(|byte| *byte ^= 0x10),
];

/// Hands in some messages: the store goes on, or it stops for good and says so.
async fn assert_goes_on_or_stops(store: &Store, case: &str) -> bool {
    let mut stopped = false;
    for n in 300..312 {
        let answer = ingest(store, n).await;
        let refused = matches!(answer, Err(Error::Failed | Error::ReadOnly));
        assert!(!stopped || refused, "{case}: {answer:?} after the store stopped");
        stopped |= refused;
    }
    assert_eq!(store.is_ready(), !stopped, "{case}");
    stopped
}

/// Whichever page is damaged and how, before the file is opened or while it is open: the file is refused with a
/// reason, or the store stops and says so, or no harm is done.
#[tokio::test]
async fn a_damaged_file_breaks_nothing_but_itself() {
    let whole = Disk::default();
    let store = on(&whole).unwrap();
    assert_eq!(until_broken(&store, 0..300).await.len(), 300);
    store.close().await;
    let (mut refused, mut stopped) = (BTreeSet::new(), 0);
    for page in 0..whole.length() / PAGE {
        for (n, damage) in DAMAGES.into_iter().enumerate() {
            let case = format!("page {page}, damage {n}");
            let disk = whole.salvage(Survival::All);
            disk.damage(page * PAGE..(page + 1) * PAGE, damage);
            match on(&disk) {
                Ok(store) => {
                    stopped += usize::from(assert_goes_on_or_stops(&store, &case).await);
                    store.close().await;
                }
                Err(error) => drop(refused.insert(format!("{error:?}").split('(').next().unwrap().to_owned())),
            }
            let disk = whole.salvage(Survival::All);
            let store = on(&disk).unwrap();
            disk.damage(page * PAGE..(page + 1) * PAGE, damage);
            stopped += usize::from(assert_goes_on_or_stops(&store, &case).await);
            store.close().await;
        }
    }
    assert!(refused.contains("Damaged") && refused.contains("NotOurs") && stopped > 0, "{refused:?}, {stopped}");
}

const NO_LIMIT: Rate = Rate { per_second: None, also_local: false };

/// The routes over a store on that disk, served for as long as the test runs.
async fn serve(store: Store) -> String {
    let notary = Notary::open(store.clone(), Clock::system(), "localhost").await.unwrap();
    let rules = Rules { issuer: ISSUER.to_owned(), authorized_parties: vec![], require_azp: false, audiences: vec![] };
    let sessions = Sessions::new(Keys::from_pem(&CLERK.pem()).unwrap(), rules, Clock::system());
    let settings = Settings {
        public_origin: "http://localhost".to_owned(),
        provision: true,
        allow_impersonation: true,
        trusted_proxies: vec![],
        public_log: false,
        cors: None,
        rate_address: NO_LIMIT,
        rate_token: NO_LIMIT,
        backups: None,
        tls: None,
        in_force: vec![],
    };
    let setup = forward::Setup {
        store: store.clone(),
        clock: Clock::system(),
        backend: None,
        private: vec![],
        log: String::new(),
        shape: Arc::new(http::event),
        set: None,
    };
    let abroad = Abroad { backend: None, forwarder: Forwarder::open(setup).await.unwrap() };
    let app = App::new(store, notary, Webhooks::new([SECRET]).unwrap(), sessions, abroad, Clock::system(), settings);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let service = http::service(&app, Hosts::default());
    tokio::spawn(async move {
        let (fault, limits) = (|fault, _: &_| http::failed(fault), accept::Limits::default());
        accept::serve(listener, service, fault, limits, Arc::default(), std::future::pending()).await
    });
    url
}

#[tokio::test]
async fn a_broken_disk_is_seen_from_outside() {
    let (disk, dir) = (Disk::default(), tempfile::tempdir().unwrap());
    let path = dir.path().join("roll.redb");
    let store = Store::with_backend(disk.clone(), &path, 64 * 1024, Policy::default(), clock()).unwrap();
    let url = serve(store.clone()).await;
    let client = Client::builder().no_proxy().build().unwrap();
    let get = async |path: &str| Answer::of(client.get(format!("{url}{path}")).send().await.unwrap()).await;
    let post = async |n: i64| {
        let (id, body) = nth(n);
        let headers = sign::sign(SECRET, &id, sign::now_seconds(), body.as_bytes());
        let request = client.post(format!("{url}/api/webhooks/clerk")).body(body);
        let request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        Answer::of(request.send().await.unwrap()).await
    };
    assert_eq!(post(0).await.status, 200);
    assert_eq!(get("/ready").await.status, 200);
    disk.break_at(Call::Sync, 0);
    for n in [1, 2, 0] {
        let answer = post(n).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (503, "application/problem+json"));
        assert!(!answer.header("retry-after").is_empty());
        assert!(!answer.text.contains("broken"), "the cause is told to a stranger: {}", answer.text);
    }
    assert_eq!(get("/ready").await.status, 503);
    assert_eq!(get("/health").await.status, 200);
    // Asked for by somebody who then could not be noted in the log: not given.
    let token = common::token("user_9");
    let me = client.get(format!("{url}/api/auth/me")).bearer_auth(token).send().await.unwrap();
    assert_eq!(me.status(), 503);
    assert_nothing_lost(&disk.salvage(Survival::None), &BTreeSet::from([0]), "sync fails").await;
}

#[tokio::test]
async fn a_read_that_fails_stops_the_writes_too() {
    let disk = Disk::default();
    let store = on(&disk).unwrap();
    for n in 0..300 {
        ingest(&store, n).await.unwrap();
    }
    store.close().await;
    // Opened again, so that nothing is in memory yet.
    let disk = disk.salvage(Survival::All);
    let store = on(&disk).unwrap();
    assert!(store.is_ready());
    disk.break_at(Call::Read, 0);
    let page = PageRequest { limit: Limit::MAX, cursor: None };
    assert!(matches!(store.users(UserFilter::default(), page).await, Err(Error::Storage(_))));
    assert!(!store.is_ready());
    store.failed().await;
    assert!(matches!(ingest(&store, 999).await, Err(Error::Failed)));
}
