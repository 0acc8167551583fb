//! Pages: the frame they stand in, how they are rendered, and the headers they are sent with.

use askama::Template;
use serde_json::Value;
use warp::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, WWW_AUTHENTICATE, X_FRAME_OPTIONS,
};
use warp::http::{HeaderValue, StatusCode};
use warp::reply::Response;

use super::assets;
use super::brief::brief;
use super::session::Admin;
use crate::http::App;
use crate::http::problem::{Kind, Problem};
use crate::http::reply;
use crate::user::{Profile, User};

/// The navigation: each part of the page with its address and, where there are several, its pages. The first page of a
/// part has the part's own address.
const PARTS: [Part; 5] = [
    Part { path: "/admin", label: "Overview", tabs: &[] },
    Part { path: "/admin/users", label: "Users", tabs: &[] },
    Part { path: "/admin/audit", label: "Audit log", tabs: &[] },
    Part {
        path: "/admin/deliveries",
        label: "Deliveries",
        tabs: &[("/admin/deliveries", "Deliveries"), ("/admin/quarantine", "Quarantine")],
    },
    Part {
        path: "/admin/system",
        label: "System",
        tabs: &[
            ("/admin/system", "Checks"),
            ("/admin/settings", "Settings"),
            ("/admin/log", "Log and key"),
            ("/admin/clerk", "Clerk"),
            ("/admin/backups", "Backups"),
            ("/admin/targets", "Targets"),
            ("/admin/keys", "API keys"),
            ("/admin/admins", "Admins"),
        ],
    },
];

/// A part of the page.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) path: &'static str,
    pub(super) label: &'static str,
    pub(super) tabs: &'static [(&'static str, &'static str)],
}

impl Part {
    /// Whether a page belongs to it.
    pub(super) fn holds(&self, page: &str) -> bool {
        self.path == page || self.tabs.iter().any(|(path, _)| *path == page)
    }
}

/// Whether that is the address of one of the pages that the navigation leads to.
pub(super) fn is_page(path: &str) -> bool {
    PARTS.iter().any(|part| part.holds(path))
}

/// The address of a user's page begins so, and goes on with our id.
pub(super) const USER: &str = "/admin/users/";

/// What somebody's name may weigh on a page, in bytes of HTML.
pub(super) const NAME: usize = 192;

/// A name that strangers chose, cut to what a page may weigh.
pub(super) fn name(name: &str) -> String {
    brief(name, NAME)
}

/// What the frame of a page without navigation shows.
#[derive(Debug)]
pub(in crate::http) struct Bare {
    pub(in crate::http) style: &'static str,
    pub(in crate::http) icon: &'static str,
}

impl Default for Bare {
    fn default() -> Self {
        Self::new()
    }
}

impl Bare {
    pub(in crate::http) fn new() -> Self {
        Self { style: assets::named("style"), icon: assets::named("icon") }
    }
}

/// What the frame of a page for a signed-in admin shows.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) style: &'static str,
    pub(super) icon: &'static str,
    /// The page that is shown, or to which it belongs.
    pub(super) here: &'static str,
    pub(super) parts: &'static [Part],
    pub(super) admin: String,
    pub(super) quarantined: Option<String>,
    /// Why nothing is written, if so.
    pub(super) doubt: Option<String>,
    pub(super) version: &'static str,
}

impl Frame {
    /// The frame of the page at `here`, or of one that belongs to it; an address of the navigation's.
    pub(super) fn new(app: &App, admin: &Admin, here: &'static str) -> Self {
        let quarantined = app.store.counts().quarantined;
        Self {
            style: assets::named("style"),
            icon: assets::named("icon"),
            here,
            parts: &PARTS,
            admin: admin.name.clone(),
            quarantined: (quarantined > 0).then(|| number(quarantined)),
            doubt: app.store.doubt().map(|doubt| doubt.to_string()),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

#[derive(Template, Default)]
#[template(path = "message.html")]
struct Message<'a> {
    frame: Bare,
    title: &'a str,
    sentence: &'a str,
    command: &'a str,
    /// The id under which the server's own output tells more, where that is ours to look into.
    error_id: &'a str,
    /// Why nothing is written, if so.
    doubt: Option<&'a str>,
    /// Where to go from here: addresses and what they are called.
    ways: &'a [(&'a str, &'a str)],
}

/// A page of HTML.
///
/// # Errors
/// 500 when it cannot be rendered.
pub(in crate::http) fn html(status: StatusCode, page: &impl Template) -> Result<Response, Problem> {
    let failed = |cause| Problem::new(Kind::Internal, "The page could not be made.").because(cause);
    let mut response = Response::new(page.render().map_err(failed)?.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    Ok(response)
}

/// What is said where a row of the file cannot be read.
const DAMAGED: &str = "Something that belongs here cannot be read. The file was changed: run rollbook verify.";

/// What is wrong with a request, as a page. The cause goes to the server's own output; where the fault is ours, the page
/// shows the id it has there. Somebody who is signed in is also told the doubt that the log is in.
pub(super) fn problem(problem: &Problem, doubt: Option<&str>) -> Response {
    let ((title, sentence), status) = (problem.words(), problem.status());
    let sentence = if problem.is_damage() { DAMAGED } else { sentence };
    let error_id = problem.log();
    let error_id = if status.is_server_error() { &*error_id } else { "" };
    let ways: &[_] = match status {
        StatusCode::UNAUTHORIZED => &[("/admin/sign-in", "Sign in"), ("/admin", "To the overview")],
        _ => &[("/admin", "To the overview")],
    };
    let told = Message { title, sentence, error_id, doubt, ways, ..Message::default() };
    let mut response = message(status, &told);
    problem.add_headers(&mut response);
    // No scheme of HTTP's own gets anybody in here.
    response.headers_mut().remove(WWW_AUTHENTICATE);
    response
}

/// How somebody without a live link gets one.
pub(super) fn no_link() -> Response {
    let sentence = "A set-up link works once and for 24 hours, and this is not one, or no longer. \
                    Another admin can make a new one, or somebody at the terminal of this server:";
    let (title, command) = ("This link does not work", "rollbook admin link --name NAME");
    message(StatusCode::FORBIDDEN, &Message { title, sentence, command, ..Message::default() })
}

/// How the first admin comes to be.
pub(super) fn no_admin() -> Response {
    let sentence = "Nobody has set a password yet, and nobody can from here. \
                    Somebody at the terminal of this server can make a link that does:";
    let (title, command) = ("Not set up yet", "rollbook admin link");
    message(StatusCode::FORBIDDEN, &Message { title, sentence, command, ..Message::default() })
}

fn message(status: StatusCode, message: &Message<'_>) -> Response {
    // Text in, text out: rendering fails for want of memory at most.
    html(status, message).unwrap_or_else(Problem::into_response)
}

/// The headers of everything under `/admin`. The pages have nothing from elsewhere and no script but our own files, and the
/// policy says so.
pub(in crate::http) fn secured(mut response: Response, https: bool) -> Response {
    let headers = response.headers_mut();
    let fixed: [(HeaderName, &str); 5] = [
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; \
             form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
        (REFERRER_POLICY, "no-referrer"),
        (X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if https {
        headers.insert(STRICT_TRANSPORT_SECURITY, reply::HSTS);
    }
    response
}

/// The answer as a file to be kept under that name, which is of our own making: no browser shows what is in it.
pub(super) fn attachment(name: &str, kind: &'static str, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
    headers.extend(disposition.ok().map(|disposition| (CONTENT_DISPOSITION, disposition)));
    response
}

/// The address of the webhooks, as browsers and Clerk reach it.
pub(super) fn endpoint(app: &App) -> String {
    format!("{}/api/webhooks/clerk", app.settings.public_origin)
}

/// A number as people read it: `1,234,567`.
pub(super) fn number(n: u64) -> String {
    let digits = n.to_string();
    let first = digits.len() % 3;
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.char_indices() {
        if place > 0 && place % 3 == first {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A stretch of a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) text: String,
    /// Whether it is something to be typed.
    pub(super) is_code: bool,
}

/// The sentence in pieces: what stands between two backticks is to be typed.
pub(super) fn pieces(sentence: &str) -> Vec<Piece> {
    let pieces = sentence.split('`').enumerate();
    let pieces = pieces.map(|(at, text)| Piece { text: text.to_owned(), is_code: at % 2 == 1 });
    pieces.filter(|piece| !piece.text.is_empty()).collect()
}

/// JSON to be read by people.
pub(super) fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// What should catch the eye about a user.
pub(super) fn marks(user: &User, profile: &Profile) -> Vec<&'static str> {
    let marks = [(user.deleted_at.is_some(), "Deleted"), (profile.banned, "Banned"), (profile.locked, "Locked out")];
    marks.into_iter().filter_map(|(applies, mark)| applies.then_some(mark)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_typed_stands_between_backticks() {
        let told: Vec<_> = pieces("run `rollbook scrub`.").into_iter().map(|p| (p.text, p.is_code)).collect();
        assert_eq!(told, [("run ".into(), false), ("rollbook scrub".into(), true), (".".into(), false)]);
    }

    #[test]
    fn numbers_are_grouped_in_threes() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (12_345, "12,345"), (1_234_567, "1,234,567")] {
            assert_eq!(number(n), text);
        }
    }
}
