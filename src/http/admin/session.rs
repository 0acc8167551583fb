//! Sessions of admins: the cookie, what it stands for, and how long.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use warp::http::header::{COOKIE, HeaderValue, SET_COOKIE};
use warp::http::{HeaderMap, Method};
use warp::reply::Response;

use super::token::Token;
use super::{Stop, csrf};
use crate::audit::{Actor, Draft, Source};
use crate::clock::Timestamp;
use crate::http::App;
use crate::http::call::Call;
use crate::http::problem::{Kind, Problem};
use crate::store::{self, AdminSession, Store, TokenHash};

/// `__Host-` makes browsers insist on `Secure`, `Path=/` and no `Domain`.
const COOKIE_NAME: &str = "__Host-rollbook";

const MINUTE: i64 = 60 * 1000;

/// How long a session lives without a request, in milliseconds.
const IDLE: i64 = 15 * MINUTE;

/// How long a session lives at most, in milliseconds.
const LIFE: i64 = 8 * 60 * MINUTE;

/// How stale the stored time of the last request may be, in milliseconds.
const TOUCH: i64 = MINUTE;

/// An admin who is signed in.
#[derive(Debug)]
pub(super) struct Admin {
    /// The name.
    pub(super) name: String,
    /// Which session it is.
    pub(super) session: TokenHash,
    /// From where it is used now, and by which browser.
    ip: IpAddr,
    user_agent: Option<String>,
}

impl Admin {
    /// An entry that says this admin did something on this page.
    pub(super) fn did(&self, action: &str) -> Draft {
        Draft::new(action, Actor::Admin(self.name.clone()), Source::Admin)
            .with("ip", Some(self.ip.to_string()))
            .with("user_agent", self.user_agent.clone())
    }

    /// In whose name streams are open with this session.
    pub(super) fn seat(&self) -> String {
        format!("admin:{}", URL_SAFE_NO_PAD.encode(self.session))
    }
}

/// The admin who asks for a page.
///
/// # Errors
/// 405 for another method than `GET`; the way to the sign-in page, or to the first link, for everybody else.
pub(super) async fn reader(call: &Call, here: &str) -> Result<Admin, Stop> {
    call.get_only()?;
    let admin = signed_in(call).await?;
    known(call, admin, here)
}

/// The admin for whom a page asks for itself again and again: that does not keep the session from idling out.
///
/// # Errors
/// Those of [`reader`].
pub(super) async fn watcher(call: &Call, here: &str) -> Result<Admin, Stop> {
    call.get_only()?;
    let admin = still_in(call).await?;
    known(call, admin, here)
}

fn known(call: &Call, admin: Option<Admin>, here: &str) -> Result<Admin, Stop> {
    match admin {
        Some(admin) => Ok(admin),
        None if call.app.store.has_admin()? => Err(Stop::SignIn(here.to_owned())),
        None => Err(Stop::NoAdmin),
    }
}

/// The admin who sends a form.
///
/// # Errors
/// 405 for another method than `POST`, 403 for a form of another site, 401 for everybody who is not signed in.
pub(super) async fn writer(call: &Call) -> Result<Admin, Stop> {
    post_only(call)?;
    csrf::check(&call.headers, &call.app.settings.public_origin)?;
    let nobody = || Problem::new(Kind::Unauthorized, "You are not signed in, or no longer. Nothing was changed.");
    Ok(signed_in(call).await?.ok_or_else(nobody)?)
}

/// The admin who asks for a page, or who sends its form.
///
/// # Errors
/// 405 for another method than `GET` and `POST`; those of [`reader`] and of [`writer`].
pub(super) async fn either(call: &Call, here: &str) -> Result<Admin, Stop> {
    match call.method {
        Method::GET => reader(call, here).await,
        Method::POST => writer(call).await,
        _ => Err(Problem::method_not_allowed("GET, HEAD, POST").into()),
    }
}

/// Refuses every method but `POST`.
///
/// # Errors
/// 405.
pub(super) fn post_only(call: &Call) -> Result<(), Problem> {
    if call.method == Method::POST { Ok(()) } else { Err(Problem::method_not_allowed("POST")) }
}

/// The admin whose session the request comes with, if it comes with a live one.
///
/// # Errors
/// 503 when the store fails.
pub(super) async fn signed_in(call: &Call) -> Result<Option<Admin>, Problem> {
    let Some((admin, session)) = live(call).await? else { return Ok(None) };
    let now = call.app.clock.now();
    if now >= session.used_at.plus_millis(TOUCH) || session.ip != Some(call.ip) {
        call.app.store.touch_session(admin.session, now, call.ip).await?;
    }
    Ok(Some(admin))
}

/// The same, where it is no sign that somebody sits there: what was opened before goes on.
///
/// # Errors
/// 503 when the store fails.
pub(super) async fn still_in(call: &Call) -> Result<Option<Admin>, Problem> {
    Ok(live(call).await?.map(|(admin, _)| admin))
}

/// The admin with a live session, and the session.
async fn live(call: &Call) -> Result<Option<(Admin, AdminSession)>, Problem> {
    let store = &call.app.store;
    let Some((hash, session)) = found(&call.app, &call.headers)? else { return Ok(None) };
    let (ip, user_agent) = (call.ip, call.user_agent());
    let admin = Admin { name: session.admin.clone(), session: hash, ip, user_agent };
    if !is_live(&session, call.app.clock.now()) {
        store.close_session(hash, admin.did("admin.signed_out").ended("ok", "expired")).await?;
        return Ok(None);
    }
    Ok(has_todays_password(store, &session)?.then_some((admin, session)))
}

/// Whether a request comes with a live session; nothing is noted of it.
pub(super) fn is_open(app: &App, headers: &HeaderMap) -> bool {
    let open = |session: &AdminSession| {
        is_live(session, app.clock.now()) && matches!(has_todays_password(&app.store, session), Ok(true))
    };
    matches!(found(app, headers), Ok(Some((_, session))) if open(&session))
}

/// The session that a cookie names, live or not.
fn found(app: &App, headers: &HeaderMap) -> Result<Option<(TokenHash, AdminSession)>, store::Error> {
    let Some(hash) = cookie(headers).map(|token| token.hash()) else { return Ok(None) };
    let session = app.store.admin_session(&hash)?;
    Ok(session.map(|session| (hash, session)))
}

/// Whether the session is of the admin's newest password: a sign-in with the old one may have been under way while that was
/// set.
fn has_todays_password(store: &Store, session: &AdminSession) -> Result<bool, store::Error> {
    Ok(store.admin(&session.admin)?.is_some_and(|admin| admin.changed_at <= session.opened_at))
}

/// Whether a session has not run out.
pub(super) fn is_live(session: &AdminSession, now: Timestamp) -> bool {
    now < session.used_at.plus_millis(IDLE) && now < session.opened_at.plus_millis(LIFE)
}

/// Opens a session for `admin` in place of the one the request may come with, and sets its cookie.
/// `since` is when the proof of who they are was looked up.
///
/// # Errors
/// 500 without randomness, 503 when the store fails.
pub(super) async fn open(call: &Call, admin: &str, since: Timestamp, response: &mut Response) -> Result<(), Problem> {
    let store = &call.app.store;
    if let Some(old) = signed_in(call).await? {
        store.close_session(old.session, old.did("admin.signed_out").ended("ok", "replaced")).await?;
    }
    let (token, session) = begin(call, admin, since)?;
    let draft = Draft::new("admin.signed_in", Actor::Admin(admin.to_owned()), Source::Admin)
        .with("ip", Some(call.ip.to_string()))
        .with("user_agent", session.user_agent.clone());
    store.open_session(token.hash(), session, draft).await?;
    hand_over(response, &token);
    Ok(())
}

/// A session for `admin` that is to be kept, and its secret.
///
/// # Errors
/// 500 without randomness.
pub(super) fn begin(call: &Call, admin: &str, since: Timestamp) -> Result<(Token, AdminSession), Problem> {
    let failed = |cause| Problem::new(Kind::Internal, "No session could be opened.").because(cause);
    let session = AdminSession {
        admin: admin.to_owned(),
        opened_at: since,
        used_at: call.app.clock.now(),
        ip: Some(call.ip),
        user_agent: call.user_agent(),
    };
    Ok((Token::fresh().map_err(failed)?, session))
}

/// Gives a session's secret to the browser.
pub(super) fn hand_over(response: &mut Response, token: &Token) {
    set_cookie(response, &format!("{COOKIE_NAME}={}; Path=/; Secure; HttpOnly; SameSite=Strict", token.reveal()));
}

/// Ends the session and takes the cookie back.
///
/// # Errors
/// 503 when the store fails.
pub(super) async fn close(call: &Call, admin: &Admin, response: &mut Response) -> Result<(), Problem> {
    call.app.store.close_session(admin.session, admin.did("admin.signed_out")).await?;
    take_back(response);
    Ok(())
}

/// Takes the cookie of a session that has ended from the browser.
pub(super) fn take_back(response: &mut Response) {
    set_cookie(response, &format!("{COOKIE_NAME}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict"));
}

fn set_cookie(response: &mut Response, cookie: &str) {
    // Cookies are our own ASCII.
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(SET_COOKIE, value);
    }
}

/// The token in our cookie. Two of that name cannot come from us, so neither counts.
fn cookie(headers: &HeaderMap) -> Option<Token> {
    let pairs = headers.get_all(COOKIE).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(';'));
    let mut ours = pairs.filter_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='));
    match (ours.next(), ours.next()) {
        (Some(text), None) => Token::parse(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn sent(values: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(COOKIE, value.parse().unwrap());
        }
        cookie(&headers).is_some()
    }

    #[test]
    fn our_cookie_is_found_among_others_and_counts_only_once() {
        let ours = format!("{COOKIE_NAME}={}", "A".repeat(43));
        assert!(sent(&[&ours]));
        assert!(sent(&["a=b", &format!("x=1; {ours}; y=2")]));
        assert!(!sent(&[&format!("{ours}; {ours}")]));
        assert!(!sent(&[&ours, &ours]));
        assert!(!sent(&[&format!("{ours}A")]));
        assert!(!sent(&[&format!("x{ours}")]));
        assert!(!sent(&["__Host-rollbook"]));
    }

    #[test]
    fn a_session_dies_of_idleness_and_of_age() {
        let at = |minutes: i64| Timestamp::from_millis(minutes * MINUTE);
        let session = |opened, used| AdminSession {
            admin: String::new(),
            opened_at: at(opened),
            used_at: at(used),
            ip: None,
            user_agent: None,
        };
        assert!(is_live(&session(0, 0), at(15).plus_millis(-1)));
        assert!(!is_live(&session(0, 0), at(15)));
        assert!(is_live(&session(0, 470), at(480).plus_millis(-1)));
        assert!(!is_live(&session(0, 470), at(480)));
    }
}
