//! Session tokens through the front door: every attack that is tried on them, with the answer it must get, and that
//! nothing was written because of it.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;
#[path = "common/file.rs"]
mod file;
#[path = "common/jwks_server.rs"]
mod jwks_server;
#[path = "tokens/keys.rs"]
mod keys;
#[path = "tokens/library.rs"]
mod library;
#[path = "tokens/people.rs"]
mod people;
#[path = "tokens/stand.rs"]
mod stand;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
    RSA_PSS_SHA256, RsaEncoding,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use common::tokens::{ISSUER, PARTY, message, with, without};
use common::{Answer, CLERK, user_event};
use file::state;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use stand::{ME, OTHER, Stand, T, assert_refused, at, raw};

#[tokio::test]
async fn no_bearer_token_at_all() {
    let stand = Stand::pinned().await;
    let (good, before) = (CLERK.mint(&stand.good()), state(&stand.server.data()));
    let lines = [
        String::new(),
        "authorization:\r\n".to_owned(),
        "authorization: Basic dXNlcjpwYXNz\r\n".to_owned(),
        format!("authorization: Basic {good}\r\n"),
        "authorization: Bearer\r\n".to_owned(),
        "authorization: Bearer \r\n".to_owned(),
        "authorization: Bearer null\r\n".to_owned(),
        "authorization: Bearer undefined\r\n".to_owned(),
        format!("authorization: {good}\r\n"),
        format!("authorization: Bearer{good}\r\n"),
        format!("authorization: Bearer\t{good}\r\n"),
        format!("authorization: Bearer  {good}\r\n"),
        format!("authorization: Bearer {good}\r\nauthorization: Bearer {good}\r\n"),
        format!("authorization: Bearer {good}\r\nauthorization: Basic dXNlcjpwYXNz\r\n"),
        format!("authorization: Bearer {good}, Bearer {good}\r\n"),
        format!("authorization: Bearer {good},\r\n"),
        format!("proxy-authorization: Bearer {good}\r\n"),
        format!("x-authorization: Bearer {good}\r\n"),
        "x-forwarded-user: user_1\r\nx-rollbook-clerk-user: user_1\r\n".to_owned(),
    ];
    for line in &lines {
        let (status, answer) = raw(&stand.server, "GET /api/auth/me", line.as_bytes()).await;
        assert_eq!(status, 401, "{line}");
        assert!(answer.contains("\r\nwww-authenticate: Bearer error=\"invalid_token\"\r\n"), "{line}");
    }
    // Where strangers may ask too, two tokens are not none.
    for two in [format!("Bearer {good}"), "Basic dXNlcjpwYXNz".to_owned()] {
        let lines = format!("authorization: Bearer {good}\r\nauthorization: {two}\r\n");
        assert_eq!(raw(&stand.server, "GET /api/session", lines.as_bytes()).await.0, 401);
    }
    let latin = [b"authorization: Bearer \xe9".as_slice(), good.as_bytes(), b"\r\n"].concat();
    assert_eq!(raw(&stand.server, "GET /api/auth/me", &latin).await.0, 401);
    assert_eq!(state(&stand.server.data()), before);
    // The scheme's name is not a matter of case (RFC 9110), the rest is.
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let line = format!("authorization: {scheme} {good}\r\n");
        assert_eq!(raw(&stand.server, "GET /api/auth/me", line.as_bytes()).await.0, 200, "{scheme}");
    }
}

#[tokio::test]
async fn unsigned_tokens() {
    let stand = Stand::pinned().await;
    let (good, header) = (stand.good().to_string(), CLERK.header());
    let unsigned = |alg: &str| message(&with(&header, "alg", alg).to_string(), &good);
    let signature = CLERK.mint(&stand.good()).rsplit_once('.').unwrap().1.to_owned();
    let mut cases = Vec::new();
    for alg in ["none", "None", "NONE", "nOnE", "", "rs256", "RS256"] {
        cases.push((format!("{alg}, no third part"), unsigned(alg)));
        cases.push((format!("{alg}, an empty one"), format!("{}.", unsigned(alg))));
        cases.push((format!("{alg}, a wrong one"), format!("{}.AAAA", unsigned(alg))));
        if alg != "RS256" {
            cases.push((format!("{alg}, the one of RS256"), format!("{}.{signature}", unsigned(alg))));
        }
    }
    // Signed by the right key, and still: the header says that it need not be.
    for alg in [json!("none"), json!("None"), json!(""), Value::Null, json!(["RS256"]), json!(256)] {
        cases.push((alg.to_string(), CLERK.mint_with(&with(&header, "alg", alg.clone()), &stand.good())));
    }
    cases.push(("no alg".to_owned(), CLERK.mint_with(&without(&header, "alg"), &stand.good())));
    stand.refuses(cases).await;
}

#[tokio::test]
async fn the_public_key_as_a_shared_secret() {
    let stand = Stand::pinned().await;
    let pem = CLERK.pem();
    let modulus = PublicKeyComponents::<Vec<u8>>::from(CLERK.pair.public_key()).n;
    let secrets = [
        ("PEM", pem.clone().into_bytes()),
        ("PEM, trimmed", pem.trim().as_bytes().to_vec()),
        ("DER", CLERK.der()),
        ("base64 of DER", STANDARD.encode(CLERK.der()).into_bytes()),
        ("JWK", CLERK.jwk().to_string().into_bytes()),
        ("JWKS", CLERK.jwks().into_bytes()),
        ("base64url of the modulus", CLERK.jwk()["n"].as_str().unwrap().as_bytes().to_vec()),
        ("modulus", modulus),
        ("nothing", Vec::new()),
    ];
    let good = stand.good().to_string();
    let mut cases = Vec::new();
    for (name, secret) in &secrets {
        for (alg, algorithm) in
            [("HS256", hmac::HMAC_SHA256), ("HS512", hmac::HMAC_SHA512), ("RS256", hmac::HMAC_SHA256)]
        {
            let message = message(&with(&CLERK.header(), "alg", alg).to_string(), &good);
            let tag = hmac::sign(&hmac::Key::new(algorithm, secret), message.as_bytes());
            cases.push((format!("{alg} {name}"), format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))));
        }
    }
    stand.refuses(cases).await;
}

#[tokio::test]
async fn other_algorithms_and_other_keys() {
    let stand = Stand::pinned().await;
    let (good, random) = (stand.good(), SystemRandom::new());
    let mut cases = Vec::new();
    let rsa: [(&str, &'static dyn RsaEncoding); 3] =
        [("RS384", &RSA_PKCS1_SHA384), ("RS512", &RSA_PKCS1_SHA512), ("PS256", &RSA_PSS_SHA256)];
    for (alg, algorithm) in rsa {
        for issuer in [&*CLERK, &*OTHER] {
            for said in [alg, "RS256"] {
                let header = with(&CLERK.header(), "alg", said).to_string();
                let token = issuer.sign_as(algorithm, &header, &good.to_string());
                cases.push((format!("{alg} called {said}, {}", issuer.kid), token));
            }
        }
    }
    let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let ed = Ed25519KeyPair::generate().unwrap();
    for alg in ["ES256", "EdDSA", "Ed25519", "RS256"] {
        let message = message(&with(&CLERK.header(), "alg", alg).to_string(), &good.to_string());
        let curve = ec.sign(&random, message.as_bytes()).unwrap();
        let edwards = ed.sign(message.as_bytes());
        cases.push((format!("{alg} by EC"), format!("{message}.{}", URL_SAFE_NO_PAD.encode(curve))));
        cases.push((format!("{alg} by Ed25519"), format!("{message}.{}", URL_SAFE_NO_PAD.encode(edwards))));
    }
    cases.push(("another RSA key of the same name".to_owned(), OTHER.mint_with(&CLERK.header(), &good)));
    cases.push(("another RSA key".to_owned(), OTHER.mint(&good)));
    stand.refuses(cases).await;
}

#[tokio::test]
async fn headers_that_would_change_the_rules() {
    let stand = Stand::pinned().await;
    let header = CLERK.header();
    let bad = [("crit", json!(["x"])), ("crit", json!(["exp"])), ("crit", json!([])), ("crit", Value::Null)];
    let b64 = [("b64", json!(false)), ("b64", json!(true))];
    let both = with(&with(&header, "crit", json!(["b64"])), "b64", false);
    let cases = bad.into_iter().chain(b64).map(|(name, value)| with(&header, name, value)).chain([both]);
    stand.refuses_headers(cases).await;
    for (name, value) in [("oiat", json!(1)), ("something_new", json!({"a": [1]}))] {
        let token = CLERK.mint_with(&with(&header, name, value), &stand.good());
        stand.takes("Clerk adds members, and they are no matter", &token).await;
    }
}

#[tokio::test]
async fn members_named_twice() {
    let stand = Stand::pinned().await;
    let (header, good) = (CLERK.header().to_string(), stand.good().to_string());
    let first = |object: &str, member: &str| object.replacen('{', &format!("{{{member},"), 1);
    let last = |object: &str, member: &str| format!("{},{member}}}", object.strip_suffix('}').unwrap());
    let mut cases = Vec::new();
    for member in
        [r#""alg":"RS256""#, r#""alg":"none""#, r#""kid":"ins_test""#, r#""typ":"JWT""#, r#""x":{"y":1,"y":1}"#]
    {
        cases.push((member.to_owned(), CLERK.sign(&first(&header, member), &good)));
        cases.push((member.to_owned(), CLERK.sign(&last(&header, member), &good)));
    }
    let exp = format!(r#""exp":{}"#, stand.now + 60);
    for member in [
        &exp,
        r#""exp":99999999999"#,
        r#""azp":"https://app.example.com""#,
        r#""azp":"https://evil.example""#,
        r#""sub":"user_2""#,
        r#""s\u0075b":"user_2""#,
        r#""iss":"https://clerk.example.com""#,
        r#""x":[{"y":1,"y":1}]"#,
    ] {
        cases.push((member.to_owned(), CLERK.sign(&header, &first(&good, member))));
        cases.push((member.to_owned(), CLERK.sign(&header, &last(&good, member))));
    }
    stand.refuses(cases).await;
}

#[tokio::test]
async fn claims_that_are_no_object() {
    let stand = Stand::pinned().await;
    let (header, good) = (CLERK.header().to_string(), stand.good().to_string());
    let deep = with(&stand.good(), "x", 0).to_string();
    let deep = deep.replace("\"x\":0", &format!("\"x\":{}{}", "[".repeat(200), "]".repeat(200)));
    assert!(deep.contains("[[["));
    let texts = [
        format!("[{good}]"),
        json!(good).to_string(),
        "null".to_owned(),
        "{".to_owned(),
        "{}".to_owned(),
        String::new(),
        format!("\u{feff}{good}"),
        format!("{good}x"),
        format!("{good}{good}"),
        format!("{good}\0"),
        good.replacen(':', "=", 1),
        good.replace('"', "'"),
        deep,
    ];
    let as_claims = texts.iter().map(|text| (format!("claims {text}"), CLERK.sign(&header, text)));
    let as_header = texts.iter().map(|text| (format!("header {text}"), CLERK.sign(text, &good)));
    let mut cases: Vec<_> = as_claims.chain(as_header).collect();
    // Bytes that are no text.
    let not_utf8 = [good.as_bytes(), b"\xff"].concat();
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(&header), URL_SAFE_NO_PAD.encode(not_utf8));
    cases.push(("not UTF-8".to_owned(), signed(&message)));
    stand.refuses(cases).await;
    stand.takes("white space is no matter", &CLERK.sign(&header, &format!(" {good}\n"))).await;
}

/// The message with its signature: what `sign` does, but for a message that is no two texts.
fn signed(message: &str) -> String {
    let mut signature = vec![0; CLERK.pair.public_modulus_len()];
    let random = SystemRandom::new();
    CLERK.pair.sign(&aws_lc_rs::signature::RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).unwrap();
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[tokio::test]
async fn tokens_that_end_never_long_ago_or_in_no_number() {
    let stand = Stand::pinned().await;
    let (good, now) = (stand.good(), stand.now);
    let exps = [
        json!((now + 60).to_string()),
        json!(1e300),
        json!(f64::from(u32::MAX) + 0.5),
        json!(u64::MAX),
        json!([now + 60]),
        json!(true),
        Value::Null,
        json!(-1),
        json!(0),
        json!(i64::MIN),
        json!(now - 3600),
        json!(now - 6),
        json!(now - 5),
    ];
    let cases = exps.into_iter().map(|exp| with(&good, "exp", exp)).chain([without(&good, "exp")]);
    stand.refuses_claims(cases).await;
}

#[tokio::test]
async fn tokens_from_the_future_or_from_no_time() {
    let stand = Stand::pinned().await;
    let (good, now) = (stand.good(), stand.now);
    let mut cases = Vec::new();
    for name in ["nbf", "iat"] {
        cases.push(without(&good, name));
        for value in [json!(now.to_string()), json!(1e300), Value::Null, json!({})] {
            cases.push(with(&good, name, value));
        }
        for early in [now + 6, now + 3600, i64::MAX] {
            cases.push(with(&with(&good, name, early), "exp", i64::MAX));
        }
    }
    stand.refuses_claims(cases).await;
}

#[tokio::test]
async fn clocks_may_be_five_seconds_apart() {
    let stand = Stand::pinned().await;
    let (good, now) = (stand.good(), stand.now);
    let edges =
        [("exp", now + 1), ("exp", now), ("exp", now - 4), ("nbf", now + 4), ("nbf", now + 5), ("iat", now + 5)];
    for (name, value) in edges {
        stand.takes(&format!("{name} {}", value - now), &CLERK.mint(&with(&good, name, value))).await;
    }
}

#[tokio::test]
async fn other_issuers() {
    let stand = Stand::pinned().await;
    let good = stand.good();
    let upper = ISSUER.to_uppercase();
    let issuers = [
        Value::Null,
        json!(1),
        json!({"iss": ISSUER}),
        json!([ISSUER]),
        json!([ISSUER, "https://evil.example"]),
        json!(""),
        json!(format!("{ISSUER}/")),
        json!(format!("{ISSUER} ")),
        json!(format!("{ISSUER}.evil.example")),
        json!(upper),
        json!("clerk.example.com"),
        json!("http://clerk.example.com"),
        json!("https://clerk.example.org"),
    ];
    let cases = issuers.into_iter().map(|iss| with(&good, "iss", iss)).chain([without(&good, "iss")]);
    stand.refuses_claims(cases).await;
}

#[tokio::test]
async fn authorized_parties() {
    let parties = format!("{PARTY}, https://admin.example.com");
    let settings = [("CLERK_AUTHORIZED_PARTIES", parties.as_str()), ("ROLLBOOK_REQUIRE_AZP", "true")];
    let strict = Stand::with(&settings).await;
    let good = strict.good();
    let wrong = [
        json!("https://app.example.com.evil"),
        json!("https://app.example.com/"),
        json!("https://APP.example.com"),
        json!("https://app.example"),
        json!("http://app.example.com"),
        json!("https://evil.example"),
        json!(parties),
        json!(""),
        json!([PARTY]),
        json!({"0": PARTY}),
        json!(1),
        Value::Null,
    ];
    let wrong: Vec<Value> = wrong.into_iter().map(|azp| with(&good, "azp", azp)).collect();
    strict.refuses_claims(wrong.iter().cloned().chain([without(&good, "azp")])).await;
    strict.takes("the other party", &CLERK.mint(&with(&good, "azp", "https://admin.example.com"))).await;
    // Tokens without it are normal (native apps), so it must be asked for.
    let lenient = Stand::pinned().await;
    lenient.refuses_claims(wrong).await;
    lenient.takes("no party", &CLERK.mint(&without(&lenient.good(), "azp"))).await;
}

#[tokio::test]
async fn audiences() {
    let stand = Stand::with(&[("CLERK_AUDIENCE", "rollbook, roll")]).await;
    let good = with(&stand.good(), "aud", "rollbook");
    let before = state(&stand.server.data());
    let wrong = [
        json!("other"),
        json!("rollboo"),
        json!("rollbook "),
        json!("rollbook, roll"),
        json!(""),
        json!([]),
        json!(["other"]),
        json!([["rollbook"]]),
        json!(["rollbook", 1]),
        json!({"rollbook": true}),
        json!(1),
        Value::Null,
    ];
    for claims in wrong.into_iter().map(|aud| with(&good, "aud", aud)).chain([without(&good, "aud")]) {
        assert_refused(&stand.server.get_as(&CLERK.mint(&claims), ME).await, &claims);
    }
    assert_eq!(state(&stand.server.data()), before);
    for aud in [json!("rollbook"), json!("roll"), json!(["other", "roll"])] {
        stand.takes("ours", &CLERK.mint(&with(&good, "aud", aud))).await;
    }
}

#[tokio::test]
async fn tokens_that_are_no_sessions() {
    let stand = Stand::pinned().await;
    let (header, good) = (CLERK.header(), stand.good());
    let mut cases = Vec::new();
    for cat in [json!("cl_B7d4PD333AAA"), json!("cl_B7d4PD222AAA"), json!(""), json!("session"), Value::Null, json!(1)]
    {
        cases.push((format!("cat {cat}"), CLERK.mint_with(&with(&header, "cat", cat), &good)));
    }
    for typ in [json!("at+jwt"), json!("application/at+jwt"), json!("jwt"), json!(""), json!(["JWT"])] {
        cases.push((format!("typ {typ}"), CLERK.mint_with(&with(&header, "typ", typ), &good)));
    }
    for sub in
        [json!("mch_1"), json!("user_"), json!(""), json!("User_1"), json!("client_1"), json!(["user_1"]), json!(1)]
    {
        cases.push((format!("sub {sub}"), CLERK.mint(&with(&good, "sub", sub))));
    }
    for sid in [json!(""), json!(1), Value::Null, json!(["sess_1"])] {
        cases.push((format!("sid {sid}"), CLERK.mint(&with(&good, "sid", sid))));
    }
    cases.push(("no sub".to_owned(), CLERK.mint(&without(&good, "sub"))));
    cases.push(("no sid".to_owned(), CLERK.mint(&without(&good, "sid"))));
    let handshake = without(&without(&good, "sub"), "sid");
    cases.push(("handshake".to_owned(), CLERK.mint(&with(&handshake, "handshake", json!(["__session=x"])))));
    for opaque in ["mt_1234", "oat_1234", "ak_1234", "rbk_1234", "sess_1", "sk_test_1234", "whsec_1234"] {
        cases.push((opaque.to_owned(), opaque.to_owned()));
    }
    stand.refuses(cases).await;
}

#[tokio::test]
async fn text_that_is_nearly_a_token() {
    let stand = Stand::pinned().await;
    let token = CLERK.mint(&stand.good());
    let [header, claims, signature]: [&str; 3] = token.split('.').collect::<Vec<_>>().try_into().unwrap();
    let standard = |part: &str| STANDARD.encode(URL_SAFE_NO_PAD.decode(part).unwrap());
    let padded = URL_SAFE.encode(URL_SAFE_NO_PAD.decode(signature).unwrap());
    let object = json!({"protected": header, "payload": claims, "signature": signature}).to_string();
    let texts = [
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        format!("{token} {token}"),
        format!("{token} x"),
        format!("{token}="),
        format!("{token}=="),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.{signature}"),
        format!("{header}.{claims}"),
        format!("{header}..{signature}"),
        format!(".{claims}.{signature}"),
        format!("{header}.{claims}.{signature}.{signature}.{signature}"),
        format!("{header}=.{claims}.{signature}"),
        format!("Bearer {token}"),
        format!("{header}.{claims}.{}", standard(signature)),
        format!("{header}.{claims}.{padded}"),
        format!("{header}.{claims}.{}", signature.replace(['-', '_'], "+")),
        format!("\"{token}\""),
        token.replace('.', "%2E"),
        token.to_uppercase(),
        object,
    ];
    stand.refuses(texts.into_iter().map(|text| (text.clone(), text))).await;
    let ask = async |value: &str| raw(&stand.server, "GET /api/auth/me", value.as_bytes()).await.0;
    assert_eq!(ask(&format!("authorization: Bearer {token}\r\n x\r\n")).await, 400, "a folded line is no header");
    assert_eq!(ask(&format!("authorization: Bearer {token}\0\r\n")).await, 400);
    assert_eq!(ask(&format!("authorization: Bearer {token}\x0b\r\n")).await, 400);
    // White space around a header's value is no part of it (RFC 9110 §5.5), so this is the token itself.
    assert_eq!(ask(&format!("authorization: \t Bearer {token} \t \r\n")).await, 200);
}

#[tokio::test]
async fn tokens_too_long() {
    let stand = Stand::pinned().await;
    let good = stand.good();
    let padded = |length: usize| CLERK.mint(&with(&good, "x", "x".repeat(length)));
    let limit = 8 * 1024;
    let longest = (5400..5800).map(padded).take_while(|token| token.len() <= limit).last().unwrap();
    assert!(longest.len() > limit - 3, "{}", longest.len());
    stand.takes("as long as may be", &longest).await;
    let longer =
        (1..4).map(|more| padded(5400 + (limit - padded(5400).len()) * 3 / 4 + more)).find(|t| t.len() > limit);
    let short = CLERK.mint(&good);
    let cases = [
        ("validly signed", longer.unwrap()),
        ("8 KiB + 1", format!("{short}{}", "A".repeat(limit + 1 - short.len()))),
        ("16 KiB", format!("{short}{}", "A".repeat(2 * limit - short.len()))),
    ];
    stand.refuses(cases).await;
    let before = state(&stand.server.data());
    let header = format!("authorization: Bearer {}\r\n", "A".repeat(64 * 1024));
    assert_eq!(raw(&stand.server, "GET /api/auth/me", header.as_bytes()).await.0, 431);
    assert_eq!(state(&stand.server.data()), before);
}

#[tokio::test]
async fn tokens_in_other_places() {
    let stand = Stand::pinned().await;
    let (token, before) = (CLERK.mint(&stand.good()), state(&stand.server.data()));
    for path in [ME, "/auth/me", "/api/users", "/api/users/user_1", "/api/users/user_1/audit", "/api/audit"] {
        for name in ["token", "access_token", "__session", "authorization"] {
            let answer = stand.server.get(&format!("{path}?{name}={token}")).await;
            assert_refused(&answer, &(path, name));
        }
        for cookie in [format!("__session={token}"), format!("__client_uat=1; __session={token}")] {
            let request = stand.server.request(Method::GET, path).header("cookie", cookie);
            assert_refused(&Answer::of(request.send().await.unwrap()).await, &(path, "cookie"));
        }
    }
    let request = stand.server.request(Method::GET, "/api/session").header("cookie", format!("__session={token}"));
    assert_eq!(Answer::of(request.send().await.unwrap()).await.json(), json!({"signed_in": false}));
    assert_eq!(state(&stand.server.data()), before);
}

#[tokio::test]
async fn paths_that_are_nearly_ours_give_no_data() {
    let stand = Stand::pinned().await;
    stand.server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    let before = state(&stand.server.data());
    let paths = [
        "//api/users",
        "/api//users",
        "/api/users/",
        "/api/users//user_1",
        "/api/users/user_1/",
        "/api/users/user_1//audit",
        "/api/%75sers",
        "/api/%2e%2e/api/users",
        "/health/../api/users",
        "/health/%2e%2e/api/users",
        "/api/./users",
        "/api/users/.",
        "/api/users/..",
        "/api/users;x",
        "/api/users;x=1",
        "/api;/users",
        "/API/users",
        "/api/Users",
        "/api/users%00",
        "/api/users%2fuser_1",
        "/api/users/user_1%2faudit",
        "/api/users/user_1.json",
        "/api\\users",
        "/api/users?",
        "/api/users?/../../health",
        "/api/audit/",
        "/api/auth/me/",
        "/auth//me",
        "/./auth/me",
    ];
    for path in paths {
        for method in ["GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT", "TRACE", "get"] {
            let (status, answer) = raw(&stand.server, &format!("{method} {path}"), b"").await;
            assert!([400, 401, 404, 405].contains(&status), "{method} {path}: {status}");
            assert!(!answer.contains("user_1") && !answer.contains("Ann"), "{method} {path}");
        }
    }
    // The very path, by methods that ask around the method.
    for method in ["HEAD", "OPTIONS", "POST", "TRACE"] {
        let override_ = b"x-http-method-override: GET\r\nx-original-url: /health\r\nx-rewrite-url: /health\r\n";
        let (status, answer) = raw(&stand.server, &format!("{method} /api/users"), override_).await;
        assert_eq!(status, if ["HEAD", "POST"].contains(&method) { 401 } else { 405 }, "{method}");
        assert!(!answer.contains("Ann"));
    }
    let absolute = format!("GET http://{}/api/users", stand.server.address);
    assert_eq!(raw(&stand.server, &absolute, b"").await.0, 401);
    assert_eq!(raw(&stand.server, "GET http://evil.example/api/users", b"").await.0, 400);
    assert_eq!(state(&stand.server.data()), before);
}

#[tokio::test]
async fn every_door_asks_for_a_token() {
    let stand = Stand::pinned().await;
    stand.server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    let before = state(&stand.server.data());
    let expired = CLERK.mint(&with(&stand.good(), "exp", stand.now - 60));
    for path in [ME, "/auth/me", "/api/users", "/api/users/user_1", "/api/users/user_1/audit", "/api/audit"] {
        assert_refused(&stand.server.get(path).await, &path);
        assert_refused(&stand.server.get_as(&expired, path).await, &path);
        let head = stand.server.request(Method::HEAD, path).send().await.unwrap();
        assert_eq!(head.status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    // Strangers may ask whether they are signed in; who shows a token must show a good one.
    assert_eq!(stand.server.get("/api/session").await.json(), json!({"signed_in": false}));
    assert_refused(&stand.server.get_as(&expired, "/api/session").await, &"/api/session");
    assert_eq!(state(&stand.server.data()), before);
}

#[tokio::test]
async fn a_remembered_token_ends_with_its_time() {
    let stand = Stand::pinned().await;
    let token = CLERK.mint(&stand.good());
    for second in [0, 30, 64] {
        stand.clock.set(at(stand.now + second));
        stand.takes("remembered", &token).await;
    }
    let before = state(&stand.server.data());
    for second in [65, 66, 3600] {
        stand.clock.set(at(stand.now + second));
        assert_refused(&stand.server.get_as(&token, ME).await, &second);
    }
    stand.clock.set(at(stand.now - 16));
    assert_refused(&stand.server.get_as(&token, ME).await, &"before its time");
    assert_eq!(state(&stand.server.data()), before);
}
