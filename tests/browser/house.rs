//! A server with somebody in it.

use rollbook::audit::{Actor, Source};
use rollbook::clock::Clock;
use rollbook::forward::Start;
use rollbook::http::admin::link;
use rollbook::store::By;
use rollbook::user::UserId;
use serde_json::{Value, json};

use super::driver::Browser;
use crate::common::{TestServer, clerk_id};

pub(crate) const PASSWORD: &str = "four plain grey mice";

/// A name that would like to be a script, a picture and a formula.
pub(crate) const HOSTILE: &str =
    "=1+1\"><img src=x onerror=document.title='owned'><script>document.title='owned'</script>\u{202e}";

/// When Clerk made the users of these tests.
const MADE: i64 = 1_716_883_200_000;

pub(crate) struct House {
    pub(crate) server: TestServer,
}

impl House {
    pub(crate) async fn build() -> Self {
        Self { server: TestServer::with(&[("ROLLBOOK_FORWARD_PRIVATE", "127.0.0.0/8")]).await }
    }

    /// One whose settings named the wrong Clerk instance at first, and somebody waits in quarantine because of it.
    pub(crate) async fn mended() -> Self {
        let before = TestServer::with(&[("CLERK_INSTANCE_ID", "ins_wrong")]).await;
        let mut event = user_event("user.created", "user_zoe", &json!({ "first_name": "Zoe", "last_name": "Late" }));
        event["instance_id"] = "ins_right".into();
        assert_eq!(before.outcome(&event).await, "quarantined");
        let folder = before.stop().await;
        Self { server: TestServer::open(folder, &[("CLERK_INSTANCE_ID", "ins_right")], Clock::system()).await }
    }

    /// The path of a new link for that admin.
    pub(crate) async fn link(&self, admin: &str) -> String {
        let app = &self.server.app;
        let now = Clock::system().now();
        link::mint(&app.store, admin, now, Actor::Cli, Source::Cli, "").await.unwrap()
    }

    /// Follows the link that is shown, and lets the admin in.
    pub(crate) async fn enter(&self, browser: &Browser) {
        browser.fill("Password", PASSWORD).await;
        browser.fill("The same again", PASSWORD).await;
        browser.find("button[type=submit]").await.click().await.unwrap();
        browser.reads("Overview").await;
    }

    /// Puts in something of everything, with names that try to be more; our id of somebody.
    pub(crate) async fn furnish(&self) -> String {
        // A service at which nobody listens.
        let target = json!({ "name": "crm", "url": "http://127.0.0.1:9/hooks", "kind": "events", "bearer": false });
        let by = By { actor: Actor::Cli, source: Source::Cli };
        let target = serde_json::from_value(target).unwrap();
        self.server.app.forwarder.add(target, None, Start::Now, by).await.unwrap();
        for n in 0..60 {
            self.person(&format!("user_{n:02}"), HOSTILE, &format!("N{n}"), &format!("n{n}@example.org")).await;
        }
        let long = json!({ "public_metadata": { HOSTILE: HOSTILE.repeat(100) }, "updated_at": MADE + 1 });
        assert_eq!(self.server.outcome(&user_event("user.updated", "user_59", &long)).await, "applied");
        let session = json!({ "id": "sess_1", "object": "session", "user_id": "user_59", "status": "active",
            "created_at": MADE, "updated_at": MADE, "last_active_at": MADE, "expire_at": MADE * 2 });
        let session = json!({ "type": "session.created", "object": "event", "data": session, "timestamp": MADE });
        assert_eq!(self.server.outcome(&session).await, "applied");
        let broken = json!({ "type": "user.created", "data": { "first_name": HOSTILE }, "timestamp": MADE });
        assert_eq!(self.server.outcome(&broken).await, "quarantined");
        UserId::of(&clerk_id("user_59")).to_string()
    }

    /// Lets Clerk tell of somebody.
    pub(crate) async fn person(&self, id: &str, first: &str, last: &str, email: &str) {
        let event = user_event(
            "user.created",
            id,
            &json!({
                "first_name": first,
                "last_name": last,
                "primary_email_address_id": "e",
                "email_addresses": [{ "id": "e", "email_address": email, "verification": { "status": "verified" } }],
            }),
        );
        assert_eq!(self.server.outcome(&event).await, "applied");
    }
}

/// An event about a user with these particulars.
pub(crate) fn user_event(kind: &str, id: &str, particulars: &Value) -> Value {
    let mut data = json!({ "id": id, "object": "user", "created_at": MADE, "updated_at": MADE });
    if let (Some(data), Value::Object(particulars)) = (data.as_object_mut(), particulars) {
        data.extend(particulars.clone());
    }
    json!({ "type": kind, "object": "event", "data": data, "timestamp": MADE })
}
