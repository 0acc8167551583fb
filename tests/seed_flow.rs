//! The flow that Rollbook began with, end to end: what Clerk's webhooks say is passed on as calls of an API, in the user's
//! own name, and the service behind that API is another Rollbook.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;

use std::time::Duration;

use common::{TestServer, clerk_id, deleted_event, session_event, user_event};
use rollbook::audit::{Entry, Source};
use rollbook::clock::Clock;
use rollbook::stand_in::StandIn;
use serde_json::Value;

/// What the upper Rollbook signs its calls with, and the lower one checks them with.
const BETWEEN: &str = "whsec_YmV0d2VlbiB0d28gcm9sbGJvb2tzLCBuZXZlciBzYWlk";

const T: i64 = 1_750_000_000_000;

/// Nothing here takes this long. What does is a failure, not a slow machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Clerk, the Rollbook that has its webhooks, and the one that is called.
struct Flow {
    clerk: StandIn,
    upper: TestServer,
    lower: TestServer,
}

impl Flow {
    async fn start() -> Self {
        let clerk = StandIn::start("ins_test", Clock::system()).await.unwrap();
        let trusting = [("CLERK_JWT_KEY", ""), ("CLERK_ISSUER", &*clerk.url)];
        let lower =
            [&trusting[..], &[("CLERK_WEBHOOK_SIGNING_SECRET", BETWEEN), ("ROLLBOOK_PROVISION", "off")]].concat();
        let lower = TestServer::with(&lower).await;
        let base = lower.url("/api");
        let upper = [
            &trusting[..],
            &[
                ("CLERK_API_URL", &clerk.url),
                ("CLERK_SECRET_KEY", clerk.secret_key()),
                ("ROLLBOOK_SYNC_INTERVAL", "off"),
                ("ROLLBOOK_FORWARD_URL", &base),
                ("ROLLBOOK_FORWARD_KIND", "api"),
                ("ROLLBOOK_FORWARD_BEARER", "true"),
                ("ROLLBOOK_FORWARD_SECRET", BETWEEN),
                ("ROLLBOOK_FORWARD_TYPES", "user.created,user.deleted,session.created"),
                ("ROLLBOOK_FORWARD_PRIVATE", "127.0.0.0/8"),
            ],
        ];
        let upper = TestServer::with(&upper.concat()).await;
        Self { clerk, upper, lower }
    }

    /// Something happens at Clerk, and its webhook comes.
    async fn happens(&self, id: &str, event: &Value) -> String {
        self.clerk.apply(event).unwrap();
        self.webhook(id, event).await
    }

    async fn webhook(&self, id: &str, event: &Value) -> String {
        let answer = self.upper.deliver_as(id, event).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["outcome"].as_str().unwrap().to_owned()
    }

    /// The lower log's newest entry of that action, once it is there so often.
    async fn told(&self, action: &str, times: usize) -> Entry {
        let mut size = self.lower.app.store.size();
        let waited = tokio::time::timeout(PATIENCE, async {
            while self.lower.count(action).await < times {
                size.changed().await.unwrap();
            }
        });
        waited.await.unwrap_or_else(|_| panic!("the {times}. {action} never came"));
        self.lower.entries().await.into_iter().rev().find(|entry| entry.leaf.action == action).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_are_made_in_their_own_name_and_deleted_by_a_signed_call() {
    let flow = Flow::start().await;
    flow.happens("msg_1", &user_event("user.created", "user_1", T, "Ann")).await;
    flow.happens("msg_2", &session_event("session.created", "user_1", "sess_1", "active")).await;
    let made = flow.told("user.provisioned", 1).await;
    assert_eq!(made.target_user, Some(clerk_id("user_1")));
    assert!(made.leaf.actor.starts_with("user:"), "by the user's own token: {:?}", made.leaf);
    let record = flow.lower.user("user_1").unwrap();
    assert_eq!((record.clerk_id.as_str(), record.deleted_at), ("user_1", None));

    flow.happens("msg_3", &deleted_event("user_1", T + 20)).await;
    let deleted = flow.told("user.deleted", 1).await;
    assert_eq!((deleted.target_user, deleted.leaf.source), (Some(clerk_id("user_1")), Source::Webhook));
    assert!(flow.lower.user("user_1").unwrap().deleted_at.is_some());

    // What comes again, and what comes late, changes nothing more.
    for (id, event, outcome) in [
        ("msg_1", user_event("user.created", "user_1", T, "Ann"), "duplicate"),
        ("msg_3", deleted_event("user_1", T + 20), "duplicate"),
        ("msg_4", user_event("user.created", "user_1", T - 1, "An"), "stale"),
        ("msg_5", deleted_event("user_1", T + 30), "stale"),
    ] {
        assert_eq!(flow.webhook(id, &event).await, outcome, "{id}");
    }
    // Who comes next is told after all of that.
    flow.happens("msg_6", &user_event("user.created", "user_2", T + 40, "Ben")).await;
    flow.happens("msg_7", &session_event("session.created", "user_2", "sess_2", "active")).await;
    flow.told("user.provisioned", 2).await;
    let counts = flow.lower.app.store.counts();
    assert_eq!((counts.users, counts.deleted), (1, 1));
    assert_eq!(flow.lower.count("user.deleted").await, 1);
}
