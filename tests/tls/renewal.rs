//! Certificates that change while the server runs.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rollbook::clock::Clock;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::Served;
use crate::authority::{Authority, Made};
use crate::process::{Process, rollbook, serve};

/// Nothing here takes this long.
const PATIENCE: Duration = Duration::from_mins(1);

/// A connection that asks for `/health` over and over.
struct Kept(StreamOwned<ClientConnection, TcpStream>);

impl Kept {
    fn open(address: SocketAddr, trust: Arc<ClientConfig>) -> Self {
        let tls = ClientConnection::new(trust, ServerName::from(address.ip())).unwrap();
        let mut kept = Self(StreamOwned::new(tls, TcpStream::connect(address).unwrap()));
        kept.ask();
        kept
    }

    fn ask(&mut self) {
        self.0.write_all(b"GET /health HTTP/1.1\r\nhost: localhost:").unwrap();
        let port = self.0.sock.peer_addr().unwrap().port();
        self.0.write_all(format!("{port}\r\n\r\n").as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(br#"{"status":"ok"}"#) {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    }

    /// The certificate that the server showed.
    fn shown(&self) -> &[u8] {
        &self.0.conn.peer_certificates().unwrap()[0]
    }
}

/// Waits until new connections are shown that certificate.
fn wait_for(server: &Process, authority: &Authority, made: &Made) {
    let since = Instant::now();
    while Kept::open(server.address, authority.client()).shown() != made.der {
        assert!(since.elapsed() < PATIENCE, "the certificate is not taken");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until the server says that what is in the files cannot be served, or that it can.
fn wait_for_trouble(served: &Served, is_troubled: bool) {
    let since = Instant::now();
    while (served.measured("rollbook_tls_certificate_renewed") == 0.0) != is_troubled {
        assert!(since.elapsed() < PATIENCE, "the files are not looked at");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_new_certificate_is_for_new_connections_and_old_ones_go_on() {
    let served = Served::start();
    let mut old = Kept::open(served.server.address, served.authority.client());
    let first = old.shown().to_vec();
    let renewed = served.authority.make();
    renewed.write(served.dir.path());
    wait_for(&served.server, &served.authority, &renewed);
    // The same connection, not another: it has the certificate it began with, and is served.
    old.ask();
    assert_eq!(old.shown(), first);
    let again = served.authority.make();
    again.write(served.dir.path());
    wait_for(&served.server, &served.authority, &again);
    old.ask();
}

#[test]
fn a_ticket_ends_with_its_certificate() {
    let served = Served::start();
    let client = served.authority.client();
    drop(Kept::open(served.server.address, Arc::clone(&client)));
    let back = Kept::open(served.server.address, Arc::clone(&client));
    assert_eq!(back.0.conn.handshake_kind(), Some(tokio_rustls::rustls::HandshakeKind::Resumed));
    let renewed = served.authority.make();
    renewed.write(served.dir.path());
    wait_for(&served.server, &served.authority, &renewed);
    assert_eq!(Kept::open(served.server.address, client).shown(), renewed.der);
}

#[test]
fn a_key_that_does_not_fit_changes_nothing() {
    let served = Served::start();
    let key = served.dir.path().join("key.pem");
    let shown = Kept::open(served.server.address, served.authority.client()).shown().to_vec();
    let renewed = served.authority.make();
    let (old_key, _) = (fs::read_to_string(&key).unwrap(), renewed.write(served.dir.path()));
    fs::write(&key, old_key).unwrap();
    wait_for_trouble(&served, true);
    assert_eq!(Kept::open(served.server.address, served.authority.client()).shown(), shown, "the old one is served on");
    let found = rollbook(served.dir.path(), &["doctor"]).out;
    let line = found.lines().find(|line| line.contains("certificate")).unwrap();
    assert!(line.starts_with("FAIL") && line.contains("does not hold the key of the first certificate"), "{found}");
    fs::write(&key, &renewed.key).unwrap();
    wait_for(&served.server, &served.authority, &renewed);
    wait_for_trouble(&served, false);
    served.server.terminate();
    let (status, said) = served.server.wait();
    assert!(status.success());
    assert_eq!(said.matches("tls.certificate_not_renewed").count(), 1, "said once: {said}");
}

#[test]
fn an_expired_certificate_is_not_taken_for_a_good_one() {
    let served = Served::start();
    let shown = Kept::open(served.server.address, served.authority.client()).shown().to_vec();
    let expired = served.authority.make_with(&rcgen::KeyPair::generate().unwrap(), |wanted| {
        wanted.not_before = rcgen::date_time_ymd(2020, 1, 1);
        wanted.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    expired.write(served.dir.path());
    wait_for_trouble(&served, true);
    assert_eq!(Kept::open(served.server.address, served.authority.client()).shown(), shown);
}

/// As Kubernetes and certbot renew: the names that the settings have lead over a link that is turned.
#[test]
fn links_are_followed_to_where_they_lead_now() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let put = |name: &str| {
        let made = authority.make();
        fs::create_dir(dir.path().join(name)).unwrap();
        made.write(&dir.path().join(name));
        made
    };
    let turn = |to: &str| {
        let (new, place) = (dir.path().join("..new"), dir.path().join("..data"));
        symlink(to, &new).unwrap();
        fs::rename(new, place).unwrap();
    };
    put("..1");
    turn("..1");
    for name in ["chain.pem", "key.pem"] {
        symlink(Path::new("..data").join(name), dir.path().join(name)).unwrap();
    }
    let mut command = serve(dir.path());
    command.env("ROLLBOOK_TLS_CERT", dir.path().join("chain.pem")).env("ROLLBOOK_TLS_KEY", dir.path().join("key.pem"));
    let server = Process::start(command).trusting(authority.client());
    let second = put("..2");
    turn("..2");
    fs::remove_dir_all(dir.path().join("..1")).unwrap();
    wait_for(&server, &authority, &second);
}

#[test]
fn its_end_is_measured_and_told() {
    let served = Served::start();
    let now = Clock::system().now();
    let soon = served.authority.make_with(&rcgen::KeyPair::generate().unwrap(), |wanted| {
        wanted.not_after = wanted.not_before + Duration::from_hours(24 * 365 * 60);
    });
    // What rcgen makes is good from 1975 on: 60 years from there is 2034 or 2035.
    soon.write(served.dir.path());
    wait_for(&served.server, &served.authority, &soon);
    let end = served.measured("rollbook_tls_certificate_expiry_timestamp_seconds");
    #[allow(clippy::cast_precision_loss)]
    let years = (end - now.as_seconds() as f64) / (365.25 * 86_400.0);
    assert!((5.0..12.0).contains(&years), "{years} years");
    let found = rollbook(served.dir.path(), &["doctor"]).out;
    let line = found.lines().find(|line| line.contains("certificate")).unwrap();
    // The key that the test wrote is for everybody to read.
    assert!(line.starts_with("warn") && line.contains("key.pem") && line.contains("chmod"), "{found}");
}
