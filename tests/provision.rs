//! Whoever shows a valid token before any event of them has come: what Clerk says of them when it is asked, and what
//! happens when it does not say.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;
#[path = "common/jwks_server.rs"]
mod server;

use common::tokens::{claims, with};
use common::wait::until;
use common::{Answer, CLERK, TestServer, clerk_id, deleted_event, sign, user_event};
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use rollbook::audit::{Actor, Entry, Source};
use rollbook::clock::Clock;
use rollbook::store::{By, Order};
use rollbook::user::{Source as From, User, UserRef};
use serde_json::{Value, json};
use server::JwksServer;

/// When Clerk's events were, in milliseconds.
const T: i64 = 1_750_000_000_000;

const ME: &str = "/api/auth/me";

/// A server that has Clerk's secret key, and what stands for Clerk's Backend API.
struct Stage {
    server: TestServer,
    api: JwksServer,
    clock: Clock,
}

impl Stage {
    async fn set(settings: &[(&str, &str)]) -> Self {
        let api = JwksServer::start("").await;
        let clock = Clock::fixed(rollbook::clock::Timestamp::from_millis(sign::now_seconds() * 1000));
        let key = [("CLERK_SECRET_KEY", "sk_test_0123456789"), ("CLERK_API_URL", api.url())];
        let free = [("ROLLBOOK_RATE_ADDRESS", "off"), ("ROLLBOOK_RATE_TOKEN", "off")];
        let server = TestServer::with_clock(&[&key[..], &free, settings].concat(), clock.clone()).await;
        Self { server, api, clock }
    }

    /// Clerk has that user from now on.
    fn has(&self, user: &Value) {
        self.api.publish(&user.to_string());
    }

    fn is_down(&self) {
        self.api.say("503 Service Unavailable", "", "{}");
    }

    fn has_nobody(&self) {
        self.api.say("404 Not Found", "", r#"{"errors":[{"code":"resource_not_found","message":"not found"}]}"#);
    }

    /// A token of now that says what the user is called.
    fn token(&self, id: &str) -> String {
        CLERK.mint(&with(&claims(id, self.clock.now().as_seconds()), "first_name", "Token"))
    }

    async fn come(&self, id: &str) -> Answer {
        self.server.get_as(&self.token(id), ME).await
    }

    fn later(&self, seconds: i64) {
        self.clock.set(self.clock.now().plus_millis(seconds * 1000));
    }

    async fn told(&self, action: &str) -> Vec<Entry> {
        let mut entries = self.server.entries().await;
        entries.retain(|entry| entry.leaf.action == action);
        entries
    }
}

/// A user as Clerk has them.
fn user(id: &str, updated_at: i64, name: &str) -> Value {
    user_event("user.updated", id, updated_at, name)["data"].take()
}

fn named(user: Option<User>) -> (From, String) {
    let user = user.unwrap();
    (user.source, user.profile().first_name.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_first_requests_ask_clerk_once() {
    let stage = Stage::set(&[]).await;
    stage.has(&user("user_1", T, "Ann"));
    stage.api.hold();
    let token = stage.token("user_1");
    let (answers, ()) = tokio::join!(join_all((0..100).map(|_| stage.server.get_as(&token, ME))), async {
        until("a question", || stage.api.hits() > 0).await;
        stage.api.release();
    });
    for answer in &answers {
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        assert_eq!(answer.json(), answers[0].json());
    }
    let record = answers[0].json();
    assert_eq!((&record["source"], &record["first_name"]), (&json!("sync"), &json!("Ann")));
    assert_eq!((&record["email"], &record["email_verified"]), (&json!("user_1@example.org"), &json!(true)));
    let kept = stage.server.user("user_1").unwrap().clerk;
    assert_eq!(serde_json::from_str::<Value>(kept.as_str()).unwrap(), user("user_1", T, "Ann"), "all that Clerk said");
    assert_eq!(stage.api.hits(), 1);
    let made = stage.told("user.provisioned").await;
    assert_eq!((made.len(), &made[0].detail.as_ref().unwrap()["from"]), (1, &json!("clerk")));
    assert_eq!((&made[0].actor_user, &made[0].target_user), (&Some(clerk_id("user_1")), &Some(clerk_id("user_1"))));
    // From then on it is events that tell.
    stage.later(60);
    assert_eq!((stage.come("user_1").await.status, stage.api.hits()), (StatusCode::OK, 1));
}

#[tokio::test]
async fn without_clerk_the_token_tells_until_clerk_can_be_asked() {
    let stage = Stage::set(&[]).await;
    stage.is_down();
    assert_eq!(stage.come("user_1").await.json()["source"], "token");
    assert_eq!(named(stage.server.user("user_1")), (From::Token, "Token".to_owned()));
    assert_eq!(stage.told("user.provisioned").await[0].detail.as_ref().unwrap()["from"], "token");
    // While Clerk is down it holds up nobody: neither them again nor anybody else.
    for id in ["user_1", "user_2", "user_3"] {
        assert_eq!(stage.come(id).await.json()["source"], "token");
    }
    assert_eq!(stage.api.hits(), 1);
    stage.has(&user("user_1", T, "Ann"));
    stage.later(29);
    assert_eq!((stage.come("user_1").await.json()["source"].as_str(), stage.api.hits()), (Some("token"), 1));
    stage.later(1);
    let record = stage.come("user_1").await.json();
    assert_eq!((&record["source"], &record["first_name"], stage.api.hits()), (&json!("sync"), &json!("Ann"), 2));
    let completed = stage.told("user.updated").await.pop().unwrap();
    assert_eq!(completed.detail.as_ref().unwrap()["from"], "clerk");
    assert!(completed.leaf.changed.contains(&"public_metadata".to_owned()), "{:?}", completed.leaf);
    assert_eq!(completed.detail.as_ref().unwrap()["changes"]["first_name"], json!({"before": "Token", "after": "Ann"}));
    // For somebody else the first event does it.
    assert_eq!(stage.server.outcome(&user_event("user.created", "user_2", T, "Ben")).await, "applied");
    assert_eq!(named(stage.server.user("user_2")), (From::Webhook, "Ben".to_owned()));
    stage.later(60);
    assert_eq!((stage.come("user_2").await.status, stage.api.hits()), (StatusCode::OK, 2));
}

#[tokio::test]
async fn a_limit_of_clerks_is_kept_as_long_as_it_asks_for() {
    let stage = Stage::set(&[]).await;
    stage.api.say("429 Too Many Requests", "retry-after: 90\r\n", "{}");
    stage.come("user_1").await;
    for (seconds, hits) in [(89, 1), (1, 2)] {
        stage.later(seconds);
        assert_eq!((stage.come("user_2").await.status, stage.api.hits()), (StatusCode::OK, hits), "{seconds}");
    }
    // An answer that is wrong about one of them says nothing of the others.
    stage.later(90);
    stage.has(&user("user_9", T, "Somebody else"));
    assert_eq!((stage.come("user_3").await.json()["source"].as_str(), stage.api.hits()), (Some("token"), 3));
    stage.has(&user("user_4", T, "Ann"));
    assert_eq!((stage.come("user_4").await.json()["source"].as_str(), stage.api.hits()), (Some("sync"), 4));
}

#[tokio::test]
async fn whom_clerk_does_not_have_is_refused() {
    let stage = Stage::set(&[]).await;
    stage.has_nobody();
    let before = stage.server.app.store.counts().users;
    for hits in [1, 1, 2] {
        let answer = stage.come("user_1").await;
        assert_eq!((answer.status, stage.api.hits()), (StatusCode::FORBIDDEN, hits), "{}", answer.text);
        assert_eq!(answer.json()["detail"], "This user was deleted.");
        stage.later(15);
    }
    assert_eq!((stage.server.app.store.counts().users, stage.server.user("user_1")), (before, None));
    assert!(stage.told("user.provisioned").await.is_empty());
    let denied = stage.told("api.denied").await;
    assert!(denied.iter().all(|entry| entry.leaf.reason.as_deref() == Some("deleted")) && denied.len() == 3);
    // Somebody whom their token had put on the roll while Clerk was down.
    stage.later(60);
    stage.is_down();
    assert_eq!(stage.come("user_2").await.status, StatusCode::OK);
    stage.later(30);
    stage.has_nobody();
    assert_eq!(stage.come("user_2").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_deleted_and_the_erased_are_not_asked_for() {
    for delete in ["soft", "hard"] {
        let stage = Stage::set(&[("ROLLBOOK_DELETE", delete)]).await;
        stage.server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
        stage.server.outcome(&deleted_event("user_1", T + 1)).await;
        stage.server.outcome(&deleted_event("user_2", T)).await;
        stage.server.outcome(&user_event("user.created", "user_3", T, "Eve")).await;
        let order = Order {
            by: By { actor: Actor::Cli, source: Source::Cli },
            reason: None,
            even_if_live: true,
            even_if_untold: false,
        };
        stage.server.app.store.erase(&UserRef::Clerk(clerk_id("user_3")), order, |_| {}).await.unwrap();
        for id in ["user_1", "user_2", "user_3"] {
            stage.has(&user(id, T + 5, "Back"));
            assert_eq!(stage.come(id).await.status, StatusCode::FORBIDDEN, "{id}");
        }
        assert_eq!(stage.api.hits(), 0);
        assert!(stage.told("user.provisioned").await.is_empty());
    }
}

#[tokio::test]
async fn whoever_is_deleted_while_clerk_is_asked_stays_so() {
    let stage = Stage::set(&[]).await;
    stage.has(&user("user_1", T, "Ann"));
    stage.api.hold();
    let (answer, ()) = tokio::join!(stage.come("user_1"), async {
        until("a question", || stage.api.hits() > 0).await;
        stage.server.outcome(&deleted_event("user_1", T + 1)).await;
        stage.api.release();
    });
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text);
    assert_eq!(stage.server.user("user_1"), None);
}

#[tokio::test]
async fn an_event_and_the_answer_end_the_same_in_either_order() {
    let (event, newer) =
        (user_event("user.created", "user_1", T, "Ann"), user_event("user.updated", "user_1", T + 1, "Anne"));
    let mut ends = Vec::new();
    for event_is_first in [true, false] {
        let stage = Stage::set(&[]).await;
        stage.has(&user("user_1", T, "Ann"));
        stage.api.hold();
        let (answer, ()) = tokio::join!(stage.come("user_1"), async {
            until("a question", || stage.api.hits() > 0).await;
            if event_is_first {
                assert_eq!(stage.server.outcome(&event).await, "applied");
                assert_eq!(stage.server.outcome(&newer).await, "applied");
            }
            stage.api.release();
        });
        assert_eq!(answer.status, StatusCode::OK);
        if !event_is_first {
            assert_eq!(stage.server.outcome(&event).await, "stale", "it says what is known already");
            assert_eq!(stage.server.outcome(&newer).await, "applied");
        }
        assert_eq!(stage.told("user.provisioned").await.len(), usize::from(!event_is_first));
        assert_eq!(named(stage.server.user("user_1")), (From::Webhook, "Anne".to_owned()));
        ends.push((stage.server.user("user_1").unwrap().clerk, stage.server.app.store.counts().users));
    }
    assert_eq!(ends[0], ends[1]);
}

#[tokio::test]
async fn who_is_banned_at_clerk_comes_on_the_roll_and_not_in() {
    let stage = Stage::set(&[]).await;
    let mut banned = user("user_1", T, "Ann");
    banned["banned"] = true.into();
    stage.has(&banned);
    let answer = stage.come("user_1").await;
    assert_eq!((answer.status, &answer.json()["detail"]), (StatusCode::FORBIDDEN, &json!("This user is banned.")));
    assert_eq!(stage.server.user("user_1").unwrap().source, From::Sync);
}

#[tokio::test]
async fn without_provisioning_nobody_is_asked_for() {
    let stage = Stage::set(&[("ROLLBOOK_PROVISION", "off")]).await;
    stage.has(&user("user_1", T, "Ann"));
    assert_eq!((stage.come("user_1").await.status, stage.api.hits()), (StatusCode::NOT_FOUND, 0));
    // Registering oneself is another matter.
    let token = stage.token("user_1");
    let request = stage.server.request(Method::POST, "/api/users").bearer_auth(token);
    let made = Answer::of(request.send().await.unwrap()).await;
    assert_eq!((made.status, stage.api.hits()), (StatusCode::CREATED, 1), "{}", made.text);
    assert_eq!((&made.json()["source"], &made.json()["first_name"]), (&json!("sync"), &json!("Ann")));
}

#[tokio::test]
async fn whoever_hangs_up_leaves_the_question_to_the_next() {
    let stage = Stage::set(&[]).await;
    stage.has(&user("user_1", T, "Ann"));
    stage.api.hold();
    let token = stage.token("user_1");
    let hurried = stage.server.request(Method::GET, ME).bearer_auth(&token).send();
    let (waiting, ()) = tokio::join!(
        async {
            until("a question", || stage.api.hits() > 0).await;
            stage.server.get_as(&token, ME).await
        },
        async {
            tokio::select! {
                _ = hurried => panic!("answered"),
                () = until("a question", || stage.api.hits() > 0) => {}
            }
            stage.api.release();
        }
    );
    assert_eq!((waiting.status, &waiting.json()["source"]), (StatusCode::OK, &json!("sync")));
    assert_eq!(stage.told("user.provisioned").await.len(), 1);
}
