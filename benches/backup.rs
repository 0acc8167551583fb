//! What a backup costs those who send webhooks meanwhile: how long they wait before, during and after one, in rounds, on the
//! real release binary over loopback, each connection sending its next request when the last one was answered. And how long
//! the backup takes, beside nobody and beside `cp` of the same file. Prints one table; the last line is the ratio of the
//! 99th percentiles, which should be 3 at most.
//!
//! `cargo bench --bench backup` ; settings by environment: `BACKUP_USERS` (1000000), `BACKUP_ROUNDS` (3), `BACKUP_SECONDS`
//! (before and after, 20), `BACKUP_CONNECTIONS` (16), `BACKUP_WORK` (a folder for the data file, which stays and is used
//! again; by default one that goes).
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rollbook::clerk::issuer::Issuer;
use rollbook::clock::{Clock, Timestamp};
use rollbook::event::{Change, Client, Delivery, Event};
use rollbook::json::Object;
use rollbook::store::Store;
use rollbook::sync::Policy;
use serde_json::{Value, json};
use svix::webhooks::Webhook;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const SECRET: &str = "whsec_cm9sbGJvb2sgbG9hZCBiZW5jaCBzaWduaW5nIGtleQ==";
const T: i64 = 1_750_000_000_000;

/// Between two looks at the server's memory.
const LOOK_EVERY: Duration = Duration::from_millis(100);

fn env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

fn user(n: u64, version: i64) -> Value {
    json!({
        "object": "user", "id": format!("user_{n:027}"), "first_name": format!("First{n}"), "last_name": format!("Last{}", n % 5000),
        "username": null, "external_id": null, "primary_email_address_id": "idn_1", "image_url": "https://img.example.com/1",
        "email_addresses": [{ "id": "idn_1", "object": "email_address", "email_address": format!("user{n}@example.org"),
            "verification": { "status": "verified", "strategy": "email_code", "attempts": 1, "expire_at": null } }],
        "phone_numbers": [], "external_accounts": [], "public_metadata": { "filler": "x".repeat(900) },
        "private_metadata": {}, "unsafe_metadata": {}, "banned": false, "locked": false, "two_factor_enabled": false,
        "password_enabled": true, "created_at": T, "updated_at": version, "last_sign_in_at": version,
    })
}

/// So many users, handed in many at a time.
async fn fill(path: &Path, users: u64) {
    let store = Store::open(path, 256 << 20, Policy::default(), Clock::system()).unwrap();
    let (next, begun) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let workers = (0..256).map(|_| {
        let (next, store) = (next.clone(), store.clone());
        tokio::spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= users {
                    break;
                }
                // As ids are, in no order.
                store.ingest(delivery(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20)).await.unwrap();
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    store.close().await;
    println!("{users} users in {:.0} s", begun.elapsed().as_secs_f64());
}

fn delivery(n: u64) -> Delivery {
    let (at, clerk) = (Timestamp::from_millis(T), user(n, T));
    let id: rollbook::user::ClerkId = clerk["id"].as_str().unwrap().parse().unwrap();
    let clerk = Object::new(clerk.as_object().unwrap().clone());
    let event = Event {
        kind: "user.created".to_owned(),
        instance: None,
        timestamp: Some(at),
        at,
        client: Client { ip: Some("203.0.113.9".to_owned()), user_agent: Some("Mozilla/5.0 Firefox/150.0".to_owned()) },
        impersonator: None,
        subject: Some(id.clone()),
        change: Change::UserSaved { id, updated_at: at, clerk },
        more: serde_json::Map::new(),
    };
    Delivery { id: format!("msg_seed{n}").parse().unwrap(), content: Ok(event) }
}

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(data: &Path, issuer: &Issuer) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_rollbook"))
            .arg("serve")
            .env_clear()
            .env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET)
            .env("CLERK_ISSUER", "https://clerk.example.com")
            .env("CLERK_JWT_KEY", issuer.public_pem())
            .env("ROLLBOOK_LISTEN", "127.0.0.1:0")
            .env("ROLLBOOK_DATA", data)
            .env("ROLLBOOK_LOG", "warn")
            .current_dir(data.parent().unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening on http://") {
            line.clear();
            assert!(out.read_line(&mut line).unwrap() > 0, "the server did not start");
        }
        let address = line.rsplit("http://").next().unwrap().trim().to_owned();
        // Only what went wrong is said.
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::stderr()));
        Self { child, address }
    }

    /// What it holds of the machine's memory, in MiB: all of it, and its own without pages of files.
    fn memory(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// Sends webhooks over so many connections until it is told to stop; how long each took.
struct Load {
    address: String,
    connections: u64,
    users: u64,
    serial: Arc<AtomicU64>,
}

impl Load {
    async fn until<T>(&self, ended: impl Future<Output = T>) -> (Vec<Duration>, Duration, T) {
        let (stop, begun) = (Arc::new(AtomicBool::new(false)), Instant::now());
        let workers: Vec<_> = (0..self.connections)
            .map(|_| {
                let (address, serial, stop, users) =
                    (self.address.clone(), self.serial.clone(), stop.clone(), self.users);
                tokio::spawn(async move {
                    let webhook = Webhook::new(SECRET).unwrap();
                    let mut stream = connect(&address).await;
                    let mut latencies = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let request = request(&webhook, &address, serial.fetch_add(1, Ordering::Relaxed), users);
                        let sent = Instant::now();
                        stream.write_all(&request).await.unwrap();
                        let is_last = answer(&mut stream).await;
                        latencies.push(sent.elapsed());
                        if is_last {
                            stream = connect(&address).await;
                        }
                    }
                    latencies
                })
            })
            .collect();
        let ended = ended.await;
        let took = begun.elapsed();
        stop.store(true, Ordering::Relaxed);
        let mut latencies = Vec::new();
        for worker in workers {
            latencies.extend(worker.await.unwrap());
        }
        latencies.sort_unstable();
        (latencies, took, ended)
    }
}

fn request(webhook: &Webhook, host: &str, serial: u64, users: u64) -> Vec<u8> {
    let n = serial.wrapping_mul(2_654_435_761) % users;
    let version = T + 1 + i64::try_from(serial).unwrap();
    let body = json!({
        "type": "user.updated", "object": "event", "timestamp": version, "instance_id": "ins_bench",
        "data": user(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20, version),
    })
    .to_string();
    let now = Clock::system().now();
    let id = format!("msg_{}_{serial}", now.as_millis());
    let signature = webhook.sign(&id, now.as_seconds(), body.as_bytes()).unwrap();
    let head = format!(
        "POST /api/webhooks/clerk HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\nsvix-id: {id}\r\nsvix-timestamp: {}\r\nsvix-signature: {signature}\r\ncontent-length: {}\r\n\r\n",
        now.as_seconds(),
        body.len()
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

async fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Reads one answer to its end; whether it is the last on this connection, which has its time like any other.
async fn answer(stream: &mut TcpStream) -> bool {
    let (mut buffer, mut filled) = ([0; 8192], 0);
    loop {
        let read = stream.read(&mut buffer[filled..]).await.unwrap();
        assert!(read > 0, "the connection was closed");
        filled += read;
        let Some(end) = buffer[..filled].windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&buffer[..end]).unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..filled]));
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if filled >= end + 4 + length.parse::<usize>().unwrap() {
            return head.lines().any(|line| line == "connection: close");
        }
    }
}

/// One row of the table; the 99th percentile, in milliseconds.
fn show(what: &str, (latencies, took): (&[Duration], Duration)) -> f64 {
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    let rate = latencies.len() as f64 / took.as_secs_f64();
    println!("{what:10} {:>8.1} {rate:>9.0} {:>9.2} {:>9.2} {:>9.2}", took.as_secs_f64(), at(0.5), at(0.99), at(1.0));
    at(0.99)
}

/// Makes a backup by the command; how long it took, the file's length, and the most memory that the server held.
async fn backup(server: &Server, data: &Path, to: PathBuf) -> (Duration, u64, f64) {
    let _ = fs::remove_file(&to);
    let begun = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollbook"));
    let command = command.arg("backup").arg(&to).env_clear().env("ROLLBOOK_DATA", data).stdin(Stdio::null());
    let mut command = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut most = 0.0_f64;
    let status = loop {
        if let Some(status) = command.try_wait().unwrap() {
            break status;
        }
        most = most.max(server.memory());
        tokio::time::sleep(LOOK_EVERY).await;
    };
    assert!(status.success());
    let (took, bytes) = (begun.elapsed(), fs::metadata(&to).unwrap().len());
    fs::remove_file(&to).unwrap();
    (took, bytes, most)
}

/// How long `cp` takes, to the disk.
fn copy(data: &Path, to: &Path) -> Duration {
    let begun = Instant::now();
    assert!(Command::new("cp").arg(data).arg(to).status().unwrap().success());
    File::open(to).unwrap().sync_all().unwrap();
    let took = begun.elapsed();
    fs::remove_file(to).unwrap();
    took
}

#[tokio::main]
async fn main() {
    let (users, rounds, connections) =
        (env("BACKUP_USERS", 1_000_000), env("BACKUP_ROUNDS", 3), env("BACKUP_CONNECTIONS", 16));
    let still = Duration::from_secs(env("BACKUP_SECONDS", 20));
    let kept = std::env::var_os("BACKUP_WORK").map(PathBuf::from);
    let temporary = tempfile::tempdir().unwrap();
    let dir = kept.as_deref().unwrap_or(temporary.path());
    fs::create_dir_all(dir).unwrap();
    let (data, to) = (dir.join("rollbook.redb"), dir.join("copy.redb"));
    if !data.exists() {
        fill(&data, users).await;
    }
    let issuer = Issuer::generate("https://clerk.example.com".to_owned(), "ins_bench").unwrap();
    let server = Server::start(&data, &issuer);
    let serial = Arc::new(AtomicU64::new(u64::try_from(Clock::system().now().as_millis() - T).unwrap()));
    let load = Load { address: server.address.clone(), connections, users, serial };
    println!(
        "\n{connections} connections\n{:10} {:>8} {:>9} {:>9} {:>9} {:>9}",
        "", "s", "per s", "p50 ms", "p99 ms", "max ms"
    );
    let mut ratios = Vec::new();
    for _ in 0..rounds {
        let (before, took, ()) = load.until(tokio::time::sleep(still)).await;
        let before = show("before", (&before, took));
        let (during, took, (_, bytes, memory)) = load.until(backup(&server, &data, to.clone())).await;
        let during = show("during", (&during, took));
        let (after, took, ()) = load.until(tokio::time::sleep(still)).await;
        let after = show("after", (&after, took));
        println!("           {} MiB, memory at most {memory:.0} MiB", bytes >> 20);
        ratios.push(during / f64::midpoint(before, after));
    }
    let (took, bytes, memory) = backup(&server, &data, to.clone()).await;
    println!("\nalone: {:.1} s for {} MiB, memory at most {memory:.0} MiB", took.as_secs_f64(), bytes >> 20);
    drop(server);
    println!(
        "cp of the data file: {:.1} s for {} MiB",
        copy(&data, &to).as_secs_f64(),
        fs::metadata(&data).unwrap().len() >> 20
    );
    ratios.sort_by(f64::total_cmp);
    println!("p99 during, as a multiple of that without: {ratios:.2?}");
}
