//! Invented people, the same ones each time, and what Clerk says of them.

use rollbook::clock::Timestamp;
use rollbook::event::{Change, Client, Delivery, Event};
use rollbook::json::Object;
use rollbook::user::ClerkId;
use serde_json::{Value, json};

use super::{mixed, pick};

/// When the first of them signed up, in milliseconds since 1970.
pub const T: i64 = 1_750_000_000_000;

const FIRST: [&str; 24] = [
    "Ada", "Ben", "Chloe", "Dev", "Elif", "Farid", "Grace", "Hana", "Ines", "Jonas", "Kofi", "Lena", "Mateo", "Noor",
    "Omar", "Priya", "Quinn", "Rosa", "Sven", "Tomasz", "Uma", "Viktor", "Wanda", "Zoë",
];
const LAST: [&str; 20] = [
    "Adler", "Berg", "Castro", "Duarte", "Eriksen", "Fischer", "Garcia", "Haddad", "Ito", "Jansen", "Kaya", "Lopez",
    "Moreau", "Novak", "Okafor", "Patel", "Rossi", "Silva", "Tanaka", "Wilk",
];

/// The id of the n-th of them. As ids are, in no order.
pub fn id(n: u64) -> ClerkId {
    format!("user_{:027}", mixed(n)).parse().unwrap()
}

fn name(n: u64) -> (&'static str, &'static str) {
    let dice = mixed(n + 1_000_000_007);
    (pick(&FIRST, dice), pick(&LAST, dice >> 8))
}

/// The address of the n-th.
pub fn address(n: u64) -> String {
    format!("{}.{n}@example.org", name(n).1.to_lowercase())
}

/// One of sixty thousand places on the network.
pub fn ip(n: u64) -> String {
    let n = mixed(n);
    format!("198.51.{}.{}", n % 240, (n >> 8) % 250)
}

/// The n-th as Clerk has them, of that id, changed at `at`.
pub fn user(id: &ClerkId, n: u64, at: i64, metadata: &Value) -> Value {
    let (first, last) = name(n);
    json!({
        "object": "user", "id": id.as_str(), "first_name": first, "last_name": last,
        "username": format!("{}{n}", first.to_lowercase()), "image_url": "https://img.example.com/people/1.png",
        "primary_email_address_id": "idn_1",
        "email_addresses": [{
            "id": "idn_1", "object": "email_address", "email_address": address(n),
            "verification": { "status": "verified", "strategy": "email_code", "attempts": null, "expire_at": null },
        }],
        "phone_numbers": [], "external_accounts": [], "public_metadata": metadata, "private_metadata": {},
        "unsafe_metadata": {}, "banned": false, "locked": false, "two_factor_enabled": false, "password_enabled": true,
        "created_at": T, "updated_at": at, "last_sign_in_at": at,
    })
}

pub fn object(value: &Value) -> Object {
    Object::new(value.as_object().unwrap().clone())
}

/// What happened to somebody, by way of a browser.
pub fn event(kind: &str, at: i64, n: u64, subject: &ClerkId, change: Change) -> Event {
    let user_agent = Some("Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0".to_owned());
    Event {
        kind: kind.to_owned(),
        instance: None,
        timestamp: Some(Timestamp::from_millis(at)),
        at: Timestamp::from_millis(at),
        client: Client { ip: Some(ip(n)), user_agent },
        impersonator: None,
        subject: Some(subject.clone()),
        change,
        more: serde_json::Map::new(),
    }
}

/// The n-th signs up, under that id and with that metadata.
pub fn created(id: &ClerkId, n: u64, metadata: &Value) -> Delivery {
    let at = T + i64::try_from(n).unwrap();
    let clerk = object(&user(id, n, at, metadata));
    let change = Change::UserSaved { id: id.clone(), updated_at: Timestamp::from_millis(at), clerk };
    Delivery { id: format!("msg_{n}_{id}").parse().unwrap(), content: Ok(event("user.created", at, n, id, change)) }
}
