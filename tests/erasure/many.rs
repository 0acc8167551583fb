//! More details than go in one transaction, and a disk that breaks between two.

use std::path::Path;
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use rollbook::audit::{Actor, Draft, Source};
use rollbook::clock::{Clock, Timestamp};
use rollbook::store::{By, EraseError, Order, Progress, Store};
use rollbook::sync::Policy;
use rollbook::user::ClerkId;

use crate::common::{clerk_id, deleted_event, user_event};
use crate::deliveries::received;
use crate::disk::{Call, Disk, Survival};
use crate::file::{self, Witness};

const T: i64 = 1_750_000_000_000;

/// So many entries about Ann, and a tenth as many about Bob.
const MANY: usize = 5_100;

fn on(disk: &Disk) -> Store {
    let clock = Clock::fixed(Timestamp::from_millis(T));
    Store::with_backend(disk.clone(), Path::new("a disk in memory"), 1 << 22, Policy::default(), clock).unwrap()
}

fn order() -> Order {
    let by = By { actor: Actor::Cli, source: Source::Cli };
    Order { by, reason: Some("asked by letter".to_owned()), even_if_live: false, even_if_untold: false }
}

async fn deliver(store: &Store, id: &str, event: &serde_json::Value) {
    store.ingest(received(id, &event.to_string())).await.unwrap();
}

/// A store with two users who were read very often.
async fn read_often(disk: &Disk) -> Store {
    let store = on(disk);
    let (ann, bob) = (clerk_id("user_Ann"), clerk_id("user_Bob"));
    for id in [&ann, &bob] {
        deliver(&store, &format!("msg_{id}"), &user_event("user.created", id.as_str(), T, "Ann")).await;
    }
    let read = |of: &ClerkId| Draft::new("user.read", Actor::Cli, Source::Cli).about(of).with("ip", Some("192.0.2.1"));
    let reads: Vec<_> =
        (0..MANY).flat_map(|n| [Some(read(&ann)), (n % 10 == 0).then(|| read(&bob))]).flatten().collect();
    for reads in reads.chunks(1000) {
        let written = join_all(reads.iter().map(|read| store.record(read.clone()))).await;
        assert!(written.into_iter().all(|written| written.is_ok()));
    }
    deliver(&store, "msg_gone", &deleted_event("user_Ann", T + 1)).await;
    store
}

fn check(disk: &Disk, witness: &mut Witness) -> (usize, usize) {
    let db = file::open_disk(disk);
    witness.follow(&db);
    let tables = file::dump(&db);
    (tables["audit_detail"].len(), tables["subjects"].len())
}

#[tokio::test(flavor = "multi_thread")]
async fn very_many_details_go_in_several_transactions_that_each_tell() {
    let disk = Disk::default();
    let store = read_often(&disk).await;
    let commits = store.figures().batches.count();
    let told: Arc<Mutex<Vec<Progress>>> = Arc::default();
    let listener = told.clone();
    let ann = clerk_id("user_Ann").to_string().parse().unwrap();
    let extent = store.erase(&ann, order(), move |progress| listener.lock().unwrap().push(progress)).await.unwrap();
    assert_eq!(extent.details, MANY as u64 + 2);
    assert!(store.figures().batches.count() - commits >= 2, "one transaction for all would keep everybody waiting");
    let told = std::mem::take(&mut *told.lock().unwrap());
    assert!(told.len() > 3 && told.is_sorted_by_key(|progress| progress.done), "{told:?}");
    assert_eq!(told.last().map(|progress| progress.done), told.last().map(|progress| progress.of));
    store.close().await;
    let (details, people) = check(&disk, &mut Witness::default());
    // Bob's, one with the reason, and a list of each transaction's.
    assert_eq!((details - 1 - MANY / 10 - 1, people), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_is_broken_off_can_be_done_again() {
    let disk = Disk::default();
    read_often(&disk).await.close().await;
    let mut witness = Witness::default();
    let (all, _) = check(&disk, &mut witness);
    let mut between = 0;
    for syncs in 0..20 {
        let disk = disk.salvage(Survival::All);
        let store = on(&disk);
        disk.break_at(Call::Sync, syncs);
        let ann = clerk_id("user_Ann").to_string().parse().unwrap();
        let erased = store.erase(&ann, order(), |_| {}).await;
        store.close().await;
        if erased.is_ok() {
            assert!(between > 0, "the disk never broke between two transactions");
            return;
        }
        assert!(matches!(erased, Err(EraseError::Store(_))));
        let disk = disk.salvage(Survival::None);
        let mut before = Witness::default();
        let (details, people) = check(&disk, &mut before);
        between += usize::from(details < all && people == 2);
        let store = on(&disk);
        match store.erase(&ann, order(), |_| {}).await {
            // The last commit had reached the disk after all.
            Err(EraseError::Unknown) => assert_eq!(people, 1),
            done => drop(done.unwrap()),
        }
        store.close().await;
        assert_eq!(check(&disk, &mut before).1, 1);
    }
    panic!("the erasure never came to its end");
}
