//! What is told arrives: a FastAPI app and an Express app, written by their frameworks' customs, check every call with
//! Svix' own libraries and note what they take. They are killed and restarted in the middle, several times, and so is
//! Rollbook: nothing is missing, and what comes twice comes with the same id. Where Python, Node or a package is not
//! installed the test says so and passes: `pip install fastapi uvicorn svix`, `npm install express svix` (found by way of
//! `NODE_PATH`).
//!
//! How far back things may come again: a call is repeated when its answer was not heard, so a receiver that was killed sees
//! the one it had in hand once more. How far a target has come is written down every 100 deliveries at the latest, so a
//! Rollbook that was killed begins up to so many again, in the same order.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

mod common;
#[path = "common/process.rs"]
mod process;
#[path = "receivers/receiver.rs"]
mod receiver;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use common::{deleted_event, user_event};
use process::{Line, Process, serve};
use receiver::{EXPRESS, FASTAPI, Language, Receiver, SECRET};
use serde_json::{Value, json};

const T: i64 = 1_750_000_000_000;
const USERS: i64 = 90;
const MESSAGES: i64 = 3_000;
const SENDERS: usize = 4;

/// How many deliveries may come again after Rollbook was killed: those since its course was last written, and the one on
/// its way.
const AGAIN: usize = 101;

/// The n-th message: a user's first state, a newer one, a session, a deletion.
fn nth(n: i64) -> Value {
    let user = user_of(n);
    match n {
        0..USERS => user_event("user.created", &user, T + n, &format!("n{n}")),
        _ if n % 97 == 96 => deleted_event(&user, T + n),
        _ if n % 11 == 10 => {
            let data = json!({ "id": format!("sess_{n}"), "user_id": user, "created_at": T + n, "updated_at": T + n });
            json!({ "type": "session.created", "timestamp": T + n, "instance_id": "ins_test", "data": data })
        }
        _ => user_event("user.updated", &user, T + n, &format!("n{n}")),
    }
}

fn user_of(n: i64) -> String {
    format!("user_{}", n % USERS)
}

/// Marsaglia's xorshift over a seed that is printed, so that a failure can be looked at again.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let seed = u64::try_from(UNIX_EPOCH.elapsed().unwrap().as_nanos() & u128::from(u64::MAX)).unwrap() | 1;
        println!("seed {seed}");
        Self(seed)
    }

    fn between(&mut self, from: u64, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        from + self.0 % (end - from)
    }
}

/// Rollbook with one target.
fn rollbook(dir: &Path, kind: &str, url: &str) -> Command {
    let mut command = serve(dir);
    command
        .env("ROLLBOOK_FORWARD_URL", url)
        .env("ROLLBOOK_FORWARD_KIND", kind)
        .env("ROLLBOOK_FORWARD_SECRET", SECRET)
        .env("ROLLBOOK_FORWARD_PRIVATE", "127.0.0.0/8");
    command
}

/// Delivers what waits until none is left or the line goes dead; what was not acknowledged waits again.
fn load(address: SocketAddr, waiting: &Mutex<Vec<i64>>) {
    let next = || waiting.lock().unwrap().pop();
    let Ok(mut line) = Line::to(address) else { return };
    while let Some(n) = next() {
        if !matches!(line.deliver(&format!("msg_{n}"), &nth(n).to_string()), Ok((200, _))) {
            waiting.lock().unwrap().push(n);
            return;
        }
    }
}

/// Delivers everything to Rollbook, while the receiver is killed now and then and Rollbook once; returns the Rollbook that
/// runs at the end.
fn live_through(kind: &str, url: &str, dir: &Path, receiver: &mut Receiver) -> Process {
    let mut dice = Dice::new();
    let waiting = Mutex::new((0..MESSAGES).rev().collect::<Vec<_>>());
    let mut server = Process::start(rollbook(dir, kind, url));
    for is_last in [false, true] {
        let address = server.address;
        server = std::thread::scope(|scope| {
            (0..SENDERS).for_each(|_| drop(scope.spawn(|| load(address, &waiting))));
            for _ in 0..3 {
                receiver.takes(dice.between(20, 150));
                receiver.kill();
                receiver.restart();
            }
            receiver.takes(dice.between(20, 150));
            if is_last {
                return server;
            }
            server.kill();
            Process::start(rollbook(dir, kind, url))
        });
    }
    assert!(waiting.lock().unwrap().is_empty());
    server
}

/// A key that may read the feed.
fn key(server: &Process, dir: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollbook"));
    command.args(["keys", "create", "--name", "reader", "--scope", "audit:read", "--scope", "users:read"]);
    command.env_clear().env("ROLLBOOK_DATA", dir.join("rollbook.redb"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{} {}", server.address, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The whole feed.
fn feed(server: &Process, dir: &Path) -> Vec<Value> {
    let (key, mut line) = (key(server, dir), server.connect());
    let (mut items, mut after): (Vec<Value>, _) = (Vec::new(), String::new());
    loop {
        let head = format!("GET /api/events?limit=200{after} HTTP/1.1\r\nhost: {}\r\n", server.address);
        line.say(&format!("{head}authorization: Bearer {key}\r\n\r\n")).unwrap();
        let (status, body) = line.hear().unwrap();
        assert_eq!(status, 200, "{body}");
        let page: Value = serde_json::from_str(&body).unwrap();
        let found = page["items"].as_array().unwrap();
        items.extend(found.iter().cloned());
        match page["next_after"].as_u64() {
            Some(seq) if !found.is_empty() => after = format!("&after={seq}"),
            _ => return items,
        }
    }
}

/// What was told, without what may have changed since.
fn lasting(item: &Value) -> Value {
    let mut item = item.as_object().unwrap().clone();
    for passing in ["data", "timestamp"] {
        item.remove(passing);
    }
    // Names are those of now, too.
    item["user"].take();
    item.into()
}

fn misses_no_event(language: Language) {
    let (dir, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let Some(mut receiver) = Receiver::start(language, home.path(), &[]) else { return };
    let server = live_through("events", &receiver.url("/hooks"), dir.path(), &mut receiver);
    let feed = feed(&server, dir.path());
    receiver.has_taken(|call| call["body"]["seq"] == feed.last().unwrap()["seq"]);

    let places: HashMap<u64, usize> = feed.iter().map(|item| item["seq"].as_u64().unwrap()).zip(0..).collect();
    let mut ids: BTreeMap<usize, String> = BTreeMap::new();
    let (mut next, mut repeats, mut returns) = (0, 0, 0);
    for call in receiver.noted() {
        let (id, body) = (call["id"].as_str().unwrap(), &call["body"]);
        let place = places[&body["seq"].as_u64().unwrap()];
        assert_eq!(lasting(body), lasting(&feed[place]));
        assert_eq!(body["timestamp"], body["at"]);
        assert_eq!(ids.entry(place).or_insert_with(|| id.to_owned()), id, "one event, two ids");
        assert!(id.starts_with("evt_") && id.ends_with(&format!("_{}", body["seq"])), "{id}");
        match next - place.min(next) {
            0 => assert_eq!(place, next, "something was passed over"),
            1 => repeats += 1,
            2..=AGAIN => returns += 1,
            far => assert!(far <= AGAIN, "{far} came again"),
        }
        next = place + 1;
    }
    assert!(next == feed.len() && ids.len() == feed.len(), "{next} of {} events", feed.len());
    assert!(returns <= 1 && repeats <= receiver.kills + 1, "{returns} returns, {repeats} repeats");
    println!("{} events, {} calls, {repeats} repeats, {returns} returns", feed.len(), receiver.noted().len());
}

#[test]
fn a_fastapi_app_misses_no_event() {
    misses_no_event(FASTAPI);
}

#[test]
fn an_express_app_misses_no_event() {
    misses_no_event(EXPRESS);
}
