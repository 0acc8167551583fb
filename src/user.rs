//! A user: what Rollbook keeps of a person. The mirrored Clerk object is the truth, [`Profile`] a view
//! of it that can be read again at any time; role, practice, subscription and usage are the operator's.

mod handle;
mod subscription;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::event::Version;
use crate::json::Object;

pub use self::handle::{BadHandleKind, Handle, HandleChanges, HandleKind, handles, handles_within};
pub use self::subscription::{Assignment, BILLING, Subscription};

/// Clerk's id of a user, `user_…`. Never empty, at most 128 bytes of printable ASCII.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClerkId(String);

/// Text that cannot be an id of Clerk's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is 1 to 128 characters of printable ASCII")]
pub struct BadId;

impl ClerkId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClerkId {
    type Err = BadId;

    fn from_str(s: &str) -> Result<Self, BadId> {
        Self::try_from(s.to_owned())
    }
}

impl TryFrom<String> for ClerkId {
    type Error = BadId;

    fn try_from(s: String) -> Result<Self, BadId> {
        if (1..=128).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_graphic()) { Ok(Self(s)) } else { Err(BadId) }
    }
}

impl From<ClerkId> for String {
    fn from(id: ClerkId) -> Self {
        id.0
    }
}

impl fmt::Display for ClerkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Our id of a user: a UUID version 7 (RFC 9562) that depends on the Clerk id alone, so that whatever
/// arrives first (the event, a token, a late retry), the same person gets the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(Uuid);

impl UserId {
    /// The id of the user whom Clerk calls `id`. Its time is the second that Clerk's id itself carries
    /// (a KSUID: 27 base62 digits whose first 32 bits count seconds from 1.4e9), zero for ids of another
    /// form; its random bits are taken from the id's SHA-256.
    #[must_use]
    pub fn of(id: &ClerkId) -> Self {
        let seconds = ksuid_seconds(id.as_str().rsplit('_').next().unwrap_or_default()).unwrap_or(0);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, id.as_str().as_bytes());
        let mut random = [0; 10];
        random.copy_from_slice(&digest.as_ref()[..10]);
        Self(uuid::Builder::from_unix_timestamp_millis(seconds * 1000, &random).into_uuid())
    }

    /// The id as a number, whose order is the order of the ids.
    #[must_use]
    pub const fn as_u128(self) -> u128 {
        self.0.as_u128()
    }

    /// The id with that number.
    #[must_use]
    pub const fn from_u128(n: u128) -> Self {
        Self(Uuid::from_u128(n))
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for UserId {
    type Err = uuid::Error;

    fn from_str(s: &str) -> Result<Self, uuid::Error> {
        s.parse().map(Self)
    }
}

/// The time inside a KSUID, in seconds since 1970. See <https://github.com/segmentio/ksuid>.
fn ksuid_seconds(text: &str) -> Option<u64> {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    const EPOCH: u64 = 1_400_000_000;
    if text.len() != 27 {
        return None;
    }
    // 160 bits in base 62, most significant digit first, kept as five 32-bit words.
    let mut words = [0_u32; 5];
    for byte in text.bytes() {
        let mut carry = DIGITS.iter().position(|d| *d == byte)? as u64;
        for word in words.iter_mut().rev() {
            carry += u64::from(*word) * 62;
            *word = u32::try_from(carry & 0xffff_ffff).unwrap_or_default();
            carry >>= 32;
        }
        if carry != 0 {
            return None;
        }
    }
    Some(EPOCH + u64::from(words[0]))
}

/// How an API path names a user: by our id or by Clerk's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum UserRef {
    /// Our id.
    Id(UserId),
    /// Clerk's id.
    Clerk(ClerkId),
}

impl UserRef {
    /// Our id of the user meant.
    #[must_use]
    pub fn id(&self) -> UserId {
        match self {
            Self::Id(id) => *id,
            Self::Clerk(id) => UserId::of(id),
        }
    }
}

impl FromStr for UserRef {
    type Err = BadId;

    fn from_str(s: &str) -> Result<Self, BadId> {
        match s.parse() {
            Ok(id) if s.len() == 36 => Ok(Self::Id(id)),
            _ => s.parse().map(Self::Clerk),
        }
    }
}

impl TryFrom<String> for UserRef {
    type Error = BadId;

    fn try_from(text: String) -> Result<Self, BadId> {
        text.parse()
    }
}

impl From<UserRef> for String {
    fn from(user: UserRef) -> Self {
        user.to_string()
    }
}

impl fmt::Display for UserRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Clerk(id) => id.fmt(f),
        }
    }
}

/// Text that cannot be a role, a practice id or another name of that kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("1 to 64 characters out of A-Z, a-z, 0-9, '_', '-', '.' and ':'")]
pub struct BadName;

/// Names in the operator's own words: short, and safe to stand anywhere.
macro_rules! names {
    ($($(#[$doc:meta])+ $name:ident)+) => {
        $($(#[$doc])+
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;

            fn try_from(s: String) -> Result<Self, BadName> {
                if is_name(&s) { Ok(Self(s)) } else { Err(BadName) }
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(s: &str) -> Result<Self, BadName> {
                Self::try_from(s.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        })+
    };
}

names! {
    /// What a person may do: `USER` unless an admin says otherwise; `ADMIN` may read and change everybody.
    Role
    /// The practice (or site, or department) a user belongs to.
    PracticeId
    /// A plan, as an operator names it.
    Plan
    /// The state of a subscription, as an operator names it; Clerk's are `active`, `past_due`, `canceled` and `ended`.
    Standing
    /// What is counted of a user.
    Counter
}

impl Role {
    /// Whether this is `ADMIN`.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        self.0 == "ADMIN"
    }
}

impl Default for Role {
    fn default() -> Self {
        Self("USER".to_owned())
    }
}

fn is_name(s: &str) -> bool {
    (1..=64).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:".contains(&b))
}

/// Where a record came from first or was last brought up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A webhook.
    Webhook,
    /// A walk over Clerk's user list.
    Sync,
    /// The claims of a valid session token, before any event came.
    Token,
}

/// A person on the roll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Our id.
    pub id: UserId,
    /// Clerk's id. Kept after a soft delete too, though no longer shown as `clerk_user_id`: late events are known by it.
    pub clerk_id: ClerkId,
    /// The role an admin gave.
    pub role: Role,
    /// The practice an admin assigned.
    pub practice_id: Option<PracticeId>,
    /// The subscription, worked out from what Clerk Billing and the operator say ([`Subscription::of`]).
    pub subscription: Subscription,
    /// What the operator said of the subscription last, if they did.
    pub assigned: Option<Assignment>,
    /// Named counters.
    pub usage: BTreeMap<String, u64>,
    /// Where the mirrored object came from.
    pub source: Source,
    /// Which version of the object is mirrored.
    pub version: Version,
    /// The newest sign-in seen in a session event, if any came.
    pub signed_in_at: Option<Timestamp>,
    /// When Clerk deleted the user.
    pub deleted_at: Option<Timestamp>,
    /// Clerk's object as received, less secrets.
    pub clerk: Object,
}

impl User {
    /// A user as first heard of.
    #[must_use]
    pub fn new(clerk_id: ClerkId, source: Source, version: Version, clerk: Object) -> Self {
        Self {
            id: UserId::of(&clerk_id),
            clerk_id,
            role: Role::default(),
            practice_id: None,
            subscription: Subscription::default(),
            assigned: None,
            usage: BTreeMap::new(),
            source,
            version,
            signed_in_at: None,
            deleted_at: None,
            clerk,
        }
    }

    /// The view of the mirrored object that Rollbook lists, searches and shows.
    #[must_use]
    pub fn profile(&self) -> Profile {
        let mut profile = Profile::of(&self.clerk);
        profile.last_sign_in_at = profile.last_sign_in_at.max(self.signed_in_at);
        profile
    }

    /// Whether tokens are all that has told of this user, and may tell more.
    #[must_use]
    pub fn is_told_by_tokens(&self) -> bool {
        self.source == Source::Token && self.deleted_at.is_none()
    }
}

/// A user's particulars, as read from Clerk's object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "Clerk has that many flags")]
pub struct Profile {
    /// The primary e-mail address: the one that `primary_email_address_id` names, `None` when that names none.
    pub email: Option<String>,
    /// Whether that address is verified.
    pub email_verified: bool,
    /// The primary phone number, E.164, found in the same way.
    pub phone: Option<String>,
    /// The user name.
    pub username: Option<String>,
    /// The first name.
    pub first_name: Option<String>,
    /// The last name.
    pub last_name: Option<String>,
    /// The picture's address.
    pub image_url: Option<String>,
    /// The operator's own id for the person, as told to Clerk.
    pub external_id: Option<String>,
    /// Whether Clerk bars the user.
    pub banned: bool,
    /// Whether Clerk has locked the user out after failed attempts.
    pub locked: bool,
    /// Whether a second factor is on.
    pub two_factor_enabled: bool,
    /// When Clerk created the user.
    pub created_at: Option<Timestamp>,
    /// When Clerk last changed the user.
    pub updated_at: Option<Timestamp>,
    /// The last sign-in.
    pub last_sign_in_at: Option<Timestamp>,
}

impl Profile {
    /// Reads Clerk's user object; what is missing or of another type than documented counts as absent.
    #[must_use]
    pub fn of(clerk: &Object) -> Self {
        let user = clerk.fields();
        let time = |name| user.value(name).map(Timestamp::from_seconds_or_millis);
        let flag = |name| user.value(name).unwrap_or(false);
        let email = Contact::primary(user.value("primary_email_address_id"), user.value("email_addresses"));
        let phone = Contact::primary(user.value("primary_phone_number_id"), user.value("phone_numbers"));
        Self {
            email_verified: email.as_ref().is_some_and(Contact::is_verified),
            email: email.and_then(|e| e.email_address),
            phone: phone.and_then(|p| p.phone_number),
            username: user.text("username"),
            first_name: user.text("first_name"),
            last_name: user.text("last_name"),
            image_url: user.text("image_url"),
            external_id: user.text("external_id"),
            banned: flag("banned"),
            locked: flag("locked"),
            two_factor_enabled: flag("two_factor_enabled"),
            created_at: time("created_at"),
            updated_at: time("updated_at"),
            last_sign_in_at: time("last_sign_in_at"),
        }
    }

    /// First and last name, as far as there are any.
    #[must_use]
    pub fn full_name(&self) -> Option<String> {
        let names: Vec<&str> = [&self.first_name, &self.last_name].into_iter().flatten().map(String::as_str).collect();
        (!names.is_empty()).then(|| names.join(" "))
    }
}

/// An element of `email_addresses` or `phone_numbers`.
#[derive(Deserialize)]
struct Contact {
    id: Option<String>,
    email_address: Option<String>,
    phone_number: Option<String>,
    verification: Option<Verification>,
}

#[derive(Deserialize)]
struct Verification {
    status: Option<String>,
}

impl Contact {
    /// The element with that id. Never simply the first: the list's order is not a promise.
    fn primary(id: Option<String>, list: Option<Vec<Self>>) -> Option<Self> {
        let id = id?;
        list?.into_iter().find(|contact| contact.id.as_ref() == Some(&id))
    }

    fn is_verified(&self) -> bool {
        self.verification.as_ref().and_then(|v| v.status.as_deref()) == Some("verified")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ids_depend_on_the_clerk_id_alone() {
        let id = UserId::of(&"user_0ujtsYcgvSTl8PAuAdqWYSMnLOv".parse().unwrap());
        assert_eq!(id, UserId::of(&"user_0ujtsYcgvSTl8PAuAdqWYSMnLOv".parse().unwrap()));
        // The KSUID project's own example: 2017-10-10 04:00:47 UTC.
        assert_eq!(id.0.get_timestamp().unwrap().to_unix().0, 1_507_608_047);
        assert_eq!(id.0.get_version_num(), 7);
        assert_eq!(UserId::of(&"user_x".parse().unwrap()).0.get_version_num(), 7);
    }

    #[test]
    fn the_primary_address_is_the_one_named() {
        let object = |text| Object::new(serde_json::from_str(text).unwrap());
        let profile = Profile::of(&object(
            r#"{"primary_email_address_id":"b","email_addresses":[{"id":"a","email_address":"a@x.org"},
                {"id":"b","email_address":"b@x.org","verification":{"status":"verified"}}],"banned":"yes"}"#,
        ));
        assert_eq!((profile.email.as_deref(), profile.email_verified, profile.banned), (Some("b@x.org"), true, false));
        let dangling = Profile::of(&object(r#"{"primary_email_address_id":"b","email_addresses":[]}"#));
        assert_eq!(dangling.email, None);
    }
}
