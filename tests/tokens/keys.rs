//! Which key a token is checked with: named by the token, fetched, kept, replaced, gone.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use futures_util::{StreamExt as _, future, stream};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::common::tokens::{ISSUER, Issuer, jwks, message, with, without};
use crate::common::wait::until;
use crate::common::{CLERK, TestServer};
use crate::file::state;
use crate::jwks_server::JwksServer;
use crate::stand::{ME, OTHER, Stand, after_restart, assert_refused, at, kept_and_quiet};

#[tokio::test]
async fn keys_that_come_with_the_token() {
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

#[tokio::test]
async fn ids_that_name_no_key() {
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
async fn another_instance_whose_key_is_known() {
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
async fn keys_are_replaced_without_a_gap_and_retired_ones_end() {
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
async fn made_up_key_ids_make_one_fetch_in_thirty_seconds() {
    let keys = JwksServer::start(&CLERK.jwks()).await;
    let stand = Stand::remote(&keys).await;
    let good = stand.lasting(&CLERK, "user_1");
    stand.takes("warm", &good).await;
    kept_and_quiet(&stand, &keys, 1).await;
    let before = state(&stand.server.data());
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
    assert_eq!(state(&stand.server.data()), before);
    let entries = after_restart(stand).await;
    let counted = entries.iter().find(|entry| entry.leaf.reason.as_deref() == Some("unknown_key")).unwrap();
    assert_eq!((counted.leaf.action.as_str(), counted.leaf.count), ("api.unauthenticated", Some(10_000)));
}

#[tokio::test]
async fn many_first_callers_make_one_fetch() {
    let keys = JwksServer::start(&CLERK.jwks()).await;
    let stand = Stand::remote(&keys).await;
    keys.hold();
    let callers: Vec<_> = (0..200)
        .map(|n| {
            let token = stand.lasting(&CLERK, &format!("user_{n}"));
            tokio::spawn(stand.server.request(Method::GET, ME).bearer_auth(token).send())
        })
        .collect();
    until("the first of them", || keys.hits() > 0).await;
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
async fn warm_keys_serve_for_a_day_and_over_a_restart() {
    let keys = JwksServer::start(&CLERK.jwks()).await;
    let stand = Stand::remote(&keys).await;
    let token = stand.lasting(&CLERK, "user_1");
    stand.takes("warm", &token).await;
    kept_and_quiet(&stand, &keys, 1).await;
    assert_eq!(stand.server.count("keys.changed").await, 1);
    keys.fail();
    for hour in 1..24 {
        stand.advance(3600);
        stand.takes("the address is down", &token).await;
        let metrics = stand.server.get("/metrics").await.text;
        assert!(metrics.contains(&format!("\nrollbook_jwks_age_seconds {}\n", hour * 3600)), "{metrics}");
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
async fn without_keys_nobody_is_judged() {
    let keys = JwksServer::start(&CLERK.jwks()).await;
    keys.fail();
    let stand = Stand::remote(&keys).await;
    let (token, before) = (CLERK.mint(&stand.good()), state(&stand.server.data()));
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
    assert_eq!(state(&stand.server.data()), before);
    keys.publish(&CLERK.jwks());
    stand.advance(1);
    stand.takes("they came", &token).await;
}

#[tokio::test]
async fn no_answer_takes_good_keys_away() {
    let keys = JwksServer::start(&CLERK.jwks()).await;
    let elsewhere = JwksServer::start(&OTHER.jwks()).await;
    let stand = Stand::remote(&keys).await;
    let (good, theirs) = (stand.lasting(&CLERK, "user_1"), stand.lasting(&OTHER, "user_1"));
    stand.takes("warm", &good).await;
    kept_and_quiet(&stand, &keys, 1).await;
    let (jwk, set, before) = (OTHER.jwk(), OTHER.jwks(), state(&stand.server.data()));
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
    assert_eq!((elsewhere.hits(), state(&stand.server.data())), (0, before));
    // One that says nothing holds up nobody whose key is known.
    keys.hold();
    stand.advance(3600);
    stand.takes("silence", &good).await;
    keys.say(ok, "", &set);
    keys.release();
    assert_eq!((stand.status(&theirs).await, stand.status(&good).await), (200, 401), "then it speaks, and is believed");
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
