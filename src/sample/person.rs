//! Events about one person: the user, sessions, messages to them, their place on the waitlist.

use serde_json::{Map, Value, json};

use super::Scene;
use crate::clock::Timestamp;

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

pub(super) fn saved_or_deleted(verb: &str, scene: &Scene, at: Timestamp) -> Value {
    if verb != "deleted" {
        return user(scene, at, verb == "created");
    }
    let mut deleted = json!({ "object": "user", "id": scene.user_id(), "deleted": true });
    if let Some(id) = scene.who().external_id {
        deleted["external_id"] = id.into();
    }
    deleted
}

/// The user at `at`; `fresh` right after sign-up, before the first visit.
pub(super) fn user(scene: &Scene, at: Timestamp, fresh: bool) -> Value {
    let mut user = profile(scene);
    user.append(&mut standing(scene, at, fresh));
    Value::Object(user)
}

/// What a user says of themselves, and how they can be reached.
fn profile(scene: &Scene) -> Map<String, Value> {
    let who = scene.who();
    let phone = who.phone.map(|number| phone_number(scene, number));
    object(json!({
        "object": "user", "id": scene.user_id(), "external_id": who.external_id,
        "username": scene.username(), "first_name": who.first, "last_name": who.last, "locale": "en-GB",
        "image_url": image_url(scene), "profile_image_url": image_url(scene), "has_image": who.google,
        "primary_email_address_id": scene.persons("idn", "email"),
        "primary_phone_number_id": phone.as_ref().map(|phone| phone["id"].clone()),
        "primary_web3_wallet_id": null,
        "email_addresses": [email_address(scene)],
        "phone_numbers": phone.into_iter().collect::<Vec<_>>(),
        "web3_wallets": [], "passkeys": [], "saml_accounts": [], "enterprise_accounts": [],
        "external_accounts": if who.google { vec![google_account(scene)] } else { vec![] },
        "public_metadata": { "sample": true },
        "private_metadata": { "ledger": format!("L-{:04}", 4000 + scene.person.number) },
    }))
}

/// How the account stands: what it may do, and since when.
fn standing(scene: &Scene, at: Timestamp, fresh: bool) -> Map<String, Value> {
    let (google, joined) = (scene.who().google, scene.person.since.as_millis());
    let visited = if fresh { None } else { Some(scene.visit.since.as_millis()) };
    let second_factor = scene.who().phone.is_some() && !fresh;
    let theme = if scene.visit.number.is_multiple_of(2) { "light" } else { "dark" };
    object(json!({
        "unsafe_metadata": if fresh { json!({}) } else { json!({ "theme": theme }) },
        "password_enabled": !google, "password_last_updated_at": if google { None } else { Some(joined) },
        "two_factor_enabled": second_factor, "totp_enabled": false, "backup_code_enabled": second_factor,
        "mfa_enabled_at": visited.filter(|_| second_factor), "mfa_disabled_at": null,
        "banned": false, "locked": false, "lockout_expires_in_seconds": null,
        "verification_attempts_remaining": 100, "bypass_client_trust": false,
        "delete_self_enabled": true, "create_organization_enabled": true, "create_organizations_limit": null,
        "last_sign_in_at": visited, "last_active_at": visited.unwrap_or(joined),
        "legal_accepted_at": joined, "created_at": joined, "updated_at": at.as_millis(),
    }))
}

fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value { map } else { Map::new() }
}

fn email_address(scene: &Scene) -> Value {
    let joined = scene.person.since.as_millis();
    let (verification, linked_to) = if scene.who().google {
        (
            json!({
                "object": "verification_from_oauth", "status": "verified", "strategy": "from_oauth_google",
                "attempts": null, "expire_at": null,
            }),
            json!([{ "type": "oauth_google", "id": scene.persons("idn", "google") }]),
        )
    } else {
        (otp_verification("email_code", joined), json!([]))
    };
    json!({
        "object": "email_address", "id": scene.persons("idn", "email"), "email_address": scene.email(),
        "reserved": false, "verification": verification, "linked_to": linked_to,
        "matches_sso_connection": false, "created_at": joined, "updated_at": joined,
    })
}

fn phone_number(scene: &Scene, number: &str) -> Value {
    let joined = scene.person.since.as_millis();
    let codes: Vec<_> = ["a", "b", "c"].map(|n| scene.code(&format!("backup/{n}"))).into();
    json!({
        "object": "phone_number", "id": scene.persons("idn", "phone"), "phone_number": number,
        "reserved": false, "reserved_for_second_factor": true, "default_second_factor": true,
        "backup_codes": codes, "verification": otp_verification("phone_code", joined), "linked_to": [],
        "created_at": joined, "updated_at": joined,
    })
}

fn otp_verification(strategy: &str, at: i64) -> Value {
    json!({
        "object": "verification_otp", "status": "verified", "strategy": strategy,
        "attempts": 1, "expire_at": at + 10 * MINUTE,
    })
}

fn google_account(scene: &Scene) -> Value {
    let (who, joined) = (scene.who(), scene.person.since.as_millis());
    let number = u128::from_be_bytes(scene.noise(&format!("person/{}/google", scene.person.number)));
    json!({
        "object": "external_account", "id": scene.persons("eac", "google"), "provider": "oauth_google",
        "identification_id": scene.persons("idn", "google"),
        "provider_user_id": format!("1{:020}", number % 100_000_000_000_000_000_000),
        "approved_scopes": "email openid profile", "email_address": scene.email(), "email_address_verified": true,
        "first_name": who.first, "last_name": who.last, "username": null, "phone_number": null,
        "avatar_url": image_url(scene), "image_url": image_url(scene), "label": null, "public_metadata": {},
        "created_at": joined, "updated_at": joined,
        "verification": {
            "object": "verification_oauth", "status": "verified", "strategy": "oauth_google",
            "attempts": null, "expire_at": joined + 10 * MINUTE,
        },
    })
}

/// Where the person's picture is.
pub(super) fn image_url(scene: &Scene) -> String {
    format!("https://img.example.com/people/{}.png", scene.user_id())
}

pub(super) fn session(verb: &str, scene: &Scene, at: Timestamp) -> Value {
    let (who, began) = (scene.who(), scene.visit.since);
    let status = if verb == "created" { "active" } else { verb };
    let mut session = json!({
        "object": "session", "id": scene.session_id(), "client_id": scene.visits("client", "client"),
        "user_id": scene.user_id(), "status": status, "actor": null,
        "last_active_organization_id": null, "last_active_at": at.as_millis(),
        "latest_activity": {
            "object": "session_activity", "id": scene.visits("sess_activity", "activity"),
            "device_type": device(who.user_agent), "is_mobile": who.user_agent.contains("Mobile"),
            "browser_name": browser(who.user_agent).0, "browser_version": browser(who.user_agent).1,
            "ip_address": who.ip, "city": who.city, "country": who.country,
        },
        "expire_at": began.plus_millis(7 * DAY).as_millis(),
        "abandon_at": began.plus_millis(30 * DAY).as_millis(),
        "created_at": began.as_millis(), "updated_at": at.as_millis(),
        "user": user(scene, at, false),
    });
    if verb == "pending" {
        session["tasks"] = json!([{ "key": "choose-organization" }]);
    }
    session
}

fn device(user_agent: &str) -> &'static str {
    ["iPhone", "Windows"].into_iter().find(|name| user_agent.contains(name)).unwrap_or("Linux")
}

fn browser(user_agent: &str) -> (&'static str, &str) {
    let known = [("Edge", "Edg/"), ("Firefox", "Firefox/"), ("Safari", "Version/")];
    let found = known.into_iter().find_map(|(name, mark)| Some((name, user_agent.split_once(mark)?.1)));
    found.map_or(("Unknown", ""), |(name, rest)| (name, rest.split(' ').next().unwrap_or_default()))
}

pub(super) fn email_message(scene: &Scene) -> Value {
    let (who, code, at) = (scene.who(), scene.code("email"), scene.visit.since);
    json!({
        "object": "email", "id": scene.visits("ema", "email"), "slug": "verification_code",
        "from_email_name": "hello", "reply_to_email_name": null, "to_email_address": scene.email(),
        "email_address_id": scene.persons("idn", "email"), "user_id": scene.user_id(),
        "subject": format!("{code}: your sign-in code for Rollbook samples"),
        "body": format!(
            "<!doctype html><html><body><h1>Signing in?</h1><p>Dear {}, your code is <b>{code}</b>.</p>\
             <p>Nobody from our side will ever ask for it.</p></body></html>",
            who.first
        ),
        "body_plain": format!("Dear {}, your code is {code}.\nNobody from our side will ever ask for it.\n", who.first),
        "status": "queued", "delivered_by_clerk": true,
        "data": {
            "app": {
                "name": "Rollbook samples", "domain_name": "accounts.example.com",
                "url": "https://accounts.example.com", "logo_url": null,
                "logo_image_url": "https://img.example.com/samples/logo.png",
            },
            "otp_code": code, "requested_at": at.to_string(), "requested_by": device(who.user_agent),
            "theme": { "primary_color": "#0f6b5c", "button_text_color": "#ffffff", "show_clerk_branding": false },
            "user": { "public_metadata": { "sample": true }, "public_metadata_fallback": "" },
        },
    })
}

pub(super) fn text_message(scene: &Scene) -> Value {
    let code = scene.code("sms");
    json!({
        "object": "sms_message", "id": scene.visits("sms", "sms"), "slug": "verification_code",
        "from_phone_number": "+15555550100", "to_phone_number": scene.who().phone.unwrap_or("+15555550199"),
        "phone_number_id": scene.who().phone.map(|_| scene.persons("idn", "phone")), "user_id": scene.user_id(),
        "message": format!("{code} signs you in to Rollbook samples. Keep it to yourself."),
        "status": "queued", "delivered_by_clerk": true,
        "data": { "otp_code": code, "app": { "name": "Rollbook samples" } },
        "created_at_ms": scene.visit.since.as_millis(),
    })
}

pub(super) fn waitlist_entry(verb: &str, scene: &Scene, at: Timestamp) -> Value {
    let (joined, now) = (scene.person.since.as_millis(), at.as_millis());
    let invitation = (verb == "updated").then(|| {
        json!({
            "object": "invitation", "id": scene.persons("inv", "invitation"), "email_address": scene.email(),
            "public_metadata": {}, "revoked": false, "status": "pending",
            "url": ticket_url(&scene.code("invitation")), "expires_at": now + 30 * DAY,
            "created_at": now, "updated_at": now,
        })
    });
    json!({
        "object": "waitlist_entry", "id": scene.persons("wle", "waitlist"), "email_address": scene.email(),
        "status": if invitation.is_some() { "invited" } else { "pending" }, "is_locked": false,
        "invitation": invitation, "created_at": joined, "updated_at": now,
    })
}

/// A link that signs in whoever follows it, as in invitations.
pub(super) fn ticket_url(ticket: &str) -> String {
    format!("https://accounts.example.com/sign-up?__clerk_ticket=sample{ticket}")
}
