//! The real binary as its operator runs it: started, listened to, killed.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, clippy::panic)]

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::common::tokens::ISSUER;
use crate::common::{CLERK, SECRET, sign};

/// Nothing here takes this long. What does is a failure, not a slow machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// `rollbook serve` on the folder's data file and a free port, with no setting from outside.
pub fn serve(dir: &Path) -> Command {
    configured(Command::new(env!("CARGO_BIN_EXE_rollbook")), dir)
}

/// The same, started by a shell that first runs `before`.
pub fn serve_after(before: &str, dir: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("{before}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_rollbook")]);
    configured(command, dir)
}

/// The same, started by another program, which puts itself between Rollbook and the system.
pub fn serve_under(program: &str, arguments: &[&str], dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).arg(env!("CARGO_BIN_EXE_rollbook"));
    let mut command = configured(command, dir);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

fn configured(mut command: Command, dir: &Path) -> Command {
    command
        .arg("serve")
        .current_dir(dir)
        .env_clear()
        .env("CLERK_WEBHOOK_SIGNING_SECRET", SECRET)
        .env("CLERK_ISSUER", ISSUER)
        .env("CLERK_JWT_KEY", CLERK.pem())
        .env("ROLLBOOK_LISTEN", "127.0.0.1:0")
        .env("ROLLBOOK_DATA", dir.join("rollbook.redb"))
        .env("ROLLBOOK_LOG", "error")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A server that runs.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    /// From the start to the line that says where it listens.
    pub took: Duration,
    output: Option<JoinHandle<String>>,
    trust: Option<Arc<ClientConfig>>,
}

impl Process {
    /// Starts it and waits until it listens, which it must.
    pub fn start(command: Command) -> Self {
        Self::launch(command).unwrap_or_else(|(status, said)| panic!("the server did not start: {status}: {said}"))
    }

    /// Starts it, waits until it listens, and hangs up on what else it has to say.
    pub fn start_unheard(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        drop(child.stderr.take());
        let (address, said) = listening(&mut lines).unwrap();
        Self { child, address, took: Duration::ZERO, output: Some(std::thread::spawn(|| said)), trust: None }
    }

    /// Starts it and waits until it listens; how it ended and what it said where it does not come to that.
    pub fn launch(mut command: Command) -> Result<Self, (ExitStatus, String)> {
        let since = Instant::now();
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut errors = child.stderr.take().unwrap();
        let (address, mut said) = match listening(&mut lines) {
            Ok(listening) => listening,
            Err(mut said) => {
                errors.read_to_string(&mut said).unwrap();
                return Err((child.wait().unwrap(), said));
            }
        };
        let took = since.elapsed();
        // Read to the end: a full pipe must not be what holds the server up.
        let output = std::thread::spawn(move || {
            lines.read_to_string(&mut said).unwrap();
            errors.read_to_string(&mut said).unwrap();
            said
        });
        Ok(Self { child, address, took, output: Some(output), trust: None })
    }

    /// Whose certificate connections to it ask for, which are within TLS from now on.
    pub fn trusting(mut self, trust: Arc<ClientConfig>) -> Self {
        self.trust = Some(trust);
        self
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// A signal, by its name without `SIG`.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("/bin/sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// The process that ours has started and waits for.
    pub fn child_of_child(&self) -> Option<u32> {
        let ours = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{ours}/task/{ours}/children")).unwrap();
        children.split_whitespace().next().map(|id| id.parse().unwrap())
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// How much memory it has, in bytes.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// How it ended, and what it said. It has to end.
    pub fn wait(self) -> (ExitStatus, String) {
        self.end().unwrap_or_else(|said| panic!("the server does not end: {said}"))
    }

    /// The same, or what it said, where it does not end and is killed.
    pub fn end(mut self) -> Result<(ExitStatus, String), String> {
        let since = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break Some(status);
            }
            if since.elapsed() > PATIENCE {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                break None;
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let said = self.output.take().unwrap().join().unwrap();
        status.map_or(Err(said.clone()), |status| Ok((status, said)))
    }

    /// A new connection to it.
    pub fn connect(&self) -> Line {
        match &self.trust {
            None => Line::to(self.address).unwrap(),
            Some(trust) => Line::within_tls(self.address, Arc::clone(trust)).unwrap(),
        }
    }
}

/// Where it says it listens, and what it said before; that alone if it has ended.
fn listening(lines: &mut impl io::BufRead) -> Result<(SocketAddr, String), String> {
    let mut said = String::new();
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).unwrap() == 0 {
            return Err(said);
        }
        let listens = line.strip_prefix("listening on ").and_then(|line| line.split_once("://"));
        if let Some((_, address)) = listens {
            return Ok((address.trim().parse().unwrap(), said));
        }
        said += &line;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already, but for tests that failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command that must refuse to start; returns its exit code and what it said on standard error.
pub fn refused(mut command: Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// What bytes go over.
trait Stream: io::Read + io::Write + Send {}

impl<T: io::Read + io::Write + Send> Stream for T {}

/// A connection that is kept and says exactly what it is told to.
pub struct Line {
    host: String,
    stream: BufReader<Box<dyn Stream>>,
}

impl Line {
    pub fn to(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { host: address.to_string(), stream: BufReader::new(Box::new(connected(address)?)) })
    }

    /// The same within TLS. What it begins with is agreed on with the first request.
    pub fn within_tls(address: SocketAddr, trust: Arc<ClientConfig>) -> io::Result<Self> {
        let tls = ClientConnection::new(trust, ServerName::from(address.ip())).map_err(io::Error::other)?;
        let stream = StreamOwned::new(tls, connected(address)?);
        Ok(Self { host: address.to_string(), stream: BufReader::new(Box::new(stream)) })
    }

    /// Delivers a message; the status and body of the answer, or an error when it did not come whole.
    pub fn deliver(&mut self, id: &str, body: &str) -> io::Result<(u16, String)> {
        self.deliver_at(sign::now_seconds(), id, body)
    }

    /// The same, signed at another time, in seconds since 1970.
    pub fn deliver_at(&mut self, at: i64, id: &str, body: &str) -> io::Result<(u16, String)> {
        self.say(&format!("{}\r\n{body}", self.head_at(at, id, body)))?;
        self.hear()
    }

    pub fn get(&mut self, path: &str) -> io::Result<(u16, String)> {
        self.say(&self.request(path, ""))?;
        self.hear()
    }

    pub fn get_as(&mut self, token: &str, path: &str) -> io::Result<(u16, String)> {
        self.say(&self.request(path, &format!("authorization: Bearer {token}\r\n")))?;
        self.hear()
    }

    /// A request for that path, with those lines in its head.
    pub fn request(&self, path: &str, lines: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nhost: {}\r\n{lines}\r\n", self.host)
    }

    /// The head of a delivery, but for the line that ends it.
    pub fn head(&self, id: &str, body: &str) -> String {
        self.head_at(sign::now_seconds(), id, body)
    }

    fn head_at(&self, at: i64, id: &str, body: &str) -> String {
        let (host, length) = (&self.host, body.len());
        let mut head = format!("POST /api/webhooks/clerk HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\n");
        for (name, value) in sign::sign(SECRET, id, at, body.as_bytes()) {
            head.extend([name, ": ", &value, "\r\n"]);
        }
        head
    }

    pub fn say(&mut self, text: &str) -> io::Result<()> {
        self.stream.get_mut().write_all(text.as_bytes())
    }

    /// Reads on to the line with that in it.
    pub fn hear_of(&mut self, text: &str) -> io::Result<()> {
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line.contains(text) {
                return Ok(());
            }
        }
    }

    /// One whole answer.
    pub fn hear(&mut self) -> io::Result<(u16, String)> {
        let gone = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let (mut status, mut length) = (None, 0);
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let line = line.strip_suffix("\r\n").ok_or_else(gone)?.to_ascii_lowercase();
            if status.is_none() {
                status = Some(line.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(gone)?);
            } else if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().map_err(|_| gone())?;
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok((status.unwrap(), String::from_utf8(body).unwrap()))
    }
}

fn connected(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// What a command said, and how it ended.
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    /// What it said, where it did what was asked, which it has to.
    pub fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        self.out
    }

    /// Why it did not do what was asked: one sentence.
    pub fn refusal(self) -> String {
        assert_eq!(self.code, Some(1), "{}{}", self.out, self.err);
        assert_eq!(self.err.trim().lines().count(), 1, "one sentence is enough: {}", self.err);
        self.err
    }
}

/// `rollbook` with these arguments in that folder, with its data file and no other setting.
pub fn rollbook(dir: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollbook"));
    said(command.args(arguments).current_dir(dir).env_clear().env("ROLLBOOK_DATA", dir.join("rollbook.redb")))
}

/// The same, of any command.
pub fn said(command: &mut Command) -> Said {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}
