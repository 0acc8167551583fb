//! Session tokens through the front door: every attack of the catalogue, by its number, with the answer it must
//! get, and that nothing was written because of it.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod common;
#[path = "common/jwks_server.rs"]
mod jwks_server;

use std::io::Write as _;
use std::process::Command;
use std::sync::LazyLock;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
    RSA_PSS_SHA256, RsaEncoding,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use common::tokens::{ISSUER, Issuer, PARTY, claims, jwks, message, with, without};
use common::{Answer, CLERK, TestServer, clerk_id, deleted_event, sign, user_event};
use futures_util::{StreamExt as _, future, stream};
use jwks_server::JwksServer;
use reqwest::{Method, StatusCode};
use rollbook::audit::Entry;
use rollbook::clock::{Clock, Timestamp};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const ME: &str = "/api/auth/me";

/// When Clerk's events were, in milliseconds; longer ago than any token.
const T: i64 = 1_750_000_000_000;

/// Another Clerk instance.
static OTHER: LazyLock<Issuer> = LazyLock::new(|| Issuer::new("ins_other"));

/// A server whose clock stands, so that the edges of a token's time can be met exactly, and that allows one party.
struct Stand {
    server: TestServer,
    clock: Clock,
    /// Seconds since 1970, when the clock was made to stand.
    now: i64,
}

impl Stand {
    async fn with(settings: &[(&str, &str)]) -> Self {
        let now = sign::now_seconds();
        let clock = Clock::fixed(at(now));
        Self { server: TestServer::with_clock(settings, clock.clone()).await, clock, now }
    }

    /// With the issuer's own key, pinned.
    async fn pinned() -> Self {
        Self::with(&[("CLERK_AUTHORIZED_PARTIES", PARTY)]).await
    }

    /// With the keys that the address publishes.
    async fn remote(keys: &JwksServer) -> Self {
        Self::with(&[("CLERK_JWT_KEY", ""), ("CLERK_JWKS_URL", keys.url())]).await
    }

    fn good(&self) -> Value {
        claims("user_1", self.now)
    }

    /// A token good for two days, so that keys can come and go in its time.
    fn lasting(&self, issuer: &Issuer, user: &str) -> String {
        issuer.mint(&with(&claims(user, self.now), "exp", self.now + 48 * 3600))
    }

    fn advance(&self, seconds: i64) {
        self.clock.set(self.clock.now().plus_millis(seconds * 1000));
    }

    async fn status(&self, token: &str) -> u16 {
        self.server.get_as(token, ME).await.status.as_u16()
    }

    /// Refuses each token in the same words and writes nothing. Then lets the good one in: were the refusals owed to
    /// something else that is wrong, that would be refused too.
    async fn refuses<L: std::fmt::Debug>(&self, cases: impl IntoIterator<Item = (L, String)>) {
        let before = self.server.state();
        let mut count = 0;
        for (case, token) in cases {
            assert_refused(&self.server.get_as(&token, ME).await, &case);
            count += 1;
        }
        assert!(count > 0);
        assert_eq!(self.server.state(), before, "something was written");
        self.takes("a good token", &CLERK.mint(&self.good())).await;
    }

    /// Refuses each of the claims, validly signed.
    async fn refuses_claims(&self, cases: impl IntoIterator<Item = Value>) {
        self.refuses(cases.into_iter().map(|claims| (claims.to_string(), CLERK.mint(&claims)))).await;
    }

    /// Refuses each of the headers before good claims, validly signed.
    async fn refuses_headers(&self, cases: impl IntoIterator<Item = Value>) {
        let good = self.good();
        let cases = cases.into_iter().map(|header| (header.to_string(), CLERK.mint_with(&header, &good)));
        self.refuses(cases).await;
    }

    async fn takes(&self, case: &str, token: &str) {
        let answer = self.server.get_as(token, ME).await;
        assert_eq!(answer.status, StatusCode::OK, "{case}: {}", answer.text);
        assert_eq!(answer.json()["clerk_user_id"], "user_1", "{case}");
    }

    /// The entries of denied requests, oldest first.
    async fn denied(&self) -> Vec<Entry> {
        let mut entries = self.server.entries().await;
        entries.retain(|entry| entry.leaf.action == "api.denied");
        entries
    }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

/// One answer for everything that is wrong with a token.
fn assert_refused(answer: &Answer, case: &impl std::fmt::Debug) {
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{case:?}: {}", answer.text);
    assert_eq!(answer.header("www-authenticate"), "Bearer error=\"invalid_token\"", "{case:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json", "{case:?}");
    let mut body = answer.json();
    assert!(body["error_id"].as_str().unwrap().starts_with("ERR_"), "{case:?}");
    body.as_object_mut().unwrap().remove("error_id");
    let expected = json!({
        "type": "urn:rollbook:problem:unauthorized", "title": "Not signed in", "status": 401,
        "detail": "A valid session token is required in the Authorization header.",
    });
    assert_eq!(body, expected, "{case:?}");
}

/// Sends a request line and header lines exactly as written; the answer's status and all of its bytes.
async fn raw(server: &TestServer, line: &str, headers: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!("{line} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", server.address);
    // A server that has heard enough may close while more is being said.
    let _ = stream.write_all(&[head.as_bytes(), headers, b"\r\n"].concat()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    (answer.get(9..12).unwrap_or_default().parse().unwrap_or(0), answer)
}

#[tokio::test]
async fn j01_no_bearer_token_at_all() {
    let stand = Stand::pinned().await;
    let (good, before) = (CLERK.mint(&stand.good()), stand.server.state());
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
    let latin = [b"authorization: Bearer \xe9".as_slice(), good.as_bytes(), b"\r\n"].concat();
    assert_eq!(raw(&stand.server, "GET /api/auth/me", &latin).await.0, 401);
    assert_eq!(stand.server.state(), before);
    // The scheme's name is not a matter of case (RFC 9110), the rest is.
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let line = format!("authorization: {scheme} {good}\r\n");
        assert_eq!(raw(&stand.server, "GET /api/auth/me", line.as_bytes()).await.0, 200, "{scheme}");
    }
}

#[tokio::test]
async fn j02_unsigned_tokens() {
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
async fn j03_the_public_key_as_a_shared_secret() {
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
async fn j04_other_algorithms_and_other_keys() {
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
        let by_ec = ec.sign(&random, message.as_bytes()).unwrap();
        let by_ed = ed.sign(message.as_bytes());
        cases.push((format!("{alg} by EC"), format!("{message}.{}", URL_SAFE_NO_PAD.encode(by_ec))));
        cases.push((format!("{alg} by Ed25519"), format!("{message}.{}", URL_SAFE_NO_PAD.encode(by_ed))));
    }
    cases.push(("another RSA key of the same name".to_owned(), OTHER.mint_with(&CLERK.header(), &good)));
    cases.push(("another RSA key".to_owned(), OTHER.mint(&good)));
    stand.refuses(cases).await;
}

#[tokio::test]
async fn j05_keys_that_come_with_the_token() {
    let elsewhere = JwksServer::start(&OTHER.jwks()).await;
    let ours = JwksServer::start(&CLERK.jwks()).await;
    let stand = Stand::remote(&ours).await;
    // Fetched before the count of what is written begins.
    stand.takes("warm", &CLERK.mint(&stand.good())).await;
    let good = stand.good();
    let members = [
        ("jwk", OTHER.jwk()),
        ("jwk", CLERK.jwk()),
        ("x5c", json!([STANDARD.encode(OTHER.der())])),
        ("jku", json!(elsewhere.url())),
        ("x5u", json!(elsewhere.url())),
        ("jku", json!(format!("{}@{}", ISSUER, elsewhere.url()))),
    ];
    let mut cases = Vec::new();
    for (name, value) in members {
        for signer in [&*CLERK, &*OTHER] {
            for kid in ["ins_test", "ins_other"] {
                let header = with(&with(&CLERK.header(), name, value.clone()), "kid", kid);
                cases.push((format!("{name} {kid} by {}", signer.kid), signer.mint_with(&header, &good)));
            }
        }
    }
    kept_and_quiet(&stand, &ours, 1).await;
    stand.refuses(cases).await;
    assert_eq!(elsewhere.hits(), 0);
    assert_eq!(ours.hits(), 1);
}

/// Waits until the keys that were fetched are in the data file, which happens behind the answers.
async fn kept_and_quiet(stand: &Stand, keys: &JwksServer, fetches: usize) {
    assert_eq!(keys.hits(), fetches);
    while stand.server.app.store.keys().unwrap().is_none() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn j06_ids_that_name_no_key() {
    let keys = JwksServer::start(&CLERK.jwks()).await;
    let stand = Stand::remote(&keys).await;
    stand.takes("warm", &CLERK.mint(&stand.good())).await;
    kept_and_quiet(&stand, &keys, 1).await;
    stand.advance(60);
    let long = "x".repeat(10_000);
    let ids = [
        json!(1),
        Value::Null,
        json!(["ins_test"]),
        json!({"kid": "ins_test"}),
        json!(""),
        json!("../../etc/passwd"),
        json!("' OR 1=1"),
        json!(long),
        json!("x".repeat(129)),
        json!("ïns_test"),
        json!("ins_test\0"),
        json!("ins_test\n"),
        json!("INS_TEST"),
        json!("ins_tes"),
        json!("ins_test_"),
        json!("made_up"),
        json!(keys.url()),
    ];
    let mut headers: Vec<Value> = ids.into_iter().map(|kid| with(&CLERK.header(), "kid", kid)).collect();
    headers.push(without(&CLERK.header(), "kid"));
    stand.refuses_headers(headers).await;
    assert_eq!(keys.hits(), 2, "one for all that were made up");
}

#[tokio::test]
async fn j07_headers_that_would_change_the_rules() {
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
async fn j08_members_named_twice() {
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
async fn j09_claims_that_are_no_object() {
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
async fn j10_tokens_that_end_never_long_ago_or_in_no_number() {
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
async fn j11_tokens_from_the_future_or_from_no_time() {
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
async fn j12_clocks_may_be_five_seconds_apart() {
    let stand = Stand::pinned().await;
    let (good, now) = (stand.good(), stand.now);
    let edges =
        [("exp", now + 1), ("exp", now), ("exp", now - 4), ("nbf", now + 4), ("nbf", now + 5), ("iat", now + 5)];
    for (name, value) in edges {
        stand.takes(&format!("{name} {}", value - now), &CLERK.mint(&with(&good, name, value))).await;
    }
}

#[tokio::test]
async fn j13_other_issuers() {
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
async fn j14_another_instance_whose_key_is_known() {
    let keys = JwksServer::start(&jwks(&[CLERK.jwk(), OTHER.jwk()])).await;
    let stand = Stand::remote(&keys).await;
    stand.takes("warm", &CLERK.mint(&stand.good())).await;
    kept_and_quiet(&stand, &keys, 1).await;
    let theirs = with(&stand.good(), "iss", "https://clerk.example.org");
    let cases = [
        ("their token", OTHER.mint(&theirs)),
        ("their claims, our key", CLERK.mint(&theirs)),
        ("our claims, their key under our key's name", OTHER.mint_with(&CLERK.header(), &stand.good())),
        ("our claims, our key under their key's name", CLERK.mint_with(&OTHER.header(), &stand.good())),
    ];
    stand.refuses(cases).await;
    assert_eq!(keys.hits(), 1);
}

#[tokio::test]
async fn j15_authorized_parties() {
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
async fn j16_audiences() {
    let stand = Stand::with(&[("CLERK_AUDIENCE", "rollbook, roll")]).await;
    let good = with(&stand.good(), "aud", "rollbook");
    let before = stand.server.state();
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
    assert_eq!(stand.server.state(), before);
    for aud in [json!("rollbook"), json!("roll"), json!(["other", "roll"])] {
        stand.takes("ours", &CLERK.mint(&with(&good, "aud", aud))).await;
    }
}

#[tokio::test]
async fn j17_tokens_that_are_no_sessions() {
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
async fn j18_pending_sessions_are_forbidden_and_noted() {
    let stand = Stand::pinned().await;
    let pending = CLERK.mint(&with(&stand.good(), "sts", "pending"));
    let before = stand.server.app.store.counts();
    // The second time it is a remembered token, and a second later.
    for path in [ME, "/api/session"] {
        let answer = stand.server.get_as(&pending, path).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(answer.json()["type"], "urn:rollbook:problem:forbidden");
        stand.advance(1);
    }
    let denied = stand.denied().await;
    assert_eq!(denied.len(), 2);
    for entry in &denied {
        assert_eq!((entry.leaf.outcome.as_str(), entry.leaf.reason.as_deref()), ("denied", Some("session_pending")));
        assert_eq!(entry.actor_user, Some(clerk_id("user_1")));
    }
    let after = stand.server.app.store.counts();
    assert_eq!((after.users, after.entries), (before.users, before.entries + 2), "nobody was put on the roll");
    // What Clerk never says is no session, rather than one that is pending or active.
    let states = [json!("Pending"), json!(""), json!("ended"), json!(["active"]), Value::Null];
    stand.refuses_claims(states.into_iter().map(|sts| with(&stand.good(), "sts", sts))).await;
    stand.takes("no state", &CLERK.mint(&without(&stand.good(), "sts"))).await;
}

#[tokio::test]
async fn j19_impersonation_is_noted_or_forbidden() {
    let allowed = Stand::pinned().await;
    let acted = with(&allowed.good(), "act", json!({"sub": "user_boss", "iss": "https://dashboard.clerk.com"}));
    let token = CLERK.mint(&acted);
    allowed.takes("impersonated", &token).await;
    let entries = allowed.server.entries().await;
    let read: Vec<_> = entries.iter().filter(|entry| entry.leaf.action == "user.read").collect();
    assert_eq!(read.len(), 1, "reading one's own record leaves no entry, unless somebody else does it");
    assert_eq!(read[0].impersonator_user, Some(clerk_id("user_boss")));
    assert_eq!((&read[0].actor_user, &read[0].target_user), (&Some(clerk_id("user_1")), &Some(clerk_id("user_1"))));
    assert!(read[0].leaf.impersonator.as_deref().unwrap().starts_with("s1."));
    assert!(!serde_json::to_string(&read[0].leaf).unwrap().contains("user_"));

    let forbidden = Stand::with(&[("ROLLBOOK_IMPERSONATION", "deny")]).await;
    assert_eq!(forbidden.status(&token).await, 403);
    let denied = forbidden.denied().await;
    assert_eq!((denied.len(), denied[0].leaf.reason.as_deref()), (1, Some("impersonated")));
    assert_eq!(denied[0].impersonator_user, Some(clerk_id("user_boss")));
    assert_eq!(forbidden.server.user("user_1"), None, "nobody was put on the roll");
    // An actor that names nobody could not be noted.
    for act in
        [json!({}), json!("user_boss"), json!({"sub": ""}), json!({"sub": 1}), json!({"sub": "a b"}), Value::Null]
    {
        let claims = with(&forbidden.good(), "act", act);
        assert_refused(&allowed.server.get_as(&CLERK.mint(&claims), ME).await, &claims);
        assert_refused(&forbidden.server.get_as(&CLERK.mint(&claims), ME).await, &claims);
    }
    forbidden.takes("nobody else's session", &CLERK.mint(&forbidden.good())).await;
}

#[tokio::test]
async fn j20_text_that_is_nearly_a_token() {
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
async fn j21_tokens_too_long() {
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
    let before = stand.server.state();
    let header = format!("authorization: Bearer {}\r\n", "A".repeat(64 * 1024));
    assert_eq!(raw(&stand.server, "GET /api/auth/me", header.as_bytes()).await.0, 431);
    assert_eq!(stand.server.state(), before);
}

#[tokio::test]
async fn j22_tokens_in_other_places() {
    let stand = Stand::pinned().await;
    let (token, before) = (CLERK.mint(&stand.good()), stand.server.state());
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
    assert_eq!(stand.server.state(), before);
}

#[tokio::test]
async fn j23_keys_are_replaced_without_a_gap_and_retired_ones_end() {
    let keys = JwksServer::start(&CLERK.jwks()).await;
    let stand = Stand::remote(&keys).await;
    let (old, new) = (stand.lasting(&CLERK, "user_1"), stand.lasting(&OTHER, "user_1"));
    stand.takes("the only key", &old).await;
    assert_eq!(keys.hits(), 1);
    keys.publish(&jwks(&[CLERK.jwk(), OTHER.jwk()]));
    stand.advance(31);
    for _ in 0..3 {
        stand.takes("the new key", &new).await;
        stand.takes("the old key", &old).await;
    }
    assert_eq!(keys.hits(), 2, "the first token of the new key asked for it");
    keys.publish(&OTHER.jwks());
    stand.advance(3600);
    keys.hold();
    stand.takes("the new key, while it is asked for", &new).await;
    keys.release();
    // Whose key is not known waits for the answer that is under way.
    let made_up = CLERK.mint_with(&with(&CLERK.header(), "kid", "made_up"), &stand.good());
    assert_eq!(stand.status(&made_up).await, 401);
    stand.takes("the new key", &new).await;
    assert_eq!((stand.status(&old).await, keys.hits()), (401, 3));
    // The old name comes back with another key.
    keys.publish(&jwks(&[with(&Issuer::new("x").jwk(), "kid", "ins_test"), OTHER.jwk()]));
    stand.advance(31);
    assert_eq!((stand.status(&old).await, keys.hits()), (401, 4));
}

#[tokio::test]
async fn j24_made_up_key_ids_make_one_fetch_in_thirty_seconds() {
    let keys = JwksServer::start(&CLERK.jwks()).await;
    let stand = Stand::remote(&keys).await;
    let good = stand.lasting(&CLERK, "user_1");
    stand.takes("warm", &good).await;
    kept_and_quiet(&stand, &keys, 1).await;
    let before = stand.server.state();
    let (claims, signature) = (stand.good().to_string(), good.rsplit_once('.').unwrap().1);
    let mut seed = [0; 16];
    let mut made_up = Vec::new();
    for _ in 0..10_000 {
        aws_lc_rs::rand::fill(&mut seed).unwrap();
        let header = with(&CLERK.header(), "kid", format!("ins_{}", URL_SAFE_NO_PAD.encode(seed)));
        made_up.push(format!("{}.{signature}", message(&header.to_string(), &claims)));
    }
    // Ten spans of ten seconds: what may be asked in the first is over, then once in each thirty.
    for (span, flood) in made_up.chunks(1000).enumerate() {
        let statuses: Vec<u16> =
            stream::iter(flood).map(|token| stand.status(token)).buffer_unordered(32).collect().await;
        assert_eq!(statuses.len(), 1000);
        assert!(statuses.iter().all(|status| *status == 401), "{span}");
        assert_eq!(keys.hits(), 1 + span / 3, "after {} seconds", 10 * span);
        stand.takes("a good token meanwhile", &good).await;
        stand.advance(10);
    }
    assert_eq!(stand.server.state(), before);
    let entries = after_restart(stand).await;
    let counted = entries.iter().find(|entry| entry.leaf.reason.as_deref() == Some("unknown_key")).unwrap();
    assert_eq!((counted.leaf.action.as_str(), counted.leaf.count), ("api.unauthenticated", Some(10_000)));
}

/// What the log says once the server has stopped, which is when the last minute is written down.
async fn after_restart(stand: Stand) -> Vec<Entry> {
    let dir = stand.server.stop().await;
    TestServer::open(dir, &[], stand.clock).await.entries().await
}

#[tokio::test]
async fn j25_many_first_callers_make_one_fetch() {
    let keys = JwksServer::start(&CLERK.jwks()).await;
    let stand = Stand::remote(&keys).await;
    keys.hold();
    let callers: Vec<_> = (0..200)
        .map(|n| {
            let token = stand.lasting(&CLERK, &format!("user_{n}"));
            tokio::spawn(stand.server.request(Method::GET, ME).bearer_auth(token).send())
        })
        .collect();
    while keys.hits() == 0 {
        tokio::task::yield_now().await;
    }
    // Past the cool-down: what holds the others back is that one is under way.
    stand.advance(31);
    let late = stand.server.request(Method::GET, ME).bearer_auth(stand.lasting(&CLERK, "user_late"));
    let late = tokio::spawn(late.send());
    keys.release();
    for caller in future::join_all(callers.into_iter().chain([late])).await {
        assert_eq!(caller.unwrap().unwrap().status(), StatusCode::OK);
    }
    assert_eq!(keys.hits(), 1);
}

#[tokio::test]
async fn j26_warm_keys_serve_for_a_day_and_over_a_restart() {
    let keys = JwksServer::start(&CLERK.jwks()).await;
    let stand = Stand::remote(&keys).await;
    let token = stand.lasting(&CLERK, "user_1");
    stand.takes("warm", &token).await;
    kept_and_quiet(&stand, &keys, 1).await;
    assert_eq!(stand.server.count("keys.changed").await, 1);
    keys.fail();
    for _ in 0..23 {
        stand.advance(3600);
        stand.takes("the address is down", &token).await;
    }
    stand.advance(3599);
    stand.takes("the last second of the day", &token).await;
    stand.advance(31);
    let answer = stand.server.get_as(&token, ME).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    // Over a restart, with the address still down, on the morning of that day.
    stand.clock.set(at(stand.now + 3600));
    let hits = keys.hits();
    let settings = [("CLERK_JWT_KEY", ""), ("CLERK_JWKS_URL", keys.url())];
    let server = TestServer::open(stand.server.stop().await, &settings, stand.clock.clone()).await;
    assert_eq!(keys.hits(), hits, "nobody has asked yet");
    let again = Stand { server, clock: stand.clock, now: stand.now };
    again.takes("after a restart", &token).await;
    assert_eq!(again.status(&OTHER.mint(&again.good())).await, 401, "known keys are all there are");
    again.advance(23 * 3600 + 1);
    assert_eq!(again.status(&token).await, 503, "a day after they were good");
    // And up again.
    keys.publish(&CLERK.jwks());
    again.advance(31);
    again.takes("up again", &token).await;
}

#[tokio::test]
async fn j27_without_keys_nobody_is_judged() {
    let keys = JwksServer::start(&CLERK.jwks()).await;
    keys.fail();
    let stand = Stand::remote(&keys).await;
    let (token, before) = (CLERK.mint(&stand.good()), stand.server.state());
    for (seconds, retry_after) in [(0, "30"), (10, "20"), (19, "1")] {
        stand.advance(seconds);
        let answer = stand.server.get_as(&token, ME).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text);
        assert_eq!(answer.header("retry-after"), retry_after);
        assert_eq!(answer.json()["type"], "urn:rollbook:problem:unavailable");
        assert_eq!(answer.header("www-authenticate"), "");
    }
    assert_eq!(keys.hits(), 1);
    // What no key could make good is refused all the same.
    assert_refused(&stand.server.get_as("x.y.z", ME).await, &"no token");
    assert_eq!(stand.server.state(), before);
    keys.publish(&CLERK.jwks());
    stand.advance(1);
    stand.takes("they came", &token).await;
}

#[tokio::test]
async fn j28_no_answer_takes_good_keys_away() {
    let keys = JwksServer::start(&CLERK.jwks()).await;
    let elsewhere = JwksServer::start(&OTHER.jwks()).await;
    let stand = Stand::remote(&keys).await;
    let (good, theirs) = (stand.lasting(&CLERK, "user_1"), stand.lasting(&OTHER, "user_1"));
    stand.takes("warm", &good).await;
    kept_and_quiet(&stand, &keys, 1).await;
    let (jwk, set, before) = (OTHER.jwk(), OTHER.jwks(), stand.server.state());
    let hundred: Vec<Value> = (0..100).map(|n| with(&jwk, "kid", format!("ins_{n}"))).chain([jwk.clone()]).collect();
    let weak = URL_SAFE_NO_PAD.encode([&[0x80; 127][..], &[1]].concat());
    let away = format!("location: {}\r\n", elsewhere.url());
    let ok = "200 OK";
    let answers = [
        ("an empty set", ok, "", jwks(&[])),
        ("no set", ok, "", "{}".to_owned()),
        ("HTML", ok, "content-type: text/html\r\n", "<html></html>".to_owned()),
        ("5 MB", ok, "", format!("{set}{}", " ".repeat(5 << 20))),
        ("65 KiB", ok, "", format!("{set}{}", " ".repeat(65 << 10))),
        ("301", "301 Moved Permanently", &away, set.clone()),
        ("302 to the metadata service", "302 Found", "location: http://169.254.169.254/\r\n", set.clone()),
        ("308", "308 Permanent Redirect", &away, String::new()),
        ("500", "500 Internal Server Error", "", set.clone()),
        ("404", "404 Not Found", "", set.clone()),
        ("100 keys", ok, "", jwks(&hundred)),
        ("an id twice", ok, "", jwks(&[jwk.clone(), jwk.clone()])),
        ("a private key inside", ok, "", jwks(&[with(&jwk, "d", "AQ")])),
        ("a symmetric key inside", ok, "", jwks(&[jwk.clone(), json!({"kty": "oct", "kid": "x", "k": "AQ"})])),
        ("RSA-1024", ok, "", jwks(&[with(&jwk, "n", weak)])),
        ("an exponent of 1", ok, "", jwks(&[with(&jwk, "e", "AQ")])),
        ("for encryption", ok, "", jwks(&[with(&jwk, "use", "enc")])),
        ("for another algorithm", ok, "", jwks(&[with(&jwk, "alg", "RS512")])),
        ("a member twice", ok, "", set.replacen('{', "{\"keys\":[],", 1)),
        ("cut short", ok, "", set[..set.len() - 1].to_owned()),
    ];
    for (n, (case, status, headers, body)) in answers.iter().enumerate() {
        stand.advance(31);
        keys.say(status, headers, body);
        assert_eq!(stand.status(&theirs).await, 401, "{case}");
        assert_eq!(keys.hits(), n + 2, "{case}");
        stand.takes(case, &good).await;
    }
    assert_eq!((elsewhere.hits(), stand.server.state()), (0, before));
    // One that says nothing holds up nobody whose key is known.
    keys.hold();
    stand.advance(3600);
    stand.takes("silence", &good).await;
    keys.say(ok, "", &set);
    keys.release();
    assert_eq!((stand.status(&theirs).await, stand.status(&good).await), (200, 401), "then it speaks, and is believed");
}

#[tokio::test]
async fn j29_deleted_and_banned_users_are_forbidden() {
    for delete in ["soft", "hard"] {
        let stand = Stand::with(&[("ROLLBOOK_DELETE", delete)]).await;
        let server = &stand.server;
        let token = CLERK.mint(&stand.good());
        server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
        stand.takes("on the roll", &token).await;
        let mut banned = user_event("user.updated", "user_1", T + 1, "Ann");
        banned["data"]["banned"] = true.into();
        server.outcome(&banned).await;
        assert_forbidden(&stand, &token, "banned").await;
        server.outcome(&user_event("user.updated", "user_1", T + 2, "Ann")).await;
        stand.takes("no longer banned", &token).await;
        server.outcome(&deleted_event("user_1", T + 3)).await;
        assert_forbidden(&stand, &token, "deleted").await;
        // A late event does not bring them back, and a token provisions nobody who was deleted.
        server.outcome(&user_event("user.updated", "user_1", T + 4, "Ann")).await;
        assert_forbidden(&stand, &token, "deleted").await;
        server.outcome(&deleted_event("user_2", T)).await;
        assert_forbidden(&stand, &CLERK.mint(&claims("user_2", stand.now)), "deleted").await;
        assert_eq!(server.count("user.provisioned").await, 0);
    }
}

/// 403 wherever the token is shown, and an entry that says why.
async fn assert_forbidden(stand: &Stand, token: &str, reason: &str) {
    for path in [ME, "/auth/me", "/api/session", "/api/users", "/api/users/user_1", "/api/users/user_1/audit"] {
        stand.advance(1);
        let before = stand.denied().await.len();
        let answer = stand.server.get_as(token, path).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {reason}: {}", answer.text);
        assert!(!answer.text.contains("user_"), "{}", answer.text);
        let denied = stand.denied().await;
        assert_eq!(denied.len(), before + 1, "{path} {reason}");
        assert_eq!(denied.last().unwrap().leaf.reason.as_deref(), Some(reason), "{path}");
    }
    // The clock went on for the entries' sake; the token has its minute.
    stand.clock.set(at(stand.now));
}

#[tokio::test]
async fn j30_paths_that_are_nearly_ours_give_no_data() {
    let stand = Stand::pinned().await;
    stand.server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    let before = stand.server.state();
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
        assert_eq!(status, if method == "HEAD" { 401 } else { 405 }, "{method}");
        assert!(!answer.contains("Ann"));
    }
    let absolute = format!("GET http://{}/api/users", stand.server.address);
    assert_eq!(raw(&stand.server, &absolute, b"").await.0, 401);
    assert_eq!(raw(&stand.server, "GET http://evil.example/api/users", b"").await.0, 400);
    assert_eq!(stand.server.state(), before);
}

#[tokio::test]
async fn j31_other_peoples_ids_lead_nowhere() {
    let stand = Stand::pinned().await;
    let server = &stand.server;
    for id in ["user_1", "user_2"] {
        server.outcome(&user_event("user.created", id, T, "Ann")).await;
    }
    let token = CLERK.mint(&stand.good());
    let theirs = server.user("user_2").unwrap().id.to_string();
    let nobody = "0199c1a0-0000-7000-8000-000000000001";
    let mut bodies = Vec::new();
    for id in ["user_2", &theirs, "user_nobody", nobody] {
        for path in
            [format!("/api/users/{id}"), format!("/api/users/{id}/audit"), format!("/api/users/{id}?include=clerk")]
        {
            if path.contains("audit?") {
                continue;
            }
            stand.advance(1);
            let before = stand.denied().await.len();
            let answer = server.get_as(&token, &path).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
            let mut body = answer.json();
            body.as_object_mut().unwrap().remove("error_id");
            bodies.push(body);
            let denied = stand.denied().await;
            assert_eq!(denied.len(), before + 1, "{path}");
            let entry = denied.last().unwrap();
            assert_eq!(entry.leaf.reason.as_deref(), Some("not_own"));
            assert_eq!(entry.actor_user, Some(clerk_id("user_1")));
            let known = id == "user_2" || id == theirs;
            assert_eq!(entry.target_user, known.then(|| clerk_id("user_2")), "{path}");
        }
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "whether somebody is there cannot be told: {bodies:?}");
    stand.clock.set(at(stand.now));
    let mine = server.user("user_1").unwrap().id.to_string();
    for id in ["user_1", &mine] {
        assert_eq!(server.get_as(&token, &format!("/api/users/{id}")).await.status, StatusCode::OK);
    }
    for path in ["/api/users", "/api/audit"] {
        assert_eq!(server.get_as(&token, path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test]
async fn j31_denials_of_one_second_are_counted_not_listed() {
    let stand = Stand::pinned().await;
    let token = CLERK.mint(&stand.good());
    stand.takes("themselves", &token).await;
    for _ in 0..50 {
        assert_eq!(stand.server.get_as(&token, "/api/users/user_2").await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(stand.denied().await.len(), 1);
    let entries = after_restart(stand).await;
    let counts: Vec<_> = entries.iter().filter(|e| e.leaf.action == "api.denied").map(|e| e.leaf.count).collect();
    assert_eq!(counts, [None, Some(49)]);
}

#[tokio::test]
async fn every_door_asks_for_a_token() {
    let stand = Stand::pinned().await;
    stand.server.outcome(&user_event("user.created", "user_1", T, "Ann")).await;
    let before = stand.server.state();
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
    assert_eq!(stand.server.state(), before);
}

#[tokio::test]
async fn what_strangers_try_becomes_one_entry_for_each_reason() {
    let stand = Stand::pinned().await;
    for n in 1..=3 {
        for _ in 0..n {
            stand.server.get(ME).await;
            stand.server.get_as("x", ME).await;
            stand.server.get_as(&OTHER.mint(&stand.good()), "/api/session").await;
        }
    }
    assert_eq!(stand.server.count("api.unauthenticated").await, 0);
    let entries = after_restart(stand).await;
    let counted: Vec<_> = entries.iter().filter(|entry| entry.leaf.action == "api.unauthenticated").collect();
    let reasons: Vec<_> = counted.iter().map(|e| (e.leaf.reason.as_deref().unwrap(), e.leaf.count.unwrap())).collect();
    assert_eq!(reasons, [("malformed", 6), ("no_token", 6), ("signature", 6)]);
    assert!(counted.iter().all(|entry| entry.leaf.actor == "anonymous" && entry.leaf.outcome == "denied"));
}

#[tokio::test]
async fn a_remembered_token_ends_with_its_time() {
    let stand = Stand::pinned().await;
    let token = CLERK.mint(&stand.good());
    for second in [0, 30, 64] {
        stand.clock.set(at(stand.now + second));
        stand.takes("remembered", &token).await;
    }
    let before = stand.server.state();
    for second in [65, 66, 3600] {
        stand.clock.set(at(stand.now + second));
        assert_refused(&stand.server.get_as(&token, ME).await, &second);
    }
    stand.clock.set(at(stand.now - 16));
    assert_refused(&stand.server.get_as(&token, ME).await, &"before its time");
    assert_eq!(stand.server.state(), before);
}

#[tokio::test]
async fn a_remembered_token_ends_with_its_key() {
    let keys = JwksServer::start(&jwks(&[CLERK.jwk(), OTHER.jwk()])).await;
    let stand = Stand::remote(&keys).await;
    let token = stand.lasting(&CLERK, "user_1");
    for _ in 0..3 {
        stand.takes("remembered", &token).await;
    }
    keys.publish(&OTHER.jwks());
    stand.advance(31);
    stand.takes("nobody has told us yet", &token).await;
    assert_eq!(stand.status(&CLERK.mint_with(&with(&CLERK.header(), "kid", "new"), &stand.good())).await, 401);
    assert_refused(&stand.server.get_as(&token, ME).await, &"its key is gone");
    assert_eq!(keys.hits(), 2);
}

#[tokio::test]
async fn a_remembered_token_ends_with_its_user() {
    let stand = Stand::pinned().await;
    let server = &stand.server;
    for (user, event) in [
        ("user_1", deleted_event("user_1", T + 1)),
        ("user_2", {
            let mut banned = user_event("user.updated", "user_2", T + 1, "Ann");
            banned["data"]["banned"] = true.into();
            banned
        }),
    ] {
        server.outcome(&user_event("user.created", user, T, "Ann")).await;
        let token = CLERK.mint(&claims(user, stand.now));
        for _ in 0..3 {
            assert_eq!(stand.status(&token).await, 200);
        }
        assert_eq!(server.outcome(&event).await, "applied");
        assert_eq!(stand.status(&token).await, 403, "{user}");
    }
}

/// Tokens minted by a library nobody here wrote.
const MINT: &str = r#"
import base64, hashlib, hmac, json, sys
import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

now, issuer = int(sys.argv[1]), sys.argv[2]
key, other = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
pem = key.public_key().public_bytes(*form)
good = {"iss": issuer, "sub": "user_1", "sid": "sess_1", "exp": now + 60, "nbf": now - 10, "iat": now}
mint = lambda changed, key=key, alg="RS256", **header: jwt.encode(
    {**good, **changed}, key, algorithm=alg, headers={"kid": "ins_py", **header})
part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")
message = part({"alg": "HS256", "typ": "JWT", "kid": "ins_py"}) + b"." + part(good)
tag = base64.urlsafe_b64encode(hmac.new(pem, message, hashlib.sha256).digest()).rstrip(b"=")
print(json.dumps({
    "pem": pem.decode(),
    "jwk": {**jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": "ins_py", "use": "sig"},
    "good": {"plain": mint({}), "session": mint({}, cat="cl_B7d4PD111AAA"), "no kid": jwt.encode(good, key, "RS256")},
    "bad": {
        "none": jwt.encode(good, None, algorithm="none"),
        "HS256 with the PEM": (message + b"." + tag).decode(),
        "HS256": mint({}, "a" * 64, "HS256"),
        "RS384": mint({}, alg="RS384"),
        "RS512": mint({}, alg="RS512"),
        "PS256": mint({}, alg="PS256"),
        "ES256": mint({}, ec.generate_private_key(ec.SECP256R1()), "ES256"),
        "another key": mint({}, other),
        "expired": mint({"exp": now - 60}),
        "a float": mint({"exp": now + 60.5}),
        "not yet": mint({"nbf": now + 60}),
        "another issuer": mint({"iss": issuer + "/"}),
        "a machine": mint({"sub": "mch_1"}),
        "a template": mint({}, cat="cl_B7d4PD222AAA"),
        "OAuth": mint({}, typ="at+jwt"),
        "critical": mint({}, crit=["exp"]),
        "jku": mint({}, jku="https://evil.example/jwks"),
        "x5u": mint({}, x5u="https://evil.example/x5u"),
    },
}))
"#;

/// Tokens of PyJWT are judged as ours are, by PEM and by JWKS. Says so where there is none.
#[tokio::test]
async fn tokens_of_another_library_are_judged_alike() {
    let has_it = Command::new("python3").args(["-c", "import jwt, cryptography"]).output();
    if !has_it.is_ok_and(|output| output.status.success()) {
        // Past the test harness, which keeps what a test that passes prints to itself.
        let _ = writeln!(std::io::stderr(), "skipped: python3 with PyJWT and cryptography is not installed");
        return;
    }
    let now = sign::now_seconds();
    let minted = Command::new("python3").args(["-c", MINT, &now.to_string(), ISSUER]).output().unwrap();
    assert!(minted.status.success(), "{}", String::from_utf8_lossy(&minted.stderr));
    let minted: Value = serde_json::from_slice(&minted.stdout).unwrap();
    let keys = JwksServer::start(&jwks(&[minted["jwk"].clone()])).await;
    let pem = [("CLERK_JWT_KEY", minted["pem"].as_str().unwrap())];
    let remote = [("CLERK_JWT_KEY", ""), ("CLERK_JWKS_URL", keys.url())];
    for settings in [&pem[..], &remote[..]] {
        let clock = Clock::fixed(at(now));
        let stand = Stand { server: TestServer::with_clock(settings, clock.clone()).await, clock, now };
        for (case, token) in minted["good"].as_object().unwrap() {
            if case == "no kid" && settings.len() == 2 {
                continue;
            }
            stand.takes(case, token.as_str().unwrap()).await;
        }
        let bad = minted["bad"].as_object().unwrap();
        assert!(bad.len() > 15);
        for (case, token) in bad {
            assert_refused(&stand.server.get_as(token.as_str().unwrap(), ME).await, case);
        }
    }
}
