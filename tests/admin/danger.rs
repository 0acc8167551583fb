//! Erasing somebody from the page, and asking whether an address was ever on file.

use rollbook::audit::{Actor, Entry, Source};
use rollbook::forward::Start;
use rollbook::store::By;
use rollbook::target::{Kind, Target};
use serde_json::json;

use super::site::{MINUTE, PASSWORD, Site, sign_in};

const T: i64 = 1_716_883_200_000;

async fn add_ann(site: &Site) -> String {
    let address = json!([{ "id": "e", "email_address": "ann@example.org" }]);
    let ann = json!({ "first_name": "Ann", "primary_email_address_id": "e", "email_addresses": address });
    site.add_user("user_Ann", &ann).await
}

async fn delete_ann(site: &Site) {
    let event = json!({ "type": "user.deleted", "data": { "id": "user_Ann", "deleted": true }, "timestamp": T });
    site.deliver("msg_deleted", &event.to_string()).await;
}

fn form<'a>(password: &'a str, reason: &'a str) -> [(&'a str, &'a str); 2] {
    [("password", password), ("reason", reason)]
}

#[tokio::test]
async fn somebody_is_erased_after_the_password_was_asked_again() {
    let (site, cookie) = Site::with_admin().await;
    let user = add_ann(&site).await;
    site.add_user("user_Bob", &json!({ "public_metadata": { "manager": "user_Ann" } })).await;
    delete_ann(&site).await;
    let erase = format!("{user}/erase");
    let page = site.get(&user, Some(&cookie)).await;
    assert!(page.body.contains(&format!("href=\"{erase}\"")), "{}", page.body);

    let page = site.get(&erase, Some(&cookie)).await;
    assert_eq!(page.status, 200);
    for text in
        ["Erase <bdi>Ann</bdi>?", "The record", "entries’ details", "named: in records", "HIPAA", "current-password"]
    {
        assert!(page.body.contains(text), "{text}: {}", page.body);
    }
    assert!(!page.body.contains("name=\"live\""));
    assert_eq!(site.newest("user.read").await.target_user.unwrap().as_str(), "user_Ann");

    let done = site.post(&erase, Some(&cookie), &form(PASSWORD, "asked by letter")).await;
    assert_eq!(done.status, 200, "{}", done.body);
    assert!(done.body.contains("1 mention in"), "{}", done.body);
    assert!(done.body.contains("<h1>Erased</h1>") && !done.body.contains("Ann") && !done.body.contains("user_"));
    assert_eq!(site.get(&user, Some(&cookie)).await.status, 404);
    assert_eq!(site.get(&erase, Some(&cookie)).await.status, 404);
    assert_eq!(site.post(&erase, Some(&cookie), &form(PASSWORD, "")).await.status, 404);
    let entry = site.newest("user.erased").await;
    assert_eq!((entry.leaf.actor.as_str(), entry.target_user), ("admin:ada", None));
    let log = site.get("/admin/audit?action=user.erased", Some(&cookie)).await;
    assert!(log.body.contains("an erased person"), "{}", log.body);
    let says_why = |entry: &Entry| entry.detail.as_ref().is_some_and(|detail| detail.contains_key("reason"));
    let seq = site.entries().await.into_iter().find(says_why).unwrap().seq;
    let one = site.get(&format!("/admin/audit/{seq}"), Some(&cookie)).await;
    assert!(one.body.contains("asked by letter"), "{}", one.body);
    assert_eq!(site.user("user_Bob").clerk.fields().object("public_metadata").text("manager").unwrap(), "[erased]");
}

#[tokio::test]
async fn nobody_is_erased_without_the_password_a_session_and_our_own_form() {
    let (site, cookie) = Site::with_admin().await;
    let user = add_ann(&site).await;
    delete_ann(&site).await;
    let erase = format!("{user}/erase");
    let right = form(PASSWORD, "");
    let is_there = || site.app.store.counts().deleted == 1;

    for headers in [&[("sec-fetch-site", "cross-site")][..], &[("origin", "https://evil.example")], &[]] {
        assert_eq!(site.post_with(&erase, Some(&cookie), headers, &right).await.status, 403);
    }
    assert_eq!(site.post(&erase, None, &right).await.status, 401);
    assert_eq!(site.get(&erase, None).await.location(), format!("/admin/sign-in?next={user}"));
    for bad in [&[("reason", "")][..], &[("password", PASSWORD), ("more", "x")]] {
        assert_eq!(site.post(&erase, Some(&cookie), bad).await.status, 400, "{bad:?}");
    }
    assert_eq!(site.get(&format!("{erase}?password=x"), Some(&cookie)).await.status, 400);
    let telling = site.post(&erase, Some(&cookie), &form(PASSWORD, "ann@example.org asked")).await;
    assert!(telling.status == 400 && telling.body.contains("The reason names the person"), "{}", telling.body);
    for nobody in ["/admin/users/user_Nobody/erase", "/admin/users/a b/erase"] {
        assert_eq!(site.get(nobody, Some(&cookie)).await.status, 404);
    }

    // Wrong passwords count with those of the sign-in.
    for n in 0..5 {
        let wrong = site.post(&erase, Some(&cookie), &form("not the password", "because")).await;
        assert!(wrong.status == 403 && wrong.body.contains("That is not your password"), "{n}: {}", wrong.body);
        assert!(wrong.body.contains("value=\"because\"") && !wrong.body.contains("not the password"));
    }
    let held = site.post(&erase, Some(&cookie), &right).await;
    assert_eq!((held.status, held.header("retry-after")), (429, "900"));
    assert_eq!(site.post("/admin/sign-in", None, &sign_in("ada", PASSWORD)).await.status, 429);
    assert!(is_there());

    site.later(15 * MINUTE);
    assert_eq!(site.post(&erase, Some(&cookie), &right).await.status, 401, "a session that has gone stale");
    assert!(is_there());
    let cookie = site.post("/admin/sign-in", None, &sign_in("ada", PASSWORD)).await.cookie();
    assert_eq!(site.post(&erase, Some(&cookie), &right).await.status, 200);
    assert!(!is_there());
}

#[tokio::test]
async fn who_is_still_at_clerk_is_erased_only_when_that_is_ticked() {
    let (site, cookie) = Site::with_admin().await;
    let erase = format!("{}/erase", add_ann(&site).await);
    let page = site.get(&erase, Some(&cookie)).await;
    assert!(page.body.contains("name=\"live\"") && page.body.contains("Clerk has not deleted this person"));
    let refused = site.post(&erase, Some(&cookie), &form(PASSWORD, "")).await;
    assert!(
        refused.status == 400
            && refused.body.contains("Nothing was erased: tick the box, or delete them at Clerk first.")
    );
    let ticked = [("password", PASSWORD), ("reason", ""), ("live", "yes")];
    assert_eq!(site.post(&erase, Some(&cookie), &ticked).await.status, 200);
    assert_eq!(site.app.store.counts().users, 0);
}

#[tokio::test]
async fn whom_a_target_is_still_to_be_told_of_is_erased_only_when_that_is_ticked() {
    let (site, cookie) = Site::with_admin().await;
    let by = By { actor: Actor::Cli, source: Source::Cli };
    let target = Target {
        name: "crm".parse().unwrap(),
        url: "https://crm.invalid/".to_owned(),
        kind: Kind::Api,
        types: rollbook::audit::feed::Types::default(),
        bearer: false,
    };
    site.app.forwarder.add(target, None, Start::Now, by.clone()).await.unwrap();
    site.app.forwarder.pause("crm".parse().unwrap(), by).await.unwrap();
    let erase = format!("{}/erase", add_ann(&site).await);
    delete_ann(&site).await;
    let page = site.get(&erase, Some(&cookie)).await;
    assert!(page.body.contains("name=\"untold\"") && page.body.contains("told yet to: crm."), "{}", page.body);
    let refused = site.post(&erase, Some(&cookie), &form(PASSWORD, "")).await;
    assert!(refused.status == 400 && refused.body.contains("tick the box, or let the targets catch up first."));
    let ticked = [("password", PASSWORD), ("reason", ""), ("untold", "yes")];
    assert_eq!(site.post(&erase, Some(&cookie), &ticked).await.status, 200);
}

#[tokio::test]
async fn an_address_is_looked_up_by_a_form_that_puts_it_in_no_address_bar() {
    let (site, cookie) = Site::with_admin().await;
    let user = add_ann(&site).await;
    let users = site.get("/admin/users", Some(&cookie)).await;
    assert!(users.body.contains("method=\"post\" action=\"/admin/users/ever\""), "{}", users.body);
    let ask = async |value: &str| site.post("/admin/users/ever", Some(&cookie), &[("value", value)]).await;
    let found = ask(" ANN@example.org ").await;
    assert_eq!(found.status, 200);
    assert!(found.body.contains(&format!("href=\"{user}\"")) && found.body.contains(">now<"), "{}", found.body);
    let entry = site.newest("value.looked_up").await;
    assert_eq!((entry.leaf.actor.as_str(), entry.leaf.count), ("admin:ada", Some(1)));
    assert!(!format!("{entry:?}").to_lowercase().contains("ann@"));
    assert!(ask("<script>@x").await.body.contains("No. Nobody in the log"));
    assert!(!ask("<script>@x").await.body.contains("<script"));
    assert_eq!(ask(" ").await.status, 400);
    assert_eq!(site.get("/admin/users/ever", Some(&cookie)).await.status, 405);
    assert_eq!(site.post("/admin/users/ever", None, &[("value", "x")]).await.status, 401);
    let evil = [("sec-fetch-site", "cross-site")];
    assert_eq!(site.post_with("/admin/users/ever", Some(&cookie), &evil, &[("value", "x")]).await.status, 403);
}
