//! Who gets in, who does not, and for how long.

use reqwest::Method;

use super::site::{MINUTE, PASSWORD, Site, setup, sign_in};

const PAGES: [&str; 6] =
    ["/admin", "/admin/users", "/admin/audit", "/admin/quarantine", "/admin/keys", "/admin/admins"];

#[tokio::test]
async fn nothing_creates_an_admin_but_a_link() {
    let site = Site::start().await;
    for path in PAGES.into_iter().chain(["/admin/", "/admin/sign-in", "/admin/setup", "/admin/setup?token="]) {
        let answer = site.get(path, None).await;
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.body.contains("rollbook admin link") && !answer.body.contains("<form"), "{path}");
    }
    assert_eq!(site.post("/admin/sign-in", None, &sign_in("ada", PASSWORD)).await.status, 401);
    assert_eq!(site.post("/admin/setup", None, &setup(&"A".repeat(43), PASSWORD)).await.status, 403);
    assert!(!site.app.store.has_admin().unwrap());
}

#[tokio::test]
async fn a_link_sets_the_password_once() {
    let site = Site::start().await;
    let token = site.mint().await;
    let page = site.get(&format!("/admin/setup?token={token}"), None).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains(r#"value="ada""#), "{}", page.body);
    for weak in ["eleven char", "Password1234", "aaaaaaaaaaaaaaa", &"long ".repeat(52)] {
        let answer = site.post("/admin/setup", None, &setup(&token, weak)).await;
        assert_eq!(answer.status, 400, "{weak}");
        assert!(answer.body.contains("role=\"alert\"") && !answer.body.contains(weak));
    }
    let different = [("token", token.as_str()), ("password", PASSWORD), ("again", "four plain gray mice")];
    assert_eq!(site.post("/admin/setup", None, &different).await.status, 400);

    let form = setup(&token, PASSWORD);
    let (one, other) = tokio::join!(site.post("/admin/setup", None, &form), site.post("/admin/setup", None, &form));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 403], "of two at the same time, one is first");
    assert_eq!(site.get(&format!("/admin/setup?token={token}"), None).await.status, 403);
    assert_eq!(site.newest("admin.password_set").await.leaf.actor, "admin:ada");
}

#[tokio::test]
async fn a_new_link_and_a_new_password_end_the_older_links() {
    let site = Site::start().await;
    let (first, second) = (site.mint().await, site.mint().await);
    assert_eq!(site.get(&format!("/admin/setup?token={first}"), None).await.status, 403);
    assert_eq!(site.post("/admin/setup", None, &setup(&second, PASSWORD)).await.status, 303);
    assert_eq!(site.post("/admin/setup", None, &setup(&first, PASSWORD)).await.status, 403);
}

#[tokio::test]
async fn who_is_turned_away_reads_where_to_go() {
    let (site, cookie) = Site::with_admin().await;
    let link = site.get("/admin/setup?token=x", None).await;
    assert!(link.body.contains("Another admin can make") && link.body.contains("admin link --name NAME"));
    let nobody = site.post("/admin/users/ever", None, &[("value", "x")]).await;
    assert_eq!(nobody.status, 401, "{}", nobody.body);
    assert!(nobody.body.contains("href=\"/admin/sign-in\">Sign in</a>") && !nobody.body.contains("ERR_"));
    let nowhere = site.get("/admin/nowhere", Some(&cookie)).await;
    assert!(nowhere.body.contains("To the overview") && !nowhere.body.contains("ERR_"), "{}", nowhere.body);
    assert!(!nowhere.body.contains("/admin/sign-in"));
}

#[tokio::test]
async fn who_set_a_password_while_the_clock_was_ahead_can_sign_in_once_it_is_right() {
    let site = Site::start().await;
    site.later(24 * 60 * MINUTE);
    site.set_up().await;
    site.later(-24 * 60 * MINUTE);
    let signed_in = site.post("/admin/sign-in", None, &sign_in("ada", PASSWORD)).await;
    assert_eq!(site.get("/admin/users", Some(&signed_in.cookie())).await.status, 200);

    // Another password ends the sessions of the one before, whatever the clock says, and opens its own.
    let again = site.set_up().await;
    assert_eq!(site.get("/admin/users", Some(&signed_in.cookie())).await.status, 303);
    assert_eq!(site.get("/admin/users", Some(&again)).await.status, 200);
    let form = [("current", PASSWORD), ("password", "five plain grey mice"), ("again", "five plain grey mice")];
    let changed = site.post("/admin/password", Some(&again), &form).await;
    assert_eq!(changed.status, 303, "{}", changed.body);
    assert_eq!(site.get("/admin/users", Some(&changed.cookie())).await.status, 200);
}

#[tokio::test]
async fn a_link_lives_a_day() {
    let site = Site::start().await;
    let token = site.mint().await;
    site.later(24 * 60 * MINUTE - 1);
    assert_eq!(site.get(&format!("/admin/setup?token={token}"), None).await.status, 200);
    site.later(1);
    assert_eq!(site.get(&format!("/admin/setup?token={token}"), None).await.status, 403);
    assert_eq!(site.post("/admin/setup", None, &setup(&token, PASSWORD)).await.status, 403);
    assert!(!site.app.store.has_admin().unwrap());
}

#[tokio::test]
async fn wrong_links_rest_set_up() {
    let site = Site::start().await;
    let token = site.mint().await;
    for wrong in ["x", &"A".repeat(43), &"B".repeat(43), &token[1..]] {
        assert_eq!(site.get(&format!("/admin/setup?token={wrong}"), None).await.status, 403);
    }
    assert_eq!(site.post("/admin/setup", None, &setup(&"C".repeat(43), PASSWORD)).await.status, 403);
    let rest = site.post("/admin/setup", None, &setup(&token, PASSWORD)).await;
    assert_eq!((rest.status, rest.header("retry-after")), (429, "900"));
    site.later(15 * MINUTE);
    assert_eq!(site.post("/admin/setup", None, &setup(&token, PASSWORD)).await.status, 303);
}

#[tokio::test]
async fn a_wrong_name_looks_like_a_wrong_password() {
    let (site, _) = Site::with_admin().await;
    let wrong = site.post("/admin/sign-in", None, &sign_in("ada", "not the password")).await;
    let nobody = site.post("/admin/sign-in", None, &sign_in("eve", PASSWORD)).await;
    assert_eq!((wrong.status, nobody.status), (401, 401));
    assert_eq!(wrong.body.replace("\"ada\"", "\"eve\""), nobody.body);
    let tallied = site.app.tally.take();
    let counts: Vec<_> = tallied.iter().map(|draft| (draft.action.as_str(), draft.reason, draft.count)).collect();
    assert_eq!(counts, [("admin.sign_in_failed", Some("refused"), Some(2))]);
    assert!(site.entries().await.iter().all(|entry| entry.leaf.action != "admin.sign_in_failed"));
}

#[tokio::test]
async fn guessing_is_held_up_even_when_it_succeeds() {
    let (site, _) = Site::with_admin().await;
    for _ in 0..5 {
        assert_eq!(site.post("/admin/sign-in", None, &sign_in("ada", "not the password")).await.status, 401);
    }
    let held = site.post("/admin/sign-in", None, &sign_in("ada", PASSWORD)).await;
    assert_eq!((held.status, held.header("retry-after")), (429, "900"));
    assert!(held.header("set-cookie").is_empty());
    site.later(15 * MINUTE);
    let answer = site.post("/admin/sign-in", None, &sign_in("ada", PASSWORD)).await;
    assert_eq!((answer.status, answer.location()), (303, "/admin"));
    assert_eq!(site.newest("admin.signed_in").await.leaf.actor, "admin:ada");
}

#[tokio::test]
async fn guessing_in_parallel_is_no_way_around() {
    let (site, _) = Site::with_admin().await;
    let form = sign_in("ada", "not the password");
    let tries = (0..30).map(|_| site.post("/admin/sign-in", None, &form));
    let answers = futures_util::future::join_all(tries).await;
    let with = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((with(401), with(429)), (5, 25));
}

#[tokio::test]
async fn everybody_together_may_guess_thirty_times_a_minute_and_no_more_is_hashed() {
    let (site, _) = Site::with_admin().await;
    site.later(MINUTE);
    let names: Vec<String> = (0..200).map(|n| format!("name{n}")).collect();
    let tries = names.iter().map(|name| async {
        let form = sign_in(name, "not the password");
        site.post("/admin/sign-in", None, &form).await
    });
    let answers = futures_util::future::join_all(tries).await;
    let with = |status| answers.iter().filter(|answer| answer.status == status).count();
    // Where hashing takes very long, the last of the thirty are told that it did.
    assert_eq!((with(401) + with(503), with(429)), (30, 170));
    let held = site.post("/admin/sign-in", None, &sign_in("ada", PASSWORD)).await;
    assert_eq!((held.status, held.header("retry-after")), (429, "60"));
    site.later(MINUTE);
    assert_eq!(site.post("/admin/sign-in", None, &sign_in("ada", PASSWORD)).await.status, 303);
}

#[tokio::test]
async fn a_name_that_was_bound_to_this_machine_opens_nothing() {
    let (site, cookie) = Site::with_admin().await;
    for path in PAGES.into_iter().chain(["/admin/sign-in", "/admin/setup"]) {
        let rebound = [("host", "evil.example"), ("origin", "http://evil.example"), ("sec-fetch-site", "same-origin")];
        assert_eq!(site.send(Method::GET, path, Some(&cookie), &rebound, None).await.status, 421, "{path}");
        assert_eq!(site.post_with(path, Some(&cookie), &rebound, &[]).await.status, 421, "{path}");
    }
}

#[tokio::test]
async fn the_cookie_is_for_this_site_and_no_script() {
    let (site, _) = Site::with_admin().await;
    let answer = site.post("/admin/sign-in", None, &sign_in("ada", PASSWORD)).await;
    let cookie = answer.header("set-cookie");
    let (pair, flags) = cookie.split_once("; ").unwrap();
    assert_eq!(flags, "Path=/; Secure; HttpOnly; SameSite=Strict");
    assert_eq!(pair.strip_prefix("__Host-rollbook=").unwrap().len(), 43);
}

#[tokio::test]
async fn a_session_ends_when_it_should() {
    let (site, first) = Site::with_admin().await;
    let is_in = async |cookie: &str| site.get("/admin", Some(cookie)).await.status == 200;
    assert!(is_in(&first).await);

    let second = site.post("/admin/sign-in", Some(&first), &sign_in("ada", PASSWORD)).await.cookie();
    assert_ne!(first, second, "signing in makes a new id");
    assert!(!is_in(&first).await && is_in(&second).await);
    assert!(!is_in(&second.replace('=', "=x")).await && !is_in(&format!("{second}; {second}")).await);

    let out = site.post("/admin/sign-out", Some(&second), &[]).await;
    assert_eq!((out.status, out.location()), (303, "/admin/sign-in"));
    assert!(out.header("set-cookie").starts_with("__Host-rollbook=; Path=/; Max-Age=0;"));
    assert!(!is_in(&second).await);

    let third = site.post("/admin/sign-in", None, &sign_in("ada", PASSWORD)).await.cookie();
    let fourth = site.post("/admin/sign-in", None, &sign_in("ada", PASSWORD)).await.cookie();
    assert!(is_in(&third).await && is_in(&fourth).await);
    let fifth = site.set_up().await;
    assert!(!is_in(&third).await && !is_in(&fourth).await, "a new password ends every session");
    assert!(is_in(&fifth).await);
}

#[tokio::test]
async fn a_session_dies_of_idleness_and_of_age() {
    let (site, cookie) = Site::with_admin().await;
    site.later(15 * MINUTE - 1);
    assert_eq!(site.get("/admin", Some(&cookie)).await.status, 200);
    site.later(15 * MINUTE);
    assert_eq!(site.get("/admin", Some(&cookie)).await.status, 303);
    let ended = site.newest("admin.signed_out").await.leaf;
    assert_eq!(ended.reason.as_deref(), Some("expired"));

    let cookie = site.post("/admin/sign-in", None, &sign_in("ada", PASSWORD)).await.cookie();
    for _ in 0..47 {
        site.later(10 * MINUTE);
        assert_eq!(site.get("/admin", Some(&cookie)).await.status, 200);
    }
    site.later(10 * MINUTE);
    assert_eq!(site.get("/admin", Some(&cookie)).await.status, 303, "after eight hours");
}

#[tokio::test]
async fn strangers_are_shown_the_door_and_led_back() {
    let (site, _) = Site::with_admin().await;
    let user = site.add_user("user_1", &serde_json::json!({})).await;
    for path in ["/admin/users", "/admin/audit", "/admin/quarantine", "/admin/keys", "/admin/admins", &user] {
        let answer = site.get(path, None).await;
        assert_eq!((answer.status, answer.location()), (303, format!("/admin/sign-in?next={path}").as_str()));
        assert!(answer.body.is_empty());
        let form = [("name", "ada"), ("password", PASSWORD), ("next", path)];
        assert_eq!(site.post("/admin/sign-in", None, &form).await.location(), path);
    }
    for evil in ["//evil.example", "https:evil.example", "/\\evil.example", "/admin\r\nx: y", "javascript:1"] {
        let form = [("name", "ada"), ("password", PASSWORD), ("next", evil)];
        let answer = site.post("/admin/sign-in", None, &form).await;
        assert_eq!((answer.status, answer.location()), (303, "/admin"), "{evil}");
        let path = format!("/admin/sign-in?{}", serde_urlencoded::to_string([("next", evil)]).unwrap());
        assert!(!site.get(&path, None).await.body.contains("evil"));
    }
    let answer = site.post(&user, None, &[]).await;
    assert_eq!(answer.status, 401);
    assert!(answer.header("www-authenticate").is_empty());
    assert_eq!(site.get("/admin/nothing", None).await.status, 404);
}

#[tokio::test]
async fn every_page_comes_with_its_armour() {
    let site = Site::start_at(Some("rollbook.example.org")).await;
    let cookie = site.set_up().await;
    let user = site.add_user("user_1", &serde_json::json!({})).await;
    let paths = PAGES.into_iter().chain([user.as_str(), "/admin/sign-in", "/admin/setup", "/admin/nothing"]);
    for path in paths {
        let answer = site.get(path, Some(&cookie)).await;
        let policy = answer.header("content-security-policy");
        for part in [
            "default-src 'none'",
            "style-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", "no-store"),
            ("strict-transport-security", "max-age=31536000"),
        ] {
            assert_eq!(answer.header(name), value, "{path}");
        }
        let is_handler = |rest: &str| rest.trim_start_matches(|c: char| c.is_ascii_lowercase()).starts_with('=');
        assert!(!answer.body.split(" on").skip(1).any(is_handler), "{path}");
        assert!(!answer.body.contains("<script") && !answer.body.contains(" style="), "{path}");
    }
    let (plain, cookie) = Site::with_admin().await;
    assert!(plain.get("/admin", Some(&cookie)).await.header("strict-transport-security").is_empty());
}
