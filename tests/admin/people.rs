//! Finding somebody, and what their page shows, keeps and does.

use serde_json::{Value, json};

use super::site::{Answer, PASSWORD, Site};

/// What a page may weigh.
const MOST: usize = 60 * 1024;

const T: i64 = 1_716_883_200_000;

/// Text that hurts whoever takes it for more, and that is longer than anybody's name.
fn hostile(length: usize) -> String {
    "<script>alert(1)</script>\"'&\u{202e}".repeat(length / 32 + 1)
}

async fn deliver(site: &Site, id: &str, kind: &str, data: &Value) {
    let event = json!({ "type": kind, "object": "event", "timestamp": T, "data": data });
    site.deliver(id, &event.to_string()).await;
}

async fn add_session(site: &Site, n: usize, user: &str, text: &str) {
    add_session_that_is(site, n, user, text, "active").await;
}

async fn add_session_that_is(site: &Site, n: usize, user: &str, text: &str, status: &str) {
    let data = json!({
        "object": "session", "id": format!("sess_{n:03}"), "user_id": user, "client_id": "client_1", "status": status,
        "actor": null, "last_active_at": T + 1, "created_at": T, "updated_at": T,
        "latest_activity": {
            "browser_name": text, "browser_version": "140.0", "device_type": "Linux", "ip_address": "192.0.2.7",
            "city": text, "country": "Sweden",
        },
        "expire_at": 4_000_000_000_000_i64, "abandon_at": 4_000_000_000_000_i64,
    });
    deliver(site, &format!("msg_s{n}"), "session.created", &data).await;
}

async fn add_membership(site: &Site, n: usize, user: &str, text: &str) {
    let data = json!({
        "object": "organization_membership", "id": format!("orgmem_{n:03}"), "role": "org:member", "role_name": text,
        "organization": { "object": "organization", "id": format!("org_{n:03}"), "name": text },
        "public_user_data": { "user_id": user }, "created_at": T, "updated_at": T,
    });
    deliver(site, &format!("msg_m{n}"), "organizationMembership.created", &data).await;
}

fn contact(email: &str) -> Value {
    json!({ "primary_email_address_id": "e", "email_addresses": [{ "id": "e", "email_address": email }] })
}

fn form<'a>(role: &'a str, practice: &'a str, was: [&'a str; 2]) -> [(&'static str, &'a str); 4] {
    [("role", role), ("practice", practice), ("role_was", was[0]), ("practice_was", was[1])]
}

fn is_armed(page: &Answer) {
    let title = page.body.split("</title>").next().unwrap();
    assert!(!title.contains('\u{202e}'), "{title}");
    for raw in ["<script", "\u{202e}<", "href=\"javascript"] {
        assert!(!page.body.contains(raw), "{raw}: {}", page.body);
    }
}

#[tokio::test]
async fn a_page_tells_where_somebody_is_signed_in_and_belongs() {
    let (site, cookie) = Site::with_admin().await;
    let user = site.add_user("user_1", &json!({ "first_name": "Ada", "public_metadata": { "tier": "gold" } })).await;
    let empty = site.get(&user, Some(&cookie)).await.body;
    assert!(empty.contains("They appear with Clerk’s session events.") && !empty.contains("Organisations"), "{empty}");
    assert!(empty.contains("<dd>Default") && empty.contains("No e-mail address"));

    add_session(&site, 1, "user_1", "Firefox").await;
    add_membership(&site, 1, "user_1", "Acme").await;
    let page = site.get(&user, Some(&cookie)).await.body;
    for told in [
        "<bdi>Firefox 140.0</bdi> on <bdi>Linux</bdi>",
        "<bdi>192.0.2.7</bdi>, <bdi>Firefox</bdi>, <bdi>Sweden</bdi>",
        "<bdi>active</bdi>",
        "<bdi>Acme</bdi>",
        "org_001",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
    assert!(page.contains("&#34;tier&#34;: &#34;gold&#34;"), "{page}");
    let organization = json!({ "object": "organization", "id": "org_001", "name": "Acme & Sons", "updated_at": T + 9 });
    deliver(&site, "msg_o", "organization.created", &organization).await;
    assert!(site.get(&user, Some(&cookie)).await.body.contains("Acme &#38; Sons"), "its own word");
}

#[tokio::test]
async fn sessions_that_are_active_stand_before_those_that_have_ended() {
    let (site, cookie) = Site::with_admin().await;
    let user = site.add_user("user_1", &json!({})).await;
    for n in 0..30 {
        let status = if n == 3 || n == 20 { "active" } else { "ended" };
        add_session_that_is(&site, n, "user_1", &format!("Browser-{n:02}"), status).await;
    }
    let page = site.get(&user, Some(&cookie)).await.body;
    let rows: Vec<_> = page.split("<bdi>Browser-").skip(1).map(|row| &row[..2]).collect();
    let mut first = [rows[0], rows[2]];
    first.sort_unstable();
    assert_eq!((first, rows.len()), (["03", "20"], 40), "each twice, in the device and in the place: {rows:?}");
    assert!(page.contains("The API has all") && page.contains("data-label=\"Last active\""), "{page}");
}

#[tokio::test]
async fn a_page_stays_small_whatever_is_kept() {
    let (site, cookie) = Site::with_admin().await;
    let (long, blob) = (hostile(4000), hostile(100_000));
    let user = site
        .add_user(
            "user_1",
            &json!({
                "first_name": long, "last_name": long, "username": long, "external_id": long, "image_url": long,
                "primary_email_address_id": "e", "email_addresses": [{ "id": "e", "email_address": long }],
                "public_metadata": { "blob": blob }, "private_metadata": { "blob": blob },
                "unsafe_metadata": { long.as_str(): "</pre><script>" },
            }),
        )
        .await;
    for n in 0..25 {
        add_session(&site, n, "user_1", &long).await;
        add_membership(&site, n, "user_1", &long).await;
    }
    let page = site.get(&user, Some(&cookie)).await;
    is_armed(&page);
    assert!(page.body.len() < MOST, "{}", page.body.len());
    assert_eq!(page.body.matches("There are more. The API has all").count(), 2);
    for told in ["This is the beginning.", "<summary>15 more</summary>", "<summary>15 older</summary>"] {
        assert!(page.body.contains(told), "{told}: {}", page.body);
    }
    assert_eq!(page.body.matches("<span class=\"badge good\"><bdi>active").count(), 20 + 1, "sessions and the plan");

    let (_, metadata) = page.body.split_once("<h3>Metadata</h3>").unwrap();
    let metadata = metadata.split("</section>").next().unwrap();
    assert!(metadata.contains("\\u202e") && !metadata.contains('\u{202e}'), "{metadata}");
    for more in ["/delete", "/erase"] {
        let page = site.get(&format!("{user}{more}"), Some(&cookie)).await;
        assert_eq!(page.status, 200);
        is_armed(&page);
    }

    let object = site.get(&format!("{user}/object"), Some(&cookie)).await;
    assert!(object.header("content-disposition").starts_with("attachment; "));
    assert_eq!(object.header("x-content-type-options"), "nosniff");
    assert!(object.body.len() > 200_000 && object.body.contains("<script>") && object.body.contains("\\u202e"));
    assert_eq!(site.newest("user.read").await.target_user.unwrap().as_str(), "user_1");
    let foreign = [("sec-fetch-site", "cross-site")];
    let asked = site.send(reqwest::Method::GET, &format!("{user}/object"), Some(&cookie), &foreign, None).await;
    assert_eq!(asked.status, 403, "{}", asked.body);
    assert_eq!(site.get(&format!("{user}/object"), None).await.location(), format!("/admin/sign-in?next={user}"));
}

#[tokio::test]
async fn a_list_stays_small_and_harmless_whatever_people_are_called() {
    let (site, cookie) = Site::with_admin().await;
    for n in 0..50 {
        let long = format!("{n:02}{}", hostile(4000));
        let name = json!({
            "first_name": long, "last_name": long, "banned": true, "locked": true,
            "primary_email_address_id": "e", "email_addresses": [{ "id": "e", "email_address": long }],
        });
        let user = site.add_user(&format!("user_{n:02}"), &name).await;
        let (role, practice) = ("R".repeat(64), "p".repeat(64));
        assert_eq!(site.post(&user, Some(&cookie), &form(&role, &practice, ["USER", ""])).await.status, 303);
    }
    let page = site.get("/admin/users", Some(&cookie)).await;
    is_armed(&page);
    assert_eq!(page.body.matches("<tr>").count(), 51);
    assert!(page.body.len() < MOST, "{}", page.body.len());
}

#[tokio::test]
async fn two_admins_do_not_overwrite_each_other_unseen() {
    let (site, cookie) = Site::with_admin().await;
    let user = site.add_user("user_1", &json!({})).await;
    assert_eq!(site.post(&user, Some(&cookie), &form("ADMIN", "north", ["USER", ""])).await.status, 303);
    let late = site.post(&user, Some(&cookie), &form("NURSE", "south", ["USER", ""])).await;
    assert!(
        late.status == 409 && late.body.contains("changed meanwhile, to role ADMIN and practice north"),
        "{}",
        late.body
    );
    assert!(late.body.contains("value=\"NURSE\"") && late.body.contains("name=\"role_was\" value=\"ADMIN\""));
    assert_eq!(site.user("user_1").role.to_string(), "ADMIN");

    // What Clerk says meanwhile is no change of these two.
    add_session(&site, 1, "user_1", "Firefox").await;
    assert_eq!(site.post(&user, Some(&cookie), &form("NURSE", "south", ["ADMIN", "north"])).await.status, 303);
    assert_eq!(site.user("user_1").role.to_string(), "NURSE");
}

#[tokio::test]
async fn deleting_here_is_final_and_keeps_the_record_unless_told_otherwise() {
    let (site, cookie) = Site::with_admin().await;
    let user = site.add_user("user_1", &json!({ "first_name": "Ada" })).await;
    let delete = format!("{user}/delete");
    let page = site.get(&delete, Some(&cookie)).await;
    assert!(page.body.contains("Their record is kept") && page.body.contains("It is final"), "{}", page.body);
    assert!(site.user("user_1").deleted_at.is_none());
    let done = site.post(&delete, Some(&cookie), &[("password", PASSWORD)]).await;
    assert_eq!((done.status, done.location()), (303, format!("{user}?deleted").as_str()));
    let page = site.get(done.location(), Some(&cookie)).await;
    assert!(page.body.contains("Deleted. The record below") && !page.body.contains("/delete\""), "{}", page.body);
    let entry = site.newest("user.deleted").await;
    assert_eq!((entry.leaf.actor.as_str(), entry.target_user.unwrap().as_str()), ("admin:ada", "user_1"));
    assert_eq!(site.get(&delete, Some(&cookie)).await.location(), user, "there is nothing left to ask");
    let again = json!({ "id": "user_1", "object": "user", "created_at": T, "updated_at": T + 99 });
    deliver(&site, "msg_again", "user.updated", &again).await;
    assert!(site.user("user_1").deleted_at.is_some());
    assert!(site.get("/admin/users?deleted=true", Some(&cookie)).await.body.contains("1 deleted"));
}

#[tokio::test]
async fn of_somebody_without_a_record_the_log_still_tells() {
    let site = Site::start_with(&[("ROLLBOOK_DELETE", "hard")], None).await;
    let cookie = site.set_up().await;
    let user = site.add_user("user_1", &json!({ "first_name": "Ada" })).await;
    let delete = format!("{user}/delete");
    assert!(site.get(&delete, Some(&cookie)).await.body.contains("Their record goes"));
    let done = site.post(&delete, Some(&cookie), &[("password", PASSWORD)]).await;
    assert_eq!((done.status, done.location()), (303, "/admin/users?removed"));
    assert!(site.get(done.location(), Some(&cookie)).await.body.contains("The record is gone"));
    assert_eq!(site.get(&user, Some(&cookie)).await.status, 404, "our id does not tell Clerk's");

    let found = site.get("/admin/users?query=user_1", Some(&cookie)).await;
    assert_eq!((found.status, found.location()), (303, "/admin/users/user_1"));
    let page = site.get(found.location(), Some(&cookie)).await;
    assert!(page.body.contains("There is no record of this person, who was deleted on"), "{}", page.body);
    assert!(
        page.body.contains("user.created") && page.body.contains("href=\"/admin/users/user_1/erase\""),
        "{}",
        page.body
    );
    assert_eq!(site.newest("user.read").await.target_user.unwrap().as_str(), "user_1");

    let before = site.app.store.counts().entries;
    assert_eq!(site.get("/admin/users/user_nobody", Some(&cookie)).await.status, 404);
    assert_eq!(site.app.store.counts().entries, before, "an id that was made up leaves no trace");
}

#[tokio::test]
async fn a_search_that_names_one_person_leads_to_them() {
    let (site, cookie) = Site::with_admin().await;
    let ada = site.add_user("user_ada", &contact("ada@example.org")).await;
    let longer = site.add_user("user_bob", &contact("ada@example.org.uk")).await;
    let id = ada.strip_prefix("/admin/users/").unwrap();
    for query in ["user_ada", id, "+user_ada+", "ADA%40example.org"] {
        let found = site.get(&format!("/admin/users?query={query}&role="), Some(&cookie)).await;
        assert_eq!((found.status, found.location()), (303, ada.as_str()), "{query}");
    }
    assert_eq!(site.newest("users.listed").await.leaf.count, Some(1));
    let some = site.get("/admin/users?query=ada%40example.or", Some(&cookie)).await;
    assert!(some.status == 200 && some.body.contains(&ada) && some.body.contains(&longer), "{}", some.body);
    site.add_user("user_ada2", &contact("ada@example.org")).await;
    let two = site.get("/admin/users?query=ada%40example.org", Some(&cookie)).await;
    assert!(two.status == 200 && two.body.matches("<tr>").count() == 1 + 3, "{}", two.body);
    let none = site.get("/admin/users?query=user_nobody", Some(&cookie)).await;
    assert!(none.status == 200 && none.body.contains("Clear the filters"), "{}", none.body);
}

#[tokio::test]
async fn a_list_says_how_many_there_are_and_how_to_begin() {
    let (site, cookie) = Site::with_admin().await;
    let page = site.get("/admin/users", Some(&cookie)).await.body;
    assert!(page.contains("0 on the roll") && page.contains("How to point Clerk here"), "{page}");
    site.add_user("user_1", &json!({})).await;
    assert!(site.get("/admin/users", Some(&cookie)).await.body.contains("1 on the roll"));
    let filtered = site.get("/admin/users?role=ADMIN", Some(&cookie)).await.body;
    assert!(!filtered.contains("on the roll</p>") && filtered.contains("Clear the filters"), "{filtered}");
}
