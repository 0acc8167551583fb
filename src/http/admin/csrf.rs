//! Where a request to the admin page may come from. A form of another site must not act with the
//! admin's cookie, and the cookie must not travel in the clear.

use std::net::IpAddr;

use warp::http::HeaderMap;
use warp::http::header::{COOKIE, HOST, ORIGIN};

use crate::http::problem::Problem;

const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Refuses a request that a page of another site made the browser send. `public_origin` is the origin
/// browsers use.
///
/// Browsers of the last years say it in `Sec-Fetch-Site`, for every origin that is https or loopback.
/// That is looked at first because our pages ask for `no-referrer`, under which a form comes with
/// `Origin: null`. Without it `Origin` must be ours. What has neither is no browser: it may try, but
/// not with a cookie.
///
/// # Errors
/// 403.
pub(super) fn check(headers: &HeaderMap, public_origin: &str) -> Result<(), Problem> {
    let cause = match (only(headers, SEC_FETCH_SITE), only(headers, ORIGIN.as_str())) {
        (Some("same-origin" | "none"), _) => return Ok(()),
        (Some(_), _) => "Sec-Fetch-Site is neither same-origin nor none",
        (None, Some(origin)) if is_ours(origin, headers, public_origin) => return Ok(()),
        (None, Some(_)) => "Origin is not ours",
        (None, None) if !headers.contains_key(COOKIE) => return Ok(()),
        (None, None) => "neither Sec-Fetch-Site nor Origin",
    };
    Err(Problem::forbidden("The form was sent from another site. Open the page anew and try again.").because(cause))
}

/// Refuses a `GET` that a page of another site made the browser send: for what is more than a page to look at. What does
/// not say where it comes from may pass, as browsers of some age do not, and the cookie does not come along from elsewhere.
///
/// # Errors
/// 403.
pub(super) fn check_get(headers: &HeaderMap, public_origin: &str) -> Result<(), Problem> {
    let cause = match (only(headers, SEC_FETCH_SITE), only(headers, ORIGIN.as_str())) {
        (Some(site), _) if site != "same-origin" && site != "none" => "Sec-Fetch-Site is neither same-origin nor none",
        (None, Some(origin)) if !is_ours(origin, headers, public_origin) => "Origin is not ours",
        _ => return Ok(()),
    };
    Err(Problem::forbidden("That was asked for from another site. Open it from the page itself.").because(cause))
}

/// Refuses to serve the page where the password and the cookie would travel in the clear: over plain http
/// from anywhere but this machine. Behind https, that is by every name but the public one.
///
/// # Errors
/// 403.
pub(super) fn needs_private_way(headers: &HeaderMap, public_origin: &str) -> Result<(), Problem> {
    let asked = only(headers, HOST.as_str()).map(host).unwrap_or_default();
    let private = match public_origin.split_once("://") {
        Some(("https", public)) => is_loopback(asked) || asked.eq_ignore_ascii_case(host(public)),
        Some((_, public)) => {
            let unspecified = host(public).parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
            is_loopback(asked) && (unspecified || is_loopback(host(public)))
        }
        None => false,
    };
    let refusal = Problem::forbidden(
        "The admin page is served over HTTPS at the public address, or over plain HTTP to the machine itself. \
         Set ROLLBOOK_PUBLIC_URL to the https:// address that browsers use.",
    );
    if private { Ok(()) } else { Err(refusal.because("plain http")) }
}

/// Whether `origin` is the public one. The machine itself has several names, so where that is what browsers use, it must be
/// the one this very request was sent to.
fn is_ours(origin: &str, headers: &HeaderMap, public_origin: &str) -> bool {
    let asked = only(headers, HOST.as_str()).unwrap_or_default();
    match public_origin.split_once("://") {
        Some((scheme, public)) if scheme == "http" || is_loopback(host(public)) => {
            let theirs = origin.split_once("://");
            theirs.is_some_and(|(way, name)| way == scheme && name.eq_ignore_ascii_case(asked))
        }
        _ => origin.eq_ignore_ascii_case(public_origin),
    }
}

/// The header's value if it comes exactly once; a doubled one reads as nonsense, which fits nothing.
fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    Some(if values.next().is_none() { first.to_str().unwrap_or_default() } else { "" })
}

/// The host of `host[:port]`, without the brackets of an IPv6 address.
fn host(authority: &str) -> &str {
    match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use warp::http::{HeaderName, HeaderValue};

    const PUBLIC: &str = "https://rollbook.example.org";

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(n, v): &(&str, &str)| (n.parse::<HeaderName>().unwrap(), v.parse::<HeaderValue>().unwrap());
        let mut headers = HeaderMap::new();
        for (name, value) in pairs.iter().map(pair) {
            headers.append(name, value);
        }
        headers
    }

    fn passes(public: &str, pairs: &[(&str, &str)]) -> bool {
        check(&headers(pairs), public).is_ok()
    }

    #[test]
    fn forms_of_other_sites_are_refused() {
        let ours = ("origin", PUBLIC);
        let evil = ("origin", "https://evil.example");
        let cookie = ("cookie", "__Host-rollbook=x");
        let site = |value| ("sec-fetch-site", value);
        let table: &[(&[(&str, &str)], bool)] = &[
            (&[site("same-origin")], true),
            (&[site("none"), cookie], true),
            (&[site("same-origin"), ("origin", "null"), cookie], true),
            (&[site("same-site"), ours], false),
            (&[site("cross-site")], false),
            (&[site("cross-site"), ours], false),
            (&[site(""), ours], false),
            (&[site("same-origin"), site("same-origin")], false),
            (&[ours, cookie], true),
            (&[evil], false),
            (&[("origin", "null")], false),
            (&[("origin", "http://rollbook.example.org")], false),
            (&[("origin", "https://rollbook.example.org:8443")], false),
            (&[("origin", "https://rollbook.example.org.evil.example")], false),
            (&[ours, evil], false),
            (&[cookie], false),
            (&[], true),
        ];
        for (pairs, expected) in table {
            assert_eq!(passes(PUBLIC, pairs), *expected, "{pairs:?}");
        }
    }

    #[test]
    fn other_sites_open_nothing() {
        let ours = ("origin", PUBLIC);
        let cookie = ("cookie", "__Host-rollbook=x");
        let site = |value| ("sec-fetch-site", value);
        let table: &[(&[(&str, &str)], bool)] = &[
            (&[site("same-origin"), cookie], true),
            (&[site("none"), cookie], true),
            (&[ours, cookie], true),
            (&[cookie], true),
            (&[site("cross-site"), cookie], false),
            (&[site("same-site"), ours, cookie], false),
            (&[site("same-origin"), site("none"), cookie], false),
            (&[("origin", "https://evil.example"), cookie], false),
            (&[("origin", "null"), cookie], false),
        ];
        for (pairs, expected) in table {
            assert_eq!(check_get(&headers(pairs), PUBLIC).is_ok(), *expected, "{pairs:?}");
        }
    }

    #[test]
    fn loopback_goes_by_the_name_the_browser_used() {
        let public = "http://127.0.0.1:8080";
        assert!(passes(public, &[("origin", "http://localhost:8080"), ("host", "localhost:8080")]));
        assert!(!passes(public, &[("origin", "http://localhost:3000"), ("host", "localhost:8080")]));
        assert!(!passes(public, &[("origin", "https://localhost:8080"), ("host", "localhost:8080")]));
    }

    #[test]
    fn the_password_never_travels_in_the_clear() {
        let private = |public, host| needs_private_way(&headers(&[("host", host)]), public).is_ok();
        assert!(private(PUBLIC, "rollbook.example.org"));
        assert!(private(PUBLIC, "Rollbook.Example.Org:443"));
        assert!(private(PUBLIC, "localhost:8080"));
        assert!(!private(PUBLIC, "192.168.1.5:8080"));
        assert!(private("http://127.0.0.1:8080", "localhost:8080"));
        assert!(private("http://[::1]:8080", "[::1]:8080"));
        assert!(private("http://0.0.0.0:8080", "127.0.0.1:8080"));
        assert!(!private("http://0.0.0.0:8080", "192.168.1.5:8080"));
        assert!(!private("http://rollbook.example.org", "rollbook.example.org"));
        assert!(!private("http://rollbook.example.org", "localhost"));
        assert!(!private("http://localhost.evil.example", "localhost.evil.example"));
    }
}
