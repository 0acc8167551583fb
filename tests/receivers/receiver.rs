//! A service in another language, as a process that can be killed and started again.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;

/// What it is told is signed with this.
pub(crate) const SECRET: &str = "whsec_dGhlIHJlY2VpdmVycycgb3duIHNlY3JldCBpcyB0aGlz";

/// An address of this machine from which nobody calls out: its port stays free while nobody listens.
const HOST: &str = "127.0.0.2";

/// Nothing here takes this long.
const PATIENCE: Duration = Duration::from_mins(2);

/// What a service says when what it needs is not installed.
const NOT_HERE: i32 = 77;

/// What a service is written in, and how it is run.
#[derive(Clone, Copy)]
pub(crate) struct Language {
    name: &'static str,
    program: &'static str,
    script: &'static str,
}

pub(crate) const FASTAPI: Language = Language { name: "FastAPI", program: "python3", script: "app.py" };
pub(crate) const EXPRESS: Language = Language { name: "Express", program: "node", script: "app.js" };

/// A service.
pub(crate) struct Receiver {
    language: Language,
    file: PathBuf,
    settings: Vec<(&'static str, String)>,
    address: SocketAddr,
    child: Child,
    calls: mpsc::Receiver<Value>,
    /// How often it was killed.
    pub(crate) kills: usize,
}

impl Receiver {
    /// Starts one that notes its calls in that folder. `None`, and a line that says why, where it cannot run.
    pub(crate) fn start(language: Language, home: &Path, settings: &[(&'static str, String)]) -> Option<Self> {
        let file = home.join("calls.jsonl");
        #[expect(clippy::explicit_write, reason = "a passing test keeps to itself what it prints by macro")]
        let skip = |why: &str| writeln!(std::io::stderr(), "SKIPPED {}: {why}", language.name).unwrap();
        match run(language, &file, settings, 0) {
            Ok((port, child, calls)) => Some(Self {
                language,
                file,
                settings: settings.to_vec(),
                address: format!("{HOST}:{port}").parse().unwrap(),
                child,
                calls,
                kills: 0,
            }),
            Err(why) => {
                skip(why.trim());
                None
            }
        }
    }

    /// The address of a path of its.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Waits until it has taken so many more.
    pub(crate) fn takes(&mut self, mut count: u64) {
        self.takes_until(|_| {
            count -= 1;
            count == 0
        });
    }

    /// Waits until it has taken one that fits.
    pub(crate) fn has_taken(&mut self, fits: impl Fn(&Value) -> bool) {
        // What is not in the file yet is printed when it is.
        if !self.noted().iter().any(&fits) {
            self.takes_until(fits);
        }
    }

    fn takes_until(&mut self, mut fits: impl FnMut(&Value) -> bool) {
        while !fits(&self.calls.recv_timeout(PATIENCE).unwrap()) {}
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.kills += 1;
    }

    /// Starts it again where it was.
    pub(crate) fn restart(&mut self) {
        (_, self.child, self.calls) = run(self.language, &self.file, &self.settings, self.address.port()).unwrap();
    }

    /// Every call that it has taken, as its file has them.
    pub(crate) fn noted(&self) -> Vec<Value> {
        fs::read_to_string(&self.file).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process, its port, and each call that it takes; or why it cannot run here.
fn run(
    language: Language,
    file: &Path,
    settings: &[(&'static str, String)],
    port: u16,
) -> Result<(u16, Child, mpsc::Receiver<Value>), String> {
    let script = format!("{}/tests/receivers/{}", env!("CARGO_MANIFEST_DIR"), language.script);
    let mut command = Command::new(language.program);
    command.arg(script).arg(file).args([HOST, &port.to_string()]).env("SECRET", SECRET);
    command.envs(settings.iter().map(|(name, value)| (name, value))).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|cause| format!("{}: {cause}", language.program))?;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().transpose().unwrap().unwrap_or_default();
    let Ok(port) = first.parse() else {
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(NOT_HERE), "{first}");
        return Err(first);
    };
    let (sender, calls) = mpsc::channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            // Killed in the middle of a line, or nobody listens any more.
            let Ok(call) = serde_json::from_str(&line) else { break };
            if sender.send(call).is_err() {
                break;
            }
        }
    });
    Ok((port, child, calls))
}
