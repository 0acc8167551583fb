//! The stand-in for Clerk, asked by Rollbook's own client and, where that says too little, by hand. What Clerk's clients say
//! to it is in `clerk_clients.rs`.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use rollbook::clerk::backend::{Backend, Error, Patience};
use rollbook::clock::{Clock, Timestamp};
use rollbook::sample::{self, Scene};
use rollbook::stand_in::StandIn;
use serde_json::{Value, json};

/// When everything begins.
const AT: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// Three people, the first two of one moment.
async fn stand_in() -> (StandIn, Clock) {
    let clock = Clock::fixed(AT.plus_millis(60_000));
    let stand_in = StandIn::start("ins_test", clock.clone()).await.unwrap();
    for (number, since) in [(0, AT), (1, AT), (2, AT.plus_millis(5000))] {
        stand_in.apply(&sample::event("user.created", &scene(number, since), since).unwrap()).unwrap();
    }
    (stand_in, clock)
}

fn scene(number: usize, since: Timestamp) -> Scene {
    Scene::new(b"stand-in", AT).person(number, since).visit(0, since)
}

fn backend(stand_in: &StandIn, clock: &Clock) -> Backend {
    Backend::new(&stand_in.url, stand_in.secret_key(), clock.clone()).unwrap()
}

/// Asks by hand.
async fn get(stand_in: &StandIn, path: &str) -> Response {
    let url = format!("{}{path}", stand_in.url);
    Client::new().get(url).bearer_auth(stand_in.secret_key()).send().await.unwrap()
}

async fn json(answer: Response) -> Value {
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

/// The numbers of the people on the page.
async fn people(stand_in: &StandIn, query: &str) -> Vec<usize> {
    let answer = get(stand_in, &format!("/v1/users?{query}")).await;
    assert_eq!(answer.status(), StatusCode::OK, "{query}");
    let ids: Vec<String> = [(0, AT), (1, AT), (2, AT.plus_millis(5000))].map(|(n, at)| scene(n, at).user_id()).into();
    let users = json(answer).await;
    let number = |user: &Value| ids.iter().position(|id| *id == user["id"]).unwrap();
    users.as_array().unwrap().iter().map(number).collect()
}

async fn code(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    (status, json(answer).await["errors"][0]["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_walk_sees_everybody_once() {
    let (stand_in, clock) = stand_in().await;
    stand_in.put_crowd(&Scene::new(b"crowd", AT), 1200, AT.plus_millis(1_000_000));
    let (backend, mut seen, mut after) = (backend(&stand_in, &clock), Vec::new(), None);
    loop {
        let page = backend.users(after.as_ref()).await.unwrap();
        assert_eq!(page.unreadable, 0);
        seen.extend(page.users.into_iter().map(|user| user.id.as_str().to_owned()));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let all: Vec<String> = stand_in.users().iter().map(|user| user["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!((all.len(), seen), (1203, all));
    assert_eq!(backend.count(Patience::Short).await.unwrap(), 1203);
    assert_eq!(backend.instance(Patience::Short).await.unwrap().as_deref(), Some("ins_test"));
    assert_eq!(stand_in.requests(), 5);
}

#[tokio::test]
async fn somebody_of_a_crowd_is_the_same_wherever_they_are_looked_up() {
    let (stand_in, clock) = stand_in().await;
    stand_in.put_crowd(&Scene::new(b"crowd", AT), 20, AT.plus_millis(1_000_000));
    let backend = backend(&stand_in, &clock);
    let page = backend.users(None).await.unwrap();
    let last = page.users.last().unwrap();
    let alone = backend.user(&last.id, Patience::Short).await.unwrap().unwrap();
    assert_eq!((alone.updated_at, alone.clerk.as_str()), (last.updated_at, last.clerk.as_str()));
    let mut changed = stand_in.users().pop().unwrap();
    changed.insert("first_name".to_owned(), "Zoë".into());
    stand_in.put_user(changed).unwrap();
    let alone = backend.user(&last.id, Patience::Short).await.unwrap().unwrap();
    assert!(alone.clerk.as_str().contains("Zoë") && stand_in.users().len() == 23);
}

#[tokio::test]
async fn pages_are_as_long_as_clerks() {
    let (stand_in, _) = stand_in().await;
    stand_in.put_crowd(&Scene::new(b"crowd", AT), 600, AT.plus_millis(1_000_000));
    for (limit, length) in [("", 10), ("limit=1", 1), ("limit=500", 500), ("limit=501", 10), ("offset=598", 5)] {
        let page = json(get(&stand_in, &format!("/v1/users?{limit}")).await).await;
        assert_eq!(page.as_array().unwrap().len(), length, "{limit}");
    }
}

#[tokio::test]
async fn users_come_in_the_order_asked_for_and_only_those_asked_for() {
    let (stand_in, _) = stand_in().await;
    // Whoever signed up in one moment comes by id.
    let first = people(&stand_in, "order_by=%2Bcreated_at&limit=1").await[0];
    let second = 1 - first;
    let id = |number| scene(number, AT).user_id();
    let later = scene(2, AT.plus_millis(5000)).user_id();
    for (query, expected) in [
        ("", [2, second, first].as_slice()),
        ("order_by=created_at", &[first, second, 2]),
        ("order_by=+created_at", &[first, second, 2]),
        ("order_by=-created_at&order_by=%2Bcreated_at", &[2, second, first]),
        (&format!("order_by=%2Bcreated_at&starting_after={}", id(first)), &[second, 2]),
        (&format!("starting_after={later}"), &[second, first]),
        (&format!("starting_after={}", id(first)), &[]),
        ("order_by=%2Bemail_address", &[0, 2, 1]),
        ("order_by=-email_address", &[1, 2, 0]),
        ("order_by=-updated_at&limit=1", &[2]),
        (&format!("user_id={}&user_id={later}&user_id=user_nobody", id(second)), &[2, second]),
        (&format!("user_id=-{later}"), &[second, first]),
        ("email_address=ines.duarte@example.org", &[0]),
        ("external_id=crm-1041", &[0]),
        ("username=ines", &[0]),
        ("query=DUARTE", &[0]),
        ("name_query=nobody", &[]),
        ("banned=true", &[]),
        ("banned=false&limit=1", &[2]),
        (&format!("created_at_after={}", AT.as_millis()), &[2]),
        (&format!("created_at_before={}", AT.as_millis() + 1), &[second, first]),
    ] {
        assert_eq!(people(&stand_in, query).await, expected, "{query}");
    }
    let counted = json(get(&stand_in, "/v1/users/count?query=duarte").await).await;
    assert_eq!(counted, json!({ "object": "total_count", "total_count": 1 }));
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_in_clerks_words() {
    let (stand_in, _) = stand_in().await;
    let value = (422, "form_param_value_invalid".to_owned());
    let known = scene(0, AT).user_id();
    for query in [
        "limit=0",
        "limit=ten",
        "offset=-1",
        "order_by=shoe_size",
        "banned=perhaps",
        "created_at_after=yesterday",
        "order_by=%2Bcreated_at&starting_after=user_nobody",
        &format!("order_by=%2Bupdated_at&starting_after={known}"),
        &format!("order_by=%2Bcreated_at&starting_after={known}&offset=1"),
        &"user_id=a&".repeat(101),
    ] {
        assert_eq!(code(get(&stand_in, &format!("/v1/users?{query}")).await).await, value, "{query}");
    }
    for (path, status, word) in [
        ("/v1/users/user_nobody", 404, "resource_not_found"),
        ("/v1/users/user_nobody/", 404, "resource_not_found"),
        ("/v1/organizations", 404, "resource_not_found"),
        ("/v1/sessions", 422, "form_param_missing"),
        ("/v1/users?__clerk_api_version=2019-01-01", 400, "api_version_invalid"),
        ("/v1/users?organization_id=org_1", 501, "not_in_the_stand_in"),
        ("/elsewhere", 404, "resource_not_found"),
    ] {
        assert_eq!(code(get(&stand_in, path).await).await, (status, word.to_owned()), "{path}");
    }
    let url = format!("{}/v1/actor_tokens", stand_in.url);
    for (body, status, word) in [
        ("{", 400, "request_body_invalid"),
        (r#"{"user_id":"user_nobody","actor":{"sub":"a"}}"#, 404, "resource_not_found"),
        (&format!(r#"{{"user_id":"{known}","actor":{{}}}}"#), 422, "form_param_missing"),
        (
            &format!(r#"{{"user_id":"{known}","actor":{{"sub":"a"}},"expires_in_seconds":0}}"#),
            422,
            "form_param_value_invalid",
        ),
    ] {
        let post = Client::new().post(&url).bearer_auth(stand_in.secret_key()).body(body.to_owned());
        assert_eq!(code(post.send().await.unwrap()).await, (status, word.to_owned()), "{body}");
    }
}

#[tokio::test]
async fn nobody_is_let_in_without_the_key() {
    let (stand_in, _) = stand_in().await;
    let url = format!("{}/v1/jwks", stand_in.url);
    let ask = async |header: Option<String>| {
        let request = Client::new().get(&url);
        let request = header.iter().fold(request, |request, value| request.header("authorization", value));
        request.send().await.unwrap()
    };
    let key = stand_in.secret_key();
    assert_eq!(code(ask(None).await).await, (401, "authentication_invalid".to_owned()));
    let odd = (401, "authorization_header_format_invalid".to_owned());
    assert_eq!(code(ask(Some(format!("Basic {key}"))).await).await, odd);
    let other = format!("{}{}", &key[..key.len() - 1], if key.ends_with('0') { '1' } else { '0' });
    assert_eq!(code(ask(Some(format!("Bearer {other}"))).await).await, (401, "clerk_key_invalid".to_owned()));
    let keys = json(ask(Some(format!("Bearer {key}"))).await).await;
    let public = Client::new().get(format!("{}/.well-known/jwks.json", stand_in.url)).send().await.unwrap();
    assert_eq!((keys["keys"][0]["kid"].as_str(), json(public).await), (Some("ins_test"), keys.clone()));
    let other = Backend::new(&stand_in.url, "sk_test_another", Clock::system()).unwrap();
    assert_eq!(other.count(Patience::Long).await, Err(Error::Key));
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let (stand_in, clock) = stand_in().await;
    stand_in.allow(2);
    let backend = backend(&stand_in, &clock);
    for _ in 0..2 {
        assert_eq!(backend.count(Patience::Short).await, Ok(3));
    }
    let limited = backend.count(Patience::Short).await;
    assert!(matches!(limited, Err(Error::Limited(wait)) if (1..=10).contains(&wait.as_secs())), "{limited:?}");
    assert_eq!(get(&stand_in, "/v1/jwks").await.status(), 200);
    stand_in.allow(3);
    assert_eq!(backend.count(Patience::Short).await, Ok(3));
}

#[tokio::test]
async fn events_make_true_what_they_say() {
    let (stand_in, clock) = stand_in().await;
    let backend = backend(&stand_in, &clock);
    let apply = |kind: &str, number: usize, at: Timestamp| {
        stand_in.apply(&sample::event(kind, &scene(number, AT), at).unwrap()).unwrap();
    };
    let (id, later) = (scene(1, AT).user_id().parse().unwrap(), AT.plus_millis(30_000));
    apply("session.created", 1, AT);
    apply("user.updated", 1, later);
    assert_eq!(backend.user(&id, Patience::Short).await.unwrap().unwrap().updated_at, later);
    let session = scene(1, AT).session_id().parse().unwrap();
    let life = Duration::from_mins(5);
    assert_eq!(backend.session_token(&session, life).await.unwrap().matches('.').count(), 2);
    assert_eq!(backend.session_token(&session, Duration::from_secs(10)).await.unwrap_err().as_str(), "refused");
    apply("session.ended", 1, later);
    assert_eq!(backend.session_token(&session, life).await, Err(Error::NotFound));
    apply("organization.created", 1, later);
    apply("user.deleted", 1, later);
    assert!(backend.user(&id, Patience::Short).await.unwrap().is_none());
    assert_eq!(code(get(&stand_in, &format!("/v1/sessions/{session}")).await).await.0, 404);
    assert_eq!(backend.count(Patience::Short).await, Ok(2));
    assert!(stand_in.apply(&json!({ "type": "user.deleted", "data": {} })).is_err());
}

#[tokio::test]
async fn an_actor_token_signs_in_once() {
    let (stand_in, clock) = stand_in().await;
    let backend = backend(&stand_in, &clock);
    let id = scene(0, AT).user_id().parse().unwrap();
    let token = backend.actor_token(&id, "<rollbook:cli>").await.unwrap();
    let open = async || {
        let page = reqwest::get(token.url.clone().unwrap()).await.unwrap();
        (page.status(), page.text().await.unwrap())
    };
    let (status, page) = open().await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        page.contains("<h1>Signed in as Ines Duarte</h1>") && page.contains("&lt;rollbook:cli&gt; acts as"),
        "{page}"
    );
    let jwt = page.split_once("<pre>").unwrap().1.split_once("</pre>").unwrap().0;
    let claims = jwt.split('.').nth(1).unwrap();
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!((claims["sub"].as_str(), &claims["act"]), (Some(id.as_str()), &json!({ "sub": "<rollbook:cli>" })));
    let session = json(get(&stand_in, &format!("/v1/sessions/{}", claims["sid"].as_str().unwrap())).await).await;
    assert_eq!((&session["status"], &session["actor"]["sub"]), (&json!("active"), &json!("<rollbook:cli>")));

    assert_eq!(open().await.0, StatusCode::GONE);
    let spent = backend.revoke_actor_token(&token.id).await.unwrap_err();
    assert!(matches!(spent, Error::Refused { status: 400, .. }), "{spent}");
    assert_eq!(backend.revoke_actor_token("act_none").await, Err(Error::NotFound));
    let late = backend.actor_token(&id, "rollbook:cli").await.unwrap();
    clock.set(AT.plus_millis(3_600_000));
    assert_eq!(reqwest::get(late.url.unwrap()).await.unwrap().status(), StatusCode::GONE);
}
