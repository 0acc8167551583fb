//! The one way out: which addresses Rollbook may call, and the HTTP client that calls them. It follows no
//! redirect, uses no proxy, unpacks nothing, gives up after five seconds, and goes only where the URL was
//! allowed to go, whatever the name server says.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::DATE;
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Response};

use crate::clock::Timestamp;

pub use reqwest::Url;

/// How long a whole exchange may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Whether the URL stays on this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
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

pub(super) fn builder(allowed: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("rollbook/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .no_proxy()
        .timeout(TIMEOUT)
        .connect_timeout(TIMEOUT)
        .dns_resolver(Arc::new(Guard { allowed: Arc::new(allowed) }))
}

/// The pause before another try, less up to half of it, so that those who failed together do not come again together.
#[must_use]
pub fn shortened(pause: Duration) -> Duration {
    let mut chance = [0; 2];
    // Without randomness the whole pause does no harm.
    let _ = getrandom::fill(&mut chance);
    pause.mul_f64(1.0 - f64::from(u16::from_be_bytes(chance)) / f64::from(u16::MAX) / 2.0)
}

/// What time it was at the other end when it answered, to the second.
pub(super) fn server_time(answer: &Response) -> Option<Timestamp> {
    let date = answer.headers().get(DATE)?.to_str().ok()?;
    let date = jiff::fmt::rfc2822::parse(date).ok()?;
    Some(Timestamp::from_millis(date.timestamp().as_millisecond()))
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
    allowed: Arc<dyn Fn(IpAddr) -> bool + Send + Sync>,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let allowed = Arc::clone(&self.allowed);
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
pub(super) fn is_public(ip: IpAddr) -> bool {
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
        let resolve =
            |allowed: fn(IpAddr) -> bool| Guard { allowed: Arc::new(allowed) }.resolve("localhost".parse().unwrap());
        assert!(resolve(is_public).await.is_err());
        assert!(resolve(is_this_machine).await.unwrap().all(|address| address.ip().is_loopback()));
    }
    #[tokio::test]
    async fn says_that_an_address_was_off_limits() {
        let get = async |allowed: fn(IpAddr) -> bool| {
            let client = builder(allowed).tls_certs_only([]).build().unwrap();
            client.get("http://localhost:1/").send().await.unwrap_err()
        };
        assert!(is_off_limits(&get(is_public).await));
        assert!(!is_off_limits(&get(is_this_machine).await));
    }
}
