//! Addresses in settings, read strictly: whatever two readers could take for two hosts is refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::value::Parsed;

/// An address on the network that Rollbook calls or trusts: `https`, a host by name, no user, no query;
/// `http` and addresses by number only on this machine.
pub(super) fn remote(text: &str) -> Parsed<String> {
    let wanted = || {
        "must be an https URL with a host by name and no user, query or fragment (http only for this machine), \
         such as https://clerk.example.com"
            .to_owned()
    };
    let url = Url::parse(text).ok_or_else(wanted)?;
    let by_name = matches!(url.host, Host::Name(_));
    if url.host.is_loopback() || (url.secure && by_name) {
        Ok(format!("{}{}", url.origin(), url.path.trim_end_matches('/')))
    } else {
        Err(wanted())
    }
}

/// How browsers reach Rollbook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    text: String,
    secure: bool,
}

impl Origin {
    /// The origin as browsers write it: `https://rollbook.example.com`, no slash at the end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is `https`.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// What browsers put into `Host`: the name, and the port unless it is the usual one.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.text.split_once("://").map_or("", |(_, authority)| authority)
    }

    /// Reads an origin. Plain `http` is for this machine alone: an admin's password does not go over a
    /// network in the clear.
    pub(super) fn parse(text: &str) -> Parsed<Self> {
        let wanted = "must be https:// and a host, with no path, such as https://rollbook.example.com \
                      (http:// only for localhost)";
        match Url::parse(text) {
            Some(url) if matches!(url.path, "" | "/") && (url.secure || url.host.is_loopback()) => {
                Ok(Self { text: url.origin(), secure: url.secure })
            }
            _ => Err(wanted.into()),
        }
    }
}

/// The parts of an `http` or `https` URL without user, query and fragment.
struct Url<'a> {
    secure: bool,
    host: Host,
    port: Option<u16>,
    path: &'a str,
}

impl<'a> Url<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let secure = match scheme {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if !path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&b)) {
            return None;
        }
        let (host, port) = match authority.rsplit_once(':') {
            // An IPv6 address has colons of its own.
            Some((host, port)) if !port.ends_with(']') => (host, Some(parse_port(port)?)),
            _ => (authority, None),
        };
        let usual = if secure { 443 } else { 80 };
        Some(Self { secure, host: Host::parse(host)?, port: port.filter(|port| *port != usual), path })
    }

    fn origin(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        let host = match &self.host {
            Host::Name(name) => name.clone(),
            Host::Ip(IpAddr::V4(ip)) => ip.to_string(),
            Host::Ip(IpAddr::V6(ip)) => format!("[{ip}]"),
        };
        self.port.map_or_else(|| format!("{scheme}://{host}"), |port| format!("{scheme}://{host}:{port}"))
    }
}

fn parse_port(text: &str) -> Option<u16> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok().filter(|port| *port != 0) } else { None }
}

/// The host of a URL.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// By name, in lower case.
    Name(String),
    /// By address.
    Ip(IpAddr),
}

impl Host {
    /// Reads a host. What a browser or a resolver would take for an address in another spelling
    /// (`2130706433`, `127.1`, `0x7f.1`) is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            return inner.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(|ip| Self::Ip(ip.into()));
        }
        if let Ok(ip) = text.parse::<Ipv4Addr>() {
            return Some(Self::Ip(ip.into()));
        }
        let name = text.to_ascii_lowercase();
        let last = name.rsplit('.').next()?;
        let numeric = last.starts_with("0x") || last.bytes().all(|b| b.is_ascii_digit());
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        (name.len() <= 253 && !numeric && name.split('.').all(label)).then_some(Self::Name(name))
    }

    fn is_loopback(&self) -> bool {
        match self {
            Self::Name(name) => name == "localhost",
            Self::Ip(ip) => ip.is_loopback(),
        }
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
            "https://2130706433",
            "https://127.1",
            "https://0x7f.0x1",
            "https://clerk.example.com?x=1",
            "https://clerk.example.com#x",
            "https://clerk.example.com/a b",
            "https://clerk.example.com\\@evil.example",
            "https://clerk.example.com:0",
            "https://clerk.example.com:+443",
            "https://clerk.example.com:",
            "https://-a.example",
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
            ("http://localhost", "http://localhost"),
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
        assert_eq!((origin.as_str(), origin.authority()), ("https://rollbook.example.com", "rollbook.example.com"));
        assert!(origin.is_secure());
        let local = Origin::parse("http://localhost:8080").unwrap();
        assert_eq!((local.authority(), local.is_secure()), ("localhost:8080", false));
        assert_eq!(Origin::parse("https://10.0.0.5:8443").unwrap().authority(), "10.0.0.5:8443");
    }
}
