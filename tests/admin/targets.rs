//! Targets, as admins see and move them.

use std::time::{Duration, Instant};

use rollbook::forward::Status;
use serde_json::json;

use super::site::{Answer, PASSWORD, Site};
use crate::receiver::{Receiver, SECRET};

/// Targets on this machine may be called.
const NEAR: (&str, &str) = ("ROLLBOOK_FORWARD_PRIVATE", "127.0.0.0/8");

/// The form for a new target, some of its fields with other values.
fn form<'a>(name: &'a str, url: &'a str, changed: &[(&'static str, &'a str)]) -> Vec<(&'static str, &'a str)> {
    let fields = [("name", name), ("url", url), ("kind", "events"), ("types", ""), ("from", "now")];
    let empty = [("entry", ""), ("day", ""), ("secret", ""), ("password", PASSWORD)];
    let mut form: Vec<_> = fields.into_iter().chain(empty).collect();
    for (field, value) in changed {
        match form.iter_mut().find(|(name, _)| name == field) {
            Some(there) => there.1 = value,
            None => form.push((field, value)),
        }
    }
    form
}

async fn add(site: &Site, cookie: &str, form: &[(&str, &str)]) -> Answer {
    site.post("/admin/targets", Some(cookie), form).await
}

async fn page(site: &Site, cookie: &str, path: &str) -> String {
    let answer = site.get(path, Some(cookie)).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.body
}

/// Presses a button that needs nothing else.
async fn press(site: &Site, cookie: &str, path: &str, done: &str) {
    let answer = site.post(path, Some(cookie), &[]).await;
    assert_eq!(answer.status, 303, "{path}: {}", answer.body);
    assert!(answer.location().ends_with(&format!("?done={done}")), "{path}: {}", answer.location());
}

fn status(site: &Site, name: &str) -> Option<Status> {
    site.app.forwarder.status(&name.parse().unwrap())
}

/// Waits until that is so of the target.
pub(crate) async fn until(site: &Site, name: &str, so: impl Fn(&Status) -> bool) -> Status {
    let since = Instant::now();
    loop {
        let status = status(site, name).unwrap();
        if so(&status) {
            return status;
        }
        assert!(since.elapsed() < Duration::from_mins(1), "{status:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn somebody_comes(site: &Site, id: &str) {
    site.add_user(id, &json!({ "first_name": "Ada" })).await;
}

#[tokio::test]
async fn a_target_is_added_and_its_secret_shown_once() {
    let (receiver, site) = (Receiver::start().await, Site::start_with(&[NEAR], None).await);
    let cookie = site.set_up().await;
    let empty = page(&site, &cookie, "/admin/targets").await;
    assert!(empty.contains("There is no target yet. Add the first one below"), "{empty}");
    assert!(empty.contains("aria-current=\"page\">Targets"), "{empty}");
    somebody_comes(&site, "user_1").await;

    let made = add(&site, &cookie, &form("billing", &receiver.url, &[("from", "all"), ("types", "user.*")])).await;
    assert_eq!((made.status, made.header("cache-control")), (200, "no-store"));
    let secret = &made.body[made.body.find("whsec_").unwrap()..][..50];
    assert!(made.body.contains("it is not shown again"));
    let entry = site.newest("target.created").await;
    assert_eq!((entry.leaf.actor.as_str(), entry.leaf.target.as_deref()), ("admin:ada", Some("target:billing")));
    let call = receiver.after(1).await.remove(0);
    assert!(call.is_signed_with(secret) && call.json()["type"] == "user.created");
    until(&site, "billing", |status| status.behind == 0).await;
    for path in ["/admin/targets", "/admin/targets/billing", "/admin/targets/billing/secret", "/admin", "/admin/audit"]
    {
        let shown = page(&site, &cookie, path).await;
        assert!(!shown.contains(&secret[6..]), "{path}");
    }
    let list = page(&site, &cookie, "/admin/targets").await;
    assert!(list.contains("href=\"/admin/targets/billing\"") && list.contains(">Up to date<"), "{list}");
    assert!(list.contains("<details class=\"adds\">") && empty.contains("<details class=\"adds\" open>"), "{list}");

    let answer = add(&site, &cookie, &form("crm", &receiver.url, &[("secret", SECRET)])).await;
    assert_eq!((answer.status, answer.location()), (303, "/admin/targets/crm?done=added"), "{}", answer.body);
    assert!(!page(&site, &cookie, answer.location()).await.contains(&SECRET[6..]));
    somebody_comes(&site, "user_2").await;
    receiver.once(|calls| calls.iter().any(|call| call.is_genuine)).await;
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_a_sentence_and_nothing_is_added() {
    let site = Site::start().await;
    let cookie = site.set_up().await;
    let fine = "https://hooks.example.com/rollbook";
    for (fields, told, field) in [
        (form("Billing", fine, &[]), "its name is 1 to 32 characters", "name"),
        (form("settings", fine, &[]), "that name is kept", "name"),
        (form("a", "hooks", &[]), "the address must be an https or http URL", "url"),
        (form("a", "https://user:pass@hooks.example.com", &[]), "no user, query or fragment", "url"),
        (form("a", "http://hooks.example.com", &[]), "over the internet it has to be https", "url"),
        // Inside, however it is written: only the settings open that.
        (form("a", "https://10.0.0.1/hooks", &[]), "ROLLBOOK_FORWARD_PRIVATE", "url"),
        (form("a", "http://127.0.0.1:8080", &[]), "ROLLBOOK_FORWARD_PRIVATE", "url"),
        (form("a", "https://[::ffff:169.254.169.254]", &[]), "ROLLBOOK_FORWARD_PRIVATE", "url"),
        (form("a", "https://2130706433/", &[]), "ROLLBOOK_FORWARD_PRIVATE", "url"),
        (form("a", fine, &[("kind", "all")]), "choose what it is told", "kind"),
        (form("a", fine, &[("types", "user.created user.deleted")]), "events are up to 32 names", "types"),
        (form("a", fine, &[("bearer", "yes")]), "only calls that create", "bearer"),
        (form("a", fine, &[("bearer", "yes"), ("kind", "api")]), "CLERK_SECRET_KEY has to be set", "bearer"),
        (form("a", fine, &[("from", "somewhere")]), "choose where it begins", "from"),
        (form("a", fine, &[("from", "entry"), ("entry", "+1")]), "the number of the entry", "entry"),
        (form("a", fine, &[("from", "entry"), ("entry", "900")]), "the log ends before that entry", "entry"),
        (form("a", fine, &[("from", "day"), ("day", "yesterday")]), "the day is missing", "day"),
        (form("a", fine, &[("secret", "whsec_short")]), "24 to 64 random bytes", "secret"),
        (form("a", fine, &[("kind", "api"), ("types", "session.*,user.assigned")]), "none of them is named", "types"),
        (form("a", fine, &[("from", "day"), ("day", "2999-01-01")]), "that day has not come yet", "day"),
    ] {
        let answer = add(&site, &cookie, &fields).await;
        assert_eq!(answer.status, 400, "{fields:?}");
        let alert = &answer.body[answer.body.find("role=\"alert\"").unwrap()..];
        assert!(
            alert[..400].contains("Nothing was added") && alert[..400].contains(told),
            "{fields:?}: {}",
            &alert[..400]
        );
        assert!(!answer.body.contains(PASSWORD) && !answer.body.contains("whsec_short"), "{fields:?}");
        assert!(alert.contains(&format!("<a href=\"#{field}\">Nothing was added")), "{fields:?}");
        assert!(answer.body.contains("<title>Error: Targets"), "{fields:?}");
        let marked = answer.body.contains(&format!("aria-describedby=\"fault-{field}"));
        let (main, h1) = (answer.body.find("<main").unwrap(), answer.body.find("<h1").unwrap());
        let at = answer.body.find("role=\"alert\"").unwrap();
        assert!(marked && main < at && at < h1 && answer.body.contains("class=\"adds\" open"), "{fields:?}");
        let url = fields[1].1;
        assert!(answer.body.contains(&format!("value=\"{url}\"")), "{fields:?}: what was typed is gone");
    }
    let long = "<".repeat(2_500);
    let refused = add(&site, &cookie, &form(&long, &long, &[("types", &long), ("day", &long)])).await;
    assert!(refused.status == 400 && refused.body.len() < 20_000, "{}", refused.body.len());
    assert!(site.app.forwarder.all().is_empty());
    assert!(site.entries().await.iter().all(|entry| entry.leaf.action != "target.created"));
}

#[tokio::test]
async fn a_target_that_fails_is_seen_everywhere_and_can_be_helped_on() {
    let (receiver, site) = (Receiver::start().await, Site::start_with(&[NEAR], None).await);
    let cookie = site.set_up().await;
    receiver.say(|_| Some((503, "", "<script>down</script> for tea")));
    let typed = [("secret", SECRET), ("types", "user.*")];
    assert_eq!(add(&site, &cookie, &form("crm", &receiver.url, &typed)).await.status, 303);
    somebody_comes(&site, "user_1").await;
    let seq = until(&site, "crm", |status| status.said.is_some()).await.course.failing.unwrap().seq;

    let one = page(&site, &cookie, "/admin/targets/crm").await;
    for shown in [
        ">Failing<",
        "<p>It answers 503.</p>",
        "tried ",
        "It says: <bdi>&#60;script&#62;down&#60;/script&#62; for tea</bdi>",
        &format!("href=\"/admin/audit/{seq}\""),
        &format!("href=\"/admin/targets/crm/skip/{seq}\""),
        "action=\"/admin/targets/crm/retry\"",
    ] {
        assert!(one.contains(shown), "{shown}: {one}");
    }
    assert!(page(&site, &cookie, "/admin/targets").await.contains("It answers 503; entry"));
    for path in ["/admin", "/admin/system"] {
        let page = page(&site, &cookie, path).await;
        assert!(
            page.contains("arget crm: it answers 503") && page.contains("href=\"/admin/targets\""),
            "{path}: {page}"
        );
    }
    let metrics = site.get("/metrics", None).await.body;
    for line in ["rollbook_forward_up{target=\"crm\"} 0", "rollbook_forward_delivered_total{target=\"crm\"} 0"] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    assert!(!metrics.contains("rollbook_forward_failures_total{target=\"crm\"} 0"), "{metrics}");

    // Another entry than the one that waits cannot be skipped.
    let other = site.get(&format!("/admin/targets/crm/skip/{}", seq + 1), Some(&cookie)).await;
    assert_eq!((other.status, other.location()), (303, "/admin/targets/crm?done=past"));
    let skip = format!("/admin/targets/crm/skip/{seq}");
    let ask = page(&site, &cookie, &skip).await;
    assert!(ask.contains(&format!("Skip <bdi>entry {seq}</bdi>?")) && ask.contains("Your password again"), "{ask}");
    let skipped = site.post(&skip, Some(&cookie), &[("password", PASSWORD)]).await;
    assert_eq!((skipped.status, skipped.location()), (303, "/admin/targets/crm?done=skipped"), "{}", skipped.body);
    assert_eq!(site.newest("target.skipped").await.leaf.actor, "admin:ada");

    somebody_comes(&site, "user_2").await;
    until(&site, "crm", |status| status.course.failing.as_ref().is_some_and(|failing| failing.seq > seq)).await;
    receiver.take();
    press(&site, &cookie, "/admin/targets/crm/retry", "tried").await;
    until(&site, "crm", |status| status.course.delivered == 1 && status.behind == 0).await;
    assert!(page(&site, &cookie, "/admin/targets/crm").await.contains(">Up to date<"));
    assert!(!page(&site, &cookie, "/admin").await.contains("arget crm: "));
    let metrics = site.get("/metrics", None).await.body;
    for line in ["rollbook_forward_up{target=\"crm\"} 1", "rollbook_forward_delivered_total{target=\"crm\"} 1"] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

#[tokio::test]
async fn a_target_is_paused_moved_tried_out_changed_and_removed() {
    let (receiver, site) = (Receiver::start().await, Site::start_with(&[NEAR], None).await);
    let cookie = site.set_up().await;
    assert_eq!(add(&site, &cookie, &form("crm", &receiver.url, &[("secret", SECRET)])).await.status, 303);
    press(&site, &cookie, "/admin/targets/crm/pause", "paused").await;
    somebody_comes(&site, "user_1").await;
    let paused = page(&site, &cookie, "/admin/targets/crm").await;
    assert!(paused.contains(">Paused<") && paused.contains("action=\"/admin/targets/crm/resume\""), "{paused}");
    assert!(page(&site, &cookie, "/admin").await.contains("arget crm: paused"));
    press(&site, &cookie, "/admin/targets/crm/resume", "resumed").await;
    let first = receiver.after(1).await.remove(0);
    // It is with the receiver before its answer is with us.
    until(&site, "crm", |status| status.course.delivered == 1).await;

    let replay = "/admin/targets/crm/replay";
    let seq = first.seq().to_string();
    let places = [
        (format!("from=entry&entry={seq}&day="), &*seq),
        ("from=day&entry=&day=2024-05-28".into(), "0"),
        ("from=all".into(), "all"),
    ];
    for (n, (query, place)) in places.iter().enumerate() {
        let asked = site.get(&format!("{replay}?{query}"), Some(&cookie)).await;
        let path = format!("{replay}/{place}");
        assert_eq!((asked.status, asked.location()), (303, &*path), "{}", asked.body);
        // While it stands still, so does what lies between.
        press(&site, &cookie, "/admin/targets/crm/pause", "paused").await;
        let next = status(&site, "crm").unwrap().course.after.unwrap() + 1;
        let ask = page(&site, &cookie, &path).await;
        let between = next - place.parse().unwrap_or(0);
        let between =
            if between == 1 { "1 entry of the log lies".into() } else { format!("{between} entries of the log lie") };
        assert!(ask.contains("Move <bdi>crm</bdi>?") && ask.contains(&between), "{between}: {ask}");
        let wrong = site.post(&path, Some(&cookie), &[("password", "not the password")]).await;
        assert!(wrong.status == 403 && wrong.body.contains("<title>Error: "), "{}", wrong.body);
        assert_eq!(status(&site, "crm").unwrap().course.after.unwrap() + 1, next, "nothing was moved");
        let answer = site.post(&path, Some(&cookie), &[("password", PASSWORD)]).await;
        assert_eq!((answer.status, answer.location()), (303, "/admin/targets/crm?done=moved"), "{}", answer.body);
        press(&site, &cookie, "/admin/targets/crm/resume", "resumed").await;
        let calls = receiver.after(n + 2).await;
        assert_eq!(calls.last().unwrap().header("webhook-id"), first.header("webhook-id"), "{query}");
        until(&site, "crm", |status| status.course.delivered == n as u64 + 2).await;
    }
    for (query, told, field) in [
        ("", "choose where it begins", "from"),
        ("?from=entry&entry=", "the number of the entry is missing", "entry"),
        ("?from=day&day=2999-01-01", "that day has not come yet", "day"),
        ("/99999", "the log ends", "entry"),
    ] {
        let refused = site.get(&format!("{replay}{query}"), Some(&cookie)).await;
        let alert = format!("<a href=\"#{field}\">It stays where it is: {told}");
        assert!(refused.status == 400 && refused.body.contains(&alert), "{query}: {}", refused.body);
    }
    assert_eq!(site.get(&format!("{replay}/x"), Some(&cookie)).await.status, 404);
    assert_eq!(site.post(replay, Some(&cookie), &[]).await.status, 405);

    press(&site, &cookie, "/admin/targets/crm/test", "tested").await;
    let test = receiver.calls().pop().unwrap();
    assert!(test.is_genuine && test.json()["type"] == "rollbook.test", "{test:?}");
    receiver.say(|_| Some((400, "", "not <b>you</b>")));
    let failed = site.post("/admin/targets/crm/test", Some(&cookie), &[]).await;
    assert!(failed.status == 502 && failed.body.contains("answered 400: <bdi>not &#60;b&#62;you"), "{}", failed.body);
    assert_eq!(site.newest("target.tested").await.leaf.outcome, "error");
    receiver.take();

    let url = format!("{}/elsewhere", receiver.url);
    let change =
        [("url", url.as_str()), ("kind", "events"), ("types", "user.created, session.*"), ("password", PASSWORD)];
    let saved = site.post("/admin/targets/crm", Some(&cookie), &change).await;
    assert_eq!((saved.status, saved.location()), (303, "/admin/targets/crm?done=saved"), "{}", saved.body);
    let one = page(&site, &cookie, saved.location()).await;
    assert!(one.contains("value=\"user.created,session.*\"") && one.contains("Saved."), "{one}");
    let inside = [("url", "https://192.168.0.1/"), ("kind", "events"), ("types", ""), ("password", PASSWORD)];
    let refused = site.post("/admin/targets/crm", Some(&cookie), &inside).await;
    assert!(refused.status == 400 && refused.body.contains("ROLLBOOK_FORWARD_PRIVATE"), "{}", refused.body);
    somebody_comes(&site, "user_2").await;
    receiver.once(|calls| calls.last().unwrap().path == "/elsewhere").await;

    let new = [("secret", ""), ("password", PASSWORD)];
    let made = site.post("/admin/targets/crm/secret", Some(&cookie), &new).await;
    assert_eq!(made.status, 200);
    let secret = &made.body[made.body.find("whsec_").unwrap()..][..50];
    somebody_comes(&site, "user_3").await;
    let calls = receiver.once(|calls| calls.last().unwrap().is_signed_with(secret)).await;
    assert!(calls.last().unwrap().is_genuine, "for a day the former one signs too");

    let ask = page(&site, &cookie, "/admin/targets/crm/remove").await;
    assert!(ask.contains("Remove <bdi>crm</bdi>?"), "{ask}");
    let removed = site.post("/admin/targets/crm/remove", Some(&cookie), &[("password", PASSWORD)]).await;
    assert_eq!((removed.status, removed.location()), (303, "/admin/targets?removed"), "{}", removed.body);
    assert_eq!(site.get("/admin/targets/crm", Some(&cookie)).await.status, 404);
    assert!(page(&site, &cookie, "/admin/targets?removed").await.contains("It is told nothing any more."));
}

#[tokio::test]
async fn the_target_of_the_settings_is_shown_and_moved_but_not_changed() {
    let receiver = Receiver::start().await;
    let set = [NEAR, ("ROLLBOOK_FORWARD_URL", receiver.url.as_str()), ("ROLLBOOK_FORWARD_SECRET", SECRET)];
    let site = Site::start_with(&set, None).await;
    let cookie = site.set_up().await;
    let one = page(&site, &cookie, "/admin/targets/settings").await;
    assert!(
        one.contains("It comes from the settings")
            && one.contains(">from the settings</span>")
            && one.contains(&format!("<bdi>{}/</bdi>", receiver.url)),
        "{one}"
    );
    let list = page(&site, &cookie, "/admin/targets").await;
    let row = "\">settings</a> <span class=\"badge\">events</span> <span class=\"badge\">from the settings</span>";
    assert!(list.contains(row) && list.matches(">settings<").count() == 1, "{list}");
    for absent in ["/remove", "/secret", "name=\"url\"", &SECRET[6..]] {
        assert!(!one.contains(absent), "{absent}: {one}");
    }
    let change = [("url", "https://evil.example"), ("kind", "events"), ("types", ""), ("password", PASSWORD)];
    for (path, fields) in [
        ("/admin/targets/settings", &change[..]),
        ("/admin/targets/settings/secret", &[("secret", ""), ("password", PASSWORD)]),
        ("/admin/targets/settings/remove", &[("password", PASSWORD)]),
    ] {
        let answer = site.post(path, Some(&cookie), fields).await;
        assert!(answer.status == 400 && answer.body.contains("can be changed there only"), "{path}: {}", answer.body);
    }
    press(&site, &cookie, "/admin/targets/settings/pause", "paused").await;
    somebody_comes(&site, "user_1").await;
    press(&site, &cookie, "/admin/targets/settings/resume", "resumed").await;
    assert!(receiver.after(1).await[0].is_genuine);
}

#[tokio::test]
async fn a_restored_copy_says_that_a_target_has_no_secret_and_takes_one() {
    let receiver = Receiver::start().await;
    let site = Site::start_with(&[NEAR], None).await;
    let cookie = site.set_up().await;
    assert_eq!(add(&site, &cookie, &form("crm", &receiver.url, &[])).await.status, 200);
    let secrets = format!("{}.targets", site.app.store.path().display());
    std::fs::remove_file(secrets).unwrap();
    let site = site.restarted(&[NEAR]).await;
    until(&site, "crm", |status| status.stuck.is_some()).await;
    let one = page(&site, &cookie, "/admin/targets/crm").await;
    assert!(one.contains(">No secret<") && one.contains("Give it one…"), "{one}");
    assert!(page(&site, &cookie, "/admin").await.contains("arget crm: its secret is not here"));
    somebody_comes(&site, "user_1").await;
    let given =
        site.post("/admin/targets/crm/secret", Some(&cookie), &[("secret", SECRET), ("password", PASSWORD)]).await;
    assert_eq!((given.status, given.location()), (303, "/admin/targets/crm?done=secret"), "{}", given.body);
    assert!(receiver.after(1).await[0].is_genuine);
}

#[tokio::test]
async fn the_test_of_a_target_of_calls_says_what_it_was_answered_and_what_was_not_tested() {
    let (site, receiver) = (Site::start_with(&[NEAR], None).await, Receiver::start().await);
    let cookie = site.set_up().await;
    receiver.say(|_| Some((501, "", "")));
    assert_eq!(
        add(&site, &cookie, &form("app", &receiver.url, &[("kind", "api"), ("secret", SECRET)])).await.status,
        303
    );
    let tested = site.post("/admin/targets/app/test", Some(&cookie), &[]).await;
    assert_eq!((tested.status, receiver.calls()[0].line().as_str()), (303, "GET /"));
    let shown = page(&site, &cookie, tested.location()).await;
    assert!(shown.contains("It answered 501 to a GET. The secret and the calls were not tested."), "{shown}");
}
