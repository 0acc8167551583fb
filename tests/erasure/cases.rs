//! Who may be erased, and what a person cannot bring about by it.

use futures_util::future::join_all;
use reqwest::StatusCode;
use rollbook::audit::{Actor, Source};
use rollbook::store::{By, EraseError, Extent, Order};
use serde_json::json;

use crate::common::{TestServer, deleted_event, token, user_event};
use crate::file::{self, Witness};

const T: i64 = 1_750_000_000_000;

fn order(reason: Option<&str>, even_if_live: bool) -> Order {
    let by = By { actor: Actor::Cli, source: Source::Cli };
    Order { by, reason: reason.map(str::to_owned), even_if_live }
}

async fn erase(server: &TestServer, id: &str) -> Result<Extent, EraseError> {
    server.app.store.erase(&id.parse().unwrap(), order(None, false), |_| {}).await
}

/// How many of the entries about that person have a detail.
async fn details_about(server: &TestServer, id: &str) -> usize {
    let entries = server.entries().await;
    entries
        .iter()
        .filter(|e| e.detail.is_some() && e.target_user.as_ref().is_some_and(|user| user.as_str() == id))
        .count()
}

/// The file is whole by the witness's rules.
async fn holds(server: TestServer) {
    let dir = server.stop().await;
    Witness::default().follow(&file::open(&dir.path().join("rollbook.redb")));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_at_clerk_is_erased_only_on_purpose() {
    let server = TestServer::start().await;
    server.outcome(&user_event("user.created", "user_Ann", T, "Ann")).await;
    let store = &server.app.store;
    let ann = "user_Ann".parse().unwrap();
    let entries = store.counts().entries;
    assert!(matches!(erase(&server, "user_Ann").await, Err(EraseError::Live)));
    for nobody in ["user_Bob", "0199c1a0-0000-7000-8000-000000000001"] {
        assert!(matches!(erase(&server, nobody).await, Err(EraseError::Unknown)), "{nobody}");
    }
    for telling in ["Ann@user_Ann asked", "by mail from user_ann@example.org.", "for user_ANN@example.org"] {
        let refused = store.erase(&ann, order(Some(telling), true), |_| {}).await;
        assert!(matches!(refused, Err(EraseError::TellingReason)), "{telling}");
    }
    let refused = store.erase(&ann, order(Some(&"long ".repeat(300)), true), |_| {}).await;
    assert!(matches!(refused, Err(EraseError::LongReason)));
    assert_eq!(store.counts().entries, entries, "nothing happened");
    assert!(server.user("user_Ann").is_some());

    let extent = store.erase(&ann, order(Some("asked by letter"), true), |_| {}).await.unwrap();
    assert!(extent.live && extent.record);
    assert_eq!(server.get_as(&token("user_Ann"), "/api/auth/me").await.status, StatusCode::FORBIDDEN);
    assert_eq!(server.outcome(&user_event("user.updated", "user_Ann", T + 9, "Ann")).await, "stale");
    assert_eq!(server.outcome(&deleted_event("user_Ann", T + 10)).await, "stale");
    assert!(server.user("user_Ann").is_none());
    let entries = server.entries().await;
    let reasons: Vec<_> = entries.iter().filter_map(|e| e.detail.as_ref()?.get("reason")).collect();
    assert_eq!(reasons, [&json!("asked by letter")]);
    holds(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_in_the_log_alone_can_be_erased_by_clerks_id() {
    let server = TestServer::with(&[("ROLLBOOK_DELETE", "hard")]).await;
    server.outcome(&user_event("user.created", "user_Ann", T, "Ann")).await;
    server.outcome(&deleted_event("user_Ann", T + 1)).await;
    assert!(server.user("user_Ann").is_none());
    let extent = erase(&server, "user_Ann").await.unwrap();
    assert!(!extent.record && !extent.live && extent.details == 2, "{extent:?}");
    assert!(matches!(erase(&server, "user_Ann").await, Err(EraseError::Unknown)));
    assert_eq!(server.outcome(&user_event("user.updated", "user_Ann", T + 2, "Ann")).await, "stale");
    assert_eq!(server.get_as(&token("user_Ann"), "/api/auth/me").await.status, StatusCode::FORBIDDEN);
    holds(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chosen_name_erases_nothing_of_others() {
    let server = TestServer::start().await;
    for (n, name) in (0..).zip(["verified", "email_code", "user_agent", "USER", "ADMIN", "instance", "ins_test"]) {
        let id = format!("user_Villain{n}");
        let mut event = user_event("user.created", &id, T, "Eve");
        event["data"]["username"] = name.into();
        event["data"]["external_id"] = name.into();
        server.outcome(&event).await;
        server.outcome(&deleted_event(&id, T + 1)).await;
    }
    server.outcome(&user_event("user.created", "user_Ann", T, "Ann")).await;
    server.outcome(&user_event("user.updated", "user_Ann", T + 1, "Anna")).await;
    server.admin("user_Ann").await;
    let kept = details_about(&server, "user_Ann").await;
    assert!(kept >= 3);
    for n in 0..7 {
        let extent = erase(&server, &format!("user_Villain{n}")).await.unwrap();
        assert!(extent.mentions == 0 && extent.details == 2, "{extent:?}");
    }
    assert_eq!(details_about(&server, "user_Ann").await, kept);
    holds(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_somebody_else_has_too_is_not_looked_for() {
    let server = TestServer::start().await;
    for (n, id) in (0..).zip(["user_First", "user_Second"]) {
        let mut event = user_event("user.created", id, T + n, "Ann");
        event["data"]["email_addresses"][0]["email_address"] = "ann@example.org".into();
        server.outcome(&event).await;
        event["data"]["username"] = "annie".into();
        event["data"]["updated_at"] = (T + 10 + n).into();
        event["type"] = "user.updated".into();
        server.outcome(&event).await;
        server.outcome(&deleted_event(id, T + 20 + n)).await;
    }
    let invitation = json!({ "id": "orginv_1", "email_address": "Ann@example.org", "organization_id": "org_1" });
    let invitation = json!({ "type": "organizationInvitation.created", "data": invitation, "timestamp": T });
    server.outcome(&invitation).await;
    let kept = details_about(&server, "user_Second").await;
    let extent = erase(&server, "user_First").await.unwrap();
    assert_eq!((extent.shared, extent.mentions), (2, 0), "{extent:?}");
    assert_eq!(details_about(&server, "user_Second").await, kept);
    let second = server.user("user_Second").unwrap();
    assert!(second.clerk.as_str().contains("ann@example.org") && second.clerk.as_str().contains("annie"));
    // With the second one the address goes everywhere.
    let extent = erase(&server, "user_Second").await.unwrap();
    assert_eq!((extent.shared, extent.mentions), (0, 1), "{extent:?}");
    let dir = server.stop().await;
    let db = file::open(&dir.path().join("rollbook.redb"));
    Witness::default().follow(&db);
    let found = file::dump(&db).into_values().flatten().any(|(_, row)| row.to_lowercase().contains("ann@example.org"));
    assert!(!found);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_somebody_is_erased_is_erased_or_passed_over() {
    let server = TestServer::start().await;
    let event = |n: i64| {
        let mut event = user_event("user.updated", "user_Ann", T + n, &format!("Ann{n}"));
        event["data"]["email_addresses"][0]["email_address"] = format!("ann{n}@example.org").into();
        event
    };
    for n in 0..50 {
        server.outcome(&event(n)).await;
    }
    server.outcome(&deleted_event("user_Ann", T + 50)).await;
    let invitation = |n: i64| {
        let data = json!({ "id": format!("inv_{n}"), "email_address": format!("ann{}@example.org", n % 50) });
        json!({ "type": "organizationInvitation.created", "data": data, "timestamp": T + n })
    };
    let events: Vec<_> = (51..250).map(|n| if n % 3 == 0 { invitation(n) } else { event(n) }).collect();
    let deliveries = join_all(events.iter().map(|event| server.outcome(event)));
    let (outcomes, erased) = tokio::join!(deliveries, erase(&server, "user_Ann"));
    // Her record goes on changing while it can; in the end it is given up or done.
    if let Err(error) = erased {
        assert!(matches!(error, EraseError::Restless), "{error}");
        erase(&server, "user_Ann").await.unwrap();
    }
    assert!(outcomes.iter().all(|outcome| outcome == "stale" || outcome == "applied"));
    let dir = server.stop().await;
    let db = file::open(&dir.path().join("rollbook.redb"));
    Witness::default().follow(&db);
    let tables = file::dump(&db);
    assert!(tables["users"].is_empty() && tables["subjects"].is_empty() && tables["value_tags"].is_empty());
    for (name, rows) in &tables {
        assert!(rows.iter().all(|(key, row)| !key.contains("user_Ann") && !row.contains("user_Ann")), "{name}");
    }
}
