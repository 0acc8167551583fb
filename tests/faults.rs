//! Whatever call of the disk fails, and whatever is left on it, nothing that was acknowledged is lost: a script of every
//! kind of write there is, on a disk that fails at the n-th read, write, resize or sync, for good or once, or that is
//! full. What is left is opened again, what must hold is looked at (`faults/promises.rs`), and it is worked on.
//!
//! By default a few of all these places are tried, other ones each time. `FAULTS=all` tries every one of them, which takes
//! hours; `FAULTS=500` so many of each kind. `FAULTS_FROM` says at which to begin, and a failure says which it was.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, missing_docs)]

#[path = "faults/beside.rs"]
mod beside;
mod common;
#[path = "common/deliveries.rs"]
mod deliveries;
#[path = "common/disk.rs"]
mod disk;
#[path = "common/file.rs"]
mod file;
#[path = "faults/promises.rs"]
mod promises;
#[path = "faults/script.rs"]
mod script;
#[path = "common/site.rs"]
mod site;
#[path = "faults/state.rs"]
mod state;

use std::sync::LazyLock;
use std::time::UNIX_EPOCH;

use disk::{Call, Disk, Fault, Survival};
use promises::{COURSE, mark_is_not_behind, published_are_beginnings, witness};
use rollbook::audit::{Actor, Draft, Source};
use rollbook::store::Error;
use script::{SCRIPT, Step, deliver, worked_in};
use site::{Place, Site, run};

/// How many things the script does.
static THINGS: LazyLock<usize> = LazyLock::new(|| SCRIPT.iter().map(Step::things).sum());

/// How far the script came before something failed.
#[derive(Debug, Default)]
struct Run {
    /// So many things were done, in their order, and were acknowledged.
    done: usize,
    /// So many more were under way.
    under_way: usize,
    /// What was acknowledged of them, and every checkpoint that was told.
    messages: Vec<(String, String)>,
    unanswered: Vec<(String, String)>,
    published: Vec<String>,
    /// Where it stopped.
    at: Option<String>,
}

/// Does what the script says, until something fails.
async fn follow_script(place: &Place) -> Run {
    let mut sofar = Run::default();
    // What is done at the opening is no part of the script.
    let site = match Site::open(place).await {
        Ok(site) => site,
        Err(error) => return Run { at: Some(format!("opening: {error:?}")), ..sofar },
    };
    for step in &*SCRIPT {
        let failed = match step {
            Step::Deliver(messages) => {
                let answers = deliver(&site.store, messages).await;
                let good = answers.iter().take_while(|answer| answer.is_ok()).count();
                let failed: Vec<String> = answers.into_iter().filter_map(Result::err).collect();
                assert_eq!(good + failed.len(), messages.len(), "acknowledged out of order");
                sofar.done += good;
                sofar.messages.extend(messages[..good].iter().cloned());
                sofar.unanswered = messages[good..].to_vec();
                failed
            }
            Step::Do((_, deed)) => {
                let failed: Vec<String> = deed(&site).await.err().into_iter().collect();
                sofar.done += usize::from(failed.is_empty());
                failed
            }
        };
        if let Some(published) = site.notary.published() {
            sofar.published.push(published.note.clone());
        }
        if !failed.is_empty() {
            sofar.under_way = failed.len();
            sofar.at = Some(format!("{}: {failed:?}", step.name()));
            assert_stopped(&site, &failed).await;
            break;
        }
    }
    site.close().await;
    sofar
}

/// Once the disk has failed nothing is written any more, and everybody is told.
async fn assert_stopped(site: &Site, failed: &[String]) {
    for error in failed {
        assert!(error.contains("Failed") || error.contains("Storage("), "{error}");
    }
    assert!(!site.store.is_ready(), "{failed:?}, and the store goes on");
    site.store.failed().await;
    let note = Draft::new("note", Actor::System, Source::System);
    assert!(matches!(site.store.record(note).await, Err(Error::Failed)));
    let message = ("msg_too_late".to_owned(), "{}".to_owned());
    assert!(deliver(&site.store, &[message]).await[0].is_err());
    assert!(site.notary.publish().await.is_err());
}

/// The file is in a state in which it may be, keeps every promise, and can be worked on.
async fn assert_nothing_lost(place: &Place, left: Disk, sofar: &Run, case: &str) -> usize {
    let allowed = COURSE.allowed(sofar.done, sofar.under_way);
    let mut witness = witness();
    let found = {
        let db = file::open_disk(&left.salvage(Survival::All));
        witness.follow(&db);
        COURSE.place_of(&db, allowed).unwrap_or_else(|wrong| panic!("{case}: {wrong}"))
    };
    let place = place.beside(left);
    let site = Site::open(&place).await.unwrap_or_else(|error| panic!("{case}: {error:?}"));
    assert!(site.store.is_ready(), "{case}: {:?}", site.store.doubt());
    let keys = site.notary.verifiers();
    let kept = site.store.evidence().unwrap().checkpoints_after((0, 0), usize::MAX).unwrap();
    let mut notes = sofar.published.clone();
    notes.extend(kept.into_iter().map(|kept| kept.note));
    published_are_beginnings(&notes, &keys, &witness, case);
    mark_is_not_behind(place.mark().as_deref(), &notes, &keys, case);
    go_on(&site, sofar, case).await;
    notes.push(site.notary.publish().await.unwrap_or_else(|error| panic!("{case}: {error}")).note.clone());
    site.close().await;
    let db = file::open_disk(&place.disk);
    witness.follow(&db);
    published_are_beginnings(&notes, &keys, &witness, case);
    found
}

/// What Clerk's sender does then: it sends again what it has no answer to, and goes on.
async fn go_on(site: &Site, sofar: &Run, case: &str) {
    use rollbook::event::Outcome;
    for (id, body) in sofar.messages.iter().rev().take(3) {
        let outcome = site.store.ingest(deliveries::received(id, body)).await.unwrap().outcome;
        assert_eq!(outcome, Outcome::Duplicate, "{case}: {id}");
    }
    for answer in deliver(&site.store, &sofar.unanswered).await {
        answer.unwrap_or_else(|error| panic!("{case}: {error}"));
    }
    for (id, body) in &sofar.unanswered {
        let outcome = site.store.ingest(deliveries::received(id, body)).await.unwrap().outcome;
        assert_eq!(outcome, Outcome::Duplicate, "{case}: {id}");
    }
    let event = common::user_event("user.created", "user_after", site::T + 1_000, "Ava");
    let outcome = site.store.ingest(deliveries::received("msg_after", &event.to_string())).await.unwrap().outcome;
    assert_eq!(outcome, Outcome::Applied, "{case}");
}

/// The script on a disk with that fault, and all that can be left of it.
async fn try_fault(fault: Fault, survivals: &[Survival], tally: &mut Tally) {
    let place = worked_in();
    place.disk.suffer(fault);
    let sofar = follow_script(&place).await;
    if !place.disk.is_broken() {
        assert_eq!(sofar.at, None, "{fault:?}");
        tally.spared += 1;
        return;
    }
    tally.injected += 1;
    if tally.injected.is_multiple_of(50) {
        println!("{fault:?}: {tally:?}");
    }
    let case = format!("{fault:?}, at {:?}", sofar.at);
    assert!(sofar.at.is_some() || sofar.done == *THINGS, "{case}: nobody noticed");
    for survival in survivals {
        let case = format!("{case}, {survival:?} survives");
        assert_nothing_lost(&place, place.disk.salvage(*survival), &sofar, &case).await;
        tally.reopened += 1;
    }
    if matches!(fault, Fault::Full(_)) {
        // Somebody starts it again, and it still is full.
        let left = place.disk.salvage(Survival::All);
        left.suffer(Fault::Full(0));
        let again = place.beside(left);
        if let Ok(site) = Site::open(&again).await {
            site.close().await;
        }
        again.disk.recover();
        assert_nothing_lost(&again, again.disk.salvage(Survival::All), &sofar, &format!("{case}, twice")).await;
        tally.reopened += 1;
    }
}

/// What was done.
#[derive(Debug, Default)]
struct Tally {
    /// So many faults came to pass.
    injected: usize,
    /// So many lay behind the end of the script.
    spared: usize,
    /// So many files were opened afterwards.
    reopened: usize,
}

/// Some of so many places, as the environment says: `few` unless it says otherwise.
fn some_of(all: u64, few: u64) -> impl Iterator<Item = u64> {
    let wanted = match std::env::var("FAULTS").ok().as_deref() {
        None => few,
        Some("all") => all,
        Some(count) => count.parse().unwrap(),
    };
    let step = (all / wanted.max(1)).max(1);
    let chance = || UNIX_EPOCH.elapsed().unwrap().as_secs();
    let from = std::env::var("FAULTS_FROM").map_or_else(|_| chance(), |from| from.parse().unwrap()) % step;
    println!("FAULTS_FROM={from}, every {step} of {all}");
    (from..all).step_by(usize::try_from(step).unwrap())
}

/// How many calls of that kind the script makes, from the opening to the close.
fn calls(call: Call) -> u64 {
    let place = worked_in();
    assert_eq!(run(follow_script(&place)).at, None);
    place.disk.calls(call)
}

/// The script, with so many faults made of the number of a call, if the environment does not want more.
fn inject(call: Call, few: u64, fault: fn(Call, u64) -> Fault, survivals: fn(u64) -> Vec<Survival>) {
    LazyLock::force(&COURSE);
    let mut tally = Tally::default();
    for n in some_of(calls(call), few) {
        run(try_fault(fault(call, n), &survivals(n), &mut tally));
    }
    println!("{:?}: {tally:?}", fault(call, 0));
    assert!(tally.injected > 0);
}

/// Everything that can be left of what was not synced; of the ways that go by chance, some.
fn all_that_can_be_left(n: u64) -> Vec<Survival> {
    let whole = [Survival::All, Survival::None];
    let picked = [Survival::Some(n), Survival::Some(n + 1_000_000), Survival::First(n), Survival::Torn(n)];
    whole.into_iter().chain(picked).collect()
}

/// After an error that the process has lived through, and ended with.
fn what_a_process_leaves(n: u64) -> Vec<Survival> {
    vec![Survival::All, Survival::Some(n)]
}

#[test]
fn a_write_fails_and_everything_after_it() {
    inject(Call::Write, 4, Fault::Breaks, all_that_can_be_left);
}

#[test]
fn a_sync_fails_and_everything_after_it() {
    inject(Call::Sync, 4, Fault::Breaks, all_that_can_be_left);
}

#[test]
fn a_resize_fails_and_everything_after_it() {
    inject(Call::Resize, 2, Fault::Breaks, all_that_can_be_left);
}

#[test]
fn a_read_fails_and_everything_after_it() {
    inject(Call::Read, 4, Fault::Breaks, what_a_process_leaves);
}

#[test]
fn a_write_fails_once() {
    inject(Call::Write, 4, Fault::Hiccups, what_a_process_leaves);
}

/// A sync that fails once says that all is well when it is asked again, and it is not.
#[test]
fn a_sync_fails_once() {
    inject(Call::Sync, 4, Fault::Hiccups, all_that_can_be_left);
}

#[test]
fn a_read_or_resize_fails_once() {
    inject(Call::Resize, 2, Fault::Hiccups, what_a_process_leaves);
    inject(Call::Read, 4, Fault::Hiccups, what_a_process_leaves);
}

#[test]
fn the_disk_is_full() {
    let place = worked_in();
    place.disk.suffer(Fault::Full(1 << 30));
    let (begin, had) = place.disk.peak();
    assert_eq!(run(follow_script(&place)).at, None);
    let (end, blocks) = place.disk.peak();
    assert!(end > begin && blocks > had + 10, "{begin} to {end} bytes, {had} to {blocks} blocks");
    LazyLock::force(&COURSE);
    let mut tally = Tally::default();
    for room in some_of((blocks - had) as u64, 4) {
        run(try_fault(Fault::Full(usize::try_from(room).unwrap()), &what_a_process_leaves(room), &mut tally));
    }
    for length in [begin, usize::midpoint(begin, end), end - 1] {
        run(try_fault(Fault::Short(length), &what_a_process_leaves(7), &mut tally));
    }
    println!("full: {tally:?}");
    assert!(tally.injected > 3);
}
