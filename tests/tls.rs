//! HTTPS spoken by Rollbook itself: looked at by the command of OpenSSL, which would talk to us in every old and weak way there
//! is, and by clients of several makes; with certificates that change while it runs.
//!
//! What needs a program that is not there is skipped, and says so.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "common/authority.rs"]
mod authority;
mod common;
#[path = "common/process.rs"]
mod process;
#[path = "common/raw.rs"]
#[allow(dead_code, reason = "what speaks without TLS needs more of it")]
mod raw;

#[path = "tls/clients.rs"]
mod clients;
#[path = "tls/limits.rs"]
mod limits;
#[path = "tls/probes.rs"]
mod probes;
#[path = "tls/redirect.rs"]
mod redirect;
#[path = "tls/renewal.rs"]
mod renewal;
#[path = "tls/start.rs"]
mod start;

use std::io::Write as _;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::authority::Authority;
use crate::process::{Process, serve};

/// The real program with a certificate of an authority's, in a folder of its own.
struct Served {
    server: Process,
    authority: Authority,
    dir: TempDir,
}

impl Served {
    fn start() -> Self {
        Self::with(&[])
    }

    fn with(settings: &[(&str, &str)]) -> Self {
        let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        let mut command = serve(dir.path());
        command.envs(authority.make().write(dir.path())).envs(settings.iter().copied());
        std::fs::write(dir.path().join("root.pem"), authority.root()).unwrap();
        let server = Process::start(command).trusting(authority.client());
        Self { server, authority, dir }
    }

    /// A measurement, by the whole of what stands before it.
    fn measured(&self, name: &str) -> f64 {
        let text = self.server.connect().get("/metrics").unwrap().1;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    fn root(&self) -> String {
        self.dir.path().join("root.pem").display().to_string()
    }
}

/// Says what was not tried.
#[allow(clippy::explicit_write, reason = "what the macro prints a passing test keeps to itself")]
fn skip(what: &str, why: &str) {
    writeln!(std::io::stderr(), "SKIPPED {what}: {why}").unwrap();
}

/// Whether a program of that name can be started; a word about it where not.
fn has(program: &str, asked: &str) -> bool {
    let mut command = Command::new(program);
    let command = command.arg(asked).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let is_there = command.status().is_ok_and(|status| status.success());
    if !is_there {
        skip(program, "it is not there");
    }
    is_there
}
