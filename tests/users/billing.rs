//! Clerk Billing moves subscriptions: whatever comes first, and unless an operator has said otherwise since.

use reqwest::{Method, StatusCode};
use rollbook::store::{By, Order};
use rollbook::user::UserRef;
use serde_json::{Value, json};

use crate::common::{TestServer, clerk_id, deleted_event, now, token, user_event};
use crate::{T, file, last, record, send, server};

/// What became of an item of `user_1`'s, as an event of its own.
fn item(status: &str, plan: &str, updated_at: i64) -> Value {
    json!({
        "type": format!("subscriptionItem.{}", if status == "past_due" { "pastDue" } else { status }),
        "object": "event", "timestamp": updated_at, "instance_id": "ins_test",
        "data": {
            "object": "commerce_subscription_item", "id": format!("csub_item_{plan}"), "status": status,
            "period_start": T, "period_end": null, "interval": "month", "updated_at": updated_at, "created_at": T,
            "plan_id": "cplan_1", "plan": { "id": "cplan_1", "slug": plan, "name": "A plan" },
            "subscription_id": "csub_1",
            "payer": { "id": "cpayer_1", "user_id": "user_1", "organization_id": "", "email": "ann@example.org" },
        },
    })
}

async fn subscription(server: &TestServer, admin: &str) -> Value {
    record(server, admin, "user_1").await["subscription"].clone()
}

fn says(plan: &str, status: &str) -> Value {
    json!({ "plan": plan, "status": status })
}

#[tokio::test]
async fn billing_moves_the_subscription_and_the_log_says_so() {
    let (server, admin) = server(&[]).await;
    assert_eq!(subscription(&server, &admin).await, says("free", "active"));
    assert_eq!(server.outcome(&item("upcoming", "pro", T + 1)).await, "applied");
    assert_eq!(subscription(&server, &admin).await, says("free", "active"));
    assert_eq!(last(&server, "subscriptionItem.upcoming").await.leaf.changed, [""; 0]);
    assert_eq!(server.outcome(&item("active", "pro", T + 2)).await, "applied");
    assert_eq!(subscription(&server, &admin).await, says("pro", "active"));
    let entry = last(&server, "subscriptionItem.active").await;
    assert_eq!(entry.leaf.changed, ["status", "subscription"]);
    assert_eq!(entry.target_user, Some(clerk_id("user_1")));
    let moved = json!({ "before": says("free", "active"), "after": says("pro", "active") });
    assert_eq!(entry.detail.unwrap()["changes"]["subscription"], moved);
    // A change of plans: the old one ends, the new one is there, in whichever order they come.
    for event in [item("active", "team", T + 50), item("ended", "pro", T + 49)] {
        server.outcome(&event).await;
        assert_eq!(subscription(&server, &admin).await, says("team", "active"));
    }
    server.outcome(&item("past_due", "team", T + 60)).await;
    assert_eq!(subscription(&server, &admin).await, says("team", "past_due"));
    // The whole subscription's word, and what it says of an item nobody told of.
    let mut whole = item("active", "team", T + 70);
    whole["type"] = "subscription.updated".into();
    let mut listed = item("canceled", "extra", T + 70)["data"].take();
    listed.as_object_mut().unwrap().remove("payer");
    whole["data"]["id"] = "csub_1".into();
    whole["data"]["items"] = json!([listed]);
    server.outcome(&whole).await;
    assert_eq!(subscription(&server, &admin).await, says("team", "active"));
    server.outcome(&item("ended", "team", T + 80)).await;
    assert_eq!(subscription(&server, &admin).await, says("extra", "canceled"));
    // An organisation pays for itself.
    let mut theirs = item("active", "gold", T + 90);
    theirs["data"]["payer"] = json!({ "id": "cpayer_2", "user_id": "", "organization_id": "org_1" });
    server.outcome(&theirs).await;
    assert_eq!(subscription(&server, &admin).await, says("extra", "canceled"));
}

#[tokio::test]
async fn an_operators_word_stands_until_billing_has_newer() {
    let (server, admin) = server(&[]).await;
    let set = |plan: &str| json!({ "subscription": { "plan": plan, "status": "active" } }).to_string();
    let patched = async |plan: &str| {
        let answer = send(&server, &admin, Method::PATCH, "/api/users/user_1", &set(plan), "").await;
        assert_eq!(answer.status, StatusCode::OK);
    };
    server.outcome(&item("active", "pro", T + 1)).await;
    patched("gift").await;
    assert_eq!(subscription(&server, &admin).await, says("gift", "active"));
    // Late news of before, as new as it may be to us.
    assert_eq!(server.outcome(&item("past_due", "pro", T + 2)).await, "applied");
    assert_eq!(subscription(&server, &admin).await, says("gift", "active"));
    let later = now().as_millis() + 60_000;
    server.outcome(&item("active", "pro", later)).await;
    assert_eq!(subscription(&server, &admin).await, says("pro", "active"));
    // An item that is not yet, or no more than the operator's word, changes nothing, and the log does not say it does.
    let mut bare = item("active", "pro", later);
    bare["data"]["seats"] = 7.into();
    bare["timestamp"] = (later + 1).into();
    server.outcome(&bare).await;
    assert_eq!(last(&server, "subscriptionItem.active").await.leaf.changed, ["seats"]);
}

#[tokio::test]
async fn an_operators_word_counts_also_where_clerks_clock_is_ahead() {
    let (server, admin) = server(&[]).await;
    let ahead = now().as_millis() + 3_600_000;
    server.outcome(&item("active", "pro", ahead)).await;
    let body = json!({ "subscription": { "plan": "gift" } }).to_string();
    let answer = send(&server, &admin, Method::PATCH, "/api/users/user_1", &body, "").await;
    assert_eq!((answer.status, &answer.json()["subscription"]["plan"]), (StatusCode::OK, &json!("gift")));
    server.outcome(&item("active", "max", ahead + 1)).await;
    assert_eq!(subscription(&server, &admin).await, says("max", "active"));
}

#[tokio::test]
async fn an_item_that_goes_to_another_payer_leaves_the_first_one() {
    let (server, admin) = server(&[]).await;
    server.outcome(&user_event("user.created", "user_2", T, "Bo")).await;
    server.outcome(&item("active", "pro", T + 1)).await;
    let mut moved = item("active", "pro", T + 2);
    moved["data"]["payer"]["user_id"] = "user_2".into();
    server.outcome(&moved).await;
    assert_eq!(subscription(&server, &admin).await, says("free", "active"));
    assert_eq!(record(&server, &admin, "user_2").await["subscription"], says("pro", "active"));
    // The entry is about the one who pays now, and names the other, too.
    let entry = last(&server, "subscriptionItem.active").await;
    assert_eq!(
        (entry.leaf.changed, entry.target_user),
        (vec!["payer".to_owned(), "subscription".to_owned()], Some(clerk_id("user_2")))
    );
    assert_eq!(entry.detail.unwrap()["members"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_came_before_the_user_is_theirs_when_they_come() {
    let server = TestServer::start().await;
    let admin = server.admin("user_boss").await;
    server.outcome(&item("active", "pro", T + 1)).await;
    assert_eq!(server.get_as(&token("user_1"), "/api/auth/me").await.json()["subscription"], says("pro", "active"));
    let mut other = item("past_due", "team", T + 1);
    other["data"]["payer"]["user_id"] = "user_2".into();
    server.outcome(&other).await;
    server.outcome(&user_event("user.created", "user_2", T, "Bo")).await;
    assert_eq!(record(&server, &admin, "user_2").await["subscription"], says("team", "past_due"));
}

#[tokio::test]
async fn nothing_is_left_of_a_subscription_when_its_user_is_erased_or_gone() {
    for policy in ["soft", "hard"] {
        let (server, _) = server(&[("ROLLBOOK_DELETE", policy)]).await;
        server.outcome(&item("active", "precious", T + 1)).await;
        server.outcome(&deleted_event("user_1", T + 2)).await;
        server.outcome(&item("canceled", "precious", T + 3)).await;
        if policy == "soft" {
            let by = By { actor: rollbook::audit::Actor::Cli, source: rollbook::audit::Source::Cli };
            let order = Order { by, reason: None, even_if_live: true, even_if_untold: false };
            let user: UserRef = "user_1".parse().unwrap();
            server.app.store.erase(&user, order, |_| {}).await.unwrap();
            server.outcome(&item("active", "precious", T + 4)).await;
        }
        let db = file::open(&server.stop().await.path().join("rollbook.redb"));
        let mut tables = file::dump(&db);
        if policy == "hard" {
            // The mirrored object and the log stay with a deletion that is no erasure.
            tables.retain(|name, _| !["objects", "object_children", "audit_detail"].contains(&name.as_str()));
        }
        for (name, table) in tables {
            assert!(!format!("{table:?}").contains("precious"), "{policy}: {name}");
        }
    }
}
