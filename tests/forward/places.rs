//! Where targets stand in the log: paused, sent back, and where the log is not any more.

use rollbook::audit::retention::Cutoff;
use rollbook::clock::{Clock, Timestamp};
use rollbook::forward::Start;
use rollbook::store::{EraseError, Order};
use rollbook::target::{Kind, Target};

use crate::common::{TestServer, deleted_event, user_event};
use crate::receiver::Receiver;
use crate::{NEAR, T, add, by, create, events, name, seqs, start, told, until};

#[tokio::test]
async fn a_paused_target_is_told_the_rest_when_it_is_resumed() {
    let (server, receiver) = (start().await, Receiver::start().await);
    add(&server, events("crm", &receiver.url)).await;
    create(&server, "user_1").await;
    until(&server, "crm", |status| status.course.delivered == 1).await;
    server.app.forwarder.pause(name("crm"), by()).await.unwrap();
    create(&server, "user_2").await;
    create(&server, "user_3").await;
    let dir = server.stop().await;
    let server = TestServer::open(dir, &[NEAR], Clock::system()).await;
    create(&server, "user_4").await;
    assert!(crate::status(&server, "crm").behind > 0);
    assert_eq!(receiver.calls().len(), 1);
    server.app.forwarder.resume(name("crm"), by()).await.unwrap();
    let calls = receiver.after(4).await;
    assert_eq!(seqs(&calls), told(&server, None).await);
}

#[tokio::test]
async fn a_target_can_be_sent_back_by_number_by_date_and_to_the_beginning() {
    let clock = Clock::adjustable();
    let (server, receiver) = (TestServer::with_clock(&[NEAR], clock.clone()).await, Receiver::start().await);
    add(&server, events("crm", &receiver.url)).await;
    for n in 0..3 {
        create(&server, &format!("user_{n}")).await;
    }
    clock.set(Clock::system().now().plus_millis(3_600_000));
    let later = clock.now();
    for n in 3..6 {
        create(&server, &format!("user_{n}")).await;
    }
    let all = seqs(&receiver.after(6).await);
    let mut expected = all.clone();
    for (start, again) in [
        (Start::At(all[4]), &all[4..]),
        (Start::At(all[4] + 1), &all[5..]),
        (Start::Since(later), &all[3..]),
        (Start::Since(Timestamp::default()), &all[..]),
        (Start::Beginning, &all[..]),
    ] {
        let before = receiver.calls();
        server.app.forwarder.replay(name("crm"), start, by()).await.unwrap();
        expected.extend(again);
        let calls = receiver.after(expected.len()).await;
        assert_eq!(seqs(&calls), expected, "{start:?}");
        let ids = |calls: &[crate::receiver::Call]| {
            calls.iter().map(|call| call.header("webhook-id").to_owned()).collect::<Vec<_>>()
        };
        assert!(ids(&calls[before.len()..]).iter().all(|id| ids(&before).contains(id)), "known by the same ids");
    }
    let now = Start::Since(later.plus_millis(86_400_000));
    server.app.forwarder.pause(name("crm"), by()).await.unwrap();
    create(&server, "user_6").await;
    server.app.forwarder.replay(name("crm"), now, by()).await.unwrap();
    server.app.forwarder.resume(name("crm"), by()).await.unwrap();
    create(&server, "user_7").await;
    let calls = receiver.after(expected.len() + 1).await;
    assert_eq!(calls.last().unwrap().json()["user"]["clerk_user_id"], "user_7");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_told_who_was_erased_meanwhile() {
    let (server, hooks, app) = (start().await, Receiver::start().await, Receiver::start().await);
    add(&server, events("hooks", &hooks.url)).await;
    add(&server, Target { kind: Kind::Api, ..events("app", &app.url) }).await;
    hooks.say(|_| Some((503, "", "")));
    server.app.forwarder.pause(name("app"), by()).await.unwrap();
    server.outcome(&user_event("user.created", "user_Ann", T, "Ann")).await;
    until(&server, "hooks", |status| status.next_try_at.is_some()).await;
    assert!(hooks.calls()[0].body.contains("user_ann@example.org"));
    let order = |even_if_untold| Order { by: by(), reason: None, even_if_live: true, even_if_untold };
    let ann = "user_Ann".parse().unwrap();
    let refused = server.app.store.erase(&ann, order(false), |_| {}).await.unwrap_err().to_string();
    assert!(refused.ends_with("to: app, hooks"), "{refused}");
    server.app.store.erase(&ann, order(true), |_| {}).await.unwrap();
    hooks.take();
    server.app.forwarder.retry_now(&name("hooks")).unwrap();
    server.app.forwarder.resume(name("app"), by()).await.unwrap();
    for target in ["hooks", "app"] {
        until(&server, target, |status| status.behind == 0).await;
    }
    let of_creation = hooks.calls()[0].seq();
    let again: Vec<_> = hooks.calls().into_iter().filter(|call| call.seq() == of_creation).skip(1).collect();
    assert_eq!(again.last().unwrap().json()["user"], serde_json::Value::Null);
    assert!(!again.last().unwrap().body.to_lowercase().contains("ann"), "{again:?}");
    assert!(app.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_erased_of_whom_a_target_is_still_to_be_told() {
    let (server, app) = (start().await, Receiver::start().await);
    let none = Receiver::start().await;
    add(&server, Target { kind: Kind::Api, ..events("app", &app.url) }).await;
    add(&server, Target { types: "session.*".parse().unwrap(), ..events("sessions", &none.url) }).await;
    server.outcome(&user_event("user.created", "user_Ann", T, "Ann")).await;
    until(&server, "app", |status| status.course.delivered == 1).await;
    server.app.forwarder.pause(name("app"), by()).await.unwrap();
    server.app.forwarder.pause(name("sessions"), by()).await.unwrap();
    let (store, ann) = (&server.app.store, "user_Ann".parse().unwrap());
    let untold = async || {
        let (outline, extent) = (store.erasure_outline(&ann).await, store.erasure_extent(&ann, |_| {}).await);
        [outline.unwrap().untold_names(), extent.unwrap().untold_names()]
    };
    // That somebody looked at her is nothing to tell, and the types of the other are none of hers.
    server.get_as(&server.admin("user_boss").await, "/api/users/user_Ann").await;
    assert_eq!(untold().await, ["", ""]);
    server.outcome(&deleted_event("user_Ann", T + 1)).await;
    assert_eq!(untold().await, ["app", "app"]);
    let order = || Order { by: by(), reason: None, even_if_live: false, even_if_untold: false };
    let refused = store.erase(&ann, order(), |_| {}).await;
    assert!(matches!(refused, Err(EraseError::Untold(names)) if names == "app"));
    server.app.forwarder.resume(name("app"), by()).await.unwrap();
    until(&server, "app", |status| status.behind == 0).await;
    assert_eq!(app.calls().last().unwrap().line(), "DELETE /users/webhook/user_Ann");
    // What was told is written down a moment later.
    while untold().await != ["", ""] {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    store.erase(&ann, order(), |_| {}).await.unwrap();
}

#[tokio::test]
async fn what_was_pruned_is_passed_over_and_the_log_says_so() {
    let long_ago = Timestamp::from_millis(T);
    let clock = Clock::adjustable();
    clock.set(long_ago);
    let (server, receiver) = (TestServer::with_clock(&[NEAR], clock.clone()).await, Receiver::start().await);
    add(&server, events("crm", &receiver.url)).await;
    server.app.forwarder.pause(name("crm"), by()).await.unwrap();
    for n in 0..300 {
        server
            .app
            .store
            .record(by().entry("user.updated").about(&crate::clerk_id(&format!("user_{n}"))))
            .await
            .unwrap();
    }
    clock.set_right();
    create(&server, "user_last").await;
    let today = Clock::system().now();
    let gone = server
        .app
        .store
        .prune(Cutoff::new("2025-07-01".parse().unwrap(), today, true).unwrap(), by(), |_, _| {})
        .await
        .unwrap();
    assert!(gone.end >= 256, "{gone:?}");
    server.app.forwarder.resume(name("crm"), by()).await.unwrap();
    let rest = told(&server, None).await;
    assert_eq!(rest[0], gone.end);
    assert_eq!(seqs(&receiver.after(rest.len()).await), rest);
    until(&server, "crm", |status| status.behind == 0).await;
    let entries = server.entries().await;
    let skipped = entries.iter().find(|entry| entry.leaf.action == "target.skipped").unwrap();
    assert_eq!(skipped.leaf.reason.as_deref(), Some("pruned"));
    assert_eq!(skipped.detail.as_ref().unwrap()["to"], gone.end - 1);
}
