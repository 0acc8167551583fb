//! What Clerk told us, in our words: a delivery and the event inside it, already checked and cleaned.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::json;
use crate::user::ClerkId;

/// Every event type Clerk documents, each object's in the order in which they happen.
pub const EVENT_TYPES: [&str; 46] = [
    "user.created",
    "user.updated",
    "user.deleted",
    "session.created",
    "session.pending",
    "session.ended",
    "session.removed",
    "session.revoked",
    "organization.created",
    "organization.updated",
    "organization.deleted",
    "organizationDomain.created",
    "organizationDomain.updated",
    "organizationDomain.deleted",
    "organizationMembership.created",
    "organizationMembership.updated",
    "organizationMembership.deleted",
    "organizationInvitation.created",
    "organizationInvitation.accepted",
    "organizationInvitation.revoked",
    "role.created",
    "role.updated",
    "role.deleted",
    "permission.created",
    "permission.updated",
    "permission.deleted",
    "email.created",
    "sms.created",
    "waitlistEntry.created",
    "waitlistEntry.updated",
    "subscription.created",
    "subscription.updated",
    "subscription.active",
    "subscription.pastDue",
    "subscriptionItem.created",
    "subscriptionItem.updated",
    "subscriptionItem.active",
    "subscriptionItem.canceled",
    "subscriptionItem.upcoming",
    "subscriptionItem.ended",
    "subscriptionItem.abandoned",
    "subscriptionItem.incomplete",
    "subscriptionItem.pastDue",
    "subscriptionItem.freeTrialEnding",
    "paymentAttempt.created",
    "paymentAttempt.updated",
];

/// The id of a message, the same on every retry and replay of it (`svix-id`): the only key by which a
/// repeated delivery is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryId(String);

/// Text that cannot be a message id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message id is 1 to 128 characters out of A-Z, a-z, 0-9, '_' and '-'")]
pub struct BadDeliveryId;

impl DeliveryId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DeliveryId {
    type Err = BadDeliveryId;

    /// Dots are refused: the signed text is `id.timestamp.body`, and an id with a dot could be cut in two ways.
    fn from_str(s: &str) -> Result<Self, BadDeliveryId> {
        let fits =
            (1..=128).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if fits { Ok(Self(s.to_owned())) } else { Err(BadDeliveryId) }
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which of two states of one object is the newer: Clerk's `updated_at` first, then the event's own
/// time, then the message id, so that any two deliveries have an order and every copy of Rollbook finds the same one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    /// `data.updated_at`; zero when absent.
    pub updated_at: Timestamp,
    /// The envelope's `timestamp`.
    pub event_at: Timestamp,
    /// The message id; empty for what came from no message.
    pub delivery: String,
}

impl Version {
    /// Older than anything Clerk sends: a record made from a token gives way to the first event.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            updated_at: Timestamp::from_millis(i64::MIN),
            event_at: Timestamp::from_millis(i64::MIN),
            delivery: String::new(),
        }
    }
}

/// One verified message.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The message's id.
    pub id: DeliveryId,
    /// What it says, or why that could not be made out.
    pub content: Result<Event, Unusable>,
}

impl Delivery {
    /// The event's type, when it could be read.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        match &self.content {
            Ok(event) => Some(&event.kind),
            Err(unusable) => unusable.kind.as_deref(),
        }
    }
}

/// One event.
#[derive(Debug, Clone)]
pub struct Event {
    /// Clerk's name for it, `user.created` and so on; unknown names are events too.
    pub kind: String,
    /// The Clerk instance it comes from, when it says so.
    pub instance: Option<String>,
    /// The envelope's `timestamp`. `None` orders before every other: the time of signing, which stands in for it
    /// elsewhere, is another one at each attempt.
    pub timestamp: Option<Timestamp>,
    /// When it happened (the envelope's `timestamp`, else the time it was signed).
    pub at: Timestamp,
    /// Who caused it, as far as Clerk knows.
    pub client: Client,
    /// Whose session impersonates the user, in events about an impersonated session.
    pub impersonator: Option<ClerkId>,
    /// The person it is about, if one is named.
    pub subject: Option<ClerkId>,
    /// What it changes.
    pub change: Change,
    /// What else its envelope says, in members we do not know, less secrets.
    pub more: serde_json::Map<String, serde_json::Value>,
}

impl Event {
    /// The event's name as the log's action: the type itself where it has the form of one, else
    /// `event.unknown`, for a stranger's text has no place in a leaf.
    #[must_use]
    pub fn action(&self) -> &str {
        let plain = |kind: &str| kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.');
        if (1..=64).contains(&self.kind.len()) && plain(&self.kind) { &self.kind } else { "event.unknown" }
    }

    /// The event as Clerk would send it, less secrets. Read again, it is of the same version.
    #[must_use]
    pub fn to_json(&self) -> String {
        let data = match &self.change {
            Change::UserSaved { clerk: data, .. }
            | Change::ObjectSaved { body: data, .. }
            | Change::UserDeleted { note: data, .. }
            | Change::ObjectDeleted { note: data, .. }
            | Change::Recorded { note: data } => data,
        };
        let mut envelope = self.more.clone();
        let known = serde_json::json!({
            "data": data.raw(),
            "event_attributes": { "http_request": { "client_ip": self.client.ip, "user_agent": self.client.user_agent } },
            "instance_id": self.instance,
            "object": "event",
            "timestamp": self.timestamp.map(Timestamp::as_seconds_or_millis),
            "type": self.kind,
        });
        envelope.extend(known.as_object().cloned().unwrap_or_default());
        serde_json::Value::Object(envelope).to_string()
    }
}

/// The request that caused an event (`event_attributes.http_request`). Personal data: it goes into the
/// erasable detail only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Client {
    /// The address, as Clerk wrote it.
    pub ip: Option<String>,
    /// The user agent, as Clerk wrote it; often a server-side SDK.
    pub user_agent: Option<String>,
}

/// What an event changes.
#[derive(Debug, Clone)]
pub enum Change {
    /// A user was created or changed.
    UserSaved {
        /// The user.
        id: ClerkId,
        /// `data.updated_at`, zero when absent.
        updated_at: Timestamp,
        /// The user object, less secrets.
        clerk: json::Object,
    },
    /// A user was deleted.
    UserDeleted {
        /// The user.
        id: ClerkId,
        /// What Clerk says of the deletion.
        note: json::Object,
    },
    /// Any other object was created or changed.
    ObjectSaved {
        /// Which object.
        key: ObjectKey,
        /// `data.updated_at`, zero when absent.
        updated_at: Timestamp,
        /// The objects it is listed by.
        parents: Vec<ObjectKey>,
        /// When it began, for a session that was just created: that is a sign-in.
        signed_in_at: Option<Timestamp>,
        /// The object, less secrets.
        body: json::Object,
    },
    /// Any other object was deleted.
    ObjectDeleted {
        /// Which object.
        key: ObjectKey,
        /// What Clerk says of the deletion: for some kinds the whole object.
        note: json::Object,
    },
    /// Nothing to mirror: messages sent, and types Rollbook does not know.
    Recorded {
        /// What of it may be kept.
        note: json::Object,
    },
}

/// The name of a mirrored object: what kind it is and Clerk's id for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectKey {
    /// The part of the event type before the dot: `session`, `organization`, `organizationMembership`, ….
    pub kind: String,
    /// Clerk's id.
    pub id: ClerkId,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.id)
    }
}

/// A mirrored object as the store keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mirrored {
    /// Which version it is.
    pub version: Version,
    /// When it was deleted; then `body` is `None` and nothing is listed by its parents.
    pub deleted_at: Option<Timestamp>,
    /// The objects it is listed by.
    pub parents: Vec<ObjectKey>,
    /// The object as received, less secrets.
    pub body: Option<json::Object>,
}

/// A verified message that cannot be applied. It is kept, so that nothing verified is lost.
#[derive(Debug, Clone)]
pub struct Unusable {
    /// Why.
    pub reason: Reason,
    /// The event's type, when it could be read.
    pub kind: Option<String>,
    /// The body, cleaned as far as it could be.
    pub body: String,
}

/// Why a delivery is in quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The body is not JSON, names a key twice, nests too deep or holds an impossible number or character.
    Unparsable,
    /// The body is JSON but not an event: no `type`, or `data` is not an object.
    NotAnEvent,
    /// The object the event is about has no usable id.
    MissingId,
    /// The type is unknown and the body too long to be noted in the log.
    TooLong,
    /// The event comes from another Clerk instance than the one Rollbook is pinned to.
    OtherInstance,
}

impl Reason {
    /// The reason as one word of the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unparsable => "unparsable",
            Self::NotAnEvent => "not_an_event",
            Self::MissingId => "missing_id",
            Self::TooLong => "too_long",
            Self::OtherInstance => "other_instance",
        }
    }
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The state changed.
    Applied,
    /// A newer version with the same content.
    Unchanged,
    /// Older than what is known, or about something already deleted.
    Stale,
    /// Seen before; nothing was done.
    Duplicate,
    /// Noted in the log; there is nothing to mirror.
    Recorded,
    /// Kept aside, with a reason.
    Quarantined,
}

impl Outcome {
    /// The outcome as one word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Stale => "stale",
            Self::Duplicate => "duplicate",
            Self::Recorded => "recorded",
            Self::Quarantined => "quarantined",
        }
    }
}
