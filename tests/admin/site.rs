//! A running server with a clock that stands still, and a browser without a mind of its own.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use reqwest::header::{COOKIE, HOST, HeaderMap, LOCATION, SET_COOKIE};
use rollbook::api_key::{Scope, Scopes, Wanted};
use rollbook::audit::{Actor, Draft, Entry, Filter, Source};
use rollbook::clock::{Clock, Timestamp};
use rollbook::http::App;
use rollbook::http::admin::link;
use rollbook::page::PageRequest;
use rollbook::store::{Admin, AdminSession, TokenHash};
use rollbook::user::User;
use sha2::{Digest as _, Sha256};

use crate::common::{self, SECRET, TestServer, clerk_id, sign};

pub(crate) const PASSWORD: &str = "four plain grey mice";
pub(crate) const MINUTE: i64 = 60 * 1000;

/// [`PASSWORD`] as the server hashed it for the first site that was set up. Hashing costs much on purpose, so that for the
/// others it is put where the form puts it.
static HASHED: OnceLock<String> = OnceLock::new();

/// Where the browser is.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// When Clerk made the users of these tests.
const MADE: i64 = 1_716_883_200_000;

/// A server of its own for each test; it goes when this goes.
pub(crate) struct Site {
    pub(crate) app: App,
    pub(crate) clock: Clock,
    server: TestServer,
    host: Option<&'static str>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Site {
    /// Without a public URL.
    pub(crate) async fn start() -> Self {
        Self::start_at(None).await
    }

    /// As `https://{host}`, or on this machine alone.
    pub(crate) async fn start_at(host: Option<&'static str>) -> Self {
        let origin = host.map(|host| format!("https://{host}")).unwrap_or_default();
        Self::start_with(&[("ROLLBOOK_PUBLIC_URL", &origin)], host).await
    }

    /// With these settings, and seen by browsers as that host.
    pub(crate) async fn start_with(changed: &[(&str, &str)], host: Option<&'static str>) -> Self {
        let clock = Clock::fixed(Timestamp::from_millis(sign::now_seconds() * 1000));
        let server = TestServer::with_clock(changed, clock.clone()).await;
        Self { app: server.app.clone(), clock, server, host }
    }

    /// The same file and the same clock, with these settings.
    pub(crate) async fn restarted(self, changed: &[(&str, &str)]) -> Self {
        let Self { clock, server, host, app } = self;
        drop(app);
        let server = TestServer::open(server.stop().await, changed, clock.clone()).await;
        Self { app: server.app.clone(), clock, server, host }
    }

    /// The same, after something was done to its file.
    pub(crate) async fn tampered(self, change: impl FnOnce(&Path)) -> Self {
        let Self { app, clock, server, host } = self;
        drop(app);
        let data = server.data();
        let dir = server.stop().await;
        change(&data);
        let origin = host.map(|host| format!("https://{host}")).unwrap_or_default();
        let server = TestServer::open(dir, &[("ROLLBOOK_PUBLIC_URL", &origin)], clock.clone()).await;
        Self { app: server.app.clone(), clock, server, host }
    }

    /// With an admin called `ada`, signed in: the site and the session's cookie.
    pub(crate) async fn with_admin() -> (Self, String) {
        let site = Self::start().await;
        let cookie = site.set_up().await;
        (site, cookie)
    }

    /// Sets ada's password by a new link; the cookie of the session that opens.
    pub(crate) async fn set_up(&self) -> String {
        let token = self.mint().await;
        if let Some(hashed) = HASHED.get() {
            let (now, store) = (self.clock.now(), &self.app.store);
            let admin = Admin { name: "ada".to_owned(), password: hashed.clone(), changed_at: now, seen_at: Some(now) };
            let set = store.redeem_link(hash(&token), admin, now, ada("admin.password_set")).await.unwrap();
            return self.open_session(set.unwrap()).await;
        }
        let answer = self.post("/admin/setup", None, &setup(&token, PASSWORD)).await;
        assert_eq!((answer.status, answer.location()), (303, "/admin"), "{}", answer.body);
        // Of two who were first, either's will do.
        let _ = HASHED.set(self.app.store.admin("ada").unwrap().unwrap().password);
        answer.cookie()
    }

    /// Signs ada in from another browser, without the password being asked for; the cookie.
    pub(crate) async fn another_session(&self) -> String {
        self.open_session(self.clock.now()).await
    }

    async fn open_session(&self, opened_at: Timestamp) -> String {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).unwrap();
        let secret = URL_SAFE_NO_PAD.encode(secret);
        let (ip, used_at) = (Some(HERE), self.clock.now());
        let session = AdminSession { admin: "ada".to_owned(), opened_at, used_at, ip, user_agent: None };
        self.app.store.open_session(hash(&secret), session, ada("admin.signed_in")).await.unwrap();
        format!("__Host-rollbook={secret}")
    }

    /// The token of a new link for ada.
    pub(crate) async fn mint(&self) -> String {
        let origin = &self.app.settings.public_origin;
        let url = link::mint(&self.app.store, "ada", self.clock.now(), Actor::Cli, Source::Cli, origin).await.unwrap();
        url.strip_prefix(&format!("{origin}/admin/setup?token=")).unwrap().to_owned()
    }

    pub(crate) fn origin(&self) -> String {
        self.host.map_or_else(|| self.server.url(""), |host| format!("https://{host}"))
    }

    pub(crate) fn later(&self, millis: i64) {
        self.clock.set(self.clock.now().plus_millis(millis));
    }

    /// Stops the server; its folder goes with what this returns.
    pub(crate) async fn stop(self) -> tempfile::TempDir {
        drop(self.app);
        self.server.stop().await
    }

    /// What comes back for a form of our own page, byte for byte.
    pub(crate) async fn post_for_bytes(&self, path: &str, cookie: &str, form: &[(&str, &str)]) -> (HeaderMap, Vec<u8>) {
        let answer = self.open_post(path, cookie, form).await;
        (answer.headers().clone(), answer.bytes().await.unwrap().to_vec())
    }

    pub(crate) async fn get(&self, path: &str, cookie: Option<&str>) -> Answer {
        self.send(Method::GET, path, cookie, &[], None).await
    }

    /// A form as a browser sends one from our own page.
    pub(crate) async fn post(&self, path: &str, cookie: Option<&str>, form: &[(&str, &str)]) -> Answer {
        self.post_with(path, cookie, &[("sec-fetch-site", "same-origin"), ("origin", "null")], form).await
    }

    pub(crate) async fn post_with(
        &self,
        path: &str,
        cookie: Option<&str>,
        headers: &[(&str, &str)],
        form: &[(&str, &str)],
    ) -> Answer {
        let form = serde_urlencoded::to_string(form).unwrap();
        let urlencoded = ("content-type", "application/x-www-form-urlencoded");
        let mut all = headers.to_vec();
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            all.push(urlencoded);
        }
        self.send(Method::POST, path, cookie, &all, Some(form)).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        cookie: Option<&str>,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Answer {
        let mut request = self.server.request(method, path);
        if let Some(host) = self.host {
            request = request.header(HOST, host);
        }
        if let Some(cookie) = cookie {
            request = request.header(COOKIE, cookie);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let answer = common::Answer::of(request.send().await.unwrap()).await;
        Answer { status: answer.status.as_u16(), headers: answer.headers, body: answer.text }
    }

    /// An answer that is read while it comes.
    pub(crate) async fn open(&self, path: &str, cookie: &str, headers: &[(&str, &str)]) -> reqwest::Response {
        let request = self.server.request(Method::GET, path).header(COOKIE, cookie);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await.unwrap()
    }

    /// An answer to a form of our own page that is read while it comes.
    pub(crate) async fn open_post(&self, path: &str, cookie: &str, form: &[(&str, &str)]) -> reqwest::Response {
        let request = self.server.request(Method::POST, path).header(COOKIE, cookie).header("origin", self.origin());
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.body(serde_urlencoded::to_string(form).unwrap()).send().await.unwrap()
    }

    /// What the API answers to a key that may read the log.
    pub(crate) async fn api(&self, path: &str) -> serde_json::Value {
        let scopes = Scopes::new([Scope::AuditRead]).unwrap();
        let wanted = Wanted { name: "a reader".parse().unwrap(), scopes, expires_at: None };
        let draft = Draft::new("key.created", Actor::Cli, Source::Cli);
        let (_, secret) = self.app.store.create_api_key(wanted, draft).await.unwrap();
        self.server.get_as(secret.reveal(), path).await.json()
    }

    /// Delivers a body as Clerk would.
    pub(crate) async fn deliver(&self, id: &str, body: &str) {
        let headers = sign::sign(SECRET, id, sign::now_seconds(), body.as_bytes());
        let answer = self.server.post_signed(&headers, body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }

    /// Delivers the creation of a user with these particulars, and returns our address of them.
    pub(crate) async fn add_user(&self, id: &str, particulars: &serde_json::Value) -> String {
        let mut data = serde_json::json!({ "id": id, "object": "user", "created_at": MADE, "updated_at": MADE });
        data.as_object_mut().unwrap().extend(particulars.as_object().unwrap().clone());
        let event = serde_json::json!({ "type": "user.created", "object": "event", "data": data, "timestamp": MADE });
        self.deliver(&format!("msg_{id}"), &event.to_string()).await;
        format!("/admin/users/{}", rollbook::user::UserId::of(&clerk_id(id)))
    }

    /// The user as the store has them.
    pub(crate) fn user(&self, id: &str) -> User {
        self.server.user(id).unwrap()
    }

    /// The newest entries of the book.
    pub(crate) async fn entries(&self) -> Vec<Entry> {
        self.app.store.audit(Filter::default(), PageRequest::default()).await.unwrap().items
    }

    /// The newest entry of that action.
    pub(crate) async fn newest(&self, action: &str) -> Entry {
        self.entries().await.into_iter().find(|entry| entry.leaf.action == action).unwrap()
    }
}

/// What the store knows of the secret in a link or a cookie.
fn hash(secret: &str) -> TokenHash {
    Sha256::digest(URL_SAFE_NO_PAD.decode(secret).unwrap()).into()
}

/// That ada did something.
fn ada(action: &str) -> Draft {
    Draft::new(action, Actor::Admin("ada".to_owned()), Source::Admin).with("ip", Some(HERE.to_string()))
}

/// The fields of the set-up form.
pub(crate) fn setup<'a>(token: &'a str, password: &'a str) -> [(&'static str, &'a str); 3] {
    [("token", token), ("password", password), ("again", password)]
}

/// The fields of the sign-in form.
pub(crate) fn sign_in<'a>(name: &'a str, password: &'a str) -> [(&'static str, &'a str); 2] {
    [("name", name), ("password", password)]
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn location(&self) -> &str {
        self.header(LOCATION.as_str())
    }

    /// The cookie as a browser sends it back.
    pub(crate) fn cookie(&self) -> String {
        self.header(SET_COOKIE.as_str()).split(';').next().unwrap().to_owned()
    }
}
