//! The whole server on a port of its own, with a real data file, real signatures and real tokens.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, clippy::panic)]

pub mod sign;
pub mod tokens;
pub mod wait;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::LazyLock;

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use rollbook::clock::{Clock, Timestamp};
use rollbook::config::Config;
use rollbook::http::App;
use rollbook::server::{RunError, Server};
use rollbook::store::{By, UserPatch};
use rollbook::user::{ClerkId, User, UserId};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use self::tokens::{ISSUER, Issuer};

pub const SECRET: &str = "whsec_cm9sbGJvb2sgZml4dHVyZXMgc2lnbiB3aXRoIHRoaXM=";

/// Making an RSA key takes longer than most tests; they share one.
pub static CLERK: LazyLock<Issuer> = LazyLock::new(|| Issuer::new("ins_test"));

pub struct TestServer {
    pub address: SocketAddr,
    pub metrics: Option<SocketAddr>,
    pub redirect: Option<SocketAddr>,
    pub app: App,
    pub client: Client,
    dir: TempDir,
    stop: Option<oneshot::Sender<()>>,
    run: Option<JoinHandle<Result<(), RunError>>>,
}

/// The settings every test starts from.
pub fn settings(dir: &TempDir) -> Vec<(&'static str, String)> {
    vec![
        ("CLERK_WEBHOOK_SIGNING_SECRET", SECRET.to_owned()),
        ("CLERK_ISSUER", ISSUER.to_owned()),
        ("CLERK_JWT_KEY", CLERK.pem()),
        ("ROLLBOOK_LISTEN", "127.0.0.1:0".to_owned()),
        ("ROLLBOOK_DATA", dir.path().join("rollbook.redb").display().to_string()),
    ]
}

impl TestServer {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With some settings put in, or put in others' places; an empty value takes one out.
    pub async fn with(changed: &[(&str, &str)]) -> Self {
        Self::with_clock(changed, Clock::system()).await
    }

    pub async fn with_clock(changed: &[(&str, &str)], clock: Clock) -> Self {
        Self::open(tempfile::tempdir().unwrap(), changed, clock).await
    }

    pub async fn open(dir: TempDir, changed: &[(&str, &str)], clock: Clock) -> Self {
        let settings = settings(&dir);
        let get = |name: &str| {
            let changed = changed.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
            changed.or_else(|| settings.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone()))
        };
        let server = Server::bind(Config::read(get).unwrap(), clock).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (address, metrics, app) = (server.address(), server.metrics_address(), server.app().clone());
        let redirect = server.redirect_address();
        let run = tokio::spawn(server.run(async move { drop(stopped.await) }));
        let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { address, metrics, redirect, app, client, dir, stop: Some(stop), run: Some(run) }
    }

    /// Stops the server and gives back the folder with its data file.
    pub async fn stop(mut self) -> TempDir {
        drop(self.stop.take());
        self.run.take().unwrap().await.unwrap().unwrap();
        self.dir
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("rollbook.redb")
    }

    pub fn url(&self, path: &str) -> String {
        let scheme = if self.app.settings.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path).send().await.unwrap()).await
    }

    pub async fn get_as(&self, token: &str, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path).bearer_auth(token).send().await.unwrap()).await
    }

    /// Delivers an event under a fresh message id.
    pub async fn deliver(&self, event: &Value) -> Answer {
        self.deliver_as(&sign::fresh_id(), event).await
    }

    pub async fn deliver_as(&self, id: &str, event: &Value) -> Answer {
        self.post_signed(&sign::sign(SECRET, id, sign::now_seconds(), event.to_string().as_bytes()), &event.to_string())
            .await
    }

    pub async fn post_signed(&self, headers: &[(&'static str, String)], body: &str) -> Answer {
        let request = self.request(Method::POST, "/api/webhooks/clerk").body(body.to_owned());
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        Answer::of(request.send().await.unwrap()).await
    }

    /// What became of an event that must be taken.
    pub async fn outcome(&self, event: &Value) -> String {
        let answer = self.deliver(event).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.json()["outcome"].as_str().unwrap().to_owned()
    }

    /// The user as the store has them.
    pub fn user(&self, id: &str) -> Option<User> {
        self.app.store.user(UserId::of(&clerk_id(id))).unwrap()
    }

    /// A token of that user's, who is made an admin first.
    pub async fn admin(&self, id: &str) -> String {
        let token = token(id);
        assert_eq!(self.get_as(&token, "/api/auth/me").await.status, StatusCode::OK);
        let patch = UserPatch { role: Some("ADMIN".parse().unwrap()), ..UserPatch::default() };
        let by = By { actor: rollbook::audit::Actor::Cli, source: rollbook::audit::Source::Cli };
        let entry = by.entry("user.assigned");
        self.app.store.set_user(UserId::of(&clerk_id(id)), patch, None, entry).await.unwrap().unwrap();
        token
    }

    /// All entries of the log, oldest first.
    pub async fn entries(&self) -> Vec<rollbook::audit::Entry> {
        let mut page = rollbook::page::PageRequest { limit: rollbook::page::Limit::MAX, cursor: None };
        let mut entries = Vec::new();
        loop {
            let found = self.app.store.audit(rollbook::audit::Filter::default(), page.clone()).await.unwrap();
            entries.extend(found.items);
            match found.next_cursor {
                Some(cursor) => page.cursor = Some(cursor),
                None => break,
            }
        }
        entries.reverse();
        entries
    }

    /// How many entries have that action.
    pub async fn count(&self, action: &str) -> usize {
        self.entries().await.iter().filter(|entry| entry.leaf.action == action).count()
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    pub async fn of(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, text: response.text().await.unwrap() }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub fn clerk_id(id: &str) -> ClerkId {
    id.parse().unwrap()
}

/// A token of that user's, good for an hour from now: Clerk's are good for a minute, in which nothing here has to be done.
pub fn token(id: &str) -> String {
    let now = sign::now_seconds();
    CLERK.mint(&tokens::with(&tokens::claims(id, now), "exp", now + 3600))
}

pub fn now() -> Timestamp {
    Clock::system().now()
}

/// A user event: one address, the name, and when it was last changed.
pub fn user_event(kind: &str, id: &str, updated_at: i64, first_name: &str) -> Value {
    json!({
        "type": kind, "object": "event", "timestamp": updated_at + 5, "instance_id": "ins_test",
        "data": {
            "object": "user", "id": id, "first_name": first_name, "last_name": "Tester", "username": null,
            "primary_email_address_id": "idn_1",
            "email_addresses": [{
                "id": "idn_1", "email_address": format!("{}@example.org", id.to_lowercase()),
                "verification": { "status": "verified", "strategy": "email_code" },
            }],
            "public_metadata": { "plan": "x" }, "private_metadata": { "note": "for admins" }, "unsafe_metadata": {},
            "banned": false, "locked": false, "created_at": 1_700_000_000_000_i64, "updated_at": updated_at,
            "last_sign_in_at": null,
        },
    })
}

pub fn deleted_event(id: &str, at: i64) -> Value {
    json!({
        "type": "user.deleted", "object": "event", "timestamp": at, "instance_id": "ins_test",
        "data": { "object": "user", "id": id, "deleted": true },
    })
}

/// A session of a user's that lasts for an hour from now.
pub fn session_event(kind: &str, user: &str, id: &str, status: &str) -> Value {
    let now = sign::now_seconds() * 1000;
    json!({
        "type": kind, "object": "event", "timestamp": now, "instance_id": "ins_test",
        "data": {
            "object": "session", "id": id, "user_id": user, "client_id": "client_1", "status": status,
            "created_at": now, "updated_at": now, "last_active_at": now, "expire_at": now + 3_600_000,
            "abandon_at": now + 7_200_000,
        },
    })
}
