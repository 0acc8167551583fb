//! The target of the settings: what becomes of it stands in the log, and its place is kept as long as it is there.

use rollbook::clock::Clock;
use rollbook::target::Kind;
use serde_json::Value;

use crate::common::TestServer;
use crate::receiver::{Receiver, SECRET};
use crate::{NEAR, create, status, until};

/// What the log says of targets, in order: the action, the address, and the kind where it is said.
async fn said(server: &TestServer) -> Vec<(String, Value, Value)> {
    let entries = server.entries().await.into_iter().filter(|entry| entry.leaf.action.starts_with("target."));
    let said = entries.map(|entry| {
        assert_eq!((entry.leaf.actor.as_str(), entry.leaf.target.as_deref()), ("system", Some("target:settings")));
        let detail = entry.detail.unwrap();
        let member = |name| detail.get(name).cloned().unwrap_or_default();
        (entry.leaf.action, member("url"), member("kind"))
    });
    said.collect()
}

#[tokio::test]
async fn that_it_changes_goes_and_comes_back_stands_in_the_log() {
    let (one, two) = (Receiver::start().await, Receiver::start().await);
    let set = |url| vec![NEAR, ("ROLLBOOK_FORWARD_URL", url), ("ROLLBOOK_FORWARD_SECRET", SECRET)];
    let mut expected = Vec::new();
    let mut expect = |action: &str, url: &str, kind: Value| {
        expected.push((format!("target.{action}"), format!("{url}/").into(), kind));
        expected.clone()
    };
    let server = TestServer::with(&set(&one.url)).await;
    assert_eq!(said(&server).await, expect("created", &one.url, "events".into()));
    create(&server, "user_1").await;
    until(&server, "settings", |status| status.course.delivered == 1).await;

    let dir = server.stop().await;
    let server = TestServer::open(dir, &set(&one.url), Clock::system()).await;
    assert_eq!(said(&server).await.len(), 1, "nothing changed");
    assert_eq!(server.app.forwarder.all().len(), 1, "it is no target of the page's");

    let dir = server.stop().await;
    let server = TestServer::open(dir, &set(&two.url), Clock::system()).await;
    assert_eq!(said(&server).await, expect("changed", &two.url, "events".into()));
    let calls = [set(&two.url), vec![("ROLLBOOK_FORWARD_KIND", "api")]].concat();
    let dir = server.stop().await;
    let server = TestServer::open(dir, &calls, Clock::system()).await;
    assert_eq!(said(&server).await, expect("changed", &two.url, "api".into()));
    assert_eq!(status(&server, "settings").target.kind, Kind::Api);

    let dir = server.stop().await;
    let server = TestServer::open(dir, &[NEAR], Clock::system()).await;
    assert_eq!(said(&server).await, expect("removed", &two.url, Value::Null));
    assert!(server.app.forwarder.all().is_empty());
    create(&server, "user_2").await;

    let dir = server.stop().await;
    let server = TestServer::open(dir, &set(&one.url), Clock::system()).await;
    assert_eq!(said(&server).await, expect("created", &one.url, "events".into()));
    create(&server, "user_3").await;
    until(&server, "settings", |status| status.behind == 0).await;
    let told: Vec<Value> = one.calls().iter().map(|call| call.json()["user"]["clerk_user_id"].clone()).collect();
    assert_eq!(told, ["user_1", "user_3"], "it begins with what comes from then on");
    assert!(two.calls().is_empty());
}
