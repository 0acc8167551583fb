//! What is told arrives: a FastAPI app and an Express app, written by their frameworks' customs, check every call with
//! Svix' own libraries and note what they take. They are killed and restarted in the middle, several times, and so is
//! Rollbook: nothing is missing, and what comes twice comes with the same id. Where Python, Node or a package is not
//! installed the test says so and passes: `pip install fastapi uvicorn svix clerk-backend-api`, `npm install express svix
//! @clerk/backend` (found by way of `NODE_PATH`).
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

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use common::{TestServer, deleted_event, user_event};
use process::{Line, Process, serve};
use receiver::{EXPRESS, FASTAPI, Language, Receiver, SECRET};
use rollbook::clock::Clock;
use rollbook::stand_in::StandIn;
use serde_json::{Value, json};

const T: i64 = 1_750_000_000_000;
const USERS: i64 = 90;
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

/// Delivers so many messages to Rollbook, while the receiver is killed now and then and Rollbook once; returns the Rollbook
/// that runs at the end.
fn live_through(kind: &str, url: &str, dir: &Path, receiver: &mut Receiver, messages: i64) -> Process {
    let mut dice = Dice::new();
    let waiting = Mutex::new((0..messages).rev().collect::<Vec<_>>());
    let mut server = Process::start(rollbook(dir, kind, url));
    for is_last in [false, true] {
        let address = server.address;
        server = std::thread::scope(|scope| {
            (0..SENDERS).for_each(|_| drop(scope.spawn(|| load(address, &waiting))));
            for _ in 0..3 {
                receiver.takes(dice.between(10, 110));
                receiver.kill();
                receiver.restart();
            }
            receiver.takes(dice.between(10, 110));
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

/// All items of a list of the API. `next` is the page's member that says where it goes on, and the parameter for that.
fn list(server: &Process, dir: &Path, path: &str, next: (&str, &str)) -> Vec<Value> {
    let (key, mut line) = (key(server, dir), server.connect());
    let (mut items, mut place): (Vec<Value>, _) = (Vec::new(), String::new());
    loop {
        let head = format!("GET {path}?limit=200{place} HTTP/1.1\r\nhost: {}\r\n", server.address);
        line.say(&format!("{head}authorization: Bearer {key}\r\n\r\n")).unwrap();
        let (status, body) = line.hear().unwrap();
        assert_eq!(status, 200, "{body}");
        let page: Value = serde_json::from_str(&body).unwrap();
        let found = page["items"].as_array().unwrap();
        items.extend(found.iter().cloned());
        match page[next.0].to_string().trim_matches('"') {
            "null" => return items,
            _ if found.is_empty() => return items,
            on => place = format!("&{}={on}", next.1),
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
    let server = live_through("events", &receiver.url("/hooks"), dir.path(), &mut receiver, 2_500);
    let feed = list(&server, dir.path(), "/api/events", ("next_after", "after"));
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

fn keeps_the_same_users(language: Language) {
    let (dir, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let Some(mut receiver) = Receiver::start(language, home.path(), &[]) else { return };
    let server = live_through("api", &receiver.url(""), dir.path(), &mut receiver, 1_200);
    let last = user_event("user.created", "user_last", T, "Last").to_string();
    assert_eq!(server.connect().deliver("msg_last", &last).unwrap().0, 200);
    receiver.has_taken(|call| call["user"] == "user_last");
    // Of those who are deleted already when it comes to them, nothing is told. This one was.
    let gone = deleted_event("user_last", T + 1).to_string();
    assert_eq!(server.connect().deliver("msg_gone", &gone).unwrap().0, 200);
    receiver.has_taken(|call| call["method"] == "DELETE" && call["user"] == "user_last");

    let mut users: BTreeMap<String, Value> = BTreeMap::new();
    let mut deleted = HashSet::new();
    for mut call in receiver.noted() {
        let user = call["user"].as_str().unwrap().to_owned();
        if call["method"] == "DELETE" {
            assert!(users.remove(&user).is_some() && deleted.insert(user));
        } else {
            assert!(!deleted.contains(&user), "{user} was deleted, and came again");
            users.insert(user, call["body"].take());
        }
    }
    let fields = ["clerk_user_id", "email", "first_name", "last_name", "username", "image_url"];
    let told = |user: &Value| fields.into_iter().map(|name| (name.to_owned(), user[name].clone())).collect::<Value>();
    let kept = list(&server, dir.path(), "/api/users", ("next_cursor", "cursor"));
    let kept: BTreeMap<String, Value> =
        kept.iter().map(|user| (user["clerk_user_id"].as_str().unwrap().to_owned(), told(user))).collect();
    assert_eq!(users, kept);
    assert!(deleted.contains("user_last") && users.len() > 20, "{users:?}");
}

#[test]
fn a_fastapi_app_keeps_the_same_users() {
    keeps_the_same_users(FASTAPI);
}

#[test]
fn an_express_app_keeps_the_same_users() {
    keeps_the_same_users(EXPRESS);
}

/// Calls in a user's own name, checked by Clerk's own libraries.
async fn believes_the_tokens(language: Language) {
    let clerk = StandIn::start("ins_test", Clock::system()).await.unwrap();
    let home = tempfile::tempdir().unwrap();
    let settings = [("CLERK_API", clerk.url.clone()), ("CLERK_KEY", clerk.secret_key().to_owned())];
    let Some(mut receiver) = Receiver::start(language, home.path(), &settings) else { return };
    let server = TestServer::with(&[
        ("CLERK_JWT_KEY", ""),
        ("CLERK_ISSUER", &clerk.url),
        ("CLERK_API_URL", &clerk.url),
        ("CLERK_SECRET_KEY", clerk.secret_key()),
        ("ROLLBOOK_SYNC_INTERVAL", "off"),
        ("ROLLBOOK_FORWARD_URL", &receiver.url("")),
        ("ROLLBOOK_FORWARD_KIND", "api"),
        ("ROLLBOOK_FORWARD_BEARER", "true"),
        ("ROLLBOOK_FORWARD_SECRET", SECRET),
        ("ROLLBOOK_FORWARD_PRIVATE", "127.0.0.0/8"),
    ])
    .await;
    for event in [
        user_event("user.created", "user_1", T, "Ann"),
        common::session_event("session.created", "user_1", "sess_1", "active"),
        user_event("user.updated", "user_1", T + 9, "Anna"),
        user_event("user.created", "user_2", T, "Ben"),
    ] {
        clerk.apply(&event).unwrap();
        assert_eq!(server.deliver(&event).await.status, 200);
    }
    let gone = deleted_event("user_1", T + 20);
    receiver.has_taken(|call| call["method"] == "PATCH");
    clerk.apply(&gone).unwrap();
    assert_eq!(server.deliver(&gone).await.status, 200);
    receiver.has_taken(|call| call["method"] == "DELETE");
    let calls: Vec<_> = receiver.noted().iter().map(|call| format!("{} {}", call["method"], call["user"])).collect();
    // The first user came before they had a session, the other never had one.
    assert_eq!(calls, [r#""POST" "user_1""#, r#""PATCH" "user_1""#, r#""DELETE" "user_1""#]);
    assert_eq!(receiver.noted()[1]["body"]["first_name"], "Anna");
    clerk.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fastapi_app_believes_the_tokens() {
    believes_the_tokens(FASTAPI).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_express_app_believes_the_tokens() {
    believes_the_tokens(EXPRESS).await;
}

#[test]
fn a_fastapi_app_misses_no_event() {
    misses_no_event(FASTAPI);
}

#[test]
fn an_express_app_misses_no_event() {
    misses_no_event(EXPRESS);
}
