//! A webhook on its way in: headers checked, signature over the raw bytes, and only then the body read.

use std::net::SocketAddr;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use serde_json::{Map, Value};
use svix::webhooks::{Webhook, WebhookError};

use super::payload;
use super::sender::{self, Sender};
use crate::clock::Timestamp;
use crate::event::{Delivery, DeliveryId, Event, Reason, Unusable};

/// The three headers of one family, and where they come from: Svix's own names, or those of Standard Webhooks.
const FAMILIES: [[&str; 3]; 2] =
    [["svix-id", "svix-timestamp", "svix-signature"], ["webhook-id", "webhook-timestamp", "webhook-signature"]];

/// The longest signature header, in bytes, and the most signatures in it.
const MAX_SIGNATURE: usize = 1024;
const MAX_SIGNATURES: usize = 16;

/// The fewest bytes a signing secret may have; Svix makes 24.
const MIN_SECRET: usize = 24;

/// What is hashed before a secret for its fingerprint.
const FINGERPRINT: &[u8] = b"rollbook secret fingerprint\0";

/// A message whose signature is good.
#[derive(Debug, Clone)]
pub struct Received {
    /// The message.
    pub delivery: Delivery,
    /// The place of the secret that made the signature; the first such, where it carries several.
    pub secret: usize,
    /// When it was signed, by the sender's clock, in whole seconds.
    pub signed_at: Timestamp,
}

/// Why a request is no webhook of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A header is missing, doubled, mixed with the other family, or has an impossible value.
    #[error("headers: {0}")]
    Headers(&'static str),
    /// No secret of ours made any of the signatures.
    #[error("no signature matches")]
    Signature,
    /// The timestamp is more than five minutes off.
    #[error("the timestamp is {0} s off")]
    Timestamp(i64),
    /// It tells an event of a Rollbook's own log, to which nobody at Clerk is a party.
    #[error("an event of a Rollbook, not of Clerk")]
    OfRollbook,
}

impl Error {
    /// The reason as one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Headers(_) => "bad_headers",
            Self::Signature => "bad_signature",
            Self::Timestamp(_) => "bad_timestamp",
            Self::OfRollbook => "rollbook_event",
        }
    }
}

/// A secret that cannot be a signing secret of Svix's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a signing secret is `whsec_` and base64 of at least 24 bytes")]
pub struct BadSecret;

/// Reads a body once more that was verified and cleaned when it came. `at` stands in for an event time that is missing.
///
/// # Errors
/// With why it still cannot be read. What was not even text has lost the bytes that were none, and is never taken for
/// what it says without them.
pub fn read_again(body: &str, at: Timestamp, reason: Reason) -> Result<Event, Unusable> {
    if reason == Reason::Unparsable && body.contains(char::REPLACEMENT_CHARACTER) {
        return Err(Unusable { reason, kind: None, body: body.to_owned() });
    }
    payload::read(body, at)
}

/// Checks and reads webhooks with any of several secrets, so that one can be replaced by another without a gap.
#[derive(Debug)]
pub struct Webhooks(Vec<Signer>);

/// One secret, twice: svix reads a body as text, and what is none has to be checked too before it is judged.
#[derive(Debug)]
struct Signer {
    webhook: Arc<Webhook>,
    key: hmac::Key,
    fingerprint: String,
}

impl Webhooks {
    /// With these secrets, each as Clerk shows it.
    ///
    /// # Errors
    /// When one of them is not base64 or too short, or there is none.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Result<Self, BadSecret> {
        let signers: Vec<_> = secrets.into_iter().map(Signer::new).collect::<Result<_, _>>()?;
        if signers.is_empty() { Err(BadSecret) } else { Ok(Self(signers)) }
    }

    /// By what each secret is known where it must not be shown, in the order of the settings: eight hexadecimal digits
    /// that do not lead back to it.
    pub fn fingerprints(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|signer| signer.fingerprint.as_str())
    }

    /// Sends events signed with the first secret to the server at `address` itself, which speaks TLS or not, as nobody
    /// else could.
    ///
    /// # Errors
    /// When no connection can be prepared.
    pub fn sender(&self, address: SocketAddr, is_tls: bool) -> Result<Sender, sender::Error> {
        let first = self.0.first().ok_or(sender::Error::BadSecret)?;
        Sender::to_itself(first.webhook.clone(), address, is_tls)
    }

    /// Verifies the signature over the raw body and then reads it.
    ///
    /// # Errors
    /// When the headers are not those of one webhook, no secret made the signature, or a Rollbook tells an event of its own.
    pub fn receive(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<Received, Error> {
        let stamp = Stamp::read(headers)?;
        let secret = self.verify(headers, body, &stamp, now)?;
        if is_of_rollbook(&stamp.id, body) {
            return Err(Error::OfRollbook);
        }
        let content = match std::str::from_utf8(body) {
            Ok(text) => payload::read(text, stamp.signed_at),
            Err(_) => Err(payload::unreadable(body)),
        };
        Ok(Received { delivery: Delivery { content, id: stamp.id }, secret, signed_at: stamp.signed_at })
    }

    /// Which secret made the signature, by its place.
    fn verify(&self, headers: &HeaderMap, body: &[u8], stamp: &Stamp<'_>, now: Timestamp) -> Result<usize, Error> {
        let mut refused = Error::Signature;
        for (place, signer) in self.0.iter().enumerate() {
            match signer.webhook.verify(body, headers) {
                Ok(()) => return Ok(place),
                Err(WebhookError::InvalidPayload) if signer.signed(body, stamp) => return Ok(place),
                Err(WebhookError::TimestampTooOldError | WebhookError::FutureTimestampError) => {
                    refused = Error::Timestamp(stamp.signed_at.as_seconds() - now.as_seconds());
                }
                Err(_) => {}
            }
        }
        Err(refused)
    }
}

impl Signer {
    fn new(secret: &str) -> Result<Self, BadSecret> {
        let key = secret.strip_prefix("whsec_").unwrap_or(secret);
        let key = STANDARD.decode(key).map_err(|_| BadSecret)?;
        if key.len() < MIN_SECRET {
            return Err(BadSecret);
        }
        let (hmac, fingerprint) = (hmac::Key::new(hmac::HMAC_SHA256, &key), fingerprint(&key));
        let webhook = Arc::new(Webhook::from_bytes(key).map_err(|_| BadSecret)?);
        Ok(Self { webhook, key: hmac, fingerprint })
    }

    /// Whether a signature is this secret's over the bytes, as svix checks it over text. It has already looked
    /// at the timestamp by the time it finds that the body is none.
    fn signed(&self, body: &[u8], stamp: &Stamp<'_>) -> bool {
        let message = [format!("{}.{}.", stamp.id, stamp.signed_at.as_seconds()).as_bytes(), body].concat();
        let signatures = stamp.signatures.split(' ').filter_map(|signature| signature.strip_prefix("v1,"));
        let mut tags = signatures.filter_map(|signature| STANDARD.decode(signature).ok());
        tags.any(|tag| hmac::verify(&self.key, &message, &tag).is_ok())
    }
}

/// The first four bytes of a hash: too few to lead anywhere, enough to tell a handful of secrets apart.
fn fingerprint(key: &[u8]) -> String {
    let mut hash = Context::new(&SHA256);
    hash.update(FINGERPRINT);
    hash.update(key);
    hash.finish().as_ref().iter().take(4).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// Whether the message is one that a Rollbook sends to a target: `evt_<8 hex digits>_<number>`, and its envelope has a
/// `seq`. Taken for Clerk's it would be an entry here, and be told again without end. A call that deletes a user in Clerk's
/// form has such an id too, and no `seq`.
fn is_of_rollbook(id: &DeliveryId, body: &[u8]) -> bool {
    let number = id.as_str().strip_prefix("evt_").and_then(|rest| {
        let (mark, number) = rest.split_once('_')?;
        (mark.len() == 8 && mark.bytes().all(|b| b.is_ascii_hexdigit())).then_some(number)
    });
    let number = number.map(|number| number.strip_prefix("test_").unwrap_or(number));
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
        && serde_json::from_slice::<Map<String, Value>>(body).is_ok_and(|envelope| envelope.contains_key("seq"))
}

/// What the headers say, once each and all from one family. Checked here because svix takes the first of
/// doubled headers and mixes the families, which would let one message pass under two ids.
struct Stamp<'a> {
    id: DeliveryId,
    signed_at: Timestamp,
    signatures: &'a str,
}

impl<'a> Stamp<'a> {
    fn read(headers: &'a HeaderMap) -> Result<Self, Error> {
        let [svix, standard] = FAMILIES.map(|family| family.iter().any(|name| headers.contains_key(*name)));
        let family = match (svix, standard) {
            (true, true) => return Err(Error::Headers("svix-* and webhook-* are mixed")),
            (false, false) => return Err(Error::Headers("svix-id, svix-timestamp and svix-signature are missing")),
            (true, false) => FAMILIES[0],
            (false, true) => FAMILIES[1],
        };
        let [id, timestamp, signature] = family.map(|name| only(headers, name));
        let (id, timestamp, signature) = (id?, timestamp?, signature?);
        if signature.len() > MAX_SIGNATURE || signature.split(' ').count() > MAX_SIGNATURES {
            return Err(Error::Headers("too many signatures"));
        }
        let id = id.parse().map_err(|_| Error::Headers("the id is malformed"))?;
        Ok(Self { id, signed_at: signed_at(timestamp)?, signatures: signature })
    }
}

fn only<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, Error> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().map_err(|_| Error::Headers("a header is not ASCII")),
        (None, _) => Err(Error::Headers("a header is missing")),
        (Some(_), Some(_)) => Err(Error::Headers("a header stands twice")),
    }
}

/// Unix seconds, ten or eleven digits and nothing else: `+5`, `05` and `5.0` would be other ways to write
/// what was signed.
fn signed_at(text: &str) -> Result<Timestamp, Error> {
    let plain = (10..=11).contains(&text.len()) && !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    let seconds = text.parse::<i64>().ok().filter(|_| plain).ok_or(Error::Headers("the timestamp is malformed"))?;
    Ok(Timestamp::from_millis(seconds * 1000))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_secret_has_at_least_24_bytes() {
        let secret = |length: usize| format!("whsec_{}", STANDARD.encode(vec![7; length]));
        assert_eq!(Webhooks::new([secret(23).as_str()]).unwrap_err(), BadSecret);
        assert_eq!(Webhooks::new([secret(24).as_str()]).unwrap().fingerprints().len(), 1);
    }

    #[test]
    fn signatures_are_counted_and_measured() {
        let key = STANDARD.encode([7; 24]);
        let refused = |signatures: &str| {
            let values = ["msg_1", "1750000000", signatures];
            let headers: HeaderMap = FAMILIES[0]
                .iter()
                .zip(values)
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect();
            let webhooks = Webhooks::new([key.as_str()]).unwrap();
            webhooks.receive(&headers, b"{}", Timestamp::from_millis(1_750_000_000_000)).unwrap_err().as_str()
        };
        for (taken, too_much) in [(vec!["v1,AA"; 16].join(" "), " v1,AA"), ("A".repeat(MAX_SIGNATURE), "A")] {
            assert_ne!(refused(&taken), "bad_headers");
            assert_eq!(refused(&(taken + too_much)), "bad_headers");
        }
    }

    #[test]
    fn what_a_stranger_calls_an_event_is_no_action() {
        let action = |kind: &str| {
            let body = serde_json::json!({ "type": kind, "data": {} }).to_string();
            payload::read(&body, Timestamp::default()).unwrap().action().to_owned()
        };
        let longest = "a".repeat(64);
        for kind in ["thing.happened", "a_b.C9", &longest] {
            assert_eq!(action(kind), kind);
        }
        for kind in ["a b", "a-b", "é", "a\n", &format!("{longest}a"), "ann@example.org"] {
            assert_eq!(action(kind), "event.unknown", "{kind}");
        }
    }

    #[test]
    fn what_no_detail_has_room_for_is_put_aside() {
        let read = |kind: &str, length: usize| {
            let body = serde_json::json!({ "type": kind, "data": { "x": "y".repeat(length) } }).to_string();
            payload::read(&body, Timestamp::default())
        };
        // {"x":"…"}
        assert!(read("thing.happened", 48 * 1024 - 8).is_ok());
        let unusable = read("thing.happened", 48 * 1024 - 7).unwrap_err();
        assert_eq!((unusable.reason, unusable.kind.as_deref()), (Reason::TooLong, Some("thing.happened")));
        let unusable = read("", 1).unwrap_err();
        assert_eq!((unusable.reason, unusable.kind), (Reason::NotAnEvent, None));
    }

    #[test]
    fn what_a_rollbook_tells_is_known_by_its_id_and_its_number() {
        let told = |id: &str, body: &str| is_of_rollbook(&id.parse().unwrap(), body.as_bytes());
        let event = r#"{"type":"user.created","seq":7}"#;
        for id in ["evt_0123abcd_7", "evt_0123ABCD_70", "evt_0123abcd_test_7"] {
            assert!(told(id, event), "{id}");
            assert!(!told(id, r#"{"type":"user.created"}"#) && !told(id, "7") && !told(id, ""), "{id}");
        }
        for id in [
            "msg_0123abcd_7",
            "evt_0123abcd",
            "evt_0123abcd_",
            "evt_0123abcd_x",
            "evt_0123abcd_7x",
            "evt_0123abcd_test_",
            "evt_0123abc_7",
            "evt_0123abcde_7",
            "evt_0123abcg_7",
        ] {
            assert!(!told(id, event), "{id}");
        }
    }
}
