#![allow(clippy::unwrap_used)]
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::feed::MAX_PIECE;
use super::*;

/// A server that knows every user, refuses lists with their limit, and everything else with no.
fn start(data: &Path) -> (oneshot::Sender<()>, JoinHandle<()>) {
    start_with(data, |request, _feed| async move {
        match request {
            Request::User { id } => Reply::User { user: serde_json::json!({ "id": id.to_string() }) },
            Request::Users(listing) => Reply::Refused { reason: format!("{:?}", listing.limit) },
            _ => Reply::Refused { reason: "no".to_owned() },
        }
    })
}

fn start_with<H, F>(data: &Path, answer: H) -> (oneshot::Sender<()>, JoinHandle<()>)
where
    H: Fn(Request, Feed) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    let listener = listen(data).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async move { drop(stopped.await) };
    (stop, tokio::spawn(async move { serve(listener, answer, stopped).await }))
}

fn user() -> Request {
    Request::User { id: "user_1".parse().unwrap() }
}

#[tokio::test]
async fn a_request_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("roll.redb");
    assert!(ask(&data, &user()).await.unwrap().is_none(), "nobody listens yet");
    let (stop, served) = start(&data);
    let reply = ask(&data, &user()).await.unwrap();
    assert!(matches!(reply, Some(Reply::User { user }) if user["id"] == "user_1"));
    let listing = Listing { limit: "7".parse().unwrap(), ..Listing::default() };
    let reply = ask(&data, &Request::Users(listing)).await.unwrap();
    assert!(matches!(reply, Some(Reply::Refused { reason }) if reason == "Limit(7)"));
    stop.send(()).unwrap();
    served.await.unwrap();
    assert!(!socket_path(&data).exists(), "the socket goes with its server");
    assert!(ask(&data, &user()).await.unwrap().is_none());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
}

#[tokio::test]
async fn only_the_owner_may_ask() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("roll.redb");
    let listener = listen(&data).unwrap();
    let meta = std::fs::metadata(socket_path(&data)).unwrap();
    assert!(meta.file_type().is_socket());
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    drop(listener);
}

#[tokio::test]
async fn a_dead_servers_socket_is_replaced_and_a_live_ones_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("roll.redb");
    drop(UnixListener::bind(socket_path(&data)).unwrap());
    assert!(socket_path(&data).exists());
    assert!(ask(&data, &user()).await.unwrap().is_none(), "a socket without a server is no server");

    let (stop, served) = start(&data);
    assert!(matches!(listen(&data), Err(Error::Running(_))));
    assert!(ask(&data, &user()).await.unwrap().is_some(), "the live server still answers");
    stop.send(()).unwrap();
    served.await.unwrap();

    std::fs::write(socket_path(&data), "somebody's notes").unwrap();
    assert!(matches!(listen(&data), Err(Error::InTheWay(_))));
    assert_eq!(std::fs::read_to_string(socket_path(&data)).unwrap(), "somebody's notes");
}

#[tokio::test]
async fn a_successors_socket_is_not_removed() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("roll.redb");
    let first = listen(&data).unwrap();
    std::fs::remove_file(socket_path(&data)).unwrap();
    let second = listen(&data).unwrap();
    drop(first);
    assert!(socket_path(&data).exists());
    drop(second);
    assert!(!socket_path(&data).exists());
}

/// Sends bytes as they are and reads everything that comes back.
fn raw(data: &Path, bytes: &[u8]) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = UnixStream::connect(socket_path(data)).unwrap();
    // The server may have closed already: that is what some of these are about.
    let _ = stream.write_all(bytes).and_then(|()| stream.shutdown(std::net::Shutdown::Write));
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    String::from_utf8(all).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_refused_and_harms_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("roll.redb");
    let (stop, served) = start(&data);
    let long = format!("{}{}\n", " ".repeat(4 << 20), serde_json::to_string(&user()).unwrap());
    let half = serde_json::to_vec(&user()).unwrap();
    for bad in [b"{}\n", &b"\"Nonsense\"\n"[..], b"{\"user\":{\"id\":\"\"}}\n", b"\xff\n", &half, long.as_bytes()] {
        assert!(raw(&data, bad).starts_with("{\"refused\""), "{bad:?}");
    }
    let two = serde_json::to_string(&user()).unwrap() + "\n";
    assert_eq!(raw(&data, two.repeat(2).as_bytes()).lines().count(), 2, "one connection may ask twice");
    assert!(ask(&data, &user()).await.unwrap().is_some());
    stop.send(()).unwrap();
    served.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_idle_caller_does_not_hold_up_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("roll.redb");
    let (stop, served) = start(&data);
    let idle = UnixStream::connect(socket_path(&data)).unwrap();
    assert!(ask(&data, &user()).await.unwrap().is_some());
    // The clock stands still unless something waits for it: here nothing may.
    let start = Instant::now();
    stop.send(()).unwrap();
    served.await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    drop(idle);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("roll.redb");
    let listener = UnixListener::bind(socket_path(&data)).unwrap();
    assert!(matches!(ask(&data, &user()).await, Err(Error::TooSlow)));
    drop(listener);
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_says_nothing_is_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("roll.redb");
    let (_stop, _served) = start(&data);
    let mut idle = tokio::net::UnixStream::connect(socket_path(&data)).await.unwrap();
    assert_eq!(idle.read(&mut [0]).await.unwrap(), 0);
}

/// Sends one piece after the other for ever, and counts those that were taken off its hands. What `over` brings is
/// that the work was given up.
fn start_endless(data: &Path) -> (oneshot::Sender<()>, JoinHandle<()>, Arc<AtomicUsize>, mpsc::UnboundedReceiver<()>) {
    struct Over(mpsc::UnboundedSender<()>);
    impl Drop for Over {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let sent = Arc::new(AtomicUsize::new(0));
    let (over, given_up) = mpsc::unbounded_channel();
    let counted = sent.clone();
    let (stop, served) = start_with(data, move |_, feed| {
        let (sent, over) = (counted.clone(), Over(over.clone()));
        async move {
            let _over = over;
            while feed.piece("endless", vec![7; MAX_PIECE]).await.is_ok() {
                sent.fetch_add(1, Ordering::SeqCst);
            }
            Reply::NotFound
        }
    });
    (stop, served, sent, given_up)
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_come_whole_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("roll.redb");
    let long: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[usize::from(n % 7 == 0)]).collect();
    let sent = long.clone();
    let (_stop, _served) = start_with(&data, move |_, feed| {
        let sent = sent.clone();
        async move {
            feed.progress(1, Some(2)).unwrap();
            feed.piece("first", sent).await.unwrap();
            feed.piece("second", "two\nlines\n").await.unwrap();
            feed.piece("empty", "").await.unwrap();
            feed.progress(2, None).unwrap();
            Reply::Refused { reason: "enough".to_owned() }
        }
    });
    let (feed, mut parts) = feed();
    let asked = tokio::spawn(async move { follow(&data, &user(), &feed).await });
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    while let Some(Piece { file, bytes }) = parts.pieces.recv().await {
        match files.last_mut() {
            Some((last, all)) if *last == file => all.extend_from_slice(&bytes),
            _ => files.push((file, bytes.to_vec())),
        }
    }
    assert!(matches!(asked.await.unwrap(), Ok(Some(Reply::Refused { reason })) if reason == "enough"));
    assert!(parts.progress.borrow().is_some());
    assert_eq!(files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["first", "second", "empty"]);
    assert!(files[0].1 == long);
    assert_eq!((&files[1].1[..], &files[2].1[..]), (&b"two\nlines\n"[..], &b""[..]));
}

#[tokio::test(start_paused = true)]
async fn work_that_takes_long_is_waited_for_once_it_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("roll.redb");
    let (_stop, _served) = start_with(&data, |request, feed| async move {
        if matches!(request, Request::Status) {
            feed.progress(0, None).unwrap();
        }
        sleep(Duration::from_hours(1)).await;
        Reply::NotFound
    });
    let (feed, _parts) = feed();
    assert!(matches!(follow(&data, &Request::Status, &feed).await, Ok(Some(Reply::NotFound))));
    assert!(matches!(follow(&data, &user(), &feed).await, Err(Error::TooSlow)));
}

#[tokio::test(start_paused = true)]
async fn a_caller_whose_output_stands_still_is_waited_for_and_nothing_piles_up() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("roll.redb");
    let (_stop, _served, sent, mut given_up) = start_endless(&data);
    let (feed, mut parts) = feed();
    let asked = tokio::spawn(async move { follow(&data, &user(), &feed).await });
    sleep(Duration::from_hours(1)).await;
    let waiting = sent.load(Ordering::SeqCst);
    assert!((1..=16).contains(&waiting), "{waiting} pieces were made for nobody");
    for _ in 0..3 * waiting {
        assert_eq!(parts.pieces.recv().await.unwrap().bytes.len(), MAX_PIECE);
    }
    assert!(sent.load(Ordering::SeqCst) >= 3 * waiting, "it goes on where it stood");
    drop(parts);
    assert!(matches!(asked.await.unwrap(), Err(Error::Gone(Gone))));
    given_up.recv().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_takes_nothing_and_says_nothing_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("roll.redb");
    let (_stop, _served, _sent, mut given_up) = start_endless(&data);
    let mut stalled = tokio::net::UnixStream::connect(socket_path(&data)).await.unwrap();
    write(&mut stalled, &line(&user()).unwrap()).await.unwrap();
    let since = Instant::now();
    given_up.recv().await.unwrap();
    assert_eq!(since.elapsed().as_secs(), PATIENCE.as_secs());
}

#[tokio::test(start_paused = true)]
async fn work_ends_with_its_caller() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("roll.redb");
    let (_stop, _served, _sent, mut given_up) = start_endless(&data);
    let mut caller = tokio::net::UnixStream::connect(socket_path(&data)).await.unwrap();
    write(&mut caller, &line(&user()).unwrap()).await.unwrap();
    caller.read_exact(&mut [0; 1000]).await.unwrap();
    drop(caller);
    given_up.recv().await.unwrap();

    // One who goes while there is nothing to send is missed as well.
    let data = dir.path().join("quiet.redb");
    let (working, mut given_up) = mpsc::channel::<()>(1);
    let working = std::sync::Mutex::new(Some(working));
    let working = Arc::new(move || working.lock().unwrap().take());
    let (_stop, _served) = start_with(&data, move |_, feed| {
        let working = working();
        async move {
            let _working = working;
            feed.progress(0, None).unwrap();
            std::future::pending().await
        }
    });
    let mut caller = tokio::net::UnixStream::connect(socket_path(&data)).await.unwrap();
    write(&mut caller, &line(&user()).unwrap()).await.unwrap();
    assert_ne!(caller.read(&mut [0; 100]).await.unwrap(), 0);
    drop(caller);
    assert!(given_up.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_server_is_the_end_of_long_work_and_waits_for_short() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("roll.redb");
    let (stop, served, _sent, mut given_up) = start_endless(&data);
    let (feed, mut parts) = feed();
    let asked = tokio::spawn(async move { follow(&data, &user(), &feed).await });
    parts.pieces.recv().await.unwrap();
    stop.send(()).unwrap();
    served.await.unwrap();
    given_up.recv().await.unwrap();
    while parts.pieces.recv().await.is_some() {}
    assert!(matches!(asked.await.unwrap(), Err(Error::CutOff)));

    let data = dir.path().join("short.redb");
    let (stop, served) = start_with(&data, |_, _feed| async {
        sleep(Duration::from_secs(5)).await;
        Reply::NotFound
    });
    let asked = tokio::spawn(async move { ask(&data, &user()).await });
    sleep(Duration::from_secs(1)).await;
    stop.send(()).unwrap();
    served.await.unwrap();
    assert!(matches!(asked.await.unwrap(), Ok(Some(Reply::NotFound))));
}
