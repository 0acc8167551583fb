//! A stand-in for Clerk's signing side: makes keys, publishes them, signs whatever it is told to sign. Signs
//! with aws-lc-rs directly, so that what is tested is not judged by the library it uses.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaEncoding};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// The issuer that tokens name unless told otherwise.
pub const ISSUER: &str = "https://clerk.example.com";

/// The origin that tokens name unless told otherwise.
pub const PARTY: &str = "https://app.example.com";

/// Somebody who signs tokens: one RSA key and its id.
#[derive(Debug)]
pub struct Issuer {
    pub kid: String,
    pub pair: KeyPair,
}

impl Issuer {
    /// With a new key of 2048 bits.
    pub fn new(kid: &str) -> Self {
        Self { kid: kid.to_owned(), pair: KeyPair::generate(KeySize::Rsa2048).unwrap() }
    }

    /// The public key as a member of a JWKS document.
    pub fn jwk(&self) -> Value {
        let parts = PublicKeyComponents::<Vec<u8>>::from(self.pair.public_key());
        json!({
            "use": "sig", "kty": "RSA", "kid": self.kid, "alg": "RS256",
            "n": URL_SAFE_NO_PAD.encode(parts.n), "e": URL_SAFE_NO_PAD.encode(parts.e),
        })
    }

    /// The public key as a JWKS document.
    pub fn jwks(&self) -> String {
        jwks(&[self.jwk()])
    }

    /// The public key in DER.
    pub fn der(&self) -> Vec<u8> {
        AsDer::<PublicKeyX509Der<'_>>::as_der(self.pair.public_key()).unwrap().as_ref().to_vec()
    }

    /// The public key in PEM.
    pub fn pem(&self) -> String {
        let text = STANDARD.encode(self.der());
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// The header of a session token.
    pub fn header(&self) -> Value {
        json!({"alg": "RS256", "cat": "cl_B7d4PD111AAA", "kid": self.kid, "typ": "JWT", "oiat": 1})
    }

    /// A session token with those claims.
    pub fn mint(&self, claims: &Value) -> String {
        self.sign(&self.header().to_string(), &claims.to_string())
    }

    /// A session token with another header.
    pub fn mint_with(&self, header: &Value, claims: &Value) -> String {
        self.sign(&header.to_string(), &claims.to_string())
    }

    /// Signs header and claims exactly as written.
    pub fn sign(&self, header: &str, claims: &str) -> String {
        self.sign_as(&RSA_PKCS1_SHA256, header, claims)
    }

    /// Signs header and claims with another of RSA's algorithms.
    pub fn sign_as(&self, algorithm: &'static dyn RsaEncoding, header: &str, claims: &str) -> String {
        let message = message(header, claims);
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair.sign(algorithm, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// The part of a token that is signed.
pub fn message(header: &str, claims: &str) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
}

/// A JWKS document of those keys.
pub fn jwks(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// The claims of a session token of `user`'s, made now (in seconds since 1970), good for a minute.
pub fn claims(user: &str, now: i64) -> Value {
    json!({
        "v": 2, "iss": ISSUER, "sub": user, "sid": "sess_1", "azp": PARTY, "sts": "active", "fva": [1, -1],
        "exp": now + 60, "nbf": now - 10, "iat": now, "jti": "1",
    })
}

/// The same object with the member put in, or put in another's place.
pub fn with(object: &Value, name: &str, value: impl Into<Value>) -> Value {
    let mut object = object.clone();
    object[name] = value.into();
    object
}

/// The same object without the member.
pub fn without(object: &Value, name: &str) -> Value {
    let mut object = object.clone();
    object.as_object_mut().unwrap().remove(name);
    object
}
