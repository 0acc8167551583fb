//! Marking the log as reviewed on the page.

use super::site::Site;

const PAGE: &str = "/admin/audit";

/// The entry up to which the form on the page would mark.
fn offered(body: &str) -> Option<u64> {
    let (_, rest) = body.split_once("name=\"to\" value=\"")?;
    rest.split_once('"')?.0.parse().ok()
}

async fn count(site: &Site) -> usize {
    site.entries().await.iter().filter(|entry| entry.leaf.action == "audit.reviewed").count()
}

#[tokio::test]
async fn the_log_is_marked_as_reviewed_and_says_by_whom() {
    let (site, cookie) = Site::with_admin().await;
    let page = site.get(PAGE, Some(&cookie)).await.body;
    let newest = offered(&page).unwrap();
    assert!(
        page.contains("Nobody has marked the log as reviewed yet.") && page.contains(&format!("up to entry {newest}<"))
    );
    assert_eq!(newest, site.app.store.counts().entries - 2, "what the page shows, not that it was shown");

    let to = newest.to_string();
    let form = [("to", to.as_str()), ("note", " <b>All</b> quiet ")];
    let answer = site.post(PAGE, Some(&cookie), &form).await;
    assert_eq!((answer.status, answer.location()), (303, "/admin/audit?reviewed"));
    let entry = site.newest("audit.reviewed").await;
    assert_eq!((entry.leaf.actor.as_str(), entry.leaf.count), ("admin:ada", Some(newest + 1)));
    let page = site.get(answer.location(), Some(&cookie)).await.body;
    assert!(page.contains(&format!("<b>Reviewed up to entry {newest}</b> by <bdi>admin ada</bdi> on <time")), "{page}");
    assert!(page.contains("(2 new since)") && page.contains("role=\"status\""));
    assert!(page.contains("&#60;b&#62;All&#60;/b&#62; quiet") && !page.contains("<b>All"));
    let page = site.get(PAGE, Some(&cookie)).await.body;
    assert!(!page.contains("role=\"status\"") && offered(&page) == Some(newest + 3));

    // The same form again, as a double click sends it.
    let answer = site.post(PAGE, Some(&cookie), &form).await;
    assert_eq!(answer.status, 409);
    assert!(
        answer.body.contains("role=\"alert\"") && answer.body.contains("value=\" &#60;b&#62;All"),
        "{}",
        answer.body
    );
    assert_eq!(count(&site).await, 1);
}

#[tokio::test]
async fn a_review_is_of_the_whole_log_and_no_more_than_is_there() {
    let (site, cookie) = Site::with_admin().await;
    for n in 0..60 {
        site.add_user(&format!("user_{n}"), &serde_json::json!({})).await;
    }
    let page = site.get(PAGE, Some(&cookie)).await.body;
    let to = offered(&page).unwrap().to_string();
    let older = page.split("href=\"/admin/audit?cursor=").nth(1).unwrap().split('"').next().unwrap();
    for path in
        [format!("{PAGE}?cursor={older}"), format!("{PAGE}?action=user.created"), format!("{PAGE}?from=2020-01-01")]
    {
        let page = site.get(&path.replace("&#38;", "&"), Some(&cookie)).await;
        assert_eq!((page.status, offered(&page.body)), (200, None), "{path}");
    }
    let long = "ä".repeat(2001);
    for (form, status) in [
        (vec![("to", to.as_str()), ("note", long.as_str())], 400),
        (vec![("to", "100000"), ("note", "")], 409),
        (vec![("to", "x"), ("note", "")], 400),
        (vec![("to", &to)], 400),
        (vec![("to", &to), ("note", ""), ("more", "")], 400),
    ] {
        assert_eq!(site.post(PAGE, Some(&cookie), &form).await.status, status, "{form:?}");
    }
    let form = [("to", to.as_str()), ("note", &long[2..])];
    let foreign = [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")];
    assert_eq!(site.post_with(PAGE, Some(&cookie), &foreign, &form).await.status, 403);
    assert_eq!(site.post(PAGE, None, &form).await.status, 401);
    assert_eq!(count(&site).await, 0);
    assert_eq!(site.post(PAGE, Some(&cookie), &form).await.status, 303);
    assert_eq!(count(&site).await, 1);
}
