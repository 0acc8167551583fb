//! Rollbook killed in the middle of it, again and again; and what it leaves behind in its files and lines.

use std::path::Path;
use std::time::{Duration, Instant};

use rollbook::clock::Clock;
use rollbook::stand_in::StandIn;
use rollbook::target::Kind;

use crate::common::{TestServer, sign, user_event, wait};
use crate::process::{Process, serve};
use crate::receiver::{Receiver, SECRET};
use crate::{NEAR, T, add, events, seqs};

/// The program with that target in its settings.
fn program(dir: &Path, url: &str) -> std::process::Command {
    let mut command = serve(dir);
    command.env(NEAR.0, NEAR.1).env("ROLLBOOK_FORWARD_URL", url).env("ROLLBOOK_FORWARD_SECRET", SECRET);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_it_misses_nothing_and_keeps_the_order() {
    const ROUNDS: usize = 4;
    const EACH: usize = 150;
    let (dir, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let mut begins = Vec::new();
    for round in 0..ROUNDS {
        let (path, url) = (dir.path().to_owned(), receiver.url.clone());
        begins.push(receiver.calls().len());
        let already = receiver.calls().len();
        let process = tokio::task::spawn_blocking(move || {
            let process = Process::start(program(&path, &url));
            let mut line = process.connect();
            for n in 0..EACH {
                let event = user_event("user.created", &format!("user_{round}_{n}"), T, "Ann").to_string();
                assert_eq!(line.deliver(&sign::fresh_id(), &event).unwrap().0, 200);
            }
            process
        });
        let process = process.await.unwrap();
        // Some are told, others not, when it ends.
        receiver.after(already + 20 * round).await;
        process.kill();
    }
    let dir = tokio::task::spawn_blocking(move || dir).await.unwrap();
    begins.push(receiver.calls().len());
    let set = [NEAR, ("ROLLBOOK_FORWARD_URL", receiver.url.as_str()), ("ROLLBOOK_FORWARD_SECRET", SECRET)];
    let server = TestServer::open(dir, &set, Clock::system()).await;
    crate::until(&server, "settings", |status| status.behind == 0).await;
    let calls = receiver.calls();
    let told = crate::told(&server, None).await;
    let mut expected: Vec<u64> = told;
    for page in 0.. {
        let more = crate::told(&server, expected.last().copied()).await;
        if more.is_empty() || page > 10 {
            break;
        }
        expected.extend(more);
    }
    assert_eq!(expected.len(), ROUNDS * EACH);
    // Each run goes on at most a hundred before where the one before had come, and leaves nothing out.
    let (mut reached, mut ends) = (0, begins.clone());
    ends.remove(0);
    ends.push(calls.len());
    for (begin, end) in begins.into_iter().zip(ends) {
        let run = seqs(&calls[begin..end]);
        let Some(first) = run.first() else { continue };
        let from = expected.iter().position(|seq| seq == first).unwrap();
        assert!(from <= reached && from + 101 >= reached, "{from} after {reached}");
        assert_eq!(run, expected[from..from + run.len()]);
        reached = reached.max(from + run.len());
    }
    assert_eq!(reached, expected.len());
    assert!(calls.iter().all(|call| call.is_genuine));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_the_data_file_or_in_any_line() {
    const TYPED: &str = "whsec_Q0FOQVJZLW9mLWEtdGFyZ2V0LW9mLXRoZS1wYWdl";
    let clerk = StandIn::start("ins_test", Clock::system()).await.unwrap();
    let (receiver, other) = (Receiver::start().await, Receiver::start().await);
    let server = TestServer::with(&[NEAR]).await;
    let secret = Some(TYPED.parse().unwrap());
    server
        .app
        .forwarder
        .add(events("crm", &other.url), secret, rollbook::forward::Start::Now, crate::by())
        .await
        .unwrap();
    let dir = server.stop().await;
    let user = user_event("user.created", "user_1", T, "Ann");
    let session = serde_json::json!({
        "type": "session.created", "object": "event", "timestamp": T, "instance_id": "ins_test",
        "data": { "object": "session", "id": "sess_1", "user_id": "user_1", "status": "active", "created_at": T,
            "updated_at": T, "expire_at": 4_000_000_000_000_i64 },
    });
    for event in [&user, &session] {
        clerk.apply(event).unwrap();
    }
    // It repeats everything it is sent.
    receiver.say(|call| {
        let token: &'static str = call.header("authorization").to_owned().leak();
        Some(if token.is_empty() { (200, "", "") } else { (500, "", token) })
    });
    let mut command = program(dir.path(), &receiver.url);
    command
        .env("ROLLBOOK_FORWARD_KIND", "api")
        .env("ROLLBOOK_FORWARD_BEARER", "true")
        .env("CLERK_SECRET_KEY", clerk.secret_key())
        .env("CLERK_API_URL", &clerk.url)
        .env("ROLLBOOK_SYNC_INTERVAL", "off")
        .env("ROLLBOOK_LOG", "trace");
    let process = tokio::task::spawn_blocking(move || {
        let process = Process::start(command);
        let mut line = process.connect();
        for event in [&user, &session] {
            assert_eq!(line.deliver(&sign::fresh_id(), &event.to_string()).unwrap().0, 200);
        }
        process
    });
    let process = process.await.unwrap();
    let calls = receiver.after(3).await;
    assert_eq!(calls[0].header("svix-id"), calls[2].header("svix-id"));
    other.after(2).await;
    let said = tokio::task::spawn_blocking(move || {
        // So often that the outage is in the log, and not only on its way to there.
        wait::blocking("three failures", || {
            let metrics = process.connect().get("/metrics").unwrap().1;
            let failures = metrics
                .lines()
                .find_map(|line| line.strip_prefix("rollbook_forward_failures_total{target=\"settings\"} "));
            failures.unwrap().parse::<u64>().unwrap() >= 3
        });
        let since = Instant::now();
        process.terminate();
        let (status, said) = process.wait();
        assert!(status.success() && since.elapsed() < Duration::from_secs(30));
        said
    });
    let said = said.await.unwrap();
    assert!(said.contains("target.failing"), "{said}");
    let file = std::fs::read(dir.path().join("rollbook.redb")).unwrap();
    let contains = |text: &str| file.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(contains("user_1@example.org"), "the file is looked at rightly");
    let tokens: Vec<String> =
        receiver.calls().iter().map(|call| call.header("authorization").replace("Bearer ", "")).collect();
    assert!(tokens.iter().all(|token| token.len() > 100));
    let signatures = tokens.iter().map(|token| token.rsplit('.').next().unwrap());
    let secrets = [SECRET, TYPED].map(|secret| secret.trim_start_matches("whsec_"));
    for canary in signatures.chain(secrets).chain([clerk.secret_key()]) {
        let canary = &canary[..24];
        assert!(!said.contains(canary) && !contains(canary), "{canary}");
    }
}

#[tokio::test]
async fn the_answer_is_shown_without_what_was_secret_in_the_call() {
    let clerk = StandIn::start("ins_test", Clock::system()).await.unwrap();
    let settings = [
        NEAR,
        ("CLERK_SECRET_KEY", clerk.secret_key()),
        ("CLERK_API_URL", &clerk.url),
        ("ROLLBOOK_SYNC_INTERVAL", "off"),
    ];
    let (server, receiver) = (TestServer::with(&settings).await, Receiver::start().await);
    let target = rollbook::target::Target { bearer: true, kind: Kind::Api, ..events("app", &receiver.url) };
    add(&server, target).await;
    receiver.say(|call| Some((500, "", call.header("authorization")[30..].to_owned().leak())));
    for event in [
        user_event("user.created", "user_1", T, "Ann"),
        serde_json::json!({
            "type": "session.created", "object": "event", "timestamp": T, "instance_id": "ins_test",
            "data": { "object": "session", "id": "sess_1", "user_id": "user_1", "status": "active", "created_at": T },
        }),
    ] {
        clerk.apply(&event).unwrap();
        server.outcome(&event).await;
    }
    let status = crate::until(&server, "app", |status| status.course.failing.is_some()).await;
    assert_eq!(status.said, None);
}
