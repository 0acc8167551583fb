//! Forged webhooks by the thousand: they leave nothing behind but a count.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::file::{self, Witness};
use crate::ledger::{Ledger, data, left_behind, nth};
use crate::process::{Process, serve};
use crate::times;

/// How many connections they come by.
const LINES: usize = 8;

/// So many forged deliveries, each of another message. Each has to be refused for its signature.
fn forge(server: &Process, line: usize, count: usize) {
    let body = "{}".repeat(200);
    for first in (0..count).step_by(500) {
        // A connection takes no more requests after its time.
        let mut wire = server.connect();
        for n in first..count.min(first + 500) {
            // Signed by somebody who knows the secret, but not over this.
            let head = wire.head(&format!("msg_forged_{line}_{n}"), &body);
            wire.say(&format!("{head}\r\n{}", body.replacen("{}", "[]", 1))).unwrap();
            assert_eq!(wire.hear().unwrap().0, 401);
        }
    }
}

#[test]
fn forged_webhooks_leave_one_entry_a_minute_and_good_ones_are_taken() {
    let (dir, ledger) = (tempfile::tempdir().unwrap(), Ledger::default());
    let (each, mut witness) = (times("SIEGE_FLOOD", 5_000) / LINES, Witness::default());
    ledger.run(Process::start(serve(dir.path())), 4, 50, Process::kill);
    let server = Process::start(serve(dir.path()));
    forge(&server, LINES, 100);
    let (length, resident) = (fs::metadata(data(dir.path())).unwrap().len(), server.resident());

    let (since, count) = (Instant::now(), each * LINES);
    std::thread::scope(|scope| {
        for line in 0..LINES {
            let server = &server;
            scope.spawn(move || forge(server, line, each));
        }
        let mut line = server.connect();
        for n in 10_000..10_020 {
            let (id, body) = nth(n);
            assert_eq!(line.deliver(&id, &body).unwrap().0, 200, "good ones are taken meanwhile");
            ledger.acknowledged.lock().unwrap().insert(n);
        }
    });
    let took = since.elapsed();
    let grown = server.resident().saturating_sub(resident);
    assert!(grown < 64 << 20, "{grown} bytes of memory");
    server.terminate();
    assert!(server.wait().0.success());

    let db = left_behind(dir.path());
    ledger.check(&db, &mut witness);
    let leaves = file::leaves(&db).into_iter().map(|leaf| serde_json::from_slice::<Value>(&leaf).unwrap());
    let told: Vec<u64> =
        leaves.filter(|leaf| leaf["actor"] == "anonymous").map(|leaf| leaf["count"].as_u64().unwrap()).collect();
    assert_eq!(told.iter().sum::<u64>(), count as u64 + 100, "each is counted");
    // One at each full minute, and one at the end.
    let most = took.as_secs() / Duration::from_mins(1).as_secs() + 2;
    assert!(told.len() as u64 <= most, "{} entries in {took:?}", told.len());
    let now = fs::metadata(data(dir.path())).unwrap().len();
    assert!(now <= length + (2 << 20), "the file has grown from {length} to {now} bytes");
    println!("{count} refused in {took:?}, {} entries, memory {} KiB, file {length} to {now}", told.len(), grown >> 10);
}
