//! Was this address ever on file?

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, StatusCode};
use rollbook::control::{Reply, Request, feed, follow};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::common::{Answer, TestServer, deleted_event, token, user_event};
use crate::file::{self, Witness};

const T: i64 = 1_750_000_000_000;

async fn post(server: &TestServer, token: &str, question: &Value) -> Answer {
    let request = server.request(Method::POST, "/api/users/ever").bearer_auth(token).json(question);
    Answer::of(request.send().await.unwrap()).await
}

/// Who had it: person, from and until, by the places in the log.
async fn had(server: &TestServer, token: &str, question: Value) -> Vec<(String, u64, Option<u64>)> {
    let answer = post(server, token, &question).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let answer = answer.json();
    let items = answer["items"].as_array().unwrap();
    assert_eq!(answer["count"], items.len());
    let sighting = |item: &Value| {
        let person = item["clerk_user_id"].as_str().unwrap().to_owned();
        (person, item["from"]["seq"].as_u64().unwrap(), item["until"]["seq"].as_u64())
    };
    items.iter().map(sighting).collect()
}

fn with(id: &str, updated_at: i64, email: &str, phone: Option<&str>, username: Option<&str>) -> Value {
    let mut event = user_event("user.updated", id, updated_at, "Ann");
    event["data"]["email_addresses"][0]["email_address"] = email.into();
    event["data"]["phone_numbers"] = phone.iter().map(|phone| json!({ "id": "p", "phone_number": phone })).collect();
    event["data"]["username"] = username.into();
    event
}

/// HMAC-SHA256 (RFC 2104) with a key shorter than a block, in hexadecimal.
fn hmac(key: &[u8], message: &[u8]) -> String {
    let pad = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    let outer = Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize();
    outer.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_found_for_as_long_as_it_was_on_file() {
    let server = TestServer::with(&[("ROLLBOOK_HISTORY", "fields")]).await;
    let boss = server.admin("user_Boss").await;
    let last = async |event: Value| {
        server.outcome(&event).await;
        server.entries().await.pop().unwrap().seq
    };
    let a = last(with("user_Ann", T, "Ann@Example.org", Some("+15555550101"), None)).await;
    let b = last(with("user_Bob", T, "bob@example.org", None, Some("bobby"))).await;
    let c = last(with("user_Ann", T + 10, "ann@example.com", Some("+15555550101"), Some("annie"))).await;
    // Late news of an address that was there in between.
    let late = last(with("user_Ann", T + 5, "ann@example.net", None, None)).await;
    let d = last(with("user_Bob", T + 11, "ann@example.org", None, Some("bobby"))).await;
    let (ann, bob) = ("user_Ann".to_owned(), "user_Bob".to_owned());

    for (question, expected) in [
        (json!({ "value": "ANN@example.org" }), vec![(ann.clone(), a, Some(c)), (bob.clone(), d, None)]),
        (json!({ "value": "ann@example.org", "user": "user_Bob" }), vec![(bob.clone(), d, None)]),
        (json!({ "value": "ann@example.net" }), vec![(ann.clone(), late, Some(late))]),
        (json!({ "value": "+1 555 555-0101" }), vec![(ann.clone(), a, None)]),
        (json!({ "value": "bobby" }), vec![(bob.clone(), b, None)]),
        (json!({ "value": "bobby", "kind": "external-id" }), vec![]),
        (json!({ "value": "never@example.org" }), vec![]),
        (json!({ "value": "ann@example.org", "user": "user_Nobody" }), vec![]),
    ] {
        assert_eq!(had(&server, &boss, question.clone()).await, expected, "{question}");
        let entry = server.entries().await.pop().unwrap();
        assert_eq!((entry.leaf.action.as_str(), entry.leaf.count), ("value.looked_up", Some(expected.len() as u64)));
        let members = entry.detail.as_ref().unwrap().get("members").cloned().unwrap_or(json!([]));
        assert_eq!(members, expected.iter().map(|(id, ..)| id.clone()).collect::<Value>());
        assert!(!format!("{entry:?}").to_lowercase().contains(question["value"].as_str().unwrap()));
    }
    let asked = Request::EverOnFile { value: "bob@example.org".to_owned(), kind: None, user: None };
    let (feed, _listening) = feed();
    let Some(Reply::Sightings(found)) = follow(&server.data(), &asked, &feed).await.unwrap() else { panic!() };
    assert_eq!((found.items[0].from.seq, found.items[0].until.map(|m| m.seq), found.count), (b, Some(d), 1));
    assert_eq!(server.entries().await.pop().unwrap().leaf.actor, "cli");

    let dir = server.stop().await;
    let db = file::open(&dir.path().join("rollbook.redb"));
    Witness::default().follow(&db);
    let tables = file::dump(&db);
    // Ann: three addresses, number, name. Bob: two addresses, name. Nothing was written twice.
    assert_eq!(tables["value_tags"].len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_can_be_made_again_by_whoever_has_the_persons_salt() {
    let server = TestServer::start().await;
    server.outcome(&with("user_Ann", T, "ann@example.org", None, Some("annie"))).await;
    server.outcome(&with("user_Ann", T + 1, "ann@example.org", None, Some("annie"))).await;
    server.outcome(&with("user_Ann", T + 2, "ann@example.com", None, None)).await;
    let entries = server.entries().await;
    let tags: Vec<Value> =
        entries.iter().filter_map(|entry| Some(entry.detail.as_ref()?.get("tags")?.clone())).collect();
    let salt = server.app.store.evidence().unwrap().people_after(None, 1).unwrap()[0].salt;
    let tag = |member: &str, value: &str| {
        json!(format!("hmac-sha256:{}", hmac(&salt, format!("val\0{member}\0{value}").as_bytes())))
    };
    let [first, second] = &tags[..] else { panic!("{tags:?}") };
    let (email, name) = (tag("email_address", "ann@example.org"), tag("username", "annie"));
    assert_eq!(first, &json!({ "email_address": [email], "username": [name] }));
    assert_eq!(
        second,
        &json!({ "email_address": [tag("email_address", "ann@example.com"), email], "username": [name] })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_token_says_and_what_a_deletion_takes_away_count() {
    let server = TestServer::with(&[("ROLLBOOK_DELETE", "hard")]).await;
    let boss = server.admin("user_Boss").await;
    let now = crate::common::sign::now_seconds();
    let claims =
        crate::common::tokens::with(&crate::common::tokens::claims("user_Ann", now), "email", "ann@example.org");
    let token = crate::common::CLERK.mint(&claims);
    assert_eq!(server.get_as(&token, "/api/auth/me").await.status, StatusCode::OK);
    let provisioned = server.entries().await.pop().unwrap();
    assert_eq!(provisioned.leaf.action, "user.provisioned");
    let question = json!({ "value": "ann@example.org" });
    let ann = "user_Ann".to_owned();
    assert_eq!(had(&server, &boss, question.clone()).await, [(ann.clone(), provisioned.seq, None)]);
    server.outcome(&deleted_event("user_Ann", T)).await;
    let deleted = server.entries().await.pop().unwrap().seq;
    assert_eq!(had(&server, &boss, question).await, [(ann, provisioned.seq, Some(deleted))]);
}

#[tokio::test]
async fn only_an_admin_may_ask_and_only_like_that() {
    let server = TestServer::start().await;
    let boss = server.admin("user_Boss").await;
    server.outcome(&user_event("user.created", "user_Ann", T, "Ann")).await;
    let question = json!({ "value": "user_ann@example.org" });
    assert_eq!(post(&server, &token("user_Ann"), &question).await.status, StatusCode::FORBIDDEN);
    assert_eq!(server.count("value.looked_up").await, 0);
    let unsigned = server.request(Method::POST, "/api/users/ever").json(&question).send().await.unwrap();
    assert_eq!(unsigned.status(), StatusCode::UNAUTHORIZED);
    let get = server.get_as(&boss, "/api/users/ever?value=user_ann@example.org").await;
    assert_eq!((get.status, get.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
    for bad in [
        json!({}),
        json!({ "value": 1 }),
        json!({ "value": " " }),
        json!({ "value": "x", "kind": "name" }),
        json!({ "value": "x", "more": 1 }),
        json!({ "value": "x", "user": "a b" }),
        json!(["x"]),
    ] {
        let answer = post(&server, &boss, &bad).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
        assert!(!answer.text.contains("user_ann"));
    }
    let form = server.request(Method::POST, "/api/users/ever").bearer_auth(&boss);
    let form = form.header(CONTENT_TYPE, "text/plain").body(question.to_string()).send().await.unwrap();
    assert_eq!(form.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let query = server.request(Method::POST, "/api/users/ever?value=x").bearer_auth(&boss).json(&question);
    assert_eq!(query.send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    assert_eq!(server.count("value.looked_up").await, 0);
}
