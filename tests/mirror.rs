//! Sessions, organisations and their members: what Clerk said of them, in whatever order, and who may see it.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;

use common::{TestServer, deleted_event, now, token, user_event};
use reqwest::{Method, StatusCode};
use rollbook::clock::{Clock, Timestamp};
use rollbook::user::UserId;
use serde_json::{Value, json};

/// When Clerk's events were, in milliseconds.
const T: i64 = 1_750_000_000_000;
const DAY: i64 = 86_400_000;

fn event(kind: &str, at: i64, data: &Value) -> Value {
    json!({ "type": kind, "object": "event", "timestamp": at, "instance_id": "ins_test", "data": data })
}

fn session(kind: &str, id: &str, user: &str, began: i64) -> Value {
    let data = json!({
        "object": "session", "id": id, "user_id": user, "client_id": "client_1", "status": "active", "actor": null,
        "last_active_organization_id": "org_1", "last_active_at": began + 1,
        "latest_activity": {
            "object": "session_activity", "id": "sess_activity_1", "browser_name": "Firefox", "browser_version": "140.0",
            "device_type": "Linux", "ip_address": "192.0.2.1", "city": "Umeå", "country": "Sweden", "is_mobile": false,
        },
        "expire_at": began + 7 * DAY, "abandon_at": began + 30 * DAY, "created_at": began, "updated_at": began + 2,
    });
    event(kind, began + 3, &data)
}

fn organization(id: &str, name: &str, updated_at: i64) -> Value {
    json!({
        "object": "organization", "id": id, "name": name, "slug": "acme", "image_url": "https://img.example.org/acme",
        "members_count": 2, "max_allowed_memberships": 25, "created_by": "user_1",
        "public_metadata": { "tier": "gold" }, "private_metadata": { "note": "x" },
        "created_at": T, "updated_at": updated_at,
    })
}

fn membership(id: &str, org: &str, user: &str, role: &str) -> Value {
    let data = json!({
        "object": "organization_membership", "id": id, "role": role, "role_name": "Member",
        "permissions": ["org:charts:read"], "public_metadata": {}, "private_metadata": {},
        "organization": organization(org, "As of the membership", T),
        "public_user_data": {
            "user_id": user, "first_name": "Ann", "last_name": "Tester", "identifier": "ann@example.org",
            "username": "ann", "image_url": "https://img.example.org/ann", "has_image": true,
        },
        "created_at": T, "updated_at": T,
    });
    event("organizationMembership.created", T, &data)
}

fn our_id(clerk: &str) -> String {
    UserId::of(&common::clerk_id(clerk)).to_string()
}

fn ids(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_session_says_what_the_readme_promises() {
    let clock = Clock::fixed(now());
    let server = TestServer::with_clock(&[], clock.clone()).await;
    let began = clock.now().as_millis() - DAY;
    // Before its user, as Clerk may send it.
    server.outcome(&session("session.created", "sess_1", "user_1", began)).await;
    server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    let time = |at: i64| Timestamp::from_millis(at).to_string();
    let expected = json!({
        "items": [{
            "id": "sess_1", "user_id": our_id("user_1"), "clerk_user_id": "user_1", "client_id": "client_1",
            "status": "active", "created_at": time(began), "updated_at": time(began + 2),
            "last_active_at": time(began + 1), "expires_at": time(began + 7 * DAY), "abandon_at": time(began + 30 * DAY),
            "impersonated": false, "actor": null, "last_active_organization_id": "org_1",
            "latest_activity": {
                "browser": "Firefox 140.0", "device": "Linux", "ip": "192.0.2.1", "city": "Umeå", "country": "Sweden",
            },
        }],
        "next_cursor": null,
    });
    let mine = server.get_as(&token("user_1"), "/api/users/user_1/sessions").await;
    assert_eq!(mine.json(), expected);
    let boss = server.admin("user_boss").await;
    let theirs = server.get_as(&boss, &format!("/api/users/{}/sessions", our_id("user_1"))).await;
    assert_eq!(theirs.json(), expected);
}

#[tokio::test]
async fn a_session_runs_out_without_an_event() {
    let began = now().as_millis();
    let clock = Clock::fixed(Timestamp::from_millis(began));
    let server = TestServer::with_clock(&[], clock.clone()).await;
    server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    let mut short = session("session.created", "sess_expires", "user_1", began);
    short["data"]["expire_at"] = (began + 10_000).into();
    let mut idle = session("session.pending", "sess_idle", "user_1", began);
    idle["data"]["status"] = "pending".into();
    idle["data"]["abandon_at"] = (began + 10_000).into();
    let mut ended = session("session.ended", "sess_ended", "user_1", began);
    ended["data"]["status"] = "ended".into();
    ended["data"]["expire_at"] = (began + 10_000).into();
    for event in [&short, &idle, &ended] {
        server.outcome(event).await;
    }
    let token = token("user_1");
    for (later, expected) in [(9_999, ["pending", "active", "ended"]), (10_000, ["abandoned", "expired", "ended"])] {
        clock.set(Timestamp::from_millis(began + later));
        let page = server.get_as(&token, "/api/users/user_1/sessions").await.json();
        assert_eq!(ids(&page), ["sess_idle", "sess_expires", "sess_ended"]);
        let stati: Vec<_> = page["items"].as_array().unwrap().iter().map(|item| item["status"].clone()).collect();
        assert_eq!(stati, expected, "{later}");
    }
}

#[tokio::test]
async fn everybody_sees_their_own_sessions_and_no_one_elses() {
    let server = TestServer::start().await;
    for user in ["user_1", "user_2"] {
        server.outcome(&user_event("user.created", user, T, "Ann")).await;
        server.outcome(&session("session.created", &format!("sess_{user}"), user, T)).await;
    }
    let one = token("user_1");
    assert_eq!(ids(&server.get_as(&one, "/api/users/user_1/sessions").await.json()), ["sess_user_1"]);
    assert_eq!(server.get_as(&one, "/api/users/user_2/sessions").await.status, StatusCode::NOT_FOUND);
    assert_eq!(server.get_as(&one, "/api/users/user_nobody/sessions").await.status, StatusCode::NOT_FOUND);
    assert_eq!(server.get("/api/users/user_1/sessions").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(server.count("sessions.listed").await, 0, "one's own are one's own");
    let boss = server.admin("user_boss").await;
    assert_eq!(ids(&server.get_as(&boss, "/api/users/user_2/sessions").await.json()), ["sess_user_2"]);
    assert_eq!(server.get_as(&boss, "/api/users/user_nobody/sessions").await.status, StatusCode::NOT_FOUND);
    let look = server.entries().await.into_iter().find(|entry| entry.leaf.action == "sessions.listed").unwrap();
    assert_eq!(look.target_user.unwrap().as_str(), "user_2");
    let posted = server.request(Method::POST, "/api/users/user_2/sessions").bearer_auth(&boss).send().await.unwrap();
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn who_impersonates_somebody_is_told_to_admins_alone() {
    let server = TestServer::start().await;
    server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    let mut session = session("session.created", "sess_1", "user_1", now().as_millis());
    session["data"]["actor"] = json!({ "sub": "user_boss" });
    server.outcome(&session).await;
    let boss = server.admin("user_boss").await;
    let theirs = server.get_as(&boss, "/api/users/user_1/sessions").await.json()["items"][0].clone();
    assert_eq!(theirs["actor"], json!({ "id": our_id("user_boss"), "clerk_user_id": "user_boss" }));
    assert_eq!(theirs["latest_activity"]["ip"], "192.0.2.1");
    let mine = server.get_as(&token("user_1"), "/api/users/user_1/sessions").await.json()["items"][0].clone();
    assert_eq!(
        (&mine["impersonated"], &mine["actor"], &mine["latest_activity"]),
        (&true.into(), &Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn lists_of_sessions_go_on_where_they_stopped() {
    let server = TestServer::start().await;
    server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    for n in 0..7 {
        server.outcome(&session("session.created", &format!("sess_{n}"), "user_1", T)).await;
    }
    // Another person with the same beginning is somebody else.
    server.outcome(&session("session.created", "sess_9", "user_11", T)).await;
    let token = token("user_1");
    for limit in [1, 3, 7, 500] {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("/api/users/user_1/sessions?limit={limit}{cursor}");
            let page = server.get_as(&token, &path).await.json();
            found.extend(ids(&page).into_iter().map(str::to_owned));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        let expected: Vec<String> = (0..7).rev().map(|n| format!("sess_{n}")).collect();
        assert_eq!(found, expected, "{limit}");
    }
    for bad in ["limit=0", "cursor=", "cursor=u00", "cursor=%ff", "user=1", "limit=5&limit=5"] {
        let answer = server.get_as(&token, &format!("/api/users/user_1/sessions?{bad}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
    }
}

#[tokio::test]
async fn organisations_and_members_are_for_admins() {
    let server = TestServer::start().await;
    server.outcome(&event("organization.created", T, &organization("org_1", "Acme", T))).await;
    server.outcome(&membership("orgmem_1", "org_1", "user_1", "org:member")).await;
    let boss = server.admin("user_boss").await;
    let shown = json!({
        "id": "org_1", "name": "Acme", "slug": "acme", "image_url": "https://img.example.org/acme", "members_count": 2,
        "max_allowed_memberships": 25, "created_by": "user_1", "public_metadata": { "tier": "gold" },
        "private_metadata": { "note": "x" }, "created_at": "2025-06-15T15:06:40.000Z",
        "updated_at": "2025-06-15T15:06:40.000Z", "source": "organization",
    });
    let list = server.get_as(&boss, "/api/organizations").await.json();
    assert_eq!(list, json!({ "items": [shown], "next_cursor": null }));
    assert_eq!(server.get_as(&boss, "/api/organizations/org_1").await.json(), shown);
    let member = json!({
        "id": "orgmem_1", "organization_id": "org_1", "role": "org:member", "role_name": "Member",
        "permissions": ["org:charts:read"], "public_metadata": {}, "private_metadata": {},
        "user": {
            "id": our_id("user_1"), "clerk_user_id": "user_1", "identifier": "ann@example.org", "username": "ann",
            "first_name": "Ann", "last_name": "Tester", "image_url": "https://img.example.org/ann",
        },
        "created_at": "2025-06-15T15:06:40.000Z", "updated_at": "2025-06-15T15:06:40.000Z",
    });
    let members = server.get_as(&boss, "/api/organizations/org_1/members").await.json();
    assert_eq!(members, json!({ "items": [member], "next_cursor": null }));

    let entries = server.entries().await;
    let look = |action: &str| entries.iter().find(|entry| entry.leaf.action == action).unwrap();
    assert_eq!(look("organizations.listed").leaf.count, Some(1));
    assert_eq!(look("organization.read").leaf.target.as_deref(), Some("organization:org_1"));
    assert_eq!(look("members.listed").leaf.target.as_deref(), Some("organization:org_1"));
    assert_eq!(look("members.listed").detail.as_ref().unwrap()["members"], json!(["user_1"]));

    for path in ["/api/organizations", "/api/organizations/org_1", "/api/organizations/org_1/members"] {
        assert_eq!(server.get(path).await.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(server.get_as(&token("user_1"), path).await.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(server.get_as(&boss, &format!("{path}?x=1")).await.status, StatusCode::BAD_REQUEST, "{path}");
    }
    for path in ["/api/organizations/org_2", "/api/organizations/org_2/members"] {
        assert_eq!(server.get_as(&boss, path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_member_may_come_before_the_organisation() {
    let server = TestServer::start().await;
    let boss = server.admin("user_boss").await;
    server.outcome(&membership("orgmem_2", "org_1", "user_2", "org:admin")).await;
    server.outcome(&membership("orgmem_1", "org_1", "user_1", "org:member")).await;
    let early = server.get_as(&boss, "/api/organizations/org_1").await.json();
    assert_eq!((&early["name"], &early["source"]), (&"As of the membership".into(), &"membership".into()));
    let members = "/api/organizations/org_1/members";
    assert_eq!(ids(&server.get_as(&boss, members).await.json()), ["orgmem_2", "orgmem_1"]);
    assert_eq!(ids(&server.get_as(&boss, "/api/organizations").await.json()), Vec::<&str>::new());

    server.outcome(&event("organization.created", T, &organization("org_1", "Acme", T))).await;
    let own = server.get_as(&boss, "/api/organizations/org_1").await.json();
    assert_eq!((&own["name"], &own["source"]), (&"Acme".into(), &"organization".into()));
    assert_eq!(ids(&server.get_as(&boss, members).await.json()), ["orgmem_2", "orgmem_1"]);

    let gone = json!({ "object": "organization_membership", "id": "orgmem_2", "deleted": true });
    server.outcome(&event("organizationMembership.deleted", T + 1, &gone)).await;
    assert_eq!(ids(&server.get_as(&boss, members).await.json()), ["orgmem_1"]);
    // Nobody in it any more, and still an organisation.
    let gone = json!({ "object": "organization_membership", "id": "orgmem_1", "deleted": true });
    server.outcome(&event("organizationMembership.deleted", T + 1, &gone)).await;
    let nobody = server.get_as(&boss, members).await;
    assert_eq!((nobody.status, ids(&nobody.json())), (StatusCode::OK, Vec::new()));
}

#[tokio::test]
async fn a_deleted_organisation_is_gone() {
    let server = TestServer::start().await;
    let boss = server.admin("user_boss").await;
    for n in 0..6 {
        let id = format!("org_{n}");
        server.outcome(&event("organization.created", T, &organization(&id, "Acme", T))).await;
        server.outcome(&membership(&format!("orgmem_{n}"), &id, "user_1", "org:member")).await;
    }
    for n in [1, 2, 5] {
        let gone = json!({ "object": "organization", "id": format!("org_{n}"), "slug": "acme", "deleted": true });
        server.outcome(&event("organization.deleted", T + 1, &gone)).await;
    }
    for path in ["/api/organizations/org_1", "/api/organizations/org_1/members"] {
        assert_eq!(server.get_as(&boss, path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    for limit in [1, 2, 3, 500] {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = server.get_as(&boss, &format!("/api/organizations?limit={limit}{cursor}")).await.json();
            found.extend(ids(&page).into_iter().map(str::to_owned));
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(found, ["org_4", "org_3", "org_0"], "{limit}");
    }
}

#[tokio::test]
async fn sessions_of_somebody_deleted_are_still_an_admins_to_read() {
    let server = TestServer::start().await;
    server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    server.outcome(&session("session.created", "sess_1", "user_1", T)).await;
    server.outcome(&deleted_event("user_1", T + 1)).await;
    let boss = server.admin("user_boss").await;
    assert_eq!(ids(&server.get_as(&boss, "/api/users/user_1/sessions").await.json()), ["sess_1"]);
}
