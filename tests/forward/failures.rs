//! Targets that fail: they are tried again, and nobody else notices.

use std::time::{Duration, Instant};

use rollbook::clock::Clock;

use crate::common::TestServer;
use crate::receiver::Receiver;
use crate::{NEAR, add, by, create, events, name, seqs, start, status, until};

#[tokio::test]
async fn what_is_not_taken_is_sent_again_and_nothing_overtakes_it() {
    let (server, receiver) = (start().await, Receiver::start().await);
    let mut left = 2;
    receiver.say(move |_| {
        left -= 1;
        Some(if left >= 0 { (500, "", "not now") } else { (200, "", "") })
    });
    add(&server, events("crm", &receiver.url)).await;
    create(&server, "user_1").await;
    let failing = until(&server, "crm", |status| status.course.failing.is_some()).await;
    assert!(failing.next_try_at.is_some());
    assert_eq!(failing.said.as_deref(), Some("not now"));
    assert_eq!(failing.course.failing.unwrap().why, "it answers 500");
    create(&server, "user_2").await;
    let calls = receiver.after(4).await;
    let ids: Vec<&str> = calls.iter().map(|call| call.header("webhook-id")).collect();
    assert!(ids[0] == ids[1] && ids[1] == ids[2] && ids[2] != ids[3], "{ids:?}");
    assert!(calls.iter().all(|call| call.is_genuine));
    let well = until(&server, "crm", |status| status.course.delivered == 2).await;
    assert!(well.course.failing.is_none() && well.said.is_none() && well.next_try_at.is_none());
    // What was over so soon is not worth an entry.
    assert_eq!(server.count("target.failing").await + server.count("target.recovered").await, 0);
}

#[tokio::test]
async fn an_outage_is_told_once_and_so_is_its_end() {
    let (server, receiver) = (start().await, Receiver::start().await);
    receiver.say(|_| Some((503, "", "")));
    add(&server, events("crm", &receiver.url)).await;
    create(&server, "user_1").await;
    create(&server, "user_2").await;
    for count in 1..=6 {
        receiver.after(count).await;
        until(&server, "crm", |status| status.course.failing.as_ref().is_some_and(|f| f.attempts >= count as u64))
            .await;
        until(&server, "crm", |status| status.next_try_at.is_some()).await;
        server.app.forwarder.retry_now(&name("crm")).unwrap();
    }
    receiver.after(7).await;
    receiver.take();
    until(&server, "crm", |status| {
        server.app.forwarder.retry_now(&name("crm")).unwrap();
        status.course.delivered == 2
    })
    .await;
    receiver.say(|_| Some((500, "", "")));
    create(&server, "user_3").await;
    let status = until(&server, "crm", |status| status.course.failing.is_some()).await;
    let failing = status.course.failing.unwrap();
    assert_eq!(failing.attempts, 1, "a new outage");
    let wait = status.next_try_at.unwrap().as_millis() - failing.since.as_millis();
    assert!(wait <= 1000, "pauses begin anew: {wait}");
    receiver.take();
    until(&server, "crm", |status| status.course.delivered == 3).await;
    let entries = server.entries().await;
    let told: Vec<_> = entries.iter().filter(|entry| entry.leaf.action.starts_with("target.")).collect();
    let actions: Vec<&str> = told.iter().map(|entry| entry.leaf.action.as_str()).collect();
    assert_eq!(actions, ["target.created", "target.failing", "target.recovered"]);
    assert_eq!(told[1].leaf.outcome, "error");
    assert_eq!(told[1].detail.as_ref().unwrap()["why"], "it answers 503");
}

#[tokio::test]
async fn an_answer_may_say_when_to_come_again_within_an_hour() {
    let (server, receiver) = (start().await, Receiver::start().await);
    add(&server, events("crm", &receiver.url)).await;
    for (asked, minutes) in [
        ("retry-after: 1200", 20),
        ("retry-after: 999999", 60),
        ("retry-after: Fri, 01 Jan 2100 00:00:00 GMT", 60),
        ("retry-after: soon", 0),
        ("retry-after: -5", 0),
    ] {
        receiver.say(move |_| Some((429, asked, "")));
        let before = Clock::system().now();
        if receiver.calls().is_empty() {
            create(&server, "user_1").await;
        } else {
            let count = receiver.calls().len();
            server.app.forwarder.retry_now(&name("crm")).unwrap();
            receiver.after(count + 1).await;
        }
        let next = until(&server, "crm", |status| status.next_try_at.is_some_and(|at| at > before)).await.next_try_at;
        let wait = next.unwrap().as_millis() - before.as_millis();
        let asked_for = minutes * 60_000;
        assert!((asked_for..asked_for + 40_000).contains(&wait), "{asked}: {wait}");
    }
    receiver.take();
    server.app.forwarder.retry_now(&name("crm")).unwrap();
    until(&server, "crm", |status| status.course.delivered == 1).await;
}

#[tokio::test]
async fn who_answers_410_is_sent_nothing_until_an_admin_resumes_it() {
    let (server, receiver) = (start().await, Receiver::start().await);
    receiver.say(|_| Some((410, "", "")));
    add(&server, events("crm", &receiver.url)).await;
    create(&server, "user_1").await;
    let paused = until(&server, "crm", |status| status.course.paused).await;
    let standing = rollbook::checks::standing(&paused, Clock::system().now());
    assert!(standing.found.starts_with("paused: it answered 410 (gone)"), "{standing:?}");
    create(&server, "user_2").await;
    receiver.take();
    server.app.forwarder.resume(name("crm"), by()).await.unwrap();
    let calls = receiver.after(3).await;
    assert_eq!(status(&server, "crm").course.paused_for, None);
    assert_eq!(calls[0].header("webhook-id"), calls[1].header("webhook-id"));
    let entries = server.entries().await;
    let paused = entries.iter().find(|entry| entry.leaf.action == "target.paused").unwrap();
    assert_eq!((paused.leaf.actor.as_str(), paused.leaf.reason.as_deref()), ("system", Some("gone")));
}

#[tokio::test]
async fn to_try_one_again_that_is_well_does_not_cut_its_next_wait_short() {
    let (server, receiver) = (start().await, Receiver::start().await);
    add(&server, events("crm", &receiver.url)).await;
    let waits = async || {
        receiver.say(|_| Some((503, "retry-after: 3000", "")));
        let count = receiver.calls().len();
        create(&server, &format!("user_{count}")).await;
        receiver.after(count + 1).await;
        until(&server, "crm", |status| status.next_try_at.is_some()).await;
        // Somebody else is told meanwhile, and it is not.
        let other = Receiver::start().await;
        let called = format!("t{count}");
        add(&server, events(&called, &other.url)).await;
        create(&server, &format!("user_then_{count}")).await;
        other.after(1).await;
        assert_eq!(receiver.calls().len(), count + 1);
    };
    server.app.forwarder.retry_now(&name("crm")).unwrap();
    waits().await;
    receiver.take();
    server.app.forwarder.retry_now(&name("crm")).unwrap();
    until(&server, "crm", |status| status.behind == 0).await;
    server.app.forwarder.retry_now(&name("crm")).unwrap();
    waits().await;
}

#[tokio::test]
async fn a_target_that_never_answers_holds_up_nobody_and_not_the_end() {
    let (server, dead, live) = (start().await, Receiver::start().await, Receiver::start().await);
    dead.say(|_| None);
    add(&server, events("dead", &dead.url)).await;
    add(&server, events("live", &live.url)).await;
    for n in 0..100 {
        create(&server, &format!("user_{n}")).await;
    }
    assert_eq!(seqs(&live.after(100).await).len(), 100);
    until(&server, "live", |status| status.course.delivered == 100).await;
    let waiting = dead.calls();
    let first = waiting[0].header("webhook-id");
    // Where all of this took longer than a call may, there was another, of the same.
    assert!(waiting.iter().all(|call| call.header("webhook-id") == first), "one call at a time");
    let since = Instant::now();
    let dir = server.stop().await;
    assert!(since.elapsed() < Duration::from_secs(10), "a call under way is given up");
    let given_up = dead.calls().len();
    dead.take();
    let server = TestServer::open(dir, &[NEAR], Clock::system()).await;
    let calls = dead.after(given_up + 100).await;
    assert_eq!(calls[given_up].header("webhook-id"), first, "it is sent again");
    assert_eq!(seqs(&calls[given_up..]), seqs(&live.calls()));
    until(&server, "live", |status| status.behind == 0).await;
    assert_eq!(live.calls().len(), 100, "what was taken is not told again");
}

#[tokio::test]
async fn a_receiver_that_dies_and_comes_back_misses_nothing() {
    let (server, receiver) = (start().await, Receiver::start().await);
    let address = receiver.address().to_owned();
    add(&server, events("crm", &receiver.url)).await;
    for n in 0..10 {
        create(&server, &format!("user_{n}")).await;
    }
    receiver.after(3).await;
    let mut seen = seqs(&receiver.die().await);
    until(&server, "crm", |status| status.course.failing.is_some() || status.behind == 0).await;
    for n in 10..20 {
        create(&server, &format!("user_{n}")).await;
    }
    let receiver = Receiver::at(&address).await;
    let last = server.app.store.counts().entries - 1;
    let calls = receiver
        .once(|calls| {
            let _ = server.app.forwarder.retry_now(&name("crm"));
            calls.iter().any(|call| call.seq() == last)
        })
        .await;
    seen.extend(seqs(&calls));
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, crate::told(&server, None).await);
    assert!(seqs(&calls).is_sorted());
}

#[tokio::test]
async fn one_entry_can_be_passed_over() {
    let (server, receiver) = (start().await, Receiver::start().await);
    receiver.say(|call| Some(if call.body.contains("user_bad") { (422, "", "no") } else { (200, "", "") }));
    add(&server, events("crm", &receiver.url)).await;
    create(&server, "user_bad").await;
    create(&server, "user_good").await;
    let failing = until(&server, "crm", |status| status.course.failing.is_some()).await.course.failing.unwrap();
    server.app.forwarder.skip(name("crm"), failing.seq, by()).await.unwrap();
    receiver.once(|calls| calls.last().is_some_and(|call| call.body.contains("user_good"))).await;
    until(&server, "crm", |status| status.course.delivered == 1).await;
    assert!(status(&server, "crm").course.failing.is_none());
    let entries = server.entries().await;
    let skipped = entries.iter().find(|entry| entry.leaf.action == "target.skipped").unwrap();
    let detail = skipped.detail.as_ref().unwrap();
    assert_eq!(
        (skipped.leaf.count, &detail["from"], &detail["to"]),
        (Some(1), &failing.seq.into(), &failing.seq.into())
    );
}
