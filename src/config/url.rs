//! Addresses in settings: which of them Rollbook may call, and how browsers reach it.

use url::{Host, Url};

use super::value::Parsed;

/// An address that Rollbook calls or trusts: `https`, a host by name, no user, no query; `http` and
/// addresses by number only on this machine. Without a slash at the end: issuers are compared to the letter.
pub(super) fn remote(text: &str) -> Parsed<String> {
    let wanted = "must be an https URL with a host by name and no user, query or fragment (http only for this \
                  machine), such as https://clerk.example.com";
    match parse(text) {
        Some(url) if is_loopback(&url) || (url.scheme() == "https" && url.domain().is_some()) => {
            Ok(url.as_str().trim_end_matches('/').to_owned())
        }
        _ => Err(wanted.into()),
    }
}

/// The address of a service that is told of what happens. Whether it may be called is decided each time, by where its name
/// leads then.
pub(super) fn target(text: &str) -> Parsed<String> {
    let wanted =
        "must be an https or http URL with no user, query or fragment, such as https://app.example.com/hooks/rollbook";
    parse(text).map(|url| url.as_str().to_owned()).ok_or_else(|| wanted.into())
}

/// How browsers reach Rollbook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin(Url);

impl Origin {
    /// The origin as browsers write it: `https://rollbook.example.com`, no slash at the end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str().trim_end_matches('/')
    }

    /// Whether browsers come by `https`.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The host, IPv6 addresses in brackets, and the port, the scheme's own when none is written.
    #[must_use]
    pub fn host_and_port(&self) -> (String, u16) {
        let port = self.0.port_or_known_default().unwrap_or_default();
        (self.0.host_str().unwrap_or_default().to_owned(), port)
    }

    /// Reads an origin. Plain `http` is for this machine alone: an admin's password does not go over a
    /// network in the clear.
    pub(super) fn parse(text: &str) -> Parsed<Self> {
        let wanted = "must be https:// and a host, with no path, such as https://rollbook.example.com \
                      (http:// only for localhost)";
        match parse(text) {
            Some(url) if url.path() == "/" && (url.scheme() == "https" || is_loopback(&url)) => Ok(Self(url)),
            _ => Err(wanted.into()),
        }
    }
}

/// A URL with nothing in it that two readers could take for two addresses.
fn parse(text: &str) -> Option<Url> {
    let url: Url = text.parse().ok().filter(|_| !text.contains(['\\', ' ', '\t', '\n', '\r']))?;
    let plain = matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.port() != Some(0);
    plain.then_some(url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_issuer_is_on_the_network_by_https_and_by_name() {
        for bad in [
            "http://clerk.example.com",
            "file:///etc/passwd",
            "https://user:pass@clerk.example.com",
            "https://clerk.example.com@evil.example",
            "https://169.254.169.254/latest",
            "https://10.0.0.1",
            "https://[fd00::1]",
            "https://[::ffff:127.0.0.1]",
            "https://2851995649",
            "https://clerk.example.com?x=1",
            "https://clerk.example.com#x",
            "https://clerk.example.com/a b",
            "https://clerk.example.com\\@evil.example",
            "https://clerk.example.com:0",
            "https://",
            "clerk.example.com",
            "",
        ] {
            assert!(remote(bad).is_err(), "{bad}");
        }
        for (good, kept) in [
            ("https://clerk.example.com", "https://clerk.example.com"),
            ("https://Clerk.Example.com:443/", "https://clerk.example.com"),
            ("https://app.example.com:8443/__clerk", "https://app.example.com:8443/__clerk"),
            ("http://127.0.0.1:4000", "http://127.0.0.1:4000"),
            ("http://[::1]:4000/x", "http://[::1]:4000/x"),
        ] {
            assert_eq!(remote(good).as_deref(), Ok(kept));
        }
    }

    #[test]
    fn a_public_url_is_an_origin_and_in_the_clear_only_on_this_machine() {
        for bad in
            ["http://rollbook.example.com", "https://rollbook.example.com/admin", "https://a@b.example", "localhost"]
        {
            assert!(Origin::parse(bad).is_err(), "{bad}");
        }
        let origin = Origin::parse("https://Rollbook.example.com:443/").unwrap();
        assert_eq!(origin.as_str(), "https://rollbook.example.com");
        assert_eq!(origin.host_and_port(), ("rollbook.example.com".to_owned(), 443));
        let local = Origin::parse("http://localhost:8080").unwrap();
        assert_eq!(local.host_and_port(), ("localhost".to_owned(), 8080));
    }
}
