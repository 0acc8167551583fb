//! Load on the real release binary over loopback: distinct, pre-signed deliveries on kept-alive connections,
//! each connection sending its next request when the last one was answered. Prints one table.
//!
//! `cargo bench --bench load` ; settings by environment: `LOAD_USERS` (users on file first, 10000),
//! `LOAD_SECONDS` (per row, 5), `LOAD_RUNS` (3, the median is shown), `LOAD_CONNECTIONS` (1,16,64).
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

mod common;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::people::{T, id, user};
use common::server::{ISSUER, Server};
use common::wire::{SECRET, Wire, delivery};
use common::{env, percentile};
use rollbook::clock::Clock;
use serde_json::json;
use svix::webhooks::Webhook;

/// The settings that are taken from outside.
fn start(dir: &std::path::Path) -> Server {
    let log = std::env::var("LOAD_LOG").unwrap_or_else(|_| "info".to_owned());
    let cache = std::env::var("ROLLBOOK_CACHE_MB").ok();
    let cache = cache.iter().map(|cache| ("ROLLBOOK_CACHE_MB", cache.as_str()));
    let settings: Vec<_> = [("ROLLBOOK_LOG", log.as_str())].into_iter().chain(cache).collect();
    Server::start(&dir.join("load.redb"), &settings)
}

/// A user event of about 2.6 kB, as Clerk's are.
fn event(kind: &str, n: u64, version: i64) -> String {
    json!({
        "type": kind, "object": "event", "timestamp": version, "instance_id": "ins_bench",
        "event_attributes": { "http_request": { "client_ip": "203.0.113.9", "user_agent": "Mozilla/5.0 (X11; Linux x86_64) Firefox/150.0" } },
        "data": user(&id(n), n, version, &json!({ "filler": "x".repeat(1600) })),
    })
    .to_string()
}

/// Sends every request once, or `again` and again for `limit`, over so many connections; returns the latencies and the time
/// it all took.
async fn drive(
    address: &str,
    requests: Vec<Vec<u8>>,
    connections: u64,
    limit: Duration,
    again: bool,
) -> (Vec<Duration>, Duration) {
    let (requests, begun) = (Arc::new(requests), Instant::now());
    let next = Arc::new(AtomicU64::new(0));
    let workers: Vec<_> = (0..connections)
        .map(|_| {
            let (requests, next, address) = (requests.clone(), next.clone(), address.to_owned());
            tokio::spawn(async move {
                let (mut wire, mut latencies) = (Wire::to(&address).await, Vec::new());
                while begun.elapsed() < limit {
                    let n = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap();
                    if n >= requests.len() && !again {
                        break;
                    }
                    let sent = Instant::now();
                    wire.ask(&requests[n % requests.len()]).await;
                    latencies.push(sent.elapsed());
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

struct Row {
    per_second: f64,
    p50: Duration,
    p99: Duration,
    max: Duration,
}

fn row((mut latencies, took): (Vec<Duration>, Duration)) -> Row {
    latencies.sort();
    let at = |percent| percentile(&latencies, percent);
    Row { per_second: latencies.len() as f64 / took.as_secs_f64(), p50: at(50), p99: at(99), max: at(100) }
}

fn median(mut rows: Vec<Row>) -> Row {
    rows.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    let middle = rows.len() / 2;
    rows.swap_remove(middle)
}

fn show(what: &str, connections: u64, row: &Row) {
    let ms = |d: Duration| d.as_secs_f64() * 1000.0;
    println!(
        "{what:28} {connections:4} {:>10.0} {:>9.2} {:>9.2} {:>9.2}",
        row.per_second,
        ms(row.p50),
        ms(row.p99),
        ms(row.max)
    );
}

fn show_start(what: &str, server: &Server) {
    let (took, memory) = (server.process.started.as_secs_f64() * 1000.0, server.memory("VmRSS"));
    println!("{what:28} {took:>7.1} ms, {memory:>6.1} MiB");
}

/// So many users, by their webhooks.
async fn sign_up(server: &Server, users: u64) {
    let begun = Instant::now();
    let webhook = Webhook::new(SECRET).unwrap();
    for chunk in (0..users).collect::<Vec<_>>().chunks(20_000) {
        let created =
            |n: &u64| delivery(&webhook, &server.address, &format!("msg_seed{n:023}"), &event("user.created", *n, T));
        drive(&server.address, chunk.iter().map(created).collect(), 64, Duration::from_hours(1), false).await;
    }
    let took = begun.elapsed().as_secs_f64();
    println!("{users} users created in {took:.1} s, {:.0} per second", users as f64 / took);
}

#[tokio::main]
async fn main() {
    let (users, seconds, runs) = (env("LOAD_USERS", 10_000), env("LOAD_SECONDS", 5), env("LOAD_RUNS", 3));
    let connections = std::env::var("LOAD_CONNECTIONS").unwrap_or_else(|_| "1,16,64".to_owned());
    let connections: Vec<u64> = connections.split(',').map(|n| n.parse().unwrap()).collect();
    let limit = Duration::from_secs(seconds);
    let temporary = tempfile::tempdir().unwrap();
    let dir = std::env::var_os("LOAD_DIR").map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let webhook = Webhook::new(SECRET).unwrap();

    let server = start(&dir);
    show_start("start on an empty file", &server);
    sign_up(&server, users).await;
    println!("{:28} {:>18.1} MiB", "after that", server.memory("VmRSS"));
    drop(server);
    let server = start(&dir);
    show_start(&format!("start with {users} users"), &server);

    println!("\n{:28} {:>4} {:>10} {:>9} {:>9} {:>9}", "", "conn", "per s", "p50 ms", "p99 ms", "max ms");
    let mut serial = 0_u64;
    for &connections in &connections {
        let mut rows = Vec::new();
        for _ in 0..runs {
            // More than any run can use up; signing is done before the clock starts.
            let requests = (0..25_000 * seconds).map(|_| {
                serial += 1;
                let id = format!("msg_{}_{serial}", Clock::system().now().as_millis());
                let version = T + 1 + i64::try_from(serial).unwrap();
                delivery(
                    &webhook,
                    &server.address,
                    &id,
                    &event("user.updated", serial.wrapping_mul(2_654_435_761) % users, version),
                )
            });
            rows.push(row(drive(&server.address, requests.collect(), connections, limit, false).await));
        }
        show("durable webhooks", connections, &median(rows));
    }
    println!("memory under load            {:.1} MiB", server.memory("VmRSS"));
    let token = ISSUER.token(&id(1), "sess_1", Clock::system().now(), 3600).unwrap();
    let host = &server.address;
    let requests = [
        (
            "GET /api/auth/me, warm",
            format!("GET /api/auth/me HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\r\n"),
        ),
        ("GET /health", format!("GET /health HTTP/1.1\r\nhost: {host}\r\n\r\n")),
    ];
    for &connections in &connections {
        for (what, request) in &requests {
            let mut rows = Vec::new();
            for _ in 0..runs {
                rows.push(row(drive(host, vec![request.clone().into_bytes()], connections, limit, true).await));
            }
            show(what, connections, &median(rows));
        }
    }
}
