//! Judged by programs that nobody here wrote: webhooks signed by the senders' own libraries for Python and
//! Node, and the log's lines put into canonical form by a third. Where a tool is not installed its test says
//! so and passes: `pip install svix standardwebhooks rfc8785`, `npm install svix standardwebhooks` (found by
//! way of `NODE_PATH`).
#![allow(clippy::unwrap_used, missing_docs)]

mod common;
#[path = "common/file.rs"]
mod file;

use std::io::Write as _;
use std::process::{Command, Stdio};

use common::{SECRET, TestServer, sign};
use rollbook::sample::EVENT_TYPES;
use serde_json::{Value, json};

/// What a script says when what it needs is not installed.
const NOT_HERE: i32 = 77;

/// Reads `[secret, [[id, timestamp, body], …]]` and writes `[[header, value] × 3, …]`.
const PYTHON: &str = r#"
import json, sys
from datetime import datetime, timezone
try:
    MODULE
except ImportError as cause:
    sys.exit(print(cause) or 77)
secret, messages = json.load(sys.stdin)
webhook = Webhook(secret)
signed = []
for id, seconds, body in messages:
    signature = webhook.sign(id, datetime.fromtimestamp(seconds, timezone.utc), body)
    signed.append([["PREFIX-id", id], ["PREFIX-timestamp", str(seconds)], ["PREFIX-signature", signature]])
json.dump(signed, sys.stdout)
"#;

/// The same.
const NODE: &str = r#"
let Webhook;
try { ({ Webhook } = require("MODULE")); } catch (cause) { console.log(cause.code); process.exit(77); }
const [secret, messages] = JSON.parse(require("fs").readFileSync(0, "utf8"));
const webhook = new Webhook(secret);
const sign = ([id, seconds, body]) => [["PREFIX-id", id], ["PREFIX-timestamp", String(seconds)],
    ["PREFIX-signature", webhook.sign(id, new Date(seconds * 1000), body)]];
process.stdout.write(JSON.stringify(messages.map(sign)));
"#;

/// Reads lines of JSON and writes each in canonical form.
const CANONICAL: &str = r#"
import json, sys
try:
    import rfc8785
except ImportError as cause:
    sys.exit(print(cause) or 77)
for line in sys.stdin.buffer:
    sys.stdout.buffer.write(rfc8785.dumps(json.loads(line)) + b"\n")
"#;

/// What the script writes when it reads `input`; `None`, and a line for whoever reads the tests' output, when
/// it cannot run here.
fn run(program: &str, flag: &str, script: &str, input: &[u8], what: &str) -> Option<Vec<u8>> {
    #[expect(clippy::explicit_write, reason = "a passing test keeps to itself what it prints by macro")]
    let skip = |why: &str| writeln!(std::io::stderr(), "SKIPPED {what}: {}", why.trim()).unwrap();
    let mut command = Command::new(program);
    let command = command.args([flag, script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(cause) => {
            skip(&format!("{program}: {cause}"));
            return None;
        }
    };
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    let feed = std::thread::spawn(move || {
        // A script that stops at once reads nothing.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    feed.join().unwrap();
    if output.status.code() == Some(NOT_HERE) {
        skip(&String::from_utf8_lossy(&output.stdout));
        return None;
    }
    assert!(output.status.success(), "{what}: {}", output.status);
    Some(output.stdout)
}

/// All fixtures, and bodies whose every byte matters.
fn bodies() -> Vec<String> {
    let path = |kind: &&str| format!("{}/tests/fixtures/{kind}.json", env!("CARGO_MANIFEST_DIR"));
    let mut bodies: Vec<String> = EVENT_TYPES.iter().map(|kind| std::fs::read_to_string(path(kind)).unwrap()).collect();
    let mut user = common::user_event("user.updated", "user_ae", 1_750_000_000_000, "Zoë 💡 \u{2028}\\ \"");
    // The fixtures come from another instance, and the first one seen is the one served.
    user["instance_id"].take();
    bodies.push(user.to_string());
    bodies.push(format!("\r\n {}\t\n", serde_json::to_string_pretty(&user).unwrap()));
    bodies
}

/// Has all bodies signed by the script and delivers them; then once more with a byte changed.
async fn deliver_signed(program: &str, flag: &str, script: &str, what: &str) {
    let (bodies, now) = (bodies(), sign::now_seconds());
    let messages: Vec<Value> = bodies.iter().map(|body| json!([sign::fresh_id(), now, body])).collect();
    let input = json!([SECRET, messages]).to_string();
    let Some(output) = run(program, flag, script, input.as_bytes(), what) else { return };
    let signed: Vec<Vec<(String, String)>> = serde_json::from_slice(&output).unwrap();
    assert_eq!(signed.len(), bodies.len());
    let server = TestServer::start().await;
    for (headers, body) in signed.iter().zip(&bodies) {
        let names: Vec<&'static str> = headers.iter().map(|(name, _)| name_of(name)).collect();
        let headers: Vec<_> = names.into_iter().zip(headers.iter().map(|(_, value)| value.clone())).collect();
        let answer = server.post_signed(&headers, &format!("{body} ")).await;
        assert_eq!(answer.status, 401, "{what}: another body was accepted");
        let answer = server.post_signed(&headers, body).await;
        assert_eq!(answer.status, 200, "{what}: {} for {body}", answer.text);
        assert_eq!(server.post_signed(&headers, body).await.json()["outcome"], "duplicate", "{what}");
    }
    let counts = server.app.store.counts();
    assert_eq!((counts.quarantined, counts.users > 0), (0, true), "{what}");
}

fn name_of(name: &str) -> &'static str {
    let names = ["svix-id", "svix-timestamp", "svix-signature", "webhook-id", "webhook-timestamp", "webhook-signature"];
    names.into_iter().find(|known| *known == name).unwrap()
}

#[tokio::test]
async fn what_svix_signs_in_python_is_accepted() {
    let script = PYTHON.replace("MODULE", "from svix.webhooks import Webhook").replace("PREFIX", "svix");
    deliver_signed("python3", "-c", &script, "svix for Python").await;
}

#[tokio::test]
async fn what_standard_webhooks_signs_in_python_is_accepted() {
    let script = PYTHON.replace("MODULE", "from standardwebhooks import Webhook").replace("PREFIX", "webhook");
    deliver_signed("python3", "-c", &script, "standardwebhooks for Python").await;
}

#[tokio::test]
async fn what_svix_signs_in_node_is_accepted() {
    let script = NODE.replace("MODULE", "svix").replace("PREFIX", "svix");
    deliver_signed("node", "-e", &script, "svix for Node").await;
}

#[tokio::test]
async fn what_standard_webhooks_signs_in_node_is_accepted() {
    let script = NODE.replace("MODULE", "standardwebhooks").replace("PREFIX", "webhook");
    deliver_signed("node", "-e", &script, "standardwebhooks for Node").await;
}

#[tokio::test]
async fn the_logs_lines_are_canonical_to_others_too() {
    let server = TestServer::start().await;
    for body in bodies() {
        let headers = sign::sign(SECRET, &sign::fresh_id(), sign::now_seconds(), body.as_bytes());
        assert_eq!(server.post_signed(&headers, &body).await.status, 200);
    }
    let admin = server.admin("user_admin").await;
    assert_eq!(server.get_as(&admin, "/api/users").await.status, 200);
    let dir = server.stop().await;
    let mut lines = Vec::new();
    for leaf in file::leaves(&file::open(&dir.path().join("rollbook.redb"))) {
        lines.extend(leaf);
        lines.push(b'\n');
    }
    let what = "rfc8785 for Python";
    let Some(canonical) = run("python3", "-c", CANONICAL, &lines, what) else { return };
    assert_eq!(String::from_utf8(canonical).unwrap(), String::from_utf8(lines).unwrap());
}
