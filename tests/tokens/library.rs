//! Tokens that a library nobody here wrote has made.

use std::io::Write as _;
use std::process::Command;

use rollbook::clock::Clock;
use serde_json::Value;

use crate::common::tokens::{ISSUER, jwks};
use crate::common::{TestServer, sign};
use crate::jwks_server::JwksServer;
use crate::stand::{ME, Stand, assert_refused, at};

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

/// Tokens of `PyJWT` are judged as ours are, by PEM and by JWKS. Says so where there is none.
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
