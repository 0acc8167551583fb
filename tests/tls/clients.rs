//! What the server is for, through TLS; and clients of other makes.

use std::process::Command;

use reqwest::{Certificate, Client, StatusCode};

use crate::authority::Authority;
use crate::common::{Answer, TestServer, sign, token, user_event};
use crate::{Served, has};

const AT: i64 = 1_700_000_000_000;

/// A server in this process, with a client that trusts the authority alone.
async fn start() -> (TestServer, tempfile::TempDir) {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let files = authority.make().write(dir.path());
    let files: Vec<_> = files.iter().map(|(name, path)| (*name, path.as_str())).collect();
    let mut server = TestServer::with(&files).await;
    let root = Certificate::from_pem(authority.root().as_bytes()).unwrap();
    server.client = Client::builder().no_proxy().tls_certs_only([root]).build().unwrap();
    (server, dir)
}

#[tokio::test]
async fn webhooks_tokens_and_the_stream_work() {
    let (server, _dir) = start().await;
    assert_eq!(server.outcome(&user_event("user.created", "user_Ann", AT, "Ann")).await, "applied");
    let me = server.get_as(&token("user_Ann"), "/api/auth/me").await;
    assert_eq!((me.status, me.json()["clerk_user_id"].as_str()), (StatusCode::OK, Some("user_Ann")));
    let admin = server.admin("user_Root").await;
    let stream = server.request(reqwest::Method::GET, "/api/events?after=0").bearer_auth(&admin);
    let mut stream = stream.header("accept", "text/event-stream").send().await.unwrap();
    assert_eq!(stream.status(), StatusCode::OK);
    assert_eq!(server.outcome(&user_event("user.created", "user_Late", AT, "Late")).await, "applied");
    let mut heard = String::new();
    while !heard.contains("user_Late") {
        heard += std::str::from_utf8(&stream.chunk().await.unwrap().unwrap()).unwrap();
    }
    drop(stream);
    drop(server.stop().await);
}

#[tokio::test]
async fn a_body_of_the_largest_size_comes_and_goes() {
    let (server, _dir) = start().await;
    let mut event = user_event("user.created", "user_Big", AT, "Big");
    event["data"]["public_metadata"]["much"] = "x".repeat(900_000).into();
    assert_eq!(server.outcome(&event).await, "applied");
    let too_large = " ".repeat(2 << 20);
    let headers = sign::sign(crate::common::SECRET, "msg_large", sign::now_seconds(), too_large.as_bytes());
    // Refused before it is read, and the client hears of that.
    assert_eq!(server.post_signed(&headers, &too_large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    drop(server.stop().await);
}

#[tokio::test]
async fn browsers_are_told_to_come_by_https_but_not_for_every_program_of_a_machine() {
    let (server, _dir) = start().await;
    for path in ["/health", "/docs", "/admin/sign-in", "/nothing"] {
        let answer = server.get(path).await;
        assert_eq!(answer.header("strict-transport-security"), "max-age=31536000", "{path}");
        let local = format!("https://localhost:{}{path}", server.address.port());
        let local = Answer::of(server.client.get(local).send().await.unwrap()).await;
        assert_eq!((local.status, local.header("strict-transport-security")), (answer.status, ""), "{path}");
    }
    drop(server.stop().await);
    // Nor in the clear.
    let plain = TestServer::start().await;
    assert_eq!(plain.get("/docs").await.header("strict-transport-security"), "");
    drop(plain.stop().await);
}

#[tokio::test]
async fn the_admin_page_is_private_at_every_name_of_the_machine() {
    let (server, _dir) = start().await;
    assert_eq!(server.app.settings.public_origin, format!("https://{}", server.address));
    let port = server.address.port();
    for (name, origin, passes) in [
        ("localhost", format!("https://localhost:{port}"), true),
        ("127.0.0.1", format!("https://127.0.0.1:{port}"), true),
        ("localhost", format!("http://localhost:{port}"), false),
        ("localhost", format!("https://localhost:{}", port ^ 1), false),
        ("127.0.0.1", "https://evil.example".to_owned(), false),
    ] {
        let form = server.client.post(format!("https://{name}:{port}/admin/sign-in")).header("origin", &origin);
        let form = form.header("content-type", "application/x-www-form-urlencoded").body("name=a&password=b");
        let status = form.send().await.unwrap().status();
        assert_eq!(status != StatusCode::FORBIDDEN, passes, "{name} from {origin}: {status}");
    }
    drop(server.stop().await);
}

/// What a program says that is given the address and the file of the root.
fn run(served: &Served, program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    let url = format!("https://{}/health", served.server.address);
    command.args(arguments).env("URL", &url).env("ROOT", served.root()).env("NODE_EXTRA_CA_CERTS", served.root());
    command.env("NO_PROXY", "*").current_dir(served.dir.path());
    let output = command.output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn curl_comes_by_both_versions() {
    if !has("curl", "--version") {
        return;
    }
    let served = Served::start();
    let script = r#"curl -sS --http1.1 --cacert "$ROOT" -w ' %{http_code}' "#;
    for version in ["--tlsv1.2 --tls-max 1.2", "--tlsv1.3", ""] {
        let said = run(&served, "/bin/sh", &["-c", &format!("{script} {version} \"$URL\"")]);
        assert_eq!(said, r#"{"status":"ok"} 200"#, "{version}");
    }
    let said = run(&served, "/bin/sh", &["-c", "curl -sS \"$URL\""]);
    assert!(said.contains("certificate"), "who does not know the authority does not come: {said}");
}

#[test]
fn python_comes() {
    if !has("python3", "--version") {
        return;
    }
    let served = Served::start();
    let script = r#"
import os, ssl, urllib.request
context = ssl.create_default_context(cafile=os.environ["ROOT"])
with urllib.request.urlopen(os.environ["URL"], context=context) as answer:
    print(answer.status, answer.read().decode(), answer.headers["strict-transport-security"])
"#;
    assert_eq!(run(&served, "python3", &["-c", script]).trim(), r#"200 {"status":"ok"} max-age=31536000"#);
}

#[test]
fn node_comes() {
    if !has("node", "--version") {
        return;
    }
    let served = Served::start();
    let script = "fetch(process.env.URL).then(async (a) => console.log(a.status, await a.text()))";
    assert_eq!(run(&served, "node", &["-e", script]).trim(), r#"200 {"status":"ok"}"#);
}
