//! One entry: all that is known of it, and a proof that convinces a stranger.

use std::path::Path;

use redb::{ReadableTable as _, TableDefinition, TableHandle as _};
use rollbook::audit::{Doubt, Entry};
use rollbook::tlog::proof::Proof;
use rollbook::user::UserId;
use serde_json::json;

use super::site::{MINUTE, PASSWORD, Site};
use crate::common::clerk_id;
use crate::file;

fn page(seq: u64) -> String {
    format!("/admin/audit/{seq}")
}

async fn count(site: &Site, action: &str) -> usize {
    site.entries().await.iter().filter(|entry| entry.leaf.action == action).count()
}

/// A person who changed their name for the worse.
async fn renamed(site: &Site) -> Entry {
    site.add_user("user_1", &json!({ "first_name": "Ada", "last_name": "Lovelace", "instance": "x" })).await;
    let at = 1_800_000_000_000_i64;
    let event = json!({ "type": "user.updated", "object": "event", "timestamp": at, "data": {
        "id": "user_1", "object": "user", "created_at": 1, "updated_at": at, "last_name": "Lovelace",
        "first_name": "\"><script>alert(1)</script>\u{202e}", "public_metadata": { "</pre>": ["<b>"] },
    }});
    site.deliver("msg_renamed", &event.to_string()).await;
    site.newest("user.updated").await
}

#[tokio::test]
async fn an_entry_is_told_whole_and_proved() {
    let (site, cookie) = Site::with_admin().await;
    let entry = renamed(&site).await;
    let shown = site.get(&page(entry.seq), Some(&cookie)).await;
    assert_eq!(shown.status, 200, "{}", shown.body);
    for text in [
        "<bdi>Ada</bdi></td><td><bdi>&#34;&#62;&#60;script&#62;alert(1)",
        "It is what the line below commits to: checked just now.",
        ": verified just now.",
        "msg_renamed",
        "\\u202e",
        "&#60;/pre&#62;",
        entry.leaf.detail.as_deref().unwrap(),
        &site.app.notary.verifiers()[0].to_string(),
    ] {
        assert!(shown.body.contains(text), "{text}: {}", shown.body);
    }
    assert!(!shown.body.contains("<script") && !shown.body.contains("<b>"), "{}", shown.body);
    for other in [entry.seq - 1, entry.seq + 1] {
        assert!(shown.body.contains(&format!("href=\"{}\" rel=", page(other))), "{other}");
    }
    let read = site.newest("log.entry_read").await;
    assert_eq!((read.leaf.actor.as_str(), &read.detail.unwrap()["index"]), ("admin:ada", &json!(entry.seq)));
    let list = site.get("/admin/audit", Some(&cookie)).await.body;
    assert!(list.contains(&format!("href=\"{}\"", page(entry.seq))));
    let first = site.get(&page(0), Some(&cookie)).await.body;
    assert!(!first.contains("rel=\"next\"") && first.contains("rel=\"prev\""), "nothing is older than the first");
}

#[tokio::test]
async fn line_and_proof_convince_a_stranger_and_nothing_else_does() {
    let (site, cookie) = Site::with_admin().await;
    let entry = renamed(&site).await;
    let leaf = site.get(&format!("{}/leaf", page(entry.seq)), Some(&cookie)).await;
    let proof = site.get(&format!("{}/proof", page(entry.seq)), Some(&cookie)).await;
    let detail = site.get(&format!("{}/detail", page(entry.seq)), Some(&cookie)).await;
    assert_eq!(leaf.body.as_bytes(), &*entry.bytes);
    assert!(detail.body.contains("\"changes\""));
    for (answer, name) in [(&leaf, ".json"), (&proof, ".tlog-proof"), (&detail, "-detail.json")] {
        let wanted = format!("attachment; filename=\"entry-{}{name}\"", entry.seq);
        assert_eq!(answer.header("content-disposition"), wanted);
        assert_eq!((answer.header("x-content-type-options"), answer.header("cache-control")), ("nosniff", "no-store"));
    }
    assert_eq!(count(&site, "log.entry_read").await, 3);

    let keys = site.app.notary.verifiers();
    let proven: Proof = proof.body.parse().unwrap();
    assert!(proven.verify(leaf.body.as_bytes(), &keys).unwrap().size > entry.seq);
    for at in 0..leaf.body.len() {
        let mut other = leaf.body.clone().into_bytes();
        other[at] ^= 1;
        assert!(proven.verify(&other, &keys).is_err(), "{at}");
    }
    for at in 0..proof.body.len() {
        let mut other = proof.body.clone().into_bytes();
        other[at] ^= 1;
        let other = String::from_utf8(other).ok().and_then(|text| text.parse::<Proof>().ok());
        assert!(
            other.is_none_or(|other| other == proven || other.verify(leaf.body.as_bytes(), &keys).is_err()),
            "{at}"
        );
    }
}

#[tokio::test]
async fn an_entry_younger_than_the_newest_checkpoint_gets_one() {
    let (site, cookie) = Site::with_admin().await;
    let before = site.app.notary.publish().await.unwrap().checkpoint.size;
    site.add_user("user_1", &json!({})).await;
    let entry = site.newest("user.created").await;
    assert!(entry.seq >= before);
    let shown = site.get(&page(entry.seq), Some(&cookie)).await.body;
    assert!(shown.contains(": verified just now."), "{shown}");
    assert!(site.app.notary.published().unwrap().checkpoint.size > entry.seq);
}

#[tokio::test]
async fn an_erased_detail_is_missed_and_the_proof_stays() {
    let (site, cookie) = Site::with_admin().await;
    let entry = renamed(&site).await;
    let at = 1_900_000_000_000_i64;
    let event = json!({ "type": "user.deleted", "object": "event", "timestamp": at, "data": { "id": "user_1", "object": "user", "deleted": true } });
    site.deliver("msg_deleted", &event.to_string()).await;
    let erase = format!("/admin/users/{}/erase", site.user("user_1").id);
    let form = [("password", PASSWORD), ("reason", "asked"), ("confirmed", "on")];
    let names: Vec<String> = {
        let page = site.get(&erase, Some(&cookie)).await.body;
        let form = page.split("<form").last().unwrap();
        form.split("name=\"").skip(1).map(|rest| rest[..rest.find('"').unwrap()].to_owned()).collect()
    };
    let form: Vec<_> = form.into_iter().filter(|(name, _)| names.iter().any(|known| known == name)).collect();
    let done = site.post(&erase, Some(&cookie), &form).await;
    assert_eq!(done.status, 200, "{names:?} {}", done.body);
    let shown = site.get(&page(entry.seq), Some(&cookie)).await.body;
    assert!(shown.contains("The detail was erased") && shown.contains(": verified just now."), "{shown}");
    assert!(!shown.contains("Ada") && !shown.contains("user_1") && !shown.contains("/detail\""), "{shown}");
    assert_eq!(site.get(&format!("{}/detail", page(entry.seq)), Some(&cookie)).await.status, 404);
    assert_eq!(site.get(&format!("{}/proof", page(entry.seq)), Some(&cookie)).await.status, 200);
}

/// Changes a row of the log: `None` takes it out.
fn tamper(data: &Path, table: TableDefinition<'_, u64, &'static [u8]>, seq: u64, change: fn(String) -> Option<String>) {
    let txn = file::open(data).begin_write().unwrap();
    {
        let mut rows = txn.open_table(table).unwrap();
        let row = rows.get(seq).unwrap().unwrap().value().to_vec();
        let (salt, text) = row.split_at(if table.name() == "audit_detail-1" { 32 } else { 0 });
        match change(String::from_utf8(text.to_vec()).unwrap()) {
            Some(text) => drop(rows.insert(seq, &*[salt, text.as_bytes()].concat()).unwrap()),
            None => drop(rows.remove(seq).unwrap()),
        }
    }
    txn.commit().unwrap();
}

#[tokio::test]
async fn an_entry_that_was_tampered_with_is_called_so() {
    const LEAVES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit_leaf-1");
    const DETAILS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit_detail-1");
    let (mut site, cookie) = Site::with_admin().await;
    let seq = renamed(&site).await.seq;
    site.add_user("user_2", &json!({})).await;
    for (table, change, status, says) in [
        (
            DETAILS,
            (|detail| Some(detail.replace("Ada", "Eve"))) as fn(String) -> Option<String>,
            200,
            "not the one that the line commits to",
        ),
        (LEAVES, |leaf| Some(leaf.replace("msg_renamed", "msg_renamee")), 200, "This entry is not what was signed"),
        (LEAVES, |leaf| Some(leaf.replace("\"v\":1", "\"v\":")), 500, "The file was changed"),
        (LEAVES, |_| Some("{}".to_owned()), 500, "The file was changed"),
        (LEAVES, |_| None, 500, "missing or cannot be read"),
    ] {
        site = site.tampered(|data| tamper(data, table, seq, change)).await;
        let shown = site.get(&page(seq), Some(&cookie)).await;
        assert!(shown.status == status && shown.body.contains(says), "{says}: {}", shown.body);
        assert_eq!(shown.body.contains("verified just now"), table.name() == DETAILS.name(), "{}", shown.body);
        let whole = site.get(&page(seq - 1), Some(&cookie)).await.body;
        assert!(whole.contains("verified just now"), "its neighbour is as it was: {whole}");
    }
}

/// Makes the record of `user_1` one that cannot be read.
fn spoil(data: &Path) {
    const USERS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("users-1");
    let txn = file::open(data).begin_write().unwrap();
    let id = UserId::of(&clerk_id("user_1")).as_u128();
    assert!(txn.open_table(USERS).unwrap().insert(id, &b"{\"canary\":"[..]).unwrap().is_some());
    txn.commit().unwrap();
}

#[tokio::test]
async fn a_record_that_cannot_be_read_takes_no_list_with_it() {
    let (site, cookie) = Site::with_admin().await;
    let user = site.add_user("user_1", &json!({ "first_name": "Ada" })).await;
    let seq = site.newest("user.created").await.seq;
    let site = site.tampered(spoil).await;
    for path in ["/admin", "/admin/audit", "/admin/deliveries", &page(seq)] {
        let shown = site.get(path, Some(&cookie)).await;
        assert_eq!(shown.status, 200, "{path}: {}", shown.body);
    }
    let list = site.get("/admin/audit?action=user.created", Some(&cookie)).await.body;
    assert!(list.contains("user_1") && !list.contains(&user), "{list}");
    for path in ["/admin/users", &user] {
        let shown = site.get(path, Some(&cookie)).await;
        let is_told = shown.body.contains("The file was changed: run rollbook verify.");
        assert!(shown.status == 500 && is_told && !shown.body.contains("canary"), "{path}: {}", shown.body);
    }
}

#[tokio::test]
async fn whoever_is_signed_in_is_told_of_the_doubt_beside_a_problem() {
    let (site, cookie) = Site::with_admin().await;
    let told = async |cookie| site.get("/admin/nothing", cookie).await.body.contains("the log is in doubt");
    assert!(!told(Some(&*cookie)).await);
    site.app.store.refuse_writes(Doubt::NoMark);
    assert!(told(Some(&*cookie)).await && !told(None).await && !told(Some("__Host-rollbook=x")).await);
    site.later(15 * MINUTE);
    assert!(!told(Some(&*cookie)).await, "the session has run out");
}

#[tokio::test]
async fn an_entry_is_for_admins_who_come_from_our_own_pages() {
    let (site, cookie) = Site::with_admin().await;
    let seq = site.newest("admin.signed_in").await.seq;
    let looks = async || count(&site, "log.entry_read").await;
    for path in
        [page(seq), format!("{}/leaf", page(seq)), format!("{}/proof", page(seq)), format!("{}/detail", page(seq))]
    {
        let answer = site.get(&path, None).await;
        let here = if path == page(seq) { path.as_str() } else { "/admin/audit" };
        let expected = format!("/admin/sign-in?next={here}");
        assert_eq!((answer.status, answer.location()), (303, &*expected), "{path}");
        assert_eq!(site.post(&path, Some(&cookie), &[]).await.status, 405, "{path}");
        assert_eq!(site.get(&format!("{path}?x"), Some(&cookie)).await.status, 400, "{path}");
        let foreign = [("sec-fetch-site", "cross-site")];
        let answer = site.send(reqwest::Method::GET, &path, Some(&cookie), &foreign, None).await;
        assert_eq!(answer.status == 403, path != page(seq), "{path}");
    }
    assert_eq!(looks().await, 1, "the page alone was shown");
    for bad in ["x", "-1", "+1", "1.0", "99999999", "18446744073709551616", "1/other", "", "0x1"] {
        assert_eq!(site.get(&format!("/admin/audit/{bad}"), Some(&cookie)).await.status, 404, "{bad}");
    }
    assert_eq!(looks().await, 1);
}
