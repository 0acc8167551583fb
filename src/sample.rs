//! Sample events: one realistic payload for each of Clerk's event types, about a small cast of invented people
//! and organisations. The same scene always gives the same ids, so events of one scene tell one story.
//!
//! Nothing here reads a clock or draws a random number: [`Scene::new`] is given both. Every address,
//! number and name stands in a range reserved for examples (RFC 2606, RFC 5737, NANP 555-01xx).

mod billing;
mod cast;
mod ksuid;
mod organization;
mod person;

use serde_json::{Map, Value, json};

pub use self::cast::{ORGANIZATIONS, Organization, PEOPLE, Person};
use crate::clock::Timestamp;
pub use crate::event::EVENT_TYPES;

/// Whom the events are about, and since when. Scenes of one seed share their cast.
#[derive(Debug, Clone)]
pub struct Scene {
    seed: Vec<u8>,
    instance: Option<String>,
    person: Part,
    organization: Part,
    visit: Part,
}

/// One of several of its kind, and the moment it came into being.
#[derive(Debug, Clone, Copy)]
struct Part {
    number: usize,
    since: Timestamp,
}

impl Scene {
    /// The first person, organisation and visit, all beginning at `at`. Two scenes share their ids if they
    /// share seed and times, so a scene meant to be new needs a random seed.
    #[must_use]
    pub fn new(seed: &[u8], at: Timestamp) -> Self {
        let first = Part { number: 0, since: at };
        Self { seed: seed.to_vec(), instance: None, person: first, organization: first, visit: first }
    }

    /// The same, as events of this Clerk instance. Without one, events name none, and a server that is not
    /// yet pinned to an instance stays so.
    #[must_use]
    pub fn instance(mut self, id: &str) -> Self {
        self.instance = Some(id.to_owned());
        self
    }

    /// The same, about another person, who signed up at `since`. Past the end of [`PEOPLE`] the names
    /// come again, with a number in user name and address.
    #[must_use]
    pub const fn person(mut self, number: usize, since: Timestamp) -> Self {
        self.person = Part { number, since };
        self
    }

    /// The same, in another organisation, founded at `since`.
    #[must_use]
    pub const fn organization(mut self, number: usize, since: Timestamp) -> Self {
        self.organization = Part { number, since };
        self
    }

    /// The same, during another visit of the person, begun at `since`: its own session, messages and payments.
    #[must_use]
    pub const fn visit(mut self, number: usize, since: Timestamp) -> Self {
        self.visit = Part { number, since };
        self
    }

    /// Clerk's id of the person.
    pub fn user_id(&self) -> String {
        self.persons("user", "self")
    }

    /// Clerk's id of the session.
    pub fn session_id(&self) -> String {
        self.visits("sess", "session")
    }

    /// Clerk's id of the organisation.
    pub fn organization_id(&self) -> String {
        self.organizations("org", "self")
    }

    /// A message id for one event, as Svix would give.
    pub fn message_id(&self, kind: &str, at: Timestamp) -> String {
        let label = format!("message/{}/{}/{kind}/{}", self.person.number, self.visit.number, at.as_millis());
        self.id("msg", &label, at)
    }

    /// The person's e-mail address.
    pub fn email(&self) -> String {
        let Person { email, .. } = self.who();
        match (self.person.number / PEOPLE.len(), email.split_once('@')) {
            (lap @ 1.., Some((local, domain))) => format!("{local}.{lap}@{domain}"),
            _ => (*email).to_owned(),
        }
    }

    /// The person as Clerk's Backend API would give it at `at`.
    pub fn user(&self, at: Timestamp) -> Value {
        person::user(self, at, false)
    }

    fn who(&self) -> &'static Person {
        &PEOPLE[self.person.number % PEOPLE.len()]
    }

    fn username(&self) -> Option<String> {
        let name = self.who().username?;
        let lap = self.person.number / PEOPLE.len();
        Some(if lap == 0 { name.to_owned() } else { format!("{name}{lap}") })
    }

    fn company(&self) -> &'static Organization {
        &ORGANIZATIONS[self.organization.number % ORGANIZATIONS.len()]
    }

    fn persons(&self, prefix: &str, what: &str) -> String {
        self.id(prefix, &format!("person/{}/{prefix}/{what}", self.person.number), self.person.since)
    }

    fn visits(&self, prefix: &str, what: &str) -> String {
        let label = format!("person/{}/visit/{}/{prefix}/{what}", self.person.number, self.visit.number);
        self.id(prefix, &label, self.visit.since)
    }

    fn organizations(&self, prefix: &str, what: &str) -> String {
        self.id(prefix, &format!("organization/{}/{prefix}/{what}", self.organization.number), self.organization.since)
    }

    /// An id of Clerk's form: the prefix, and a KSUID of that time.
    fn id(&self, prefix: &str, label: &str, at: Timestamp) -> String {
        id(prefix, at, &self.noise(label))
    }

    /// Sixteen bytes that only the seed and the label decide.
    fn noise(&self, label: &str) -> [u8; 16] {
        let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        digest.update(&self.seed);
        digest.update(&[0]);
        digest.update(label.as_bytes());
        let mut noise = [0; 16];
        noise.copy_from_slice(&digest.finish().as_ref()[..16]);
        noise
    }

    /// A one-time code of six digits for this visit.
    fn code(&self, what: &str) -> String {
        let label = format!("person/{}/visit/{}/code/{what}", self.person.number, self.visit.number);
        format!("{:06}", u128::from_be_bytes(self.noise(&label)) % 1_000_000)
    }
}

/// An id of Clerk's form: the prefix, and a KSUID of that time and noise.
pub fn id(prefix: &str, at: Timestamp, noise: &[u8; 16]) -> String {
    format!("{prefix}_{}", ksuid::encode(at, noise))
}

/// A whole event of type `kind` at `at`, envelope and all; `None` if Clerk has no such type.
pub fn event(kind: &str, scene: &Scene, at: Timestamp) -> Option<Value> {
    if !EVENT_TYPES.contains(&kind) {
        return None;
    }
    let (object, verb) = kind.split_once('.')?;
    let data = match object {
        "user" => person::saved_or_deleted(verb, scene, at),
        "session" => person::session(verb, scene, at),
        "email" => person::email_message(scene),
        "sms" => person::text_message(scene),
        "waitlistEntry" => person::waitlist_entry(verb, scene, at),
        "organization" => organization::saved_or_deleted(verb, scene, at),
        "organizationDomain" => organization::domain(verb, scene, at),
        "organizationMembership" => organization::membership(verb, scene, at),
        "organizationInvitation" => organization::invitation(verb, scene, at),
        "role" => organization::role(verb, scene, at),
        "permission" => organization::permission(verb, scene, at),
        "subscription" => billing::subscription(verb, scene, at),
        "subscriptionItem" => billing::item_event(verb, scene, at),
        "paymentAttempt" => billing::payment_attempt(verb, scene, at),
        _ => return None,
    };
    Some(envelope(kind, scene, at, data))
}

fn envelope(kind: &str, scene: &Scene, at: Timestamp, data: Value) -> Value {
    let who = scene.who();
    let mut event = Map::new();
    event.insert("object".to_owned(), "event".into());
    event.insert("type".to_owned(), kind.into());
    event.insert("timestamp".to_owned(), at.as_millis().into());
    event.insert("data".to_owned(), data);
    event.insert(
        "event_attributes".to_owned(),
        json!({ "http_request": { "client_ip": who.ip, "user_agent": who.user_agent } }),
    );
    if let Some(instance) = &scene.instance {
        event.insert("instance_id".to_owned(), instance.as_str().into());
    }
    Value::Object(event)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use super::*;
    use crate::user::{ClerkId, UserId};

    const AT: Timestamp = Timestamp::from_millis(1_767_225_600_000);

    fn scene() -> Scene {
        Scene::new(b"seed", AT)
    }

    #[test]
    fn every_type_has_an_event_and_no_other_has() {
        assert_eq!(EVENT_TYPES.iter().collect::<BTreeSet<_>>().len(), 46);
        for kind in EVENT_TYPES {
            let event = event(kind, &scene(), AT.plus_millis(5)).unwrap();
            assert_eq!(event["type"], kind);
            assert_eq!(event["object"], "event");
            assert_eq!(event["timestamp"], 1_767_225_600_005_i64);
            assert!(event["data"]["id"].as_str().unwrap().contains('_'), "{kind}");
            assert!(event.get("instance_id").is_none(), "{kind}");
            assert!(!event.to_string().contains("ins_"), "{kind}: nothing may pin an instance");
        }
        for kind in ["user.erased", "user", "", "session.deleted", "email.updated"] {
            assert!(event(kind, &scene(), AT).is_none(), "{kind}");
        }
    }

    #[test]
    fn names_the_instance_when_it_is_known() {
        let event = event("paymentAttempt.created", &scene().instance("ins_x"), AT).unwrap();
        assert_eq!(event["instance_id"], "ins_x");
        assert_eq!(event["data"]["instance_id"], "ins_x");
    }

    #[test]
    fn one_seed_tells_one_story() {
        for kind in EVENT_TYPES {
            assert_eq!(event(kind, &scene(), AT), event(kind, &scene(), AT), "{kind}");
            assert_ne!(event(kind, &scene(), AT), event(kind, &Scene::new(b"other", AT), AT), "{kind}");
        }
        let user = event("user.created", &scene(), AT).unwrap();
        let session = event("session.created", &scene(), AT).unwrap();
        let member = event("organizationMembership.created", &scene(), AT).unwrap();
        assert_eq!(user["data"]["id"], session["data"]["user_id"]);
        assert_eq!(user["data"]["id"], member["data"]["public_user_data"]["user_id"]);
        assert_eq!(member["data"]["organization"]["id"], scene().organization_id());
    }

    #[test]
    fn ids_carry_their_time() {
        let id: ClerkId = scene().user_id().parse().unwrap();
        let hex = UserId::of(&id).to_string().replace('-', "");
        assert_eq!(i64::from_str_radix(&hex[..12], 16).unwrap(), AT.as_millis());
    }

    #[test]
    fn people_past_the_end_of_the_cast_are_people_of_their_own() {
        let everybody: Vec<_> = (0..3 * PEOPLE.len()).map(|n| scene().person(n, AT)).collect();
        for values in [
            everybody.iter().map(Scene::email).collect::<BTreeSet<_>>(),
            everybody.iter().map(Scene::user_id).collect(),
            everybody.iter().map(Scene::session_id).collect(),
        ] {
            assert_eq!(values.len(), everybody.len());
        }
        assert_ne!(scene().visit(1, AT).session_id(), scene().session_id());
        assert_eq!(scene().visit(1, AT).user_id(), scene().user_id());
    }

    #[test]
    fn primary_ids_point_into_the_lists() {
        for n in 0..PEOPLE.len() {
            let user = scene().person(n, AT).user(AT);
            assert_eq!(user["email_addresses"][0]["id"], user["primary_email_address_id"]);
            assert_eq!(user["phone_numbers"][0]["id"], user["primary_phone_number_id"]);
        }
    }

    #[test]
    fn addresses_are_reserved_for_examples() {
        let text: String = (0..PEOPLE.len())
            .flat_map(|n| EVENT_TYPES.map(|kind| event(kind, &scene().person(n, AT), AT).unwrap().to_string()))
            .collect();
        for part in text.split('"').filter(|part| part.contains('@') && !part.contains(' ')) {
            let domain = part.rsplit('@').next().unwrap();
            assert!(domain.ends_with("example.org") || domain.ends_with("example.com"), "{part}");
        }
        for url in text.split("https://").skip(1) {
            let host: String = url.chars().take_while(|c| c.is_ascii_alphanumeric() || ".-".contains(*c)).collect();
            assert!(host.ends_with("example.org") || host.ends_with("example.com"), "{host}");
        }
    }
}
