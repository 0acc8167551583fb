//! `rollbook backup` as it is typed: with a server that runs, and without one.

use std::fs;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use futures_util::future::join_all;
use rollbook::audit::{Actor, Doubt, Draft, Entry, Filter, Source};
use rollbook::notary::mark_path;
use rollbook::page::PageRequest;
use rollbook::store::{By, Store};
use rollbook::sync::Policy;
use tempfile::TempDir;

use super::common::{TestServer, user_event};

const T: i64 = 1_750_000_000_000;

/// The command, in that folder, on the data file that is named, with no setting from outside.
fn backup(folder: &Path, data: &Path, to: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollbook"));
    command.args(["backup", "--data"]).arg(data).args(to).current_dir(folder).env_clear().stdin(Stdio::null());
    command
}

/// How it ended, and what it said on standard output and standard error.
fn run(mut command: Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn done(command: Command) -> String {
    let (status, out, err) = run(command);
    assert_eq!(status, Some(0), "{out}{err}");
    out
}

fn refused(command: Command) -> String {
    let (status, out, err) = run(command);
    assert_eq!((status, out.as_str()), (Some(1), ""), "{err}");
    err
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

/// It is a whole data file that its owner alone can read, with a whole log.
fn assert_whole(path: &Path) {
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    let verified = Command::new(env!("CARGO_BIN_EXE_rollbook")).arg("verify").arg(path).env_clear().output().unwrap();
    assert!(verified.status.success(), "{verified:?}");
}

async fn made(store: &Store, action: &str) -> Vec<Entry> {
    let filter = Filter { action: action.parse().ok(), ..Filter::default() };
    store.audit(filter, PageRequest::default()).await.unwrap().items
}

async fn serve(changed: &[(&str, &str)]) -> TestServer {
    let server = TestServer::with(changed).await;
    for n in 0..20 {
        assert_eq!(server.outcome(&user_event("user.created", &format!("user_{n}"), T, "Ada")).await, "applied");
    }
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_makes_it_where_one_says() {
    let (here, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server =
        serve(&[("ROLLBOOK_BACKUP_DIR", folder.path().to_str().unwrap()), ("ROLLBOOK_BACKUP_KEEP", "2")]).await;
    let data = server.data();
    // In the folder of the settings.
    let out = done(backup(here.path(), &data, &[]));
    let path = PathBuf::from(out.lines().next().unwrap());
    assert_eq!(path.parent(), Some(folder.path()));
    assert!(out.contains("made and proved in ") && out.contains(" with a log of "), "{out}");
    assert_whole(&path);
    // A file and a folder, both relative to where the command runs, not the server.
    let out = done(backup(here.path(), &data, &["copy.redb"]));
    assert_eq!(out.lines().next(), here.path().join("copy.redb").to_str());
    assert_whole(&here.path().join("copy.redb"));
    fs::create_dir(here.path().join("there")).unwrap();
    for _ in 0..3 {
        done(backup(here.path(), &data, &["there"]));
    }
    assert_eq!(names(&here.path().join("there")).len(), 3, "elsewhere none is removed");
    // Twice more here, once by its name and by a way around: then one is too many.
    done(backup(here.path(), &data, &[]));
    assert_eq!(names(folder.path()).len(), 2);
    done(backup(
        here.path(),
        &data,
        &[folder.path().join("../").join(folder.path().file_name().unwrap()).to_str().unwrap()],
    ));
    assert_eq!(names(folder.path()).len(), 2);
    let removed = made(&server.app.store, "backup.removed").await;
    let detail = removed[0].detail.as_ref().unwrap();
    assert_eq!((removed.len(), detail["name"].as_str()), (1, path.file_name().unwrap().to_str()));
    assert_eq!((removed[0].leaf.actor.as_str(), path.exists()), ("cli", false));
    let entries = made(&server.app.store, "backup.made").await;
    assert_eq!(entries.len(), 7);
    assert!(entries.iter().all(|entry| (entry.leaf.actor.as_str(), entry.leaf.outcome.as_str()) == ("cli", "ok")));
    let paths = entries.iter().filter_map(|entry| entry.detail.as_ref()?.get("path")?.as_str());
    assert!(
        paths.clone().count() == 4
            && paths.into_iter().any(|path| Some(path) == here.path().join("copy.redb").to_str())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_over_and_what_is_wrong_is_said() {
    let here = tempfile::tempdir().unwrap();
    let server = serve(&[]).await;
    let data = server.data();
    let no = |to: &[&str]| refused(backup(here.path(), &data, to));
    assert!(
        no(&[]).contains("no folder for backups is set (ROLLBOOK_BACKUP_DIR); say where: `rollbook backup FOLDER` or")
    );
    fs::write(here.path().join("mine.redb"), "mine").unwrap();
    assert!(no(&["mine.redb"]).contains("mine.redb is there already"));
    assert!(no(&[data.to_str().unwrap()]).contains("is there already"));
    assert!(no(&["missing/copy.redb"]).contains("missing does not take files (No such file or directory)"));
    assert!(no(&["missing/"]).contains("missing/ does not take files (No such file"));
    assert!(no(&["mine.redb/copy.redb"]).contains("mine.redb does not take files (Not a directory)"));
    fs::write(here.path().join("copy.redb.part"), "whose?").unwrap();
    assert!(no(&["copy.redb"]).contains("copy.redb.part is in the way"));
    for name in ["rollbook.redb.targets", "rollbook.redb.schema3", ".rollbook.redb.scrub"] {
        assert!(no(&[data.with_file_name(name).to_str().unwrap()]).contains("a name that belongs to the data file"));
    }
    // A disk that is full at all times. That is seen before anything is written.
    assert!(no(&["/sys/copy.redb"]).contains("a backup needs as much room as the data file"));
    assert_eq!(fs::read_to_string(here.path().join("mine.redb")).unwrap(), "mine");
    assert_eq!(names(here.path()), ["copy.redb.part", "mine.redb"]);
    let reasons: Vec<_> =
        made(&server.app.store, "backup.made").await.into_iter().map(|entry| entry.leaf.reason).collect();
    let expected = ["no_room", "taken", "taken", "taken", "taken", "folder", "folder", "folder", "taken", "taken"]
        .map(|reason| Some(reason.to_owned()));
    assert_eq!(reasons, expected);
    // What the server cannot be told is not asked of it, nor done without it.
    let named = |data: &Path| {
        let mut command = backup(here.path(), data, &[]);
        command.arg(std::ffi::OsStr::from_bytes(b"caf\xe9.redb"));
        command
    };
    for data in [&data, &here.path().join("none.redb")] {
        let said = refused(named(data));
        assert!(said.contains("caf\u{fffd}.redb' cannot be used: the name is not UTF-8 text"), "{said}");
    }
    // Each was told to whoever asked, and is nobody else's business.
    assert_eq!((server.app.backups.failures(), server.app.backups.last()), (0, None));

    server.app.store.refuse_writes(Doubt::NoMark);
    assert!(no(&["doubtful.redb"]).contains("the log is in doubt"));
    assert_eq!(names(here.path()).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_the_command_makes_it() {
    let (here, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let dir = serve(&[]).await.stop().await;
    let data = dir.path().join("rollbook.redb");
    done(backup(here.path(), &data, &["copy.redb"]));
    assert_whole(&here.path().join("copy.redb"));
    let set = |keep: &str| {
        let mut command = backup(here.path(), &data, &[]);
        command.env("ROLLBOOK_BACKUP_DIR", folder.path()).env("ROLLBOOK_BACKUP_KEEP", keep);
        command
    };
    for _ in 0..3 {
        done(set("2"));
    }
    assert_eq!(names(folder.path()).len(), 2);
    let (status, _, err) = run(set("two"));
    assert!(status == Some(2) && err.starts_with("ROLLBOOK_BACKUP_KEEP: must be"), "{err}");
    assert!(refused(backup(here.path(), &data, &["copy.redb"])).contains("is there already"));
    assert!(refused(backup(here.path(), &dir.path().join("none.redb"), &["x.redb"])).contains("there is no data file"));
    let store = Store::open(&data, 1 << 20, Policy::default(), rollbook::clock::Clock::system()).unwrap();
    assert_eq!((made(&store, "backup.removed").await.len(), made(&store, "backup.made").await.len()), (1, 5));
    store.close().await;

    fs::remove_file(mark_path(&data)).unwrap();
    assert!(refused(backup(here.path(), &data, &["doubtful.redb"])).contains("the log is in doubt"));
    assert_eq!(names(here.path()), ["copy.redb"]);
}

/// A server whose data take a moment to copy.
async fn large() -> TestServer {
    let server = TestServer::start().await;
    let noted =
        |n| Draft::new("test.noted", Actor::System, Source::System).with("of", Some(format!("{n}{}", "x".repeat(900))));
    for noted in join_all((0..6_000).map(|n| server.app.store.record(noted(n)))).await {
        noted.unwrap();
    }
    server
}

/// Begins one, which then is being written, unless it was too quick for us.
fn begin(here: &TempDir, data: &Path, name: &str) -> Child {
    let mut command = backup(here.path(), data, &[name]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !here.path().join(format!("{name}.part")).exists() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    child
}

/// Begins one and interrupts it, until one was not over by then.
fn interrupt(here: &TempDir, data: &Path) {
    for _ in 0..50 {
        let mut child = begin(here, data, "copy.redb");
        let kill = format!("kill -INT {}", child.id());
        let _ = Command::new("/bin/sh").args(["-c", &kill]).stderr(Stdio::null()).status();
        match child.wait().unwrap().code() {
            Some(0) => fs::remove_file(here.path().join("copy.redb")).unwrap(),
            code => return assert_eq!(code, Some(1)),
        }
    }
    panic!("never in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_leaves_nothing() {
    let here = tempfile::tempdir().unwrap();
    let server = large().await;
    loop {
        interrupt(&here, &server.data());
        server.app.backups.idle().await;
        // The server may have been done when it heard that nobody waits any more.
        if fs::remove_file(here.path().join("copy.redb")).is_err() {
            break;
        }
    }
    assert_eq!(names(here.path()), [""; 0]);
    let ended = made(&server.app.store, "backup.made").await;
    assert_eq!(ended[0].leaf.reason.as_deref(), Some("stopped"));
    assert_eq!(server.app.backups.failures(), 0, "it was wanted no more");
    // And so it is without a server.
    let dir = server.stop().await;
    let data = dir.path().join("rollbook.redb");
    interrupt(&here, &data);
    assert_eq!(names(here.path()), [""; 0]);
    done(backup(here.path(), &data, &["whole.redb"]));
    assert_whole(&here.path().join("whole.redb"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_is_made_at_a_time_and_a_server_that_stops_gives_it_up() {
    let here = tempfile::tempdir().unwrap();
    let server = large().await;
    let by = By { actor: Actor::Cli, source: Source::Cli };
    // While somebody writes it gives way, so it takes a while; each round makes sure that it was still under way.
    let mut was_refused = false;
    for _ in 0..50 {
        let path = here.path().join("first.redb");
        let first = server.app.backups.follow(Some(path.clone()), by.clone(), |_| ());
        let second = async {
            while server.app.backups.running().is_none() {
                tokio::task::yield_now().await;
            }
            let command = backup(here.path(), &server.data(), &["second.redb"]);
            tokio::task::spawn_blocking(move || run(command)).await.unwrap()
        };
        let (first, (status, _, err)) = tokio::join!(first, second);
        assert!(first.unwrap().result.is_ok());
        fs::remove_file(&path).unwrap();
        if status == Some(1) {
            assert!(err.contains("a backup is being made already"), "{err}");
            was_refused = true;
            break;
        }
        fs::remove_file(here.path().join("second.redb")).unwrap();
    }
    assert!(was_refused, "never while another was made");
    assert_eq!(names(here.path()), [""; 0]);

    let mut child = begin(&here, &server.data(), "last.redb");
    drop(server.stop().await);
    let code = child.wait().unwrap().code();
    assert!(matches!(code, Some(0 | 1)));
    let left = if code == Some(0) { vec!["last.redb".to_owned()] } else { Vec::new() };
    assert_eq!(names(here.path()), left);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_file_among_the_backups_is_never_one_of_them() {
    let here = tempfile::tempdir().unwrap();
    let dir = TestServer::start().await.stop().await;
    // Somebody goes on from a backup where it lies.
    let data = here.path().join("rollbook-20200101T000000Z.redb");
    for ending in ["", ".key", ".hwm"] {
        let with = |path: &Path| PathBuf::from(format!("{}{ending}", path.display()));
        fs::rename(with(&dir.path().join("rollbook.redb")), with(&data)).unwrap();
    }
    let on = |mut command: Command| {
        command.env("ROLLBOOK_BACKUP_DIR", here.path()).env("ROLLBOOK_BACKUP_KEEP", "1");
        command
    };
    for _ in 0..2 {
        done(on(backup(here.path(), &data, &[])));
        assert!(data.exists(), "{:?}", names(here.path()));
    }
    let mut serve = Command::new(env!("CARGO_BIN_EXE_rollbook"));
    serve.args(["serve", "--data"]).arg(&data).current_dir(here.path()).env_clear();
    serve.envs([
        ("CLERK_WEBHOOK_SIGNING_SECRET", "whsec_dGhlIHRhcmdldCdzIG93biBjYW5hcnkgc2VjcmV0ISE="),
        ("CLERK_ISSUER", "https://clerk.example.com"),
        ("ROLLBOOK_LISTEN", "127.0.0.1:0"),
    ]);
    let (status, _, err) = run(on(serve));
    assert!(status == Some(1) && err.contains("lies among the backups"), "{status:?} {err}");
}

/// Root looks after files that somebody else's server has to read.
#[tokio::test(flavor = "multi_thread")]
async fn what_root_writes_belongs_to_whoever_runs_the_server() {
    const OTHER: u32 = 65_534;
    let dir = TestServer::start().await.stop().await;
    let files = |dir: &Path| -> Vec<PathBuf> { names(dir).into_iter().map(|name| dir.join(name)).collect() };
    let folder = dir.path().join("backups");
    fs::create_dir(&folder).unwrap();
    let all = [vec![dir.path().to_owned()], files(dir.path())].concat();
    if all.iter().any(|path| chown(path, Some(OTHER), Some(OTHER)).is_err()) {
        // Not by macro: what that prints a passing test keeps to itself.
        writeln!(std::io::stderr(), "SKIPPED what root writes: we are not root").unwrap();
        return;
    }
    let mut command = backup(dir.path(), &dir.path().join("rollbook.redb"), &[]);
    command.env("ROLLBOOK_BACKUP_DIR", &folder);
    done(command);
    assert_eq!(names(&folder).len(), 1);
    for path in [files(dir.path()), files(&folder)].concat() {
        assert_eq!(fs::metadata(&path).unwrap().uid(), OTHER, "{}", path.display());
    }
}
