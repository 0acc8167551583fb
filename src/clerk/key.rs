//! The public keys that session tokens are signed with, as Clerk hands them out: one PEM text, or a JWKS
//! document. Either is read strictly, and only RSA keys of 2048 to 8192 bits come out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::rsa::{PublicKey, PublicKeyComponents};
use base64::Engine as _;
use base64::alphabet;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};

use crate::json::parse_strict;

/// The most keys a document may hold. An instance has one, and two while it rotates.
const MAX_KEYS: usize = 32;

/// The members that only a private or a symmetric key has (RFC 7518, section 6).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// A public key for RS256.
pub(super) struct Key {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
    verifier: DecodingKey,
}

impl Key {
    /// The key of that modulus and exponent, both big-endian without leading zeros.
    fn new(modulus: Vec<u8>, exponent: Vec<u8>) -> Option<Self> {
        let bits = modulus.len() * 8 - modulus.first()?.leading_zeros() as usize;
        let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
        let sound = modulus[0] != 0
            && (2048..=8192).contains(&bits)
            && is_odd(&modulus)
            && (1..=4).contains(&exponent.len())
            && exponent[0] != 0
            && exponent != [1]
            && is_odd(&exponent);
        let verifier = DecodingKey::from_rsa_raw_components(&modulus, &exponent);
        sound.then_some(Self { modulus, exponent, verifier })
    }

    /// Reads the key from PEM: the header, the footer and the line breaks may be missing, or be written `\n`.
    pub(super) fn from_pem(pem: &str) -> Result<Self, BadKey> {
        let mut text = pem.replace("\\r", "").replace("\\n", "\n");
        if text.contains("PRIVATE KEY") {
            return Err(BadKey::Private);
        }
        for line in ["-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"] {
            text = text.replace(line, "");
        }
        text.retain(|c| !c.is_ascii_whitespace());
        let der = BASE64.decode(text).map_err(|_| BadKey::Form)?;
        let public = PublicKey::from_der(&der).map_err(|_| BadKey::NotRsa)?;
        let parts = PublicKeyComponents::<Vec<u8>>::from(&public);
        Self::new(parts.n, parts.e).ok_or(BadKey::Weak)
    }

    /// Reads the key from a member of a JWKS document, if it is one for checking RS256 signatures.
    fn from_jwk(jwk: &Map<String, Value>) -> Option<Self> {
        let text = |name| jwk.get(name).and_then(Value::as_str);
        let absent_or = |name, only| jwk.get(name).is_none_or(|value| value.as_str() == Some(only));
        let may_verify = jwk
            .get("key_ops")
            .is_none_or(|ops| ops.as_array().is_some_and(|ops| ops.iter().any(|op| op.as_str() == Some("verify"))));
        if text("kty") != Some("RSA") || !absent_or("use", "sig") || !absent_or("alg", "RS256") || !may_verify {
            return None;
        }
        let number = |name| text(name).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        Self::new(number("n")?, number("e")?)
    }

    /// Whether `signature` (base64url) is this key's RS256 signature of `message`.
    pub(super) fn verifies(&self, message: &str, signature: &str) -> bool {
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.verifier, Algorithm::RS256).unwrap_or(false)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.modulus == other.modulus && self.exponent == other.exponent
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key(RSA, {} bytes)", self.modulus.len())
    }
}

/// Base64 whose padding may be missing: keys get copied by hand.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Text that is no public key for session tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// Not PEM.
    #[error("not a PEM public key")]
    Form,
    /// A private key, which has no business here.
    #[error("this is a private key; the JWT public key is meant")]
    Private,
    /// A key, but not an RSA one.
    #[error("not an RSA public key")]
    NotRsa,
    /// An RSA key that is too small, too large, or ill-made.
    #[error("an RSA key of 2048 to 8192 bits with an odd exponent of at least 3 is needed")]
    Weak,
}

/// What is wrong with a JWKS document as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKeySet {
    /// Not one JSON object with a list `keys` of objects.
    #[error("not a JWKS document")]
    Form,
    /// Two keys of one name: which one is meant cannot be told.
    #[error("two keys share an id")]
    Repeated,
    /// A private or symmetric key stands in it, so it is no longer a secret.
    #[error("it holds a private key")]
    Private,
    /// More than 32 keys.
    #[error("it holds more than 32 keys")]
    TooMany,
    /// No key in it can check RS256 signatures.
    #[error("it holds no usable RSA key")]
    Empty,
}

/// Keys by their ids. Never empty.
#[derive(Debug, PartialEq)]
pub(super) struct KeySet(BTreeMap<String, Arc<Key>>);

impl KeySet {
    /// Reads a JWKS document (RFC 7517). Keys for other uses are left out; a document that is hostile or
    /// damaged is refused as a whole.
    pub(super) fn read(document: &[u8]) -> Result<Self, BadKeySet> {
        let text = std::str::from_utf8(document).map_err(|_| BadKeySet::Form)?;
        let document = parse_strict(text).map_err(|_| BadKeySet::Form)?;
        let list = document.get("keys").and_then(Value::as_array).ok_or(BadKeySet::Form)?;
        if list.len() > MAX_KEYS {
            return Err(BadKeySet::TooMany);
        }
        let (mut ids, mut keys) = (BTreeSet::new(), BTreeMap::new());
        for jwk in list {
            let jwk = jwk.as_object().ok_or(BadKeySet::Form)?;
            if PRIVATE_MEMBERS.iter().any(|name| jwk.contains_key(*name)) {
                return Err(BadKeySet::Private);
            }
            let Some(kid) = jwk.get("kid").and_then(Value::as_str) else { continue };
            if !ids.insert(kid) {
                return Err(BadKeySet::Repeated);
            }
            if let Some(key) = Key::from_jwk(jwk).filter(|_| is_key_id(kid)) {
                keys.insert(kid.to_owned(), Arc::new(key));
            }
        }
        if keys.is_empty() { Err(BadKeySet::Empty) } else { Ok(Self(keys)) }
    }

    /// The key of that id.
    pub(super) fn get(&self, kid: &str) -> Option<&Arc<Key>> {
        self.0.get(kid)
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The same set, but made of `before`'s own keys where they are equal, so that whoever remembers one
    /// of them can see that it still stands.
    pub(super) fn succeeding(mut self, before: &Self) -> Self {
        for (kid, key) in &mut self.0 {
            if let Some(old) = before.get(kid).filter(|old| *old == key) {
                *key = Arc::clone(old);
            }
        }
        self
    }
}

/// Whether the text may be a key's id: 1 to 128 of `A-Z a-z 0-9 _ -`.
pub(super) fn is_key_id(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::LazyLock;

    use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    use super::*;
    use crate::clerk::tokens::{Issuer, jwks, with, without};

    static SIGNER: LazyLock<Issuer> = LazyLock::new(|| Issuer::new("ins_1"));

    /// An odd number of that many bits, as in a JWK.
    fn number(bits: usize) -> String {
        let mut bytes = vec![0xa5; bits.div_ceil(8)];
        bytes[0] = 1 << ((bits - 1) % 8);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    #[test]
    fn reads_pem_however_it_was_pasted() {
        let pem = SIGNER.pem();
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let expected = Key::from_jwk(SIGNER.jwk().as_object().unwrap()).unwrap();
        for text in [
            pem.clone(),
            pem.replace('\n', "\\n"),
            pem.replace('\n', "\\r\\n"),
            pem.replace('\n', "\r\n"),
            pem.replace('\n', " "),
            pem.replace('\n', ""),
            format!("  {pem}\n"),
            body.trim_end_matches('=').to_owned(),
            body,
        ] {
            assert_eq!(Key::from_pem(&text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn refuses_pem_that_is_no_public_rsa_key() {
        let pem = SIGNER.pem();
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let ec = AsDer::<PublicKeyX509Der<'_>>::as_der(ec.public_key()).unwrap();
        for (bad, why) in [
            (String::new(), BadKey::NotRsa),
            ("not a key".to_owned(), BadKey::Form),
            (pem.replace("PUBLIC", "PRIVATE"), BadKey::Private),
            (pem.replace("BEGIN PUBLIC KEY", "BEGIN CERTIFICATE"), BadKey::Form),
            (body[..body.len() - 8].to_owned(), BadKey::NotRsa),
            (STANDARD.encode(ec.as_ref()), BadKey::NotRsa),
        ] {
            assert_eq!(Key::from_pem(&bad).unwrap_err(), why, "{bad}");
        }
    }

    #[test]
    fn takes_only_keys_made_for_the_purpose() {
        let jwk = SIGNER.jwk();
        let good = [
            jwk.clone(),
            without(&jwk, "use"),
            without(&jwk, "alg"),
            with(&jwk, "key_ops", json!(["verify"])),
            with(&jwk, "n", number(2048)),
            with(&jwk, "n", number(8192)),
            with(&jwk, "e", "Aw"),
            with(&jwk, "x5t", "whatever"),
        ];
        for key in good {
            assert_eq!(KeySet::read(jwks(std::slice::from_ref(&key)).as_bytes()).unwrap().len(), 1, "{key}");
        }
        let bad = [
            with(&jwk, "kty", "EC"),
            with(&jwk, "kty", "rsa"),
            without(&jwk, "kty"),
            with(&jwk, "use", "enc"),
            with(&jwk, "use", Value::Null),
            with(&jwk, "alg", "RS384"),
            with(&jwk, "alg", "HS256"),
            with(&jwk, "alg", 1),
            with(&jwk, "key_ops", json!(["encrypt"])),
            with(&jwk, "key_ops", json!([])),
            with(&jwk, "key_ops", "verify"),
            with(&jwk, "n", number(1024)),
            with(&jwk, "n", number(2047)),
            with(&jwk, "n", number(8193)),
            with(&jwk, "n", format!("AAAA{}", jwk["n"].as_str().unwrap())),
            with(&jwk, "n", format!("{}==", jwk["n"].as_str().unwrap())),
            with(&jwk, "n", ""),
            without(&jwk, "n"),
            with(&jwk, "e", ""),
            with(&jwk, "e", "AQ"),
            with(&jwk, "e", "Ag"),
            with(&jwk, "e", "AAAD"),
            with(&jwk, "e", "AQAAAAAB"),
            with(&jwk, "e", 65537),
            without(&jwk, "kid"),
            with(&jwk, "kid", 1),
            with(&jwk, "kid", ""),
            with(&jwk, "kid", "../x"),
        ];
        for key in bad {
            assert_eq!(KeySet::read(jwks(std::slice::from_ref(&key)).as_bytes()), Err(BadKeySet::Empty), "{key}");
            // Beside a good key it is no matter.
            let document = jwks(&[key.clone(), with(&jwk, "kid", "ins_2")]);
            assert_eq!(KeySet::read(document.as_bytes()).unwrap().len(), 1, "{key}");
        }
    }

    #[test]
    fn refuses_a_document_that_is_damaged_or_hostile() {
        let jwk = SIGNER.jwk();
        let other = with(&jwk, "kid", "ins_2");
        let many: Vec<Value> = (0..33).map(|n| with(&jwk, "kid", format!("ins_{n}"))).collect();
        let twice = jwk.to_string().replacen('{', r#"{"kid":"ins_3","#, 1);
        for (bad, why) in [
            (String::new(), BadKeySet::Form),
            ("<html></html>".to_owned(), BadKeySet::Form),
            ("[]".to_owned(), BadKeySet::Form),
            ("{}".to_owned(), BadKeySet::Form),
            (r#"{"keys":{}}"#.to_owned(), BadKeySet::Form),
            (format!(r#"{{"keys":[{jwk}],"keys":[]}}"#), BadKeySet::Form),
            (format!(r#"{{"keys":[{twice}]}}"#), BadKeySet::Form),
            (jwks(&[jwk.clone(), json!("x")]), BadKeySet::Form),
            (format!("{}x", SIGNER.jwks()), BadKeySet::Form),
            (jwks(&[]), BadKeySet::Empty),
            (jwks(&[jwk.clone(), jwk.clone()]), BadKeySet::Repeated),
            (jwks(&[jwk.clone(), with(&jwk, "use", "enc")]), BadKeySet::Repeated),
            (jwks(&[jwk.clone(), with(&other, "d", "AQ")]), BadKeySet::Private),
            (jwks(&[jwk.clone(), with(&other, "qi", "AQ")]), BadKeySet::Private),
            (jwks(&[jwk, json!({"kty": "oct", "kid": "x", "k": "AQ"})]), BadKeySet::Private),
            (jwks(&many), BadKeySet::TooMany),
        ] {
            assert_eq!(KeySet::read(bad.as_bytes()), Err(why), "{bad}");
        }
        assert_eq!(KeySet::read(b"\xff"), Err(BadKeySet::Form));
        assert_eq!(KeySet::read(jwks(&many[1..]).as_bytes()).unwrap().len(), 32);
    }

    #[test]
    fn a_successor_keeps_the_keys_that_are_equal() {
        let (jwk, new) = (SIGNER.jwk(), Issuer::new("ins_1").jwk());
        let read = |keys: &[Value]| KeySet::read(jwks(keys).as_bytes()).unwrap();
        let before = read(&[jwk.clone(), with(&jwk, "kid", "ins_2")]);
        let after = read(&[new, with(&jwk, "kid", "ins_2")]).succeeding(&before);
        assert!(Arc::ptr_eq(after.get("ins_2").unwrap(), before.get("ins_2").unwrap()));
        assert_ne!(after.get("ins_1"), before.get("ins_1"));
    }
}
