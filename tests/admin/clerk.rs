//! The page that says how the roll compares with Clerk's own list.

use rollbook::clock::Clock;
use rollbook::stand_in::StandIn;
use serde_json::json;

use super::site::Site;
use crate::common::{deleted_event, user_event};

const HERE: &str = "/admin/clerk";
const AT: i64 = 1_750_000_000_000;

#[tokio::test]
async fn without_a_key_it_says_what_to_set() {
    let site = Site::start().await;
    let cookie = site.set_up().await;
    let page = site.get(HERE, Some(&cookie)).await.body;
    assert!(page.contains("CLERK_SECRET_KEY=sk_live_…") && !page.contains("Compare now"), "{page}");
    assert_eq!(site.post(HERE, Some(&cookie), &[]).await.status, 400);
}

#[tokio::test]
async fn a_comparison_is_begun_shown_and_seen_to() {
    let clerk = StandIn::start("ins_test", Clock::system()).await.unwrap();
    let key = [("CLERK_SECRET_KEY", clerk.secret_key()), ("CLERK_API_URL", clerk.url.as_str())];
    let site = Site::start_with(&key, None).await;
    let cookie = site.set_up().await;
    site.add_user("user_Gone", &json!({ "first_name": "Ada" })).await;
    clerk.apply(&user_event("user.created", "user_Lost", AT, "<b>Lost</b>")).unwrap();
    clerk.apply(&deleted_event("user_Gone", AT)).unwrap();
    let begin = async |fields: &[(&str, &str)]| {
        let answer = site.post(HERE, Some(&cookie), fields).await;
        assert_eq!((answer.status, answer.location()), (303, HERE), "{}", answer.body);
        let running = site.get(HERE, Some(&cookie)).await.body;
        site.app.walks.idle().await;
        (running, site.get(HERE, Some(&cookie)).await.body)
    };

    let (running, page) = begin(&[("change", "nothing")]).await;
    assert!(running.contains("Comparing, without changing anything") && !running.contains("Compare now"), "{running}");
    let said = "Compared 1 user: 1 would be created, 1 would be deleted. Nothing was changed.";
    assert!(
        page.contains(said) && page.contains("No full comparison yet. It runs every 24 hours, or start one now."),
        "{page}"
    );
    assert!(!running.contains("start one now"), "{running}");
    for (what, id) in [("created", "user_Lost"), ("deleted", "user_Gone")] {
        assert!(page.contains(&format!("Would be {what}: <code>{id}</code>.")), "{page}");
    }
    assert_eq!(site.newest("sync.read").await.leaf.actor, "admin:ada");
    assert!(!site.get("/admin", Some(&cookie)).await.body.contains("differed from Clerk"));

    let (running, page) = begin(&[]).await;
    assert!(running.contains("id=\"progress\"") && running.contains(">Comparing<"), "{running}");
    assert!(page.contains("Compared 1 user: 1 created, 1 deleted."), "{page}");
    assert!(page.contains("<dd>2 <span class=\"badge good\">first comparison</span></dd>"), "{page}");
    assert!(!page.contains("user_") && !page.contains("Lost"), "{page}");
    assert_eq!(site.newest("sync.finished").await.leaf.actor, "admin:ada");
    let overview = site.get("/admin", Some(&cookie)).await.body;
    assert!(overview.contains("First compared with Clerk ") && overview.contains(": drift 2. "), "{overview}");
    assert!(!overview.contains("differed from Clerk"), "whoever was there before is not lost: {overview}");
    clerk.apply(&user_event("user.updated", "user_Lost", AT + 9, "Found")).unwrap();
    clerk.apply(&user_event("user.created", "user_More", AT, "More")).unwrap();
    let (_, page) = begin(&[]).await;
    assert!(page.contains("<dd>2 <span class=\"badge warn\">made good</span></dd>"), "{page}");
    let overview = site.get("/admin", Some(&cookie)).await.body;
    assert!(
        overview.contains("2 users differed from Clerk’s (just now).") && overview.contains(": drift 2. "),
        "{overview}"
    );

    // Once nothing differs, there is nothing to see to.
    let (_, page) = begin(&[]).await;
    assert!(page.contains("Compared 2 users: no differences.") && page.contains(">even<"), "{page}");
    let overview = site.get("/admin", Some(&cookie)).await.body;
    assert!(!overview.contains("differed from Clerk") && overview.contains(": no differences. "), "{overview}");
    assert_eq!(site.post(HERE, Some(&cookie), &[("change", "all")]).await.status, 400);

    clerk.stop().await;
    let answer = site.post(HERE, Some(&cookie), &[]).await;
    assert_eq!(answer.status, 303);
    site.app.walks.suspend();
    site.app.walks.idle().await;
    let page = site.get(HERE, Some(&cookie)).await.body;
    assert!(page.contains("The users were not compared to the end: broken off"), "{page}");
    assert!(site.get("/admin", Some(&cookie)).await.body.contains("could not be compared with Clerk"));
}
