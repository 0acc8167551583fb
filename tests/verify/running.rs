//! A server that runs verifies its own file, and goes on with its work.

use std::fs;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use jiff::civil::Date;
use rollbook::audit::retention::Cutoff;
use rollbook::audit::{Actor, Source};
use rollbook::clock::{Clock, Timestamp};
use rollbook::notary::Notary;
use rollbook::store::{By, Order, Store};
use rollbook::sync::Policy;
use rollbook::user::UserRef;
use rollbook::verify::{self, Kept, Pace, Report, Terms};
use serde_json::Value;

use crate::common::{sign, user_event};
use crate::log::*;
use crate::process::{Process, serve};

fn deliver(server: &Process, count: usize) {
    let mut line = server.connect();
    for n in 0..count {
        let event = user_event("user.updated", &format!("user_{n}"), T, "Ada").to_string();
        assert_eq!(line.deliver(&sign::fresh_id(), &event).unwrap().0, 200);
    }
}

/// The `log.verified` entries: outcome and count of each, and whether it has a list of findings.
fn verifications(log: &Log) -> Vec<(String, u64, bool)> {
    let leaves = log.leaves();
    let verified = leaves.iter().filter(|(_, leaf)| leaf["action"] == "log.verified");
    verified
        .map(|(seq, leaf)| {
            let detail = log.read(|txn| row(txn, DETAILS, *seq));
            let detail: Value = serde_json::from_slice(&detail[32..]).unwrap();
            let found = detail["findings"].is_u64() && detail["first"].is_array();
            (leaf["outcome"].as_str().unwrap().to_owned(), leaf["count"].as_u64().unwrap(), found)
        })
        .collect()
}

#[tokio::test]
async fn the_server_verifies_and_notes_it() {
    let log = Log::of(300).await;
    fs::copy(log.path("rollbook.redb.hwm"), log.path("kept.txt")).unwrap();
    let other = Log::of(10).await;
    fs::copy(other.path("rollbook.redb.hwm"), log.path("other.txt")).unwrap();
    let server = Process::start(serve(log.dir.path()));
    deliver(&server, 20);
    let said = log.run(&["verify", "--against", "kept.txt"]).whole();
    assert!(said.contains("entries   321\n"), "{said}");
    let key = log.run(&["verify", "--vkey", &other.vkey(), "--against", "other.txt"]);
    assert_eq!(key.tampered().len(), 2);
    deliver(&server, 1);
    server.terminate();
    assert!(server.wait().0.success());
    // Done by the command itself it leaves no entry.
    log.run(&["verify"]).whole();
    assert_eq!(verifications(&log), [("ok".to_owned(), 321, false), ("error".to_owned(), 322, true)]);
}

/// The lines of a server hold every checkpoint, in either form.
#[tokio::test]
async fn against_what_a_server_said() {
    for format in ["json", "text"] {
        let log = Log::of(120).await;
        let mut command = serve(log.dir.path());
        command.env("ROLLBOOK_LOG", "info").env("ROLLBOOK_LOG_FORMAT", format);
        let server = Process::start(command);
        deliver(&server, 5);
        assert_eq!(log.run(&["checkpoint"]).code, Some(0));
        server.terminate();
        let (status, said) = server.wait();
        assert!(status.success() && said.contains("log.checkpoint"), "{said}");
        fs::write(log.path("server.log"), &said).unwrap();
        let count = Kept::read("server.log", &said).unwrap().len();
        assert!(count >= 3, "one at the start, one on demand, one at the end: {said}");
        let shown = log.run(&["verify", "--against", "server.log"]).whole();
        assert!(shown.contains(&format!("against   {count} checkpoints that were kept elsewhere")), "{shown}");
        log.change(|txn| {
            let leaf = String::from_utf8(row(txn, LEAVES, 122)).unwrap();
            put(txn, LEAVES, 122, leaf.replacen("applied", "ignored", 1).as_bytes());
        });
        // The changed leaf itself is found by its tile, so nothing else is wrong.
        assert_eq!(log.run(&["verify", "--against", "server.log"]).tampered().len(), 1);
    }
}

/// Whatever a server does meanwhile, a log that nobody tampers with is whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_at_work_is_whole_at_every_moment() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log { dir };
    let clock = Clock::fixed(Timestamp::from_millis(T));
    let store = Store::open(&log.data(), 1 << 20, Policy::default(), clock.clone()).unwrap();
    let notary = Notary::open(store.clone(), clock.clone(), "log.example.com").await.unwrap();
    for n in 0..1500 {
        store.record(entry(n)).await.unwrap();
    }
    clock.set("2040-01-01T00:00:00Z".parse().unwrap());
    let (done, steps) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let judge = |pace: Pace| {
        let (store, done, steps) = (store.clone(), done.clone(), steps.clone());
        tokio::task::spawn_blocking(move || {
            let mut last: Option<Report> = None;
            while !done.load(Ordering::Relaxed) || last.is_none() {
                let mut watch = |_, _| {
                    steps.fetch_add(1, Ordering::Relaxed);
                    ControlFlow::Continue(())
                };
                let report = verify::store(&store, &Terms::default(), pace, &mut watch).unwrap();
                assert!(report.is_whole(), "{report:#?}");
                last = Some(report);
            }
            last.unwrap()
        })
    };
    let judges = [judge(Pace::GENTLE), judge(Pace::full())];
    let by = || By { actor: Actor::Cli, source: Source::Cli };
    for round in 0..6_u64 {
        for n in 0..60 {
            store.record(entry(round * 60 + n)).await.unwrap();
        }
        notary.publish().await.unwrap();
        let order = Order { by: by(), reason: None, even_if_live: true, even_if_untold: false };
        store.erase(&UserRef::Clerk(person(round * 4)), order, |_| {}).await.unwrap();
        match round {
            1 | 3 => {
                let day = Date::constant(2030, 1, 1);
                // The first time all that is old goes; then nothing is left of it.
                store.prune(Cutoff::new(day, clock.now(), false).unwrap(), by(), |_, _| {}).await.unwrap();
            }
            2 | 4 => drop(store.scrub(by(), |_, _| {}).await.unwrap()),
            _ => drop(notary.rotate(by()).await),
        }
        // Both have seen this state or a later one before it goes on.
        let seen = steps.load(Ordering::Relaxed);
        while steps.load(Ordering::Relaxed) < seen + 4 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
    done.store(true, Ordering::Relaxed);
    for judge in judges {
        let report = judge.await.unwrap();
        assert!(report.people.unwrap().erased > 0 && report.checkpoints > 3, "{report:#?}");
    }
    drop(notary);
    store.close().await;
    let said = log.run(&["verify"]).whole();
    assert!(said.contains(" of them pruned)\n") && said.contains(" erased\n"), "{said}");
}
