//! The audit log, live.

use reqwest::Method;
use serde_json::json;

use super::site::{MINUTE, Site};
use crate::sse::Blocks;

const LIVE: &str = "/admin/audit/live";

/// A browser that listens.
struct Listener(Blocks);

/// An event as a browser has it.
#[derive(Debug, PartialEq, Eq)]
struct Event {
    id: String,
    kind: String,
    data: String,
}

impl Listener {
    async fn open(site: &Site, cookie: &str, query: &str, headers: &[(&str, &str)]) -> Self {
        Self(Blocks::of(site.open(&format!("{LIVE}{query}"), cookie, headers).await))
    }

    /// The next event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let event = event(&self.0.next().await?);
            if event.is_some() {
                return event;
            }
        }
    }

    /// The next entry's HTML.
    async fn entry(&mut self) -> String {
        let event = self.next().await.unwrap();
        assert_eq!(event.kind, "entry");
        event.data
    }

    async fn ends(&mut self) {
        assert_eq!(self.next().await.unwrap().kind, "ended");
        assert_eq!(self.next().await, None);
    }
}

/// Reads a block as WHATWG HTML has it; `None` for a sign of life.
fn event(block: &str) -> Option<Event> {
    let all = |name: &str| -> Vec<&str> {
        let lines = block.split(['\n', '\r']).filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        lines.map(|value| value.strip_prefix(' ').unwrap_or(value)).collect()
    };
    let data = all("data");
    let last = |name: &str| all(name).last().copied().unwrap_or_default().to_owned();
    (!data.is_empty()).then(|| Event { id: last("id"), kind: last("event"), data: data.join("\n") })
}

async fn count(site: &Site, action: &str) -> usize {
    site.entries().await.iter().filter(|entry| entry.leaf.action == action).count()
}

#[tokio::test]
async fn what_comes_is_shown_as_it_comes_and_leaves_no_trace() {
    let (site, cookie) = Site::with_admin().await;
    let mut live = Listener::open(&site, &cookie, "?action=user.*", &[]).await;
    let before = site.app.store.counts().entries;
    for n in 0..5 {
        let name = format!("</li><script>{n}\n\nevent: ended\r\nid: 1\revent: ended\rdata: x\u{202e}");
        site.add_user(&format!("user_{n}"), &json!({ "first_name": name })).await;
        let entry = live.entry().await;
        assert!(entry.starts_with("<li class=\"entry good\">") && entry.trim_end().ends_with("</li>"), "{entry}");
        assert!(entry.contains(&format!("&#60;script&#62;{n}")) && !entry.contains("<script"), "{entry}");
        assert!(entry.contains(&format!("href=\"/admin/audit/{}\"", before + n)), "{entry}");
    }
    assert_eq!(site.app.store.counts().entries, before + 5, "the stream itself is no news");
    let opened = site.newest("audit.streamed").await;
    assert_eq!((opened.leaf.actor.as_str(), &opened.detail.unwrap()["action"]), ("admin:ada", &json!("user.*")));
    // The row is the list's.
    let list = site.get("/admin/audit?action=user.*", Some(&cookie)).await.body;
    site.add_user("user_9", &json!({ "first_name": "Ann" })).await;
    let entry = live.entry().await;
    let list_after = site.get("/admin/audit?action=user.*", Some(&cookie)).await.body;
    assert!(!list.contains(entry.trim()) && list_after.contains(entry.trim()), "{entry}");
}

#[tokio::test]
async fn a_listener_who_was_cut_off_misses_nothing() {
    let (site, cookie) = Site::with_admin().await;
    site.add_user("user_0", &json!({})).await;
    let first = site.newest("user.created").await.seq;
    for n in 1..4 {
        site.add_user(&format!("user_{n}"), &json!({})).await;
    }
    let query = format!("?action=user.created&after={first}");
    let mut live = Listener::open(&site, &cookie, &query, &[]).await;
    let seen = [live.next().await.unwrap(), live.next().await.unwrap()];
    assert_eq!([&seen[0].id, &seen[1].id], [&(first + 1).to_string(), &(first + 2).to_string()]);
    // A browser comes back to the same address, and says what it had.
    let mut live = Listener::open(&site, &cookie, &query, &[("last-event-id", &seen[1].id)]).await;
    assert_eq!(live.next().await.unwrap().id, (first + 3).to_string());
    for from in ["?action=user.created", "?action=user.created&after=9999999"] {
        let mut live = Listener::open(&site, &cookie, from, &[]).await;
        site.add_user(&format!("user_later_{}", from.len()), &json!({})).await;
        assert_eq!(
            live.next().await.unwrap().id,
            site.newest("user.created").await.seq.to_string(),
            "only what is new"
        );
    }
}

#[tokio::test]
async fn a_stream_ends_when_its_session_does_and_does_not_keep_it() {
    let (site, cookie) = Site::with_admin().await;
    let mut live = Listener::open(&site, &cookie, "?action=user.*", &[]).await;
    assert_eq!(site.post("/admin/sign-out", Some(&cookie), &[]).await.status, 303);
    site.add_user("user_1", &json!({ "first_name": "Ann" })).await;
    live.ends().await;
    assert_eq!(site.open(LIVE, &cookie, &[]).await.status().as_u16(), 401);

    let cookie = site.set_up().await;
    let mut live = Listener::open(&site, &cookie, "?action=user.*", &[]).await;
    for n in 2..5 {
        site.later(4 * MINUTE);
        site.add_user(&format!("user_{n}"), &json!({})).await;
        live.entry().await;
        assert_eq!(site.open(LIVE, &cookie, &[]).await.status().as_u16(), 200, "a browser that comes back");
        let page = site.get("/admin/audit?live=on", Some(&cookie)).await;
        assert_eq!(page.status, 200, "a page that asks for itself");
    }
    site.later(4 * MINUTE);
    site.add_user("user_5", &json!({})).await;
    live.ends().await;
    assert_eq!(site.get("/admin/audit?live=on", Some(&cookie)).await.status, 303, "nobody sat there for 15 minutes");
}

#[tokio::test]
async fn a_stream_is_for_admins_who_come_from_our_own_page() {
    let (site, cookie) = Site::with_admin().await;
    let get = async |query: &str, cookie: Option<&str>, headers: &[(&str, &str)]| {
        site.send(Method::GET, &format!("{LIVE}{query}"), cookie, headers, None).await.status
    };
    assert_eq!(get("", None, &[]).await, 401);
    for foreign in
        [("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site"), ("origin", "https://evil.example")]
    {
        assert_eq!(get("", Some(&cookie), &[foreign]).await, 403, "{foreign:?}");
    }
    for bad in ["?after=x", "?after=-1", "?limit=1", "?actor=two+words", "?action=a+b", "?from=x", "?live=on"] {
        assert_eq!(get(bad, Some(&cookie), &[]).await, 400, "{bad}");
    }
    assert_eq!(get("", Some(&cookie), &[("last-event-id", "x")]).await, 400);
    assert_eq!(site.post(LIVE, Some(&cookie), &[]).await.status, 405);
    assert_eq!(count(&site, "audit.streamed").await, 0);
}

#[tokio::test]
async fn a_stream_does_not_hold_up_the_servers_end() {
    let (site, cookie) = Site::with_admin().await;
    let mut live = Listener::open(&site, &cookie, "", &[]).await;
    live.entry().await;
    let (end, _folder) = tokio::join!(live.next(), site.stop());
    // A connection that had to be cut would have been an error to the browser.
    assert_eq!(end, None);
}

#[tokio::test]
async fn only_the_live_page_has_script_and_it_works_without() {
    let (site, cookie) = Site::with_admin().await;
    site.add_user("user_1", &json!({})).await;
    let plain = site.get("/admin/audit?action=user.*", Some(&cookie)).await.body;
    assert!(!plain.contains("<script") && !plain.contains("http-equiv"));
    assert!(plain.contains("href=\"/admin/audit?live=on&#38;action=user.*\""), "{plain}");
    let page = site.get("/admin/audit?live=on&action=user.*", Some(&cookie)).await;
    let newest = site.newest("user.created").await.seq;
    assert!(page.body.contains("<noscript><meta http-equiv=\"refresh\" content=\"10\"></noscript>"), "{}", page.body);
    assert!(page.body.contains("href=\"/admin/audit?action=user.*\">Stop</a>"));
    let stream = page.body.split("data-stream=\"").nth(1).unwrap();
    let stream = stream[..stream.find('"').unwrap()].replace("&#38;", "&");
    let after: u64 = stream.split("after=").nth(1).unwrap().split('&').next().unwrap().parse().unwrap();
    assert!(after >= newest && stream.ends_with("&action=user.*"), "{stream}");
    let script = page.body.split("<script src=\"").nth(1).unwrap();
    let script = site.get(&script[..script.find('"').unwrap()], None).await;
    assert_eq!((script.status, script.header("content-type")), (200, "text/javascript; charset=utf-8"));
    for policy in ["script-src 'self'", "connect-src 'self'"] {
        assert!(page.header("content-security-policy").contains(policy));
    }
}
