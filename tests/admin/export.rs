//! Downloads of the audit log.

use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};

use super::site::{PASSWORD, Site, sign_in};

const EXPORT: &str = "/admin/audit/export";

async fn count(site: &Site) -> usize {
    site.entries().await.iter().filter(|entry| entry.leaf.action == "audit.exported").count()
}

#[tokio::test]
async fn a_download_is_what_the_filter_finds() {
    let (site, cookie) = Site::with_admin().await;
    // More than is read at one go.
    for n in 0..300 {
        site.add_user(&format!("user_{n:03}"), &json!({ "first_name": "Ann" })).await;
    }
    let mut listed = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = site.api(&format!("/api/audit?action=user.*&limit=200{cursor}")).await;
        listed.extend(page["items"].as_array().unwrap().clone());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    listed.reverse();
    assert_eq!(listed.len(), 300);

    let answer = site.get(&format!("{EXPORT}?format=jsonl&action=user.*&from="), Some(&cookie)).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/jsonl"));
    let name = answer.header("content-disposition");
    assert!(name.starts_with("attachment; filename=\"rollbook-audit-20") && name.ends_with(".jsonl\""), "{name}");
    let lines: Vec<Value> = answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, listed);

    let answer = site.get(&format!("{EXPORT}?format=csv&action=user.*"), Some(&cookie)).await;
    assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8");
    let mut rows = answer.body.split("\r\n");
    assert!(rows.next().unwrap().starts_with("seq,at,action,"));
    let seqs: Vec<u64> =
        rows.filter(|line| !line.is_empty()).map(|line| line.split(',').next().unwrap().parse().unwrap()).collect();
    assert_eq!(seqs, listed.iter().map(|entry| entry["seq"].as_u64().unwrap()).collect::<Vec<_>>());

    let said = site.newest("audit.exported").await;
    assert_eq!(said.leaf.actor, "admin:ada");
    let detail = said.detail.unwrap();
    assert_eq!((&detail["format"], &detail["action"]), (&json!("csv"), &json!("user.*")));

    // All of it, up to the entry that says that it left.
    let page = site.get(&format!("{EXPORT}?format=jsonl&actor=ada&subject="), Some(&cookie)).await.body;
    let last: Value = serde_json::from_str(page.lines().last().unwrap()).unwrap();
    assert_eq!((&last["action"], &last["detail"]["actor"]), (&json!("audit.exported"), &json!("admin:ada")));
    let shown = site.get("/admin/audit?action=user.*&from=2020-01-01&to=&actor=", Some(&cookie)).await.body;
    for format in ["csv", "jsonl"] {
        let link = format!("href=\"{EXPORT}?format={format}&#38;action=user.*&#38;from=2020-01-01\"");
        assert!(shown.contains(&link), "{link}: {shown}");
    }
}

#[tokio::test]
async fn no_cell_is_a_formula() {
    let (site, cookie) = Site::with_admin().await;
    for agent in ["=HYPERLINK(\"//evil\")", "+1", "-1", "@SUM(A1)", "\"=1\""] {
        let headers = [("user-agent", agent), ("sec-fetch-site", "same-origin")];
        assert_eq!(site.post_with("/admin/sign-in", None, &headers, &sign_in("ada", PASSWORD)).await.status, 303);
    }
    let csv = site.get(&format!("{EXPORT}?format=csv&action=admin.signed_in"), Some(&cookie)).await.body;
    for cell in [",\"'=HYPERLINK(\"\"//evil\"\")\",", ",'+1,", ",'-1,", ",'@SUM(A1),", ",\"'\"\"=1\"\"\","] {
        assert!(csv.contains(cell), "{cell}: {csv}");
    }
}

#[tokio::test]
async fn a_download_is_for_admins_who_ask_for_it_themselves() {
    let (site, cookie) = Site::with_admin().await;
    let path = format!("{EXPORT}?format=csv");
    let answer = site.get(&path, None).await;
    assert_eq!((answer.status, answer.location()), (303, "/admin/sign-in?next=/admin/audit"));
    assert_eq!(site.post(&path, Some(&cookie), &[]).await.status, 405);
    for foreign in
        [("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site"), ("origin", "https://evil.example")]
    {
        assert_eq!(site.send(Method::GET, &path, Some(&cookie), &[foreign], None).await.status, 403, "{foreign:?}");
    }
    for bad in [
        "",
        "?format=ocsf",
        "?format=xml",
        "?format=csv&format=csv",
        "?format=csv&limit=1",
        "?format=csv&cursor=a",
        "?format=csv&actor=two+words",
    ] {
        assert_eq!(site.get(&format!("{EXPORT}{bad}"), Some(&cookie)).await.status, 400, "{bad}");
    }
    assert_eq!(count(&site).await, 0);
    let own = site.send(Method::GET, &path, Some(&cookie), &[("sec-fetch-site", "same-origin")], None).await;
    assert_eq!((own.status, count(&site).await), (200, 1));
}

/// Far more than the system takes off the server's hands, then more than is read at one go.
async fn fill(site: &Site) {
    for n in 0..120 {
        let event = json!({ "type": "user.created", "object": "event", "timestamp": 1, "data": {
            "id": "user_large", "object": "user", "created_at": 1, "updated_at": 1 + n,
            "public_metadata": { "filler": format!("{n}{}", "x".repeat(28_000)) },
        }});
        site.deliver(&format!("msg_large_{n}"), &event.to_string()).await;
    }
    for n in 0..300 {
        site.add_user(&format!("user_small_{n:03}"), &json!({})).await;
    }
}

#[tokio::test]
async fn a_download_breaks_off_with_the_session() {
    let (site, cookie) = Site::with_admin().await;
    fill(&site).await;
    let whole = site.get(&format!("{EXPORT}?format=jsonl"), Some(&cookie)).await.body;
    let whole_size = whole.len();
    assert!(whole_size > 6_000_000, "{whole_size}");
    let answer = site.open(&format!("{EXPORT}?format=jsonl"), &cookie, &[]).await;
    assert_eq!(answer.status().as_u16(), 200);
    assert_eq!(site.post("/admin/sign-out", Some(&cookie), &[]).await.status, 303);
    let mut chunks = answer.bytes_stream();
    let mut taken = 0;
    let end = loop {
        match chunks.next().await {
            Some(Ok(chunk)) => taken += chunk.len(),
            end => break end,
        }
    };
    assert!(matches!(end, Some(Err(_))), "what is not whole must not look as if it were: {taken} of {whole_size}");
    assert!(taken < whole_size);
}
