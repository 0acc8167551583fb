//! The page about deliveries, and the test an admin can send.

use reqwest::Method;
use rollbook::audit::Doubt;
use serde_json::json;

use super::site::Site;

async fn shown(site: &Site, cookie: &str, query: &str) -> String {
    let page = site.get(&format!("/admin/deliveries{query}"), Some(cookie)).await;
    assert_eq!(page.status, 200, "{query}");
    page.body
}

#[tokio::test]
async fn deliveries_are_counted_explained_and_shown_one_by_one() {
    let (site, cookie) = Site::with_admin().await;
    let empty = shown(&site, &cookie, "").await;
    assert!(empty.contains("None has come since the start.") && empty.contains("Nothing was refused"), "{empty}");
    site.add_user("user_1", &json!({})).await;
    site.add_user("user_1", &json!({})).await;
    site.deliver("msg_odd", r#"{"type":"<b>\u202enew","data":{}}"#).await;
    let headers = [("svix-id", "msg_forged"), ("svix-timestamp", "1750000000"), ("svix-signature", "v1,AAAA")];
    let forged = site.send(Method::POST, "/api/webhooks/clerk", None, &headers, Some("{}".to_owned())).await;
    assert_eq!(forged.status, 401);

    let page = shown(&site, &cookie, "").await;
    let entry = site.newest("user.created").await.seq;
    for says in [
        "100 %",
        "<b>Duplicate</b>",
        &format!("<a href=\"/admin/audit/{entry}\">entry {entry}</a>"),
        &format!("<a href=\"/admin/audit/{entry}\">first: entry {entry}</a>"),
        "1 × bad timestamp",
        "time synchronisation",
        "msg_forged",
        "Secret 1 <code",
        "3 deliveries",
        "under ",
        "\\u202enew",
    ] {
        assert!(page.contains(says), "{says}: {page}");
    }
    assert!(!page.contains("<b>\u{202e}"));
    assert_eq!(site.newest("deliveries.listed").await.leaf.count, Some(4));
    let refused = shown(&site, &cookie, "?span=7d&outcome=refused").await;
    assert!(refused.contains("msg_forged") && !refused.contains("msg_user_1"));
    let duplicates = shown(&site, &cookie, "?span=30d&outcome=duplicate").await;
    assert!(duplicates.contains("msg_user_1") && !duplicates.contains("msg_forged"));
    assert!(shown(&site, &cookie, "?outcome=stale").await.contains("None of the last deliveries ended so."));
    for bad in ["?span=1h", "?outcome=none", "?hours=24", "?span=7d&span=7d"] {
        assert_eq!(site.get(&format!("/admin/deliveries{bad}"), Some(&cookie)).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn the_page_stays_light_whatever_is_sent() {
    let (site, cookie) = Site::with_admin().await;
    for n in 0..100 {
        let body = json!({ "type": format!("user.{}", "<".repeat(5_000)), "data": {} });
        site.deliver(&format!("msg_{n:0>124}"), &body.to_string()).await;
    }
    let page = shown(&site, &cookie, "").await;
    assert!(page.len() <= 60_000, "{} bytes", page.len());
    assert!(page.contains("of 100 are shown"));
}

#[tokio::test]
async fn a_test_goes_there_and_back_and_is_no_news_from_clerk() {
    let (site, cookie) = Site::with_admin().await;
    assert_eq!(site.post("/admin/test", None, &[]).await.status, 401);
    assert_eq!(site.get("/admin/test", Some(&cookie)).await.status, 405);
    let sent = site.post("/admin/test", Some(&cookie), &[]).await;
    assert_eq!((sent.status, sent.location()), (303, "/admin?tested"), "{}", sent.body);
    assert_eq!(site.get("/admin?tested", Some(&cookie)).await.status, 200);
    assert_eq!(site.newest("admin.test_sent").await.leaf.outcome, "ok");
    assert_eq!(site.newest("rollbook.test").await.leaf.outcome, "recorded");
    assert_eq!(site.app.store.counts().last_event_at, None);
    let page = shown(&site, &cookie, "?outcome=test").await;
    assert!(
        page.contains("rollbook.test")
            && page.contains("<b>Tests</b>")
            && page.contains("not used yet, or not in 30 days")
    );
    assert!(!shown(&site, &cookie, "?outcome=recorded").await.contains("rollbook.test"));

    site.app.store.refuse_writes(Doubt::NoMark);
    let refused = site.post("/admin/test", Some(&cookie), &[]).await;
    assert_eq!(refused.status, 502);
    assert!(refused.body.contains("503") && refused.body.contains("role=\"alert\""), "{}", refused.body);
}
