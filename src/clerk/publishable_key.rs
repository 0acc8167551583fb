//! Clerk's publishable key, `pk_test_…` or `pk_live_…`: public, and all that is needed to know who signs
//! an instance's tokens and where its keys are.

use std::str::FromStr;

use base64::Engine as _;

use super::http::{Url, checked_url};
use super::key::BASE64;

/// A publishable key: the host that speaks for the instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishableKey {
    issuer: String,
    jwks_url: Url,
}

/// Text that is no publishable key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a publishable key is pk_test_ or pk_live_ and the host's name in base64, as on the dashboard under API keys")]
pub struct BadPublishableKey;

impl PublishableKey {
    /// What the instance's tokens carry as `iss`: `https://` and the host.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Where the instance publishes the keys of its tokens.
    #[must_use]
    pub const fn jwks_url(&self) -> &Url {
        &self.jwks_url
    }
}

impl FromStr for PublishableKey {
    type Err = BadPublishableKey;

    fn from_str(s: &str) -> Result<Self, BadPublishableKey> {
        let encoded = s.strip_prefix("pk_test_").or_else(|| s.strip_prefix("pk_live_")).ok_or(BadPublishableKey)?;
        let decoded = BASE64.decode(encoded).map_err(|_| BadPublishableKey)?;
        let host = std::str::from_utf8(&decoded).ok().and_then(|text| text.strip_suffix('$'));
        let host = host.filter(|host| is_host(host)).ok_or(BadPublishableKey)?;
        let issuer = format!("https://{host}");
        let jwks_url = checked_url(&format!("{issuer}/.well-known/jwks.json")).map_err(|_| BadPublishableKey)?;
        Ok(Self { issuer, jwks_url })
    }
}

/// Whether this is a host's name with a dot in it and nothing else: no port, no path.
fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= 253 && host.contains('.') && host.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

    use super::*;

    #[test]
    fn names_the_issuer_and_its_keys() {
        for (prefix, host) in [("pk_test_", "clean-mole-12.clerk.accounts.dev"), ("pk_live_", "clerk.example.com")] {
            let padded = format!("{prefix}{}", STANDARD.encode(format!("{host}$")));
            let bare = format!("{prefix}{}", STANDARD_NO_PAD.encode(format!("{host}$")));
            for text in [padded, bare] {
                let key: PublishableKey = text.parse().unwrap();
                assert_eq!(key.issuer(), format!("https://{host}"));
                assert_eq!(key.jwks_url().as_str(), format!("https://{host}/.well-known/jwks.json"));
            }
        }
    }

    #[test]
    fn refuses_everything_else() {
        let key = |host: &str| format!("pk_test_{}", STANDARD.encode(host));
        let good = key("clerk.example.com$");
        let mut bad = vec![
            String::new(),
            "pk_test_".to_owned(),
            good.replace("pk_test_", ""),
            good.replace("pk_test_", "pk_prod_"),
            good.replace("pk_test_", "sk_test_"),
            good.replace("pk_test_", "PK_TEST_"),
            format!("{good}_x"),
            format!("{good}\n"),
            format!(" {good}"),
            "pk_test_????".to_owned(),
            format!("pk_test_{}", STANDARD.encode(b"\xff.com$")),
        ];
        for host in [
            "clerk.example.com",
            "clerk.example.com$$",
            "clerk$example.com$",
            "localhost$",
            "$",
            ".$",
            "a..b$",
            "a.b/$",
            "a.b:80$",
            "me@a.b$",
            "a.b?x$",
            "-a.b$",
            "a-.b$",
            "a b.c$",
            "10.0.0.1$",
            "169.254.169.254$",
            "é.com$",
        ] {
            bad.push(key(host));
        }
        for text in bad {
            assert_eq!(text.parse::<PublishableKey>(), Err(BadPublishableKey), "{text}");
        }
    }
}
