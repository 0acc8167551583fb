//! What every page of the admin's takes at size, on the real release binary over loopback, signed in as a browser would be:
//! first, second and last pages of lists, filters that find much, little and nothing, one user of whom there is very much.
//! Prints one table, and marks what is slower than 50 ms for one in a hundred, larger than 60 kB, or no page at all.
//!
//! `cargo bench --bench pages` ; settings by environment: `PAGES_USERS` (1000000), `PAGES_LOOKS` (entries besides those of
//! their webhooks, 300000), `PAGES_RUNS` (of each page, 300), `PAGES_DIR` (a folder for the data file, which stays and is
//! used again), `PAGES_ONLY` (a part of the address of those to be timed).
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
#![allow(clippy::cast_precision_loss)]

mod common;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::people::{T, created, event, id, ip, object};
use common::server::{Server, rollbook};
use common::{each, env, mixed, percentile};
use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::redirect::Policy as Redirects;
use reqwest::{Client as Http, Response};
use rollbook::audit::{Actor, Draft, Source};
use rollbook::clock::{Clock, Timestamp};
use rollbook::event::{Change, Delivery, ObjectKey, Reason, Unusable};
use rollbook::store::Store;
use rollbook::sync::Policy;
use rollbook::user::{ClerkId, UserId};
use serde_json::json;

const PASSWORD: &str = "eleven quiet brown owls";

/// A page that takes this long is got no more often.
const PATIENCE: Duration = Duration::from_secs(20);

/// The user of whom there is very much.
const RICH: &str = "user_rich";

/// So many sessions of theirs.
const SESSIONS: u64 = 200;

/// So many deliveries in quarantine.
const QUARANTINED: u64 = 10_000;

/// A session of the user of whom there is very much.
fn session(n: u64) -> Delivery {
    let (id, key): (ClerkId, ClerkId) = (RICH.parse().unwrap(), format!("sess_{n}").parse().unwrap());
    let at = T + i64::try_from(n).unwrap() * 60_000;
    let body = json!({
        "object": "session", "id": key.as_str(), "user_id": RICH, "client_id": format!("client_{n}"),
        "status": if n.is_multiple_of(3) { "active" } else { "ended" }, "created_at": at, "updated_at": at,
        "last_active_at": at, "expire_at": at + 604_800_000, "abandon_at": at + 2_592_000_000_i64,
        "latest_activity": {
            "id": format!("sess_activity_{n}"), "object": "session_activity", "ip_address": ip(n), "is_mobile": false,
            "browser_name": "Firefox", "browser_version": "150.0", "device_type": "Linux", "city": "Umeå", "country": "SE",
        },
    });
    let change = Change::ObjectSaved {
        key: ObjectKey { kind: "session".to_owned(), id: key },
        updated_at: Timestamp::from_millis(at),
        parents: vec![ObjectKey { kind: "user".to_owned(), id: id.clone() }],
        signed_in_at: Some(Timestamp::from_millis(at)),
        body: object(&body),
    };
    Delivery {
        id: format!("msg_session_{n}").parse().unwrap(),
        content: Ok(event("session.created", at, n, &id, change)),
    }
}

fn unusable(n: u64) -> Delivery {
    let body = format!("{{ \"type\": \"user.created\", \"data\": {{ \"id\": \"user_{n}\", {}", "\"x\": 1, ".repeat(40));
    let unusable = Unusable { reason: Reason::Unparsable, kind: None, body };
    Delivery { id: format!("msg_unusable_{n}").parse().unwrap(), content: Err(unusable) }
}

/// An entry of somebody who looked, was refused or changed something.
fn look(n: u64, users: u64) -> Draft {
    let dice = mixed(n + 77);
    let about = id(mixed(dice) % users);
    let by = |action: &str, actor: &str, source| Draft::new(action, actor.parse().unwrap(), source);
    let draft = match dice % 100 {
        0..50 => by(
            "user.read",
            ["key:key_0123456789abcdef", "key:key_00000000000000aa"][usize::from(dice & 256 > 0)],
            Source::Api,
        )
        .about(&about),
        50..70 => Draft::new("user.audit_read", Actor::User(id((dice >> 20) % users)), Source::Api).about(&about),
        70..85 => by("users.listed", "admin:ada", Source::Admin),
        85..95 => by("audit.listed", "admin:ben", Source::Admin),
        95..99 => by("api.denied", "anonymous", Source::Api),
        _ => by("user.read", "cli", Source::Cli).about(&about),
    };
    // Ada sits in an office, the servers in a row, and the others anywhere.
    let address = match dice % 100 {
        0..50 => format!("2001:db8::{:x}", (dice >> 40) % 16),
        70..85 => "192.0.2.7".to_owned(),
        _ => ip(dice >> 12),
    };
    draft.with("ip", Some(address)).with("user_agent", Some("curl/8.20.0"))
}

/// Hands in so many deliveries.
async fn hand_in(store: &Store, what: &str, count: u64, nth: impl Fn(u64) -> Delivery + Clone + Send + 'static) {
    let store = store.clone();
    each(what, count, move |n| {
        let (store, delivery) = (store.clone(), nth(n));
        async move { assert!(store.ingest(delivery).await.is_ok()) }
    })
    .await;
}

async fn fill(path: &Path, users: u64, looks: u64) {
    let store = Store::open(path, 256 << 20, Policy::default(), Clock::system()).unwrap();
    hand_in(&store, "users", users, |n| created(&id(n), n, &json!({}))).await;
    hand_in(&store, "user of whom there is much", 1, move |n| {
        let notes: Vec<String> = (0..2_000).map(|n| format!("a note about something, number {n:08}")).collect();
        created(&RICH.parse().unwrap(), n, &json!({ "notes": notes }))
    })
    .await;
    hand_in(&store, "sessions of theirs", SESSIONS, session).await;
    hand_in(&store, "deliveries into quarantine", QUARANTINED, unusable).await;
    let at = store.clone();
    each("other entries", looks, move |n| {
        let (store, draft) = (at.clone(), look(n, users));
        async move { store.record(draft).await.unwrap() }
    })
    .await;
    store.close().await;
}

/// A browser with the cookie of an admin's session.
struct Browser {
    http: Http,
    base: String,
    cookie: String,
}

impl Browser {
    /// Follows a new link, and sets a password.
    async fn sign_in(server: &Server, data: &Path) -> Self {
        let link = rollbook(data).args(["admin", "link"]).output().unwrap();
        let said = String::from_utf8(link.stdout).unwrap();
        let token = said.split("token=").nth(1).unwrap().split_whitespace().next().unwrap();
        let http = Http::builder().redirect(Redirects::none()).build().unwrap();
        let base = format!("http://{}", server.address);
        let form =
            serde_urlencoded::to_string([("token", token), ("password", PASSWORD), ("again", PASSWORD)]).unwrap();
        let answer = http
            .post(format!("{base}/admin/setup"))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin")
            .body(form)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 303, "the link did not let in");
        let cookie = answer.headers()[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned();
        Self { http, base, cookie }
    }

    async fn get(&self, path: &str) -> Response {
        let request = self.http.get(format!("{}{path}", self.base)).header(COOKIE, &self.cookie);
        request.header("sec-fetch-site", "same-origin").send().await.unwrap()
    }

    /// Where the first link on the page at `path` leads to that has `mark` in it.
    async fn link(&self, path: &str, mark: &str) -> Option<String> {
        let page = self.get(path).await.text().await.unwrap();
        let link = page.split("<a ").skip(1).find(|link| link.split('>').next().unwrap().contains(mark))?;
        let address = link.split("href=\"").nth(1)?.split('"').next()?;
        Some(address.replace("&#38;", "&").replace("&amp;", "&"))
    }
}

/// Addresses that are timed as they are. New pages go here.
const ADDRESSES: &[&str] = &[
    "/admin/",
    "/admin/?span=30d",
    "/admin/users",
    "/admin/users?query=ha",
    "/admin/users?query=jansen.5",
    "/admin/users?query=nobody",
    "/admin/users?deleted=true",
    "/admin/users?role=ADMIN",
    "/admin/users?cursor=u0145f680b00070009000000000000000",
    "/admin/audit",
    "/admin/audit?cursor=a000000000000000a",
    "/admin/audit?action=user.created",
    "/admin/audit?action=user.*",
    "/admin/audit?action=user.erased",
    "/admin/audit?action=nothing.*",
    "/admin/audit?subject=user_rich",
    "/admin/audit?subject=user_nobody",
    "/admin/audit?from=2020-01-01&to=2020-02-01",
    "/admin/audit?actor=clerk",
    "/admin/audit?actor=cli",
    "/admin/audit?actor=admin:ada",
    "/admin/audit?actor=admin:nobody",
    "/admin/audit?actor=key:key_0123456789abcdef",
    "/admin/audit?actor=user_rich",
    "/admin/audit?address=192.0.2.7",
    "/admin/audit?address=203.0.113.1",
    "/admin/audit?address=198.51.7.7",
    "/admin/audit?actor=admin:ada&address=2001:db8::1",
    "/admin/audit?actor=admin:ada&address=192.0.2.7&action=audit.*",
    "/admin/audit?actor=admin:ada&action=user.*",
    "/admin/audit?actor=clerk&action=users.listed",
    "/admin/audit?actor=clerk&address=2001:db8::1",
    "/admin/audit?subject=user_rich&address=198.51.7.7&action=session.*&actor=clerk",
    "/admin/audit/5",
    "/admin/audit/1000000",
    "/admin/audit/1000000/proof",
    "/admin/quarantine",
    "/admin/quarantine?cursor=q000000000000000a",
    "/admin/deliveries",
    "/admin/deliveries?span=30d",
    "/admin/deliveries?outcome=quarantined",
    "/admin/deliveries?outcome=duplicate",
    "/admin/system",
    "/admin/settings",
    "/admin/log",
    "/admin/backups",
    "/admin/keys",
    "/admin/admins",
    "/admin/password",
];

/// The addresses of what there is of one user; for the one of whom there is very much, all of them.
fn of_users() -> Vec<String> {
    let (rich, someone) = (UserId::of(&RICH.parse().unwrap()), UserId::of(&id(7)));
    let of_rich = ["", "/object", "/delete", "/erase"].map(|page| format!("/admin/users/{rich}{page}"));
    std::iter::once(format!("/admin/users/{someone}")).chain(of_rich).collect()
}

/// Lists of which the second page is timed as well.
const LISTS: [&str; 5] = [
    "/admin/users",
    "/admin/users?query=ha",
    "/admin/audit",
    "/admin/audit?actor=admin:ada&address=192.0.2.7",
    "/admin/quarantine",
];

/// What the page at an address took in milliseconds, in order.
struct Timed {
    path: String,
    status: u16,
    bytes: usize,
    taken: Vec<f64>,
}

impl Timed {
    async fn of(browser: &Browser, path: &str, runs: u64) -> Self {
        let mut timed = Self { path: path.to_owned(), status: 0, bytes: 0, taken: Vec::new() };
        let (all, mut run) = (Instant::now(), 0);
        while run < runs && all.elapsed() < PATIENCE {
            run += 1;
            let begun = Instant::now();
            let answer = browser.get(path).await;
            timed.status = answer.status().as_u16();
            timed.bytes = timed.bytes.max(answer.bytes().await.unwrap().len());
            timed.taken.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        timed.taken.sort_by(f64::total_cmp);
        timed
    }

    /// The slowest but for so many in a hundred.
    fn p(&self, percent: usize) -> f64 {
        percentile(&self.taken, percent)
    }

    fn marks(&self) -> String {
        let marks = [(self.p(99) > 50.0, "SLOW"), (self.bytes > 60_000, "LARGE"), (self.status != 200, "NO PAGE")];
        marks.into_iter().filter_map(|(is, mark)| is.then_some(mark)).collect::<Vec<_>>().join(" ")
    }
}

#[tokio::main]
async fn main() {
    let (users, looks, runs) = (env("PAGES_USERS", 1_000_000), env("PAGES_LOOKS", 300_000), env("PAGES_RUNS", 300));
    let temporary = tempfile::tempdir().unwrap();
    let folder = std::env::var_os("PAGES_DIR").map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let data = folder.join("pages.redb");
    if data.exists() {
        println!("{} is used as it is", data.display());
    } else {
        fill(&data, users, looks).await;
    }
    println!("file: {} MiB", std::fs::metadata(&data).unwrap().len() >> 20);

    let server = Server::start(&data, &[("ROLLBOOK_LOG", "info")]);
    let browser = Browser::sign_in(&server, &data).await;
    let mut paths: Vec<String> = ADDRESSES.iter().map(|path| (*path).to_owned()).chain(of_users()).collect();
    for list in LISTS {
        paths.extend(browser.link(list, "rel=\"next\"").await);
    }
    paths.extend(browser.link("/admin/quarantine", "\"/admin/quarantine/").await);
    let only = std::env::var("PAGES_ONLY").unwrap_or_default();
    paths.retain(|path| path.contains(&only));
    println!("{:<100} {:>6} {:>8} {:>8} {:>8} {:>8}", "", "status", "bytes", "p50 ms", "p99 ms", "max ms");
    for path in paths {
        let page = Timed::of(&browser, &path, runs).await;
        let Timed { path, status, bytes, .. } = &page;
        let (p50, p99, max) = (page.p(50), page.p(99), page.p(100));
        println!("{path:<100} {status:>6} {bytes:>8} {p50:>8.2} {p99:>8.2} {max:>8.2} {}", page.marks());
    }
}
