//! The pages about the system itself: checks, settings in force, the log and its key.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use rollbook::audit::{Actor, Source};
use rollbook::config::SETTINGS;
use rollbook::store::By;
use serde_json::json;

use super::site::Site;
use crate::common::{CLERK, SECRET};

fn beside(site: &Site, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", site.app.store.path().display()))
}

#[tokio::test]
async fn what_is_wrong_stands_first_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start_with(&[("ROLLBOOK_BACKUP_DIR", folder.path().to_str().unwrap())], None).await;
    let cookie = site.set_up().await;
    assert_eq!(site.post("/admin/backups", Some(&cookie), &[]).await.status, 303);
    site.app.backups.idle().await;
    let page = site.get("/admin/system", Some(&cookie)).await;
    assert!(page.body.contains("Everything that was looked at is in order."), "{}", page.body);
    for name in ["Writes", "Data file", "Disk", "Token keys", "CORS"] {
        assert!(page.body.contains(name), "{name}: {}", page.body);
    }
    assert!(page.body.contains(&format!("data-now=\"{}\"", site.clock.now().as_millis())), "{}", page.body);

    let key = beside(&site, ".key");
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let page = site.get("/admin/system", Some(&cookie)).await;
    assert!(page.body.contains("One thing needs attention."), "{}", page.body);
    let (_, rows) = page.body.split_once("<tbody>").unwrap();
    let first = rows.split("</tr>").next().unwrap();
    for words in ["Log&#39;s files", "Failure", "its owner alone can read", "Run chmod 600"] {
        assert!(first.contains(words), "{words}: {first}");
    }
    fs::remove_file(&key).unwrap();
    let page = site.get("/admin/system", Some(&cookie)).await;
    assert!(page.body.contains("is missing") && page.body.contains("<code>rollbook adopt --help</code>"));

    site.app.store.refuse_writes(rollbook::audit::Doubt::NoKey);
    let page = site.get("/admin/system", Some(&cookie)).await;
    assert!(page.body.contains("2 things need attention.") && page.body.contains("Read only: "), "{}", page.body);
    assert_eq!(site.get("/admin/system", None).await.status, 303);
    assert_eq!(site.get("/admin/system?x=1", Some(&cookie)).await.status, 400);
    assert_eq!(site.post("/admin/system", Some(&cookie), &[]).await.status, 405);
}

#[tokio::test]
async fn backups_are_looked_at_where_there_should_be_some() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::start_with(&[("ROLLBOOK_BACKUP_DIR", folder.path().to_str().unwrap())], None).await;
    let cookie = site.set_up().await;
    let page = site.get("/admin/system", Some(&cookie)).await;
    assert!(page.body.contains("Warning") && page.body.contains("No backup is in /"), "{}", page.body);
    let overview = site.get("/admin", Some(&cookie)).await.body;
    let attention = &overview[overview.find("Needs attention").unwrap()..];
    assert!(attention.contains("No backup is in /") && attention.contains("href=\"/admin/backups\""), "{attention}");
    let backup = folder.path().join("rollbook-20200101T000000Z.redb");
    fs::write(&backup, "").unwrap();
    let page = site.get("/admin/system", Some(&cookie)).await;
    assert!(page.body.contains("No backup is in /"), "an empty file is none: {}", page.body);
    fs::write(&backup, "all of it").unwrap();
    let page = site.get("/admin/system", Some(&cookie)).await;
    assert!(page.body.contains("The newest backup is ") && page.body.contains(" days old"), "{}", page.body);

    let (site, cookie) = Site::with_admin().await;
    let page = site.get("/admin/system", Some(&cookie)).await;
    assert!(page.body.contains("None are made.") && page.body.contains("Set ROLLBOOK_BACKUP_DIR"), "{}", page.body);
    let overview = site.get("/admin", Some(&cookie)).await.body;
    assert!(!overview.contains("None are made.") && overview.contains("No folder for backups is set."), "{overview}");
}

#[tokio::test]
async fn settings_are_shown_and_secrets_are_not() {
    const OTHER: &str = "whsec_Y2FuYXJ5IGNhbmFyeSBjYW5hcnkgY2FuYXJ5IQ==";
    const FORWARD: &str = "whsec_Zm9yd2FyZCBjYW5hcnkgZm9yd2FyZCBjYW5hcnk=";
    const API_KEY: &str = "sk_test_Y2FuYXJ5Zm9yQVBJ";
    let settings = [
        ("CLERK_WEBHOOK_SIGNING_SECRET", format!("{SECRET},{OTHER}")),
        ("CLERK_JWT_KEY", CLERK.pem()),
        ("CLERK_SECRET_KEY", API_KEY.to_owned()),
        ("CLERK_API_URL", "http://127.0.0.1:1".to_owned()),
        ("ROLLBOOK_FORWARD_URL", "https://app.example.com/hooks".to_owned()),
        ("ROLLBOOK_FORWARD_SECRET", FORWARD.to_owned()),
        ("ROLLBOOK_CORS_ORIGINS", "https://app.example.com".to_owned()),
        ("ROLLBOOK_RATE_TOKEN", "off".to_owned()),
    ];
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let site = Site::start_with(&settings, None).await;
    let cookie = site.set_up().await;
    let page = site.get("/admin/settings", Some(&cookie)).await;
    for setting in SETTINGS {
        assert!(page.body.contains(&format!("<code>{}</code>", setting.name)), "{}", setting.name);
        if setting.is_secret() {
            assert!(settings.iter().any(|(name, _)| *name == setting.name), "{} has no canary", setting.name);
        }
    }
    assert!(page.body.contains("2 set, not shown") && page.body.contains("https://app.example.com"), "{}", page.body);
    // What follows from others, and what the system gave.
    assert!(page.body.contains(&site.app.store.path().display().to_string()), "{}", page.body);
    assert!(page.body.contains(&format!("<bdi>{}</bdi>", site.origin().replace("http://", ""))), "{}", page.body);
    let pem = CLERK.pem();
    let secrets = [SECRET, OTHER, FORWARD, API_KEY].into_iter();
    let secrets = secrets.map(|secret| secret.trim_start_matches("whsec_").trim_start_matches("sk_test_"));
    for secret in secrets.chain(pem.lines().filter(|line| !line.starts_with("---"))) {
        assert!(secret.len() > 5, "{secret}");
        for page in ["/admin/settings", "/admin/system", "/admin", "/admin/log", "/admin/backups"] {
            let page = site.get(page, Some(&cookie)).await;
            assert!(page.status == 200 && !page.body.contains(&secret[..secret.len().min(12)]), "{}", page.body);
        }
    }
    assert_eq!(site.get("/admin/settings", None).await.status, 303);
    assert_eq!(site.post("/admin/settings", Some(&cookie), &[]).await.status, 405);
}

#[tokio::test]
async fn the_log_shows_what_to_keep() {
    let (site, cookie) = Site::with_admin().await;
    site.add_user("user_1", &json!({})).await;
    let published = site.app.notary.publish().await.unwrap();
    let key = site.app.notary.verifiers()[0].to_string();
    let page = site.get("/admin/log", Some(&cookie)).await;
    assert!(page.body.contains(&published.note) && page.body.contains(&key), "{}", page.body);
    assert!(!page.body.contains("The key before"), "{}", page.body);
    // What is kept in the key file stays there.
    let file = fs::read_to_string(beside(&site, ".key")).unwrap();
    let private = file.lines().find(|line| line.starts_with("PRIVATE")).unwrap();
    assert!(!page.body.contains(private.splitn(5, '+').nth(4).unwrap()));

    let new = site.app.notary.rotate(By { actor: Actor::Cli, source: Source::Cli }).await.unwrap().to_string();
    let page = site.get("/admin/log", Some(&cookie)).await;
    assert!(page.body.contains(&new) && page.body.contains(&key) && page.body.contains("The key before, until "));
    assert_eq!(site.get("/admin/log", None).await.status, 303);

    // In doubt nothing is vouched for, and the page says so.
    site.app.store.refuse_writes(rollbook::audit::Doubt::NoMark);
    assert_eq!(site.get("/admin/log", Some(&cookie)).await.status, 200);
}
