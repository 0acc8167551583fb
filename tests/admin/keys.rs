//! API keys on the page: made after the password was asked again, shown once, revoked by a button.

use rollbook::api_key::{ApiKey, Scope, Scopes, Wanted};
use rollbook::audit::{Actor, Draft, Source};

use super::site::{Answer, MINUTE, PASSWORD, Site};

const DAY: i64 = 24 * 60 * MINUTE;

fn form<'a>(name: &'a str, days: &'a str, scopes: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    let mut form = vec![("name", name), ("days", days), ("password", PASSWORD)];
    form.extend(scopes.iter().map(|scope| (*scope, "yes")));
    form
}

async fn keys(site: &Site) -> Vec<ApiKey> {
    site.app.store.api_keys().await.unwrap()
}

/// The secret that the page shows, which it does once.
fn secret(page: &Answer) -> String {
    let (_, rest) = page.body.split_once("<pre class=\"command\"").unwrap_or_else(|| panic!("{}", page.body));
    let (_, rest) = rest.split_once("<code>").unwrap();
    let secret = rest.split_once("</code>").unwrap().0.to_owned();
    assert!(secret.starts_with("rbk_") && secret.len() == 47, "{secret}");
    assert_eq!(page.body.matches(&secret[4..]).count(), 1);
    secret
}

async fn status(site: &Site, secret: &str, path: &str) -> u16 {
    let bearer = format!("Bearer {secret}");
    site.send(reqwest::Method::GET, path, None, &[("authorization", &bearer)], None).await.status
}

#[tokio::test]
async fn a_key_is_shown_once_works_and_is_revoked() {
    let (site, cookie) = Site::with_admin().await;
    let page = site.get("/admin/keys", Some(&cookie)).await;
    assert!(page.body.contains("There are no keys yet.") && page.body.contains("aria-current=\"page\">API keys"));
    for scope in Scope::ALL {
        assert!(page.body.contains(&format!("name=\"{scope}\" type=\"checkbox\"")), "{scope}");
    }
    assert!(page.body.contains("<option value=\"90\" selected>"), "{}", page.body);

    let made =
        site.post("/admin/keys", Some(&cookie), &form("<b>billing</b>", "30", &["users:read", "log:read"])).await;
    assert_eq!((made.status, made.header("cache-control")), (200, "no-store"));
    let secret = secret(&made);
    assert!(made.body.contains("&#60;b&#62;billing") && made.body.contains("it is not shown again"));
    let key = keys(&site).await.pop().unwrap();
    assert_eq!((key.name.as_str(), key.created_by.as_str()), ("<b>billing</b>", "admin:ada"));
    assert_eq!(key.scopes.to_string(), "users:read log:read");
    assert_eq!(key.expires_at, Some(site.clock.now().plus_millis(30 * DAY)));
    let entry = site.newest("key.created").await;
    assert_eq!((entry.leaf.actor.as_str(), entry.leaf.target), ("admin:ada", Some(format!("key:{}", key.id))));

    assert_eq!(status(&site, &secret, "/api/users").await, 200);
    assert_eq!(status(&site, &secret, "/api/audit").await, 403);
    for path in ["/admin/keys", "/admin/audit", "/admin"] {
        let page = site.get(path, Some(&cookie)).await;
        assert!(!page.body.contains("rbk_") && !page.body.contains(&secret[4..]), "{path}");
        assert!(!page.body.contains("<b>billing"), "{path}");
        assert_eq!(page.body.contains(&format!("API key {}", key.id)), path != "/admin/keys", "{path}: the actor");
    }
    let page = site.get("/admin/keys", Some(&cookie)).await.body;
    assert!(page.contains(">active<") && page.contains("just now") && page.contains("by ada"), "{page}");

    let revoke = format!("/admin/keys/{}/revoke", key.id);
    assert!(page.contains(&format!("action=\"{revoke}\"")));
    let done = site.post(&revoke, Some(&cookie), &[]).await;
    assert_eq!((done.status, done.location()), (303, "/admin/keys"), "{}", done.body);
    assert_eq!(status(&site, &secret, "/api/users").await, 401);
    let page = site.get("/admin/keys", Some(&cookie)).await.body;
    assert!(page.contains(">revoked<") && !page.contains(&revoke), "{page}");
    assert_eq!(site.newest("key.revoked").await.leaf.actor, "admin:ada");
}

#[tokio::test]
async fn of_many_keys_the_newest_that_work_are_shown_and_the_others_folded() {
    let (site, cookie) = Site::with_admin().await;
    let make = async |n: usize| {
        let (name, scopes) =
            (format!("{n:02}{}", "<".repeat(62)).parse().unwrap(), Scopes::new([Scope::UsersRead]).unwrap());
        let entry = Draft::new("key.created", Actor::Cli, Source::Cli);
        site.app.store.create_api_key(Wanted { name, scopes, expires_at: None }, entry).await.unwrap().0.id
    };
    let revoke = async |id| {
        let entry = Draft::new("key.revoked", Actor::Cli, Source::Cli);
        site.app.store.revoke_api_key(id, entry).await.unwrap()
    };
    let shown = async || site.get("/admin/keys", Some(&cookie)).await.body;
    for n in 0..48 {
        make(n).await;
    }
    let first = keys(&site).await.pop().unwrap().id;
    revoke(first.clone()).await;
    let page = shown().await;
    let (working, spent) = page.split_once("<summary>1 revoked or expired</summary>").unwrap();
    assert!(spent.contains(first.as_str()) && !working.contains(first.as_str()), "{page}");
    assert!(!page.contains("more: <code>rollbook keys list"), "{page}");
    for n in 48..60 {
        make(n).await;
    }
    let page = shown().await;
    assert_eq!(page.matches(">active<").count(), 50);
    assert!(page.contains("And 10 more: <code>rollbook keys list") && !page.contains(first.as_str()), "{page}");

    let long = "<".repeat(9_000);
    let refused = site.post("/admin/keys", Some(&cookie), &form(&long, "30", &["users:read"])).await;
    assert!(refused.status == 400 && refused.body.len() < page.len() + 1024, "{}", refused.body.len());
}

#[tokio::test]
async fn no_key_is_made_without_the_password_a_session_and_our_own_form() {
    let (site, cookie) = Site::with_admin().await;
    let right = form("a", "90", &["users:read"]);
    for headers in [&[("sec-fetch-site", "cross-site")][..], &[("origin", "https://evil.example")], &[]] {
        assert_eq!(site.post_with("/admin/keys", Some(&cookie), headers, &right).await.status, 403);
    }
    assert_eq!(site.post("/admin/keys", None, &right).await.status, 401);
    for (bad, told) in [
        (form("", "90", &["users:read"]), "its name is 1 to 64 characters"),
        (form("a\nb", "90", &["users:read"]), "its name is 1 to 64 characters"),
        (form("a", "90", &[]), "tick at least one"),
        (form("a", "91", &["users:read"]), "choose how long"),
        (form("a", "-1", &["users:read"]), "A field of the form"),
        (form("a", "90", &["users:all"]), "A field of the form"),
        (form("a", "90", &["users:read", "users:read"]), "A field of the form"),
    ] {
        let page = site.post("/admin/keys", Some(&cookie), &bad).await;
        assert!(page.status == 400 && page.body.contains(told), "{bad:?}: {}", page.body);
        assert!(!page.body.contains(PASSWORD));
    }
    assert_eq!(site.get("/admin/keys?name=x", Some(&cookie)).await.status, 400);

    let mut wrong = form("the name typed", "365", &["log:read"]);
    wrong[2].1 = "not the password";
    let page = site.post("/admin/keys", Some(&cookie), &wrong).await;
    assert!(page.status == 403 && page.body.contains("No key was made."), "{}", page.body);
    for kept in [
        "value=\"the name typed\"",
        "value=\"365\" selected",
        "name=\"log:read\" type=\"checkbox\" value=\"yes\" checked",
    ] {
        assert!(page.body.contains(kept), "{kept}: {}", page.body);
    }
    assert!(!page.body.contains("not the password"));
    for _ in 0..4 {
        assert_eq!(site.post("/admin/keys", Some(&cookie), &wrong).await.status, 403);
    }
    assert_eq!(
        site.post("/admin/keys", Some(&cookie), &right).await.status,
        429,
        "wrong passwords count with the others"
    );
    assert!(keys(&site).await.is_empty());
}

#[tokio::test]
async fn only_an_admin_revokes_and_only_what_there_is() {
    let (site, cookie) = Site::with_admin().await;
    let made = site.post("/admin/keys", Some(&cookie), &form("a", "0", &["metrics:read"])).await;
    assert!(made.body.contains("it is revoked"), "{}", made.body);
    let id = keys(&site).await.pop().unwrap().id;
    let revoke = format!("/admin/keys/{id}/revoke");
    assert_eq!(site.post(&revoke, None, &[]).await.status, 401);
    assert_eq!(site.post_with(&revoke, Some(&cookie), &[("sec-fetch-site", "cross-site")], &[]).await.status, 403);
    assert_eq!(site.get(&revoke, Some(&cookie)).await.status, 405);
    assert_eq!(site.post(&revoke, Some(&cookie), &[("more", "x")]).await.status, 400);
    for nobody in ["/admin/keys/key_0000000000000000/revoke", "/admin/keys/nonsense/revoke"] {
        assert_eq!(site.post(nobody, Some(&cookie), &[]).await.status, 404);
    }
    assert_eq!(keys(&site).await.pop().unwrap().revoked_at, None);

    // A key in the wrong hands is stopped also while nothing else is written.
    site.app.store.refuse_writes(rollbook::audit::Doubt::NoMark);
    assert_eq!(site.post("/admin/keys", Some(&cookie), &form("b", "0", &["log:read"])).await.status, 503);
    assert_eq!(site.post(&revoke, Some(&cookie), &[]).await.status, 303);
    assert!(keys(&site).await.pop().unwrap().revoked_at.is_some());
}
