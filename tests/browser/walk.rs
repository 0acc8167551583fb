//! What an admin does, from the first run to signing out.

use super::driver::{Browser, Options};
use super::house::{House, PASSWORD};

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_walks_through_the_house() {
    walk(Options::default()).await;
}

/// The same without script: what comes live comes by loading the page again.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_needs_script() {
    walk(Options { without_script: true, ..Options::default() }).await;
}

async fn walk(options: Options) {
    let house = House::build().await;
    let Some(browser) = Browser::start(house.server.url(""), options).await else { return };
    set_up(&house, &browser).await;
    begin(&house, &browser).await;
    browser.close().await;
    let house = House::mended().await;
    let Some(browser) = Browser::start(house.server.url(""), options).await else { return };
    browser.open(&house.link("ada").await).await;
    house.enter(&browser).await;
    house.person("user_noor", "Noor", "Haddad", "noor@example.org").await;
    house.person("user_kofi", "Kofi", "Aidoo", "kofi@example.org").await;
    find_and_promote(&house, &browser).await;
    watch(&house, &browser, options).await;
    try_again(&house, &browser).await;
    export(&browser).await;
    erase(&house, &browser).await;
    sign_out_and_in(&browser).await;
    browser.close().await;
}

async fn set_up(house: &House, browser: &Browser) {
    browser.open("/admin").await;
    browser.reads("Not set up yet").await;
    browser.reads("rollbook admin link").await;
    browser.open(&house.link("ada").await).await;
    house.enter(browser).await;
}

async fn begin(house: &House, browser: &Browser) {
    browser.press("Send a test").await;
    browser.find("li.done").await;
    browser.reads("done").await;
    house.person("user_noor", "Noor", "Haddad", "noor@example.org").await;
    browser.press("Overview").await;
    browser.reads("Noor Haddad").await;
    assert!(!browser.text().await.contains("Three steps"), "the first event has come");
}

async fn find_and_promote(house: &House, browser: &Browser) {
    browser.press("Users").await;
    browser.fill("Search", "hadd").await;
    browser.press("Filter").await;
    browser.arrives("query=hadd").await;
    browser.reads("Noor Haddad").await;
    assert!(!browser.text().await.contains("Kofi"), "only whom was looked for");
    browser.press("Noor Haddad").await;
    browser.arrives("/admin/users/").await;
    browser.fill("Role", "ADMIN").await;
    browser.press("Save").await;
    browser.reads("Saved.").await;
    let role = browser.find("#role").await.prop("value").await.unwrap();
    assert_eq!(role.as_deref(), Some("ADMIN"));
    assert!(house.server.user("user_noor").unwrap().role.is_admin());
}

async fn watch(house: &House, browser: &Browser, options: Options) {
    browser.press("Audit log").await;
    browser.find("a[href*='live=on']").await.click().await.unwrap();
    if options.without_script {
        browser.reads("loads itself again").await;
        browser.find("meta[http-equiv=refresh]").await;
    } else {
        browser.reads("Live.").await;
        browser.ask("window.isTheSamePage = true").await;
    }
    house.person("user_ines", "Ines", "Duarte", "ines@example.org").await;
    browser.reads("Ines Duarte").await;
    if !options.without_script {
        assert_eq!(browser.ask("return window.isTheSamePage").await, true, "nothing was loaded again");
    }
    browser.press("Stop").await;
}

async fn try_again(house: &House, browser: &Browser) {
    assert!(house.server.user("user_zoe").is_none());
    browser.open("/admin").await;
    browser.reads("A delivery is in quarantine.").await;
    browser.press("Look at the quarantine").await;
    browser.find("form[action$='/reprocess'] button").await.click().await.unwrap();
    browser.reads("Nothing waits here.").await;
    assert!(house.server.user("user_zoe").is_some());
}

async fn export(browser: &Browser) {
    browser.open("/admin/audit").await;
    browser.fill("Action", "user.*").await;
    browser.press("Filter").await;
    browser.arrives("action=user").await;
    browser.press("CSV").await;
    let table = std::fs::read_to_string(browser.saved(".csv").await).unwrap();
    let mut lines = table.lines();
    let head = lines.next().unwrap();
    let place = head.split(',').position(|name| name == "action").unwrap();
    let actions: Vec<&str> = lines.map(|line| line.split(',').nth(place).unwrap()).collect();
    assert!(actions.len() > 3 && actions.iter().all(|action| action.starts_with("user.")), "{table}");
}

async fn erase(house: &House, browser: &Browser) {
    browser.press("Users").await;
    browser.press("Kofi Aidoo").await;
    browser.press("Erase…").await;
    browser.fill("Erase them although", "").await;
    browser.fill("Your password", PASSWORD).await;
    browser.press("Erase for good").await;
    browser.reads("What went").await;
    assert!(house.server.user("user_kofi").is_none());
    browser.open("/admin/audit").await;
    browser.reads("an erased person").await;
    assert!(!browser.text().await.contains("Kofi"));
}

async fn sign_out_and_in(browser: &Browser) {
    browser.press("Sign out").await;
    browser.find("input[name=password]").await;
    browser.open("/admin/users").await;
    assert_eq!(browser.place().await, "/admin/sign-in?next=/admin/users");
    browser.fill("Name", "ada").await;
    browser.fill("Password", PASSWORD).await;
    browser.press("Sign in").await;
    browser.reads("Noor Haddad").await;
    assert_eq!(browser.place().await, "/admin/users");
}
