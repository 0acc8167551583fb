//! The unit, and what the program tells systemd: a socket of ours stands where systemd's would.

use std::fs;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rollbook::config::SETTINGS;

use crate::common::SECRET;
use crate::process::{Process, refused, serve};
use crate::{approved, handed_out, is_root, judge, skip};

/// Nothing here takes this long. What does is a failure, not a slow machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where systemd would listen.
struct Ear(UnixDatagram);

impl Ear {
    fn at(address: &SocketAddr) -> Self {
        let socket = UnixDatagram::bind_addr(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(socket)
    }

    /// The next message, line by line.
    fn hear(&self) -> Vec<String> {
        let mut bytes = [0; 4096];
        let length = self.0.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap().lines().map(str::to_owned).collect()
    }

    /// What has come and was not heard yet.
    fn rest(&self) -> Vec<String> {
        self.0.set_nonblocking(true).unwrap();
        let mut bytes = [0; 4096];
        let mut rest = Vec::new();
        while let Ok(length) = self.0.recv(&mut bytes) {
            rest.push(String::from_utf8(bytes[..length].to_vec()).unwrap());
        }
        rest
    }
}

fn told(dir: &Path, socket: &str, more: &[(&str, &str)]) -> Command {
    let mut command = serve(dir);
    command.env("NOTIFY_SOCKET", socket).envs(more.iter().copied());
    command
}

#[test]
fn it_says_that_it_is_ready_well_and_stopping() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let ear = Ear::at(&SocketAddr::from_pathname(&path).unwrap());
    // What another process is to do is nothing to us.
    let wanted = [("WATCHDOG_USEC", "200000")];
    let server = Process::start(told(dir.path(), path.to_str().unwrap(), &wanted));
    assert_eq!(ear.hear(), ["READY=1".to_owned(), format!("STATUS=listening on http://{}", server.address)]);
    assert_eq!(server.connect().get("/ready").unwrap().0, 200);
    for _ in 0..3 {
        assert_eq!(ear.hear(), ["WATCHDOG=1"]);
    }
    server.terminate();
    let said = loop {
        match ear.hear() {
            beat if beat == ["WATCHDOG=1"] => {}
            other => break other,
        }
    };
    assert_eq!(said, ["STOPPING=1", "STATUS=finishing the requests under way"]);
    assert!(server.wait().0.success());
    assert_eq!(ear.rest(), Vec::<String>::new(), "it is not well any more, and not ready");
}

#[test]
fn it_says_so_where_the_socket_is_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let name = format!("rollbook-{}", dir.path().file_name().unwrap().to_str().unwrap());
    let ear = Ear::at(&SocketAddr::from_abstract_name(&name).unwrap());
    // What another process is to do is nothing to us.
    let wanted = [("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")];
    let server = Process::start(told(dir.path(), &format!("@{name}"), &wanted));
    assert_eq!(ear.hear()[0], "READY=1");
    assert_eq!(server.connect().get("/ready").unwrap().0, 200);
    server.terminate();
    assert!(server.wait().0.success());
    assert_eq!(ear.rest().len(), 1, "STOPPING=1 alone");
}

#[test]
fn nobody_has_to_listen() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = told(dir.path(), "/nonexistent/notify", &[("WATCHDOG_USEC", "1000")]);
    let server = Process::start({
        command.env("ROLLBOOK_LOG", "warn");
        command
    });
    assert_eq!(server.connect().get("/ready").unwrap().0, 200);
    server.terminate();
    let (status, said) = server.wait();
    assert!(status.success() && said.matches("supervisor.unreachable").count() == 1, "{said}");
    // An empty name is none.
    let server = Process::start(told(dir.path(), "", &[]));
    server.terminate();
    let (status, said) = server.wait();
    assert!(status.success() && !said.contains("supervisor"), "{said}");
}

/// The lines of the unit, as name and value.
fn unit() -> Vec<(String, String)> {
    let unit = handed_out("rollbook.service");
    let lines = unit.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('=')).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn values<'a>(unit: &'a [(String, String)], name: &'a str) -> impl Iterator<Item = &'a str> {
    unit.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
}

#[test]
fn the_unit_sets_what_there_is() {
    let unit = unit();
    let credentials: Vec<&str> =
        values(&unit, "LoadCredential").map(|value| value.split_once(':').unwrap().0).collect();
    let mut from_credentials = 0;
    for (name, value) in values(&unit, "Environment").map(|set| set.split_once('=').unwrap()) {
        let setting = |name: &str| SETTINGS.iter().find(|setting| setting.name == name);
        match name.strip_suffix("_FILE").and_then(setting) {
            Some(secret) => {
                assert!(secret.is_secret(), "{name}");
                assert!(credentials.contains(&value.strip_prefix("%d/").unwrap()), "{name}={value}");
                from_credentials += 1;
            }
            None => assert!(setting(name).is_some_and(|setting| !setting.is_secret()), "{name}"),
        }
        // Where it writes, it has to be allowed to.
        if let Some(folder) = value.strip_prefix("%S/") {
            let folder = folder.split('/').next().unwrap();
            assert!(values(&unit, "StateDirectory").any(|all| all.split(' ').any(|f| f == folder)), "{name}={value}");
        }
    }
    assert_eq!(from_credentials, credentials.len());
    let one = |name| values(&unit, name).collect::<Vec<_>>();
    assert_eq!((one("Type"), one("RestartPreventExitStatus")), (vec!["notify"], vec!["2"]));
}

#[test]
fn systemd_takes_the_unit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rollbook.service");
    let here = handed_out("rollbook.service").replace("/usr/local/bin/rollbook", env!("CARGO_BIN_EXE_rollbook"));
    fs::write(&path, &here).unwrap();
    let path = path.to_str().unwrap();
    let Some(verified) = judge("systemd-analyze", &["verify", "--man=no", path]) else { return };
    assert_eq!(approved(&verified), "", "systemd has something to say");
    // In tenths of what it calls exposure, of which there are 100.
    let secure = ["security", "--offline=yes", "--threshold=15", "--no-pager", path];
    if let Some(judged) = judge("systemd-analyze", &secure) {
        assert!(approved(&judged).contains("Overall exposure level"));
    }
    // And it would have said something.
    fs::write(path, here.replace("ProtectHome=yes\n", "ProtectHome=perhaps\n")).unwrap();
    let broken = judge("systemd-analyze", &["verify", "--man=no", path]).unwrap();
    assert!(String::from_utf8_lossy(&broken.stderr).contains("protect home value"), "{broken:?}");
}

/// What `LoadCredential=` comes to: a folder and a file in it that the user of the service alone can read.
#[test]
fn secrets_are_read_from_credentials() {
    let dir = tempfile::tempdir().unwrap();
    let credentials = dir.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    let file = credentials.join("webhook-signing-secret");
    fs::write(&file, format!("{SECRET}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
    fs::set_permissions(&credentials, fs::Permissions::from_mode(0o500)).unwrap();
    let command = || {
        let mut command = serve(dir.path());
        command.env("CLERK_WEBHOOK_SIGNING_SECRET", "").env("CLERK_WEBHOOK_SIGNING_SECRET_FILE", &file);
        command
    };
    let server = Process::start(command());
    assert_eq!(server.connect().deliver("msg_1", "{}").unwrap().0, 200);
    server.terminate();
    assert!(server.wait().0.success());

    // Missing, or somebody else's.
    fs::set_permissions(&credentials, fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = command();
    if is_root() {
        // Root may read anything; whom the secret is not for may not.
        for path in [dir.path(), &dir.path().join("rollbook.redb")] {
            chown(path, Some(65534), Some(65534)).unwrap();
        }
        fs::set_permissions(&credentials, fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::process::CommandExt::uid(&mut command, 65534);
    }
    let (code, said) = refused(command);
    let expected = format!("CLERK_WEBHOOK_SIGNING_SECRET_FILE: {} cannot be read: Permission denied", file.display());
    if said.contains("Permission denied") {
        assert!(code == Some(2) && said.starts_with(&expected), "{said}");
    } else {
        skip("a secret that cannot be read", format!("{code:?} {said}"));
    }
}
