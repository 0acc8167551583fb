//! The signing side of Clerk, for where there is no Clerk: one RSA key, the key set that publishes it, and
//! session tokens signed with it.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::clock::Timestamp;
use crate::user::ClerkId;

/// The category of session tokens, in the header of every one.
const SESSION: &str = "cl_B7d4PD111AAA";

/// Somebody who signs session tokens.
pub struct Issuer {
    url: String,
    kid: String,
    key: EncodingKey,
    jwks: String,
    public_pem: String,
}

/// Why there is no key, or no token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No key could be made.
    #[error("no RSA key could be made")]
    Key,
    /// The token could not be signed.
    #[error("the token could not be signed: {0}")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Issuer {
    /// With a fresh key of 2048 bits, called `kid`; `url` is what its tokens give as their issuer. Takes some
    /// tenths of a second.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn generate(url: String, kid: &str) -> Result<Self, Error> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| Error::Key)?;
        let public = PublicKeyComponents::<Vec<u8>>::from(pair.public_key());
        let jwks = json!({ "keys": [{
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid,
            "n": URL_SAFE_NO_PAD.encode(public.n), "e": URL_SAFE_NO_PAD.encode(public.e),
        }] });
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| Error::Key)?;
        let key = EncodingKey::from_rsa_pem(pem("PRIVATE KEY", der.as_ref()).as_bytes())?;
        let spki: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| Error::Key)?;
        let public_pem = pem("PUBLIC KEY", spki.as_ref());
        Ok(Self { url, kid: kid.to_owned(), key, jwks: jwks.to_string(), public_pem })
    }

    /// The key set to publish at `/.well-known/jwks.json`.
    #[must_use]
    pub fn jwks(&self) -> &str {
        &self.jwks
    }

    /// The public key, for `CLERK_JWT_KEY`.
    #[must_use]
    pub fn public_pem(&self) -> &str {
        &self.public_pem
    }

    /// A session token of `user`'s, good for `seconds` from `now`.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn token(&self, user: &ClerkId, session: &str, now: Timestamp, seconds: i64) -> Result<String, Error> {
        self.acting_token(user, session, None, now, seconds)
    }

    /// A session token of somebody who acts as `user`: `actor` is Clerk's object about them, with `sub`. `None` for a token
    /// of the user's own.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn acting_token(
        &self,
        user: &ClerkId,
        session: &str,
        actor: Option<&Value>,
        now: Timestamp,
        seconds: i64,
    ) -> Result<String, Error> {
        let now = now.as_seconds();
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(self.kid.clone());
        header.extras.insert("cat".to_owned(), SESSION);
        let mut claims = json!({
            "iss": self.url, "sub": user.as_str(), "sid": session, "v": 2, "sts": "active", "fva": [0, -1],
            "iat": now, "nbf": now - 10, "exp": now + seconds,
        });
        if let Some(actor) = actor {
            claims["act"] = actor.clone();
        }
        Ok(jsonwebtoken::encode(&header, &claims, &self.key)?)
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}
