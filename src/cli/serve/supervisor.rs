//! What systemd is told when it has started the server, by the protocol of `sd_notify(3)`: that it is ready, that it is
//! well, that it stops. Started by anything else, nobody is told anything.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::store::Store;

/// Where systemd listens, if it does, and how often it wants to hear.
#[derive(Debug, Clone, Default)]
pub(super) struct Supervisor {
    socket: Option<Arc<UnixDatagram>>,
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// As the environment says: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`.
    pub(super) fn from_env() -> Self {
        let named = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty());
        let socket = named.and_then(|name| {
            let connected = connect(&name).inspect_err(|cause| tracing::warn!(%cause, "supervisor.unreachable"));
            connected.ok().map(Arc::new)
        });
        let number = |name| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        // Set by whoever started the process that started us, it is meant for that one.
        let is_ours = number("WATCHDOG_PID").is_none_or(|process| process == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|limit| is_ours && *limit > 0).map(Duration::from_micros);
        Self { socket, watchdog }
    }

    /// That requests are taken from now on.
    pub(super) fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// That the end has begun.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=finishing the requests under way");
    }

    /// Says that the server is well, as often as it is wanted, for as long as it is: this runtime comes to it, and
    /// the store's writer answers. Otherwise it says nothing, and is killed and started again.
    pub(super) async fn watch(self, store: Store) {
        let Some(limit) = self.watchdog.filter(|_| self.socket.is_some()) else { return };
        let mut beat = interval(limit / 2);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            if is_well(&store, limit / 4).await {
                self.tell("WATCHDOG=1");
            } else {
                tracing::error!("supervisor.not_well: the writer does not answer");
            }
        }
    }

    fn tell(&self, what: &str) {
        let Some(socket) = &self.socket else { return };
        if let Err(cause) = socket.send(what.as_bytes()) {
            tracing::warn!(%cause, "supervisor.unreachable");
        }
    }
}

/// Whether the store's writer answers within that time. Rewriting the file takes it as long as it takes, and is no
/// reason to end it.
async fn is_well(store: &Store, patience: Duration) -> bool {
    store.is_rewriting() || timeout(patience, store.pass_writer()).await == Ok(true) || store.is_rewriting()
}

fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => without_file(name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    // Whoever does not read must not hold the server up.
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

/// An address that is no file, which Linux alone has: what is written `@name`.
#[cfg(target_os = "linux")]
fn without_file(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn without_file(_name: &[u8]) -> io::Result<SocketAddr> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::mpsc::{Receiver, channel};
    use std::sync::{Mutex, PoisonError};

    use redb::StorageBackend;
    use redb::backends::InMemoryBackend;
    use tempfile::TempDir;

    use super::*;
    use crate::audit::{Actor, Source};
    use crate::clock::Clock;
    use crate::store::By;
    use crate::sync::Policy;

    /// Long for a writer that answers, and short enough to wait for one that does not.
    const PATIENCE: Duration = Duration::from_millis(200);

    /// A disk that takes nothing while the lock is held.
    #[derive(Debug)]
    struct Stuck(InMemoryBackend, Arc<Mutex<()>>);

    impl StorageBackend for Stuck {
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.0.read(offset, out)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.0.set_len(len)
        }

        fn sync_data(&self) -> io::Result<()> {
            let _open = self.1.lock().unwrap_or_else(PoisonError::into_inner);
            self.0.sync_data()
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.0.write(offset, data)
        }
    }

    fn by() -> By {
        By { actor: Actor::System, source: Source::System }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_writer_that_hangs_is_not_well() {
        let gate = Arc::new(Mutex::new(()));
        let disk = Stuck(InMemoryBackend::new(), gate.clone());
        let store = Store::with_backend(disk, "stuck".as_ref(), 1 << 20, Policy::default(), Clock::system()).unwrap();
        assert!(is_well(&store, Duration::from_mins(1)).await);
        let (shut, is_shut) = channel();
        let (open, is_open): (_, Receiver<()>) = channel();
        let held = std::thread::spawn(move || {
            let _shut = gate.lock().unwrap();
            shut.send(()).unwrap();
            let _ = is_open.recv();
        });
        is_shut.recv().unwrap();
        let writing = tokio::spawn({
            let store = store.clone();
            async move { store.record(by().entry("system.test")).await }
        });
        // Until the writer is at it, it would answer.
        let hangs = async { while is_well(&store, PATIENCE).await {} };
        timeout(Duration::from_mins(1), hangs).await.unwrap();
        drop(open);
        held.join().unwrap();
        writing.await.unwrap().unwrap();
        assert!(is_well(&store, Duration::from_mins(1)).await);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_writer_that_rewrites_the_file_is_well() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("data.redb");
        let store = Store::open(&path, 1 << 20, Policy::default(), Clock::system()).unwrap();
        store.record(by().entry("system.test")).await.unwrap();
        let (begun, has_begun) = channel();
        let (end, may_end): (_, Receiver<()>) = channel();
        let rewriting = tokio::spawn({
            let store = store.clone();
            let progress = move |_, _| {
                let _ = begun.send(());
                let _ = may_end.recv();
            };
            async move { store.scrub(by(), progress).await }
        });
        has_begun.recv().unwrap();
        assert!(timeout(PATIENCE, store.pass_writer()).await.is_err(), "the writer comes to nothing else");
        assert!(is_well(&store, PATIENCE).await);
        drop(end);
        rewriting.await.unwrap().unwrap();
        assert!(!store.is_rewriting() && is_well(&store, Duration::from_mins(1)).await);
    }
}
