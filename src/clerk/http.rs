//! The one way out: which addresses Rollbook may call, and the HTTP client that calls them. It follows no
//! redirect, uses no proxy, unpacks nothing, gives up after five seconds, and goes only where the URL was
//! allowed to go, whatever the name server says.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};

pub use reqwest::Url;

/// How long a whole exchange may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// An address Rollbook does not call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// It cannot be read as a URL.
    #[error("not a URL")]
    Form,
    /// Neither https, nor http on this machine.
    #[error("must begin with https:// (http:// is for localhost only)")]
    Scheme,
    /// It carries a user name or a password.
    #[error("must not carry a user name or password")]
    Credentials,
    /// A number where a name should be.
    #[error("must name a host, not an IP address")]
    Address,
}

/// Reads a URL that Rollbook may call: https to a named host, or anything on this machine (`localhost`,
/// `127.0.0.0/8`, `::1`), where http will do.
///
/// # Errors
/// What is wrong with it.
pub fn checked_url(text: &str) -> Result<Url, BadUrl> {
    let url = Url::parse(text).map_err(|_| BadUrl::Form)?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        _ => return Err(BadUrl::Scheme),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(BadUrl::Credentials);
    }
    if url.domain().is_none() && !is_loopback(&url) {
        return Err(BadUrl::Address);
    }
    Ok(url)
}

/// Whether the URL stays on this machine.
fn is_loopback(url: &Url) -> bool {
    match url.domain() {
        Some(name) => name == "localhost",
        None => url
            .host_str()
            .and_then(|host| host.trim_matches(['[', ']']).parse().ok())
            .is_some_and(|ip: IpAddr| ip.is_loopback()),
    }
}

/// A client for `to` and its neighbours: public addresses when `to` is public, this machine when it is not.
/// Reads the system's certificates for the former, so call it off the async threads, and only when needed.
///
/// # Errors
/// When the system has no certificates to trust.
pub fn client(to: &Url) -> reqwest::Result<Client> {
    let builder = builder(if is_loopback(to) { is_this_machine } else { is_public });
    // Plain http needs no certificates, and a container without any must still run the demo.
    if to.scheme() == "http" { builder.tls_certs_only([]) } else { builder.https_only(true) }.build()
}

fn builder(allowed: fn(IpAddr) -> bool) -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("rollbook/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .no_proxy()
        .timeout(TIMEOUT)
        .connect_timeout(TIMEOUT)
        .dns_resolver(Arc::new(Guard { allowed }))
}

/// Whether a request failed because the host's name leads only to addresses that may not be called.
pub(super) fn is_off_limits(error: &reqwest::Error) -> bool {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        if error.is::<OffLimits>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The name leads to no address that may be called.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the name leads to no address that may be called")]
struct OffLimits;

/// Resolves names, and keeps only the addresses that are allowed: a name may be pointed anywhere after it was checked.
struct Guard {
    allowed: fn(IpAddr) -> bool,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = self.allowed;
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.filter(|address| allowed(address.ip())).collect();
            if found.is_empty() {
                return Err(OffLimits.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

fn is_this_machine(ip: IpAddr) -> bool {
    ip.is_loopback()
}

/// Whether the address is on the public internet (IANA's special-purpose registries, RFC 6890).
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let special = ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || matches!(ip.octets(), [0 | 224..=255, ..] | [100, 64..=127, ..] | [192, 0, 0, _] | [198, 18..=19, ..]);
    !special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        // An IPv4 address in disguise: mapped, or behind a translator (RFC 6052).
        [0, 0, 0, 0, 0, 0xffff, a, b] | [0x64, 0xff9b, 0, 0, 0, 0, a, b] => {
            is_public_v4(Ipv4Addr::from_bits(u32::from(a) << 16 | u32::from(b)))
        }
        // Protocol assignments with Teredo, documentation, 6to4: tunnels lead where their inside says.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn calls_named_hosts_over_https_and_this_machine_over_http() {
        for good in [
            "https://clerk.example.com/.well-known/jwks.json",
            "https://example.com:8443/x?y=z",
            "http://localhost:3000/jwks",
            "http://127.0.0.1:1/",
            "http://[::1]:1/",
            "https://127.0.0.1/",
        ] {
            assert!(checked_url(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("", BadUrl::Form),
            ("clerk.example.com", BadUrl::Form),
            ("http://clerk.example.com/", BadUrl::Scheme),
            ("http://localhost.example.com/", BadUrl::Scheme),
            ("http://127.0.0.1.example.com/", BadUrl::Scheme),
            ("http://169.254.169.254/latest/meta-data", BadUrl::Scheme),
            ("http://[::ffff:127.0.0.1]/", BadUrl::Scheme),
            ("http://0/", BadUrl::Scheme),
            ("file:///etc/passwd", BadUrl::Scheme),
            ("ftp://localhost/", BadUrl::Scheme),
            ("https://me@example.com/", BadUrl::Credentials),
            ("https://:secret@example.com/", BadUrl::Credentials),
            ("http://me:secret@localhost/", BadUrl::Credentials),
            ("https://169.254.169.254/", BadUrl::Address),
            ("https://2852039166/", BadUrl::Address),
            ("https://0x7f.0.0.1:8080@10.0.0.1/", BadUrl::Credentials),
            ("https://[::ffff:10.0.0.1]/", BadUrl::Address),
            ("https://0/", BadUrl::Address),
        ] {
            assert_eq!(checked_url(bad).unwrap_err(), why, "{bad}");
        }
    }

    #[test]
    fn tells_public_addresses_from_all_others() {
        for public in ["1.1.1.1", "100.63.0.1", "172.32.0.1", "192.0.1.1", "223.255.255.1", "2606:4700::1111"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for public in ["::ffff:1.1.1.1", "64:ff9b::101:101", "2001:4860:4860::8888"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for other in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:a00:1::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!is_public(other.parse().unwrap()), "{other}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_leads_nowhere() {
        let resolve = |allowed| Guard { allowed }.resolve("localhost".parse().unwrap());
        assert!(resolve(is_public).await.is_err());
        assert!(resolve(is_this_machine).await.unwrap().all(|address| address.ip().is_loopback()));
    }
    #[tokio::test]
    async fn says_that_an_address_was_off_limits() {
        let get = async |allowed| {
            let client = builder(allowed).tls_certs_only([]).build().unwrap();
            client.get("http://localhost:1/").send().await.unwrap_err()
        };
        assert!(is_off_limits(&get(is_public).await));
        assert!(!is_off_limits(&get(is_this_machine).await));
    }
}
