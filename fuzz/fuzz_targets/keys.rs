//! Public keys: a document as the address of the keys gives it, and the text people paste. Nothing private or weak comes in.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rollbook::clerk::jwks::Keys;
use rollbook::clock::Clock;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    // A document that was kept is read without asking the address.
    let keys = Keys::remote("https://keys.example.org/".parse().unwrap(), Some(bytes), Clock::system()).status().keys;
    if keys > 0 {
        let document: Value = serde_json::from_slice(bytes).unwrap();
        let list = document["keys"].as_array().unwrap();
        assert!(keys <= list.len() && list.len() <= 32);
        assert!(list.iter().all(|key| ["d", "p", "q", "k"].iter().all(|name| key.get(name).is_none())));
        assert!(list.iter().any(|key| key["kty"] == "RSA" && key["n"].as_str().is_some_and(|n| n.len() >= 341)));
    }
    if let Ok(pem) = std::str::from_utf8(bytes)
        && Keys::from_pem(pem).is_ok()
    {
        assert!(!pem.contains("PRIVATE KEY"));
        assert!(Keys::from_pem(&pem.replace('\n', "\\n")).is_ok());
    }
});
