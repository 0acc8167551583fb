//! Counters: exact whoever counts at once, bounded, and all or nothing.

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use rollbook::api_key::Scope;
use serde_json::{Value, json};

use crate::common::{Answer, TestServer, clerk_id, token};
use crate::file::state;
use crate::{key, last, record, send, server};

async fn add(server: &TestServer, token: &str, id: &str, body: &Value) -> Answer {
    send(server, token, Method::POST, &format!("/api/users/{id}/usage"), &body.to_string(), "").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_who_count_at_once_are_counted_exactly() {
    let (server, admin) = server(&[]).await;
    let bodies: Vec<Value> = (1..=200).map(|n| json!({ "calls": 1, "bytes": n })).collect();
    let answers = join_all(bodies.iter().map(|body| add(&server, &admin, "user_1", body))).await;
    let mut seen: Vec<u64> = answers.iter().map(|answer| answer.json()["usage"]["calls"].as_u64().unwrap()).collect();
    seen.sort_unstable();
    assert_eq!(seen, (1..=200).collect::<Vec<_>>(), "every caller sees the sum that its own made");
    assert_eq!(record(&server, &admin, "user_1").await["usage"], json!({ "calls": 200, "bytes": 20_100 }));
    assert_eq!(server.count("user.usage_added").await, 200);
    let entry = last(&server, "user.usage_added").await;
    assert_eq!(
        (entry.leaf.changed, entry.target_user),
        (vec!["bytes".to_owned(), "calls".to_owned()], Some(clerk_id("user_1")))
    );
    assert_eq!(entry.detail.unwrap()["amounts"]["calls"], 1);
}

#[tokio::test]
async fn too_much_adds_nothing() {
    const MOST: u64 = 9_007_199_254_740_991;
    let (server, admin) = server(&[]).await;
    let numbered = |from: u32, to: u32| -> Value {
        (from..to).map(|n| (format!("c{n}"), Value::from(1))).collect::<serde_json::Map<_, _>>().into()
    };
    for (from, to) in [(0, 32), (32, 63)] {
        assert_eq!(add(&server, &admin, "user_1", &numbered(from, to)).await.status, StatusCode::OK);
    }
    assert_eq!(add(&server, &admin, "user_1", &json!({ "most": MOST })).await.status, StatusCode::OK);
    let before = record(&server, &admin, "user_1").await;
    assert_eq!(before["usage"].as_object().unwrap().len(), 64);
    for body in [json!({ "c0": 1, "other": 1 }), json!({ "c0": 1, "most": 1 }), json!({ "most": MOST })] {
        let answer = add(&server, &admin, "user_1", &body).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{body}: {}", answer.text);
    }
    assert_eq!(record(&server, &admin, "user_1").await, before);
    assert_eq!(server.count("user.usage_added").await, 3);
    assert_eq!(add(&server, &admin, "user_1", &json!({ "c0": 2.0 })).await.json()["usage"]["c0"], 3);
}

#[tokio::test]
async fn only_amounts_are_added_and_only_by_those_who_may() {
    let (server, admin) = server(&[]).await;
    let before = state(&server.data());
    let many: Value = (0..33).map(|n| (format!("c{n}"), Value::from(1))).collect::<serde_json::Map<_, _>>().into();
    let bad = [
        json!({}),
        json!([]),
        json!([["a", 1]]),
        json!({ "a": 0 }),
        json!({ "a": -1 }),
        json!({ "a": 1.5 }),
        json!({ "a": "1" }),
        json!({ "a": null }),
        json!({ "a": 9_007_199_254_740_992_u64 }),
        json!({ "": 1 }),
        json!({ "a b": 1 }),
        json!({ ("a".repeat(65)): 1 }),
        many,
    ];
    for body in bad {
        let answer = add(&server, &admin, "user_1", &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}: {}", answer.text);
    }
    assert_eq!(state(&server.data()), before);
    let one = json!({ "calls": 1 });
    assert_eq!(add(&server, &token("user_1"), "user_1", &one).await.status, StatusCode::FORBIDDEN);
    assert_eq!(add(&server, &admin, "user_nobody", &one).await.status, StatusCode::NOT_FOUND);
    assert_eq!(add(&server, &key(&server, Scope::UsersRead).await, "user_1", &one).await.status, StatusCode::FORBIDDEN);
    assert_eq!(add(&server, &key(&server, Scope::UsersWrite).await, "user_1", &one).await.status, StatusCode::OK);
    let events = server.get_as(&admin, "/api/events?limit=500").await;
    assert!(events.text.contains("user.usage_added"), "{}", events.text);
}
