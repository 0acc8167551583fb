//! The one page for people.

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};

use super::answer::{self, Answer};

/// A page for people. It is not to be kept, nor to tell anybody where its reader came from.
pub(super) fn page(status: StatusCode, title: &str, text: &[&str], token: Option<&str>) -> Answer {
    let text = text.iter().map(|text| escaped(text)).collect::<Vec<_>>().join("</p>\n<p>");
    let token = token.map(|token| format!("<pre>{}</pre>\n", escaped(token))).unwrap_or_default();
    let title = escaped(title);
    let mut answer = answer::json(format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <style>:root {{ color-scheme: light dark }} body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 42rem; \
         margin: 3rem auto; padding: 0 1rem }} pre {{ white-space: pre-wrap; overflow-wrap: anywhere; padding: 1rem; \
         border: 1px solid; user-select: all }}</style>\n\
         <main><h1>{title}</h1>\n<p>{text}</p>\n{token}<p>This is Rollbook's stand-in for Clerk.</p></main></html>\n"
    ));
    *answer.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (HeaderName::from_static("cache-control"), "no-store"),
        (HeaderName::from_static("referrer-policy"), "no-referrer"),
        (HeaderName::from_static("content-security-policy"), "default-src 'none'; style-src 'unsafe-inline'"),
    ] {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
