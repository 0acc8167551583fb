//! Every page as axe-core judges it, in light and dark, wide and narrow; and what each page loads.

use std::io::Write as _;
use std::path::PathBuf;

use serde_json::Value;

use super::driver::{Browser, Options};
use super::house::House;

/// Every page that somebody can look at when they are signed in; `{…}` stands for what the house has.
const PAGES: &[&str] = &[
    "/admin",
    "/admin?span=30d",
    "/admin/users",
    "/admin/users?query=nobody",
    "/admin/users/{user}",
    "/admin/users/{user}/object",
    "/admin/users/{user}/delete",
    "/admin/users/{user}/erase",
    "/admin/users/{user}/act",
    "/admin/audit",
    "/admin/audit?live=on",
    "/admin/audit?action=user.*&actor=clerk&address=192.0.2.1",
    "/admin/audit?subject={user}&from=nonsense",
    "/admin/audit/1",
    "/admin/audit/{newest}",
    "/admin/deliveries",
    "/admin/deliveries?span=7d&outcome=quarantined",
    "/admin/quarantine",
    "/admin/system",
    "/admin/settings",
    "/admin/log",
    "/admin/clerk",
    "/admin/backups",
    "/admin/targets",
    "/admin/targets/crm",
    "/admin/targets/crm/secret",
    "/admin/targets/crm/remove",
    "/admin/keys",
    "/admin/admins",
    "/admin/password",
];

/// Those that need nobody.
const OPEN: &[&str] = &["/admin/sign-in", "/admin/setup", "/admin/nowhere", "/docs"];

#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_nothing_in_light_and_wide() {
    judge(Options::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn axe_finds_nothing_in_dark_and_narrow() {
    judge(Options { dark: true, width: 500, ..Options::default() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_cut_off_on_narrow_screens() {
    let house = House::build().await;
    let mut faults = Vec::new();
    let mut user = None;
    for width in [320, 390, 640] {
        let options = Options { width, ..Options::default() };
        let Some(browser) = Browser::start(house.server.url(""), options).await else { return };
        if user.is_none() {
            user = Some(house.furnish().await);
        }
        browser.open(&house.link("ada").await).await;
        house.enter(&browser).await;
        for path in PAGES {
            let newest = house.server.app.store.counts().entries - 1;
            let address = path.replace("{user}", user.as_deref().unwrap()).replace("{newest}", &newest.to_string());
            browser.open(&address).await;
            faults
                .extend(browser.ask(CUT).await.as_array().unwrap().iter().map(|cut| format!("{width} {path}: {cut}")));
        }
        browser.close().await;
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What of the page reaches over the edge of its sheet or of the window.
const CUT: &str = "const seen = e => !e.closest('.unseen, .skip, pre, thead, nav, figure, details:not([open])');
    return [...document.querySelectorAll('main *, header *')].filter(e => {
        const box = e.getBoundingClientRect(), sheet = e.closest('.sheet');
        const edge = sheet && sheet !== e ? sheet.getBoundingClientRect().right : innerWidth;
        return box.width > 0 && seen(e) && box.right > edge + 1;
    }).slice(0, 4).map(e => e.outerHTML.slice(0, 120));";

async fn judge(options: Options) {
    let Some(axe) = axe() else {
        let _ = writeln!(std::io::stderr(), "SKIPPED axe-core: not installed");
        return;
    };
    let house = House::build().await;
    let Some(browser) = Browser::start(house.server.url(""), options).await else { return };
    browser.open("/admin").await;
    let mut faults = look(&browser, &axe, "/admin, not set up").await;
    let user = house.furnish().await;
    browser.open(&house.link("ada").await).await;
    faults.extend(look(&browser, &axe, "/admin/setup with a link").await);
    for path in OPEN {
        browser.open(path).await;
        faults.extend(look(&browser, &axe, path).await);
    }
    browser.open(&house.link("ada").await).await;
    house.enter(&browser).await;
    for path in PAGES {
        let newest = house.server.app.store.counts().entries - 1;
        let address = path.replace("{user}", &user);
        browser.open(&address.replace("{newest}", &newest.to_string())).await;
        faults.extend(look(&browser, &axe, path).await);
    }
    browser.close().await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What is wrong with the page that is shown.
async fn look(browser: &Browser, axe: &str, what: &str) -> Vec<String> {
    let script = format!(
        "{axe}; const done = arguments[arguments.length - 1]; axe.run().then(found => done(found.violations.flatMap(\
         fault => fault.nodes.map(node => `${{fault.id}}: ${{node.html.slice(0, 160)}} ${{node.failureSummary}}`))));"
    );
    let found = browser.client.execute_async(&script, Vec::new()).await.unwrap();
    let mut faults: Vec<String> =
        found.as_array().unwrap().iter().map(|fault| format!("{what}: {}", fault.as_str().unwrap())).collect();
    let page = browser
        .ask("return { wide: document.documentElement.scrollWidth, window: innerWidth, loaded: performance.getEntriesByType('resource').map(one => one.name), home: location.origin }")
        .await;
    if page["wide"].as_u64() > page["window"].as_u64() {
        faults.push(format!("{what}: wider than its window: {page}"));
    }
    let elsewhere = |address: &&Value| !address.as_str().unwrap().starts_with(page["home"].as_str().unwrap());
    let loaded = page["loaded"].as_array().unwrap();
    faults.extend(loaded.iter().filter(elsewhere).map(|address| format!("{what}: loads {address}")));
    assert!(!loaded.is_empty(), "{what}: not even a style sheet");
    faults
}

/// The whole of axe-core, if npm installed it anywhere that Node would look.
fn axe() -> Option<String> {
    let folders = std::env::var_os("NODE_PATH").map(|paths| std::env::split_paths(&paths).collect::<Vec<_>>());
    let usual = ["/usr/lib/node_modules", "/usr/local/lib/node_modules"].map(PathBuf::from);
    let mut folders = folders.unwrap_or_default().into_iter().chain(usual);
    folders.find_map(|folder| std::fs::read_to_string(folder.join("axe-core/axe.min.js")).ok())
}
