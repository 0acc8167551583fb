//! Judged by programs that nobody here wrote: the description by openapi-spec-validator, and the server by schemathesis,
//! which makes requests out of the description and compares the answers with it. Where one is not installed its test
//! says so and passes: `pip install schemathesis openapi-spec-validator`.

use std::io::Write as _;
use std::process::{Command, Output};

use crate::common::{TestServer, user_event};

/// What Python says when a module is not installed.
fn is_missing(output: &Output) -> bool {
    !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("No module named")
}

#[expect(clippy::explicit_write, reason = "a passing test keeps to itself what it prints by macro")]
fn skip(what: &str) {
    writeln!(std::io::stderr(), "SKIPPED {what}: not installed").unwrap();
}

async fn python(arguments: Vec<String>) -> Output {
    let run = move || Command::new("python3").arg("-m").args(arguments).env("PYTHONIOENCODING", "utf-8").output();
    let spawned = tokio::task::spawn_blocking(run).await.unwrap();
    spawned.unwrap_or_else(|_| {
        Command::new("/bin/sh").args(["-c", "echo No module named python >&2; exit 1"]).output().unwrap()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_openapi() {
    let server = TestServer::start().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("openapi.json");
    std::fs::write(&file, server.get("/openapi.json").await.text).unwrap();
    let output = python(vec!["openapi_spec_validator".to_owned(), file.display().to_string()]).await;
    if is_missing(&output) {
        return skip("openapi-spec-validator");
    }
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_nothing() {
    let server = TestServer::start().await;
    for (number, name) in ["Ann", "Bob", "Cem"].into_iter().enumerate() {
        let id = format!("user_{number}");
        assert_eq!(server.outcome(&user_event("user.created", &id, 1_700_000_000_000, name)).await, "applied");
    }
    let token = server.admin("user_boss").await;
    let dir = tempfile::tempdir().unwrap();
    let settings = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/description/schemathesis.toml");
    let arguments = [
        "schemathesis.cli",
        "--config-file",
        settings,
        "--no-color",
        "run",
        &server.url("/openapi.json"),
        "--header",
        &format!("Authorization: Bearer {token}"),
        "--checks",
        "all",
        "--max-examples",
        "25",
        "--continue-on-failure",
        // One worker: before Python 3.12 two threads that parse at once may fail each other (CPython issue 106905).
        "--workers",
        "1",
        "--seed",
        "1",
        "--report",
        "junit",
        "--report-dir",
        dir.path().to_str().unwrap(),
    ];
    let output = python(arguments.map(str::to_owned).to_vec()).await;
    if is_missing(&output) {
        return skip("schemathesis");
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
