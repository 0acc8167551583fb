//! What an admin does, from the first run to signing out.

use super::driver::{Browser, Options};
use super::house::{House, PASSWORD};

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_walks_through_the_house() {
    let house = House::build().await;
    let Some(browser) = Browser::start(house.server.url(""), Options::default()).await else { return };
    first_run(&house, &browser).await;
    find_and_promote(&house, &browser).await;
    sign_out(&browser).await;
    browser.close().await;
}

/// The same as far as it goes without script, which is all of it but what arrives by itself.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_needs_script() {
    let house = House::build().await;
    let options = Options { without_script: true, ..Options::default() };
    let Some(browser) = Browser::start(house.server.url(""), options).await else { return };
    first_run(&house, &browser).await;
    find_and_promote(&house, &browser).await;
    sign_out(&browser).await;
    browser.close().await;
}

async fn first_run(house: &House, browser: &Browser) {
    browser.open("/admin").await;
    browser.reads("Not set up yet").await;
    browser.reads("rollbook admin link").await;
    browser.open(&house.link("ada").await).await;
    house.enter(browser).await;
    browser.reads(&house.server.url("/api/webhooks/clerk")).await;
    house.person("user_noor", "Noor", "Haddad", "noor@example.org").await;
    browser.open("/admin").await;
    browser.reads("Noor Haddad").await;
}

async fn find_and_promote(house: &House, browser: &Browser) {
    house.person("user_kofi", "Kofi", "Aidoo", "kofi@example.org").await;
    browser.press("Users").await;
    browser.fill("Search", "hadd").await;
    browser.press("Filter").await;
    assert!(!browser.text().await.contains("Kofi"), "only whom was looked for");
    browser.press("Noor Haddad").await;
    browser.fill("Role", "ADMIN").await;
    browser.press("Save").await;
    browser.reads("Saved.").await;
    let role = browser.find("#role").await.prop("value").await.unwrap();
    assert_eq!(role.as_deref(), Some("ADMIN"));
    assert!(house.server.user("user_noor").unwrap().role.is_admin());
}

async fn sign_out(browser: &Browser) {
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
