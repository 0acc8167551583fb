//! Values of settings: what each must look like. An error says what is wanted and never repeats the
//! value, which may be a secret in the wrong place.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use ipnet::IpNet;
use url::Host;

/// The value, or what is wanted instead.
pub(super) type Parsed<T> = Result<T, String>;

/// Base64 whose padding may be left out, as in Clerk's keys.
const UNPADDED: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The items of a list separated by commas; empty ones do not count.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

/// A list, each of its items read by `item`.
pub(super) fn list<T>(text: &str, item: impl Fn(&str) -> Parsed<T>) -> Parsed<Vec<T>> {
    items(text).map(item).collect()
}

/// An address to listen on.
pub(super) fn listen(text: &str) -> Parsed<SocketAddr> {
    let local = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    local.as_deref().unwrap_or(text).parse().map_err(|_| {
        "must be an address and a port, such as 127.0.0.1:8080, or 0.0.0.0:8080 for every address of the machine".into()
    })
}

/// The path of a file that holds PEM, not what is in it: that may be a key.
pub(super) fn path_of_pem(text: &str) -> Parsed<PathBuf> {
    if text.contains("-----") { Err("must be the path of a file".into()) } else { Ok(text.into()) }
}

/// A network, or a single address.
pub(super) fn network(text: &str) -> Parsed<IpNet> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse::<IpNet>()
        .map(|net| net.trunc())
        .or_else(|_| address())
        .map_err(|_| "must be networks separated by commas, such as 10.0.0.0/8,::1".into())
}

/// How often something is done, in hours; `None` is never.
pub(super) fn hours(text: &str) -> Parsed<Option<NonZeroU32>> {
    match text.parse::<NonZeroU32>() {
        Ok(hours) if hours.get() <= 168 => Ok(Some(hours)),
        _ if text == "off" => Ok(None),
        _ => Err("must be a whole number of hours from 1 to 168, or off".into()),
    }
}

/// How many hours are between two backups; `None` is never.
pub(super) fn backup_hours(text: &str) -> Parsed<Option<NonZeroU32>> {
    number_or_none(text, 8760, "must be a whole number of hours from 1 to 8760, or off")
}

/// How many backups are kept; `None` is all.
pub(super) fn kept(text: &str) -> Parsed<Option<NonZeroU32>> {
    number_or_none(text, 100_000, "must be a whole number from 1 to 100000, or off")
}

/// A whole number of at most `most`, where `off` or 0 says that there is none.
fn number_or_none(text: &str, most: u32, wanted: &str) -> Parsed<Option<NonZeroU32>> {
    if text == "off" {
        return Ok(None);
    }
    text.parse().ok().filter(|number| *number <= most).map(NonZeroU32::new).ok_or_else(|| wanted.into())
}

/// A secret key of Clerk's.
pub(super) fn secret_key(text: &str) -> Parsed<String> {
    let text = text.trim();
    let is_one = text.strip_prefix("sk_").is_some_and(|rest| {
        (1..=256).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    });
    if is_one {
        Ok(text.to_owned())
    } else {
        Err("must be a secret key (sk_live_… or sk_test_…; Clerk dashboard, API keys)".into())
    }
}

/// What sort of instance a key is of, by how it begins; `None` where it does not say.
pub(super) fn kind_of_key(key: &str) -> Option<&'static str> {
    let rest = key.strip_prefix("sk_").or_else(|| key.strip_prefix("pk_"))?;
    let kinds = [("test_", "development"), ("live_", "production")];
    kinds.into_iter().find(|(word, _)| rest.starts_with(word)).map(|(_, kind)| kind)
}

/// A size in MiB, as bytes.
pub(super) fn mebibytes(text: &str) -> Parsed<usize> {
    match text.parse::<usize>() {
        Ok(n @ 1..=65_536) => Ok(n << 20),
        _ => Err("must be a whole number of MiB from 1 to 65536".into()),
    }
}

/// The origin of a web page as browsers write it. Those of apps (`capacitor://localhost`) are origins too.
pub(super) fn origin_of_app(text: &str) -> Parsed<String> {
    let fits = text.split_once("://").is_some_and(|(scheme, rest)| {
        !scheme.is_empty()
            && scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b))
            && !rest.is_empty()
            && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._:[]".contains(&b))
    });
    if fits {
        Ok(text.to_owned())
    } else {
        Err("must be origins separated by commas, in lower case and with no slash at the end, such as https://app.example.com,http://localhost:3000".into())
    }
}

/// The origin of a page that may call us. Not any at all, and not what a page without an origin calls itself.
pub(super) fn cors_origin(text: &str) -> Parsed<String> {
    match text {
        "*" => Err("must name each origin; * would let every page on the web call the API".into()),
        "null" => Err("must name each origin; null is what any sandboxed page or local file calls itself".into()),
        _ => origin_of_app(text),
    }
}

/// The name of a request header.
pub(super) fn header(text: &str) -> Parsed<String> {
    // The characters of a token (RFC 9110 §5.6.2), but for `*`, which would stand for every header.
    let fits = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&b));
    if fits {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("must be names of headers separated by commas; * is none".into())
    }
}

/// How long browsers remember, in seconds; they go no further than a day.
pub(super) fn max_age(text: &str) -> Parsed<u64> {
    text.parse().ok().filter(|n| *n <= 86_400).ok_or_else(|| "must be a whole number of seconds up to 86400".into())
}

/// Requests per second, or no limit.
pub(super) fn rate(text: &str) -> Parsed<Option<NonZeroU32>> {
    match text.parse() {
        _ if text == "off" => Ok(None),
        Ok(n @ 1..=100_000) => Ok(NonZeroU32::new(n)),
        _ => Err("must be a whole number of requests a second from 1 to 100000, or off".into()),
    }
}

/// The id of a Clerk instance.
pub(super) fn instance(text: &str) -> Parsed<String> {
    let fits = text
        .strip_prefix("ins_")
        .is_some_and(|id| (1..=124).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
    if fits { Ok(text.to_owned()) } else { Err("must be the id of a Clerk instance, ins_…".into()) }
}

/// Checks one signing secret: at least 24 bytes of base64, `whsec_` before them or not.
pub(super) fn signing_secret(text: &str) -> Parsed<()> {
    if length_of_key(text).is_some_and(|length| length >= 24) {
        Ok(())
    } else {
        Err("is not a signing secret; copy it whole from the endpoint's page (Clerk dashboard, Webhooks): whsec_…"
            .into())
    }
}

/// The secret of a target, which its operator makes.
pub(super) fn target_secret(text: &str) -> Parsed<String> {
    // As Standard Webhooks has it; Clerk's own may be longer.
    if length_of_key(text).is_some_and(|length| (24..=64).contains(&length)) {
        Ok(text.to_owned())
    } else {
        Err("is not a signing secret: whsec_ and 24 to 64 random bytes in base64; make one with \
             echo \"whsec_$(openssl rand -base64 32)\""
            .into())
    }
}

/// How many bytes the key of a signing secret has.
fn length_of_key(text: &str) -> Option<usize> {
    let key = STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(text));
    key.ok().map(|key| key.len())
}

/// Reads an RSA public key in PEM. Lost line breaks, `\n` written as two characters and a missing first
/// and last line are forgiven, as Clerk's own libraries do; the result is PEM as it should be.
pub(super) fn public_key(text: &str) -> Parsed<String> {
    let wanted = || "must be the instance's public key in PEM (Clerk dashboard, API keys): -----BEGIN PUBLIC KEY-----…";
    let text = text.replace("\\n", "\n");
    let (label, body) = match text.trim().strip_prefix("-----BEGIN ") {
        None => ("PUBLIC KEY", text.as_str()),
        Some(rest) => {
            let (label, rest) = rest.split_once("-----").ok_or_else(wanted)?;
            (label, rest.strip_suffix(&format!("-----END {label}-----")).ok_or_else(wanted)?)
        }
    };
    if label.contains("PRIVATE KEY") {
        return Err("holds a private key; only the public key belongs here".into());
    }
    let base64: String = body.split_ascii_whitespace().collect();
    let der = UNPADDED.decode(&base64).map_err(|_| wanted())?;
    if !matches!(label, "PUBLIC KEY" | "RSA PUBLIC KEY") || !is_whole_sequence(&der) {
        return Err(wanted().into());
    }
    let base64 = STANDARD.encode(der);
    let lines: Vec<&str> = (0..base64.len()).step_by(64).map(|at| &base64[at..base64.len().min(at + 64)]).collect();
    Ok(format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n")))
}

/// Whether `der` is one DER sequence and nothing more, of the length of an RSA key of 2048 bits or more:
/// what a key that was copied in part is not.
fn is_whole_sequence(der: &[u8]) -> bool {
    matches!(der, [0x30, 0x82, high, low, rest @ ..] if rest.len() == usize::from(*high) << 8 | usize::from(*low))
}

/// The issuer that a publishable key names: `pk_test_` or `pk_live_`, then the base64 of the Frontend
/// API's host and a `$`.
pub(super) fn issuer_of(key: &str) -> Parsed<String> {
    if key.starts_with("sk_") {
        return Err("holds a secret key (sk_…); the publishable key (pk_…) belongs here. \
                    If others could read it, replace the secret key"
            .into());
    }
    let issuer = || {
        let encoded = key.strip_prefix("pk_test_").or_else(|| key.strip_prefix("pk_live_"))?;
        let text = String::from_utf8(UNPADDED.decode(encoded).ok()?).ok()?;
        let host = text.strip_suffix('$')?;
        let named = matches!(Host::parse(host), Ok(Host::Domain(name)) if name == host && name.contains('.') && !name.contains('$'));
        named.then(|| format!("https://{host}"))
    };
    issuer().ok_or_else(|| {
        "is not a publishable key; copy it whole (Clerk dashboard, API keys): pk_test_… or pk_live_…".into()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_publishable_key_names_a_host() {
        let key = |kind: &str, text: &str| format!("{kind}{}", STANDARD.encode(text));
        assert_eq!(issuer_of(&key("pk_live_", "clerk.example.com$")).unwrap(), "https://clerk.example.com");
        let unpadded = key("pk_test_", "happy-cat-1.clerk.accounts.dev$").trim_end_matches('=').to_owned();
        assert_eq!(issuer_of(&unpadded).unwrap(), "https://happy-cat-1.clerk.accounts.dev");
        for bad in [
            key("pk_live_", "clerk.example.com"),
            key("pk_live_", "clerk.example.com$$"),
            key("pk_live_", "localhost$"),
            key("pk_live_", "127.0.0.1$"),
            key("pk_live_", "a.example/@b.example$"),
            key("pk_prod_", "clerk.example.com$"),
            format!("{}_x", key("pk_live_", "clerk.example.com$")),
            "pk_live_".to_owned(),
        ] {
            assert!(issuer_of(&bad).is_err(), "{bad}");
        }
        assert!(issuer_of("sk_live_abc").unwrap_err().contains("replace the secret key"));
    }

    #[test]
    fn a_signing_secret_has_24_bytes_or_more() {
        let secret = |bytes: usize| STANDARD.encode(vec![7; bytes]);
        assert!(signing_secret(&format!("whsec_{}", secret(24))).is_ok());
        assert!(signing_secret(&secret(32)).is_ok());
        for bad in
            [format!("whsec_{}", secret(23)), "whsec_".to_owned(), format!("whsk_{}", secret(24)), "?".repeat(40)]
        {
            assert!(signing_secret(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_public_key_may_have_lost_its_line_breaks() {
        let der: Vec<u8> =
            [0x30, 0x82, 0x01, 0x22].into_iter().chain((0..0x122).map(|n: u16| n.to_le_bytes()[0])).collect();
        let bare = STANDARD.encode(&der);
        let pem = public_key(&bare).unwrap();
        assert!(pem.starts_with("-----BEGIN PUBLIC KEY-----\n") && pem.lines().all(|line| line.len() <= 64), "{pem}");
        for same in [
            pem.clone(),
            pem.replace('\n', "\\n"),
            pem.replace('\n', " "),
            format!("-----BEGIN PUBLIC KEY-----{bare}-----END PUBLIC KEY-----"),
        ] {
            assert_eq!(public_key(&same).as_ref(), Ok(&pem), "{same}");
        }
        for bad in [
            bare[..200].to_owned(),
            pem.replace("-----END PUBLIC KEY-----", ""),
            pem.replace("PUBLIC KEY", "CERTIFICATE"),
            "not a key".to_owned(),
        ] {
            assert!(public_key(&bad).is_err(), "{bad}");
        }
        assert!(public_key(&pem.replace("PUBLIC", "PRIVATE")).unwrap_err().contains("private key"));
    }

    #[test]
    fn networks_and_origins() {
        assert_eq!(network("10.1.2.3/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(network("::1").unwrap().to_string(), "::1/128");
        assert!(network("10.0.0.0/33").is_err() && network("proxy").is_err());
        assert!(origin_of_app("http://localhost:3000").is_ok() && origin_of_app("chrome-extension://abc").is_ok());
        for bad in ["https://a.example/", "https://A.example", "a.example", "https://", "https://a.example?x"] {
            assert!(origin_of_app(bad).is_err(), "{bad}");
        }
        assert_eq!(listen("localhost:80").unwrap(), listen("127.0.0.1:80").unwrap());
    }

    #[test]
    fn pages_that_may_call_are_named_one_by_one() {
        assert_eq!(cors_origin("https://app.example").as_deref(), Ok("https://app.example"));
        assert!(cors_origin("*").unwrap_err().contains("every page"));
        for bad in ["null", "https://*.example", "https://app.example/", "app.example"] {
            assert!(cors_origin(bad).is_err(), "{bad}");
        }
        assert_eq!(header("If-Match").as_deref(), Ok("if-match"));
        for bad in ["*", "x y", "x:", "é"] {
            assert!(header(bad).is_err(), "{bad}");
        }
        assert_eq!((max_age("0"), max_age("86400")), (Ok(0), Ok(86_400)));
        assert!(max_age("86401").is_err() && max_age("-1").is_err() && max_age("1h").is_err());
    }

    #[test]
    fn a_rate_is_a_number_or_off() {
        assert_eq!(
            (rate("off"), rate("1"), rate("100000")),
            (Ok(None), Ok(NonZeroU32::new(1)), Ok(NonZeroU32::new(100_000)))
        );
        for bad in ["0", "100001", "-1", "1.5", "OFF", "none"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }
}
