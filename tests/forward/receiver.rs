//! A service on this machine that is told what happens: it keeps every call in the order of their coming, whether its
//! signature was right by the library of Standard Webhooks, and answers as it is told to.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Nothing here takes this long. What does is a failure, not a slow machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// `whsec_` and 32 bytes that say so.
pub(crate) const SECRET: &str = "whsec_dGhlIHRhcmdldCdzIG93biBjYW5hcnkgc2VjcmV0ISE=";

#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    /// Whether [`SECRET`] signed it, now.
    pub(crate) is_genuine: bool,
}

impl Call {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The number of the event.
    pub(crate) fn seq(&self) -> u64 {
        self.json()["seq"].as_u64().unwrap()
    }

    /// The method and the path.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// Whether that secret signed it.
    pub(crate) fn is_signed_with(&self, secret: &str) -> bool {
        // It knows one family of names only.
        let mut headers = self.headers.clone();
        for part in ["id", "timestamp", "signature"] {
            if let Some(value) = headers.remove(format!("svix-{part}")) {
                headers.insert(http::HeaderName::try_from(format!("webhook-{part}")).unwrap(), value);
            }
        }
        Webhook::new(secret).unwrap().verify(self.body.as_bytes(), &headers).is_ok()
    }
}

/// An answer; `None` never comes.
pub(crate) type Reply = Option<(u16, &'static str, &'static str)>;

type Script = Box<dyn FnMut(&Call) -> Reply + Send>;

/// The service. It is gone when this is.
pub(crate) struct Receiver {
    pub(crate) url: String,
    calls: Arc<watch::Sender<Vec<Call>>>,
    script: Arc<Mutex<Script>>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    /// One that takes everything.
    pub(crate) async fn start() -> Self {
        Self::at("127.0.0.1:0").await
    }

    pub(crate) async fn at(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let calls = Arc::new(watch::Sender::new(Vec::new()));
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Box::new(|_| Some((200, "", "")))));
        let (own, says) = (Arc::clone(&calls), Arc::clone(&script));
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (calls, script) = (Arc::clone(&own), Arc::clone(&says));
                let service = service_fn(move |request| answer(request, Arc::clone(&calls), Arc::clone(&script)));
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { url, calls, script, task }
    }

    /// The address without the scheme.
    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// From now on answers so: a status, the lines of more headers, a body.
    pub(crate) fn say(&self, script: impl FnMut(&Call) -> Reply + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    /// From now on takes everything.
    pub(crate) fn take(&self) {
        self.say(|_| Some((204, "", "")));
    }

    /// Dies, and says what all it has taken: also what came between the last look and the end.
    pub(crate) async fn die(mut self) -> Vec<Call> {
        self.task.abort();
        let _ = (&mut self.task).await;
        self.calls()
    }

    /// All calls so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.borrow().clone()
    }

    /// All calls, once there are so many.
    pub(crate) async fn after(&self, count: usize) -> Vec<Call> {
        self.once(|calls| calls.len() >= count).await
    }

    /// All calls, once that is so.
    pub(crate) async fn once(&self, so: impl Fn(&[Call]) -> bool) -> Vec<Call> {
        let mut calls = self.calls.subscribe();
        let found = tokio::time::timeout(PATIENCE, calls.wait_for(|calls| so(calls))).await;
        found.unwrap_or_else(|_| panic!("only {:?}", self.calls())).unwrap().clone()
    }
}

async fn answer(
    request: hyper::Request<hyper::body::Incoming>,
    calls: Arc<watch::Sender<Vec<Call>>>,
    script: Arc<Mutex<Script>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let mut call = Call {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        headers: parts.headers,
        body,
        is_genuine: false,
    };
    call.is_genuine = call.is_signed_with(SECRET);
    let reply = (script.lock().unwrap())(&call);
    calls.send_modify(|calls| calls.push(call));
    let Some((status, headers, body)) = reply else { return std::future::pending().await };
    let response = headers.lines().fold(Response::builder().status(status), |response, line| {
        let (name, value) = line.split_once(": ").unwrap();
        response.header(name, value)
    });
    Ok(response.body(Full::from(body)).unwrap())
}
