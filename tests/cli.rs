//! The program itself: what each command prints, and how it ends.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use common::tokens::ISSUER;
use common::{CLERK, SECRET};
use reqwest::{Client, StatusCode};
use rollbook::clock::{Clock, Timestamp};
use rollbook::sample::{EVENT_TYPES, Scene};
use rollbook::stand_in::StandIn;
use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_rollbook");

/// Another secret than the server's.
const OTHER_SECRET: &str = "whsec_YW5vdGhlciBzZWNyZXQsIG5vdCB0aGUgc2VydmVy";

/// When the first of Clerk's users signed up.
const AT: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// Nothing here takes this long. What does is a failure, not a slow machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// The program in `folder`, with nothing set.
fn rollbook(folder: &Path, line: &str) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(line.split(' ').filter(|word| !word.is_empty())).current_dir(folder).env_clear();
    command
}

/// What the command said and how it ended.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn of(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let said = Self { code: status.code(), out: text(stdout), err: text(stderr) };
        for secret in [SECRET, OTHER_SECRET] {
            let secret = secret.trim_start_matches("whsec_");
            assert!(!said.out.contains(secret) && !said.err.contains(secret), "a secret was shown");
        }
        said
    }

    /// What it printed, if it did what was asked.
    fn done(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{}", self.out);
        self.out
    }

    /// What it complained of, if it ended so.
    fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self.err
    }
}

fn run(folder: &Path, line: &str) -> Said {
    Said::of(&mut rollbook(folder, line))
}

/// A program that goes on until it is told to stop. Killed with the test.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let out = child.stdout.take().unwrap();
        std::thread::spawn(move || BufReader::new(out).lines().map_while(Result::ok).try_for_each(|l| sender.send(l)));
        Self { child, lines }
    }

    /// Reads up to the first line that begins so, and gives that line's rest.
    fn up_to(&self, beginning: &str) -> String {
        self.lines_up_to(beginning).pop().unwrap()[beginning.len()..].to_owned()
    }

    fn lines_up_to(&self, beginning: &str) -> Vec<String> {
        let mut lines = Vec::new();
        while !lines.last().is_some_and(|line: &String| line.starts_with(beginning)) {
            let next = self.lines.recv_timeout(PATIENCE);
            lines.push(next.unwrap_or_else(|error| panic!("{error}, no {beginning:?} in {lines:#?}")));
        }
        lines
    }

    /// Sends the signal; the exit code, and the lines that were still printed.
    fn stop(mut self, signal: &str) -> (Option<i32>, Vec<String>) {
        let kill = format!("kill -{signal} {}", self.child.id());
        assert!(Command::new("/bin/sh").args(["-c", &kill]).status().unwrap().success());
        let mut lines = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => lines.push(line),
                // Its end of the pipe is closed: it has ended, or is about to.
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("still running after {signal}"),
            }
        }
        let code = self.child.wait().unwrap().code();
        let mut err = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert_eq!(err, "");
        (code, lines)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder with a `.env` of everything that `serve` needs.
fn home() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("key.pem"), CLERK.pem()).unwrap();
    let env = format!(
        "CLERK_WEBHOOK_SIGNING_SECRET={SECRET}\nCLERK_ISSUER={ISSUER}\nCLERK_JWT_KEY_FILE=key.pem\n\
         ROLLBOOK_LISTEN=127.0.0.1:0\nROLLBOOK_DATA=roll.redb\n"
    );
    fs::write(folder.path().join(".env"), env).unwrap();
    folder
}

/// A server on its own port, and its address.
fn serve(folder: &Path) -> (Running, String) {
    let server = Running::start(&mut rollbook(folder, "serve"));
    let address = server.up_to("listening on ");
    (server, address)
}

fn client() -> Client {
    Client::builder().no_proxy().build().unwrap()
}

/// A key from its making to its end, with a server or without.
struct Key {
    id: String,
    secret: String,
}

impl Key {
    fn make(folder: &Path, arguments: &str) -> Self {
        let said = run(folder, &format!("keys create {arguments}"));
        assert_eq!(said.code, Some(0), "{}", said.err);
        let secret = said.out.strip_suffix('\n').unwrap().to_owned();
        assert!(secret.starts_with("rbk_") && secret.len() == 47, "the secret alone: {secret}");
        assert!(said.err.contains("not shown again") && !said.err.contains(&secret[4..]), "{}", said.err);
        let id = said.err.split(' ').next().unwrap().to_owned();
        Self { id, secret }
    }

    /// Its line in the list, in words.
    fn listed(&self, folder: &Path) -> Vec<String> {
        let list = run(folder, "keys list").done();
        assert!(!list.contains("rbk_") && list.starts_with("KEY "), "{list}");
        let line = list.lines().find(|line| line.starts_with(&self.id)).unwrap();
        line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
    }
}

async fn keys(folder: &Path, url: &str) {
    let key = Key::make(folder, "--name billing --scope users:read --scope log:read --scope users:read --expires 90d");
    let get = async || {
        let request = client().get(format!("{url}/api/users")).bearer_auth(&key.secret);
        request.send().await.unwrap().status()
    };
    assert_eq!(key.listed(folder)[5], "never");
    assert_eq!(get().await, StatusCode::OK);
    let listed = key.listed(folder);
    assert_eq!(
        (listed[1].as_str(), listed[2].as_str(), listed[6].as_str()),
        ("billing", "active", "users:read log:read")
    );
    assert!(listed[4] > listed[3] && listed[5] >= listed[3], "{listed:?}");
    assert_eq!(run(folder, &format!("keys revoke {}", key.id)).done(), format!("{} (billing) is revoked\n", key.id));
    assert_eq!(get().await, StatusCode::UNAUTHORIZED);
    assert_eq!(key.listed(folder)[2], "revoked");
    assert_eq!(run(folder, "keys revoke key_0000000000000000").failed(1), "there is no such key\n");
    let past = run(folder, "keys create --name x --scope log:read --expires 2020-01-01").failed(1);
    assert_eq!(past, "the time at which the key is to expire has passed\n");
}

#[test]
fn keys_are_made_while_no_server_runs() {
    let folder = home();
    let folder = folder.path();
    let (server, _) = serve(folder);
    assert_eq!(server.stop("TERM").0, Some(0));
    assert_eq!(run(folder, "keys list").done(), "no keys\n");
    let first = Key::make(folder, "--name a --scope metrics:read");
    let second = Key::make(folder, "--name b --scope metrics:read --expires 2090-01-01");
    let (one, two) = (first.listed(folder), second.listed(folder));
    assert_eq!((one[4].as_str(), two[4].as_str()), ("never", "2090-01-01T00:00Z"));
    let verified = run(folder, "verify --data roll.redb");
    assert_eq!(verified.code, Some(0), "{}", verified.out);
}

#[test]
fn alone_it_says_how_to_start() {
    let folder = tempfile::tempdir().unwrap();
    let help = run(folder.path(), "").done();
    let lines: Vec<&str> = help.lines().map(str::trim_start).collect();
    let start = lines.iter().position(|line| *line == "To start:").unwrap();
    assert!(lines[start + 1].starts_with("rollbook demo  ") && lines[start + 2].starts_with("rollbook serve  "));
    for command in ["serve", "demo", "doctor", "send-test", "admin", "healthcheck", "users"] {
        assert!(lines.iter().any(|line| line.starts_with(&format!("{command} "))), "{help}");
    }
    let version = run(folder.path(), "--version").done();
    assert!(version.starts_with(&format!("rollbook {} (", env!("CARGO_PKG_VERSION"))), "{version}");
    assert!(version.contains("built 20") && version.ends_with(")\n"), "{version}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn all_faults_are_reported_together() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = rollbook(folder.path(), "serve --delete gone");
    command.env("CLERK_WEBHOOK_SIGNING_SECRET", "whsec_canary").env("ROLLBOOK_LISTEN", "8080");
    command.env("ROLLBOOK_LISTNE", "127.0.0.1:1");
    let err = Said::of(&mut command).failed(2);
    let names: Vec<&str> = err.lines().map(|line| line.split_once(' ').unwrap().0).collect();
    assert_eq!(
        names,
        ["warning:", "CLERK_WEBHOOK_SIGNING_SECRET:", "CLERK_PUBLISHABLE_KEY:", "ROLLBOOK_LISTEN:", "ROLLBOOK_DELETE:"]
    );
    assert!(err.contains("ROLLBOOK_LISTNE is not a setting") && !err.contains("canary"), "{err}");
    fs::write(folder.path().join(".env"), "CLERK_ISSUER=https://clerk.example.com\nwhsec canary\n").unwrap();
    assert_eq!(
        run(folder.path(), "serve").failed(2).trim_end(),
        ".env: line 2 cannot be read; write NAME=VALUE, a value with spaces in quotes"
    );
}

#[test]
fn a_wrong_command_line_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let of_users =
        ["users set user_1", "users show", "users list --limit 0", "users erase", "users ever x --kind name"];
    let of_keys = [
        "keys create --name a",
        "keys create --scope log:read",
        "keys create --name a --scope all",
        "keys create --name a --scope log:read --expires 0d",
        "keys revoke",
        "keys revoke key_1",
    ];
    for line in ["nonsense", "serve --nonsense", "admin"].into_iter().chain(of_users).chain(of_keys) {
        assert!(!run(folder.path(), line).failed(2).is_empty(), "{line}");
    }
    let err = run(folder.path(), "send-test user.create").failed(2);
    assert!(err.contains("\"user.create\" is not an event type") && err.contains(" user.created "), "{err}");
}

#[test]
fn a_taken_port_is_said_plainly() {
    let (folder, other) = (home(), TcpListener::bind("127.0.0.1:0").unwrap());
    let address = other.local_addr().unwrap();
    let err = run(folder.path(), &format!("serve --listen {address}")).failed(1);
    assert!(err.starts_with(&format!("ROLLBOOK_LISTEN: {address} is taken by another program; ")), "{err}");
    assert!(!folder.path().join("roll.redb").exists());
    let err = run(folder.path(), &format!("demo --port {}", address.port())).failed(1);
    assert!(err.starts_with(&format!("port {} is taken by another program; ", address.port())), "{err}");
}

#[test]
fn a_missing_data_file_is_not_made_by_asking() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.redb");
    for line in ["users list", "users show user_1", "users set user_1 --role ADMIN", "admin link", "keys list"] {
        let err = run(folder.path(), &format!("{line} --data other.redb")).failed(1);
        assert!(err.starts_with(&format!("there is no data file at {}; ", path.display())), "{err}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_and_its_commands() {
    let folder = home();
    let folder = folder.path();
    let (server, url) = serve(folder);
    assert_eq!(run(folder, "healthcheck").done(), "");
    assert_eq!(run(folder, &format!("healthcheck --url {url}")).done(), "");
    assert_eq!(run(folder, "users list").done(), "no users\n");

    let link = run(folder, "admin link").done();
    assert!(link.starts_with(&format!("{url}/admin/setup?token=")) && link.lines().count() == 1, "{link}");
    let page = client().get(link.trim_end()).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    assert!(page.text().await.unwrap().contains("password"));
    let link = run(folder, "admin link --name eve").done();
    assert!(client().get(link.trim_end()).send().await.unwrap().text().await.unwrap().contains("value=\"eve\""));
    assert!(run(folder, "admin link --name ..").failed(1).contains("an admin's name is 1 to 64 characters"));
    assert!(run(folder, "admin link --name EVE").failed(1).contains("in other upper and lower case"));

    let sent = run(folder, "send-test").done();
    assert_eq!(sent.lines().count(), EVENT_TYPES.len());
    assert!(sent.lines().all(|line| line.contains(" 200  ")), "{sent}");
    assert!(run(folder, &format!("send-test user.created --url {url}")).done().contains(" 200  applied "));
    let err = Said::of(rollbook(folder, "send-test user.created").env("CLERK_WEBHOOK_SECRET", OTHER_SECRET));
    // Two names for one setting, one of them in `.env`.
    assert!(err.failed(2).contains("CLERK_WEBHOOK_SECRET is set too"));
    let mut other = rollbook(folder, "send-test user.created");
    let other = Said::of(other.env("CLERK_WEBHOOK_SIGNING_SECRET", OTHER_SECRET));
    assert!(other.out.contains("\n401 from ") && other.out.contains("another secret"), "{}", other.out);
    assert_eq!(other.failed(1), "1 of 1 refused\n");

    users(folder);
    keys(folder, &url).await;

    let findings = run(folder, "doctor").done();
    let (backups, others): (Vec<&str>, Vec<&str>) = findings.lines().partition(|line| line.contains("  backups  "));
    assert_eq!(backups, ["warn  backups      none are made; set ROLLBOOK_BACKUP_DIR to a folder"]);
    assert!(others.len() >= 6 && others.iter().all(|line| line.starts_with("ok ")), "{findings}");
    let mut other = rollbook(folder, "doctor");
    let other = Said::of(other.env("CLERK_WEBHOOK_SIGNING_SECRET", OTHER_SECRET));
    assert!(other.out.contains("FAIL  round trip   the server refused our signature"), "{}", other.out);
    let warned = other.out.lines().filter(|line| line.starts_with("warn")).count();
    let last = other.failed(1);
    assert!(last.starts_with("1 of ") && last.contains(", 1 warning") == (warned == 1), "{warned}: {last}");

    let err = run(folder, "serve").failed(1);
    assert!(err.contains("roll.redb is in use by another process; "), "{err}");

    let (code, log) = server.stop("TERM");
    assert_eq!(code, Some(0));
    let log: Vec<Value> = log.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let [.., stopped, signed] = &log[..] else { panic!("{log:?}") };
    assert_eq!((&stopped["event"], &signed["event"]), (&"system.stopped".into(), &"log.checkpoint".into()));
    // The last checkpoint leaves the machine with the log, whole.
    let note = fs::read_to_string(folder.join("roll.redb.hwm")).unwrap();
    assert!(signed["checkpoint"] == note && note.starts_with("localhost/log-1\n"), "{signed}");
    assert_eq!(log.iter().filter(|line| line["event"] == "user.created").count(), 2);
    after(folder);
}

/// `users list|show|set`, against a server that has seen a user.
fn users(folder: &Path) {
    let list = run(folder, "users list").done();
    let lines: Vec<&str> = list.lines().collect();
    assert!(lines[0].starts_with("USER ") && lines.len() == 2, "{list}");
    let id = lines[1].split(' ').next().unwrap();
    assert!(id.starts_with("user_"), "{list}");
    assert_eq!(run(folder, "users list --deleted").done().lines().count(), 2);
    assert_eq!(run(folder, "users list --query nobody").done(), "no users\n");

    let show = |line: &str| -> Value { serde_json::from_str(&run(folder, line).done()).unwrap() };
    let before = show(&format!("users show {id}"));
    assert_eq!((&before["role"], &before["practice_id"]), (&"USER".into(), &Value::Null));
    let after = show(&format!("users set {id} --role ADMIN --practice north"));
    assert_eq!((&after["role"], &after["practice_id"]), (&"ADMIN".into(), &"north".into()));
    assert_eq!(show(&format!("users show {}", before["id"].as_str().unwrap())), after);
    assert!(run(folder, "users list --role ADMIN").done().contains("  ADMIN  "));
    let paying = show(&format!("users set {id} --plan clinic --status past_due"));
    assert_eq!(paying["subscription"], serde_json::json!({ "plan": "clinic", "status": "past_due" }));
    let email = before["email"].as_str().unwrap();
    assert!(run(folder, &format!("users list --email {email}")).done().contains(id));
    assert_eq!(run(folder, "users list --email nobody@example.org").done(), "no users\n");
    assert_eq!(run(folder, "users show user_nobody").failed(1), "there is no such user\n");
    assert_eq!(run(folder, "users set user_nobody --role ADMIN").failed(1), "there is no such user\n");
    erasing(folder, id, after["email"].as_str().unwrap());
}

/// `users ever|erase`, about a user whom Clerk still has and one whom it has not.
fn erasing(folder: &Path, id: &str, email: &str) {
    let ever = run(folder, &format!("users ever {email}")).done();
    assert!(ever.contains(&format!("{id}  from ")) && ever.contains(" until now"), "{ever}");
    assert_eq!(run(folder, "users ever 1 --kind phone").done(), "never on file\n");
    assert_eq!(run(folder, &format!("users ever {email} --user user_nobody")).done(), "never on file\n");
    let planned = run(folder, &format!("users erase {id}"));
    assert!(planned.out.starts_with(&format!("To be erased of {id}:\n  the record\n")), "{}", planned.out);
    assert!(
        planned.out.contains("\nClerk has not deleted this user") && planned.out.contains("HIPAA"),
        "{}",
        planned.out
    );
    assert_eq!(planned.failed(1), "nothing was done; to go ahead, add --yes\n");
    let refused = run(folder, &format!("users erase {id} --yes")).failed(1);
    assert!(refused.contains("Clerk has not deleted this user") && refused.contains("--still-at-clerk"), "{refused}");
    let deleted = run(folder, "users list --deleted").done();
    let deleted = deleted.lines().nth(1).unwrap().split(' ').next().unwrap();
    let erased = run(folder, &format!("users erase {deleted} --yes --reason asked")).done();
    assert!(erased.starts_with("Erased of user_") && !erased.contains("HIPAA"), "{erased}");
    assert_eq!(run(folder, &format!("users erase {deleted} --yes")).failed(1), "there is no such user\n");
    assert_eq!(run(folder, "users list --deleted").done(), "no users\n");
    assert!(run(folder, "verify").done().contains("erased"));
}

/// The same commands once the server has stopped: they open the file themselves.
fn after(folder: &Path) {
    assert!(!folder.join("roll.redb.sock").exists());
    assert!(run(folder, "users list").done().contains("  ADMIN  "));
    let list = run(folder, "users list").done();
    let id = list.lines().nth(1).unwrap().split(' ').next().unwrap();
    let erased = run(folder, &format!("users erase {id} --yes --still-at-clerk")).done();
    assert!(erased.starts_with(&format!("Erased of {id}:\n")), "{erased}");
    assert_eq!(run(folder, &format!("users show {id}")).failed(1), "there is no such user\n");
    let link = run(folder, "admin link --listen 127.0.0.1:4040").done();
    assert!(link.starts_with("http://127.0.0.1:4040/admin/setup?token="), "{link}");
    let link = run(folder, "admin link --public-url https://roll.example.com").done();
    assert!(link.starts_with("https://roll.example.com/admin/setup?token="), "{link}");
    // A port that is taken, so that nobody else comes to it, and not listened at.
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let closed = taken.local_addr().unwrap();
    let err = run(folder, &format!("healthcheck --listen {closed}")).failed(1);
    assert!(err.starts_with(&format!("nothing listens at http://{closed}")), "{err}");
    let doctor = run(folder, "doctor");
    assert!(doctor.out.contains("FAIL  server       does not run on this data file"), "{}", doctor.out);
    assert_eq!(doctor.failed(1), "1 of 9 checks failed, 1 warning\n");
}

/// A folder whose settings lead to that Clerk.
fn home_with(clerk: &StandIn) -> TempDir {
    let folder = home();
    fs::write(folder.path().join("secret"), clerk.secret_key()).unwrap();
    let env = fs::read_to_string(folder.path().join(".env")).unwrap();
    let env = format!("{env}CLERK_SECRET_KEY_FILE=secret\nCLERK_API_URL={}\n", clerk.url);
    fs::write(folder.path().join(".env"), env).unwrap();
    folder
}

/// What the doctor found of that.
fn found<'a>(findings: &'a str, name: &str) -> &'a str {
    let line = |line: &&str| line[6..].strip_prefix(name).is_some_and(|rest| rest.starts_with("  "));
    findings.lines().find(line).unwrap_or_else(|| panic!("nothing of {name} in {findings}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_asks_clerk() {
    let clerk = StandIn::start("ins_test", Clock::system()).await.unwrap();
    clerk.put_crowd(&Scene::new(b"cli", AT), 2, AT);
    let home = home_with(&clerk);
    let folder = home.path();
    let alone = run(folder, "doctor");
    let takes = "ok    Clerk's API  takes the secret key; Clerk has 2 users";
    assert_eq!(found(&alone.out, "Clerk's API"), takes);
    assert!(!alone.out.contains("  users  "), "nothing to compare with: {}", alone.out);

    let (server, _) = serve(folder);
    let doctor = run(folder, "doctor").done();
    assert_eq!(found(&doctor, "Clerk's API"), takes);
    assert!(
        found(&doctor, "users      ").starts_with("warn  users        Clerk has 2 users, and the roll 0; "),
        "{doctor}"
    );
    assert!(
        found(&doctor, "comparison ").starts_with("ok    comparison   the users have not been compared"),
        "{doctor}"
    );
    assert!(found(&doctor, "writes     ").starts_with("ok    writes       taken"), "what the server finds: {doctor}");
    run(folder, "sync").done();
    let doctor = run(folder, "doctor").done();
    assert_eq!(found(&doctor, "users      "), "ok    users        as many on the roll as Clerk has: 2");
    assert!(found(&doctor, "comparison ").starts_with("ok    comparison   first comparison "), "{doctor}");

    let mut other = rollbook(folder, "doctor");
    other.env("CLERK_SECRET_KEY_FILE", "").env("CLERK_SECRET_KEY", "sk_test_canary0123456789");
    let other = Said::of(&mut other);
    let refused = found(&other.out, "Clerk's API");
    assert!(refused.starts_with("FAIL  Clerk's API  Clerk refuses the secret key; ") && !other.out.contains("canary"));
    assert!(other.failed(1).starts_with("1 of "));
    let mut mixed = rollbook(folder, "serve");
    mixed.env("CLERK_SECRET_KEY_FILE", "").env("CLERK_SECRET_KEY", "sk_live_canary0123456789");
    let mixed = Said::of(mixed.env("CLERK_PUBLISHABLE_KEY", "pk_test_Y2xlcmsuZXhhbXBsZS5jb20k")).failed(2);
    assert!(
        mixed.starts_with("CLERK_SECRET_KEY: is of a production instance, ") && !mixed.contains("canary"),
        "{mixed}"
    );
    clerk.stop().await;
    let down = run(folder, "doctor");
    assert!(down.out.contains("FAIL  Clerk's API  Clerk's API cannot be reached; "), "{}", down.out);
    assert_eq!(server.stop("TERM").0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_is_signed_in_as_a_user_from_the_terminal() {
    let clerk = StandIn::start("ins_test", Clock::system()).await.unwrap();
    clerk.put_crowd(&Scene::new(b"cli", AT), 2, AT);
    let home = home_with(&clerk);
    let folder = home.path();
    let (server, _) = serve(folder);
    run(folder, "sync").done();
    let user = clerk.users()[0]["id"].as_str().unwrap().to_owned();
    let boss = clerk.users()[1]["id"].as_str().unwrap().to_owned();
    let mut server = Some(server);
    // Over the socket, and then alone.
    for actor in [None, Some(&boss)] {
        let mut command = rollbook(folder, &format!("actor-token {user}"));
        command.args(["--reason", "Ticket 4711"]).args(actor.iter().flat_map(|actor| ["--actor", actor]));
        let said = Said::of(&mut command);
        assert_eq!(said.code, Some(0), "{}", said.err);
        let link = said.out.strip_suffix('\n').unwrap();
        assert!(link.starts_with(&clerk.url) && !link.contains('\n'), "the link alone: {link}");
        assert!(
            said.err.starts_with("works once, within 10 minutes, ") && !said.err.contains("ticket"),
            "{}",
            said.err
        );
        let page = client().get(link).send().await.unwrap();
        assert_eq!(page.status(), StatusCode::OK);
        let page = page.text().await.unwrap();
        assert!(page.contains(actor.map_or("rollbook:cli", String::as_str)), "{page}");
        assert_eq!(client().get(link).send().await.unwrap().status(), StatusCode::GONE);
        for (line, why) in [
            (format!("actor-token {user} --reason x --actor {user}"), "nobody is signed in as themselves"),
            (format!("actor-token {user} --reason x --actor rollbook:admin:eve"), "who acts has to be Clerk's id"),
            ("actor-token user_nobody --reason x".to_owned(), "there is no such user"),
        ] {
            let refused = run(folder, &line);
            assert_eq!(refused.out, "", "{line}");
            let err = refused.failed(1);
            assert!(err.starts_with(&format!("nobody was signed in: {why}")), "{line}: {err}");
        }
        let mut silent = rollbook(folder, &format!("actor-token {user}"));
        assert!(Said::of(silent.args(["--reason", " "])).failed(1).contains("give a reason"));
        run(folder, &format!("actor-token {user}")).failed(2);
        if let Some(server) = server.take() {
            assert_eq!(server.stop("TERM").0, Some(0));
        }
    }
    let mut keyless = rollbook(folder, &format!("actor-token {user} --reason x"));
    let err = Said::of(keyless.env("CLERK_SECRET_KEY_FILE", "")).failed(1);
    assert!(err.starts_with("Clerk makes the link, for whoever has the secret key: set CLERK_SECRET_KEY"), "{err}");
    let log = run(folder, "export audit --action actor_token.*").done();
    let count = |word: &str| log.lines().filter(|line| line.contains(word)).count();
    assert_eq!((count("actor_token.created"), count("actor_token.refused")), (2, 8), "{log}");
    assert_eq!((count("Ticket 4711"), count("clerk_ticket")), (2, 0), "{log}");
}

#[test]
fn doctor_needs_no_settings_to_say_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let said = run(folder.path(), "doctor");
    for text in ["FAIL  settings     CLERK_WEBHOOK_SIGNING_SECRET: ", "CLERK_PUBLISHABLE_KEY: ", "FAIL  server  "] {
        assert!(said.out.contains(text), "{}", said.out);
    }
    assert_eq!(said.failed(1), "2 of 5 checks failed\n");
}

#[test]
fn a_server_whose_folder_for_backups_takes_nothing_says_so_at_the_start() {
    let folder = home();
    let server = Running::start(rollbook(folder.path(), "serve").env("ROLLBOOK_BACKUP_DIR", "missing"));
    let warning = server.up_to("WARNING: no backups: ");
    assert!(warning.contains("/missing takes no files (No such file or directory); make the folder"), "{warning}");
    let findings = run(folder.path(), "doctor");
    let lines: Vec<&str> = findings.out.lines().filter(|line| line.contains("  backups  ")).collect();
    assert!(lines.len() == 1 && lines[0].contains("FAIL") && lines[0].contains("cannot be read: No such"), "{lines:?}");
    assert_eq!(server.stop("TERM").0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_everything_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // What is set must not matter, and what it makes must be found.
    let mut command = rollbook(folder.path(), "demo");
    command.env("TMPDIR", folder.path()).env("ROLLBOOK_DELETE", "nonsense").env("ROLLBOOK_DATA", "/nonsense");
    let demo = Running::start(&mut command);
    let lines = demo.lines_up_to("Stop with Ctrl-C");
    let after = |beginning: &str| {
        let line = lines.iter().find_map(|line| line.trim_start().strip_prefix(beginning));
        line.unwrap_or_else(|| panic!("no {beginning:?} in {lines:#?}"))
    };
    let base = after("listening on ");
    assert!(base.starts_with("http://127.0.0.1:"));
    let data = PathBuf::from(after("data in "));
    assert!(data.starts_with(folder.path()) && data.exists());
    for outcome in ["applied", "recorded", "duplicate", "stale"] {
        assert!(lines.iter().any(|line| line.ends_with(&format!(" {outcome}"))), "{lines:#?}");
    }

    let client = client();
    let link = after(&format!("{base}/admin/setup"));
    let page = client.get(format!("{base}/admin/setup{link}")).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);

    let token = after("TOKEN=");
    let curls: Vec<&String> = lines.iter().filter(|line| line.trim_start().starts_with("curl ")).collect();
    assert!(curls.len() >= 4);
    for curl in curls {
        let url = curl.split(' ').next_back().unwrap().trim_matches('\'');
        let request = client.get(url);
        let with_token = curl.contains("-H \"Authorization: Bearer $TOKEN\"");
        let request = if with_token { request.bearer_auth(token) } else { request };
        let is_stream = curl.contains("-H 'Accept: text/event-stream'");
        let request = if is_stream { request.header("accept", "text/event-stream") } else { request };
        let mut answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{curl}");
        if is_stream {
            let first = answer.chunk().await.unwrap().unwrap();
            assert!(String::from_utf8_lossy(&first).contains("event: user.created\n"), "{curl}");
            continue;
        }
        let body: Value = answer.json().await.unwrap();
        let known = body["status"] == "ok" || body["role"] == "ADMIN" || body["items"].as_array().unwrap().len() == 3;
        assert!(known, "{curl}: {body}");
    }
    let run = |command: &str| {
        let rest = after(&format!("{PROGRAM} {command}"));
        Said::of(Command::new("/bin/sh").args(["-c", &format!("{PROGRAM} {command}{rest}")]).env_clear())
    };
    let list = run("users list").done();
    assert_eq!(list.lines().count(), 8, "{list}");

    // What was lost is found, once.
    let report = run("sync").done();
    let count = |name: &str| report.lines().find(|line| line.starts_with(name)).unwrap().split_whitespace().nth(1);
    assert_eq!(["fetched", "created", "updated", "deleted"].map(count), [Some("7"), Some("0"), Some("1"), Some("0")]);
    assert!(
        report.ends_with("drift 1, made good\n") && run("sync").done().ends_with("drift 0: nothing was lost\n"),
        "{report}"
    );

    // The link shows a token of somebody else's, and whoever uses it acts for them.
    let page = client.get(run("actor-token").out.trim_end()).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    let page = page.text().await.unwrap();
    assert!(page.contains("<h1>Signed in as Noor "), "{page}");
    let theirs = page.split_once("<pre>").unwrap().1.split_once("</pre>").unwrap().0;
    let me = client.get(format!("{base}/api/auth/me")).bearer_auth(theirs).send().await.unwrap();
    assert_eq!(me.json::<Value>().await.unwrap()["email"], "noor@clinic.example.org");
    let log = client.get(format!("{base}/api/audit?action=session.created&limit=1")).bearer_auth(token).send();
    let log: Value = log.await.unwrap().json().await.unwrap();
    assert!(log["items"][0].to_string().contains("rollbook:cli"), "{log}");

    assert_eq!(demo.stop("INT").0, Some(0));
    assert!(!data.exists());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "something is left behind");
}
