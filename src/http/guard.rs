//! What every request passes before it is routed: a known method, one way to find its end, one Host, and
//! that Host one of ours. Without the last, a page on any site could have its name resolved to this
//! machine and read Rollbook through the visitor's browser (DNS rebinding).

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use hyper::header::{HOST, HeaderMap, TRANSFER_ENCODING};
use hyper::{Method, Request};
use ipnet::IpNet;

/// The two ends of the connection a request came by, in its extensions. IPv4 addresses that a dual-stack
/// socket shows as IPv6 are shown as IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Theirs: a client, or a proxy before it.
    pub remote: SocketAddr,
    /// Ours.
    pub local: SocketAddr,
}

impl Peer {
    /// From the addresses of a socket.
    #[must_use]
    pub fn new(remote: SocketAddr, local: SocketAddr) -> Self {
        let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        Self { remote: plain(remote), local: plain(local) }
    }
}

/// Why a request is not routed. Each answer should close the connection (`Connection: close`): where a
/// request ends was the sender's to say, and may have been read otherwise on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A method outside [`ALLOW`].
    #[error("the method is not one of those allowed")]
    Method,
    /// A `Transfer-Encoding` other than one line saying `chunked`.
    #[error("the transfer encoding is not just chunked")]
    TransferEncoding,
    /// No Host, several, or none that can be read.
    #[error("a request needs exactly one well-formed Host")]
    Host,
    /// A target with an authority that is not the Host's.
    #[error("the target names another host than the Host header")]
    Target,
    /// A Host that is not ours.
    #[error("this host is not served here")]
    Misdirected,
}

/// The methods that some path takes.
pub const ALLOW: &str = "GET, HEAD, POST, PATCH, DELETE, OPTIONS";

/// The hosts that are ours: the public URL's, `localhost` at the port connected to, and the very address
/// connected to (an address cannot be rebound, a name can).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hosts {
    public: Option<(String, u16)>,
    is_tls: bool,
}

impl Hosts {
    /// With the host and port of the public URL, the port being its scheme's where the URL has none. IPv6
    /// addresses stand in brackets, as in the URL.
    #[must_use]
    pub fn new(public_url: Option<(String, u16)>) -> Self {
        Self { public: public_url, is_tls: false }
    }

    /// The same where TLS is spoken, whose port is another when none is written.
    #[must_use]
    pub fn with_tls(self, is_tls: bool) -> Self {
        Self { is_tls, ..self }
    }

    fn serve(&self, host: Authority<'_>, local: SocketAddr) -> bool {
        let default_port = if self.is_tls { 443 } else { 80 };
        self.is_public(host) || host.port_or(default_port) == local.port() && host.is_local(local.ip())
    }

    /// The name in the Host of a request, without its port, if it is one of ours.
    pub(super) fn name<'a>(&self, headers: &'a HeaderMap, local: SocketAddr) -> Option<&'a str> {
        let host = only(headers, &HOST).ok().flatten().and_then(read)?;
        let is_public = self.public.as_ref().is_some_and(|(name, _)| name.eq_ignore_ascii_case(host.name));
        (is_public || host.is_local(local.ip())).then_some(host.name)
    }

    fn is_public(&self, host: Authority<'_>) -> bool {
        self.public.as_ref().is_some_and(|(name, port)| {
            // Left out, the port is the scheme's default, which we see only as the port it stands for.
            let port_fits = match host.port {
                Some(given) => given == *port,
                None => matches!(port, 80 | 443),
            };
            port_fits && name.eq_ignore_ascii_case(host.name)
        })
    }
}

/// `host[:port]` with a host that can be one.
#[derive(Debug, Clone, Copy)]
struct Authority<'a> {
    name: &'a str,
    port: Option<u16>,
}

impl<'a> Authority<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let name_ends = if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
        let (name, port) = text.split_at_checked(name_ends)?;
        let port = match port.strip_prefix(':') {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
            None if port.is_empty() => None,
            _ => return None,
        };
        let authority = Self { name, port };
        (authority.is_v6() || is_name(name)).then_some(authority)
    }

    fn is_v6(self) -> bool {
        bracketed(self.name).is_some()
    }

    fn port_or(self, default: u16) -> u16 {
        self.port.unwrap_or(default)
    }

    /// Whether it is `localhost` or exactly this address. Only the usual spelling of an IPv4 address is
    /// one: `127.1` and `0x7f.0.0.1` are names here, and not ours.
    fn is_local(self, address: IpAddr) -> bool {
        let named = match bracketed(self.name) {
            Some(v6) => Some(IpAddr::V6(v6)),
            None => self.name.parse().ok(),
        };
        named.is_some_and(|ip| ip.to_canonical() == address) || self.name.eq_ignore_ascii_case("localhost")
    }

    fn same_as(self, other: Authority<'_>, default_port: u16) -> bool {
        self.name.eq_ignore_ascii_case(other.name) && self.port_or(default_port) == other.port_or(default_port)
    }
}

fn bracketed(name: &str) -> Option<Ipv6Addr> {
    name.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

fn is_name(name: &str) -> bool {
    (1..=253).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}

/// Checks a request before it is routed.
///
/// # Errors
/// The first [`Refusal`] that applies, in the order of its variants.
pub fn check<B>(request: &Request<B>, hosts: &Hosts, peer: Peer) -> Result<(), Refusal> {
    if !is_allowed(request.method()) {
        return Err(Refusal::Method);
    }
    if let Some(codings) = only(request.headers(), &TRANSFER_ENCODING).map_err(|Several| Refusal::TransferEncoding)?
        && !codings.eq_ignore_ascii_case(b"chunked")
    {
        return Err(Refusal::TransferEncoding);
    }
    let host = only(request.headers(), &HOST).map_err(|Several| Refusal::Host)?.and_then(read).ok_or(Refusal::Host)?;
    if let Some(target) = request.uri().authority() {
        let default_port = if request.uri().scheme_str() == Some("https") { 443 } else { 80 };
        let target = Authority::parse(target.as_str()).ok_or(Refusal::Target)?;
        if !target.same_as(host, default_port) {
            return Err(Refusal::Target);
        }
    }
    if hosts.serve(host, peer.local) { Ok(()) } else { Err(Refusal::Misdirected) }
}

/// Whether requests of that method are routed. No path takes `PUT`, but it is what people try, and the path knows best
/// what it takes instead.
fn is_allowed(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS]
        .contains(method)
}

struct Several;

fn only<'a>(headers: &'a HeaderMap, name: &hyper::header::HeaderName) -> Result<Option<&'a [u8]>, Several> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (line, None) => Ok(line.map(hyper::header::HeaderValue::as_bytes)),
        _ => Err(Several),
    }
}

fn read(host: &[u8]) -> Option<Authority<'_>> {
    Authority::parse(std::str::from_utf8(host).ok()?)
}

/// Whether the Host names this machine as only its own programs call it: `localhost`, or the very address connected to.
/// A proxy hands on the public name.
#[must_use]
pub fn names_this_machine(headers: &HeaderMap, peer: Peer) -> bool {
    let host = only(headers, &HOST).ok().flatten().and_then(read);
    host.is_some_and(|host| host.is_local(peer.local.ip()))
}

/// Whether the Host is `localhost`, which every program of the machine shares.
#[must_use]
pub fn names_localhost(headers: &HeaderMap) -> bool {
    let host = only(headers, &HOST).ok().flatten().and_then(read);
    host.is_some_and(|host| host.name.eq_ignore_ascii_case("localhost"))
}

/// Whether the address is in one of these networks.
#[must_use]
pub fn trusts(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// Whom an address counts for: itself, or its /64, which one household or machine has whole.
#[must_use]
pub fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Who sent the request: the peer, or, where that is a trusted proxy, the nearest hop of
/// `X-Forwarded-For` that is not. What a hop says before the first one that cannot be read is not
/// believed. `Forwarded` and `X-Real-IP` are not read: one header, which the proxies append to.
#[must_use]
pub fn client_ip(headers: &HeaderMap, peer: Peer, trusted: &[IpNet]) -> IpAddr {
    let hops = headers.get_all("x-forwarded-for").iter().rev().flat_map(|line| line.as_bytes().rsplit(|&b| b == b','));
    let mut client = peer.remote.ip();
    for hop in hops {
        if !trusts(trusted, client) {
            break;
        }
        match read_hop(hop) {
            Some(ip) => client = ip,
            None => break,
        }
    }
    client
}

/// An address, also in brackets or with a port, as some proxies write.
fn read_hop(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let ip = text.parse().ok().or_else(|| bracketed(text).map(IpAddr::V6));
    let ip = ip.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))?;
    Some(ip.to_canonical())
}

/// Whether a proxy says that it asks for somebody else, whatever it says of whom.
#[must_use]
pub fn is_sent_on(headers: &HeaderMap) -> bool {
    const SAID: [&str; 6] =
        ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip", "forwarded", "via"];
    SAID.iter().any(|name| headers.contains_key(*name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn peer() -> Peer {
        Peer::new("127.0.0.1:50000".parse().unwrap(), "127.0.0.1:8080".parse().unwrap())
    }

    fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    fn host(hosts: &Hosts, host: &str) -> Result<(), Refusal> {
        check(&request("GET", "/", &[("host", host)]), hosts, peer())
    }

    #[test]
    fn methods_are_a_closed_list() {
        for method in ["GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"] {
            assert_eq!(check(&request(method, "/", &[("host", "localhost:8080")]), &Hosts::default(), peer()), Ok(()));
            assert!(ALLOW.split(", ").any(|allowed| allowed == method), "{method}");
        }
        let put = request("PUT", "/", &[("host", "localhost:8080")]);
        assert_eq!(check(&put, &Hosts::default(), peer()), Ok(()), "the path says what it takes");
        for method in ["TRACE", "CONNECT", "BREW", "get"] {
            let refusal = check(&request(method, "/", &[("host", "evil")]), &Hosts::default(), peer()).unwrap_err();
            assert_eq!(refusal, Refusal::Method, "{method}");
        }
    }

    #[test]
    fn the_transfer_encoding_is_chunked_or_absent() {
        let check_lines = |lines: &[&str]| {
            let mut headers = vec![("host", "localhost:8080")];
            headers.extend(lines.iter().map(|line| ("transfer-encoding", *line)));
            check(&request("POST", "/", &headers), &Hosts::default(), peer())
        };
        for good in [&[][..], &["chunked"], &["Chunked"]] {
            assert_eq!(check_lines(good), Ok(()), "{good:?}");
        }
        for bad in [&["gzip, chunked"][..], &["chunked", "chunked"], &["chunked, chunked"], &["identity"], &[""]] {
            assert_eq!(check_lines(bad), Err(Refusal::TransferEncoding), "{bad:?}");
        }
    }

    #[test]
    fn a_request_has_one_readable_host() {
        for bad in [
            "",
            ":8080",
            "a b",
            "a/b",
            "user@localhost:8080",
            "localhost:",
            "localhost:+80",
            "localhost:99999",
            "localhost:80:80",
            "[::1",
            "[::1]x",
            "[fe80::1%25eth0]:8080",
            "[127.0.0.1]:8080",
            "::1",
            "a,b",
            "a%41",
        ] {
            assert_eq!(host(&Hosts::default(), bad), Err(Refusal::Host), "{bad:?}");
        }
        let none = request("GET", "/", &[]);
        let two = request("GET", "/", &[("host", "localhost:8080"), ("host", "localhost:8080")]);
        for request in [none, two] {
            assert_eq!(check(&request, &Hosts::default(), peer()), Err(Refusal::Host));
        }
    }

    #[test]
    fn local_names_need_the_right_port() {
        for good in ["localhost:8080", "LOCALHOST:8080", "127.0.0.1:8080", "[::ffff:127.0.0.1]:8080"] {
            assert_eq!(host(&Hosts::default(), good), Ok(()), "{good}");
        }
        for bad in [
            "evil",
            "evil:8080",
            "127.0.0.1.evil",
            "127.0.0.1.evil:8080",
            "localhost",
            "localhost:81",
            "localhost.:8080",
            "127.0.0.1",
            "127.0.0.2:8080",
            "127.1:8080",
            "2130706433:8080",
            "0x7f.0.0.1:8080",
            "0.0.0.0:8080",
            "[::1]:8080",
            "a.localhost:8080",
            "localhost.evil:8080",
        ] {
            assert_eq!(host(&Hosts::default(), bad), Err(Refusal::Misdirected), "{bad}");
        }
    }

    #[test]
    fn an_address_is_ours_where_it_was_connected_to() {
        let at = |local: &str, name: &str| {
            let peer = Peer::new("10.0.0.9:50000".parse().unwrap(), local.parse().unwrap());
            check(&request("GET", "/", &[("host", name)]), &Hosts::default(), peer)
        };
        assert_eq!(at("[::1]:8080", "[::1]:8080"), Ok(()));
        assert_eq!(at("[::1]:8080", "[0:0::1]:8080"), Ok(()));
        assert_eq!(at("10.1.2.3:8080", "10.1.2.3:8080"), Ok(()));
        assert_eq!(at("[::ffff:10.1.2.3]:8080", "10.1.2.3:8080"), Ok(()));
        assert_eq!(at("10.1.2.3:80", "10.1.2.3"), Ok(()));
        assert_eq!(at("10.1.2.3:8080", "10.1.2.4:8080"), Err(Refusal::Misdirected));
    }

    #[test]
    fn the_public_name_may_leave_out_its_default_port() {
        let https = Hosts::new(Some(("Roll.example.com".to_owned(), 443)));
        for good in ["roll.example.com", "ROLL.example.com:443", "localhost:8080"] {
            assert_eq!(host(&https, good), Ok(()), "{good}");
        }
        for bad in ["roll.example.com:8080", "roll.example.com.", "example.com", "x.roll.example.com"] {
            assert_eq!(host(&https, bad), Err(Refusal::Misdirected), "{bad}");
        }
        let other = Hosts::new(Some(("roll.example.com".to_owned(), 8443)));
        assert_eq!(host(&other, "roll.example.com:8443"), Ok(()));
        assert_eq!(host(&other, "roll.example.com"), Err(Refusal::Misdirected));
    }

    #[test]
    fn within_tls_the_port_that_is_left_out_is_another() {
        let at = |port: u16, name: &str| {
            let peer = Peer::new("127.0.0.1:50000".parse().unwrap(), SocketAddr::from(([127, 0, 0, 1], port)));
            check(&request("GET", "/", &[("host", name)]), &Hosts::default().with_tls(true), peer)
        };
        assert_eq!((at(443, "localhost"), at(443, "127.0.0.1"), at(80, "localhost:80")), (Ok(()), Ok(()), Ok(())));
        assert_eq!(at(80, "localhost"), Err(Refusal::Misdirected));
    }

    #[test]
    fn a_name_of_ours_is_known_at_any_port() {
        let hosts = Hosts::new(Some(("roll.example.com".to_owned(), 443)));
        let name = |host: &str| {
            let headers = HeaderMap::from_iter([(HOST, host.parse().unwrap())]);
            hosts.name(&headers, peer().local).map(str::to_owned)
        };
        for (host, known) in [
            ("Roll.example.com:8081", Some("Roll.example.com")),
            ("localhost", Some("localhost")),
            ("127.0.0.1:81", Some("127.0.0.1")),
            ("evil", None),
            ("roll.example.com.evil", None),
            ("a b", None),
        ] {
            assert_eq!(name(host).as_deref(), known, "{host}");
        }
    }

    #[test]
    fn target_and_host_agree() {
        let absolute = |target, name| check(&request("GET", target, &[("host", name)]), &Hosts::default(), peer());
        assert_eq!(absolute("http://localhost:8080/", "localhost:8080"), Ok(()));
        assert_eq!(absolute("http://LOCALHOST:8080/", "localhost:8080"), Ok(()));
        assert_eq!(absolute("http://evil/", "localhost:8080"), Err(Refusal::Target));
        assert_eq!(absolute("http://localhost/", "localhost:8080"), Err(Refusal::Target));
        assert_eq!(absolute("http://x@localhost:8080/", "localhost:8080"), Err(Refusal::Target));
        assert_eq!(absolute("http://evil/", "evil:80"), Err(Refusal::Misdirected));
    }

    #[test]
    fn forwarded_addresses_count_from_trusted_proxies_only() {
        let trusted: Vec<IpNet> = vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        let ip = |lines: &[&str], trusted: &[IpNet]| {
            let mut headers = HeaderMap::new();
            headers.insert("x-real-ip", "9.9.9.9".parse().unwrap());
            headers.insert("forwarded", "for=9.9.9.9".parse().unwrap());
            for line in lines {
                headers.append("x-forwarded-for", line.parse().unwrap());
            }
            client_ip(&headers, peer(), trusted).to_string()
        };
        assert_eq!(ip(&["1.2.3.4"], &[]), "127.0.0.1");
        assert_eq!(ip(&[], &trusted), "127.0.0.1");
        assert_eq!(ip(&["1.2.3.4"], &trusted), "1.2.3.4");
        assert_eq!(ip(&["6.6.6.6, 7.7.7.7, 1.2.3.4, 10.0.0.2, 10.0.0.1"], &trusted), "1.2.3.4");
        assert_eq!(ip(&["6.6.6.6", "1.2.3.4", "10.0.0.2,10.0.0.1"], &trusted), "1.2.3.4");
        assert_eq!(ip(&["6.6.6.6, unknown, 10.0.0.1"], &trusted), "10.0.0.1");
        assert_eq!(ip(&["6.6.6.6,"], &trusted), "127.0.0.1");
        assert_eq!(ip(&["1.2.3.4:5678, [::ffff:10.0.0.1]:80"], &trusted), "1.2.3.4");
        assert_eq!(ip(&["2001:db8::1"], &trusted), "2001:db8::1");
        assert_eq!(ip(&["[2001:db8::1]"], &trusted), "2001:db8::1");
        assert_eq!(ip(&["10.0.0.3, 10.0.0.1"], &trusted), "10.0.0.3");
    }
}
