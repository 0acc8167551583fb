//! Load on the real release binary over loopback: distinct, pre-signed deliveries on kept-alive connections,
//! each connection sending its next request when the last one was answered. Prints one table.
//!
//! `cargo bench --bench load` ; settings by environment: `LOAD_USERS` (users on file first, 10000),
//! `LOAD_SECONDS` (per row, 5), `LOAD_RUNS` (3, the median is shown), `LOAD_CONNECTIONS` (1,16,64).
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use rollbook::clerk::issuer::Issuer;
use rollbook::clock::Clock;
use svix::webhooks::Webhook;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const SECRET: &str = "whsec_cm9sbGJvb2sgbG9hZCBiZW5jaCBzaWduaW5nIGtleQ==";

fn env(name: &str, default: usize) -> usize {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

static ISSUER: LazyLock<Issuer> =
    LazyLock::new(|| Issuer::generate("https://clerk.example.com".to_owned(), "ins_load").unwrap());

/// The binary under load, killed with the bench.
struct Server {
    child: Child,
    address: String,
    started: Duration,
}

impl Server {
    fn start(dir: &std::path::Path) -> Self {
        let begun = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_rollbook"))
            .arg("serve")
            .env_clear()
            .env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET)
            .env("CLERK_ISSUER", "https://clerk.example.com")
            .env("CLERK_JWT_KEY", ISSUER.public_pem())
            .env("ROLLBOOK_LISTEN", "127.0.0.1:0")
            .env("ROLLBOOK_DATA", dir.join("load.redb"))
            .env("ROLLBOOK_LOG", std::env::var("LOAD_LOG").unwrap_or_else(|_| "info".to_owned()))
            .envs(std::env::vars().filter(|(name, _)| name == "ROLLBOOK_CACHE_MB"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening on http://") {
            line.clear();
            assert!(out.read_line(&mut line).unwrap() > 0, "the server did not start");
        }
        let started = begun.elapsed();
        let address = line.rsplit("http://").next().unwrap().trim().to_owned();
        // Its log is read away, as a supervisor would.
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        Self { child, address, started }
    }

    fn memory_kib(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn stop(mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// A user event of about 2.6 kB, as Clerk's are.
fn event(kind: &str, user: usize, version: i64) -> String {
    let filler = "x".repeat(1300);
    serde_json::json!({
        "type": kind, "object": "event", "timestamp": version, "instance_id": "ins_load",
        "event_attributes": { "http_request": { "client_ip": "203.0.113.9", "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/150.0" } },
        "data": {
            "object": "user", "id": user_id(user), "first_name": format!("First{user}"), "last_name": format!("Last{}", user % 5000),
            "username": null, "external_id": null, "primary_email_address_id": "idn_1", "primary_phone_number_id": null,
            "email_addresses": [{ "id": "idn_1", "object": "email_address", "email_address": format!("user{user}@example.org"), "reserved": false,
                "verification": { "status": "verified", "strategy": "email_code", "attempts": 1, "expire_at": 1_800_000_000_000_i64 }, "linked_to": [],
                "created_at": 1_700_000_000_000_i64, "updated_at": 1_700_000_000_000_i64 }],
            "phone_numbers": [], "web3_wallets": [], "passkeys": [], "external_accounts": [], "saml_accounts": [], "enterprise_accounts": [],
            "image_url": "https://img.example.com/eyJ0eXBlIjoiZGVmYXVsdCJ9", "has_image": false, "banned": false, "locked": false,
            "password_enabled": true, "two_factor_enabled": false, "totp_enabled": false, "backup_code_enabled": false,
            "public_metadata": { "filler": filler }, "private_metadata": {}, "unsafe_metadata": {},
            "created_at": 1_700_000_000_000_i64, "updated_at": version, "last_sign_in_at": version, "last_active_at": version,
        },
    })
    .to_string()
}

fn user_id(user: usize) -> String {
    format!("user_{user:027}")
}

fn delivery(webhook: &Webhook, host: &str, id: &str, body: &str) -> Vec<u8> {
    let now = Clock::system().now().as_seconds();
    let signature = webhook.sign(id, now, body.as_bytes()).unwrap();
    format!(
        "POST /api/webhooks/clerk HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\nsvix-id: {id}\r\nsvix-timestamp: {now}\r\nsvix-signature: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Sends every request once, or for `limit`, over so many connections; returns the latencies of what was
/// answered with 200 and the time it all took.
async fn drive(
    address: &str,
    requests: Vec<Vec<u8>>,
    connections: usize,
    limit: Duration,
    again: bool,
) -> (Vec<Duration>, Duration) {
    let (requests, next, stop) = (Arc::new(requests), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let begun = Instant::now();
    let workers: Vec<_> = (0..connections)
        .map(|_| {
            let (requests, next, stop) = (requests.clone(), next.clone(), stop.clone());
            let address = address.to_owned();
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                let mut stream = TcpStream::connect(&address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let mut buffer = vec![0; 64 * 1024];
                while !stop.load(Ordering::Relaxed) {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= requests.len() && !again {
                        break;
                    }
                    let sent = Instant::now();
                    stream.write_all(&requests[n % requests.len()]).await.unwrap();
                    answer(&mut stream, &mut buffer).await;
                    latencies.push(sent.elapsed());
                    if begun.elapsed() > limit {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
                latencies
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for worker in workers {
        latencies.extend(worker.await.unwrap());
    }
    (latencies, begun.elapsed())
}

/// Reads one answer to its end.
async fn answer(stream: &mut TcpStream, buffer: &mut [u8]) {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await.unwrap();
        assert!(read > 0, "the connection was closed");
        filled += read;
        let Some(end) = buffer[..filled].windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&buffer[..end]).unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..filled]));
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if filled >= end + 4 + length.parse::<usize>().unwrap() {
            return;
        }
    }
}

struct Row {
    per_second: f64,
    p50: Duration,
    p99: Duration,
    max: Duration,
}

fn row((mut latencies, took): (Vec<Duration>, Duration)) -> Row {
    latencies.sort();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    Row { per_second: latencies.len() as f64 / took.as_secs_f64(), p50: at(0.5), p99: at(0.99), max: at(1.0) }
}

fn median(mut rows: Vec<Row>) -> Row {
    rows.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    let middle = rows.len() / 2;
    rows.swap_remove(middle)
}

fn show(what: &str, connections: usize, row: &Row) {
    let ms = |d: Duration| d.as_secs_f64() * 1000.0;
    println!(
        "{what:28} {connections:4} {:>10.0} {:>9.2} {:>9.2} {:>9.2}",
        row.per_second,
        ms(row.p50),
        ms(row.p99),
        ms(row.max)
    );
}

#[tokio::main]
async fn main() {
    let (users, seconds, runs) = (env("LOAD_USERS", 10_000), env("LOAD_SECONDS", 5), env("LOAD_RUNS", 3));
    let connections = std::env::var("LOAD_CONNECTIONS").unwrap_or_else(|_| "1,16,64".to_owned());
    let connections: Vec<usize> = connections.split(',').map(|n| n.parse().unwrap()).collect();
    let limit = Duration::from_secs(seconds as u64);
    let keep = std::env::var_os("LOAD_DIR").map(std::path::PathBuf::from);
    let dir = tempfile::tempdir().unwrap();
    let dir = keep.as_deref().unwrap_or(dir.path());
    let webhook = Webhook::new(SECRET).unwrap();
    let mut serial = 0_usize;

    let server = Server::start(dir);
    println!(
        "start on an empty file       {:>7.1} ms, {:>6.1} MiB",
        server.started.as_secs_f64() * 1000.0,
        server.memory_kib() as f64 / 1024.0
    );
    let begun = Instant::now();
    for chunk in (0..users).collect::<Vec<_>>().chunks(20_000) {
        let requests = chunk.iter().map(|user| {
            delivery(
                &webhook,
                &server.address,
                &format!("msg_seed{user:023}"),
                &event("user.created", *user, 1_700_000_000_000),
            )
        });
        drive(&server.address, requests.collect(), 64, Duration::from_hours(1), false).await;
    }
    println!(
        "{users} users created in {:.1} s, {:.0} per second",
        begun.elapsed().as_secs_f64(),
        users as f64 / begun.elapsed().as_secs_f64()
    );
    let address = server.address.clone();
    println!("after that                              {:>6.1} MiB", server.memory_kib() as f64 / 1024.0);
    server.stop();
    let server = Server::start(dir);
    println!(
        "start with {users} users       {:>7.1} ms, {:>6.1} MiB",
        server.started.as_secs_f64() * 1000.0,
        server.memory_kib() as f64 / 1024.0
    );
    drop(address);

    println!("\n{:28} {:>4} {:>10} {:>9} {:>9} {:>9}", "", "conn", "per s", "p50 ms", "p99 ms", "max ms");
    for &connections in &connections {
        let mut rows = Vec::new();
        for _ in 0..runs {
            // More than any run can use up; signing is done before the clock starts.
            let count = 25_000 * seconds;
            let requests = (0..count).map(|_| {
                serial += 1;
                let user = (serial.wrapping_mul(2_654_435_761)) % users;
                let version = 1_750_000_000_000 + i64::try_from(serial).unwrap();
                delivery(
                    &webhook,
                    &server.address,
                    &format!("msg_load{:023}", serial as u128 + Clock::system().now().as_millis() as u128 * 1_000_000),
                    &event("user.updated", user, version),
                )
            });
            rows.push(row(drive(&server.address, requests.collect(), connections, limit, false).await));
        }
        show("durable webhooks", connections, &median(rows));
    }
    println!("memory under load            {:.1} MiB", server.memory_kib() as f64 / 1024.0);
    let get = |path: &str, user: usize| {
        let token = ISSUER.token(&user_id(user).parse().unwrap(), "sess_1", Clock::system().now(), 3600).unwrap();
        format!("GET {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\n\r\n", server.address).into_bytes()
    };
    for &connections in &connections {
        let warm = vec![get("/api/auth/me", 1)];
        let rows = |warm: Vec<Vec<u8>>| {
            let address = server.address.clone();
            async move {
                let mut rows = Vec::new();
                for _ in 0..runs {
                    rows.push(row(drive(&address, warm.clone(), connections, limit, true).await));
                }
                median(rows)
            }
        };
        show("GET /api/auth/me, warm", connections, &rows(warm).await);
        let health = vec![format!("GET /health HTTP/1.1\r\nhost: {}\r\n\r\n", server.address).into_bytes()];
        show("GET /health", connections, &rows(health).await);
    }
    server.stop();
}
