//! The stand-in for Clerk, asked by Rollbook's own client and, where that says too little, by hand. What Clerk's clients say
//! to it is in `clerk_clients.rs`.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use rollbook::clerk::backend::{Backend, Error, PAGE, Patience};
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
    assert_eq!(stand_in.requests(), 4);
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
