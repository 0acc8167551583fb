//! The quarantine: what is in it, and the two ways out.

use serde_json::{Value, json};

use super::site::Site;

/// When Clerk's events were, in milliseconds.
const T: i64 = 1_750_000_000_000;

/// A user event of an instance.
fn event(instance: &str, user: &str, updated_at: i64, name: &str) -> String {
    json!({
        "type": "user.updated", "object": "event", "timestamp": updated_at, "instance_id": instance,
        "data": { "object": "user", "id": user, "first_name": name, "created_at": T, "updated_at": updated_at },
    })
    .to_string()
}

/// Where the delivery with that id is in the log.
async fn place(site: &Site, id: &str) -> u64 {
    let is_it = |entry: &&rollbook::audit::Entry| {
        entry.leaf.request.as_deref() == Some(id) && entry.leaf.action == "webhook.quarantined"
    };
    site.entries().await.iter().find(is_it).unwrap().seq
}

#[tokio::test]
async fn what_was_put_aside_is_applied_once_it_can_be() {
    let (site, cookie) = Site::with_admin().await;
    site.deliver("msg_a", &event("ins_a", "user_a", T, "Ann")).await;
    site.deliver("msg_new", &event("ins_b", "user_b", T + 10, "New")).await;
    site.deliver("msg_old", &event("ins_b", "user_b", T, "Old")).await;
    site.deliver("msg_bad", r#"{"type":"user.created","data":{"secret_note":"kept"}}"#).await;
    let all = "/admin/quarantine/reprocess";
    let tried = site.post(all, Some(&cookie), &[]).await;
    assert_eq!(tried.location(), "/admin/quarantine?applied=0&unchanged=0&stayed=3");
    let page = site.get(tried.location(), Some(&cookie)).await.body;
    assert!(page.contains("3 still cannot be.") && page.contains("CLERK_INSTANCE_ID"), "{page}");
    let entry = site.newest("quarantine.reprocessed").await.leaf;
    assert_eq!((entry.actor.as_str(), entry.outcome.as_str()), ("admin:ada", "quarantined"));
    assert_eq!((entry.reason.as_deref(), entry.request.as_deref()), (Some("missing_id"), Some("msg_bad")));
    let newest = place(&site, "msg_new").await;

    // The operator says whose events these are.
    let site = site.restarted(&[("CLERK_INSTANCE_ID", "ins_b")]).await;
    let one = format!("/admin/quarantine/{newest}/reprocess");
    assert_eq!(site.post(&one, Some(&cookie), &[("all", "1")]).await.status, 400);
    let applied = site.post(&one, Some(&cookie), &[]).await;
    assert_eq!(applied.location(), "/admin/quarantine?applied=1&unchanged=0&stayed=0");
    assert_eq!(site.newest("quarantine.reprocessed").await.leaf.outcome, "applied");
    let entry = site.newest("user.updated").await.leaf;
    assert_eq!((entry.request.as_deref(), entry.actor.as_str()), (Some("msg_new"), "clerk"));
    let again = site.post(&one, Some(&cookie), &[]).await;
    assert_eq!(again.location(), "/admin/quarantine?gone", "never twice");
    let tried = site.post(all, Some(&cookie), &[]).await;
    assert_eq!(tried.location(), "/admin/quarantine?applied=0&unchanged=1&stayed=1", "what is older comes too late");
    assert!(site.user("user_b").clerk.as_str().contains("\"New\""));
    let entries = site.app.store.counts().entries;
    site.deliver("msg_new", &event("ins_b", "user_b", T + 20, "Again")).await;
    assert_eq!(site.app.store.counts().entries, entries, "its message is known");

    let bad = place(&site, "msg_bad").await;
    let discard = format!("/admin/quarantine/{bad}/discard");
    assert_eq!(site.post(&discard, Some(&cookie), &[]).await.status, 400, "nobody was sure");
    assert_eq!(site.app.store.counts().quarantined, 1);
    let text = site.get(&format!("/admin/quarantine/{bad}"), Some(&cookie)).await;
    assert_eq!(text.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(serde_json::from_str::<Value>(&text.body).unwrap()["data"]["secret_note"], "kept");
    assert_eq!(site.newest("quarantine.read").await.leaf.request.as_deref(), Some("msg_bad"));
    let discarded = site.post(&discard, Some(&cookie), &[("sure", "yes")]).await;
    assert_eq!(discarded.location(), "/admin/quarantine?discarded");
    assert_eq!(site.newest("quarantine.discarded").await.leaf.request.as_deref(), Some("msg_bad"));
    assert_eq!(site.app.store.counts().quarantined, 0);
    assert_eq!(site.post(&discard, Some(&cookie), &[("sure", "yes")]).await.location(), "/admin/quarantine?gone");
    let page = site.get("/admin/quarantine", Some(&cookie)).await.body;
    assert!(page.contains("Nothing waits here.") && !page.contains("Try all"));
}

#[tokio::test]
async fn strange_addresses_and_strangers_change_nothing() {
    let (site, cookie) = Site::with_admin().await;
    site.deliver("msg_bad", "[]").await;
    let bad = place(&site, "msg_bad").await;
    for path in ["reprocess", &format!("{bad}/reprocess"), &format!("{bad}/discard")] {
        let path = format!("/admin/quarantine/{path}");
        assert_eq!(site.post(&path, None, &[("sure", "yes")]).await.status, 401, "{path}");
        let foreign = [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")];
        assert_eq!(site.post_with(&path, Some(&cookie), &foreign, &[("sure", "yes")]).await.status, 403, "{path}");
        assert_eq!(site.get(&path, Some(&cookie)).await.status, 405, "{path}");
    }
    let body = format!("/admin/quarantine/{bad}");
    for foreign in [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")] {
        let asked = site.send(reqwest::Method::GET, &body, Some(&cookie), &[foreign], None).await;
        assert_eq!(asked.status, 403, "{foreign:?}: {}", asked.body);
    }
    assert_eq!(site.get(&body, Some(&cookie)).await.status, 200);
    // A form can say anything of what was done before it.
    site.deliver("msg_worse", "[]").await;
    let forged = [("applied", "0"), ("unchanged", "0"), ("stayed", "18446744073709551614")];
    let tried = site.post("/admin/quarantine/reprocess", Some(&cookie), &forged).await;
    assert_eq!(tried.location(), "/admin/quarantine?applied=0&unchanged=0&stayed=18446744073709551615");
    assert_eq!(site.get(tried.location(), Some(&cookie)).await.status, 200);
    for path in ["+1", "01x", "99999", "-1", "18446744073709551616"] {
        assert_eq!(site.get(&format!("/admin/quarantine/{path}"), Some(&cookie)).await.status, 404, "{path}");
    }
    assert_eq!(site.app.store.counts().quarantined, 2);
}

#[tokio::test]
async fn many_long_ones_are_tried_in_batches_and_shown_in_part() {
    let (site, cookie) = Site::with_admin().await;
    let long = "\"<é".repeat(30_000);
    for n in 0..110 {
        let body = json!({ "type": format!("user.{}", "<".repeat(500)), "data": n, "long": &long[..if n % 3 == 0 { 90_000 } else { 9 }] });
        site.deliver(&format!("msg_{n:0>100}"), &body.to_string()).await;
    }
    let page = site.get("/admin/quarantine", Some(&cookie)).await.body;
    assert!(page.len() <= 60_000, "{} bytes", page.len());
    assert_eq!(page.matches("Try again<").count(), 25);
    let tried = site.post("/admin/quarantine/reprocess", Some(&cookie), &[]).await;
    assert_eq!(tried.location(), "/admin/quarantine?applied=0&unchanged=0&stayed=110");
    // As it looks when the time was up.
    let half = "/admin/quarantine?applied=2&unchanged=0&stayed=60&next=1";
    let page = site.get(half, Some(&cookie)).await.body;
    assert!(page.contains("2 applied, 60 still cannot be.") && page.contains("50 have not been tried yet."), "{page}");
    let last = site.app.store.counts().entries;
    let (next, carried) = (last.to_string(), [("applied", "2"), ("unchanged", "0"), ("stayed", "60")]);
    let form = [carried[0], carried[1], carried[2], ("next", next.as_str())];
    let on = site.post("/admin/quarantine/reprocess", Some(&cookie), &form).await;
    assert_eq!(on.location(), "/admin/quarantine?applied=2&unchanged=0&stayed=60");
}
