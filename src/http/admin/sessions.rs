//! Where admins are signed in, and signing out from afar.

use warp::reply::Response;

use super::admins::HERE;
use super::brief::brief;
use super::session::Admin;
use super::when::When;
use super::{Stop, form, link, session};
use crate::clock::Timestamp;
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::http::reply;
use crate::store::{AdminSession, Admins, TokenHash};

/// So many sessions are shown.
const MOST: usize = 50;

/// What a browser's own words may weigh, in bytes of HTML.
const BROWSER: usize = 96;

/// A session in the list.
#[derive(Debug)]
pub(super) struct Open {
    /// What forms call it: the beginning of its hash, which lets nobody in.
    pub(super) id: String,
    pub(super) admin: String,
    pub(super) is_this: bool,
    pub(super) browser: Option<String>,
    pub(super) address: Option<String>,
    pub(super) opened: When,
    pub(super) used: When,
}

/// The sessions that would let somebody in, those used last first.
pub(super) fn open(all: &Admins, now: Timestamp) -> Vec<(&TokenHash, &AdminSession)> {
    let holds = |session: &AdminSession| {
        let admin = all.admins.iter().find(|admin| admin.name == session.admin);
        session::is_live(session, now) && admin.is_some_and(|admin| admin.changed_at <= session.opened_at)
    };
    let mut open: Vec<_> = all.sessions.iter().filter(|(_, s)| holds(s)).map(|(hash, s)| (hash, s)).collect();
    open.sort_by_key(|(_, session)| std::cmp::Reverse((session.used_at, session.opened_at)));
    open
}

/// The first of them for the page, the admin's own session before all, and how many more there are.
pub(super) fn shown(open: &[(&TokenHash, &AdminSession)], admin: &Admin, now: Timestamp) -> (Vec<Open>, usize) {
    let mut sorted: Vec<_> = open.iter().collect();
    sorted.sort_by_key(|(hash, session)| (**hash != admin.session, session.admin != admin.name));
    let row = |(hash, session): &&(&TokenHash, &AdminSession)| Open {
        id: short(hash),
        admin: session.admin.clone(),
        is_this: **hash == admin.session,
        browser: session.user_agent.as_deref().map(browser),
        address: session.ip.map(|ip| ip.to_canonical().to_string()),
        opened: When::minute(session.opened_at),
        used: When::ago(session.used_at, now),
    };
    (sorted.iter().take(MOST).map(row).collect(), sorted.len().saturating_sub(MOST))
}

/// `POST /admin/sessions/{id}/end`: any admin may end any session, as they may remove its admin.
pub(super) async fn end(mut call: Call, id: &str) -> Result<Response, Stop> {
    let admin = session::writer(&call).await?;
    let form::Nothing {} = form::posted(&mut call).await?;
    let all = call.app.store.admins().await?;
    let (hash, ended) = all.sessions.iter().find(|(hash, _)| short(hash) == id).ok_or(Problem::not_found())?;
    if *hash == admin.session {
        let mut response = reply::see_other("/admin/sign-in");
        session::close(&call, &admin, &mut response).await?;
        return Ok(response);
    }
    let entry = link::about(admin.did("admin.signed_out").ended("ok", "from_afar"), &ended.admin);
    call.app.store.close_session(*hash, entry).await?;
    Ok(reply::see_other(&format!("{HERE}?ended")))
}

/// `POST /admin/sessions/end`: ends every session of the admin who asks, this one too.
pub(super) async fn end_all(mut call: Call) -> Result<Response, Stop> {
    let admin = session::writer(&call).await?;
    let form::Nothing {} = form::posted(&mut call).await?;
    let entry = admin.did("admin.signed_out").ended("ok", "everywhere");
    call.app.store.close_sessions_of(admin.name, entry).await?;
    let mut response = reply::see_other("/admin/sign-in");
    session::take_back(&mut response);
    Ok(response)
}

/// The first eight bytes of a hash, in hexadecimal.
fn short(hash: &TokenHash) -> String {
    let beginning = hash.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    format!("{beginning:016x}")
}

/// A browser in a few words, by the marks it leaves in what it calls itself; without any, the beginning of that.
fn browser(agent: &str) -> String {
    const BROWSERS: [(&str, &str); 6] = [
        // Each also bears the marks of those behind it.
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("CriOS/", "Chrome"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ];
    const SYSTEMS: [(&str, &str); 7] = [
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("Windows", "Windows"),
        ("CrOS", "ChromeOS"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ];
    let find =
        |marks: &[(&str, &'static str)]| marks.iter().find(|(mark, _)| agent.contains(mark)).map(|(_, name)| *name);
    match (find(&BROWSERS), find(&SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        _ => brief(agent, BROWSER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_told_in_a_few_words() {
        let safari = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15";
        let chrome = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36";
        for (agent, words) in [
            (format!("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {safari}"), "Safari on macOS"),
            (format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64) {chrome}"), "Chrome on Windows"),
            (format!("Mozilla/5.0 (Windows NT 10.0; Win64; x64) {chrome} Edg/131.0.0.0"), "Edge on Windows"),
            (format!("Mozilla/5.0 (Linux; Android 10; K) {chrome}"), "Chrome on Android"),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0".to_owned(), "Firefox on Linux"),
            ("curl/8.5.0".to_owned(), "curl/8.5.0"),
        ] {
            assert_eq!(browser(&agent), words);
        }
        assert_eq!(browser(&"<".repeat(200)), format!("{}…", "<".repeat(19)));
    }
}
