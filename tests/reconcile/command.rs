//! `rollbook sync`, as it is typed.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rollbook::clock::{Clock, Timestamp};
use rollbook::sample::Scene;
use rollbook::stand_in::StandIn;
use rollbook::store::Store;
use rollbook::sync::{DeletePolicy, Policy, Report};
use tempfile::TempDir;

use super::{AT, Pair, created, deleted, updated};
use crate::common::TestServer;
use crate::file;

/// Of which many users make a walk that takes a while: so many pages, and one more that is empty.
const PAGES: u64 = 6;

fn sync(data: &Path, clerk: Option<&StandIn>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollbook"));
    command.arg("sync").env_clear().env("ROLLBOOK_DATA", data).stdin(Stdio::null());
    command.current_dir(data.parent().unwrap()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(clerk) = clerk {
        command.env("CLERK_SECRET_KEY", clerk.secret_key()).env("CLERK_API_URL", &clerk.url);
    }
    command
}

/// Runs it to its end, while the stand-in goes on answering.
async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn store(data: &Path) -> Store {
    Store::open(data, 1 << 20, Policy::default(), Clock::system()).unwrap()
}

async fn empty_file() -> (TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("rollbook.redb");
    store(&data).close().await;
    (dir, data)
}

async fn crowded() -> StandIn {
    let clerk = StandIn::start("ins_test", Clock::system()).await.unwrap();
    let at = Timestamp::from_millis(AT);
    clerk.put_crowd(&Scene::new(b"crowd", at), usize::try_from(PAGES).unwrap() * 500, at);
    clerk
}

/// Starts it and waits until it is through at least so many pages.
async fn started(clerk: &StandIn, data: &Path, pages: u64) -> std::process::Child {
    let child = sync(data, Some(clerk)).spawn().unwrap();
    // One request is for the instance, and one for the number.
    while clerk.requests() < pages + 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    child
}

#[tokio::test(flavor = "multi_thread")]
async fn it_does_what_a_running_server_would_or_asks_it() {
    let pair = Pair::start(&[]).await;
    pair.tell(&created("user_Gone", "Gone")).await;
    pair.lose(&deleted("user_Gone"));
    pair.lose(&created("user_Ann", "Ann"));
    // The server has the key; the command needs none.
    let (status, out, err) = said(&run(sync(&pair.server.data(), None)).await);
    assert_eq!(status, Some(0), "{out}{err}");
    for line in ["fetched           1  ", "created           1  ", "deleted           1  ", "drift 2, made good"] {
        assert!(out.contains(line), "{line}: {out}");
    }
    pair.compare();
    assert_eq!(super::of_sync(&pair.server).await[0].leaf.actor, "cli");

    pair.lose(&updated("user_Ann", 5, "Anna"));
    let Pair { clerk, server } = pair;
    let dir = server.stop().await;
    let data = dir.path().join("rollbook.redb");
    let mut dry = sync(&data, Some(&clerk));
    dry.arg("--dry-run");
    let (status, out, err) = said(&run(dry).await);
    assert!(status == Some(0) && out.contains("drift 1; nothing was changed"), "{out}{err}");
    assert!(out.contains("would be updated: user_Ann\n"), "{out}");
    let (status, out, err) = said(&run(sync(&data, Some(&clerk))).await);
    assert!(status == Some(0) && out.contains("updated           1  "), "{out}{err}");
    let server = TestServer::open(dir, &[], Clock::system()).await;
    assert_eq!(server.user("user_Ann").unwrap().profile().first_name.as_deref(), Some("Anna"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_it_says_what_to_set() {
    let (_dir, data) = empty_file().await;
    let (status, out, err) = said(&run(sync(&data, None)).await);
    assert_eq!((status, out.as_str()), (Some(1), ""));
    assert!(err.contains("set CLERK_SECRET_KEY"), "{err}");
    let mut wrong = sync(&data, None);
    wrong.env("CLERK_SECRET_KEY", "pk_test_x");
    assert_eq!(run(wrong).await.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_by_the_settings_of_the_server() {
    let (_dir, data) = empty_file().await;
    let clerk = StandIn::start("ins_test", Clock::system()).await.unwrap();
    clerk.apply(&created("user_Ann", "Ann")).unwrap();
    assert_eq!(run(sync(&data, Some(&clerk))).await.status.code(), Some(0));
    clerk.apply(&deleted("user_Ann")).unwrap();
    let mut hard = sync(&data, Some(&clerk));
    hard.env("ROLLBOOK_DELETE", "hard");
    assert_eq!(run(hard).await.status.code(), Some(0));
    let policy = Policy { delete: DeletePolicy::Hard, ..Policy::default() };
    let store = Store::open(&data, 1 << 20, policy, Clock::system()).unwrap();
    assert_eq!((store.counts().users, store.counts().deleted), (0, 0));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_it_goes_on_where_it_was() {
    let (clerk, (_dir, data)) = (crowded().await, empty_file().await);
    // The fifth page is refused for now, so that it is in the middle however long we take to kill it.
    clerk.allow(4 + 2);
    let mut child = started(&clerk, &data, 5).await;
    child.kill().unwrap();
    child.wait().unwrap();
    clerk.allow(10_000);
    let before = clerk.requests();
    let walk = store(&data);
    // When this is none, it was killed too late.
    let suspended = walk.suspended_walk().unwrap().unwrap();
    let users = walk.counts().users;
    assert!((1000..PAGES * 500).contains(&users), "{users}");
    assert_eq!(suspended.report.fetched, users);
    walk.close().await;

    let (status, out, err) = said(&run(sync(&data, Some(&clerk))).await);
    assert_eq!(status, Some(0), "{out}{err}");
    // Of the instance, the number, the pages and an empty one, two pages need not be asked for again.
    assert!(clerk.requests() - before <= PAGES + 1, "{}", clerk.requests() - before);
    let store = store(&data);
    let walked = store.last_walk().unwrap().unwrap();
    assert_eq!(walked.report, Report { fetched: PAGES * 500, created: PAGES * 500, ..Report::default() });
    assert!(walked.is_first && out.contains("first comparison: drift 3000, made good"), "{out}");
    assert_eq!(store.counts().users, PAGES * 500);
    store.close().await;
    let db = file::open(&data);
    file::Witness::default().follow(&db);
    assert!(file::dump(&db)["walk_marks"].is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_it_says_that_it_goes_on() {
    let (clerk, (_dir, data)) = (crowded().await, empty_file().await);
    let child = started(&clerk, &data, 2).await;
    let kill = format!("kill -INT {}", child.id());
    assert!(Command::new("/bin/sh").args(["-c", &kill]).status().unwrap().success());
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    let (status, out, err) = said(&output);
    assert_eq!((status, out.as_str()), (Some(1), ""));
    assert!(err.contains("goes on from there"), "{err}");
    let walk = store(&data);
    assert!(walk.suspended_walk().unwrap().is_some_and(|walk| walk.report.fetched > 0));
    walk.close().await;
}
