//! More connections than there is room for, and clients that read or write as slowly as they may.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;

use crate::authority::Authority;
use crate::common::wait;
use crate::file::Witness;
use crate::ledger::{Ledger, left_behind, nth};
use crate::process::{Process, rollbook, serve, serve_after};
use crate::skip;

/// As many as come: far more than the 1,024 there is room for.
const CROWD: usize = 5_000;

/// How many connections this process may have open besides what else it needs, once it has asked for all it can get.
fn room() -> usize {
    let limits = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, ..limits }).unwrap();
    limits.maximum.map_or(usize::MAX, |most| usize::try_from(most).unwrap()).saturating_sub(500)
}

/// So many connections that have said this and say nothing more.
fn crowd(address: SocketAddr, size: usize, says: impl AsRef<[u8]>) -> Vec<TcpStream> {
    let join = |_| {
        let mut stream = TcpStream::connect(address).unwrap();
        // Closed on already, for another that came later: as good.
        let _ = stream.write_all(says.as_ref());
        stream
    };
    (0..size).map(join).collect()
}

/// One of the server's measurements.
fn measured(server: &Process, name: &str) -> u64 {
    let text = server.connect().get("/metrics").unwrap().1;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
    line.parse().unwrap()
}

/// The line of a head that shows a key to the log.
fn key(dir: &TempDir) -> String {
    let key = rollbook(dir.path(), &["keys", "create", "--name", "a server", "--scope", "audit:read"]).done();
    format!("authorization: Bearer {}\r\n", key.trim())
}

/// Whoever comes next is served, and who was being served still is.
fn besiege(says: impl AsRef<[u8]>) {
    let dir = tempfile::tempdir().unwrap();
    let command = serve(dir.path());
    besiege_at(&dir, |_| Process::start(command), says.as_ref());
}

fn besiege_at(dir: &TempDir, start: impl FnOnce(&TempDir) -> Process, says: &[u8]) {
    if room() < CROWD {
        return skip("5,000 connections", "the system lets a process have too few files open");
    }
    let server = start(dir);
    let mut listener = server.connect();
    let stream = listener.request("/api/events?after=0", &format!("{}accept: text/event-stream\r\n", key(dir)));
    listener.say(&stream).unwrap();
    listener.hear_of("HTTP/1.1 200").unwrap();

    let crowd = crowd(server.address, CROWD, says);
    let since = Instant::now();
    assert_eq!(server.connect().deliver("msg_2", &nth(2).1).unwrap().0, 200);
    println!("{CROWD} connections that say \"{}\"; a webhook took {:?}", says.escape_ascii(), since.elapsed());
    listener.hear_of("user_2").unwrap();
    assert_eq!(measured(&server, "rollbook_connections_refused_total"), 0);
    // As many as came, but for those there is room for and those whose time was over.
    assert!(measured(&server, "rollbook_connections_closed_idle_total") > 0);
    wait::blocking("1,024 connections at most", || measured(&server, "rollbook_connections") <= 1024);
    drop(crowd);
    server.terminate();
    assert!(server.wait().0.success());
}

#[test]
fn five_thousand_idle_connections_keep_nobody_out() {
    besiege("");
}

#[test]
fn five_thousand_half_sent_heads_keep_nobody_out() {
    besiege("POST /api/webhooks/clerk HTTP/1.1\r\nhost: localhost\r\nsvix-id: msg_");
}

#[test]
fn five_thousand_half_done_handshakes_keep_nobody_out() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let mut command = serve(dir.path());
    command.envs(authority.make().write(dir.path()));
    let start = |_: &TempDir| Process::start(command).trusting(authority.client());
    // The record, the message, the version, and a bit of what is random in it: 500 bytes are still to come.
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03rollbook";
    besiege_at(&dir, start, hello);
}

#[test]
fn few_descriptors_are_kept_for_what_matters() {
    let (dir, ledger) = (tempfile::tempdir().unwrap(), Ledger::default());
    let server = Process::start(serve_after("ulimit -n 64", dir.path()));
    let mut crowd = crowd(server.address, 300, "");
    let mut line = server.connect();
    for n in 0..30 {
        let (id, body) = nth(n);
        assert_eq!(line.deliver(&id, &body).unwrap().0, 200);
        ledger.acknowledged.lock().unwrap().insert(n);
    }
    // The mark beside the data file is written anew, the command has its connection, too.
    rollbook(dir.path(), &["checkpoint"]).done();
    // One that was sent away counts, and holds its descriptor, until its task has run.
    wait::blocking("32 connections at most", || measured(&server, "rollbook_connections") <= 32);
    // The oldest of them have gone.
    assert_eq!(crowd[0].read(&mut [0; 16]).unwrap_or(0), 0);
    drop(crowd);
    server.kill();
    ledger.check(&left_behind(dir.path()), &mut Witness::default());
}

#[test]
fn who_reads_slowly_costs_little_and_slows_nobody() {
    let (dir, ledger) = (tempfile::tempdir().unwrap(), Ledger::default());
    ledger.run(Process::start(serve(dir.path())), 8, 500, Process::kill);
    let server = Process::start(serve(dir.path()));
    let key = key(&dir);
    let mut line = server.connect();
    let page = line.request("/api/audit?limit=500", &key);
    let stream = line.request("/api/events?after=0", &format!("{key}accept: text/event-stream\r\n"));
    line.say(&page).unwrap();
    assert_eq!(line.hear().unwrap().0, 200);
    let before = server.resident();
    let readers = [crowd(server.address, 20, page.repeat(8)), crowd(server.address, 20, &stream)];
    for n in 20_000..20_100 {
        let (id, body) = nth(n);
        assert_eq!(line.deliver(&id, &body).unwrap().0, 200);
        ledger.acknowledged.lock().unwrap().insert(n);
    }
    let grown = server.resident().saturating_sub(before);
    println!("40 readers that do not read: {} KiB", grown >> 10);
    // A page each and what it is made of, however many they ask for.
    assert!(grown < 40 * (4 << 20), "{grown} bytes for 40 readers");
    drop(readers);
    server.kill();
    ledger.check(&left_behind(dir.path()), &mut Witness::default());
}

/// Says one more byte, unless the server has hung up or answered, which can only be that it took too long.
fn is_given_up(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let mut answer = [0; 12];
    match stream.read(&mut answer) {
        Err(cause) if cause.kind() == std::io::ErrorKind::WouldBlock => stream.write_all(b"x").is_err(),
        Ok(length) => {
            assert!(b"HTTP/1.1 408".starts_with(&answer[..length]), "{}", answer.escape_ascii());
            true
        }
        Err(_) => true,
    }
}

#[test]
fn who_writes_slowly_is_given_up_and_slows_nobody() {
    let (dir, ledger) = (tempfile::tempdir().unwrap(), Ledger::default());
    let server = Process::start(serve(dir.path()));
    let mut line = server.connect();
    let body = "x".repeat(1000);
    let whole = format!("{}\r\n", line.head("msg_slow", &body));
    // Some never come to the end of their head, others to that of their body.
    let mut drips = [&whole[..whole.len() / 2], &whole].map(|says| crowd(server.address, 100, says));
    let (since, mut n) = (Instant::now(), 0);
    while drips.iter().any(|streams| !streams.is_empty()) {
        assert!(since.elapsed() < Duration::from_mins(1), "some are still waited for");
        for streams in &mut drips {
            streams.retain_mut(|stream| !is_given_up(stream));
        }
        let (id, body) = nth(n);
        assert_eq!(line.deliver(&id, &body).unwrap().0, 200);
        ledger.acknowledged.lock().unwrap().insert(n);
        n += 1;
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("200 drips are gone after {:?}; {n} webhooks were taken meanwhile", since.elapsed());
    server.kill();
    ledger.check(&left_behind(dir.path()), &mut Witness::default());
}
