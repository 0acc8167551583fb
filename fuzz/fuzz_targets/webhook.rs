//! A webhook from its headers to what is to be done about it. The input is header lines, an empty line, and a body; in a
//! header `$now` stands for the time and `$sig` for the right signature, as a seed could have neither.
#![no_main]

use std::sync::LazyLock;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use rollbook::clerk::webhook::{Error, Received, Webhooks, read_again};
use rollbook::clock::{Clock, Timestamp};
use rollbook::event::{Change, Event, Version};
use rollbook::sync::{Verdict, judge};

const KEY: &[u8; 24] = b"fuzzed, fuzzed, fuzzed!!";
static WEBHOOKS: LazyLock<Webhooks> = LazyLock::new(|| Webhooks::new([STANDARD.encode(KEY).as_str()]).unwrap());

fuzz_target!(|input: &[u8]| {
    let Some(end) = input.windows(2).position(|two| two == b"\n\n") else { return };
    let (head, body) = (&input[..end], &input[end + 2..]);
    let now = Clock::system().now();
    let Some(headers) = headers(head, body, now) else { return };
    match WEBHOOKS.receive(&headers, body, now) {
        Ok(received) => accepted(&headers, body, now, &received),
        Err(error) => assert!(!is_plain(&headers, head) || error == Error::OfRollbook, "{error}"),
    }
});

fn headers(head: &[u8], body: &[u8], now: Timestamp) -> Option<HeaderMap> {
    let lines: Vec<(&str, &str)> =
        std::str::from_utf8(head).ok()?.lines().filter_map(|line| line.split_once(": ")).collect();
    let id = lines.iter().find(|(name, _)| name.ends_with("-id")).map_or("", |(_, value)| value);
    let now = now.as_seconds().to_string();
    let signed = signature(id, &now, body);
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let value = value.replace("$now", &now).replace("$sig", &signed);
        headers.append(name.parse::<HeaderName>().ok()?, HeaderValue::from_str(&value).ok()?);
    }
    Some(headers)
}

fn signature(id: &str, at: &str, body: &[u8]) -> String {
    let message = [id.as_bytes(), b".", at.as_bytes(), b".", body].concat();
    STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, KEY), &message))
}

/// Whether nothing is wrong with a message: then it must be taken.
fn is_plain(headers: &HeaderMap, head: &[u8]) -> bool {
    let Ok(head) = std::str::from_utf8(head) else { return false };
    let Some(id) = head.strip_prefix("svix-id: ") else { return false };
    let Some((id, rest)) = id.split_once('\n') else { return false };
    rest == "svix-timestamp: $now\nsvix-signature: v1,$sig"
        && headers.len() == 3
        && (1..=128).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn accepted(headers: &HeaderMap, body: &[u8], now: Timestamp, received: &Received) {
    let family = if headers.contains_key("svix-id") { "svix" } else { "webhook" };
    let [id, at, signatures] = ["id", "timestamp", "signature"].map(|name| {
        let other = if family == "svix" { "webhook" } else { "svix" };
        assert!(!headers.contains_key(format!("{other}-{name}")));
        let mut values = headers.get_all(format!("{family}-{name}")).iter();
        let value = values.next().unwrap().to_str().unwrap();
        assert!(values.next().is_none());
        value
    });
    let right = signature(id, at, body);
    assert!(signatures.split(' ').any(|signature| signature.strip_prefix("v1,") == Some(&right)));
    assert!((received.signed_at.as_seconds() - now.as_seconds()).abs() <= 301);
    assert_eq!(received.signed_at.as_seconds().to_string(), at);
    assert_eq!((received.delivery.id.as_str(), received.secret), (id, 0));
    match &received.delivery.content {
        Ok(event) => judged(event, id),
        Err(unusable) => drop(read_again(&unusable.body, received.signed_at, unusable.reason)),
    }
}

/// What an event says is the same when it is read from what was kept of it; and it is not newer than itself.
fn judged(event: &Event, delivery: &str) {
    let again = read_again(&event.to_json(), event.at, rollbook::event::Reason::OtherInstance).unwrap();
    assert_eq!(again.to_json(), event.to_json());
    assert_eq!((&again.kind, again.timestamp), (&event.kind, event.timestamp));
    // What is kept of a message does not say whose it was.
    assert!(again.subject.is_none() || again.subject == event.subject);
    assert!(event.action().len() <= 64);
    let updated_at = match &event.change {
        Change::UserSaved { updated_at, .. } | Change::ObjectSaved { updated_at, .. } => *updated_at,
        Change::UserDeleted { .. } | Change::ObjectDeleted { .. } | Change::Recorded { .. } => return,
    };
    let version = Version { updated_at, event_at: event.timestamp.unwrap_or_default(), delivery: delivery.to_owned() };
    assert_eq!(judge(None, &version), Verdict::Newer);
    assert_eq!(judge(Some(&version), &version), Verdict::Older);
}
