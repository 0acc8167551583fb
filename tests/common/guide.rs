//! A guide's steps at the real binary: its curl lines run by a shell with the real curl, webhooks signed as Clerk signs
//! them, commands typed where the data file is. Needs the modules `common` and `process` beside it.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, clippy::panic)]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::{SECRET, sign, token};
use crate::process::{Process, serve};

/// How a guide's curl is called: nothing from the user's own configuration, and the head of the answer too.
const CURL: &str = r#"curl() { command curl -q -sS -i --max-time 60 --noproxy '*' "$@"; }"#;

/// A server that somebody set up by a guide.
pub struct Guide {
    server: Process,
    dir: TempDir,
}

impl Guide {
    /// With the settings that every test starts from, some put in, or put in others' places; an empty value takes one
    /// out. `None` where there is no curl, and a line that says so.
    pub fn start(changed: &[(&str, &str)]) -> Option<Self> {
        Self::start_in(tempfile::tempdir().unwrap(), changed)
    }

    /// The same in a folder that may hold a `.env`.
    pub fn start_in(dir: TempDir, changed: &[(&str, &str)]) -> Option<Self> {
        if let Err(cause) = Command::new("curl").arg("--version").stdout(Stdio::null()).status() {
            // Not by eprintln: what passes is shown only when it goes round the capture of tests.
            let _ = writeln!(std::io::stderr(), "SKIPPED curl: {cause}");
            return None;
        }
        let mut command = serve(dir.path());
        for (name, value) in changed {
            if value.is_empty() {
                command.env_remove(name)
            } else {
                command.env(name, value)
            };
        }
        Some(Self { server: Process::start(command), dir })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address)
    }

    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// Runs a curl line as a shell does, with the server's address in `URL`.
    pub fn run(&self, line: &str, variables: &[(&str, &str)]) -> Reply {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &format!("{CURL}\n{line}")]).env("URL", self.url()).stdin(Stdio::null());
        let output = shell.envs(variables.iter().copied()).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {error}");
        Reply::read(&String::from_utf8(output.stdout).unwrap())
    }

    /// Gets a path with that token or key.
    pub fn get(&self, token: &str, path: &str) -> Reply {
        self.run(&format!(r#"curl -H "Authorization: Bearer $TOKEN" "$URL{path}""#), &[("TOKEN", token)])
    }

    /// Gets a path as that user.
    pub fn get_as(&self, user: &str, path: &str) -> Reply {
        self.get(&token(user), path)
    }

    /// Sends a body to a path with that token or key.
    pub fn send(&self, token: &str, method: &str, path: &str, body: &Value) -> Reply {
        let line = format!(
            r#"curl -X {method} "$URL{path}" -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" -d "$BODY""#
        );
        self.run(&line, &[("TOKEN", token), ("BODY", &body.to_string())])
    }

    /// Delivers an event as Clerk does, under a fresh message id.
    pub fn deliver(&self, event: &Value) -> Reply {
        self.signed("POST", "/api/webhooks/clerk", &Signed::new(event))
    }

    /// What became of an event that must be taken.
    #[track_caller]
    pub fn outcome(&self, event: &Value) -> String {
        let reply = self.deliver(event);
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.json()["outcome"].as_str().unwrap().to_owned()
    }

    /// Sends a signed message to a path.
    pub fn signed(&self, method: &str, path: &str, message: &Signed) -> Reply {
        let line = format!(
            r#"curl -X {method} "$URL{path}" -H "Content-Type: application/json" -H "svix-id: $ID" \
               -H "svix-timestamp: $TIMESTAMP" -H "svix-signature: $SIGNATURE" --data-binary "$BODY""#
        );
        let Signed { id, timestamp, signature, body } = message;
        self.run(&line, &[("ID", id), ("TIMESTAMP", timestamp), ("SIGNATURE", signature), ("BODY", body)])
    }

    /// A key for a server, with those scopes.
    pub fn key(&self, scopes: &[&str]) -> String {
        let line = scopes.iter().fold("keys create --name guide".to_owned(), |mut line, scope| {
            write!(line, " --scope {scope}").unwrap();
            line
        });
        self.rollbook(&line).done().trim_end().to_owned()
    }

    /// Runs a command of Rollbook's on the same data file.
    pub fn rollbook(&self, line: &str) -> Said {
        self.rollbook_with(line, &[])
    }

    /// The same with settings.
    pub fn rollbook_with(&self, line: &str, settings: &[(&str, &str)]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollbook"));
        command.args(line.split(' ')).current_dir(self.folder()).env_clear().stdin(Stdio::null());
        command.env("ROLLBOOK_DATA", "rollbook.redb").envs(settings.iter().copied());
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { status: output.status, out: text(output.stdout), err: text(output.stderr) }
    }

    /// The user as `rollbook users show` has them.
    pub fn user(&self, id: &str) -> Value {
        serde_json::from_str(&self.rollbook(&format!("users show {id}")).done()).unwrap()
    }

    /// Stops the server; what it said, and the entries of its audit log, oldest first.
    pub fn stop(self) -> (String, Vec<Value>) {
        self.server.terminate();
        let (status, said) = self.server.wait();
        assert!(status.success(), "{said}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_rollbook"));
        command.args(["export", "audit"]).env_clear().env("ROLLBOOK_DATA", self.dir.path().join("rollbook.redb"));
        let exported = command.output().unwrap();
        assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
        let lines = String::from_utf8(exported.stdout).unwrap();
        (said, lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }
}

/// A message as Clerk's sender signs it.
#[derive(Clone)]
pub struct Signed {
    pub id: String,
    pub timestamp: String,
    pub signature: String,
    pub body: String,
}

impl Signed {
    pub fn new(event: &Value) -> Self {
        Self::with(SECRET, event)
    }

    /// Signed with another secret.
    pub fn with(secret: &str, event: &Value) -> Self {
        let (id, body) = (sign::fresh_id(), event.to_string());
        let headers = sign::sign(secret, &id, sign::now_seconds(), body.as_bytes());
        let [_, (_, timestamp), (_, signature)] = &headers[..] else { panic!("{headers:?}") };
        Self { timestamp: timestamp.clone(), signature: signature.clone(), id, body }
    }
}

/// What curl printed of an answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Reply {
    fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    /// The header's value, empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        let mut pairs = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        pairs.find(|(n, _)| n.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
    }

    /// That it is a problem of that status, which says what it is and gives nothing away; its id.
    #[track_caller]
    pub fn problem(&self, status: u16) -> String {
        assert_eq!((self.status, self.header("content-type")), (status, "application/problem+json"), "{}", self.body);
        let problem = self.json();
        let members: Vec<&String> = problem.as_object().unwrap().keys().collect();
        assert_eq!(members, ["detail", "error_id", "status", "title", "type"]);
        assert_eq!(problem["status"], status);
        let id = problem["error_id"].as_str().unwrap();
        assert!(id.starts_with("ERR_") && id.len() == 20, "{id}");
        id.to_owned()
    }
}

/// What a command said and how it ended.
pub struct Said {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

impl Said {
    /// What it printed, if it did what was asked.
    #[track_caller]
    pub fn done(self) -> String {
        assert!(self.status.success(), "{}{}", self.out, self.err);
        self.out
    }
}
