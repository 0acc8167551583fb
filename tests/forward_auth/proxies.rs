//! Rollbook and a site behind real proxies, with the configurations that are handed out.

use std::fs;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::{Client, RequestBuilder};
use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::common::SECRET;

const ROLLBOOK: &str = "rollbook.example.org";
const SITE: &str = "app.example.org";

/// From where the client comes: an address that is no proxy's.
const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

/// A proxy that runs, until it is dropped.
struct Proxy {
    child: Child,
    address: SocketAddr,
    client: Client,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Proxy {
    async fn start(command: &mut Command, address: SocketAddr) -> Self {
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        let client = Client::builder().no_proxy().local_address(CLIENT);
        let proxy =
            Self { child, address, client: client.redirect(reqwest::redirect::Policy::none()).build().unwrap() };
        let ready = async {
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), ready).await.unwrap();
        proxy
    }

    fn request(&self, method: Method, host: &str, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address)).header("host", host)
    }

    async fn get(&self, host: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request = self.request(Method::GET, host, path);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        Answer::of(request.send().await.unwrap()).await
    }
}

/// The site behind the proxy: answers with the headers that reached it.
async fn site() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(echo(stream));
        }
    });
    address
}

async fn echo(mut stream: TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let headers = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let headers: Map<String, Value> =
        headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().into())).collect();
    // Closed over what was not read, a connection is reset, and the answer may go with it.
    let length = headers.get("content-length").and_then(|length| length.as_str()?.parse().ok()).unwrap_or_default();
    let mut rest = vec![0; length];
    if stream.read_exact(&mut rest).await.is_err() {
        return;
    }
    let body = Value::Object(headers).to_string();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    let _ = stream.write_all(answer.as_bytes()).await;
}

/// The text with each of these put in another's place, each of which must be there.
fn replaced(text: &str, pairs: &[(&str, &str)]) -> String {
    pairs.iter().fold(text.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    })
}

fn handed_out(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)).unwrap()
}

async fn behind_proxy() -> TestServer {
    let changed = [("ROLLBOOK_PUBLIC_URL", "https://rollbook.example.org"), ("ROLLBOOK_TRUSTED_PROXIES", "127.0.0.1")];
    let server = TestServer::with(&changed).await;
    server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    let mut banned = user_event("user.created", "user_banned", T, "Ann");
    banned["data"]["banned"] = true.into();
    server.outcome(&banned).await;
    server
}

/// Who is asking, as the site heard it. An empty header says nobody.
fn heard(answer: &Answer) -> [String; 4] {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let headers = answer.json();
    NAMES.map(|name| headers[name].as_str().unwrap_or_default().to_owned())
}

/// What must hold behind any proxy.
async fn check(server: &TestServer, proxy: &Proxy) {
    let ann = [our_id("user_1"), "user_1".to_owned(), "user_1@example.org".to_owned(), "USER".to_owned()];
    let nobody: [String; 4] = Default::default();
    let (bearer, cookie) = (format!("Bearer {}", token("user_1")), format!("a=b; __session={}", token("user_1")));
    let forged = NAMES.map(|name| (name, "forged"));
    let with = |more: &[(&'static str, &'static str)], header: (&'static str, String)| {
        let mut headers: Vec<(&str, String)> = more.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        headers.push(header);
        headers
    };
    let ask = async |path: &str, headers: Vec<(&str, String)>| {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        proxy.get(SITE, path, &headers).await
    };
    for path in ["/", "/page?a=b", "/open/", "/open/page?a=b"] {
        assert_eq!(heard(&ask(path, with(&[], ("authorization", bearer.clone()))).await), ann, "{path}");
        assert_eq!(heard(&ask(path, with(&forged, ("cookie", cookie.clone()))).await), ann, "{path}");
        for (bad, expected) in [
            ("Bearer x.y.z".to_owned(), StatusCode::UNAUTHORIZED),
            (format!("Bearer {}", token("user_banned")), StatusCode::FORBIDDEN),
        ] {
            assert_eq!(ask(path, with(&forged, ("authorization", bad))).await.status, expected, "{path}");
        }
        let stranger = ask(path, with(&forged, ("cookie", "a=b".to_owned()))).await;
        if path.starts_with("/open/") {
            assert_eq!(heard(&stranger), nobody, "{path}");
        } else {
            assert_eq!(stranger.status, StatusCode::UNAUTHORIZED, "{path}");
        }
        // Somebody without an address that was verified cannot claim one.
        let new = format!("Bearer {}", token("user_new"));
        assert_eq!(heard(&ask(path, with(&forged, ("authorization", new))).await)[2], "", "{path}");
        // Nor in the spelling that some servers take for the same.
        let odd = ask(path, with(&[("X_Rollbook_Email", "forged")], ("authorization", bearer.clone()))).await;
        assert!(!odd.text.contains("forged"), "{path}: {}", odd.text);
    }
    let posted = proxy.request(Method::POST, SITE, "/").header("authorization", &bearer).body("x".repeat(10_000));
    assert_eq!(heard(&Answer::of(posted.send().await.unwrap()).await), ann);
    assert_eq!(proxy.get(SITE, "/_rollbook/required", &[]).await.header("x-rollbook-user"), "");

    webhooks_and_addresses(server, proxy).await;
    streams(server, proxy).await;
}

/// A stream of events comes through as it is told, and not when some buffer is full.
async fn streams(server: &TestServer, proxy: &Proxy) {
    let boss = server.admin("user_boss").await;
    let after = server.app.store.counts().entries - 1;
    let request = proxy.request(Method::GET, ROLLBOOK, &format!("/api/events?after={after}&types=user.created"));
    let request = request.bearer_auth(boss).header("accept", "text/event-stream");
    let (mut chunks, mut text) = (request.send().await.unwrap().bytes_stream(), String::new());
    for n in 0..3 {
        let id = format!("user_streamed_{n}");
        server.outcome(&user_event("user.created", &id, T, "Ann")).await;
        let told = async {
            while !text.contains(&id) {
                let chunk = chunks.next().await.unwrap().unwrap();
                text.push_str(std::str::from_utf8(&chunk).unwrap());
            }
        };
        tokio::time::timeout(Duration::from_mins(1), told).await.unwrap();
    }
}

/// Rollbook itself behind the proxy.
async fn webhooks_and_addresses(server: &TestServer, proxy: &Proxy) {
    let event = user_event("user.created", "user_hooked", T, "Ann").to_string();
    let headers = sign::sign(SECRET, &sign::fresh_id(), sign::now_seconds(), event.as_bytes());
    let request = proxy.request(Method::POST, ROLLBOOK, "/api/webhooks/clerk").body(event);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
    let answer = Answer::of(request.send().await.unwrap()).await;
    assert_eq!((answer.status, answer.json()["outcome"].as_str()), (StatusCode::OK, Some("applied")));
    let too_large = proxy.request(Method::POST, ROLLBOOK, "/api/webhooks/clerk").body("x".repeat((1 << 20) + 1));
    let answer = Answer::of(too_large.send().await.unwrap()).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (StatusCode::PAYLOAD_TOO_LARGE, "application/problem+json")
    );
    let admin = proxy.get(ROLLBOOK, "/admin", &[]).await;
    assert_eq!(admin.header("content-type"), "text/html; charset=utf-8");

    let boss = format!("Bearer {}", server.admin("user_boss").await);
    let headers = [("authorization", boss.as_str()), ("x-forwarded-for", "6.6.6.6")];
    assert_eq!(proxy.get(ROLLBOOK, "/api/users", &headers).await.status, StatusCode::OK);
    let look = server.entries().await.into_iter().rfind(|entry| entry.leaf.action == "users.listed").unwrap();
    assert_eq!(look.detail.unwrap()["ip"], CLIENT.to_string(), "the client's, and not what it says of itself");
    // Asked on the site's behalf, it is the site's client that is refused.
    let banned = format!("Bearer {}", token("user_banned"));
    let headers = [("authorization", banned.as_str()), ("x-forwarded-for", "6.6.6.6")];
    assert_eq!(proxy.get(SITE, "/", &headers).await.status, StatusCode::FORBIDDEN);
    let denial = server.entries().await.into_iter().rfind(|entry| entry.leaf.action == "api.denied").unwrap();
    assert_eq!(denial.detail.unwrap()["ip"], CLIENT.to_string());
}

/// Whether the program can be started at all; a line for whoever reads the tests' output when not.
#[expect(clippy::explicit_write, reason = "a passing test keeps to itself what it prints by macro")]
fn is_here(program: &str, version: &str) -> bool {
    let is_here = Command::new(program).arg(version).output().is_ok_and(|output| output.status.success());
    if !is_here {
        writeln!(std::io::stderr(), "SKIPPED {program}: not installed").unwrap();
    }
    is_here
}

#[tokio::test]
async fn nginx_with_the_configuration_handed_out() {
    let program = if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
    if !is_here(program, "-v") {
        return;
    }
    let (server, site, dir) = (behind_proxy().await, site().await, tempfile::tempdir().unwrap());
    let address = SocketAddr::from(([127, 0, 0, 1], port::free()));
    let listen = format!("    listen {address};");
    let (rollbook, site) = (server.address.to_string(), site.to_string());
    let pairs = [("    listen 80;", listen.as_str()), ("127.0.0.1:8080", &rollbook), ("127.0.0.1:3000", &site)];
    let text = handed_out("nginx.conf");
    let (comments, text) = text.split_once("\n\n").unwrap();
    assert!(comments.lines().all(|line| line.starts_with('#')));
    let folders: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("    {name}_temp_path {}/{name};\n", dir.path().display()))
        .concat();
    let whole = format!(
        "daemon off;\nmaster_process off;\npid {0}/pid;\nerror_log {0}/error.log;\nevents {{}}\nhttp {{\n    \
         access_log off;\n{folders}{1}\n}}\n",
        dir.path().display(),
        replaced(text, &pairs)
    );
    let path = dir.path().join("nginx.conf");
    fs::write(&path, whole).unwrap();
    let mut command = Command::new(program);
    command.args(["-p".as_ref(), dir.path().as_os_str(), "-e".as_ref(), dir.path().join("error.log").as_os_str()]);
    let proxy = Proxy::start(command.arg("-c").arg(&path), address).await;
    check(&server, &proxy).await;
    drop(proxy);
    let complaints = fs::read_to_string(dir.path().join("error.log")).unwrap();
    assert!(!complaints.contains("[error]") && !complaints.contains("[crit]"), "{complaints}");
}

#[tokio::test]
async fn caddy_with_the_configuration_handed_out() {
    if !is_here("caddy", "version") {
        return;
    }
    let (server, site, dir) = (behind_proxy().await, site().await, tempfile::tempdir().unwrap());
    let address = SocketAddr::from(([127, 0, 0, 1], port::free()));
    let at = |host: &str| format!("\nhttp://{host}:{} {{", address.port());
    let (rollbook, site) = (server.address.to_string(), site.to_string());
    let (own, sites) = (at(ROLLBOOK), at(SITE));
    let pairs = [
        ("\nrollbook.example.org {", own.as_str()),
        ("\napp.example.org {", &sites),
        ("127.0.0.1:8080", &rollbook),
        ("127.0.0.1:3000", &site),
    ];
    let options = "{\n\tadmin off\n\tauto_https off\n\tdefault_bind 127.0.0.1\n\tlog {\n\t\tlevel ERROR\n\t}\n}\n";
    let path = dir.path().join("Caddyfile");
    fs::write(&path, format!("{options}{}", replaced(&handed_out("Caddyfile"), &pairs))).unwrap();
    let mut command = Command::new("caddy");
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&path);
    command.env("HOME", dir.path()).env("XDG_DATA_HOME", dir.path()).env("XDG_CONFIG_HOME", dir.path());
    check(&server, &Proxy::start(&mut command, address).await).await;
}

/// Traefik itself is tried nowhere here. What it is told to ask is asked in its place, and has to be what the site wants.
#[tokio::test]
async fn traefik_is_told_to_ask_what_is_answered_and_to_hand_on_all_of_it() {
    let server = behind_proxy().await;
    let text = handed_out("traefik/rollbook.yml");
    let after = |beginning: &'static str| text.lines().filter_map(move |line| line.trim().strip_prefix(beginning));
    let asked: Vec<&str> = after("address: http://127.0.0.1:8080").collect();
    assert_eq!(asked.len(), 2);
    let cookie = format!("__session={}", token("user_1"));
    for path in asked {
        let ask = async |headers: &[(&str, &str)]| {
            let request =
                headers.iter().fold(server.request(Method::GET, path), |r, (name, value)| r.header(*name, *value));
            Answer::of(request.send().await.unwrap()).await
        };
        let known = ask(&[("cookie", &cookie)]).await;
        assert_eq!((known.status, known.header(NAMES[1])), (StatusCode::OK, "user_1"), "{path}");
        let stranger = ask(&[]).await;
        let expected = if path.contains("optional=true") { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        assert_eq!((stranger.status, stranger.header(NAMES[0])), (expected, ""), "{path}");
    }
    assert!(after("authRequestHeaders: ").all(|names| names == "[Authorization, Cookie]"));
    let answered: Vec<&str> = after("authResponseHeaders: ").collect();
    let names: Vec<String> =
        answered[0].split_once('[').unwrap().1.trim_end_matches(']').split(", ").map(str::to_lowercase).collect();
    assert_eq!((names, &answered[1..]), (NAMES.map(str::to_owned).to_vec(), &["*identity"][..]));
    // Some servers do not tell _ from -, and Traefik does.
    let mut removed: Vec<String> = after("X_Rollbook_")
        .map(|line| format!("x-rollbook-{}", line.trim_end_matches(": \"\"").replace('_', "-").to_lowercase()))
        .collect();
    removed.sort();
    let mut all = NAMES.map(str::to_owned);
    all.sort();
    assert_eq!(removed, all);
    // Whatever leads to the site goes through both.
    let (routers, middlewares) = text.split_once("\n  middlewares:\n").unwrap();
    let to_site = routers.split("\n\n").filter(|router| router.contains("service: app")).collect::<Vec<_>>();
    assert_eq!(to_site.len(), 2);
    for router in to_site {
        let list = router.split_once("middlewares: [").unwrap().1.split_once(']').unwrap().0;
        let list: Vec<&str> = list.split(", ").collect();
        assert!(list[0] == "unforged" && list.len() == 2, "{list:?}");
        assert!(list.iter().all(|name| middlewares.contains(&format!("\n    {name}:\n"))), "{list:?}");
    }
}
