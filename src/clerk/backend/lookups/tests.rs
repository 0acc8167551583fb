#![allow(clippy::unwrap_used)]
use super::*;
use crate::clerk::backend::site::{NOW, Say, Site, say};
use crate::clock::Clock;

const USER: &str = r#"{"id":"user_1","updated_at":1767225600001}"#;

fn id(text: &str) -> ClerkId {
    text.parse().unwrap()
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
    let answers = [say("200 OK", "", USER), say("404 Not Found", "", ""), say("404 Not Found", "", "")];
    let (site, clock) = (Site::start(answers).await, Clock::fixed(NOW));
    let lookups = Lookups::new(site.backend_by(&clock));
    assert!(matches!(lookups.user(&id("user_1")).await, Lookup::Found(_)));
    // By now they are on the roll. Nothing of them stays here.
    assert!(matches!(lookups.user(&id("user_1")).await, Lookup::Unknown));
    assert!(matches!(lookups.user(&id("user_2")).await, Lookup::Missing));
    clock.set(NOW.plus_millis(COOL_DOWN - 1));
    assert!(matches!(lookups.user(&id("user_2")).await, Lookup::Missing));
    assert_eq!(site.asked().len(), 2);
    clock.set(NOW.plus_millis(COOL_DOWN));
    assert!(matches!(lookups.user(&id("user_2")).await, Lookup::Missing));
    assert_eq!(site.asked().len(), 3);
}

#[tokio::test]
async fn nobody_is_asked_for_while_clerk_is_out_of_order() {
    let (site, clock) = (Site::start([]).await, Clock::fixed(NOW));
    let lookups = Lookups::new(site.backend_by(&clock));
    let mut now = NOW;
    for (status, headers, wait) in [
        ("503 Service Unavailable", "", COOL_DOWN),
        ("429 Too Many Requests", "retry-after: 1\r\n", COOL_DOWN),
        ("429 Too Many Requests", "retry-after: 100\r\n", 100_000),
        ("429 Too Many Requests", "retry-after: 99999999999999999999\r\n", COOL_DOWN),
        ("429 Too Many Requests", "retry-after: 9999999999999999999\r\n", LONGEST),
        ("401 Unauthorized", "", COOL_DOWN),
    ] {
        site.add(say(status, headers, ""));
        let asked = site.asked().len();
        assert!(matches!(lookups.user(&id("user_1")).await, Lookup::Unknown));
        clock.set(now.plus_millis(wait - 1));
        assert!(matches!(lookups.user(&id("user_2")).await, Lookup::Unknown));
        assert_eq!(site.asked().len(), asked + 1, "{status} {headers}");
        now = now.plus_millis(wait);
        clock.set(now);
    }
    // What Clerk has against one user is not against the others.
    site.add(say("422 Unprocessable", "", "{}"));
    assert!(matches!(lookups.user(&id("user_1")).await, Lookup::Unknown));
    site.add(say("200 OK", "", r#"{"id":"user_2"}"#));
    assert!(matches!(lookups.user(&id("user_2")).await, Lookup::Found(_)));
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
