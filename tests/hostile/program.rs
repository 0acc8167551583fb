//! The real program, serving, with an admin who is signed in.

use std::fs::DirBuilder;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use reqwest::header::SET_COOKIE;
use reqwest::{Client, RequestBuilder};
use tempfile::TempDir;

use crate::common::tokens::ISSUER;
use crate::common::{CLERK, SECRET};

const PASSWORD: &str = "four plain grey mice";

pub(crate) struct Program {
    pub(crate) home: TempDir,
    child: Child,
    address: String,
    client: Client,
}

impl Program {
    /// Started by a shell that first runs `before`.
    pub(crate) fn start(before: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        DirBuilder::new().mode(0o700).create(home.path().join("backups")).unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("{before}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_rollbook"), "serve"]);
        command.current_dir(home.path()).env_clear().stdin(Stdio::null()).stdout(Stdio::piped());
        command.env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET).env("CLERK_ISSUER", ISSUER);
        command.env("CLERK_JWT_KEY", CLERK.pem()).env("ROLLBOOK_LISTEN", "127.0.0.1:0");
        command.env("ROLLBOOK_DATA", data(home.path())).env("ROLLBOOK_LOG", "error");
        command.env("ROLLBOOK_BACKUP_DIR", home.path().join("backups"));
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| line.unwrap().strip_prefix("listening on ").map(str::to_owned));
        // Read to the end: a full pipe must not be what holds it up.
        std::thread::spawn(move || lines.for_each(drop));
        let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { home, child, address: address.unwrap(), client }
    }

    /// What another command prints, which must succeed.
    pub(crate) fn printed(&self, before: &str, arguments: &[&str]) -> String {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!("{before}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_rollbook")]).args(arguments);
        command.current_dir(self.home.path()).env_clear().env("ROLLBOOK_DATA", data(self.home.path()));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A form as our own page sends it.
    pub(crate) fn form(&self, path: &str, fields: &[(&str, &str)]) -> RequestBuilder {
        let request = self.client.post(format!("{}{path}", self.address)).header("sec-fetch-site", "same-origin");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.body(serde_urlencoded::to_string(fields).unwrap())
    }

    /// Sets the admin's password; the cookie of the session that opens.
    pub(crate) async fn admin(&self) -> String {
        let link = self.printed("true", &["admin", "link"]);
        let token = link.trim().rsplit_once("token=").unwrap().1;
        let form = self.form("/admin/setup", &[("token", token), ("password", PASSWORD), ("again", PASSWORD)]);
        let answer = form.send().await.unwrap();
        assert_eq!(answer.status(), 303);
        answer.headers()[SET_COOKIE].to_str().unwrap().split(';').next().unwrap().to_owned()
    }

    /// What the kernel says of the process.
    pub(crate) fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap()
    }

    /// Sends a signal, and waits for the end that it brings.
    pub(crate) fn end(mut self, signal: &str) -> (ExitStatus, TempDir) {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let status = self.child.wait().unwrap();
        (status, std::mem::replace(&mut self.home, tempfile::tempdir().unwrap()))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn data(home: &Path) -> PathBuf {
    home.join("rollbook.redb")
}

#[expect(clippy::explicit_write, reason = "a passing test keeps to itself what it prints by macro")]
pub(crate) fn skip(what: &str, why: &str) {
    writeln!(std::io::stderr(), "SKIPPED {what}: {why}").unwrap();
}
