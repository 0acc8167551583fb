//! A key's secret: `rbk_` and 43 characters of base64url, which are 32 random bytes. The prefix is for people and for
//! scanners that look for secrets where they do not belong.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// SHA-256 of a secret's text, as `sha256sum` gives it. Fit for a random secret of 256 bits, which nobody can guess.
pub type SecretHash = [u8; 32];

/// A secret. It is not shown by `Debug` and has no `Display`.
#[derive(Clone)]
pub struct Secret(String);

/// Text that is no secret of an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an API key is written rbk_ and 43 characters of base64url")]
pub struct BadSecret;

impl Secret {
    /// What every secret begins with.
    pub const PREFIX: &str = "rbk_";

    /// The secret made of these bytes, which have to be random.
    #[must_use]
    pub fn new(random: &[u8; 32]) -> Self {
        Self(format!("{}{}", Self::PREFIX, URL_SAFE_NO_PAD.encode(random)))
    }

    /// The secret itself, for its bearer.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, self.0.as_bytes()).as_ref());
        hash
    }
}

impl FromStr for Secret {
    type Err = BadSecret;

    fn from_str(text: &str) -> Result<Self, BadSecret> {
        let bytes = text.strip_prefix(Self::PREFIX).and_then(|encoded| URL_SAFE_NO_PAD.decode(encoded).ok());
        if bytes.is_some_and(|bytes| bytes.len() == 32) { Ok(Self(text.to_owned())) } else { Err(BadSecret) }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_secret_has_one_form_and_is_not_shown() {
        let secret = Secret::new(&[0xff; 32]);
        assert_eq!(secret.reveal(), format!("rbk_{}8", "_".repeat(42)));
        assert_eq!(secret.reveal().parse::<Secret>().unwrap().hash(), secret.hash());
        assert!(!format!("{secret:?}").contains("___"));
        let (short, long) = (format!("rbk_{}", "A".repeat(42)), format!("rbk_{}", "A".repeat(44)));
        let not_canonical = format!("rbk_{}B", "A".repeat(42));
        for bad in ["", "rbk_", &short, &long, &not_canonical, &secret.reveal()[4..], "RBK_", &format!("{long} ")] {
            assert_eq!(bad.parse::<Secret>().err(), Some(BadSecret), "{bad}");
        }
    }

    #[test]
    fn what_is_kept_can_be_checked_by_hand() {
        // printf 'rbk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' | openssl dgst -sha256 -binary | base64 | tr +/ -_
        assert_eq!(URL_SAFE_NO_PAD.encode(Secret::new(&[0; 32]).hash()), "oKtevdyJptWESZ_Mnwk3sQQKp6cnzI08l6v4mjSYqAA");
    }
}
