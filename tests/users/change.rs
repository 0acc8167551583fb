//! What is the operator's of a record, and that nobody overwrites what they have not seen.

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use rollbook::api_key::Scope;
use rollbook::audit::{Actor, Source};
use rollbook::store::{By, ChangeError, Revision, UserPatch};
use rollbook::user::UserId;
use serde_json::json;

use crate::common::{Answer, TestServer, clerk_id, token};
use crate::file::state;
use crate::{key, last, record, send, server};

async fn patch(server: &TestServer, token: &str, id: &str, body: &str, if_match: &str) -> Answer {
    send(server, token, Method::PATCH, &format!("/api/users/{id}"), body, if_match).await
}

#[tokio::test]
async fn an_operator_changes_what_is_theirs() {
    let (server, admin) = server(&[]).await;
    let body = r#"{"role":"NURSE","practice_id":"north","subscription":{"plan":"clinic","status":"past_due"}}"#;
    let changed = patch(&server, &admin, "user_1", body, "").await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text);
    let now = changed.json();
    assert_eq!((&now["role"], &now["practice_id"]), (&json!("NURSE"), &json!("north")));
    assert_eq!(now["subscription"], json!({"plan": "clinic", "status": "past_due"}));
    assert_eq!(now["first_name"], "Ann");
    assert_eq!(record(&server, &admin, "user_1").await, now);
    let entry = last(&server, "user.assigned").await;
    assert_eq!(entry.leaf.changed, ["practice_id", "role", "subscription"]);
    assert_eq!((entry.actor_user, entry.target_user), (Some(clerk_id("user_boss")), Some(clerk_id("user_1"))));
    let detail = entry.detail.unwrap();
    assert_eq!(detail["changes"]["role"], json!({"before": "USER", "after": "NURSE"}));
    assert_eq!(detail["changes"]["subscription"]["before"], json!({"plan": "free", "status": "active"}));
    assert!(detail["session"].is_string() && detail["ip"].is_string());
    // Half of a subscription leaves the other half; the practice can be taken away; by either id.
    let id = now["id"].as_str().unwrap();
    let changed = patch(&server, &admin, id, r#"{"practice_id":null,"subscription":{"status":"active"}}"#, "").await;
    assert_eq!(changed.json()["subscription"], json!({"plan": "clinic", "status": "active"}));
    assert_eq!((&changed.json()["practice_id"], &changed.json()["role"]), (&json!(null), &json!("NURSE")));
    // What changes nothing is a look at the record.
    let assigned = server.count("user.assigned").await;
    let same = patch(&server, &admin, "user_1", r#"{"role":"NURSE","subscription":{"plan":"clinic"}}"#, "").await;
    assert_eq!((same.status, same.header("etag")), (StatusCode::OK, changed.header("etag")));
    assert_eq!(server.count("user.assigned").await, assigned);
    assert_eq!(last(&server, "user.read").await.target_user, Some(clerk_id("user_1")));
}

#[tokio::test]
async fn only_admins_and_keys_with_the_scope_change_anything() {
    let (server, admin) = server(&[]).await;
    let body = r#"{"role":"NURSE"}"#;
    let (write, read) = (key(&server, Scope::UsersWrite).await, key(&server, Scope::UsersRead).await);
    for id in ["user_1", "user_2", "user_nobody"] {
        assert_eq!(patch(&server, &token("user_1"), id, body, "").await.status, StatusCode::FORBIDDEN, "{id}");
        assert_eq!(patch(&server, &read, id, body, "").await.status, StatusCode::FORBIDDEN, "{id}");
        assert_eq!(patch(&server, "x.y.z", id, body, "").await.status, StatusCode::UNAUTHORIZED, "{id}");
    }
    assert_eq!(patch(&server, &admin, "user_nobody", body, "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(patch(&server, &admin, "user_nobody", body, "*").await.status, StatusCode::NOT_FOUND);
    assert_eq!(server.count("user.assigned").await, 1, "the admin's own role");
    let changed = patch(&server, &write, "user_1", body, "").await;
    assert_eq!((changed.status, &changed.json()["role"]), (StatusCode::OK, &json!("NURSE")));
    assert!(!changed.text.contains("for admins"), "a key that may not read is not shown what only readers see");
    assert!(matches!(&last(&server, "user.assigned").await.leaf.actor, actor if actor.starts_with("key:")));
}

#[tokio::test]
async fn a_body_that_is_something_else_changes_nothing() {
    let (server, admin) = server(&[]).await;
    let before = state(&server.data());
    let long = format!(r#"{{"role":"{}"}}"#, "R".repeat(65));
    let bad = [
        "{}",
        "[]",
        "null",
        "x",
        r#"{"role":null}"#,
        r#"{"role":""}"#,
        r#"{"role":"a b"}"#,
        r#"{"role":"A","role":"B"}"#,
        r#"{"role":"A","first_name":"B"}"#,
        r#"{"practice_id":7}"#,
        r#"{"subscription":null}"#,
        r#"{"subscription":{}}"#,
        r#"{"subscription":{"plan":null}}"#,
        r#"{"subscription":{"plan":"a","price":1}}"#,
        r#"{"subscription":["a","b"]}"#,
        &long,
    ];
    for body in bad {
        let answer = patch(&server, &admin, "user_1", body, "").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}: {}", answer.text);
    }
    assert_eq!(patch(&server, &admin, "user_1?x=1", r#"{"role":"A"}"#, "").await.status, StatusCode::BAD_REQUEST);
    let plain = server.request(Method::PATCH, "/api/users/user_1").bearer_auth(&admin).body(r#"{"role":"A"}"#);
    assert_eq!(plain.send().await.unwrap().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(state(&server.data()), before);
}

#[tokio::test]
async fn what_may_be_changed_is_described_without_values_that_are_none() {
    let (server, _) = server(&[]).await;
    let document = server.get("/openapi.json").await.json();
    let body = &document["paths"]["/api/users/{id}"]["patch"]["requestBody"];
    assert!(body.to_string().contains("practice_id") && !body.to_string().contains("default"), "{body}");
}

#[tokio::test]
async fn a_record_that_was_changed_in_the_meantime_is_left_alone() {
    let (server, admin) = server(&[]).await;
    let seen = server.get_as(&admin, "/api/users/user_1").await.header("etag").to_owned();
    assert!(seen.len() == 34 && seen.starts_with('"') && seen.ends_with('"'), "{seen}");
    assert_eq!(server.get_as(&token("user_1"), "/api/auth/me").await.header("etag"), seen);
    let changed = patch(&server, &admin, "user_1", r#"{"role":"A"}"#, &seen).await;
    assert_eq!((changed.status, &changed.json()["role"]), (StatusCode::OK, &json!("A")));
    let newer = changed.header("etag").to_owned();
    assert_ne!(newer, seen);
    assert_eq!(server.get_as(&admin, "/api/users/user_1").await.header("etag"), newer);
    let weak = format!("W/{newer}");
    for outdated in [&seen, &weak, "\"x\"", "\"a\", \"b\""] {
        let refused = patch(&server, &admin, "user_1", r#"{"role":"B"}"#, outdated).await;
        assert_eq!(refused.status, StatusCode::PRECONDITION_FAILED, "{outdated}");
        assert_eq!(refused.json()["type"], "urn:rollbook:problem:precondition-failed");
        let usage = send(&server, &admin, Method::POST, "/api/users/user_1/usage", r#"{"a":1}"#, outdated).await;
        assert_eq!(usage.status, StatusCode::PRECONDITION_FAILED, "{outdated}");
        let gone = send(&server, &admin, Method::DELETE, "/api/users/user_1", "", outdated).await;
        assert_eq!(gone.status, StatusCode::PRECONDITION_FAILED, "{outdated}");
    }
    for malformed in ["x", "\"x", "*, \"x\"", "\"x\" \"y\""] {
        let refused = patch(&server, &admin, "user_1", r#"{"role":"B"}"#, malformed).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{malformed}");
    }
    assert_eq!(record(&server, &admin, "user_1").await["role"], "A");
    for good in [&newer, "*"] {
        let changed = patch(&server, &admin, "user_1", r#"{"role":"A"}"#, good).await;
        assert_eq!(changed.status, StatusCode::OK, "{good}");
    }
    let one_of = format!("{seen},{newer}");
    assert_eq!(patch(&server, &admin, "user_1", r#"{"role":"C"}"#, &one_of).await.status, StatusCode::OK);
}

/// Everybody counts one further from what they saw; whoever was overtaken looks again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_who_change_at_once_lose_nothing() {
    let (server, admin) = server(&[]).await;
    let id = UserId::of(&clerk_id("user_1"));
    let workers = (0..200).map(|n| {
        let store = server.app.store.clone();
        tokio::spawn(async move {
            let mut overtaken = 0;
            loop {
                let seen = store.user(id).unwrap().unwrap();
                let count: u32 = seen.practice_id.as_ref().map_or(0, |p| p.as_str()[1..].parse().unwrap());
                let practice = format!("p{}", count + 1).parse().unwrap();
                let patch = UserPatch { practice_id: Some(Some(practice)), ..UserPatch::default() };
                let entry = By { actor: Actor::Cli, source: Source::Cli }.entry("user.assigned");
                match store.set_user(id, patch, Some(vec![Revision::of(&seen)]), entry).await {
                    Ok(changed) => {
                        changed.unwrap();
                        return (n, overtaken);
                    }
                    Err(ChangeError::Outdated) => overtaken += 1,
                    Err(error) => panic!("{error}"),
                }
            }
        })
    });
    let done = join_all(workers.collect::<Vec<_>>()).await;
    let overtaken: u32 = done.into_iter().map(|done| done.unwrap().1).sum();
    assert!(overtaken > 0, "nobody was ever overtaken");
    assert_eq!(record(&server, &admin, "user_1").await["practice_id"], "p200");
    assert_eq!(server.count("user.assigned").await, 201);
    // The same by HTTP, with fewer.
    let callers = (0..20).map(|_| async {
        loop {
            let seen = server.get_as(&admin, "/api/users/user_1").await;
            let count: u32 = seen.json()["practice_id"].as_str().unwrap()[1..].parse().unwrap();
            let body = json!({ "practice_id": format!("p{}", count + 1) }).to_string();
            let answer = patch(&server, &admin, "user_1", &body, seen.header("etag")).await;
            match answer.status {
                StatusCode::OK => return,
                StatusCode::PRECONDITION_FAILED => {}
                other => panic!("{other}: {}", answer.text),
            }
        }
    });
    join_all(callers).await;
    assert_eq!(record(&server, &admin, "user_1").await["practice_id"], "p220");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_ever_sees_half_of_a_change() {
    let (server, admin) = server(&[]).await;
    patch(&server, &admin, "user_1", r#"{"role":"R0","practice_id":"P0"}"#, "").await;
    let writer = async {
        for n in 1..=60 {
            let body = json!({ "role": format!("R{}", n % 2), "practice_id": format!("P{}", n % 2) }).to_string();
            assert_eq!(patch(&server, &admin, "user_1", &body, "").await.status, StatusCode::OK);
        }
    };
    let reader = async {
        let mut met = [0, 0];
        for n in 0..60 {
            let one = record(&server, &admin, "user_1").await;
            let (role, practice) = (one["role"].as_str().unwrap(), one["practice_id"].as_str().unwrap());
            assert_eq!(role[1..], practice[1..]);
            met[usize::from(role == "R1")] += 1;
            // Found by the one it has the other too, and never by both at once or by neither.
            let path = format!("/api/users?role=R{0}&practice=P{1}", n % 2, (n + 1) % 2);
            assert_eq!(server.get_as(&admin, &path).await.json()["items"], json!([]), "{path}");
            let found = server.get_as(&admin, &format!("/api/users?practice=P{}", n % 2)).await.json();
            for item in found["items"].as_array().unwrap() {
                assert_eq!(item["role"], format!("R{}", n % 2));
            }
        }
        met
    };
    let ((), met) = futures_util::join!(writer, reader);
    assert!(met[0] > 0 && met[1] > 0, "{met:?}");
}
