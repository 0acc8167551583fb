//! Senders of webhooks that remember what was acknowledged, and hold the data file to it.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::panic)]
#![allow(clippy::cast_possible_truncation)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::{Duration, UNIX_EPOCH};

use redb::Database;
use serde_json::{Value, json};

use crate::common::{deleted_event, user_event};
use crate::file;
use crate::process::{Line, Process};

/// Nobody has to wait that long for the next acknowledgement.
const PATIENCE: Duration = Duration::from_mins(1);

const T: i64 = 1_750_000_000_000;
const USERS: i64 = 60;

/// The n-th message: mostly a newer version of one of the users, whose first name is then the message's
/// id; now and then a session, or a deletion.
pub fn nth(n: i64) -> (String, String) {
    let (id, user) = (format!("msg_{n}"), user_of(n));
    let event = if is_deletion(n) {
        deleted_event(&user, T + n)
    } else if n % 11 == 10 {
        let data = json!({ "id": format!("sess_{n}"), "user_id": user, "created_at": T + n, "updated_at": T + n });
        json!({ "type": "session.created", "timestamp": T + n, "instance_id": "ins_test", "data": data })
    } else {
        user_event("user.updated", &user, T + n, &id)
    };
    (id, event.to_string())
}

fn user_of(n: i64) -> String {
    format!("user_{}", n % USERS)
}

fn is_deletion(n: i64) -> bool {
    n % 97 == 96
}

/// Marsaglia's xorshift over a seed that is printed, so that a failure can be looked at again.
pub struct Dice(u64);

impl Dice {
    pub fn new() -> Self {
        let seed = UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 | 1;
        println!("seed {seed}");
        Self(seed)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// What senders have sent, over all rounds.
#[derive(Default)]
pub struct Ledger {
    next: AtomicI64,
    pub acknowledged: Mutex<BTreeSet<i64>>,
    /// Sent and not answered: like Svix, senders try those again.
    pub unanswered: Mutex<Vec<i64>>,
}

impl Ledger {
    /// Sends one message after another until the line goes dead; says so at every acknowledgement. Returns the
    /// statuses of what was answered but not acknowledged.
    fn load(&self, address: std::net::SocketAddr, acks: &mpsc::Sender<()>) -> Vec<u16> {
        let mut refusals = Vec::new();
        let Ok(mut line) = Line::to(address) else { return refusals };
        loop {
            let again = self.unanswered.lock().unwrap().pop();
            let n = again.unwrap_or_else(|| self.next.fetch_add(1, Ordering::Relaxed));
            let (id, body) = nth(n);
            match line.deliver(&id, &body) {
                Ok((200, answer)) => {
                    let outcome: Value = serde_json::from_str(&answer).unwrap();
                    assert!(
                        again.is_some() || outcome["outcome"] != "duplicate",
                        "{id} is new, but called a duplicate"
                    );
                    self.acknowledged.lock().unwrap().insert(n);
                    // Nobody counts any more once the kill is under way.
                    let _ = acks.send(());
                }
                Ok((status, _)) => {
                    self.unanswered.lock().unwrap().push(n);
                    refusals.push(status);
                }
                Err(_) => {
                    self.unanswered.lock().unwrap().push(n);
                    return refusals;
                }
            }
        }
    }

    /// So many senders at work until the server is gone; after so many acknowledgements `end` is called. Returns the
    /// statuses of what was answered but not acknowledged.
    pub fn run(&self, server: Process, senders: u64, acks: u64, end: impl FnOnce(Process)) -> Vec<u16> {
        self.run_while(server, senders, acks, |server, counted| {
            assert_eq!(counted, acks, "the server has gone by itself");
            end(server);
        })
    }

    /// The same with a server that may go by itself before; `end` is told how many acknowledgements there were.
    pub fn run_while(&self, server: Process, senders: u64, acks: u64, end: impl FnOnce(Process, u64)) -> Vec<u16> {
        let (sender, receiver) = mpsc::channel();
        let address = server.address;
        std::thread::scope(|scope| {
            let spawn = |acks: mpsc::Sender<()>| scope.spawn(move || self.load(address, &acks));
            let threads: Vec<_> = (0..senders).map(|_| spawn(sender.clone())).collect();
            drop(sender);
            let mut counted = 0;
            while counted < acks {
                match receiver.recv_timeout(PATIENCE) {
                    Ok(()) => counted += 1,
                    Err(mpsc::RecvTimeoutError::Disconnected) => break,
                    Err(mpsc::RecvTimeoutError::Timeout) => panic!("nothing is acknowledged any more"),
                }
            }
            end(server, counted);
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        })
    }

    /// Sends again what was not answered, until all of it is acknowledged.
    pub fn settle(&self, server: &Process) {
        let mut line = server.connect();
        for n in self.unanswered.lock().unwrap().drain(..) {
            let (id, body) = nth(n);
            assert_eq!(line.deliver(&id, &body).unwrap().0, 200);
            self.acknowledged.lock().unwrap().insert(n);
        }
    }

    pub fn acknowledged(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// All that was acknowledged is on file, once, and as new as was said.
    pub fn check(&self, db: &Database, witness: &mut file::Witness) {
        witness.follow(db);
        let (deliveries, users, tombstones) = (file::deliveries(db), file::users(db), file::tombstones(db));
        let mut newest: BTreeMap<String, i64> = BTreeMap::new();
        for n in self.acknowledged.lock().unwrap().iter() {
            assert!(deliveries.contains_key(&format!("msg_{n}")), "message {n} was acknowledged and is lost");
            if is_deletion(*n) {
                assert!(tombstones.contains_key(&user_of(*n)), "the deletion of message {n} is lost");
            } else if n % 11 != 10 {
                newest.insert(user_of(*n), *n);
            }
        }
        for (user, n) in newest {
            let row = &users[&user];
            assert!(row["version"]["updated_at"].as_i64().unwrap() >= T + n, "{user} is older than message {n}");
            assert_eq!(row["clerk"]["first_name"], row["version"]["delivery"], "{user} is of two messages");
            assert_eq!(row.get("deleted_at").is_some(), tombstones.contains_key(&user), "{user}");
        }
    }
}

pub fn data(dir: &Path) -> PathBuf {
    dir.join("rollbook.redb")
}

/// The file as the dead process left it. A copy: what repairs it must be the server, not the test.
pub fn left_behind(dir: &Path) -> Database {
    let copy = tempfile::NamedTempFile::new().unwrap();
    fs::copy(data(dir), copy.path()).unwrap();
    // Open, it needs no name any more.
    file::open(copy.path())
}
