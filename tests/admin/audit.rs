//! The audit log's page: what its fields find, and what it weighs.

use rollbook::api_key::{Scope, Scopes, Wanted};
use rollbook::audit::{Actor, Draft, Source};
use serde_json::json;

use super::site::{PASSWORD, Site, sign_in};

const PAGE: &str = "/admin/audit";

/// Words that would do harm if they were anything but text.
const HOSTILE: &str = "\"><script>alert(1)</script><img src=x onerror=alert(1)>\u{202e}";

fn contact(email: &str) -> serde_json::Value {
    json!({ "primary_email_address_id": "e", "email_addresses": [{ "id": "e", "email_address": email }] })
}

/// The actions of the entries on a page, newest first.
fn actions(body: &str) -> Vec<&str> {
    body.split("class=\"action\"")
        .skip(1)
        .map(|rest| &rest[rest.find('>').unwrap() + 1..rest.find('<').unwrap()])
        .collect()
}

/// The actions that a query finds.
async fn found(site: &Site, cookie: &str, query: &str) -> Vec<String> {
    let page = site.get(&format!("{PAGE}?{query}"), Some(cookie)).await;
    assert_eq!(page.status, 200, "{query}: {}", page.body);
    actions(&page.body).into_iter().map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn the_book_is_filtered_by_what_people_know() {
    let (site, cookie) = Site::with_admin().await;
    let ada = site.add_user("user_ada", &contact("ada@example.org")).await;
    site.add_user("user_bob", &contact("bob@example.org")).await;
    let shown = async |query: &str| site.get(&format!("{PAGE}?{query}"), Some(&cookie)).await;
    let id = ada.strip_prefix("/admin/users/").unwrap();
    for subject in ["ada%40example.org", "user_ada", id] {
        let page = shown(&format!("action=user.created&subject={subject}&actor=&address=&from=&to=")).await;
        assert!(page.body.contains("ada@example.org</bdi>") && !page.body.contains("bob@example.org"), "{subject}");
    }
    let looked = site.newest("audit.listed").await;
    assert_eq!(looked.target_user.unwrap().as_str(), "user_ada", "a look at somebody's entries says whose");
    let tomorrow = site.clock.now().plus_millis(86_400_000).to_string();
    let (today, tomorrow) = (site.clock.now().to_string(), &tomorrow[..10]);
    assert!(shown(&format!("from={0}&to={0}", &today[..10])).await.body.contains("user.created</a>"));
    assert!(shown(&format!("from={tomorrow}")).await.body.contains("Nothing fits that."));
    let backwards = shown(&format!("from={tomorrow}&to={}", &today[..10])).await;
    assert!(backwards.status == 400 && backwards.body.contains("The first day is after the last."));
    let listed = shown("action=audit.listed").await.body;
    assert!(listed.contains(" shown</span>") && !listed.contains("×"), "{listed}");
    assert!(shown("from=0001-01-01&to=9999-12-31").await.body.contains("user.created</a>"));
    assert!(shown("from=9999-12-31").await.body.contains("Nothing fits that."));
}

#[tokio::test]
async fn who_did_it_is_found_by_the_words_people_use() {
    let (site, cookie) = Site::with_admin().await;
    site.add_user("user_ada", &contact("ada@example.org")).await;
    let wanted =
        Wanted { name: "billing".parse().unwrap(), scopes: Scopes::new([Scope::UsersRead]).unwrap(), expires_at: None };
    let made = Draft::new("key.created", Actor::Cli, Source::Cli);
    let (key, _) = site.app.store.create_api_key(wanted, made).await.unwrap();
    for (actor, action) in
        [(Actor::Key(key.id.clone()), "users.listed"), (Actor::User("user_ada".parse().unwrap()), "user.read")]
    {
        site.app.store.record(Draft::new(action, actor, Source::Api)).await.unwrap();
    }
    for (words, action) in [
        (&["clerk", "Clerk", " CLERK "][..], "user.created"),
        (&["terminal", "cli", "the terminal"], "key.created"),
        (&["billing", key.id.as_str(), &format!("key:{}", key.id)], "users.listed"),
        (&["user_ada", "ada@example.org", "user:user_ada"], "user.read"),
        (&["ada", "admin:ada"], "admin.signed_in"),
        (&["system"], "log.key_made"),
    ] {
        for word in words {
            let query = serde_urlencoded::to_string([("actor", word)]).unwrap();
            let found = found(&site, &cookie, &query).await;
            assert!(found.iter().any(|found| found == action), "{word}: {found:?}");
            for other in ["user.created", "key.created", "users.listed", "user.read", "admin.signed_in"] {
                assert!(other == action || !found.iter().any(|found| found == other), "{word}: {other}");
            }
        }
    }
    assert!(found(&site, &cookie, "actor=nobody").await.is_empty(), "an admin that is not");
}

#[tokio::test]
async fn entries_are_found_by_the_beginning_of_their_action_and_by_address() {
    let (site, cookie) = Site::with_admin().await;
    site.add_user("user_1", &json!({})).await;
    let admins = found(&site, &cookie, "action=admin.*").await;
    assert!(admins.len() >= 3 && admins.iter().all(|action| action.starts_with("admin.")), "{admins:?}");
    assert_eq!(found(&site, &cookie, "action=user").await, ["user.created"], "a word alone is the beginning");
    assert_eq!(found(&site, &cookie, "action=use").await, Vec::<String>::new(), "of a whole one");
    for address in ["127.0.0.1", "%20127.0.0.1%20"] {
        assert_eq!(
            found(&site, &cookie, &format!("address={address}&looks=without")).await,
            ["admin.signed_in", "admin.password_set"]
        );
    }
    let with_looks = found(&site, &cookie, "address=127.0.0.1").await;
    assert!(with_looks.contains(&"audit.listed".to_owned()), "who looked, and from where: {with_looks:?}");
    for address in ["127.0.0.2", "%3A%3A1"] {
        assert!(found(&site, &cookie, &format!("address={address}")).await.is_empty());
    }
}

#[tokio::test]
async fn what_is_typed_wrong_is_said_and_kept() {
    let (site, cookie) = Site::with_admin().await;
    for (field, text, says) in [
        ("action", "user created", "user.created, or user.*"),
        ("action", HOSTILE, "user.created, or user.*"),
        ("subject", "eve@x", "Nobody on the roll has that address."),
        ("subject", "a b", "by e-mail address or id"),
        ("subject", "Lovelace", "by e-mail address or id"),
        ("actor", "user:Lovelace", "by e-mail address or id"),
        ("actor", "two words", "clerk, terminal, system or stranger"),
        ("actor", "admin:two words", "clerk, terminal, system or stranger"),
        ("actor", "key:mine", "clerk, terminal, system or stranger"),
        ("actor", HOSTILE, "clerk, terminal, system or stranger"),
        ("address", "300.1.1.1", "192.0.2.7"),
        ("address", HOSTILE, "192.0.2.7"),
        ("from", "yesterday", "2024-05-28"),
        ("to", HOSTILE, "2024-05-28"),
    ] {
        let query = serde_urlencoded::to_string([(field, text), ("live", "on")]).unwrap();
        for query in [query.strip_suffix("&live=on").unwrap(), &query] {
            let page = site.get(&format!("{PAGE}?{query}"), Some(&cookie)).await;
            assert_eq!(page.status, 400, "{query}");
            let alert = page.body.split("role=\"alert\">").nth(1).unwrap();
            assert!(alert[..alert.find("</p>").unwrap()].contains(says), "{query}");
            assert!(!page.body.contains("<script>") && !page.body.contains("<img src=x"), "{query}");
            let kept = page.body.split(&format!("name=\"{field}\"")).nth(1).unwrap();
            let escaped = text[..3].replace('"', "&#34;").replace('<', "&#60;").replace('>', "&#62;");
            assert!(kept[..kept.find('>').unwrap()].contains(&format!("value=\"{escaped}")), "{query}");
        }
    }
    for bad in ["nothing=1", "actor=a&actor=b", "limit=5", "cursor=x!"] {
        assert_eq!(site.get(&format!("{PAGE}?{bad}"), Some(&cookie)).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn nobody_makes_the_page_heavy() {
    let (site, cookie) = Site::with_admin().await;
    let long = |n: usize| format!("<&\"'{n}\u{202e}").repeat(800);
    for n in 0..30_usize {
        let id = format!("user_{}{n:02}", "x".repeat(100));
        let mut data = json!({ "first_name": long(n), "last_name": long(n), "username": long(n) });
        site.add_user(&id, &data).await;
        for field in ["external_id", "image_url", "first_name", "username", "banned", "locked"] {
            data[field] = json!("<\u{1f600}".repeat(9));
        }
        data["public_metadata"] = json!({ "long": long(2 * n) });
        let object = data.as_object_mut().unwrap();
        object.extend([
            ("id".to_owned(), json!(id)),
            ("object".to_owned(), json!("user")),
            ("created_at".to_owned(), json!(1)),
            ("updated_at".to_owned(), json!(1_800_000_000_000_i64)),
        ]);
        let event =
            json!({ "type": "user.updated", "object": "event", "data": data, "timestamp": 1_800_000_000_000_i64 });
        site.deliver(&format!("msg_{n}"), &event.to_string()).await;
    }
    let page = site.get(&format!("{PAGE}?action=user.*"), Some(&cookie)).await;
    assert_eq!(actions(&page.body).len(), 50);
    assert!(page.body.len() <= 60_000, "{}", page.body.len());
    assert!(page.body.contains("more</li>"), "what is left out is said");
    // The entry itself, with everything that was said.
    let updated = site.newest("user.updated").await;
    let page = site.get(&format!("{PAGE}/{}", updated.seq), Some(&cookie)).await;
    assert!(page.status == 200 && page.body.len() <= 60_000, "{}", page.body.len());
    let whole = site.get(&format!("{PAGE}/{}/detail", updated.seq), Some(&cookie)).await;
    assert!(whole.body.len() > 10_000 && page.body.contains("/detail\">Download the whole detail"));
}

#[tokio::test]
async fn the_list_says_how_far_it_was_reviewed() {
    let (site, cookie) = Site::with_admin().await;
    for n in 0..3 {
        site.add_user(&format!("user_{n}"), &json!({})).await;
    }
    let page = site.get(PAGE, Some(&cookie)).await.body;
    assert!(!page.contains("Reviewed up to here"));
    let newest = site.newest("user.created").await.seq;
    let to = newest.to_string();
    site.post(PAGE, Some(&cookie), &[("to", &to), ("note", "")]).await;
    let page = site.get(PAGE, Some(&cookie)).await.body;
    let (_, rest) = page.split_once("Reviewed up to here</li>").unwrap();
    let below = &rest[rest.find("/admin/audit/").unwrap()..];
    assert!(below.starts_with(&format!("/admin/audit/{newest}\"")), "the mark stands over the first that was reviewed");
    assert_eq!(page.matches("Reviewed up to here").count(), 1);
    let filtered = site.get(&format!("{PAGE}?action=user.*"), Some(&cookie)).await.body;
    assert!(!filtered.contains("Reviewed up to here"));
}

#[tokio::test]
async fn names_of_keys_are_offered_as_text() {
    let (site, cookie) = Site::with_admin().await;
    let name = HOSTILE.replace('\u{202e}', "");
    let name = &name[..30];
    let wanted =
        Wanted { name: name.parse().unwrap(), scopes: Scopes::new([Scope::UsersRead]).unwrap(), expires_at: None };
    site.app.store.create_api_key(wanted, Draft::new("key.created", Actor::Cli, Source::Cli)).await.unwrap();
    let page = site.get(PAGE, Some(&cookie)).await.body;
    assert!(page.contains("<option value=\"&#34;&#62;&#60;script") && !page.contains("<script"));
    // And signing in with a hostile browser changes nothing about it.
    let agent = [("user-agent", "<script>alert(1)</script>"), ("sec-fetch-site", "same-origin")];
    assert_eq!(site.post_with("/admin/sign-in", None, &agent, &sign_in("ada", PASSWORD)).await.status, 303);
    let signed_in = site.newest("admin.signed_in").await.seq;
    let page = site.get(&format!("{PAGE}/{signed_in}"), Some(&cookie)).await.body;
    assert!(page.contains("&#60;script&#62;alert(1)") && !page.contains("<script"));
}
