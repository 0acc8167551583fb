//! What the pages show, and that looking at them is noted.

use rollbook::audit::Doubt;
use serde_json::json;

use super::site::Site;

/// Where the link with that text leads.
fn link(body: &str, text: &str) -> Option<String> {
    let before = &body[..body.find(&format!("{text}<")).or_else(|| body.find(&format!("</span>{text}")))?];
    let href = &before[before.rfind("href=\"")? + 6..];
    Some(href[..href.find('"')?].replace("&#38;", "&"))
}

#[tokio::test]
async fn an_empty_roll_says_how_to_begin() {
    let (site, cookie) = Site::with_admin().await;
    let page = site.get("/admin", Some(&cookie)).await;
    assert!(page.body.contains(&format!("{}/api/webhooks/clerk", site.origin())), "{}", page.body);
    site.add_user("user_1", &json!({ "first_name": "Ada", "last_name": "Lovelace" })).await;
    let page = site.get("/admin", Some(&cookie)).await;
    assert!(!page.body.contains("Point Clerk here"));
    assert!(page.body.contains("user.created") && page.body.contains("Ada Lovelace"));
}

#[tokio::test]
async fn hostile_particulars_are_shown_as_text() {
    let (site, cookie) = Site::with_admin().await;
    let user = site
        .add_user(
            "user_1",
            &json!({
                "first_name": "<script>alert(1)</script>",
                "last_name": "\"><img src=x onerror=alert(1)></title>{{7*7}}\u{202e}",
                "username": "'-alert(1)-'",
                "image_url": "javascript:alert(1)",
                "public_metadata": { "</pre><script>": "</code><b>" },
                "primary_email_address_id": "e",
                "email_addresses": [{ "id": "e", "email_address": "<a href=\"//evil\">@x" }],
            }),
        )
        .await;
    site.deliver("msg_bad", "{\"type\":\"<svg onload=alert(1)>\",\"data\":\"</pre><script>\"}").await;
    for path in [
        "/admin",
        "/admin/users",
        &user,
        "/admin/audit",
        "/admin/quarantine",
        "/admin/keys",
        "/admin/users?query=<script>&role=\"><b>",
    ] {
        let page = site.get(path, Some(&cookie)).await;
        assert!(page.status == 200 || page.status == 400, "{path}");
        for raw in [
            "<script",
            "<img src=x",
            "<svg onload",
            "<b>\"",
            "<a href=\"//evil",
            "href=\"javascript",
            "src=\"javascript",
        ] {
            assert!(!page.body.contains(raw), "{path}: {raw}");
        }
    }
    let page = site.get(&user, Some(&cookie)).await;
    assert!(page.body.contains("&#60;script&#62;alert(1)&#60;/script&#62;"));
    assert!(page.body.contains("javascript:alert(1)"), "as text");
}

#[tokio::test]
async fn looking_is_noted_before_it_is_answered() {
    let (site, cookie) = Site::with_admin().await;
    let user = site.add_user("user_1", &json!({})).await;
    site.add_user("user_2", &json!({})).await;
    assert_eq!(site.get("/admin/users", Some(&cookie)).await.status, 200);
    let listed = site.newest("users.listed").await.leaf;
    assert_eq!((listed.actor.as_str(), listed.count), ("admin:ada", Some(2)));
    assert_eq!(site.get(&user, Some(&cookie)).await.status, 200);
    let read = site.newest("user.read").await;
    assert_eq!(read.target_user.unwrap().as_str(), "user_1");
    let before = site.app.store.counts().entries;
    assert_eq!(site.get("/admin/audit", Some(&cookie)).await.status, 200);
    let listed = site.newest("audit.listed").await.leaf;
    assert_eq!(listed.count, Some(before));
}

#[tokio::test]
async fn role_and_practice_are_set_and_told() {
    let (site, cookie) = Site::with_admin().await;
    let user = site.add_user("user_1", &json!({})).await;
    let form = |role, practice, was: [&'static str; 2]| {
        [("role", role), ("practice", practice), ("role_was", was[0]), ("practice_was", was[1])]
    };
    let saved = site.post(&user, Some(&cookie), &form("ADMIN", " north ", ["USER", ""])).await;
    assert_eq!((saved.status, saved.location()), (303, format!("{user}?saved").as_str()));
    let page = site.get(saved.location(), Some(&cookie)).await;
    assert!(page.body.contains("Saved.") && page.body.contains("value=\"north\""), "{}", page.body);
    assert!(page.body.contains("user.assigned") && page.body.contains("<bdi>none</bdi></del>"));
    assert_eq!(site.newest("user.assigned").await.leaf.actor, "admin:ada");

    let refused = site.post(&user, Some(&cookie), &form("two words", "north", ["ADMIN", "north"])).await;
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("value=\"two words\"") && refused.body.contains("role=\"alert\""));
    let nobody = "/admin/users/0199c1a0-0000-7000-8000-000000000001";
    assert_eq!(site.post(nobody, Some(&cookie), &form("USER", "", ["USER", ""])).await.status, 404);
    assert_eq!(site.get(nobody, Some(&cookie)).await.status, 404);
}

#[tokio::test]
async fn the_roll_is_paged_both_ways() {
    let (site, cookie) = Site::with_admin().await;
    for n in 0..120 {
        site.add_user(&format!("user_{n:03}"), &json!({ "first_name": "Name", "last_name": format!("N{n:03}") })).await;
    }
    let names = |body: &str| -> Vec<String> {
        body.match_indices("<bdi>Name N").map(|(at, found)| body[at + found.len()..][..3].to_owned()).collect()
    };
    let first = site.get("/admin/users?query=name", Some(&cookie)).await.body;
    let second_path = link(&first, "Older").unwrap();
    let second = site.get(&second_path, Some(&cookie)).await.body;
    let third = site.get(&link(&second, "Older").unwrap(), Some(&cookie)).await.body;
    assert!(link(&third, "Older").is_none() && link(&first, "Newer").is_none());
    let mut all: Vec<String> = [&first, &second, &third].into_iter().flat_map(|body| names(body)).collect();
    assert_eq!((names(&first).len(), names(&third).len()), (50, 20));
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 120, "each once");
    assert_eq!(names(&site.get(&link(&third, "Newer").unwrap(), Some(&cookie)).await.body), names(&second));
    assert_eq!(names(&site.get(&link(&second, "Newer").unwrap(), Some(&cookie)).await.body), names(&first));
    for bad in ["?cursor=x!", "?cursor=AAAA", "?limit=5", "?query=a&query=b", "?trail=AQI"] {
        assert_eq!(site.get(&format!("/admin/users{bad}"), Some(&cookie)).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn what_could_not_be_applied_is_named() {
    let (site, cookie) = Site::with_admin().await;
    site.deliver("msg_bad", "{\"type\":\"user.created\",\"data\":{}}").await;
    let page = site.get("/admin", Some(&cookie)).await.body;
    assert!(page.contains("Needs attention") && page.contains("A delivery is in quarantine."));
    let page = site.get("/admin/quarantine", Some(&cookie)).await.body;
    assert!(page.contains("no usable id") && page.contains("msg_bad") && page.contains("<pre"));
    assert_eq!(site.newest("quarantine.listed").await.leaf.count, Some(1));
}

#[tokio::test]
async fn the_style_sheet_is_kept_by_browsers() {
    let (site, _) = Site::with_admin().await;
    let page = site.get("/admin/sign-in", None).await.body;
    let start = page.find("/admin/assets/style-").unwrap();
    let path = &page[start..start + page[start..].find('"').unwrap()];
    let answer = site.get(path, None).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/css; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(site.get("/admin/assets/style-old.css", None).await.status, 404);
}

#[tokio::test]
async fn a_log_in_doubt_is_said_on_every_page_and_nothing_is_changed() {
    let (site, cookie) = Site::with_admin().await;
    let page = site.add_user("user_1", &json!({ "first_name": "Ada" })).await;
    assert!(!site.get("/admin", Some(&cookie)).await.body.contains("Read only"));
    site.app.store.refuse_writes(Doubt::NoMark);
    for path in ["/admin", "/admin/users", "/admin/audit", "/admin/quarantine", "/admin/keys", &page] {
        let page = site.get(path, Some(&cookie)).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(page.body.contains("Read only: the log is in doubt."), "{path}");
        assert!(page.body.contains(&Doubt::NoMark.to_string()), "{path}");
    }
    let entries = site.app.store.counts().entries;
    let form = [("role", "ADMIN"), ("practice", ""), ("role_was", "USER"), ("practice_was", "")];
    let refused = site.post(&page, Some(&cookie), &form).await;
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains("own output has more under <code>ERR_"), "{}", refused.body);
    assert!(!site.get(&page, Some(&cookie)).await.body.contains("value=\"ADMIN\" list"));
    assert_eq!(site.app.store.counts().entries, entries);
}
