//! Session tokens. An input of two lines is a header and claims, which get a good signature; any other is a token as it
//! came. What is taken is held against jsonwebtoken's own checks.
#![no_main]

use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use libfuzzer_sys::fuzz_target;
use rollbook::clerk::jwks::Keys;
use rollbook::clerk::session::{Error, Rules, Session, Sessions};
use rollbook::clock::{Clock, Timestamp};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

const ISSUER: &str = "https://fuzzed.clerk.accounts.dev";
const PARTY: &str = "https://app.example.org";
/// Ten o'clock on 15 January 2026.
const NOW: i64 = 1_768_471_200;

static PAIR: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).unwrap());
static SPKI: LazyLock<String> = LazyLock::new(|| {
    let der: PublicKeyX509Der<'_> = PAIR.public_key().as_der().unwrap();
    STANDARD.encode(der.as_ref())
});
static SESSIONS: LazyLock<Sessions> = LazyLock::new(|| {
    let rules = Rules {
        issuer: ISSUER.to_owned(),
        authorized_parties: vec![PARTY.to_owned()],
        require_azp: false,
        audiences: Vec::new(),
    };
    Sessions::new(Keys::from_pem(&SPKI).unwrap(), rules, Clock::fixed(Timestamp::from_millis(NOW * 1000)))
});
static LIBRARY: LazyLock<(DecodingKey, Validation)> = LazyLock::new(|| {
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", *SPKI);
    let mut rules = Validation::new(Algorithm::RS256);
    rules.set_issuer(&[ISSUER]);
    rules.set_required_spec_claims(&["exp", "iss", "sub", "nbf"]);
    // It goes by the system's clock.
    rules.validate_exp = false;
    rules.validate_aud = false;
    (DecodingKey::from_rsa_pem(pem.as_bytes()).unwrap(), rules)
});
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().build().unwrap());

fuzz_target!(|text: &str| {
    let Some((header, claims)) = text.split_once('\n') else {
        assert!(verify(text).is_err());
        return;
    };
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let mut signature = vec![0; PAIR.public_modulus_len()];
    PAIR.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(&signature));
    let found = verify(&token);
    if let Ok(session) | Err(Error::Pending(session)) = &found {
        is_right(session, &token, header, claims);
        signature[0] ^= 1;
        assert!(verify(&format!("{signed}.{}", URL_SAFE_NO_PAD.encode(&signature))).is_err());
        assert!(verify(&format!("{token}=")).is_err() && verify(&format!("{token}.")).is_err());
    }
    // The second time it is known, and opens as much.
    assert_eq!(format!("{:?}", verify(&token)), format!("{found:?}"));
});

fn verify(token: &str) -> Result<Session, Error> {
    RUNTIME.block_on(SESSIONS.verify(token))
}

fn is_right(session: &Session, token: &str, header: &str, claims: &str) {
    let header: Value = serde_json::from_str(header).unwrap();
    assert_eq!(header["alg"], "RS256");
    assert!(header.get("crit").is_none() && header.get("jwk").is_none() && header.get("jku").is_none());
    let said: Value = serde_json::from_str(claims).unwrap();
    assert_eq!((&said["iss"], &said["sub"]), (&Value::from(ISSUER), &Value::from(session.user().as_str())));
    assert!(session.user().as_str().starts_with("user_"));
    assert_eq!(said["sid"], session.id());
    assert!(said.get("azp").is_none_or(|party| party == PARTY));
    assert_eq!(said.get("act").is_some(), session.actor().is_some());
    let time = |name: &str| said[name].as_i64().unwrap();
    assert!(time("exp") > NOW - 5 && time("nbf") <= NOW + 5 && time("iat") <= NOW + 5);
    let (key, rules) = &*LIBRARY;
    // The library reads times as whole seconds from 1970 on.
    if time("nbf") >= 0 && time("iat") >= 0 {
        assert_eq!(jsonwebtoken::decode::<Value>(token, key, rules).unwrap().claims, said);
    }
}
