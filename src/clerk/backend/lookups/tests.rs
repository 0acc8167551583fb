#![allow(clippy::unwrap_used)]
use super::*;
use crate::clerk::backend::site::{Say, Site, say};

const USER: &str = r#"{"id":"user_1","updated_at":1767225600001}"#;

fn id(text: &str) -> ClerkId {
    text.parse().unwrap()
}

/// Lets so much time pass for the cool-down, and none for the calls.
async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn many_who_wait_ask_once() {
    let site = Site::start([say("200 OK", "", USER), say("200 OK", "", USER)]).await;
    let lookups = Arc::new(Lookups::new(site.backend()));
    site.set_open(false);
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let lookups = Arc::clone(&lookups);
            tokio::spawn(async move { lookups.user(&id("user_1")).await })
        })
        .collect();
    tokio::task::yield_now().await;
    site.set_open(true);
    for answer in waiting {
        assert!(matches!(answer.await.unwrap(), Lookup::Found(user) if user.id == id("user_1")));
    }
    assert_eq!(site.lines(), ["GET /v1/users/user_1"]);
}

#[tokio::test]
async fn whoever_was_asked_for_is_asked_for_again_after_a_while() {
    let site = Site::start([say("404 Not Found", "", ""), say("503 Service Unavailable", "", "")]).await;
    let lookups = Lookups::new(site.backend());
    for _ in 0..3 {
        assert!(matches!(lookups.user(&id("user_1")).await, Lookup::Missing));
    }
    pass(29).await;
    assert!(matches!(lookups.user(&id("user_1")).await, Lookup::Missing));
    assert_eq!(site.asked().len(), 1);
    pass(1).await;
    for _ in 0..3 {
        assert!(matches!(lookups.user(&id("user_1")).await, Lookup::Unknown));
    }
    assert_eq!(site.asked().len(), 2);
    pass(30).await;
    site.add(say("200 OK", "", USER));
    assert!(matches!(lookups.user(&id("user_1")).await, Lookup::Found(_)));
}

#[tokio::test]
async fn who_hangs_up_leaves_the_question_to_the_next() {
    let site = Site::start([Say::Nothing, say("200 OK", "", USER)]).await;
    let lookups = Arc::new(Lookups::new(site.backend()));
    let own = Arc::clone(&lookups);
    let first = tokio::spawn(async move { own.user(&id("user_1")).await });
    while site.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    first.abort();
    assert!(matches!(lookups.user(&id("user_1")).await, Lookup::Found(_)));
    assert_eq!(site.asked().len(), 2);
}
