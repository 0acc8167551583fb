//! Backups on the page: made while webhooks come in, listed, and taken away by whoever knows the password.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use reqwest::Method;
use rollbook::audit::{Actor, Source};
use rollbook::backup::NotBegun;
use rollbook::clock::Clock;
use rollbook::store::{AtRest, By, Store};
use rollbook::sync::Policy;
use rollbook::user::UserId;
use rollbook::verify::{self, Pace, Terms};
use serde_json::json;
use tempfile::TempDir;

use super::site::{PASSWORD, Site, sign_in};
use crate::common::clerk_id;

const HERE: &str = "/admin/backups";
const TAKE: &str = "/admin/backups/download";

/// A server that has a folder for backups, an admin who is signed in, and the folder.
async fn site() -> (Site, String, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start_with(&[("ROLLBOOK_BACKUP_DIR", folder.path().to_str().unwrap())], None).await;
    let cookie = site.set_up().await;
    (site, cookie, folder)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn by() -> By {
    By { actor: Actor::Cli, source: Source::Cli }
}

/// Makes one as the button does.
async fn make(site: &Site, cookie: &str) {
    let answer = site.post(HERE, Some(cookie), &[]).await;
    assert_eq!((answer.status, answer.location()), (303, HERE), "{}", answer.body);
    site.app.backups.idle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_made_under_load_is_whole_and_comes_home_as_it_is() {
    let (site, cookie, folder) = site().await;
    let page = site.get(HERE, Some(&cookie)).await;
    assert!(page.body.contains("There are no backups in this folder yet.") && !page.body.contains("Download"));
    for n in 0..50 {
        site.add_user(&format!("user_before{n}"), &json!({ "first_name": "Ada" })).await;
    }
    let load = async {
        for n in 0..50 {
            site.add_user(&format!("user_during{n}"), &json!({})).await;
        }
    };
    tokio::join!(make(&site, &cookie), load);

    let [path] = &files(folder.path())[..] else { panic!("{:?}", files(folder.path())) };
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    let report = verify::file(&AtRest::open(path, 1 << 20).unwrap(), &Terms::default(), Pace::full(), &mut |_, _| {
        ControlFlow::Continue(())
    });
    let report = report.unwrap();
    assert!(report.is_whole(), "{report:?}");
    let made = site.newest("backup.made").await;
    let detail = made.detail.unwrap();
    assert_eq!((made.leaf.outcome.as_str(), made.leaf.actor.as_str()), ("ok", "admin:ada"));
    assert_eq!(detail["entries"], report.entries);
    assert_eq!(detail["bytes"], fs::metadata(path).unwrap().len());
    let name = path.file_name().unwrap().to_str().unwrap();
    assert_eq!(detail["name"], name);

    let page = site.get(HERE, Some(&cookie)).await;
    let said = format!("{name} was made and proved");
    assert!(page.body.contains(&said) && page.body.contains(&format!("<option value=\"{name}\"")), "{}", page.body);
    assert!(page.body.contains(&format!("data-label=\"Log entries\">{}</td>", report.entries)), "{}", page.body);

    let (headers, bytes) = site.post_for_bytes(TAKE, &cookie, &[("name", name), ("password", PASSWORD)]).await;
    assert!(bytes == fs::read(path).unwrap(), "{headers:?}");
    assert_eq!(headers["content-disposition"], format!("attachment; filename=\"{name}\""));
    assert_eq!(headers["content-type"], "application/octet-stream");
    assert_eq!(headers["content-length"], bytes.len().to_string());
    assert_eq!(site.newest("backup.downloaded").await.detail.unwrap()["name"], name);

    // In the place of a data file it is one.
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("rollbook.redb");
    fs::write(&copy, bytes).unwrap();
    let store = Store::open(&copy, 1 << 20, Policy::default(), Clock::system()).unwrap();
    assert!(store.is_ready() && store.counts().users >= 50);
    for n in 0..50 {
        let id = format!("user_before{n}");
        let user = store.user(UserId::of(&clerk_id(&id))).unwrap();
        assert_eq!(user, Some(site.user(&id)));
    }
    store.close().await;
}

#[tokio::test]
async fn nobody_takes_a_backup_without_the_password_or_anything_else_with_it() {
    let (site, cookie, folder) = site().await;
    make(&site, &cookie).await;
    let name = files(folder.path())[0].file_name().unwrap().to_str().unwrap().to_owned();
    let form = |password| [("name", name.as_str()), ("password", password)];

    let wrong = site.post(TAKE, Some(&cookie), &form("not the password")).await;
    assert!(wrong.status == 403 && wrong.body.contains("Nothing was downloaded."), "{}", wrong.body);
    assert!(!wrong.body.contains("not the password") && wrong.body.contains(&format!("\"{name}\" selected")));
    assert_eq!(site.post(TAKE, None, &form(PASSWORD)).await.status, 401);
    assert_eq!(
        site.post_with(TAKE, Some(&cookie), &[("sec-fetch-site", "cross-site")], &form(PASSWORD)).await.status,
        403
    );
    assert_eq!(site.get(TAKE, Some(&cookie)).await.status, 405);
    assert_eq!(site.send(Method::DELETE, HERE, Some(&cookie), &[], None).await.status, 405);
    assert_eq!(site.post(HERE, None, &[]).await.status, 401);
    assert_eq!(site.post(HERE, Some(&cookie), &[("folder", "/tmp")]).await.status, 400);

    fs::write(folder.path().join("notes.redb"), "not one of ours").unwrap();
    fs::write(folder.path().join("rollbook-20260101T000000Z.redb.part"), "half").unwrap();
    for other in [
        "",
        "notes.redb",
        "rollbook-20260101T000000Z.redb",
        "rollbook-20260101T000000Z.redb.part",
        "../rollbook.redb",
        "/etc/passwd",
        &format!("./{name}"),
        &format!("{name}/"),
        &format!("{name}\0"),
        site.app.store.path().to_str().unwrap(),
    ] {
        let answer = site.post(TAKE, Some(&cookie), &[("name", other), ("password", PASSWORD)]).await;
        assert_eq!(answer.status, 404, "{other:?}");
    }
    assert!(!site.entries().await.iter().any(|entry| entry.leaf.action == "backup.downloaded"));
    let page = site.get(HERE, Some(&cookie)).await;
    assert!(!page.body.contains("notes.redb") && !page.body.contains(".part"), "{}", page.body);
}

#[tokio::test]
async fn a_download_breaks_off_with_the_session_and_takes_a_seat() {
    let (site, cookie, folder) = site().await;
    let name = "rollbook-20260101T000000Z.redb";
    // Far more than the system takes off the server's hands.
    let bytes = 64 << 20;
    fs::File::create(folder.path().join(name)).unwrap().set_len(bytes).unwrap();
    let form = [("name", name), ("password", PASSWORD)];
    let answer = site.open_post(TAKE, &cookie, &form).await;
    assert_eq!((answer.status().as_u16(), answer.content_length()), (200, Some(bytes)));
    assert_eq!(site.post("/admin/sign-out", Some(&cookie), &[]).await.status, 303);
    let mut pieces = answer.bytes_stream();
    let mut broken = false;
    while let Some(piece) = pieces.next().await {
        broken = piece.is_err();
        if broken {
            break;
        }
    }
    assert!(broken, "nobody who has signed out takes the rest");

    let cookie = site.post("/admin/sign-in", None, &sign_in("ada", PASSWORD)).await.cookie();
    let mut streams = Vec::new();
    for _ in 0..32 {
        streams.push(site.open("/admin/audit/live", &cookie, &[("sec-fetch-site", "same-origin")]).await);
    }
    assert!(streams.iter().all(|stream| stream.status().as_u16() == 200));
    assert_eq!(site.post(TAKE, Some(&cookie), &form).await.status, 503);
    assert!(site.entries().await.iter().filter(|entry| entry.leaf.action == "backup.downloaded").count() == 1);
}

#[tokio::test]
async fn a_folder_that_takes_nothing_is_named_with_what_to_do() {
    let parent = tempfile::tempdir().unwrap();
    let missing = parent.path().join("missing");
    let file = parent.path().join("file");
    fs::write(&file, "in the way").unwrap();
    for (folder, words, reason) in [
        (missing.to_str().unwrap(), "cannot be read: No such file or directory. Make the folder", "folder"),
        (file.to_str().unwrap(), "cannot be read: Not a directory. Make the folder", "folder"),
        // A disk that is full at all times.
        ("/sys", "No backup was made: a backup needs as much room as the data file", "no_room"),
    ] {
        let site = Site::start_with(&[("ROLLBOOK_BACKUP_DIR", folder)], None).await;
        let cookie = site.set_up().await;
        make(&site, &cookie).await;
        let page = site.get(HERE, Some(&cookie)).await;
        assert!(page.status == 200 && page.body.contains(words), "{words}: {}", page.body);
        assert_eq!(page.body.matches("alert bad").count(), 1, "one cause, one box: {}", page.body);
        let entry = site.newest("backup.made").await;
        assert_eq!((entry.leaf.outcome.as_str(), entry.leaf.reason.as_deref()), ("error", Some(reason)));
    }
    assert_eq!(files(parent.path()), [file]);

    let (site, cookie) = Site::with_admin().await;
    let page = site.get(HERE, Some(&cookie)).await;
    assert!(page.body.contains("ROLLBOOK_BACKUP_DIR=") && !page.body.contains("<select"), "{}", page.body);
    assert_eq!(site.post(HERE, Some(&cookie), &[]).await.status, 400);
    assert_eq!(site.post(TAKE, Some(&cookie), &[("name", "x"), ("password", PASSWORD)]).await.status, 404);
}

#[tokio::test]
async fn a_log_in_doubt_gives_no_backup() {
    let (site, cookie, folder) = site().await;
    site.app.store.refuse_writes(rollbook::audit::Doubt::NoMark);
    make(&site, &cookie).await;
    let page = site.get(HERE, Some(&cookie)).await;
    assert!(page.body.contains("None is made while the log is in doubt."), "{}", page.body);
    assert!(!page.body.contains("Make a backup now") && !page.body.contains("the next"), "{}", page.body);
    assert!(files(folder.path()).is_empty());
    let metrics = site.get("/metrics", None).await.body;
    assert!(metrics.lines().any(|found| found == "rollbook_backup_failures_total 0"), "{metrics}");
}

#[tokio::test]
async fn one_is_made_at_a_time_and_the_server_waits_for_none() {
    let (site, cookie, folder) = site().await;
    for n in 0..20 {
        site.add_user(&format!("user_{n}"), &json!({})).await;
    }
    let begin = || {
        let app = &site.app;
        app.backups.begin(by())
    };
    begin().unwrap();
    assert_eq!(begin(), Err(NotBegun::Busy));
    let page = site.get(HERE, Some(&cookie)).await;
    let is_running = page.body.contains("A backup is being made") && page.body.contains("<progress");
    assert!(is_running || page.body.contains("was made and proved"), "{}", page.body);
    site.app.backups.idle().await;
    assert_eq!(site.app.backups.last().unwrap().result.unwrap().took, 0);

    begin().unwrap();
    site.app.backups.stop();
    assert_eq!(begin(), Err(NotBegun::Busy));
    drop(site.stop().await);
    // Done or not there at all.
    let names: Vec<PathBuf> = files(folder.path());
    assert!(!names.is_empty() && names.iter().all(|path| path.extension().unwrap() == "redb"), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_does_by_itself_is_said() {
    let (site, cookie, folder) = site().await;
    let page = site.get(HERE, Some(&cookie)).await.body;
    for words in ["The server makes one by itself every 24 hours, the next <time", "The newest 7 are kept"] {
        assert!(page.contains(words), "{page}");
    }
    assert!(site.get("/admin", Some(&cookie)).await.body.contains("No backup yet."));
    fs::write(folder.path().join("rollbook-20990101T000000Z.redb"), "made while the clock was wrong").unwrap();
    make(&site, &cookie).await;
    let page = site.get(HERE, Some(&cookie)).await.body;
    assert!(page.contains("yet to come</span>") && page.contains("nobody knows how old the file is"), "{page}");
    // Much of the length of a new one holds nothing.
    assert!(page.contains(" KiB on disk</td>"), "{page}");
    // To the hour, by names that are to the second.
    assert!(page.contains("in 23 hours") || page.contains("in 24 hours"), "{page}");
    let overview = site.get("/admin", Some(&cookie)).await.body;
    assert!(overview.contains("Newest backup <time"), "{overview}");
    assert!(overview.contains("rollbook-20990101T000000Z.redb bears a time that is yet to come"), "{overview}");
    let metrics = site.get("/metrics", None).await.body;
    for line in ["rollbook_backup_running 0", "rollbook_backup_failures_total 0"] {
        assert!(metrics.lines().any(|found| found == line), "{metrics}");
    }
    let newest = metrics.lines().find_map(|line| line.strip_prefix("rollbook_backup_last_success_timestamp_seconds "));
    assert!(newest.unwrap().parse::<f64>().unwrap() < 4_000_000_000.0, "{newest:?}");

    fs::remove_dir_all(folder.path()).unwrap();
    make(&site, &cookie).await;
    let overview = site.get("/admin", Some(&cookie)).await.body;
    assert!(
        overview.contains("The folder for backups cannot be read.") && !overview.contains("(os error"),
        "{overview}"
    );
    assert!(!overview.contains("No backup yet"), "{overview}");
    let metrics = site.get("/metrics", None).await.body;
    assert!(metrics.lines().any(|found| found == "rollbook_backup_failures_total 1"), "{metrics}");

    let never = [("ROLLBOOK_BACKUP_INTERVAL", "0"), ("ROLLBOOK_BACKUP_KEEP", "0")];
    let folder = tempfile::tempdir().unwrap();
    let site =
        Site::start_with(&[&[("ROLLBOOK_BACKUP_DIR", folder.path().to_str().unwrap())], &never[..]].concat(), None)
            .await;
    let cookie = site.set_up().await;
    let page = site.get(HERE, Some(&cookie)).await.body;
    assert!(page.contains("The server makes none by itself") && page.contains("All are kept"), "{page}");
}
