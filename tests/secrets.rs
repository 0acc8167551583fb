//! Secrets used in a whole day of the real program, and then looked for in everything it wrote and said: the data
//! file, standard output and error at the chattiest level, every answer.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::tokens::{ISSUER, claims, with};
use common::{CLERK, sign, user_event};
use reqwest::{Client, Method, RequestBuilder};
use rollbook::clock::Clock;
use rollbook::stand_in::StandIn;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Nothing here takes this long. What does is a failure, not a slow machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// When Clerk's events were, in milliseconds.
const T: i64 = 1_750_000_000_000;

/// Words that stand for secrets. Whoever keeps or repeats one has kept or repeated a secret.
const SIGNING: &str = "CANARY-signing-secret-of-clerk-0";
const PASSWORD: &str = "CANARY-password of four words";
const WRONG_PASSWORD: &str = "CANARY-wrong-password";
const CLAIM: &str = "CANARY-claim";
const BODY: &str = "CANARY-unsigned-body";
const API_KEY: &str = "sk_test_CANARYkeyOfClerksApi";
const FORWARDING: &str = "CANARY-secret-of-a-service-told";

/// The program, serving.
struct Program {
    child: Child,
    address: String,
    output: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Program {
    fn start(home: &Path, logs: &Path, form: &str, outside: &Outside) -> Self {
        let mut command = rollbook(home);
        command.arg("serve").env("ROLLBOOK_LOG", "trace").env("ROLLBOOK_LOG_FORMAT", form).env("RUST_BACKTRACE", "1");
        command.env("CLERK_WEBHOOK_SIGNING_SECRET", secret()).env("CLERK_ISSUER", ISSUER);
        command.env("CLERK_JWT_KEY", CLERK.pem()).env("ROLLBOOK_LISTEN", "127.0.0.1:0");
        command.env("CLERK_SECRET_KEY", outside.clerk.secret_key()).env("CLERK_API_URL", &outside.clerk.url);
        command.env("ROLLBOOK_FORWARD_URL", &outside.service).env("ROLLBOOK_FORWARD_SECRET", key_of(FORWARDING));
        command.env("ROLLBOOK_FORWARD_KIND", "api").env("ROLLBOOK_FORWARD_BEARER", "true");
        command.env("ROLLBOOK_FORWARD_PRIVATE", "127.0.0.0/8");
        let errors = File::options().create(true).append(true).open(logs.join("stderr")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(errors).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (tell, listening) = mpsc::channel();
        let output = Arc::new(Mutex::new(String::new()));
        let page = Arc::clone(&output);
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(address) = line.strip_prefix("listening on ") {
                    tell.send(address.to_owned()).unwrap();
                }
                *page.lock().unwrap() += &(line + "\n");
            }
        });
        // Ends with an error when the program does.
        let address =
            listening.recv().unwrap_or_else(|_| panic!("{}", fs::read_to_string(logs.join("stderr")).unwrap()));
        Self { child, address, output, reader: Some(reader) }
    }

    /// Asks it to stop, as a supervisor does; what it said on standard output.
    fn stop(mut self) -> String {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(asked.success() && self.child.wait().unwrap().success());
        self.reader.take().unwrap().join().unwrap();
        self.output.lock().unwrap().clone()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program with nothing set but where the data are.
fn rollbook(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollbook"));
    command.env_clear().current_dir(home).env("ROLLBOOK_DATA", home.join("rollbook.redb"));
    command
}

/// What a command that must succeed prints.
fn printed(home: &Path, arguments: &[&str]) -> String {
    let output = rollbook(home).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn secret() -> String {
    key_of(SIGNING)
}

fn key_of(word: &str) -> String {
    format!("whsec_{}", STANDARD.encode(word))
}

/// Whom the program calls: Clerk, and a service that is told of what happens and keeps what it hears.
struct Outside {
    clerk: StandIn,
    service: String,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Outside {
    async fn build() -> Self {
        let clerk = StandIn::start("ins_test", Clock::system()).await.unwrap();
        for id in ["user_1", "user_2", "user_3"] {
            let user = user_event("user.updated", id, T, "Ann")["data"].take();
            clerk.put_user(user.as_object().unwrap().clone()).unwrap();
        }
        clerk.apply(&session()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let service = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ears = Arc::clone(&heard);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(hear(stream, Arc::clone(&ears)));
            }
        });
        Self { clerk, service, heard }
    }

    /// The newest session token that the service was called with, once there is one.
    async fn bearer(&self) -> String {
        let since = Instant::now();
        loop {
            let heard = String::from_utf8(self.heard.lock().unwrap().clone()).unwrap();
            if let Some((_, token)) = heard.rsplit_once("authorization: Bearer ")
                && let Some((token, _)) = token.split_once("\r\n")
            {
                return token.to_owned();
            }
            assert!(since.elapsed() < PATIENCE, "no call with a token: {heard}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Keeps what is said, and answers a request that it was taken, once it is whole: nobody says the rest to who has answered.
async fn hear(mut stream: TcpStream, heard: Arc<Mutex<Vec<u8>>>) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !is_whole(&request) && stream.read_buf(&mut request).await? > 0 {}
    heard.lock().unwrap().extend_from_slice(&request);
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await
}

fn is_whole(request: &[u8]) -> bool {
    let request = String::from_utf8_lossy(request);
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.is_none_or(|length| body.len() >= length.parse().unwrap())
}

/// A session of somebody's that lasts.
fn session() -> Value {
    let end = (sign::now_seconds() + 86_400) * 1000;
    json!({
        "type": "session.created", "object": "event", "timestamp": T, "instance_id": "ins_test",
        "data": {
            "object": "session", "id": "sess_1", "user_id": "user_1", "client_id": "client_1", "status": "active",
            "created_at": T, "updated_at": T, "last_active_at": T, "expire_at": end, "abandon_at": end,
        },
    })
}

/// A client that keeps everything it is answered.
struct Visitor {
    client: Client,
    address: String,
    heard: String,
}

impl Visitor {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.address))
    }

    async fn hear(&mut self, status: u16, request: RequestBuilder) -> String {
        self.hear_all(status, request).await.1
    }

    /// The cookie that comes with the answer, which is its holder's, and the body.
    async fn hear_all(&mut self, status: u16, request: RequestBuilder) -> (String, String) {
        let answer = request.send().await.unwrap();
        let (found, url, mut headers) =
            (answer.status().as_u16(), answer.url().path().to_owned(), answer.headers().clone());
        let cookie = headers.remove("set-cookie").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        let body = answer.text().await.unwrap();
        assert_eq!(found, status, "{url}: {body}");
        writeln!(self.heard, "{found} {headers:?}\n{body}").unwrap();
        (cookie.split(';').next().unwrap().to_owned(), body)
    }

    async fn get(&mut self, status: u16, path: &str) -> String {
        self.hear(status, self.request(Method::GET, path)).await
    }

    async fn get_as(&mut self, status: u16, token: &str, path: &str) -> String {
        self.hear(status, self.request(Method::GET, path).bearer_auth(token)).await
    }

    fn form(&self, path: &str, cookie: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let body = serde_urlencoded::to_string(fields).unwrap();
        let request = self.request(Method::POST, path).header("sec-fetch-site", "same-origin").header("cookie", cookie);
        request.header("content-type", "application/x-www-form-urlencoded").body(body)
    }

    async fn deliver(&mut self, status: u16, secret: &str, body: String) -> String {
        let headers = sign::sign(secret, &sign::fresh_id(), sign::now_seconds(), body.as_bytes());
        let request = self.request(Method::POST, "/api/webhooks/clerk").body(body);
        self.hear(status, headers.iter().fold(request, |request, (name, value)| request.header(*name, value))).await;
        headers[2].1.strip_prefix("v1,").unwrap().to_owned()
    }
}

/// Everything a secret can be part of, and where it is looked for afterwards.
struct Hunt {
    secrets: Vec<(&'static str, String)>,
    places: Vec<(String, Vec<u8>)>,
}

impl Hunt {
    /// The secret, and what of it would give it away.
    fn token(&mut self, name: &'static str, token: &str) {
        let (signed, signature) = token.rsplit_once('.').unwrap();
        self.secrets.push((name, signature.to_owned()));
        self.secrets.push((name, signed.split_once('.').unwrap().1.to_owned()));
    }

    fn contains(&self, place: &str, text: &str) -> bool {
        self.places.iter().filter(|(name, _)| name.contains(place)).any(|(_, bytes)| is_in(bytes, text))
    }
}

fn is_in(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// A day of everybody who has a secret to show, in the right place and in wrong ones.
async fn day(visitor: &mut Visitor, hunt: &mut Hunt, home: &Path, outside: &Outside, n: usize) {
    let now = sign::now_seconds();
    let said = with(&claims("user_1", now), "note", CLAIM);
    let good = CLERK.mint(&said);
    let expired = CLERK.mint(&with(&said, "exp", now - 60));
    let pending = CLERK.mint(&with(&with(&said, "sub", "user_2"), "sts", "pending"));
    for (name, token) in [("a token", &good), ("an expired token", &expired), ("a pending token", &pending)] {
        hunt.token(name, token);
    }
    outside.heard.lock().unwrap().clear();
    webhooks(visitor, hunt, n).await;
    hunt.token("a token made for a call", &outside.bearer().await);
    let unheard = CLERK.mint(&claims("user_3", now));
    assert!(visitor.get_as(200, &unheard, "/api/auth/me").await.contains("\"source\":\"sync\""));
    printed(home, &["users", "set", "user_1", "--role", "ADMIN"]);
    for path in
        ["/api/auth/me", "/api/session", "/api/users", "/api/users/user_2", "/api/audit", "/api/users/user_1/audit"]
    {
        visitor.get_as(200, &good, path).await;
        visitor.get_as(401, &expired, path).await;
        visitor.get_as(403, &pending, path).await;
        visitor.get_as(401, &good[..good.len() - 4], path).await;
    }
    misplaced(visitor, &good).await;
    key(visitor, hunt, home).await;
    admin(visitor, hunt, home).await;
    let link = printed(home, &["actor-token", "user_1", "--reason", "Somebody asked"]);
    let token = redeemed(hunt, link.trim()).await;
    visitor.get_as(401, &token, "/api/auth/me").await;
}

/// The session token that such a link leads to; both are secrets.
async fn redeemed(hunt: &mut Hunt, link: &str) -> String {
    hunt.secrets.push(("a link that signs in", link.split_once("ticket=").unwrap().1.to_owned()));
    let page = reqwest::get(link).await.unwrap().text().await.unwrap();
    let words = page.split(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)));
    let token = words.into_iter().find(|word| word.starts_with("eyJ")).unwrap().to_owned();
    hunt.token("an impersonator's token", &token);
    token
}

async fn webhooks(visitor: &mut Visitor, hunt: &mut Hunt, n: usize) {
    visitor.deliver(200, &secret(), session().to_string()).await;
    for id in ["user_1", "user_2"] {
        let body = user_event("user.updated", id, T + i64::try_from(n).unwrap(), &format!("Ann {n}")).to_string();
        let signature = visitor.deliver(200, &secret(), body).await;
        hunt.secrets.push(("a webhook's signature", signature));
    }
    visitor.deliver(200, &secret(), "{ no JSON".to_owned()).await;
    let another = format!("whsec_{}", STANDARD.encode("another secret of 24 bytes"));
    visitor.deliver(401, &another, format!("{{\"x\":\"{BODY}\"}}")).await;
    let posted = visitor.request(Method::POST, "/api/webhooks/clerk").body(BODY).header("svix-id", secret());
    visitor.hear(400, posted).await;
}

/// Secrets where they do not belong: a log would be glad to have them there.
async fn misplaced(visitor: &mut Visitor, token: &str) {
    for path in ["/api/auth/me", "/api/users", "/api/audit"] {
        visitor.get(401, &format!("{path}?token={token}")).await;
        for query in [format!("token={token}"), token.to_owned(), format!("limit={token}"), format!("cursor={token}")] {
            visitor.get_as(400, token, &format!("{path}?{query}")).await;
        }
        for query in [format!("include={token}"), format!("deleted={}", secret()), format!("from={API_KEY}")] {
            visitor.get_as(400, token, &format!("{path}?{query}")).await;
        }
    }
    visitor.get(404, &format!("/{token}")).await;
    visitor.get_as(404, token, &format!("/api/users/{API_KEY}")).await;
    visitor.hear(405, visitor.request(Method::DELETE, &format!("/api/audit?{token}")).bearer_auth(token)).await;
    let basic = visitor.request(Method::GET, "/api/auth/me").basic_auth("ann", Some(WRONG_PASSWORD));
    visitor.hear(401, basic).await;
    let two = visitor.request(Method::GET, "/api/auth/me").bearer_auth(token).bearer_auth(token);
    visitor.hear(401, two).await;
    let cookie = visitor.request(Method::GET, "/api/auth/me").header("cookie", format!("__session={token}"));
    visitor.hear(401, cookie).await;
    visitor.hear(401, visitor.request(Method::GET, "/api/auth/me").bearer_auth(secret())).await;
    let elsewhere = visitor.request(Method::GET, "/api/auth/me").bearer_auth(token).header("host", "evil.example");
    visitor.hear(421, elsewhere).await;
}

/// An API key, in the right place and in wrong ones.
async fn key(visitor: &mut Visitor, hunt: &mut Hunt, home: &Path) {
    let secret = printed(home, &["keys", "create", "--name", "a server", "--scope", "users:read"]);
    let secret = secret.trim();
    visitor.get_as(200, secret, "/api/users").await;
    visitor.get_as(403, secret, "/api/audit").await;
    visitor.get_as(403, secret, "/api/auth/me").await;
    visitor.get_as(401, &secret[..secret.len() - 1], "/api/users").await;
    visitor.get_as(400, secret, &format!("/api/users?token={secret}")).await;
    visitor.get_as(404, secret, &format!("/api/users/{secret}")).await;
    visitor.get(401, &format!("/api/users?key={secret}")).await;
    let list = printed(home, &["keys", "list"]);
    printed(home, &["keys", "revoke", list.lines().nth(1).unwrap().split(' ').next().unwrap()]);
    visitor.get_as(401, secret, "/api/users").await;
    hunt.secrets.push(("an API key", secret.trim_start_matches("rbk_").to_owned()));
}

/// The admin's link, password and cookie.
async fn admin(visitor: &mut Visitor, hunt: &mut Hunt, home: &Path) {
    let link = printed(home, &["admin", "link"]);
    let token = link.trim().rsplit_once("token=").unwrap().1.to_owned();
    // The form sends the link's secret back, so the page holds it; nobody else hears of that page.
    let heard = std::mem::take(&mut visitor.heard);
    let page = visitor.get(200, &format!("/admin/setup?token={token}")).await;
    assert!(page.contains(&token));
    let weak = [("token", token.as_str()), ("password", WRONG_PASSWORD), ("again", PASSWORD)];
    let page = visitor.hear(400, visitor.form("/admin/setup", "", &weak)).await;
    assert!(!page.contains("CANARY"));
    visitor.heard = heard;
    let set = [("token", token.as_str()), ("password", PASSWORD), ("again", PASSWORD)];
    let (first, _) = visitor.hear_all(303, visitor.form("/admin/setup", "", &set)).await;
    visitor.hear(403, visitor.form("/admin/setup", "", &set)).await;
    visitor.get(403, &format!("/admin/setup?token={token}")).await;
    let enter = |password| [("name", "admin"), ("password", password)];
    visitor.hear(401, visitor.form("/admin/sign-in", "", &enter(WRONG_PASSWORD))).await;
    visitor.hear(400, visitor.form("/admin/sign-in", "", &[("name", "admin"), (PASSWORD, PASSWORD)])).await;
    let (cookie, _) = visitor.hear_all(303, visitor.form("/admin/sign-in", "", &enter(PASSWORD))).await;
    for path in ["/admin", "/admin/users", "/admin/audit", "/admin/quarantine", "/admin/sign-in?password=x"] {
        let status = if path.contains('?') { 400 } else { 200 };
        let page = visitor.request(Method::GET, path).header("cookie", &cookie);
        visitor.hear(status, page).await;
    }
    visitor.hear(401, visitor.request(Method::GET, "/api/users").bearer_auth(&cookie)).await;
    act(visitor, hunt, &cookie).await;
    visitor.hear(303, visitor.form("/admin/sign-out", &cookie, &[])).await;
    visitor.hear(303, visitor.request(Method::GET, "/admin").header("cookie", &cookie)).await;
    for cookie in [first, cookie] {
        hunt.secrets.push(("an admin's cookie", cookie.split_once('=').unwrap().1.to_owned()));
    }
    hunt.secrets.push(("a link's secret", token));
}

/// A link that signs somebody in. It is on one page, which nobody else hears of.
async fn act(visitor: &mut Visitor, hunt: &mut Hunt, cookie: &str) {
    let fields = |password| [("reason", "Somebody asked"), ("actor", ""), ("password", password)];
    visitor.hear(403, visitor.form("/admin/users/user_2/act", cookie, &fields(WRONG_PASSWORD))).await;
    let heard = std::mem::take(&mut visitor.heard);
    let page = visitor.hear(200, visitor.form("/admin/users/user_2/act", cookie, &fields(PASSWORD))).await;
    visitor.heard = heard;
    let link = page.split("value=\"http").nth(1).unwrap().split('"').next().unwrap();
    redeemed(hunt, &format!("http{link}")).await;
    for path in ["/admin/users/user_2/act", "/admin/users/user_2", "/admin/audit", "/admin/settings", "/admin/targets"]
    {
        let page = visitor.request(Method::GET, path).header("cookie", cookie);
        visitor.hear(200, page).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_kept_or_repeated() {
    let (home, logs): (TempDir, TempDir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let words = [SIGNING, PASSWORD, WRONG_PASSWORD, CLAIM, BODY, API_KEY];
    let mut secrets: Vec<_> = words.map(|word| ("a word", word.to_owned())).into();
    secrets.push(("the signing secret", STANDARD.encode(SIGNING)));
    let outside = Outside::build().await;
    secrets.push(("Clerk's secret key", outside.clerk.secret_key().to_owned()));
    secrets.push(("a service's secret", STANDARD.encode(FORWARDING)));
    secrets.push(("a service's secret, decoded", FORWARDING.to_owned()));
    secrets.push(("a password, in Basic", STANDARD.encode(format!("ann:{WRONG_PASSWORD}"))));
    let mut hunt = Hunt { secrets, places: Vec::new() };
    for (n, form) in ["json", "text"].into_iter().enumerate() {
        let program = Program::start(home.path(), logs.path(), form, &outside);
        let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let mut visitor = Visitor { client, address: program.address.clone(), heard: String::new() };
        day(&mut visitor, &mut hunt, home.path(), &outside, n).await;
        let arguments = fs::read(format!("/proc/{}/cmdline", program.child.id())).unwrap_or_default();
        hunt.places.push((format!("arguments, {form}"), arguments));
        hunt.places.push((format!("answers, {form}"), visitor.heard.into_bytes()));
        hunt.places.push((format!("stdout, {form}"), program.stop().into_bytes()));
    }
    hunt.places.push(("stderr".to_owned(), fs::read(logs.path().join("stderr")).unwrap()));
    for file in fs::read_dir(home.path()).unwrap().map(|file| file.unwrap().path()) {
        hunt.places.push((file.display().to_string(), fs::read(&file).unwrap()));
    }
    // What should be there is found where it should be: the hunt can see.
    assert!(hunt.contains("rollbook.redb", "user_1@example.org") && hunt.contains("rollbook.redb", "$argon2id$"));
    assert!(hunt.contains("stdout, json", "\"event\":\"request.refused\""));
    assert!(hunt.contains("stdout, text", "request.refused") && hunt.contains("stdout, text", "api.denied"));
    assert!(hunt.contains("answers, json", "user_1@example.org") && hunt.contains("answers, text", "ERR_"));
    assert_eq!(hunt.secrets.len(), 11 + 2 * (6 + 2 + 2 + 1 + 3 + 3 + 3));
    for (place, bytes) in &hunt.places {
        for (name, secret) in &hunt.secrets {
            assert!(secret.len() > 10);
            let line = bytes.split(|byte| *byte == b'\n').find(|line| is_in(line, secret));
            assert_eq!(line.map(String::from_utf8_lossy), None, "{name} in {place}");
        }
    }
    // Nor are people to be found in the log lines.
    for person in ["user_1", "example.org", "Tester"] {
        assert!(!hunt.contains("stdout", person) && !hunt.contains("stderr", person), "{person}");
    }
}
