//! Targets that are called to create, update and delete users: which calls are made of which events, and in whose name.

use rollbook::clock::Clock;
use rollbook::stand_in::StandIn;
use rollbook::target::{Kind, Target};
use serde_json::{Value, json};

use crate::common::{TestServer, deleted_event, token, user_event};
use crate::receiver::{Call, Receiver};
use crate::{NEAR, T, add, events, start, until};

fn calls_at(url: &str) -> Target {
    Target { kind: Kind::Api, ..events("app", &format!("{url}/api")) }
}

fn lines(calls: &[Call]) -> Vec<String> {
    calls.iter().map(Call::line).collect()
}

fn session(kind: &str, id: &str, user: &str, status: &str, at: i64) -> Value {
    json!({
        "type": kind, "object": "event", "timestamp": at, "instance_id": "ins_test",
        "data": {
            "object": "session", "id": id, "user_id": user, "status": status, "created_at": at, "updated_at": at,
            "last_active_at": at, "client_id": "client_1", "actor": null,
            "expire_at": 4_000_000_000_000_i64, "abandon_at": 4_000_000_000_000_i64,
        },
    })
}

#[tokio::test]
async fn users_are_created_updated_and_deleted_by_the_calls_for_it() {
    let (server, receiver) = (start().await, Receiver::start().await);
    add(&server, calls_at(&receiver.url)).await;
    for (event, calls) in [
        (user_event("user.created", "user_1", T, "Ann"), &["POST /api/users"][..]),
        (user_event("user.updated", "user_1", T + 10, "Beth"), &["PATCH /api/users/user_1"]),
        // What changed nothing here changes nothing there: older, the same, of other things.
        (user_event("user.updated", "user_1", T + 5, "Zoe"), &[]),
        (user_event("user.updated", "user_1", T + 20, "Beth"), &[]),
        (session("session.created", "sess_1", "user_1", "active", T + 30), &[]),
        (deleted_event("user_1", T + 40), &["DELETE /api/users/webhook/user_1"]),
        (user_event("user.created", "user_2", T, "Cid"), &["POST /api/users"]),
    ] {
        let before = receiver.calls().len();
        server.outcome(&event).await;
        until(&server, "app", |status| status.behind == 0).await;
        assert_eq!(lines(&receiver.calls()[before..]), calls, "{event}");
    }
    let calls = receiver.calls();
    assert!(calls.iter().all(|call| call.is_genuine && call.header("authorization").is_empty()), "{calls:?}");
    assert!(
        calls.iter().all(|call| call.header("svix-id").starts_with("evt_") && call.header("webhook-id").is_empty())
    );
    let of_ann = json!({
        "clerk_user_id": "user_1", "email": "user_1@example.org", "first_name": "Ann", "last_name": "Tester",
        "username": null, "image_url": null,
    });
    assert_eq!(calls[0].json(), of_ann);
    assert_eq!(calls[1].json()["first_name"], "Beth");
    let of_deletion = json!({
        "data": { "deleted": true, "id": "user_1", "object": "user" }, "object": "event", "timestamp": T + 40,
        "type": "user.deleted",
    });
    assert_eq!(calls[2].json(), of_deletion);
}

#[tokio::test]
async fn somebody_known_by_a_token_alone_is_created_too() {
    let (server, receiver) = (start().await, Receiver::start().await);
    add(&server, calls_at(&receiver.url)).await;
    server.get_as(&token("user_new"), "/api/auth/me").await;
    let calls = receiver.after(1).await;
    assert_eq!((calls[0].line().as_str(), &calls[0].json()["clerk_user_id"]), ("POST /api/users", &"user_new".into()));
}

#[tokio::test]
async fn an_id_that_leads_elsewhere_is_never_told() {
    let (server, receiver) = (start().await, Receiver::start().await);
    add(&server, calls_at(&receiver.url)).await;
    for (n, id) in [".", ".."].into_iter().enumerate() {
        server.outcome(&user_event("user.created", id, T, "Dot")).await;
        server.outcome(&user_event("user.updated", id, T + 10, "Dots")).await;
        server.outcome(&deleted_event(id, T + 20)).await;
        server.outcome(&user_event("user.created", &format!("user_{n}"), T, "Ann")).await;
    }
    until(&server, "app", |status| status.behind == 0).await;
    assert_eq!(lines(&receiver.calls()), ["POST /api/users", "POST /api/users"]);
}

#[tokio::test]
async fn an_answer_can_mean_that_it_is_done_already() {
    let (server, receiver) = (start().await, Receiver::start().await);
    receiver.say(|call| match call.line().split(' ').next() {
        Some("POST") => Some((409, "", "is there")),
        _ => Some((404, "", "is not there")),
    });
    add(&server, calls_at(&receiver.url)).await;
    server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    server.outcome(&user_event("user.updated", "user_1", T + 10, "Beth")).await;
    until(&server, "app", |status| status.behind == 0).await;
    server.outcome(&deleted_event("user_1", T + 40)).await;
    let calls = receiver.after(4).await;
    let expected =
        ["POST /api/users", "PATCH /api/users/user_1", "POST /api/users", "DELETE /api/users/webhook/user_1"];
    assert_eq!(lines(&calls), expected);
    until(&server, "app", |status| status.behind == 0 && status.course.delivered == 3).await;
    assert_eq!(calls[1].header("svix-id"), calls[2].header("svix-id"));
}

#[tokio::test]
async fn whoever_is_deleted_meanwhile_is_not_created_any_more() {
    let (server, receiver) = (start().await, Receiver::start().await);
    add(&server, calls_at(&receiver.url)).await;
    server.app.forwarder.pause(crate::name("app"), crate::by()).await.unwrap();
    server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    server.outcome(&user_event("user.updated", "user_1", T + 1, "Beth")).await;
    server.outcome(&deleted_event("user_1", T + 2)).await;
    server.app.forwarder.resume(crate::name("app"), crate::by()).await.unwrap();
    until(&server, "app", |status| status.behind == 0).await;
    assert_eq!(lines(&receiver.calls()), ["DELETE /api/users/webhook/user_1"]);
}

#[tokio::test]
async fn a_target_of_calls_can_be_told_some_types_alone() {
    let (server, receiver) = (start().await, Receiver::start().await);
    add(&server, Target { types: "user.created,user.deleted".parse().unwrap(), ..calls_at(&receiver.url) }).await;
    server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    server.outcome(&user_event("user.updated", "user_1", T + 10, "Beth")).await;
    server.outcome(&deleted_event("user_1", T + 40)).await;
    until(&server, "app", |status| status.behind == 0).await;
    assert_eq!(lines(&receiver.calls()), ["POST /api/users", "DELETE /api/users/webhook/user_1"]);
}

#[tokio::test]
async fn calls_carry_a_token_of_the_users_newest_active_session_or_wait_for_one() {
    let clerk = StandIn::start("ins_test", Clock::system()).await.unwrap();
    let settings = [
        NEAR,
        ("CLERK_SECRET_KEY", clerk.secret_key()),
        ("CLERK_API_URL", &clerk.url),
        ("ROLLBOOK_SYNC_INTERVAL", "off"),
    ];
    let (server, receiver) = (TestServer::with(&settings).await, Receiver::start().await);
    add(&server, Target { bearer: true, ..calls_at(&receiver.url) }).await;
    let deliver = async |event: Value| {
        clerk.apply(&event).unwrap();
        server.outcome(&event).await;
        until(&server, "app", |status| status.behind == 0).await;
    };
    deliver(user_event("user.created", "user_1", T, "Ann")).await;
    assert_eq!(receiver.calls().len(), 0, "nobody can speak for them yet");
    deliver(session("session.created", "sess_b", "user_1", "active", T + 10)).await;
    deliver(session("session.created", "sess_a", "user_1", "active", T + 20)).await;
    deliver(session("session.created", "sess_c", "user_1", "active", T + 15)).await;
    deliver(user_event("user.updated", "user_1", T + 30, "Beth")).await;
    deliver(session("session.ended", "sess_a", "user_1", "ended", T + 40)).await;
    deliver(user_event("user.updated", "user_1", T + 50, "Cleo")).await;
    let mut acted = session("session.created", "sess_z", "user_1", "active", T + 60);
    acted["data"]["actor"] = json!({ "sub": "user_support" });
    deliver(acted).await;
    // Ended, and we have not heard of it yet.
    clerk.apply(&deleted_event("user_1", T + 70)).unwrap();
    server.outcome(&user_event("user.updated", "user_1", T + 70, "Dora")).await;
    until(&server, "app", |status| status.behind == 0).await;
    server.outcome(&deleted_event("user_1", T + 80)).await;
    until(&server, "app", |status| status.behind == 0).await;
    let said: Vec<(String, String)> = receiver.calls().iter().map(|call| (call.line(), of_session(call))).collect();
    let said: Vec<(&str, &str)> = said.iter().map(|(line, session)| (line.as_str(), session.as_str())).collect();
    let (create, update) = ("POST /api/users", "PATCH /api/users/user_1");
    let expected = [
        (create, "sess_b"),
        (create, "sess_a"),
        (create, "sess_a"),
        (update, "sess_a"),
        (update, "sess_c"),
        (create, "sess_c"),
        ("DELETE /api/users/webhook/user_1", ""),
    ];
    assert_eq!(said, expected);
    for call in receiver.calls().iter().filter(|call| !call.header("authorization").is_empty()) {
        let claims = claims(call);
        let life = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
        assert!(claims["sub"] == "user_1" && life == 60, "{claims}");
    }
}

/// What the token says that a call carries.
fn claims(call: &Call) -> Value {
    use base64::Engine as _;
    let token = call.header("authorization").strip_prefix("Bearer ").unwrap();
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&claims).unwrap()
}

fn of_session(call: &Call) -> String {
    if call.header("authorization").is_empty() {
        return String::new();
    }
    claims(call)["sid"].as_str().unwrap().to_owned()
}
