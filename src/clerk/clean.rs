//! What may not be kept: one-time codes, magic links, tickets, messages. It is taken out before anything is
//! stored, logged or compared, by the names of the members that hold it, wherever they stand but in metadata,
//! which is the application's own.

mod text;

use serde_json::{Map, Value};

pub use self::text::scrub_text;

/// Removes every secret from the `data` of an event of type `kind`. Of a message (`email.created`,
/// `sms.created`) only its [`note`] is left.
pub fn clean(kind: &str, data: &mut Map<String, Value>) {
    if is_message(kind, data) {
        *data = outline(data);
    } else {
        strip(data, names_invitation(kind));
    }
}

/// What may be kept of an event that changes nothing: of a message, that it was sent and how, but no content and no
/// address; of a type Rollbook does not know, everything but secrets.
pub fn note(kind: &str, data: &Map<String, Value>) -> Map<String, Value> {
    let mut note = data.clone();
    clean(kind, &mut note);
    note
}

fn is_message(kind: &str, data: &Map<String, Value>) -> bool {
    kind.starts_with("email.") || kind.starts_with("sms.") || is_message_object(data)
}

fn is_message_object(data: &Map<String, Value>) -> bool {
    matches!(data.get("object").and_then(Value::as_str), Some("email" | "sms_message"))
}

/// A message without its content. What should be a plain word and is not is left out: nothing can hide in it.
fn outline(message: &Map<String, Value>) -> Map<String, Value> {
    let is_word = |s: &str| {
        s.len() <= 64 && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:".contains(&b)) && !s.is_empty()
    };
    let mut outline = Map::new();
    for (name, value) in message {
        let keep = match name.as_str() {
            "object" | "id" | "slug" | "status" => value.as_str().is_some_and(is_word),
            "delivered_by_clerk" => value.is_boolean(),
            "created_at" | "created_at_ms" | "updated_at" => value.as_i64().is_some_and(|at| at > 999_999_999),
            _ => false,
        };
        if keep {
            outline.insert(name.clone(), value.clone());
        }
    }
    // An outline is read again when its event is tried again, and then says the same.
    let has_user = message.get("user_id").is_some_and(Value::is_string)
        || message.get("has_user").is_some_and(|had| had == &Value::Bool(true));
    outline.insert("has_user".to_owned(), has_user.into());
    outline
}

/// `invitation`: whether a `url` here is the link that accepts an invitation.
fn strip(object: &mut Map<String, Value>, invitation: bool) {
    let invitation = invitation || object.get("object").and_then(Value::as_str).is_some_and(gives_links);
    object.retain(|name, value| {
        let name = fold(name);
        let is_flag = value.is_boolean();
        is_flag || !(is_secret(&name) || (invitation && name == "url") || is_ticket(value))
    });
    for (name, value) in object {
        // What an application keeps as metadata is its own, whatever it calls it.
        if matches!(name.as_str(), "public_metadata" | "private_metadata" | "unsafe_metadata") {
            continue;
        }
        let invitation = invitation || names_invitation(name);
        if let (Value::Object(verification), "verification") = (&mut *value, name.as_str()) {
            // The text a wallet or passkey has to sign. (Errors have a `message` too; that is one level down.)
            verification.remove("message");
        }
        strip_value(value, invitation);
    }
}

fn strip_value(value: &mut Value, invitation: bool) {
    match value {
        Value::Object(object) if is_message_object(object) => *object = outline(object),
        Value::Object(object) => strip(object, invitation),
        Value::Array(items) => {
            items.retain(|item| !is_ticket(item));
            for item in items {
                strip_value(item, invitation);
            }
        }
        _ => {}
    }
}

fn names_invitation(name: &str) -> bool {
    name.starts_with("waitlistEntry.") || fold(name).contains("invitation")
}

/// Kinds of objects whose `url` lets in whoever follows it.
fn gives_links(object: &str) -> bool {
    ["invitation", "token", "ticket", "link"].iter().any(|word| object.contains(word))
}

fn is_ticket(value: &Value) -> bool {
    const MARKS: [&str; 5] = ["clerk_ticket=", "?ticket=", "&ticket=", "?token=", "&token="];
    value.as_str().is_some_and(|text| MARKS.iter().any(|mark| text.contains(mark)))
}

/// Whether a member of that name, folded, holds a secret.
fn is_secret(name: &str) -> bool {
    const WHOLE: [&str; 7] = ["otp", "nonce", "pin", "ticket", "clerkticket", "signinurl", "totpuri"];
    const ENDINGS: [&str; 20] = [
        "jwt",
        "passcode",
        "otpcode",
        "verificationcode",
        "backupcode",
        "backupcodes",
        "recoverycode",
        "recoverycodes",
        "magiclink",
        "magiclinkurl",
        // Where a sign-in with another provider goes on; its query carries the state of it.
        "verificationredirecturl",
        "token",
        "secret",
        "password",
        "passwordhash",
        "passworddigest",
        "passwordhasher",
        "apikey",
        "secretkey",
        "privatekey",
    ];
    WHOLE.contains(&name) || ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// A name as one word in lower case: `otp_code`, `otpCode` and `OTP-Code` are the same.
fn fold(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::clock::Timestamp;
    use crate::sample::{EVENT_TYPES, PEOPLE, Scene, event};

    fn cleaned(kind: &str, data: Value) -> Value {
        let mut data: Map<String, Value> = serde_json::from_value(data).unwrap();
        clean(kind, &mut data);
        Value::Object(data)
    }

    #[test]
    fn secrets_go_from_any_depth_and_the_rest_stays() {
        let data = json!({
            "id": "user_1", "password_enabled": true, "backup_code_enabled": true, "password_hasher": "bcrypt",
            "password_digest": "CANARY", "totpSecret": "CANARY", "image_url": "https://img.example.com/a.png",
            "phone_numbers": [{ "phone_number": "+15555550142", "backup_codes": ["CANARY", "CANARY"] }],
            "a": [[{ "b": { "OTP-Code": 123_456, "oauth_access_token": { "x": "CANARY" } } }]],
            "external_accounts": [{ "verification": {
                "status": "unverified", "external_verification_redirect_url": "https://example.com/?state=CANARY",
                "error": { "code": "taken", "message": "That is taken." },
            } }],
            "web3_wallets": [{ "verification": { "nonce": "CANARY", "message": "CANARY", "strategy": "web3" } }],
            "links": ["https://example.org/?__clerk_ticket=CANARY", "https://example.org/"],
            "private_metadata": { "stripe_token": "theirs", "message": "hello", "url": "https://example.org" },
        });
        let expected = json!({
            "id": "user_1", "password_enabled": true, "backup_code_enabled": true,
            "image_url": "https://img.example.com/a.png",
            "phone_numbers": [{ "phone_number": "+15555550142" }],
            "a": [[{ "b": {} }]],
            "external_accounts": [{ "verification": {
                "status": "unverified", "error": { "code": "taken", "message": "That is taken." },
            } }],
            "web3_wallets": [{ "verification": { "strategy": "web3" } }],
            "links": ["https://example.org/"],
            // The application's own, whatever it is called.
            "private_metadata": { "stripe_token": "theirs", "message": "hello", "url": "https://example.org" },
        });
        assert_eq!(cleaned("user.updated", data.clone()), expected);
        let session = cleaned("session.created", json!({ "id": "sess_1", "user": data }));
        assert_eq!(session, json!({ "id": "sess_1", "user": expected }));
    }

    #[test]
    fn links_that_accept_an_invitation_go_and_pictures_stay() {
        let invitation = json!({
            "id": "orginv_1", "url": "https://example.com/in?ticket=CANARY", "public_metadata": { "url": "https://a" },
            "data": { "public_organization_data": { "image_url": "https://img.example.com/o.png" } },
        });
        let kept = cleaned("organizationInvitation.accepted", invitation.clone());
        assert_eq!(kept["public_metadata"]["url"], "https://a");
        assert_eq!(kept["data"]["public_organization_data"]["image_url"], "https://img.example.com/o.png");
        assert!(kept.get("url").is_none());

        for data in [
            json!({ "id": "wle_1", "invitation": { "id": "inv_1", "url": "CANARY" } }),
            json!({ "id": "x", "nested": [{ "object": "sign_in_token", "url": "CANARY", "token": "CANARY" }] }),
            json!({ "id": "x", "object": "actor_token", "url": "CANARY" }),
        ] {
            assert!(!cleaned("waitlistEntry.updated", data.clone()).to_string().contains("CANARY"));
            assert!(!cleaned("something.new", data).to_string().contains("CANARY"));
        }
        assert_eq!(cleaned("organization.updated", json!({ "url": "https://a" })), json!({ "url": "https://a" }));
    }

    #[test]
    fn of_a_message_only_the_outline_is_left() {
        let email = json!({
            "object": "email", "id": "ema_1", "slug": "verification_code", "status": "queued",
            "delivered_by_clerk": true, "user_id": "user_1", "to_email_address": "a@example.org",
            "subject": "CANARY", "body": "CANARY", "body_plain": "CANARY", "data": { "otp_code": "CANARY" },
        });
        let expected = json!({
            "object": "email", "id": "ema_1", "slug": "verification_code", "status": "queued",
            "delivered_by_clerk": true, "has_user": true,
        });
        assert_eq!(cleaned("email.created", email.clone()), expected);
        assert_eq!(cleaned("mail.sent", email.clone()), expected);
        assert_eq!(cleaned("email.created", expected.clone()), expected);
        assert_eq!(cleaned("mail.sent", json!({ "mails": [email] })), json!({ "mails": [expected] }));
        let odd = json!({ "slug": "your code is 1", "status": ["CANARY"], "created_at": 123_456, "user_id": null });
        assert_eq!(cleaned("sms.sent", odd), json!({ "has_user": false }));
    }

    #[test]
    fn no_code_of_any_sample_survives() {
        let at = Timestamp::from_millis(1_767_225_600_000);
        for n in 0..PEOPLE.len() {
            let scene = Scene::new(b"clean", at).person(n, at);
            let is_code = |run: &str| run.len() == 6 && run.bytes().all(|b| b.is_ascii_digit());
            let has_code = |text: &str| text.split(|c: char| !c.is_ascii_alphanumeric()).any(is_code);
            for kind in EVENT_TYPES {
                let data = event(kind, &scene, at).unwrap()["data"].take();
                let id = data["id"].clone();
                let kept = cleaned(kind, data);
                let text = kept.to_string();
                assert_eq!(kept["id"], id, "{kind}");
                assert!(!text.contains("clerk_ticket") && !has_code(&text), "{kind}: {text}");
            }
        }
    }

    #[test]
    fn a_note_keeps_what_is_unknown_but_harmless() {
        let data = json!({ "id": "x_1", "colour": "red", "api_key": "CANARY" });
        let note = note("thing.happened", data.as_object().unwrap());
        assert_eq!(Value::Object(note), json!({ "id": "x_1", "colour": "red" }));
    }
}
