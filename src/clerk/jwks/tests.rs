#![allow(clippy::unwrap_used)]
use std::sync::LazyLock;

use super::*;
use crate::clerk::jwks_server::JwksServer;
use crate::clerk::tokens::{Issuer, jwks, with};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

static OLD: LazyLock<Issuer> = LazyLock::new(|| Issuer::new("ins_old"));
static NEW: LazyLock<Issuer> = LazyLock::new(|| Issuer::new("ins_new"));

/// A server that publishes the old key, the keys read from it, and the clock that both are judged by.
async fn start() -> (JwksServer, Keys, Clock) {
    let server = JwksServer::start(&OLD.jwks()).await;
    let clock = Clock::fixed(NOW);
    let keys = Keys::remote(server.url().parse().unwrap(), None, clock.clone());
    (server, keys, clock)
}

fn advance(clock: &Clock, millis: i64) {
    clock.set(clock.now().plus_millis(millis));
}

async fn find(keys: &Keys, kid: &str) -> Result<(), NoKey> {
    keys.find(Some(kid)).await.map(|_| ())
}

#[tokio::test]
async fn asks_when_first_needed_and_then_once_an_hour() {
    let (server, keys, clock) = start().await;
    assert_eq!(server.hits(), 0);
    let unasked = Status { keys: 0, age_seconds: None, failure: None, ahead_seconds: None, asked: false };
    assert_eq!(keys.status(), unasked);
    assert_eq!(find(&keys, "ins_old").await, Ok(()));
    advance(&clock, HOUR - 1);
    assert_eq!(find(&keys, "ins_old").await, Ok(()));
    assert_eq!(server.hits(), 1);
    assert_eq!(keys.status(), Status { keys: 1, age_seconds: Some(3599), asked: true, ..unasked });
    // Past the hour the old keys serve while the new ones are on their way.
    server.hold();
    advance(&clock, 1);
    for _ in 0..10 {
        assert_eq!(find(&keys, "ins_old").await, Ok(()));
    }
    server.release();
    keys.refresh().await;
    assert_eq!((server.hits(), keys.status().age_seconds), (2, Some(0)));
}

#[tokio::test]
async fn follows_a_rotation() {
    let (server, keys, clock) = start().await;
    let old = keys.find(Some("ins_old")).await.unwrap();
    advance(&clock, MINUTE);
    server.publish(&jwks(&[OLD.jwk(), NEW.jwk()]));
    assert_eq!((find(&keys, "ins_new").await, server.hits()), (Ok(()), 2));
    // The old key is still the very same, so tokens that were checked with it stay remembered.
    assert!(Arc::ptr_eq(&old, &keys.find(Some("ins_old")).await.unwrap()));
    advance(&clock, HOUR);
    server.publish(&NEW.jwks());
    keys.refresh().await;
    assert_eq!((find(&keys, "ins_new").await, server.hits()), (Ok(()), 3));
    assert_eq!((find(&keys, "ins_old").await, server.hits()), (Err(NoKey::Unknown), 3));
}

#[tokio::test]
async fn five_hundred_first_callers_make_one_fetch() {
    let (server, keys, _) = start().await;
    server.hold();
    let callers: Vec<_> = (0..500)
        .map(|_| {
            let keys = keys.clone();
            tokio::spawn(async move { find(&keys, "ins_old").await })
        })
        .collect();
    while server.hits() == 0 {
        tokio::task::yield_now().await;
    }
    server.release();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Ok(()));
    }
    assert_eq!(server.hits(), 1);
}

#[tokio::test]
async fn a_fetch_outlives_the_caller_who_began_it() {
    let (server, keys, _) = start().await;
    server.hold();
    let caller = tokio::spawn({
        let keys = keys.clone();
        async move { find(&keys, "ins_old").await }
    });
    while server.hits() == 0 {
        tokio::task::yield_now().await;
    }
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    server.release();
    assert_eq!((find(&keys, "ins_old").await, server.hits()), (Ok(()), 1));
}

#[tokio::test]
async fn made_up_ids_cause_one_fetch_in_thirty_seconds() {
    let (server, keys, clock) = start().await;
    assert_eq!(find(&keys, "ins_old").await, Ok(()));
    for n in 0..10_000 {
        assert_eq!(find(&keys, &format!("ins_{n}")).await, Err(NoKey::Unknown));
        advance(&clock, 1);
    }
    assert_eq!(server.hits(), 1);
    advance(&clock, 20 * SECOND);
    for n in 0..10_000 {
        assert_eq!(find(&keys, &format!("ins_{n}")).await, Err(NoKey::Unknown));
        advance(&clock, 1);
    }
    assert_eq!((find(&keys, "ins_old").await, server.hits()), (Ok(()), 2));
}

#[tokio::test]
async fn a_failing_address_is_not_asked_more_often() {
    let (server, keys, clock) = start().await;
    server.fail();
    let unavailable = |retry_after_seconds| Err(NoKey::Unavailable { retry_after_seconds });
    assert_eq!(find(&keys, "ins_old").await, unavailable(30));
    for _ in 0..29 {
        advance(&clock, SECOND);
        assert_eq!(keys.refresh().await.failure, Some(Failure::Unreachable));
        assert!(find(&keys, "ins_old").await.is_err());
    }
    assert_eq!((find(&keys, "ins_old").await, server.hits()), (unavailable(1), 1));
    advance(&clock, SECOND);
    assert_eq!((find(&keys, "ins_old").await, server.hits()), (unavailable(30), 2));
    advance(&clock, 30 * SECOND);
    server.publish(&OLD.jwks());
    assert_eq!((find(&keys, "ins_old").await, server.hits()), (Ok(()), 3));
    assert_eq!(keys.status().failure, None);
}

#[tokio::test]
async fn last_good_keys_serve_for_a_day() {
    let (server, keys, clock) = start().await;
    assert_eq!(find(&keys, "ins_old").await, Ok(()));
    server.fail();
    for _ in 0..23 {
        advance(&clock, HOUR);
        assert_eq!(find(&keys, "ins_old").await, Ok(()));
        assert_eq!(keys.refresh().await.failure, Some(Failure::Unreachable));
    }
    assert_eq!((keys.status().keys, keys.status().age_seconds, server.hits()), (1, Some(23 * 3600), 24));
    advance(&clock, HOUR - 1);
    assert_eq!(find(&keys, "ins_old").await, Ok(()));
    keys.refresh().await;
    advance(&clock, MINUTE);
    assert_eq!(find(&keys, "ins_old").await, Err(NoKey::Unavailable { retry_after_seconds: 30 }));
    server.publish(&OLD.jwks());
    advance(&clock, MINUTE);
    assert_eq!(find(&keys, "ins_old").await, Ok(()));
}

#[tokio::test]
async fn a_clock_set_back_makes_no_set_immortal() {
    let (server, keys, clock) = start().await;
    advance(&clock, 1000 * HOUR);
    assert_eq!(find(&keys, "ins_old").await, Ok(()));
    server.fail();
    clock.set(NOW);
    assert_eq!(find(&keys, "ins_old").await, Ok(()));
    keys.refresh().await;
    assert_eq!((keys.status().age_seconds, server.hits()), (Some(3600), 2));
    advance(&clock, 23 * HOUR);
    assert!(matches!(find(&keys, "ins_old").await, Err(NoKey::Unavailable { .. })));
}

#[tokio::test]
async fn saved_keys_serve_at_once_and_are_renewed() {
    let (server, _, clock) = start().await;
    let url: http::Url = server.url().parse().unwrap();
    let restarted = || Keys::remote(url.clone(), Some(OLD.jwks().as_bytes()), clock.clone());
    // The address is down.
    server.fail();
    let keys = restarted();
    assert_eq!((find(&keys, "ins_old").await, keys.status().age_seconds), (Ok(()), Some(3600)));
    keys.refresh().await;
    assert_eq!((find(&keys, "ins_old").await, server.hits()), (Ok(()), 1));
    advance(&clock, 23 * HOUR);
    assert!(matches!(find(&keys, "ins_old").await, Err(NoKey::Unavailable { .. })));
    // It is up, and says the same.
    server.publish(&OLD.jwks());
    let (keys, hits) = (restarted(), server.hits());
    assert_eq!(find(&keys, "ins_old").await, Ok(()));
    keys.refresh().await;
    assert_eq!((server.hits(), keys.status().age_seconds), (hits + 1, Some(0)));
    assert_eq!(*keys.changes().borrow(), None);
    // It is up, and the key was retired meanwhile.
    server.publish(&NEW.jwks());
    let keys = restarted();
    keys.refresh().await;
    assert_eq!(find(&keys, "ins_old").await, Err(NoKey::Unknown));
    // What was saved is damaged.
    let keys = Keys::remote(url.clone(), Some(b"{"), clock.clone());
    assert_eq!((keys.status().keys, find(&keys, "ins_new").await), (0, Ok(())));
}

#[tokio::test]
async fn tells_when_there_is_something_to_save() {
    let (server, keys, clock) = start().await;
    let mut changes = keys.changes();
    assert_eq!(*changes.borrow_and_update(), None);
    keys.refresh().await;
    assert_eq!(changes.borrow_and_update().as_deref(), Some(OLD.jwks().as_bytes()));
    advance(&clock, MINUTE);
    server.publish(&format!(" {}", OLD.jwks()));
    keys.refresh().await;
    assert_eq!((server.hits(), changes.has_changed().unwrap()), (2, false));
    advance(&clock, MINUTE);
    server.publish(&NEW.jwks());
    keys.refresh().await;
    assert_eq!(changes.borrow_and_update().as_deref(), Some(NEW.jwks().as_bytes()));
    advance(&clock, MINUTE);
    server.fail();
    keys.refresh().await;
    assert!(!changes.has_changed().unwrap());
    drop(keys);
    assert!(Keys::from_pem(&OLD.pem()).unwrap().changes().changed().await.is_err());
}

#[tokio::test]
async fn no_answer_takes_good_keys_away() {
    let (server, keys, clock) = start().await;
    assert_eq!(find(&keys, "ins_old").await, Ok(()));
    let elsewhere = JwksServer::start(&NEW.jwks()).await;
    let location = format!("location: {}\r\n", elsewhere.url());
    let (ok, new) = ("200 OK", NEW.jwks());
    let hundred: Vec<_> = (0..100).map(|n| with(&NEW.jwk(), "kid", format!("ins_{n}"))).collect();
    let answers = [
        ("301 Moved Permanently", location.as_str(), new.clone(), Failure::Status(301)),
        ("307 Temporary Redirect", location.as_str(), new.clone(), Failure::Status(307)),
        ("302 Found", "location: http://169.254.169.254/\r\n", new.clone(), Failure::Status(302)),
        ("500 Internal Server Error", "", new.clone(), Failure::Status(500)),
        ("203 Non-Authoritative Information", "", new.clone(), Failure::Status(203)),
        ("429 Too Many Requests", "retry-after: 1\r\n", new.clone(), Failure::Status(429)),
        (ok, "", jwks(&[]), BadKeySet::Empty.into()),
        (ok, "content-type: text/html\r\n", "<html>".to_owned(), BadKeySet::Form.into()),
        (ok, "", format!("{new}{}", " ".repeat(5 << 20)), Failure::TooLong),
        (ok, "", format!("{new}{}", " ".repeat((64 << 10) + 1 - new.len())), Failure::TooLong),
        (ok, "", jwks(&hundred), BadKeySet::TooMany.into()),
        (ok, "", jwks(&[NEW.jwk(), NEW.jwk()]), BadKeySet::Repeated.into()),
        (ok, "", jwks(&[with(&NEW.jwk(), "d", "AQ")]), BadKeySet::Private.into()),
        (ok, "", jwks(&[with(&NEW.jwk(), "n", "pQ")]), BadKeySet::Empty.into()),
        (ok, "", jwks(&[with(&NEW.jwk(), "e", "AQ")]), BadKeySet::Empty.into()),
        (ok, "", jwks(&[with(&NEW.jwk(), "use", "enc")]), BadKeySet::Empty.into()),
        (ok, "content-encoding: gzip\r\n", "\u{1f}\u{8b}".to_owned(), BadKeySet::Form.into()),
    ];
    for (n, (status, headers, body, failure)) in answers.into_iter().enumerate() {
        advance(&clock, MINUTE);
        server.say(status, headers, &body);
        assert_eq!(keys.refresh().await.failure, Some(failure), "{status} {headers}");
        assert_eq!((find(&keys, "ins_old").await, server.hits()), (Ok(()), n + 2));
        assert_eq!(find(&keys, "ins_new").await, Err(NoKey::Unknown));
    }
    assert_eq!(elsewhere.hits(), 0);
    advance(&clock, MINUTE);
    server.publish(&format!("{new}{}", " ".repeat((64 << 10) - new.len())));
    assert_eq!(keys.refresh().await.failure, None);
    let ended: Vec<_> = keys.fetches().into_iter().collect();
    assert_eq!(ended, [("document", 9), ("ok", 2), ("status", 6), ("too_long", 2)]);
}

#[tokio::test(start_paused = true)]
async fn gives_up_on_an_address_that_says_nothing() {
    let (server, keys, _) = start().await;
    server.hold();
    assert_eq!(find(&keys, "ins_old").await, Err(NoKey::Unavailable { retry_after_seconds: 30 }));
    assert_eq!(keys.status().failure, Some(Failure::Timeout));
}

#[tokio::test]
async fn a_pinned_key_needs_no_name_and_no_network() {
    let keys = Keys::from_pem(&OLD.pem()).unwrap();
    let (any, none) = (keys.find(Some("ins_new")).await.unwrap(), keys.find(None).await.unwrap());
    assert!(Arc::ptr_eq(&any, &none));
    assert_eq!(
        keys.refresh().await,
        Status { keys: 1, age_seconds: None, failure: None, ahead_seconds: None, asked: false }
    );
}
