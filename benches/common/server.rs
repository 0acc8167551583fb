//! The real release binary, serving on loopback, and what the system says of it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use rollbook::clerk::issuer::Issuer;

use super::wire::SECRET;

/// Whose tokens are taken, unless a bench says otherwise.
pub static ISSUER: LazyLock<Issuer> =
    LazyLock::new(|| Issuer::generate("https://clerk.example.com".to_owned(), "ins_bench").unwrap());

/// `rollbook` on that data file, and with no setting from outside.
pub fn rollbook(data: &Path) -> Command {
    let data = std::path::absolute(data).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollbook"));
    command.env_clear().env("ROLLBOOK_DATA", &data).current_dir(data.parent().unwrap()).stdin(Stdio::null());
    command
}

/// A process that ends with the bench.
pub struct Running {
    child: Child,
    /// The line that was waited for, without its beginning.
    pub line: String,
    /// From the start to that line.
    pub started: Duration,
}

impl Running {
    /// Starts it, and waits for the first line that begins so.
    pub fn start(command: &mut Command, begins: &str) -> Self {
        let begun = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let line = lines.find_map(|line| line.strip_prefix(begins).map(str::to_owned)).unwrap();
        let started = begun.elapsed();
        // Its log is read away, as a supervisor would; what went wrong is shown.
        let is_trouble = |line: &String| line.contains(r#""level":"ERROR""#);
        std::thread::spawn(move || lines.filter(is_trouble).for_each(|line| eprintln!("{line}")));
        Self { child, line, started }
    }

    /// What the system says of its memory under that name (`VmRSS`: all it holds now, `VmHWM`: the most it ever held), in
    /// MiB.
    pub fn memory(&self, name: &str) -> f64 {
        memory(self.child.id(), name).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// A server, stopped with the bench.
pub struct Server {
    pub process: Running,
    /// Host and port.
    pub address: String,
}

impl Server {
    /// With these settings besides the ones that every server needs, or in the place of those.
    pub fn start(data: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = rollbook(data);
        command
            .arg("serve")
            .env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET)
            .env("CLERK_ISSUER", "https://clerk.example.com")
            .env("CLERK_JWT_KEY", ISSUER.public_pem())
            .env("ROLLBOOK_LISTEN", "127.0.0.1:0")
            .env("ROLLBOOK_LOG", "warn")
            .envs(settings.iter().copied());
        let process = Running::start(&mut command, "listening on http://");
        Self { address: process.line.trim().to_owned(), process }
    }

    pub fn memory(&self, name: &str) -> f64 {
        self.process.memory(name)
    }
}

/// Waits for a command to end, which must do what was asked, and looks at something meanwhile, so often.
pub fn watched(mut command: Child, often: Duration, mut look: impl FnMut(u32)) {
    let status = loop {
        if let Some(status) = command.try_wait().unwrap() {
            break status;
        }
        look(command.id());
        std::thread::sleep(often);
    };
    assert!(status.success(), "{status}");
}

/// A line of what the system says of a process's memory, in MiB; `None` when it has ended.
pub fn memory(process: u32, name: &str) -> Option<f64> {
    let said = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
}
