//! How fast the real release binary tells another service of a backlog, what memory that takes, and whether anything is
//! missing at the end. The service is a process of its own: this program, started once more. Prints one table.
//!
//! `cargo bench --bench forward` ; settings by environment: `FORWARD_EVENTS` (100000), `FORWARD_DIR` (where the file goes, the
//! system's folder for such).
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
#![allow(clippy::cast_precision_loss)]

mod common;

use std::convert::Infallible;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::people::{created, id};
use common::server::{Running, Server};
use common::{each, env, folder};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rollbook::clock::Clock;
use rollbook::store::Store;
use rollbook::sync::Policy;
use rollbook::target::{Course, TargetName};
use serde_json::json;
use tokio::net::TcpListener;

/// Tells the program that it is to be the service.
const ROLE: &str = "FORWARD_IS_RECEIVER";

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if std::env::var_os(ROLE).is_some() {
        runtime.block_on(receive());
    } else {
        runtime.block_on(measure());
    }
}

/// Takes every event, and says how many there were when it is asked.
async fn receive() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    let taken = Arc::new(AtomicU64::new(0));
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let taken = Arc::clone(&taken);
        let service = service_fn(move |request| answer(request, Arc::clone(&taken)));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(request: Request<Incoming>, taken: Arc<AtomicU64>) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_asked = request.method() == Method::GET;
    request.into_body().collect().await.unwrap();
    let count = if is_asked { taken.load(Ordering::SeqCst) } else { taken.fetch_add(1, Ordering::SeqCst) };
    Ok(Response::new(Full::from(if is_asked { count.to_string() } else { String::new() })))
}

/// A data file with so many events, of which the target of the settings was told none.
async fn fill(data: &Path, events: u64) {
    let store = Store::open(data, 64 << 20, Policy::default(), Clock::system()).unwrap();
    let filled = store.clone();
    each("events", events, move |n| {
        let store = filled.clone();
        async move { assert!(store.ingest(created(&id(n), n, &json!({}))).await.is_ok()) }
    })
    .await;
    store.put_course(TargetName::of_settings(), Course::default(), None).await.unwrap();
    store.close().await;
}

async fn taken(client: &reqwest::Client, url: &str) -> u64 {
    client.get(url).send().await.unwrap().text().await.unwrap().parse().unwrap()
}

async fn measure() {
    let events = env("FORWARD_EVENTS", 100_000);
    let dir = folder("FORWARD_DIR");
    let data = dir.path().join("forward.redb");
    fill(&data, events).await;

    let mut receiver = Command::new(std::env::current_exe().unwrap());
    let receiver = Running::start(receiver.env(ROLE, "1"), "http://");
    let url = format!("http://{}", receiver.line);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let begun = Instant::now();
    let settings = [
        ("ROLLBOOK_FORWARD_URL", url.as_str()),
        ("ROLLBOOK_FORWARD_SECRET", "whsec_YSBzZWNyZXQgZm9yIGEgYmVuY2htYXJrLCBubyBtb3Jl"),
        ("ROLLBOOK_FORWARD_PRIVATE", "127.0.0.0/8"),
    ];
    let server = Server::start(&data, &settings);
    println!("| events taken | seconds | events/s so far | resident, MiB |");
    println!("| --- | --- | --- | --- |");
    let mut told = 0;
    loop {
        let count = taken(&client, &url).await;
        let seconds = begun.elapsed().as_secs_f64();
        if count * 10 / events > told * 10 / events || count >= events {
            println!("| {count} | {seconds:.1} | {:.0} | {:.1} |", count as f64 / seconds, server.memory("VmRSS"));
            told = count;
        }
        if count >= events {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("\npeak of resident memory: {:.1} MiB", server.memory("VmHWM"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    println!("told once more than needed: {}", taken(&client, &url).await - events);
}
