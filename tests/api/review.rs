//! Evidence that the log is looked through: who did, up to where, and that nobody can claim what is not so.

use futures_util::future;
use reqwest::{Method, StatusCode};
use rollbook::audit::{Actor, Source};
use rollbook::store::{By, Order};
use serde_json::{Value, json};

use crate::common::{Answer, TestServer, token, user_event};
use crate::{T, names};

const PATH: &str = "/api/audit/review";

async fn review(server: &TestServer, token: &str, body: &Value) -> Answer {
    Answer::of(server.request(Method::POST, PATH).bearer_auth(token).json(body).send().await.unwrap()).await
}

async fn reviewed(server: &TestServer, token: &str) -> Value {
    let answer = server.get_as(token, PATH).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let reviewed = answer.json();
    assert_eq!(names(&reviewed), ["entries_since", "last"]);
    reviewed
}

#[tokio::test]
async fn a_review_says_who_up_to_where_and_what_was_found() {
    let server = TestServer::start().await;
    let admin = server.admin("user_boss").await;
    for n in 0..20 {
        server.outcome(&user_event("user.created", &format!("user_{n}"), T, "Ann")).await;
    }
    let entries = server.app.store.counts().entries;
    assert_eq!(reviewed(&server, &admin).await, json!({ "last": null, "entries_since": entries }));

    let taken = review(&server, &admin, &json!({ "to": 9, "note": " Two \"odd\" ones.\nBoth explained. " })).await;
    assert_eq!((taken.status, taken.json()), (StatusCode::CREATED, json!({ "seq": entries })));
    let found = reviewed(&server, &admin).await;
    let last = &found["last"];
    assert_eq!(names(last), ["actor", "actor_user", "at", "count", "note", "seq", "to"]);
    assert_eq!((&last["to"], &last["count"], &last["seq"]), (&json!(9), &json!(10), &json!(entries)));
    assert_eq!(last["note"], "Two \"odd\" ones.\nBoth explained.");
    assert_eq!(last["actor_user"], "user_boss");
    assert_eq!(found["entries_since"], entries + 1 - 10);
    let entry = server.entries().await.pop().unwrap();
    assert_eq!((entry.leaf.action.as_str(), entry.leaf.target.as_deref()), ("audit.reviewed", Some("entry:9")));
    let detail = entry.detail.unwrap();
    assert_eq!((&detail["from"], &detail["to"]), (&json!(0), &json!(9)));

    for to in [0, 8, 9] {
        let answer = review(&server, &admin, &json!({ "to": to })).await;
        assert_eq!(
            (answer.status, &answer.json()["type"]),
            (StatusCode::CONFLICT, &json!("urn:rollbook:problem:conflict"))
        );
    }
    // Up to the newest of all, which is the first review, and without a note.
    assert_eq!(review(&server, &admin, &json!({ "to": entries })).await.status, StatusCode::CREATED);
    let last = reviewed(&server, &admin).await["last"].clone();
    assert_eq!((&last["to"], &last["count"], &last["note"]), (&json!(entries), &json!(entries - 9), &Value::Null));
    assert_eq!(server.count("audit.reviewed").await, 2);
}

#[tokio::test]
async fn only_admins_review_and_only_what_is_there() {
    let server = TestServer::start().await;
    let admin = server.admin("user_boss").await;
    let entries = server.app.store.counts().entries;
    for body in [
        json!({}),
        json!({ "note": "x" }),
        json!({ "to": "1" }),
        json!({ "to": -1 }),
        json!({ "to": 1.5 }),
        json!({ "to": null }),
        json!({ "to": 1, "note": 5 }),
        json!({ "to": 1, "nota": "x" }),
        json!([1]),
        json!({ "to": 1, "note": "ä".repeat(2001) }),
    ] {
        assert_eq!(review(&server, &admin, &body).await.status, StatusCode::BAD_REQUEST, "{body}");
    }
    for beyond in [entries as u64, u64::MAX] {
        assert_eq!(review(&server, &admin, &json!({ "to": beyond })).await.status, StatusCode::CONFLICT, "{beyond}");
    }
    let post = |body: &str, kind: &str| {
        let request = server.request(Method::POST, PATH).bearer_auth(&admin).header("content-type", kind);
        request.body(body.to_owned()).send()
    };
    assert_eq!(post("{\"to\":1,\"to\":2}", "application/json").await.unwrap().status(), StatusCode::BAD_REQUEST);
    assert_eq!(post("{\"to\":1}", "text/plain").await.unwrap().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let long = format!("{{\"to\":1,\"note\":\"{}\"}}", "x".repeat(33 * 1024));
    assert_eq!(post(&long, "application/json").await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(server.get_as(&admin, &format!("{PATH}?to=1")).await.status, StatusCode::BAD_REQUEST);

    let good = json!({ "to": 1, "note": "ä".repeat(2000) });
    assert_eq!(review(&server, &token("user_1"), &good).await.status, StatusCode::FORBIDDEN);
    assert_eq!(server.get_as(&token("user_1"), PATH).await.status, StatusCode::FORBIDDEN);
    let answer = server.request(Method::POST, PATH).json(&good).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let other = Answer::of(server.request(Method::DELETE, PATH).bearer_auth(&admin).send().await.unwrap()).await;
    assert_eq!((other.status, other.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD, POST"));
    assert_eq!(server.count("audit.reviewed").await, 0);
    assert_eq!(review(&server, &admin, &good).await.status, StatusCode::CREATED);

    // Of many who say the same at once, one does.
    let (to, body) = (2, json!({ "to": 2 }));
    let answers = future::join_all((0..8).map(|_| review(&server, &admin, &body))).await;
    let taken = answers.iter().filter(|answer| answer.status == StatusCode::CREATED).count();
    let covered = answers.iter().filter(|answer| answer.status == StatusCode::CONFLICT).count();
    assert_eq!((taken, covered), (1, 7));
    assert_eq!(reviewed(&server, &admin).await["last"]["to"], to);
}

#[tokio::test]
async fn a_review_outlives_its_reviewer() {
    let server = TestServer::start().await;
    let (admin, other) = (server.admin("user_boss").await, server.admin("user_other").await);
    assert_eq!(review(&server, &admin, &json!({ "to": 3, "note": "Mine" })).await.status, StatusCode::CREATED);
    let by = By { actor: Actor::Cli, source: Source::Cli };
    let order = Order { by, reason: None, even_if_live: true, even_if_untold: false };
    server.app.store.erase(&"user_boss".parse().unwrap(), order, |_| {}).await.unwrap();
    let last = reviewed(&server, &other).await["last"].clone();
    assert_eq!((&last["to"], &last["note"], &last["actor_user"]), (&json!(3), &Value::Null, &Value::Null));
    assert_eq!(review(&server, &other, &json!({ "to": 3 })).await.status, StatusCode::CONFLICT);
    assert_eq!(review(&server, &other, &json!({ "to": 4 })).await.status, StatusCode::CREATED);
}
