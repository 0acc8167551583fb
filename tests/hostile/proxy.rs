//! Requests hidden in others, behind nginx: what the proxy took for part of a body must not be a request here.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::common::{SECRET, TestServer, sign, user_event};
use crate::port;
use crate::program::skip;

/// Nothing here takes this long. What does is a failure, not a slow machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// The path of what is hidden. That of what hides it is another.
const HIDDEN: &str = "/api/webhook/clerk";

/// How a request says where its body ends. `ALL` stands for the length of what follows.
const HEADS: [&str; 19] = [
    "Content-Length: ALL\r\n",
    "Content-Length: 4\r\n",
    "Content-Length: 0\r\nContent-Length: ALL\r\n",
    "Content-Length: ALL\r\nContent-Length: 0\r\n",
    "Content-Length: 0, ALL\r\n",
    "Content-Length: +0\r\n",
    "Content-Length : 0\r\nContent-Length: ALL\r\n",
    "Content-Length: ALL\r\nTransfer-Encoding: chunked\r\n",
    "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: xchunked\r\nContent-Length: ALL\r\n",
    "Transfer-Encoding: chunked, identity\r\nContent-Length: ALL\r\n",
    "Transfer-Encoding: identity\r\nContent-Length: ALL\r\n",
    "Transfer-Encoding: gzip, chunked\r\nContent-Length: ALL\r\n",
    "Transfer-Encoding:\x0bchunked\r\nContent-Length: ALL\r\n",
    "Transfer-Encoding : chunked\r\nContent-Length: ALL\r\n",
    "X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: ALL\r\n",
    "X: y\nTransfer-Encoding: chunked\r\nContent-Length: ALL\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: ALL\r\n",
];

struct Nginx {
    child: Child,
    address: SocketAddr,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Nginx {
    /// In front of the server, with connections that it keeps for more than one request and bodies that it hands on as
    /// they come: the way in which a hidden request would come through.
    async fn start(folder: &Path, server: SocketAddr) -> Option<Self> {
        let installed =
            [Path::new("/usr/sbin/nginx"), Path::new("/usr/bin/nginx")].into_iter().find(|path| path.exists())?;
        let port = port::free();
        let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {kind};"))
            .concat();
        let configuration = format!(
            "daemon off; master_process off; pid pid; error_log errors; events {{}}
            http {{
                access_log requests; {temp}
                upstream rollbook {{ server {server}; keepalive 1; }}
                server {{
                    listen 127.0.0.1:{port};
                    location / {{
                        proxy_pass http://rollbook; proxy_http_version 1.1; proxy_request_buffering off;
                        proxy_ignore_client_abort on;
                        proxy_set_header Connection \"\"; proxy_set_header Host {server};
                    }}
                }}
            }}"
        );
        std::fs::write(folder.join("nginx.conf"), configuration).unwrap();
        let mut command = Command::new(installed);
        command.arg("-p").arg(folder).arg("-c").arg(folder.join("nginx.conf")).args(["-e", "errors"]);
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        let nginx = Self { child, address: SocketAddr::from(([127, 0, 0, 1], port)) };
        let ready = async {
            while TcpStream::connect(nginx.address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ready).await.unwrap();
        Some(nginx)
    }

    /// Says these bytes, and hears until the connection ends.
    async fn ask(&self, bytes: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // A server that has heard enough may close while more is being said.
        let _ = stream.write_all(bytes.as_bytes()).await;
        let _ = stream.shutdown().await;
        let mut said = Vec::new();
        let heard = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said)).await;
        assert!(heard.is_ok(), "no end: {bytes}");
        String::from_utf8_lossy(&said).into_owned()
    }
}

/// A signed delivery that would be applied, as one whole request.
fn hidden(user: &str) -> String {
    let body = user_event("user.created", user, 1_750_000_000_000, "Ann").to_string();
    let headers = sign::sign(SECRET, &sign::fresh_id(), sign::now_seconds(), body.as_bytes());
    let mut request = format!("POST {HIDDEN} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        write!(request, "{name}: {value}\r\n").unwrap();
    }
    request + "\r\n" + &body
}

#[tokio::test]
async fn no_request_hidden_in_another_comes_through_a_proxy() {
    let server = TestServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let Some(nginx) = Nginx::start(folder.path(), server.address).await else {
        return skip("requests hidden behind a proxy", "nginx is not installed");
    };
    let seen = || {
        let requests = std::fs::read_to_string(folder.path().join("requests")).unwrap();
        requests.lines().filter(|line| line.contains(&format!("\"POST {HIDDEN} "))).count()
    };
    // By itself it is a request, to either.
    nginx.ask(&hidden("user_open")).await;
    assert_eq!((seen(), server.count("user.created").await), (1, 1));
    let mut users = Vec::new();
    for head in HEADS {
        for form in
            ["HIDDEN", "0\r\n\r\nHIDDEN", "LENGTH\r\nHIDDEN\r\n0\r\n\r\n", "LENGTH;x=\"\n\"\r\nHIDDEN\r\n0\r\n\r\n"]
        {
            let user = format!("user_{}", users.len());
            let hidden = hidden(&user);
            let body = form.replace("LENGTH", &format!("{:x}", hidden.len())).replace("HIDDEN", &hidden);
            let head = head.replace("ALL", &body.len().to_string());
            let before = seen();
            nginx.ask(&format!("POST /api/webhooks HTTP/1.1\r\nHost: x\r\n{head}\r\n{body}")).await;
            // Whatever is still in the connection behind the proxy, the next request would push it out.
            nginx.ask("GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
            let done = server.user(&user).is_some();
            assert!(!done || seen() > before, "the proxy saw one request, and two were done: {head:?} {form:?}");
            users.push(done);
        }
    }
    assert!(users.iter().any(|done| !done));
    assert_eq!(server.get("/health").await.status, 200);
}
