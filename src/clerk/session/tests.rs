#![allow(clippy::unwrap_used, clippy::panic)]
use std::sync::LazyLock;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaEncoding, RsaPublicKeyComponents,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;
use crate::clerk::jwks_server::JwksServer;
use crate::clerk::tokens::{ISSUER, Issuer, PARTY, claims, jwks, message, with, without};

/// Seconds since 1970.
const NOW: i64 = 1_700_000_000;

static OURS: LazyLock<Issuer> = LazyLock::new(|| Issuer::new("ins_ours"));
static THEIRS: LazyLock<Issuer> = LazyLock::new(|| Issuer::new("ins_theirs"));

pub(super) fn rules() -> Rules {
    Rules {
        issuer: ISSUER.to_owned(),
        authorized_parties: vec![PARTY.to_owned(), "https://admin.example.com".to_owned()],
        require_azp: false,
        audiences: Vec::new(),
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

/// A verifier that knows our key, at [`NOW`].
fn sessions(rules: Rules) -> (Sessions, Clock) {
    let clock = Clock::fixed(at(NOW));
    (Sessions::new(Keys::from_pem(&OURS.pem()).unwrap(), rules, clock.clone()), clock)
}

/// A verifier that knows what the server publishes, at [`NOW`].
async fn remote(document: &str) -> (JwksServer, Sessions, Clock) {
    let (server, clock) = (JwksServer::start(document).await, Clock::fixed(at(NOW)));
    let keys = Keys::remote(server.url().parse().unwrap(), None, clock.clone());
    (server, Sessions::new(keys, rules(), clock.clone()), clock)
}

fn good() -> Value {
    claims("user_1", NOW)
}

async fn fault_of(sessions: &Sessions, token: &str) -> Option<Fault> {
    match sessions.verify(token).await {
        Ok(_) => None,
        Err(Error::Invalid(fault)) => Some(fault),
        Err(other) => panic!("{other:?}"),
    }
}

/// What is wrong with the token by the usual rules.
async fn fault(token: &str) -> Option<Fault> {
    fault_of(&sessions(rules()).0, token).await
}

/// What is wrong with the claims, validly signed, by those rules.
async fn fault_by(rules: &Rules, claims: &Value) -> Option<Fault> {
    fault_of(&sessions(rules.clone()).0, &OURS.mint(claims)).await
}

async fn fault_with(name: &str, value: impl Into<Value>) -> Option<Fault> {
    fault_by(&rules(), &with(&good(), name, value)).await
}

async fn fault_without(name: &str) -> Option<Fault> {
    fault_by(&rules(), &without(&good(), name)).await
}

async fn fault_with_header(name: &str, value: impl Into<Value>) -> Option<Fault> {
    fault(&OURS.mint_with(&with(&OURS.header(), name, value), &good())).await
}

#[tokio::test]
async fn says_who_is_calling() {
    let (sessions, _) = sessions(rules());
    let mut claims = with(&good(), "email", "ada@example.com");
    claims["name"] = json!("");
    claims["o"] = json!({"id": "org_1", "slg": "acme", "rol": "admin"});
    claims["act"] = json!({"sub": "user_admin", "iss": "https://dashboard.clerk.com"});
    let session = sessions.verify(&OURS.mint(&claims)).await.unwrap();
    assert_eq!((session.user().as_str(), session.id()), ("user_1", "sess_1"));
    assert_eq!(session.actor().unwrap().as_str(), "user_admin");
    assert_eq!(session.organization().unwrap().role.as_deref(), Some("org:admin"));
    assert_eq!((session.issued_at(), session.expires_at()), (at(NOW), at(NOW + 60)));
    assert_eq!(session.claim_text("email").as_deref(), Some("ada@example.com"));
    assert_eq!((session.claim_text("name"), session.claim_text("v"), session.claim_text("x")), (None, None, None));
    assert!(!format!("{session:?} {sessions:?}").contains("ada@"));
}

#[tokio::test]
async fn unsigned_tokens() {
    for alg in ["none", "None", "NONE", "nOnE", "", "rs256", "RS256 "] {
        assert_eq!(fault_with_header("alg", alg).await, Some(Fault::Algorithm), "{alg}");
    }
    for alg in [Value::Null, json!(["RS256"]), json!(256)] {
        assert_eq!(fault_with_header("alg", alg).await, Some(Fault::Algorithm));
    }
    let unsigned = message(r#"{"alg":"none"}"#, &good().to_string());
    assert_eq!(fault(&unsigned).await, Some(Fault::Malformed));
    assert_eq!(fault(&format!("{unsigned}.")).await, Some(Fault::Malformed));
    let stripped = message(&OURS.header().to_string(), &good().to_string());
    assert_eq!(fault(&format!("{stripped}.")).await, Some(Fault::Malformed));
    assert_eq!(fault(&format!("{stripped}.AAAA")).await, Some(Fault::Signature));
}

#[tokio::test]
async fn the_public_key_as_a_shared_secret() {
    let parts = RsaPublicKeyComponents::<Vec<u8>>::from(OURS.pair.public_key());
    let der = AsDer::<PublicKeyX509Der<'_>>::as_der(OURS.pair.public_key()).unwrap();
    let secrets = [
        OURS.pem().into_bytes(),
        OURS.pem().trim().as_bytes().to_vec(),
        der.as_ref().to_vec(),
        OURS.jwk().to_string().into_bytes(),
        parts.n,
        Vec::new(),
    ];
    for secret in secrets {
        for (alg, expected) in [("HS256", Fault::Algorithm), ("RS256", Fault::Signature)] {
            let header = with(&OURS.header(), "alg", alg);
            let message = message(&header.to_string(), &good().to_string());
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), message.as_bytes());
            assert_eq!(fault(&format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))).await, Some(expected));
        }
    }
}

#[tokio::test]
async fn other_algorithms_and_other_keys() {
    let algorithms: [(&str, &'static dyn RsaEncoding); 3] =
        [("RS384", &RSA_PKCS1_SHA384), ("RS512", &RSA_PKCS1_SHA512), ("PS256", &RSA_PSS_SHA256)];
    for (alg, algorithm) in algorithms {
        let honest = with(&OURS.header(), "alg", alg).to_string();
        assert_eq!(fault(&OURS.sign_as(algorithm, &honest, &good().to_string())).await, Some(Fault::Algorithm));
        let lying = OURS.header().to_string();
        assert_eq!(fault(&OURS.sign_as(algorithm, &lying, &good().to_string())).await, Some(Fault::Signature));
    }
    for alg in ["ES256", "EdDSA", "PS256"] {
        assert_eq!(fault_with_header("alg", alg).await, Some(Fault::Algorithm));
    }
    assert_eq!(fault(&THEIRS.mint_with(&OURS.header(), &good())).await, Some(Fault::Signature));
}

#[tokio::test]
async fn keys_that_come_with_the_token() {
    let server = JwksServer::start(&THEIRS.jwks()).await;
    for (name, value) in [
        ("jwk", THEIRS.jwk()),
        ("jku", json!(server.url())),
        ("x5u", json!(server.url())),
        ("x5c", json!([STANDARD.encode(THEIRS.der())])),
    ] {
        for signer in [&*OURS, &*THEIRS] {
            let header = with(&OURS.header(), name, value.clone());
            assert_eq!(fault(&signer.mint_with(&header, &good())).await, Some(Fault::Header), "{name}");
        }
    }
    assert_eq!(server.hits(), 0);
}

#[tokio::test]
async fn ids_that_name_no_key() {
    let (server, sessions, clock) = remote(&OURS.jwks()).await;
    let fault = async |header: Value| fault_of(&sessions, &OURS.mint_with(&header, &good())).await;
    for kid in ["../../etc/passwd", "' OR 1=1", "", "ins ours", "ins_ours\0", "ïns", &"x".repeat(129)] {
        assert_eq!(fault(with(&OURS.header(), "kid", kid)).await, Some(Fault::KeyId), "{kid}");
    }
    for kid in [json!(1), Value::Null, json!(["ins_ours"]), json!({})] {
        assert_eq!(fault(with(&OURS.header(), "kid", kid)).await, Some(Fault::KeyId));
    }
    assert_eq!(fault(with(&OURS.header(), "kid", "x".repeat(10_000))).await, Some(Fault::TooLong));
    assert_eq!(fault(without(&OURS.header(), "kid")).await, Some(Fault::UnknownKey));
    assert_eq!(server.hits(), 0);
    for kid in ["INS_OURS", "ins_our", "ins_ours_"] {
        assert_eq!(fault(with(&OURS.header(), "kid", kid)).await, Some(Fault::UnknownKey), "{kid}");
    }
    assert_eq!(server.hits(), 1);
    assert_eq!(fault(OURS.header()).await, None);
    // With a pinned key the name is not compared, but must still be one.
    drop((server, clock));
    assert_eq!(super::tests::fault(&OURS.mint_with(&without(&OURS.header(), "kid"), &good())).await, None);
    assert_eq!(fault_with_header("kid", "another").await, None);
    assert_eq!(fault_with_header("kid", "../x").await, Some(Fault::KeyId));
}

#[tokio::test]
async fn headers_that_change_the_rules() {
    assert_eq!(fault_with_header("crit", json!(["x"])).await, Some(Fault::Header));
    assert_eq!(fault_with_header("crit", json!([])).await, Some(Fault::Header));
    assert_eq!(fault_with_header("crit", Value::Null).await, Some(Fault::Header));
    assert_eq!(fault_with_header("b64", false).await, Some(Fault::Header));
    assert_eq!(fault_with_header("oiat", 1).await, None);
    assert_eq!(fault_with_header("something_new", json!({"a": 1})).await, None);
}

#[tokio::test]
async fn members_named_twice() {
    let (header, claims) = (OURS.header().to_string(), good().to_string());
    let twice = |object: &str, member: &str| object.replacen('{', &format!("{{{member},"), 1);
    for member in [r#""alg":"RS256""#, r#""alg":"none""#, r#""kid":"ins_ours""#, r#""x":{"y":1,"y":1}"#] {
        assert_eq!(fault(&OURS.sign(&twice(&header, member), &claims)).await, Some(Fault::Malformed), "{member}");
    }
    for member in [r#""exp":9999999999"#, r#""azp":"https://evil""#, r#""sub":"user_2""#, r#""s\u0075b":"user_2""#] {
        assert_eq!(fault(&OURS.sign(&header, &twice(&claims, member))).await, Some(Fault::Claims), "{member}");
    }
}

#[tokio::test]
async fn claims_that_are_no_object() {
    let (header, claims) = (OURS.header().to_string(), good().to_string());
    let deep = with(&good(), "x", 0).to_string().replace(":0}", &format!(":{}{}}}", "[".repeat(200), "]".repeat(200)));
    assert!(deep.len() > 400);
    for text in [
        format!("[{claims}]"),
        json!(claims).to_string(),
        format!("\u{feff}{claims}"),
        format!("{claims}x"),
        format!("{claims}{claims}"),
        "null".to_owned(),
        "{".to_owned(),
        deep,
    ] {
        assert_eq!(fault(&OURS.sign(&header, &text)).await, Some(Fault::Claims), "{text}");
        assert_eq!(fault(&OURS.sign(&text, &claims)).await, Some(Fault::Malformed), "{text}");
    }
    assert_eq!(fault(&OURS.sign(&header, "")).await, Some(Fault::Malformed));
    assert_eq!(fault(&OURS.sign(&header, &format!(" {claims}\n"))).await, None);
}

#[tokio::test]
async fn tokens_hold_in_their_time() {
    for name in ["exp", "iat", "nbf"] {
        assert_eq!(fault_without(name).await, Some(Fault::Times), "{name}");
        for value in
            [json!("1700000030"), json!(1_700_000_030.5), json!(1e300), json!(u64::MAX), json!([NOW]), Value::Null]
        {
            assert_eq!(fault_with(name, value.clone()).await, Some(Fault::Times), "{name} {value}");
        }
    }
    for exp in [-1, 0, i64::MIN, NOW - 3600, NOW - 6, NOW - 5] {
        assert_eq!(fault_with("exp", exp).await, Some(Fault::Expired), "{exp}");
    }
    for exp in [NOW - 4, NOW, NOW + 1, i64::MAX] {
        assert_eq!(fault_with("exp", exp).await, None, "{exp}");
    }
    for name in ["iat", "nbf"] {
        for early in [NOW + 6, NOW + 3600, i64::MAX] {
            assert_eq!(fault_with(name, early).await, Some(Fault::NotYet), "{name} {early}");
        }
        for late in [NOW + 5, NOW + 4, NOW, 0, i64::MIN] {
            assert_eq!(fault_with(name, late).await, None, "{name} {late}");
        }
    }
}

#[tokio::test]
async fn other_issuers() {
    assert_eq!(fault_without("iss").await, Some(Fault::Issuer));
    let upper = ISSUER.to_uppercase();
    for iss in ["", "https://clerk.example.com/", "https://clerk.example.org", "clerk.example.com", &upper] {
        assert_eq!(fault_with("iss", iss).await, Some(Fault::Issuer), "{iss}");
    }
    for iss in [Value::Null, json!(1), json!({"iss": ISSUER}), json!([ISSUER]), json!([ISSUER, "https://evil"])] {
        assert_eq!(fault_with("iss", iss.clone()).await, Some(Fault::Issuer), "{iss}");
    }
}

#[tokio::test]
async fn another_instance_whose_key_is_known() {
    let (_server, sessions, _) = remote(&jwks(&[OURS.jwk(), THEIRS.jwk()])).await;
    let theirs = THEIRS.mint(&with(&good(), "iss", "https://clerk.example.org"));
    assert_eq!(fault_of(&sessions, &theirs).await, Some(Fault::Issuer));
    // Each key answers for its own id only.
    let swapped = THEIRS.mint_with(&OURS.header(), &good());
    assert_eq!(fault_of(&sessions, &swapped).await, Some(Fault::Signature));
}

#[tokio::test]
async fn authorized_parties() {
    let strict = Rules { require_azp: true, ..rules() };
    let open = Rules { authorized_parties: Vec::new(), ..rules() };
    assert_eq!(fault_by(&strict, &good()).await, None);
    assert_eq!(fault_by(&strict, &without(&good(), "azp")).await, Some(Fault::Party));
    assert_eq!(fault_by(&rules(), &without(&good(), "azp")).await, None);
    for azp in ["", "https://app.example.com.evil", "https://app.example.com/", "https://APP.example.com", "https://ap"]
    {
        let claims = with(&good(), "azp", azp);
        assert_eq!(fault_by(&rules(), &claims).await, Some(Fault::Party), "{azp}");
        assert_eq!(fault_by(&open, &claims).await, None, "{azp}");
    }
    for azp in [json!([PARTY]), Value::Null, json!(1), json!({})] {
        for rules in [&strict, &rules(), &open] {
            assert_eq!(fault_by(rules, &with(&good(), "azp", azp.clone())).await, Some(Fault::Party), "{azp}");
        }
    }
    assert_eq!(fault_with("azp", "https://admin.example.com").await, None);
}

#[tokio::test]
async fn audiences() {
    let ours = Rules { audiences: vec!["rollbook".to_owned(), "roll".to_owned()], ..rules() };
    assert_eq!(fault_by(&ours, &good()).await, Some(Fault::Audience));
    for aud in [
        json!("other"),
        json!("rollbookx"),
        json!("rol"),
        json!(""),
        json!([]),
        json!(["other"]),
        json!([["rollbook"]]),
        json!(["rollbook", 1]),
        json!({"rollbook": 1}),
        Value::Null,
    ] {
        assert_eq!(fault_by(&ours, &with(&good(), "aud", aud.clone())).await, Some(Fault::Audience), "{aud}");
        assert_eq!(fault_by(&rules(), &with(&good(), "aud", aud)).await, None);
    }
    for aud in [json!("rollbook"), json!(["other", "roll"])] {
        assert_eq!(fault_by(&ours, &with(&good(), "aud", aud)).await, None);
    }
}

#[tokio::test]
async fn tokens_of_other_classes() {
    for cat in ["cl_B7d4PD222AAA", "cl_B7d4PD333AAA", "", "session"] {
        assert_eq!(fault_with_header("cat", cat).await, Some(Fault::Class), "{cat}");
    }
    assert_eq!(fault_with_header("cat", Value::Null).await, Some(Fault::Class));
    assert_eq!(fault_with_header("cat", "cl_I7d4PD111III").await, None);
    assert_eq!(fault(&OURS.mint_with(&without(&OURS.header(), "cat"), &good())).await, None);
    for typ in ["at+jwt", "application/at+jwt", "jwt", ""] {
        assert_eq!(fault_with_header("typ", typ).await, Some(Fault::Type), "{typ}");
    }
    assert_eq!(fault_with_header("typ", json!(["JWT"])).await, Some(Fault::Type));
    assert_eq!(fault(&OURS.mint_with(&without(&OURS.header(), "typ"), &good())).await, None);
    for sub in ["mch_1", "", "user_", "User_1", " user_1", "user_1\n", "user_ï", "client_1"] {
        assert_eq!(fault_with("sub", sub).await, Some(Fault::Subject), "{sub}");
    }
    assert_eq!(fault_with("sub", json!(["user_1"])).await, Some(Fault::Subject));
    assert_eq!(fault_without("sub").await, Some(Fault::Subject));
    assert_eq!(fault_without("sid").await, Some(Fault::SessionId));
    assert_eq!(fault_with("sid", "").await, Some(Fault::SessionId));
    assert_eq!(fault_with("sid", 1).await, Some(Fault::SessionId));
    for opaque in ["mt_1234", "oat_1234", "ak_1234", "sess_1", "rbk_1"] {
        assert_eq!(fault(opaque).await, Some(Fault::Malformed), "{opaque}");
    }
}

#[tokio::test]
async fn pending_sessions() {
    let (sessions, clock) = sessions(rules());
    let pending = OURS.mint(&with(&good(), "sts", "pending"));
    // The second time it is a remembered token.
    for _ in 0..2 {
        match sessions.verify(&pending).await {
            Err(Error::Pending(session)) => assert_eq!(session.user().as_str(), "user_1"),
            other => panic!("{other:?}"),
        }
    }
    clock.set(at(NOW + 65));
    assert_eq!(fault_of(&sessions, &pending).await, Some(Fault::Expired));
    assert_eq!(fault_without("sts").await, None);
    for sts in [json!("Pending"), json!(""), json!("ended"), json!(["active"]), Value::Null] {
        assert_eq!(fault_with("sts", sts.clone()).await, Some(Fault::Status), "{sts}");
    }
}

#[tokio::test]
async fn actors_that_name_nobody() {
    for act in
        [json!({}), json!("user_admin"), json!({"sub": ""}), json!({"sub": 1}), json!({"sub": "a b"}), Value::Null]
    {
        assert_eq!(fault_with("act", act.clone()).await, Some(Fault::Actor), "{act}");
    }
}

#[tokio::test]
async fn text_that_is_nearly_a_token() {
    let token = OURS.mint(&good());
    let parts: Vec<&str> = token.split('.').collect();
    let (header, claims, signature) = (parts[0], parts[1], parts[2]);
    let json = json!({"protected": header, "payload": claims, "signature": signature}).to_string();
    let standard = |part: &str| STANDARD.encode(URL_SAFE_NO_PAD.decode(part).unwrap());
    for text in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        format!("{token} "),
        format!(" {token}"),
        format!("{token}\n"),
        format!("{token}\0"),
        format!("{token}="),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.{signature}"),
        format!("{header}.{claims}"),
        format!("{header}..{signature}"),
        format!("{header}.{claims}.{signature}.{signature}.{signature}"),
        format!("Bearer {token}"),
        format!("{header}.{claims}.{}", standard(signature)),
        format!("{header}.{claims}.{}", URL_SAFE.encode(URL_SAFE_NO_PAD.decode(signature).unwrap())),
        format!("{header}é.{claims}.{signature}"),
        json,
    ] {
        assert_eq!(fault(&text).await, Some(Fault::Malformed), "{text}");
    }
    let padding = |length| with(&good(), "x", "x".repeat(length));
    let longest = (5000..7000).map(|n| OURS.mint(&padding(n))).find(|token| token.len() >= MAX_TOKEN - 2).unwrap();
    assert!(longest.len() <= MAX_TOKEN);
    assert_eq!(fault(&longest).await, None);
    let lengthened = |to: usize| format!("{token}{}", "A".repeat(to - token.len()));
    assert_eq!(fault(&lengthened(MAX_TOKEN)).await, Some(Fault::Signature));
    assert_eq!(fault(&lengthened(MAX_TOKEN + 1)).await, Some(Fault::TooLong));
}

#[tokio::test]
async fn no_character_of_a_token_can_be_another() {
    let (sessions, _) = sessions(rules());
    let token = OURS.mint(&good());
    assert_eq!(fault_of(&sessions, &token).await, None);
    for at in 0..token.len() {
        for other in ["A", "B", "_"] {
            let mut changed = token.clone();
            changed.replace_range(at..=at, other);
            assert!(changed == token || fault_of(&sessions, &changed).await.is_some(), "{at} {other}");
        }
    }
    // Nothing of that is remembered.
    assert_eq!(sessions.0.verified().len(), 1);
}

#[tokio::test]
async fn a_remembered_token_still_ends() {
    let (sessions, clock) = sessions(rules());
    let token = OURS.mint(&good());
    for second in [0, 1, 64] {
        clock.set(at(NOW + second));
        assert_eq!(fault_of(&sessions, &token).await, None, "{second}");
    }
    assert_eq!(sessions.0.verified().len(), 1);
    clock.set(at(NOW + 65));
    assert_eq!(fault_of(&sessions, &token).await, Some(Fault::Expired));
    clock.set(at(NOW - 16));
    assert_eq!(fault_of(&sessions, &token).await, Some(Fault::NotYet));
}

#[tokio::test]
async fn a_remembered_token_ends_with_its_key() {
    let (server, sessions, clock) = remote(&OURS.jwks()).await;
    let long = |issuer: &Issuer| issuer.mint(&with(&good(), "exp", NOW + 7200));
    let (ours, theirs) = (long(&OURS), long(&THEIRS));
    assert_eq!(fault_of(&sessions, &ours).await, None);
    clock.set(at(NOW + 60));
    server.publish(&jwks(&[OURS.jwk(), THEIRS.jwk()]));
    assert_eq!((fault_of(&sessions, &theirs).await, server.hits()), (None, 2));
    assert_eq!(fault_of(&sessions, &ours).await, None);
    server.publish(&THEIRS.jwks());
    clock.set(at(NOW + 120));
    assert_eq!(
        fault_of(&sessions, &OURS.mint_with(&with(&OURS.header(), "kid", "made_up"), &good())).await,
        Some(Fault::UnknownKey)
    );
    assert_eq!(server.hits(), 3);
    assert_eq!(fault_of(&sessions, &ours).await, Some(Fault::UnknownKey));
    assert_eq!(fault_of(&sessions, &theirs).await, None);
    // The same id comes back with another key.
    server.publish(&jwks(&[with(&Issuer::new("ins_ours").jwk(), "kid", "ins_ours"), THEIRS.jwk()]));
    clock.set(at(NOW + 180));
    assert_eq!(fault_of(&sessions, &ours).await, Some(Fault::Signature));
}

#[tokio::test]
async fn without_keys_nobody_is_judged() {
    let (server, sessions, _) = remote(&OURS.jwks()).await;
    server.fail();
    for _ in 0..3 {
        match sessions.verify(&OURS.mint(&good())).await {
            Err(Error::Unavailable { retry_after_seconds: 30 }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(server.hits(), 1);
    // What is no token at all needs no key to be refused.
    assert_eq!(fault_of(&sessions, "x").await, Some(Fault::Malformed));
}
