//! How fast the real release binary tells another service of a backlog, what memory that takes, and whether anything is
//! missing at the end. The service is a process of its own: this program, started once more. Prints one table.
//!
//! `cargo bench --bench forward` ; settings by environment: `FORWARD_EVENTS` (100000), `FORWARD_DIR` (where the file goes, the
//! system's folder for such).
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
#![allow(clippy::cast_precision_loss)]

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rollbook::clock::{Clock, Timestamp};
use rollbook::event::{Change, Client, Delivery, Event};
use rollbook::json::Object;
use rollbook::store::Store;
use rollbook::sync::Policy;
use rollbook::target::{Course, TargetName};
use rollbook::user::ClerkId;
use serde_json::json;
use tokio::net::TcpListener;

/// Tells the program that it is to be the service.
const ROLE: &str = "FORWARD_IS_RECEIVER";

const SECRET: &str = "whsec_YSBzZWNyZXQgZm9yIGEgYmVuY2htYXJrLCBubyBtb3Jl";

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

/// A process that ends with this one.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts it, and returns the first line it says that begins so, without the beginning.
fn start(mut command: Command, begins: &str) -> (Running, String) {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    let mut lines = lines.lines().map_while(Result::ok);
    let line = lines.find_map(|line| line.strip_prefix(begins).map(str::to_owned)).unwrap();
    // Whatever else it says has to go somewhere.
    std::thread::spawn(move || lines.for_each(drop));
    (Running(child), line)
}

fn serve(data: &Path, url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollbook"));
    command
        .arg("serve")
        .env_clear()
        .env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET)
        .env("CLERK_ISSUER", "https://clerk.example.com")
        .env("ROLLBOOK_LISTEN", "127.0.0.1:0")
        .env("ROLLBOOK_DATA", data)
        .env("ROLLBOOK_LOG", "error")
        .env("ROLLBOOK_FORWARD_URL", url)
        .env("ROLLBOOK_FORWARD_SECRET", SECRET)
        .env("ROLLBOOK_FORWARD_PRIVATE", "127.0.0.0/8");
    command
}

/// The n-th user as Clerk sends them.
fn created(n: u64) -> Delivery {
    let id: ClerkId = format!("user_{n:027}").parse().unwrap();
    let at = Timestamp::from_millis(1_700_000_000_000 + i64::try_from(n).unwrap());
    let clerk = json!({
        "object": "user", "id": id.as_str(), "first_name": "Ada", "last_name": format!("Novak{n}"), "username": null,
        "image_url": "https://img.example.com/people/1.png", "primary_email_address_id": "idn_1",
        "email_addresses": [{
            "id": "idn_1", "object": "email_address", "email_address": format!("ada.{n}@example.org"),
            "verification": { "status": "verified", "strategy": "email_code", "attempts": null, "expire_at": null },
        }],
        "phone_numbers": [], "external_accounts": [], "public_metadata": {}, "private_metadata": {},
        "unsafe_metadata": {}, "banned": false, "locked": false, "two_factor_enabled": false, "password_enabled": true,
        "created_at": at.as_millis(), "updated_at": at.as_millis(), "last_sign_in_at": at.as_millis(),
    });
    let clerk = Object::new(clerk.as_object().unwrap().clone());
    let event = Event {
        kind: "user.created".to_owned(),
        instance: None,
        timestamp: Some(at),
        at,
        client: Client::default(),
        impersonator: None,
        subject: Some(id.clone()),
        change: Change::UserSaved { id, updated_at: at, clerk },
        more: serde_json::Map::new(),
    };
    Delivery { id: format!("msg_{n}").parse().unwrap(), content: Ok(event) }
}

/// A data file with so many events, of which the target of the settings was told none.
async fn fill(data: &Path, events: u64) {
    let store = Store::open(data, 64 << 20, Policy::default(), Clock::system()).unwrap();
    let next = Arc::new(AtomicU64::new(0));
    let workers = (0..256).map(|_| {
        let (store, next) = (store.clone(), next.clone());
        tokio::spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= events {
                    break;
                }
                store.ingest(created(n)).await.unwrap();
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    store.put_course(TargetName::of_settings(), Course::default(), None).await.unwrap();
    store.close().await;
}

/// A line of what the system says of a process's memory, in MiB.
fn memory(process: u32, name: &str) -> f64 {
    let said = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = said.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

async fn taken(client: &reqwest::Client, url: &str) -> u64 {
    client.get(url).send().await.unwrap().text().await.unwrap().parse().unwrap()
}

async fn measure() {
    let events: u64 = std::env::var("FORWARD_EVENTS").map_or(100_000, |text| text.parse().unwrap());
    let base = std::env::var("FORWARD_DIR").map_or_else(|_| std::env::temp_dir(), Into::into);
    let dir = tempfile::tempdir_in(base).unwrap();
    let data = dir.path().join("forward.redb");
    fill(&data, events).await;

    let mut receiver = Command::new(std::env::current_exe().unwrap());
    receiver.env(ROLE, "1");
    let (_receiver, url) = start(receiver, "http://");
    let url = format!("http://{url}");
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let begun = Instant::now();
    let (server, _) = start(serve(&data, &url), "listening on ");
    let process = server.0.id();
    println!("| events taken | seconds | events/s so far | resident, MiB |");
    println!("| --- | --- | --- | --- |");
    let mut told = 0;
    loop {
        let count = taken(&client, &url).await;
        let seconds = begun.elapsed().as_secs_f64();
        if count * 10 / events > told * 10 / events || count >= events {
            println!("| {count} | {seconds:.1} | {:.0} | {:.1} |", count as f64 / seconds, memory(process, "VmRSS"));
            told = count;
        }
        if count >= events {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("\npeak of resident memory: {:.1} MiB", memory(process, "VmHWM"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    println!("told once more than needed: {}", taken(&client, &url).await - events);
}
