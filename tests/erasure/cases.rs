//! Who may be erased, and what a person cannot bring about by it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};

use futures_util::future::join_all;
use reqwest::StatusCode;
use rollbook::audit::{Actor, Source};
use rollbook::store::{By, EraseError, Extent, Order};
use serde_json::{Value, json};
use tokio::runtime::Handle;

use crate::common::{TestServer, deleted_event, token, user_event};
use crate::deliveries::received;
use crate::file::{self, Table, Witness};

const T: i64 = 1_750_000_000_000;

fn order(reason: Option<&str>, even_if_live: bool) -> Order {
    let by = By { actor: Actor::Cli, source: Source::Cli };
    Order { by, reason: reason.map(str::to_owned), even_if_live, even_if_untold: false }
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

/// The address Ann had at that time.
fn address(n: i64) -> String {
    format!("ann{n}@example.org")
}

fn ann(n: i64, email: &str) -> Value {
    let mut event = user_event("user.updated", "user_Ann", T + n, &format!("Ann{n}"));
    event["data"]["email_addresses"][0]["email_address"] = email.into();
    event
}

fn organization(n: i64, by: &str) -> Value {
    let data = json!({ "id": format!("org_{n}"), "object": "organization", "name": "Us", "created_by": by, "n": n });
    json!({ "type": "organization.created", "data": data, "timestamp": T + n })
}

/// Everything there is of Ann is gone; says how the tables look otherwise.
async fn without_ann(server: TestServer, more: &[String]) -> BTreeMap<String, Table> {
    let dir = server.stop().await;
    let db = file::open(&dir.path().join("rollbook.redb"));
    Witness::default().follow(&db);
    let tables = file::dump(&db);
    let texts: Vec<String> = more.iter().chain(&["user_Ann".to_owned()]).map(|text| text.to_lowercase()).collect();
    for (name, rows) in &tables {
        for (key, row) in rows {
            let row = format!("{key} {row}").to_lowercase();
            assert!(!texts.iter().any(|text| row.contains(text)), "{name}: {row}");
        }
    }
    tables
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_behind_the_searchs_back_is_erased_too() {
    let server = TestServer::start().await;
    server.outcome(&ann(0, &address(0))).await;
    server.outcome(&user_event("user.created", "user_Bob", T, "Bob")).await;
    server.outcome(&deleted_event("user_Ann", T + 1)).await;
    let (store, runtime, calls) = (server.app.store.clone(), Handle::current(), AtomicI64::new(0));
    let meanwhile = move |_| {
        let n = 10 + calls.fetch_add(1, Ordering::Relaxed);
        let mut bob = user_event("user.updated", "user_Bob", T + n, &format!("Bob{n}"));
        bob["data"]["public_metadata"] = json!({ "manager": "user_Ann", "mail": address(0) });
        let invitation = json!({ "id": format!("inv_{n}"), "email_address": address(0).to_uppercase() });
        let events = [
            ann(n, &address(0)),
            bob,
            organization(n, "user_Ann"),
            json!({ "type": "organizationInvitation.created", "data": invitation, "timestamp": T + n }),
            json!({ "type": "user.updated", "data": { "about": "user_Ann" } }),
            json!({ "type": "something.new", "data": { "about": address(0) } }),
        ];
        for (at, event) in events.iter().enumerate() {
            let delivery = received(&format!("msg_{n}_{at}"), &event.to_string());
            runtime.block_on(store.ingest(delivery)).unwrap();
        }
    };
    let extent = server.app.store.erase(&"user_Ann".parse().unwrap(), order(None, false), meanwhile).await.unwrap();
    assert!(extent.quarantined >= 4 && extent.mentions >= 9 && extent.details >= 10, "{extent:?}");
    assert_eq!(server.app.store.counts().quarantined, 0);
    let tables = without_ann(server, &[address(0)]).await;
    assert!(tables["value_tags"].values().count() == 1 && tables["objects"].len() >= 8, "Bob's and the others' stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_came_behind_the_searchs_back_is_looked_for_as_well() {
    for restless in [false, true] {
        let server = TestServer::start().await;
        server.outcome(&ann(0, &address(0))).await;
        let invitation = json!({ "id": "inv_1", "email_address": address(1) });
        server.outcome(&json!({ "type": "organizationInvitation.created", "data": invitation })).await;
        server.outcome(&deleted_event("user_Ann", T + 1)).await;
        let (store, runtime, calls) = (server.app.store.clone(), Handle::current(), AtomicI64::new(0));
        let meanwhile = move |_| {
            let n = 1 + calls.fetch_add(1, Ordering::Relaxed);
            if n == 1 || restless {
                let delivery = received(&format!("msg_{n}"), &ann(n, &address(n)).to_string());
                runtime.block_on(store.ingest(delivery)).unwrap();
            }
        };
        let erased = server.app.store.erase(&"user_Ann".parse().unwrap(), order(None, false), meanwhile).await;
        if restless {
            assert!(matches!(erased, Err(EraseError::Restless)), "{erased:?}");
            assert!(server.user("user_Ann").is_some());
            holds(server).await;
        } else {
            assert_eq!(erased.unwrap().mentions, 1);
            without_ann(server, &[address(0), address(1)]).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_at_the_same_time_is_erased_or_passed_over() {
    let server = TestServer::start().await;
    for n in 0..20 {
        server.outcome(&ann(n, &address(0))).await;
    }
    server.outcome(&deleted_event("user_Ann", T + 50)).await;
    let events: Vec<_> =
        (51..150).map(|n| if n % 3 == 0 { organization(n, "user_Ann") } else { ann(n, &address(0)) }).collect();
    let deliveries = join_all(events.iter().map(|event| server.outcome(event)));
    let (outcomes, erased) = tokio::join!(deliveries, erase(&server, "user_Ann"));
    erased.unwrap();
    assert!(outcomes.iter().all(|outcome| outcome == "stale" || outcome == "applied"));
    without_ann(server, &[address(0)]).await;
}
