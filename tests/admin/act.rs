//! Signing in as somebody: who may be, what is said and noted, and that the link is seen once.

use reqwest::StatusCode;
use rollbook::clock::{Clock, Timestamp};
use rollbook::stand_in::StandIn;
use serde_json::{Value, json};

use crate::common::{clerk_id, sign};
use crate::jwks_server::JwksServer;

use super::site::{MINUTE, PASSWORD, Site};

const REASON: &str = "Ticket 4711: cannot see her bill";

/// A site that has Clerk's secret key, ada's cookie, and Clerk.
async fn house() -> (Site, String, StandIn) {
    let clerk = StandIn::start("ins_test", clock()).await.unwrap();
    let keys = format!("{}/.well-known/jwks.json", clerk.url);
    let site = Site::start_with(
        &[
            ("CLERK_SECRET_KEY", clerk.secret_key()),
            ("CLERK_API_URL", &clerk.url),
            ("CLERK_ISSUER", &clerk.url),
            ("CLERK_JWT_KEY", ""),
            ("CLERK_JWKS_URL", &keys),
        ],
        None,
    )
    .await;
    let cookie = site.set_up().await;
    (site, cookie, clerk)
}

fn clock() -> Clock {
    Clock::fixed(Timestamp::from_millis(sign::now_seconds() * 1000))
}

/// Somebody who is on the roll and at Clerk; our page of them.
async fn person(site: &Site, clerk: &StandIn, id: &str, particulars: &Value) -> String {
    let mut user = json!({ "id": id, "object": "user", "created_at": 1_716_883_200_000_i64 });
    user.as_object_mut().unwrap().extend(particulars.as_object().unwrap().clone());
    clerk.put_user(user.as_object().unwrap().clone()).unwrap();
    site.add_user(id, particulars).await
}

fn form<'a>(reason: &'a str, actor: &'a str, password: &'a str) -> [(&'static str, &'a str); 3] {
    [("reason", reason), ("actor", actor), ("password", password)]
}

/// The link on the page.
fn link(page: &str) -> String {
    let link = page.split("readonly").next().unwrap().rsplit("value=\"http").next().unwrap().split('"').next().unwrap();
    format!("http{}", link.replace("&#38;", "&"))
}

#[tokio::test]
async fn the_link_is_shown_once_and_kept_nowhere() {
    let (site, cookie, clerk) = house().await;
    let user = person(&site, &clerk, "user_1", &json!({ "first_name": "Grace" })).await;
    let page = site.get(&user, Some(&cookie)).await.body;
    assert!(page.contains(&format!("href=\"{user}/act\"")), "{page}");
    let asked = site.get(&format!("{user}/act"), Some(&cookie)).await;
    assert_eq!((asked.status, asked.header("cache-control")), (200, "no-store"));
    assert!(asked.body.contains("rollbook:admin:ada") && asked.body.contains("Sign in as <bdi>Grace</bdi>"));
    assert_eq!(clerk.requests(), 0, "looking asks nobody");

    let made = site.post(&format!("{user}/act"), Some(&cookie), &form(REASON, "", PASSWORD)).await;
    assert_eq!((made.status, made.header("cache-control")), (200, "no-store"), "{}", made.body);
    let link = link(&made.body);
    assert!(
        made.body
            .contains(&format!("<a class=\"second\" href=\"{link}\" target=\"_blank\" rel=\"noreferrer noopener\">"))
    );
    let entry = site.newest("actor_token.created").await;
    assert_eq!((entry.leaf.actor.as_str(), entry.target_user), ("admin:ada", Some(clerk_id("user_1"))));
    let detail = entry.detail.unwrap();
    assert_eq!((&detail["reason"], &detail["actor"]), (&json!(REASON), &json!("rollbook:admin:ada")));
    assert!(detail["actor_token"].as_str().unwrap().starts_with("act_"));

    let client = reqwest::Client::new();
    let opened = client.get(&link).send().await.unwrap();
    assert_eq!(opened.status(), StatusCode::OK);
    let token = opened.text().await.unwrap();
    let token = token.split(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))).find(|w| w.starts_with("eyJ"));
    let token = token.unwrap();
    assert_eq!(client.get(&link).send().await.unwrap().status(), StatusCode::GONE);
    // What is done in that session bears both names.
    let me = client.get(format!("{}/api/auth/me", site.origin())).bearer_auth(token).send().await.unwrap();
    assert_eq!(me.status(), StatusCode::OK);
    let read = site.newest("user.read").await;
    assert_eq!(read.impersonator_user, Some(clerk_id("rollbook:admin:ada")));
    let entry = site.get(&format!("/admin/audit/{}", read.seq), Some(&cookie)).await.body;
    assert!(
        entry.contains(
            "<dt>Really</dt><dd><a href=\"/admin/audit?subject=rollbook:admin:ada\"><bdi>admin ada</bdi></a>"
        ),
        "{entry}"
    );
    let found = site.get("/admin/audit?subject=rollbook:admin:ada", Some(&cookie)).await.body;
    assert!(found.contains("who was really <a href=\"/admin/audit?subject=rollbook:admin:ada\">"), "{found}");

    let ticket = link.split_once("ticket=").unwrap().1.to_owned();
    for path in ["/admin/audit", &user, &format!("{user}/act")] {
        assert!(!site.get(path, Some(&cookie)).await.body.contains(&ticket), "{path}");
    }
    let dir = site.stop().await;
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap_or_default();
        assert!(!bytes.windows(ticket.len()).any(|window| window == ticket.as_bytes()));
    }
}

#[tokio::test]
async fn a_colleague_may_act_by_their_own_id() {
    let (site, cookie, clerk) = house().await;
    let user = person(&site, &clerk, "user_1", &json!({})).await;
    let boss = person(&site, &clerk, "user_boss", &json!({ "first_name": "Mary" })).await;
    let ours = boss.rsplit('/').next().unwrap();
    for actor in ["user_boss", ours, " user_boss "] {
        let made = site.post(&format!("{user}/act"), Some(&cookie), &form(REASON, actor, PASSWORD)).await;
        assert_eq!(made.status, 200, "{}", made.body);
        let entry = site.newest("actor_token.created").await;
        assert_eq!(entry.detail.unwrap()["actor"], "user_boss");
        site.later(MINUTE);
    }
    let nobody = "0199c1a0-0000-7000-8000-000000000001";
    for actor in ["rollbook:admin:eve", "two words", nobody, "user_1"] {
        let refused = site.post(&format!("{user}/act"), Some(&cookie), &form(REASON, actor, PASSWORD)).await;
        assert_eq!(refused.status, 400, "{actor}");
        assert!(refused.body.contains("role=\"alert\"") && refused.body.contains("No link was made: "), "{actor}");
        assert!(refused.body.contains(REASON), "what was typed is still there");
    }
    assert_eq!(clerk.requests(), 3);
}

#[tokio::test]
async fn who_may_not_come_in_is_nobody_to_act_as() {
    let (site, cookie, clerk) = house().await;
    let banned = person(&site, &clerk, "user_banned", &json!({ "banned": true })).await;
    let deleted = person(&site, &clerk, "user_deleted", &json!({})).await;
    let body = json!({ "type": "user.deleted", "object": "event", "timestamp": 1_716_883_300_000_i64,
                       "data": { "id": "user_deleted", "object": "user", "deleted": true } });
    site.deliver("msg_deleted", &body.to_string()).await;
    for (user, reason) in [(&banned, "banned"), (&deleted, "deleted")] {
        assert!(!site.get(user, Some(&cookie)).await.body.contains("Sign in as…"), "{reason}");
        let refused = site.post(&format!("{user}/act"), Some(&cookie), &form(REASON, "", PASSWORD)).await;
        assert_eq!(refused.status, 400, "{reason}");
        assert!(refused.body.contains(&format!(
            "No link was made: this user {}",
            if reason == "banned" { "is banned" } else { "was deleted" }
        )));
        let entry = site.newest("actor_token.refused").await;
        assert_eq!((entry.leaf.outcome.as_str(), entry.leaf.reason.as_deref()), ("denied", Some(reason)));
        assert_eq!(entry.leaf.actor, "admin:ada");
    }
    for nobody in ["0199c1a0-0000-7000-8000-000000000001", "user_nobody"] {
        let path = format!("/admin/users/{nobody}/act");
        assert_eq!(site.get(&path, Some(&cookie)).await.status, 404);
        assert_eq!(site.post(&path, Some(&cookie), &form(REASON, "", PASSWORD)).await.status, 404);
    }
    let user = person(&site, &clerk, "user_1", &json!({})).await;
    for reason in ["", "  ", &"x".repeat(1001)] {
        let refused = site.post(&format!("{user}/act"), Some(&cookie), &form(reason, "", PASSWORD)).await;
        assert_eq!(refused.status, 400);
        assert!(
            refused
                .body
                .contains("<a href=\"#reason\">No link was made: give a reason (at most 1,000 characters).</a>")
        );
    }
    let empty = site.post(&format!("{user}/act"), Some(&cookie), &form("", "", "")).await;
    assert_eq!(empty.status, 403);
    for shown in
        ["<a href=\"#reason\">", "<a href=\"#password\">", "<title>Error: ", "aria-describedby=\"fault-reason "]
    {
        assert!(empty.body.contains(shown), "{shown}: {}", empty.body);
    }
    assert_eq!(clerk.requests(), 0, "Clerk is asked for none of this");
    // Whom Clerk has deleted meanwhile.
    clerk.delete_user("user_1");
    let refused = site.post(&format!("{user}/act"), Some(&cookie), &form(REASON, "", PASSWORD)).await;
    assert!(refused.status == 400 && refused.body.contains("Clerk has no such user any more"), "{}", refused.body);
}

#[tokio::test]
async fn what_clerk_refuses_is_said_in_plain_words() {
    let api = JwksServer::start("{}").await;
    let settings = [("CLERK_SECRET_KEY", "sk_test_0123456789"), ("CLERK_API_URL", api.url())];
    let site = Site::start_with(&settings, None).await;
    let cookie = site.set_up().await;
    let user = site.add_user("user_1", &json!({})).await;
    let error = |code: &str| format!("{{\"errors\":[{{\"code\":\"{code}\",\"message\":\"<b>Clerk</b>\"}}]}}");
    let made = json!({ "id": "act_1", "url": "javascript:alert(1)" }).to_string();
    for (line, body, status, word, said) in [
        (
            "402 Payment Required",
            error("feature_not_enabled"),
            400,
            "plan",
            "plan for this instance does not include it",
        ),
        ("422 Unprocessable Entity", error("impersonation_limit_exceeded"), 400, "limit", "is used up"),
        ("422 Unprocessable Entity", error("form_param_x"), 502, "refused", "refuses with 422: form_param_x"),
        ("401 Unauthorized", error("clerk_key_invalid"), 502, "key_refused", "refuses the secret key"),
        ("429 Too Many Requests", error("too_many_requests"), 502, "limited", "fewer requests"),
        ("503 Service Unavailable", String::new(), 502, "broken", "out of order"),
        ("200 OK", "[]".to_owned(), 502, "unreadable", "cannot be read"),
        ("200 OK", made, 502, "no_link", "gave no link to open"),
    ] {
        api.say(line, "", &body);
        let refused = site.post(&format!("{user}/act"), Some(&cookie), &form(REASON, "", PASSWORD)).await;
        assert_eq!(refused.status, status, "{line}: {}", refused.body);
        let shown = refused.body.replace("&#39;", "'");
        assert!(shown.contains(said) && shown.contains("role=\"alert\""), "{line}: {shown}");
        assert!(!shown.contains("<b>Clerk") && !shown.contains("javascript:"), "{shown}");
        let entry = site.newest("actor_token.refused").await;
        assert_eq!(entry.leaf.reason.as_deref(), Some(word), "{line}");
        assert_eq!(entry.leaf.outcome, if status == 400 { "denied" } else { "error" });
        assert_eq!(entry.detail.unwrap()["reason"], REASON);
        site.later(MINUTE);
    }
}

#[tokio::test]
async fn without_the_key_the_page_says_what_to_set() {
    let (site, cookie) = Site::with_admin().await;
    let user = site.add_user("user_1", &json!({})).await;
    let page = site.get(&user, Some(&cookie)).await.body;
    assert!(page.contains("set <code>CLERK_SECRET_KEY") && !page.contains(&format!("{user}/act")), "{page}");
    let page = site.get(&format!("{user}/act"), Some(&cookie)).await.body;
    assert!(page.contains("CLERK_SECRET_KEY") && !page.contains("type=\"password\""), "{page}");
    assert_eq!(site.post(&format!("{user}/act"), Some(&cookie), &form(REASON, "", PASSWORD)).await.status, 400);
}
