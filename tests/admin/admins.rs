//! Several admins: adding and removing them, their passwords, and where they are signed in.

use rollbook::audit::{Actor, Draft, Source};
use rollbook::store::{AdminError, AdminSession, Link};

use super::site::{Answer, MINUTE, PASSWORD, Site, setup, sign_in};

const OTHER: &str = "seven calm blue whales";

/// The token of the link that a page shows.
fn token(page: &Answer) -> String {
    assert_eq!(page.status, 200, "{}", page.body);
    let at = page.body.find("/admin/setup?token=").unwrap_or_else(|| panic!("{}", page.body)) + 19;
    page.body[at..][..43].to_owned()
}

/// Adds an admin who sets that password: the cookie of their session.
async fn add(site: &Site, cookie: &str, name: &str, password: &str) -> String {
    let link = site.post("/admin/admins", Some(cookie), &sign_in(name, PASSWORD)).await;
    let answer = site.post("/admin/setup", None, &setup(&token(&link), password)).await;
    assert_eq!(answer.status, 303);
    answer.cookie()
}

async fn is_in(site: &Site, cookie: &str) -> bool {
    site.get("/admin", Some(cookie)).await.status == 200
}

/// The fields of the form that changes a password.
fn change<'a>(current: &'a str, password: &'a str, again: &'a str) -> [(&'static str, &'a str); 3] {
    [("current", current), ("password", password), ("again", again)]
}

/// The id by which a form names the session of that admin's.
fn session_of(page: &Answer, admin: &str) -> String {
    let rows = page.body.split("<tr>").filter(|row| row.contains(&format!("<b>{admin}</b>")));
    let row = rows.filter(|row| row.contains("/end\"")).last().unwrap_or_else(|| panic!("{}", page.body));
    let at = row.find("/admin/sessions/").unwrap() + 16;
    row[at..][..16].to_owned()
}

#[tokio::test]
async fn an_admin_adds_another_by_a_link_shown_once() {
    let (site, ada) = Site::with_admin().await;
    for (name, says) in [("two words", "letters, digits"), ("..", "letters, digits"), ("ADA", "is on the list")] {
        let refused = site.post("/admin/admins", Some(&ada), &sign_in(name, PASSWORD)).await;
        assert!(refused.status == 400 && refused.body.contains(says), "{name}: {}", refused.body);
        assert!(refused.body.contains(&format!("value=\"{name}\"")) && !refused.body.contains(PASSWORD));
    }
    let link = token(&site.post("/admin/admins", Some(&ada), &sign_in("eve", PASSWORD)).await);
    let added = site.newest("admin.added").await.leaf;
    assert_eq!((added.actor.as_str(), added.target.as_deref()), ("admin:ada", Some("admin:eve")));
    let page = site.get("/admin/admins", Some(&ada)).await;
    assert!(page.body.contains("<b>eve</b>") && page.body.contains("has a link until"), "{}", page.body);
    assert!(!page.body.contains(&link));
    assert_eq!(site.post("/admin/sign-in", None, &sign_in("eve", OTHER)).await.status, 401, "no password yet");

    let eve = site.post("/admin/setup", None, &setup(&link, OTHER)).await.cookie();
    assert!(is_in(&site, &eve).await && is_in(&site, &ada).await);
    assert_eq!(site.newest("admin.password_set").await.leaf.actor, "admin:eve");
    let page = site.get("/admin/admins", Some(&eve)).await;
    assert!(page.body.contains("<b>eve</b> <span class=\"badge strong\">you</span>"), "{}", page.body);
    assert!(page.body.contains("<b>ada</b>") && !page.body.contains("has a link until"));
}

#[tokio::test]
async fn a_new_link_lets_another_set_the_password_anew() {
    let (site, ada) = Site::with_admin().await;
    let eve = add(&site, &ada, "eve", OTHER).await;
    let page = site.get("/admin/admins/eve/link", Some(&ada)).await;
    assert!(page.status == 200 && page.body.contains("Make a new link for"), "{}", page.body);
    let link = token(&site.post("/admin/admins/eve/link", Some(&ada), &[("password", PASSWORD)]).await);
    let minted = site.newest("admin.link_minted").await.leaf;
    assert_eq!((minted.actor.as_str(), minted.target.as_deref()), ("admin:ada", Some("admin:eve")));
    assert!(is_in(&site, &eve).await, "until it is used");
    assert_eq!(site.post("/admin/setup", None, &setup(&link, PASSWORD)).await.status, 303);
    assert!(!is_in(&site, &eve).await && is_in(&site, &ada).await);
    for path in ["/admin/admins/nobody/link", "/admin/admins/nobody/remove"] {
        assert_eq!(site.get(path, Some(&ada)).await.status, 404);
        assert_eq!(site.post(path, Some(&ada), &[("password", PASSWORD)]).await.status, 404);
    }
}

#[tokio::test]
async fn who_is_removed_is_out_at_once_and_for_good() {
    let (site, ada) = Site::with_admin().await;
    let eve = add(&site, &ada, "eve", OTHER).await;
    let link = token(&site.post("/admin/admins/eve/link", Some(&ada), &[("password", PASSWORD)]).await);
    let remove = "/admin/admins/eve/remove";
    assert!(site.get(remove, Some(&ada)).await.body.contains("signed out everywhere"));
    let done = site.post(remove, Some(&ada), &[("password", PASSWORD)]).await;
    assert_eq!((done.status, done.location()), (303, "/admin/admins?removed"));
    assert!(!is_in(&site, &eve).await);
    assert_eq!(site.post("/admin/admins", Some(&eve), &sign_in("mallory", OTHER)).await.status, 401);
    assert_eq!(site.post("/admin/sign-in", None, &sign_in("eve", OTHER)).await.status, 401);
    assert_eq!(site.post("/admin/setup", None, &setup(&link, OTHER)).await.status, 403, "their link too");
    assert!(site.app.store.admin("eve").unwrap().is_none());
    let removed = site.newest("admin.removed").await.leaf;
    assert_eq!((removed.actor.as_str(), removed.target.as_deref()), ("admin:ada", Some("admin:eve")));

    // Somebody who has a link and no password is taken off the list likewise.
    let link = token(&site.post("/admin/admins", Some(&ada), &sign_in("bob", PASSWORD)).await);
    assert_eq!(site.post("/admin/admins/bob/remove", Some(&ada), &[("password", PASSWORD)]).await.status, 303);
    assert_eq!(site.post("/admin/setup", None, &setup(&link, OTHER)).await.status, 403);
    assert!(!site.get("/admin/admins", Some(&ada)).await.body.contains("bob"));
}

#[tokio::test]
async fn a_link_goes_with_the_admin_who_made_it() {
    let (site, ada) = Site::with_admin().await;
    let eve = add(&site, &ada, "eve", OTHER).await;
    let by_eve = token(&site.post("/admin/admins", Some(&eve), &sign_in("mallory", OTHER)).await);
    let by_ada = token(&site.post("/admin/admins", Some(&ada), &sign_in("bob", PASSWORD)).await);
    assert_eq!(site.post("/admin/admins/eve/remove", Some(&ada), &[("password", PASSWORD)]).await.status, 303);
    assert_eq!(site.post("/admin/setup", None, &setup(&by_eve, OTHER)).await.status, 403);
    assert!(!site.get("/admin/admins", Some(&ada)).await.body.contains("mallory"));
    assert_eq!(site.post("/admin/setup", None, &setup(&by_ada, OTHER)).await.status, 303);
}

#[tokio::test]
async fn of_names_that_differ_in_case_only_one_is_there_however_they_come() {
    let (site, ada) = Site::with_admin().await;
    let add = async |name| site.post("/admin/admins", Some(&ada), &sign_in(name, PASSWORD)).await.status;
    let (one, two, three) = tokio::join!(add("dup"), add("DUP"), add("Dup"));
    assert_eq!([one, two, three].iter().filter(|status| **status == 200).count(), 1, "{one} {two} {three}");
    let links = site.app.store.admins().await.unwrap().links;
    assert_eq!(links.len(), 1, "{links:?}");

    // At the terminal as well; the name as it is written gets another link.
    let entry = || Draft::new("admin.link_minted", Actor::Cli, Source::Cli);
    let link = |admin: &str| Link { admin: admin.to_owned(), by: None, ..links[0].clone() };
    let other = site.app.store.put_link(None, [1; 32], link("Ada"), entry()).await;
    assert!(matches!(other, Err(AdminError::Taken)), "{other:?}");
    site.app.store.put_link(None, [1; 32], link("ada"), entry()).await.unwrap();
    site.later(25 * 60 * MINUTE);
    site.app.store.put_link(None, [2; 32], link("dUp"), entry()).await.unwrap();
}

#[tokio::test]
async fn the_page_stays_small_however_many_there_are_and_whatever_is_typed() {
    let (site, ada) = Site::with_admin().await;
    let (soon, agent) = (site.clock.now().plus_millis(MINUTE), "<".repeat(500));
    for n in 0..60_u8 {
        let link = Link { admin: format!("eve-{n:02}"), expires_at: soon, by: None };
        let entry = Draft::new("admin.link_minted", Actor::Cli, Source::Cli);
        site.app.store.put_link(None, [n; 32], link, entry).await.unwrap();
    }
    let curious = [("sec-fetch-site", "same-origin"), ("user-agent", agent.as_str())];
    assert_eq!(site.post_with("/admin/sign-in", None, &curious, &sign_in("ada", PASSWORD)).await.status, 303);
    let page = site.get("/admin/admins", Some(&ada)).await.body;
    assert!(page.contains("And 11 more, later in the alphabet.") && page.contains("eve-48"), "{page}");
    assert!(!page.contains("eve-49") && !page.contains(&"&#60;".repeat(20)), "{page}");

    let user = site.add_user("user_1", &serde_json::json!({})).await;
    let long = "<".repeat(4_500);
    let erase = [("password", OTHER), ("reason", long.as_str())];
    let given = [("role", long.as_str()), ("practice", &long), ("role_was", "USER"), ("practice_was", "")];
    for (path, form) in [
        ("/admin/admins", &sign_in(&long, PASSWORD)[..]),
        ("/admin/audit", &[("to", "1"), ("note", &long)]),
        (&user, &given),
        (&format!("{user}/erase"), &erase),
    ] {
        let before = site.get(path, Some(&ada)).await.body.len();
        let refused = site.post(path, Some(&ada), form).await;
        assert!(matches!(refused.status, 400 | 403), "{path}: {}", refused.status);
        assert!(refused.body.len() < before + 15_000, "{path}: {}", refused.body.len());
    }
}

#[tokio::test]
async fn nobody_removes_themselves_and_of_two_who_remove_each_other_one_stays() {
    let (site, ada) = Site::with_admin().await;
    let own = site.post("/admin/admins/ada/remove", Some(&ada), &[("password", PASSWORD)]).await;
    assert!(own.status == 400 && own.body.contains("You cannot remove yourself"), "{}", own.body);
    let eve = add(&site, &ada, "eve", OTHER).await;
    let (ada_did, eve_did) = tokio::join!(
        site.post("/admin/admins/eve/remove", Some(&ada), &[("password", PASSWORD)]),
        site.post("/admin/admins/ada/remove", Some(&eve), &[("password", OTHER)]),
    );
    let done = [ada_did.status, eve_did.status].iter().filter(|status| **status == 303).count();
    assert_eq!(done, 1, "{} {}", ada_did.status, eve_did.status);
    assert!(site.app.store.has_admin().unwrap());
}

#[tokio::test]
async fn a_changed_password_ends_every_other_session_and_renews_this_one() {
    let (site, here) = Site::with_admin().await;
    let there = site.post("/admin/sign-in", None, &sign_in("ada", PASSWORD)).await.cookie();
    let link = site.mint().await;
    let exact = "  zwölf grüne Bäume ☂ ";
    for (form, status, says) in [
        (change(PASSWORD, OTHER, "seven calm blue snails"), 400, "two different new passwords"),
        (change(PASSWORD, PASSWORD, PASSWORD), 400, "the password you have"),
        (change(PASSWORD, "eleven char", "eleven char"), 400, "too short"),
        (change(PASSWORD, "password1234", "password1234"), 400, "first passwords anybody would try"),
        (change(OTHER, exact, exact), 403, "not your current password"),
    ] {
        let refused = site.post("/admin/password", Some(&here), &form).await;
        assert!(refused.status == status && refused.body.contains(says), "{form:?}: {}", refused.body);
        assert!(!refused.body.contains(PASSWORD) && !refused.body.contains(form[1].1), "{form:?}");
    }
    assert!(is_in(&site, &here).await && is_in(&site, &there).await);

    site.later(1);
    let done = site.post("/admin/password", Some(&here), &change(PASSWORD, exact, exact)).await;
    assert_eq!((done.status, done.location()), (303, "/admin/admins?changed"));
    let renewed = done.cookie();
    assert_ne!(renewed, here);
    assert!(is_in(&site, &renewed).await && !is_in(&site, &here).await && !is_in(&site, &there).await);
    assert_eq!(site.post("/admin/setup", None, &setup(&link, OTHER)).await.status, 403, "older links end too");
    assert_eq!(site.newest("admin.password_changed").await.leaf.actor, "admin:ada");
    for wrong in [PASSWORD, exact.trim()] {
        assert_eq!(site.post("/admin/sign-in", None, &sign_in("ada", wrong)).await.status, 401, "{wrong:?}");
    }
    assert_eq!(site.post("/admin/sign-in", None, &sign_in("ada", exact)).await.status, 303);
}

#[tokio::test]
async fn sessions_are_listed_and_ended_from_afar() {
    let (site, ada) = Site::with_admin().await;
    let eve = add(&site, &ada, "eve", OTHER).await;
    let firefox = ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0");
    let own = [("sec-fetch-site", "same-origin"), firefox];
    let phone = site.post_with("/admin/sign-in", None, &own, &sign_in("ada", PASSWORD)).await.cookie();
    let page = site.get("/admin/admins", Some(&ada)).await;
    assert!(page.body.contains("Firefox on Linux") && page.body.contains("<code>127.0.0.1</code>"), "{}", page.body);
    assert_eq!(page.body.matches("this one").count(), 1 + 1, "the badge and the last button");
    for cookie in [&ada, &eve, &phone] {
        assert!(!page.body.contains(cookie.split_once('=').unwrap().1));
    }

    let ended = site.post(&format!("/admin/sessions/{}/end", session_of(&page, "eve")), Some(&ada), &[]).await;
    assert_eq!((ended.status, ended.location()), (303, "/admin/admins?ended"));
    assert!(!is_in(&site, &eve).await && is_in(&site, &phone).await);
    let entry = site.newest("admin.signed_out").await.leaf;
    assert_eq!((entry.reason.as_deref(), entry.target.as_deref()), (Some("from_afar"), Some("admin:eve")));
    assert_eq!(site.post("/admin/sessions/0000000000000000/end", Some(&ada), &[]).await.status, 404);

    let out = site.post("/admin/sessions/end", Some(&ada), &[]).await;
    assert_eq!((out.status, out.location()), (303, "/admin/sign-in"));
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    assert!(!is_in(&site, &ada).await && !is_in(&site, &phone).await);
    assert_eq!(site.newest("admin.signed_out").await.leaf.reason.as_deref(), Some("everywhere"));
}

#[tokio::test]
async fn sessions_that_ran_out_are_not_listed_and_who_was_seen_when_is() {
    let (site, ada) = Site::with_admin().await;
    let eve = add(&site, &ada, "eve", OTHER).await;
    site.later(10 * MINUTE);
    assert!(is_in(&site, &ada).await);
    site.later(10 * MINUTE);
    let page = site.get("/admin/admins", Some(&ada)).await;
    assert_eq!(page.body.matches("/end\"").count(), 2, "ada's, and the one for all of hers: {}", page.body);
    let row = page.body.split("<tr>").find(|row| row.contains("<b>eve</b>")).unwrap();
    assert!(
        row.contains("20 minutes ago") && row.contains("<td class=\"num side\" data-label=\"Sessions\">0</td>"),
        "{row}"
    );
    assert!(!is_in(&site, &eve).await);
}

#[tokio::test]
async fn nothing_is_done_in_the_name_of_a_session_that_has_ended() {
    let (site, ada) = Site::with_admin().await;
    add(&site, &ada, "eve", OTHER).await;
    let (store, now, gone) = (&site.app.store, site.clock.now(), [9; 32]);
    let entry = || Draft::new("admin.tested", Actor::Admin("eve".to_owned()), Source::Admin);
    let link = Link { admin: "mallory".to_owned(), expires_at: now.plus_millis(MINUTE), by: None };
    let is_ended = |done: Result<(), AdminError>| assert!(matches!(done, Err(AdminError::Ended)), "{done:?}");
    is_ended(store.put_link(Some(gone), [1; 32], link, entry()).await);
    is_ended(store.remove_admin(gone, "ada".to_owned(), entry()).await);
    let eve = store.admin("eve").unwrap().unwrap();
    let opened = AdminSession { admin: eve.name.clone(), opened_at: now, used_at: now, ip: None, user_agent: None };
    is_ended(store.change_password(gone, eve.clone(), ([2; 32], opened), entry()).await);
    assert!(store.link(&[1; 32]).unwrap().is_none() && store.admin_session(&[2; 32]).unwrap().is_none());

    // A hash that is out of date brings back neither an older password nor somebody who was removed.
    let rehash = |was: &str| store.rehash_password("eve".to_owned(), was.to_owned(), "new".to_owned(), entry());
    assert!(!rehash("older").await.unwrap());
    assert_eq!(store.admin("eve").unwrap().unwrap().password, eve.password);
    assert_eq!(site.post("/admin/admins/eve/remove", Some(&ada), &[("password", PASSWORD)]).await.status, 303);
    assert!(!rehash(&eve.password).await.unwrap());
    assert!(store.admin("eve").unwrap().is_none());
    assert!(site.entries().await.iter().all(|entry| entry.leaf.action != "admin.tested"));
}
