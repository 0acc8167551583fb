//! A running server with a clock that stands still, and a browser without a mind of its own.

use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::header::{COOKIE, HOST, HeaderMap, LOCATION, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Method, StatusCode};
use rollbook::audit::{Actor, Entry, Filter, Source};
use rollbook::clock::{Clock, Timestamp};
use rollbook::config::Config;
use rollbook::http::App;
use rollbook::http::admin::link;
use rollbook::page::PageRequest;
use rollbook::server::Server;
use svix::webhooks::Webhook;
use tempfile::TempDir;
use tokio::sync::oneshot;

pub(crate) const PASSWORD: &str = "four plain grey mice";
pub(crate) const MINUTE: i64 = 60 * 1000;
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A server of its own for each test; it goes when this goes.
pub(crate) struct Site {
    pub(crate) app: App,
    pub(crate) clock: Clock,
    address: SocketAddr,
    host: Option<&'static str>,
    client: reqwest::Client,
    _stop: oneshot::Sender<()>,
    _folder: TempDir,
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
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("rollbook.redb").to_str().unwrap().to_owned();
        let config = Config::read(|name| match name {
            "CLERK_WEBHOOK_SIGNING_SECRET" => Some(SECRET.to_owned()),
            "CLERK_ISSUER" => Some("https://clerk.example.com".to_owned()),
            "CLERK_JWKS_URL" => Some("http://127.0.0.1:9/jwks".to_owned()),
            "ROLLBOOK_LISTEN" => Some("127.0.0.1:0".to_owned()),
            "ROLLBOOK_DATA" => Some(data.clone()),
            "ROLLBOOK_PUBLIC_URL" => host.map(|host| format!("https://{host}")),
            _ => None,
        });
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let clock = Clock::fixed(Timestamp::from_millis(i64::try_from(now).unwrap()));
        let server = Server::bind(config.unwrap(), clock.clone()).await.unwrap();
        let (address, app) = (server.address(), server.app().clone());
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        let client = reqwest::Client::builder().redirect(Policy::none()).no_proxy().build().unwrap();
        Self { app, clock, address, host, client, _stop: stop, _folder: folder }
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
        let answer = self.post("/admin/setup", None, &setup(&token, PASSWORD)).await;
        assert_eq!((answer.status, answer.location()), (303, "/admin"), "{}", answer.body);
        answer.cookie()
    }

    /// The token of a new link for ada.
    pub(crate) async fn mint(&self) -> String {
        let origin = &self.app.settings.public_origin;
        let url = link::mint(&self.app.store, "ada", self.clock.now(), Actor::Cli, Source::Cli, origin).await.unwrap();
        url.strip_prefix(&format!("{origin}/admin/setup?token=")).unwrap().to_owned()
    }

    pub(crate) fn origin(&self) -> String {
        self.host.map_or_else(|| format!("http://{}", self.address), |host| format!("https://{host}"))
    }

    pub(crate) fn later(&self, millis: i64) {
        self.clock.set(self.clock.now().plus_millis(millis));
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
        let mut request = self.client.request(method, format!("http://{}{path}", self.address));
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
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        Answer { status: status.as_u16(), headers, body: answer.text().await.unwrap() }
    }

    /// Delivers an event as Clerk would.
    pub(crate) async fn deliver(&self, id: &str, body: &str) {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let signature =
            Webhook::new(SECRET).unwrap().sign(id, i64::try_from(seconds).unwrap(), body.as_bytes()).unwrap();
        let seconds = seconds.to_string();
        let headers = [
            ("content-type", "application/json"),
            ("svix-id", id),
            ("svix-timestamp", &seconds),
            ("svix-signature", &signature),
        ];
        let answer = self.send(Method::POST, "/api/webhooks/clerk", None, &headers, Some(body.to_owned())).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }

    /// Delivers the creation of a user with these particulars, and returns our address of them.
    pub(crate) async fn add_user(&self, clerk_id: &str, particulars: &serde_json::Value) -> String {
        let mut data = serde_json::json!({ "id": clerk_id, "object": "user", "created_at": 1_716_883_200_000_i64,
            "updated_at": 1_716_883_200_000_i64 });
        data.as_object_mut().unwrap().extend(particulars.as_object().unwrap().clone());
        let event = serde_json::json!({ "type": "user.created", "object": "event", "data": data,
            "timestamp": 1_716_883_200_000_i64, "instance_id": "ins_1" });
        self.deliver(&format!("msg_{clerk_id}"), &event.to_string()).await;
        format!("/admin/users/{}", rollbook::user::UserId::of(&clerk_id.parse().unwrap()))
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
