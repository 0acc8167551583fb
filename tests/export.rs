//! `rollbook export`: what leaves, in which form, and that it leaves whole or not at all.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use common::{TestServer, clerk_id, deleted_event, user_event};
use csv::StringRecord;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use futures_util::future::join_all;
use rollbook::audit::retention::Cutoff;
use rollbook::audit::{Actor, Doubt, Draft, Source};
use rollbook::clock::Clock;
use rollbook::control::{Desk, Reply, Request, feed, follow};
use rollbook::store::{By, Order};
use rollbook::tlog::checkpoint::Checkpoint;
use rollbook::tlog::note::VerifierKey;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

const T: i64 = 1_750_000_000_000;

/// `rollbook export …` on the data file, from its folder.
async fn export(data: &Path, line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollbook"));
    command.arg("export").args(line.split(' ')).arg("--data").arg(data);
    command.current_dir(data.parent().unwrap()).env_clear().stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// What it wrote to standard output, having said nothing else.
async fn exported(data: &Path, line: &str) -> Vec<u8> {
    let Output { status, stdout, stderr } = export(data, line).await;
    assert_eq!((status.code(), String::from_utf8_lossy(&stderr).as_ref()), (Some(0), ""), "{line}");
    stdout
}

async fn exported_lines(data: &Path, line: &str) -> Vec<Value> {
    let text = String::from_utf8(exported(data, line).await).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What it complained of.
async fn refused(data: &Path, line: &str, code: i32) -> String {
    let Output { status, stdout, stderr } = export(data, line).await;
    assert_eq!((status.code(), stdout.len()), (Some(code), 0), "{line}");
    String::from_utf8(stderr).unwrap()
}

/// The records of a CSV file, by the names of their columns.
fn table(bytes: &[u8]) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_reader(bytes);
    let names: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    let row = |row: StringRecord| names.iter().cloned().zip(row.iter().map(str::to_owned)).collect();
    reader.records().map(|record| row(record.unwrap())).collect()
}

/// A user with that first name, delivered; the last name is `Tester`.
async fn deliver_user(server: &TestServer, id: &str, first_name: &str) {
    assert_eq!(server.outcome(&user_event("user.created", id, T, first_name)).await, "applied");
}

/// Names that were chosen for the harm they do in files.
const HOSTILE: [&str; 8] = [
    "=HYPERLINK(\"http://evil.example\",\"x\")",
    "+1",
    "-2+3",
    "@SUM(A1)",
    "two\r\nlines",
    "quo\"te, comma",
    "\u{202e}backwards",
    "'=already",
];

async fn with_hostile_users() -> TestServer {
    let server = TestServer::start().await;
    for (n, name) in HOSTILE.iter().enumerate() {
        deliver_user(&server, &format!("user_{n}"), name).await;
    }
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn users_come_in_the_form_of_the_api_with_and_without_a_server() {
    let server = with_hostile_users().await;
    server.outcome(&deleted_event("user_7", T + 9)).await;
    let admin = server.admin("user_0").await;
    let api = server.get_as(&admin, "/api/users").await.json();
    let by_id = |users: &[Value]| -> BTreeMap<String, Value> {
        users.iter().map(|user| (user["id"].as_str().unwrap().to_owned(), user.clone())).collect()
    };
    let data = server.data();
    let found = exported_lines(&data, "users").await;
    assert_eq!(found.len(), 7);
    assert_eq!(by_id(&found), by_id(api["items"].as_array().unwrap()));
    assert!(found.windows(2).all(|pair| pair[0]["id"].as_str() < pair[1]["id"].as_str()), "in the order of ids");
    let deleted = exported_lines(&data, "users --deleted").await;
    assert_eq!((deleted.len(), &deleted[0]["first_name"]), (1, &json!(HOSTILE[7])));
    assert_eq!(exported_lines(&data, "users --role ADMIN").await.len(), 1);
    assert_eq!(exported_lines(&data, "users --query QUO").await.len(), 1);
    assert_eq!(exported_lines(&data, "users --practice north").await.len(), 0);
    let entries = server.entries().await;
    let taken: Vec<_> = entries.iter().filter(|entry| entry.leaf.action == "users.exported").collect();
    assert_eq!(taken.len(), 5);
    assert!(
        taken.iter().all(|entry| entry.leaf.actor == "cli" && !String::from_utf8_lossy(&entry.bytes).contains("QUO"))
    );
    assert_eq!(Value::from(taken[3].detail.clone().unwrap()), json!({ "format": "jsonl", "query": "QUO" }));

    let folder = server.stop().await;
    let data = folder.path().join("rollbook.redb");
    assert_eq!(exported_lines(&data, "users").await, found, "the same without the server");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_safe_to_open_and_read_by_others() {
    let server = with_hostile_users().await;
    let csv = exported(&server.data(), "users --format csv").await;
    let head = csv.split(|b| *b == b'\n').next().unwrap();
    assert!(head.starts_with(b"id,clerk_user_id,email,") && head.ends_with(b",subscription_status\r"));
    let rows = table(&csv);
    assert_eq!(rows.len(), HOSTILE.len());
    for row in &rows {
        let n: usize = row["clerk_user_id"].trim_start_matches("user_").parse().unwrap();
        let marked = if matches!(n, 0..=3 | 7) { "'" } else { "" };
        assert_eq!(row["first_name"], format!("{marked}{}", HOSTILE[n]));
        assert!(row.values().all(|cell| !cell.starts_with(['=', '+', '-', '@'])));
        assert_eq!(
            (row["email_verified"].as_str(), row["role"].as_str(), row["username"].as_str()),
            ("true", "USER", "")
        );
    }

    let script = "import csv, json, sys; print(json.dumps(list(csv.DictReader(open(sys.argv[1], newline='')))))";
    let file = server.data().with_file_name("users.csv");
    fs::write(&file, &csv).unwrap();
    match Command::new("python3").args(["-c", script]).arg(&file).output() {
        Ok(python) => {
            let read: Vec<BTreeMap<String, String>> = serde_json::from_slice(&python.stdout).unwrap();
            assert_eq!(read, rows, "{}", String::from_utf8_lossy(&python.stderr));
        }
        Err(error) => writeln!(std::io::stderr(), "SKIPPED reading by Python: {error}").unwrap(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_come_oldest_first_up_to_the_one_that_says_so() {
    let server = TestServer::start().await;
    deliver_user(&server, "user_a", "Ann").await;
    deliver_user(&server, "user_b", "=Ben").await;
    server.outcome(&user_event("user.updated", "user_b", T + 1, "Bea")).await;
    let data = server.data();
    let admin = server.admin("user_a").await;
    let found = exported_lines(&data, "audit").await;
    let mut api = server.get_as(&admin, "/api/audit?limit=500").await.json()["items"].as_array().unwrap().clone();
    api.reverse();
    assert_eq!(found, api[..found.len()]);
    assert_eq!(found.last().unwrap()["action"], "audit.exported");

    let of = async |filter: &str| exported_lines(&data, &format!("audit {filter}")).await;
    let places = |found: &[Value]| -> Vec<u64> { found.iter().map(|entry| entry["seq"].as_u64().unwrap()).collect() };
    let created = of("--action user.created").await;
    assert!(created.len() == 2 && created.iter().all(|entry| entry["action"] == "user.created"));
    let ben = of("--subject user_b").await;
    assert!(ben.iter().filter(|entry| entry["source"] == "webhook").all(|entry| entry["target_user"] == "user_b"));
    assert_eq!(ben.last().unwrap()["action"], "audit.exported", "an export about somebody is about them");
    let own_id = server.user("user_b").unwrap().id;
    assert_eq!(places(&of(&format!("--subject {own_id} --action user.updated")).await).len(), 1);
    let at = ben[1]["at"].as_str().unwrap();
    let since = of(&format!("--action user.created --from {at}")).await;
    assert!(since.iter().all(|entry| entry["at"].as_str().unwrap() >= at));
    let before = of(&format!("--action user.created --to {at}")).await;
    assert_eq!([places(&before), places(&since)].concat(), places(&created));
    assert_eq!(of("--from 2100-01-01").await.len(), 0);

    let own_id = server.user("user_a").unwrap().id;
    for actor in ["user_a", &own_id.to_string()] {
        let theirs = of(&format!("--actor {actor} --action audit.*")).await;
        assert!(!theirs.is_empty() && theirs.iter().all(|entry| entry["actor_user"] == "user_a"));
        assert_eq!(of(&format!("--actor {actor} --address ::ffff:127.0.0.1 --action audit.listed")).await, theirs);
    }
    let exports = of("--actor cli --action audit.exported").await;
    let last = &exports.last().unwrap()["detail"];
    assert_eq!(*last, json!({ "action": "audit.exported", "actor": "cli", "format": "jsonl" }));
    let of_theirs = exports.iter().filter(|entry| entry["detail"]["actor"] == "user").collect::<Vec<_>>();
    assert_eq!(of_theirs.len(), 4);
    assert_eq!(of_theirs[1]["detail"]["address"], "::ffff:127.0.0.1");
    assert_eq!(of_theirs[1]["detail"]["members"], json!(["user_a"]));
    assert_eq!(of("--address 192.0.2.99").await.len(), 0);
    assert_eq!(
        refused(&data, "audit --subject 01920000-0000-7000-8000-000000000000", 1).await,
        "there is no such user\n"
    );
    assert_eq!(
        refused(&data, "audit --actor 01920000-0000-7000-8000-000000000000", 1).await,
        "there is no such user\n"
    );
    assert!(refused(&data, "audit --actor key:1", 2).await.contains("who did it is clerk, cli, system"));
    assert!(refused(&data, "audit --from yesterday", 2).await.contains("not a time; write 2024-05-28"));

    let rows = table(&exported(&data, "audit --format csv --action user.updated").await);
    assert_eq!((rows.len(), rows[0]["target_user"].as_str()), (1, "user_b"));
    assert_eq!(rows[0]["changed"], "first_name");
    let detail: Value = serde_json::from_str(&rows[0]["detail"]).unwrap();
    assert_eq!(detail["changes"]["first_name"], json!({ "before": "=Ben", "after": "Bea" }));

    let folder = server.stop().await;
    let again = exported_lines(&folder.path().join("rollbook.redb"), "audit").await;
    assert_eq!(again[..found.len()], found);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_security_events() {
    let server = TestServer::start().await;
    deliver_user(&server, "user_a", "Ann").await;
    let session =
        json!({ "object": "session", "id": "sess_1", "user_id": "user_a", "status": "active", "created_at": T });
    let event = json!({ "type": "session.created", "object": "event", "timestamp": T, "instance_id": "ins_test",
        "data": session, "event_attributes": { "http_request": { "client_ip": "198.51.100.7", "user_agent": "B" } } });
    server.outcome(&event).await;
    let events = exported_lines(&server.data(), "audit --format ocsf").await;
    let leaves: Vec<Box<[u8]>> = server.entries().await.into_iter().map(|entry| entry.bytes).collect();
    assert_eq!(events.len(), leaves.len());
    for (n, (event, leaf)) in events.iter().zip(&leaves).enumerate() {
        assert_eq!(event["raw_data"].as_str().unwrap().as_bytes(), &**leaf);
        assert_eq!(event["metadata"]["uid"], format!("localhost/log-1/{n}"));
    }
    let of = |action: &str| events.iter().find(|event| event["metadata"]["event_code"] == action).unwrap();
    let (created, logon, exported) = (of("user.created"), of("session.created"), of("audit.exported"));
    assert_eq!((&created["type_uid"], &created["user"]["uid"]), (&json!(300_101), &json!("user_a")));
    assert_eq!((&logon["type_uid"], &logon["session"]["uid"]), (&json!(300_201), &json!("sess_1")));
    assert_eq!((&logon["src_endpoint"]["ip"], &logon["time"]), (&json!("198.51.100.7"), &json!(T)));
    assert_eq!((&exported["type_uid"], &exported["api"]["operation"]), (&json!(600_302), &json!("audit.exported")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_whole_private_and_nobody_elses() {
    let server = with_hostile_users().await;
    let data = server.data();
    let place = data.with_file_name("users.jsonl");
    let said = String::from_utf8(exported(&data, "users --out users.jsonl").await).unwrap();
    assert_eq!(said, "users.jsonl: 8 users\n");
    assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(&place).unwrap().lines().count(), 8);
    fs::write(&place, "somebody's notes").unwrap();
    let exports = server.count("users.exported").await;
    let err = refused(&data, "users --out users.jsonl", 1).await;
    assert_eq!(err, "cannot write the result: users.jsonl is there already; --force replaces it\n");
    assert_eq!(fs::read_to_string(&place).unwrap(), "somebody's notes");
    assert!(refused(&data, "users --out .", 1).await.contains(". is a folder"));
    assert!(refused(&data, "users --out rollbook.redb.sock --force", 1).await.contains("is no plain file"));
    assert!(refused(&data, "users --out none/users.jsonl", 1).await.contains("none/users.jsonl: "));
    assert_eq!(server.count("users.exported").await, exports, "what cannot be written is not asked for");
    exported(&data, "users --out users.jsonl --force").await;
    assert_eq!(fs::read_to_string(&place).unwrap().lines().count(), 8);
    assert!(refused(&data, "users --force", 2).await.contains("--out"));
    assert!(refused(&data, "users --format ocsf", 2).await.contains("possible values: jsonl, csv"));
    let names = fs::read_dir(data.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().all(|name| !name.to_string_lossy().starts_with(".export-")), "nothing is left behind");
    let missing = refused(&data.with_file_name("other.redb"), "users --out x.jsonl", 1).await;
    assert!(missing.starts_with("there is no data file at "), "{missing}");
    assert!(!data.with_file_name("x.jsonl").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leaves_that_the_log_cannot_tell_of() {
    let server = with_hostile_users().await;
    let data = server.data();
    server.app.store.refuse_writes(Doubt::NoMark);
    assert!(refused(&data, "log --out log", 1).await.contains("`rollbook adopt`"), "nobody vouches for it");
    assert!(!data.with_file_name("log").exists());
    // Told of on the server's standard output meanwhile, as every look at the data is.
    assert_eq!(exported_lines(&data, "users").await.len(), 8);

    let server = with_hostile_users().await;
    server.app.store.clone().close().await;
    for line in ["users", "audit", "log --out log"] {
        assert_eq!(refused(&server.data(), line, 1).await, "the store has stopped taking writes\n", "{line}");
    }
}

/// More users than fit in what may be under way at once.
async fn with_many_users(count: u32) -> TestServer {
    let server = TestServer::start().await;
    let note = "n".repeat(6_000);
    for chunk in (0..count).collect::<Vec<_>>().chunks(64) {
        let deliver = chunk.iter().map(|n| {
            let mut event = user_event("user.created", &format!("user_{n:06}"), T, "Ann");
            event["data"]["public_metadata"]["note"] = json!(note);
            let server = &server;
            async move { server.outcome(&event).await }
        });
        assert!(join_all(deliver).await.iter().all(|outcome| outcome == "applied"));
    }
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_killed_in_the_middle_leaves_the_server_well() {
    let server = with_many_users(800).await;
    // `export users`, of which only the beginning is read as yet.
    let begin = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollbook"));
        command.args(["export", "users", "--data"]).arg(server.data()).env_clear();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        out.read_exact(&mut [0; 1_000]).unwrap();
        (child, out)
    };
    let (mut child, _out) = begin();
    child.kill().unwrap();
    child.wait().unwrap();
    let (child, out) = begin();
    drop(out);
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr.len()), (Some(0), 0), "as in `rollbook export users | head`");
    assert_eq!(exported_lines(&server.data(), "users").await.len(), 800);

    // One who breaks off by themselves, and one whom the end of the server breaks off.
    let wanted = Request::ExportUsers(rollbook::control::UsersExport::default());
    let (feed_a, mut parts) = feed();
    let (data, asked) = (server.data(), wanted.clone());
    let follower = tokio::spawn(async move { follow(&data, &asked, &feed_a).await });
    parts.pieces.recv().await.unwrap();
    drop(parts);
    assert!(follower.await.unwrap().is_err());
    assert_eq!(server.outcome(&user_event("user.created", "user_z", T, "Zoe")).await, "applied");
    let (feed_b, mut parts) = feed();
    let data = server.data();
    let follower = tokio::spawn(async move { follow(&data, &wanted, &feed_b).await });
    parts.pieces.recv().await.unwrap();
    let folder = server.stop().await;
    while parts.pieces.recv().await.is_some() {}
    assert!(matches!(follower.await.unwrap(), Err(rollbook::control::Error::CutOff)));
    assert_eq!(exported_lines(&folder.path().join("rollbook.redb"), "users --query ann").await.len(), 800);
}

/// Everything below a folder, by its path there.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        if entry.file_type().unwrap().is_dir() {
            assert_eq!(mode, 0o700, "{name}");
            files.extend(self::files(&entry.path()).into_iter().map(|(path, bytes)| (format!("{name}/{path}"), bytes)));
        } else {
            assert_eq!(mode, 0o600, "{name}");
            files.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    files
}

async fn with_log(count: u64) -> TestServer {
    let server = TestServer::start().await;
    deliver_user(&server, "user_a", "Ann").await;
    let note =
        |n: u64| Draft::new("test.noted", Actor::System, Source::System).about(&clerk_id("user_a")).with("n", Some(n));
    for entry in join_all((0..count).map(|n| server.app.store.record(note(n)))).await {
        entry.unwrap();
    }
    server
}

/// Checks what an exported log proves with nothing but the files, and returns its leaves.
fn check_log(files: &BTreeMap<String, Vec<u8>>) -> Vec<Vec<u8>> {
    let text = |name: &str| String::from_utf8(files[name].clone()).unwrap();
    let keys: Vec<VerifierKey> = text("vkey").lines().map(|line| line.parse().unwrap()).collect();
    let checkpoint = Checkpoint::open(&text("checkpoint"), &keys).unwrap();
    let suffix = |width: u64| if width < 256 { format!(".p/{width}") } else { String::new() };
    let (mut leaves, mut hashes) = (Vec::new(), Vec::new());
    for index in 0..checkpoint.size.div_ceil(256) {
        let suffix = suffix((checkpoint.size - 256 * index).min(256));
        let mut rest = &files[&format!("tile/entries/{index:03}{suffix}")][..];
        while let [high, low, tail @ ..] = rest {
            let (leaf, tail) = tail.split_at(usize::from(u16::from_be_bytes([*high, *low])));
            hashes.push(Sha256::new().chain_update([0]).chain_update(leaf).finalize().to_vec());
            leaves.push(leaf.to_vec());
            rest = tail;
        }
        let tile = hashes.chunks(256).nth(usize::try_from(index).unwrap()).unwrap().concat();
        assert!(files[&format!("tile/0/{index:03}{suffix}")] == tile);
    }
    let mut tree = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    for leaf in &leaves {
        tree.push(leaf.clone());
    }
    assert_eq!(tree.root().as_bytes().as_slice(), checkpoint.root);
    assert_eq!(leaves.len() as u64, checkpoint.size);
    leaves
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_proves_itself_in_its_folder() {
    let server = with_log(600).await;
    let data = server.data();
    let said = String::from_utf8(exported(&data, "log --out log").await).unwrap();
    let folder = data.with_file_name("log");
    let found = files(&folder);
    let leaves = check_log(&found);
    assert_eq!(said, format!("log: {} entries\n", leaves.len()));
    let last: Value = serde_json::from_slice(leaves.last().unwrap()).unwrap();
    assert_eq!(last["action"], "log.exported");
    let level_1: Vec<&String> = found.keys().filter(|name| name.starts_with("tile/1/")).collect();
    assert_eq!(level_1, ["tile/1/000.p/2"]);

    let lines = |name: &str| -> Vec<Value> {
        String::from_utf8(found[name].clone())
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let salted = |line: &Value, text: &str| {
        let salt = STANDARD.decode(line["salt"].as_str().unwrap()).unwrap();
        URL_SAFE_NO_PAD.encode(Sha256::new().chain_update(salt).chain_update(text).finalize())
    };
    let mut bound = 0;
    for line in lines("details.jsonl") {
        let leaf: Value =
            serde_json::from_slice(&leaves[usize::try_from(line["index"].as_u64().unwrap()).unwrap()]).unwrap();
        assert_eq!(leaf["detail"], salted(&line, line["detail"].as_str().unwrap()));
        bound += 1;
    }
    let with_detail = |leaf: &&Vec<u8>| serde_json::from_slice::<Value>(leaf).unwrap()["detail"].is_string();
    assert_eq!(bound, leaves.iter().filter(with_detail).count());
    let people = lines("subjects.jsonl");
    assert_eq!((people.len(), &people[0]["id"]), (1, &json!("user_a")));
    assert_eq!(people[0]["ref"], format!("s1.{}", salted(&people[0], "user_a")));

    let audit = exported_lines(&data, "audit").await;
    assert!((0..).zip(&audit).all(|(seq, entry)| entry["seq"] == seq), "a walk of several stretches");
    assert_eq!(audit.len(), leaves.len() + 1);
    assert_eq!(exported_lines(&data, "audit --action test.noted --subject user_a").await.len(), 600);
    assert_eq!(exported_lines(&data, "audit --action test.noted").await.len(), 600);

    assert!(refused(&data, "log --out log", 1).await.contains("log is not empty"));
    let stopped = server.stop().await;
    let data = stopped.path().join("rollbook.redb");
    // A folder that is there, as one that is mounted is.
    let folder = data.with_file_name("bare");
    fs::create_dir(&folder).unwrap();
    exported(&data, "log --out bare --without-details").await;
    let bare = files(&folder);
    check_log(&bare);
    assert!(!bare.contains_key("details.jsonl") && !bare.contains_key("subjects.jsonl"));
    assert!(!bare.values().any(|file| file.windows(6).any(|text| text == b"user_a")), "nobody is named");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pruned_is_not_there_and_not_missed() {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let clock = Clock::fixed("2010-01-01T12:00:00Z".parse().unwrap());
    let server = TestServer::with_clock(&[], clock.clone()).await;
    for _ in 0..600 {
        server.app.store.record(Draft::new("test.noted", Actor::System, Source::System)).await.unwrap();
    }
    clock.set(clock.now().plus_millis(DAY));
    let cutoff = Cutoff::new("2010-01-02".parse().unwrap(), common::now(), false).unwrap();
    server.app.store.prune(cutoff, By { actor: Actor::Cli, source: Source::Cli }, |_, _| {}).await.unwrap();
    let data = server.data();
    let audit = exported_lines(&data, "audit").await;
    assert_eq!((&audit[0]["seq"], &audit.last().unwrap()["action"]), (&json!(512), &json!("audit.exported")));
    assert_eq!(exported_lines(&data, "audit --action test.noted").await[0]["seq"], 512);
    assert_eq!(exported_lines(&data, "audit --from 2009-12-31").await[0]["seq"], 512);
    exported(&data, "log --out log").await;
    let found = files(&data.with_file_name("log"));
    let of = |folder: &str| found.keys().filter(|name| name.starts_with(folder)).count();
    assert_eq!((of("tile/entries/"), of("tile/0/"), of("tile/1/")), (1, 3, 1), "{:?}", found.keys());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_leaves_nothing() {
    let server = with_log(1).await;
    let data = server.data();
    let err = refused(&data, "log --out none/log", 1).await;
    assert!(err.starts_with("cannot write the result: none/log: "), "{err}");
    let other: TempDir = tempfile::tempdir().unwrap();
    let err = refused(&other.path().join("other.redb"), "log --out log", 1).await;
    assert!(err.starts_with("there is no data file at "), "{err}");
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
}

/// What an erasure takes from an export under way is announced behind the export's end.
#[tokio::test]
async fn an_export_that_an_erasure_overtakes_is_not_passed_off_as_whole() {
    let server = TestServer::start().await;
    assert_eq!(server.outcome(&user_event("user.created", "user_ada", T, "Ada")).await, "applied");
    let note = || Draft::new("test.noted", Actor::System, Source::System);
    for noted in join_all((0..3_000).map(|_| server.app.store.record(note()))).await {
        noted.unwrap();
    }
    let desk = Desk {
        store: server.app.store.clone(),
        notary: server.app.notary.clone(),
        backend: None,
        walks: server.app.walks.clone(),
        backups: server.app.backups.clone(),
        clock: Clock::system(),
        public_origin: String::new(),
        address: String::new(),
        server: None,
    };
    let (feed, mut parts) = feed();
    let answer = tokio::spawn(async move { desk.answer(Request::ExportLog { details: true }, &feed).await });
    // It has begun, and waits for its pieces to be taken.
    parts.pieces.recv().await.unwrap();
    let by = By { actor: Actor::Cli, source: Source::Cli };
    let order = Order { by, reason: None, even_if_live: true, even_if_untold: false };
    server.app.store.erase(&"user_ada".parse().unwrap(), order, |_| {}).await.unwrap();
    let mut files = Vec::new();
    while let Some(piece) = parts.pieces.recv().await {
        files.push(piece.file);
    }
    let Reply::Refused { reason } = answer.await.unwrap() else { panic!("it was passed off as whole") };
    assert!(reason.contains("please export it again"), "{reason}");
    assert!(files.len() > 5 && !files.contains(&"checkpoint".to_owned()), "{files:?}");
}
