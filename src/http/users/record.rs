//! A user as the API shows them.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::user::{PracticeId, Role, Source, Subscription, User};

/// A user as an admin sees them.
#[must_use]
pub fn record(user: &User) -> Value {
    serde_json::to_value(UserJson::new(user, Reader::Admin, Include::Nothing)).unwrap_or_default()
}

/// Who reads a record that may be their own.
pub(super) const fn own(may_read_all: bool) -> Reader {
    if may_read_all { Reader::Admin } else { Reader::Owner }
}

/// Who reads a record: an admin sees all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    Admin,
    Owner,
}

/// A user on the roll.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "User")]
#[expect(clippy::struct_excessive_bools, reason = "Clerk has that many flags")]
pub(super) struct UserJson<'a> {
    /// Rollbook's id, a UUID.
    id: String,
    /// Clerk's id; null once deleted.
    clerk_user_id: Option<&'a str>,
    /// The primary e-mail address. Two users may have the same.
    email: Option<String>,
    email_verified: bool,
    phone: Option<String>,
    username: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    image_url: Option<String>,
    external_id: Option<String>,
    banned: bool,
    locked: bool,
    two_factor_enabled: bool,
    #[schemars(with = "Value")]
    public_metadata: Option<&'a RawValue>,
    #[serde(flatten)]
    for_admins: Option<ForAdmins<'a>>,
    created_at: Option<String>,
    updated_at: Option<String>,
    last_sign_in_at: Option<String>,
    deleted_at: Option<String>,
    /// `webhook`, `sync` or `token`.
    #[schemars(with = "String")]
    source: Source,
    #[schemars(with = "String")]
    role: &'a Role,
    #[schemars(with = "Option<String>")]
    practice_id: Option<&'a PracticeId>,
    #[schemars(with = "SubscriptionJson")]
    subscription: &'a Subscription,
    /// Named counters.
    usage: &'a BTreeMap<String, u64>,
    /// Clerk's object as received, less secrets; only when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    clerk: Option<Value>,
}

/// What only admins see of a user.
#[derive(Serialize, JsonSchema)]
struct ForAdmins<'a> {
    #[schemars(with = "Value")]
    private_metadata: Option<&'a RawValue>,
    #[schemars(with = "Value")]
    unsafe_metadata: Option<&'a RawValue>,
}

/// What a user has subscribed to.
#[derive(JsonSchema)]
#[schemars(rename = "Subscription")]
#[expect(dead_code, reason = "describes `Subscription`, which is a noun and knows nothing of schemas")]
struct SubscriptionJson {
    /// `free` at first.
    plan: String,
    /// `active` at first.
    status: String,
}

impl<'a> UserJson<'a> {
    pub(super) fn new(user: &'a User, reader: Reader, include: Include) -> Self {
        let profile = user.profile();
        let clerk = user.clerk.fields();
        let for_admins = || ForAdmins {
            private_metadata: clerk.raw("private_metadata"),
            unsafe_metadata: clerk.raw("unsafe_metadata"),
        };
        let time = |at: Option<Timestamp>| at.map(|at| at.to_string());
        Self {
            id: user.id.to_string(),
            clerk_user_id: user.deleted_at.is_none().then(|| user.clerk_id.as_str()),
            email: profile.email,
            email_verified: profile.email_verified,
            phone: profile.phone,
            username: profile.username,
            first_name: profile.first_name,
            last_name: profile.last_name,
            image_url: profile.image_url,
            external_id: profile.external_id,
            banned: profile.banned,
            locked: profile.locked,
            two_factor_enabled: profile.two_factor_enabled,
            public_metadata: clerk.raw("public_metadata"),
            for_admins: (reader == Reader::Admin).then(for_admins),
            created_at: time(profile.created_at),
            updated_at: time(profile.updated_at),
            last_sign_in_at: time(profile.last_sign_in_at),
            deleted_at: time(user.deleted_at),
            source: user.source,
            role: &user.role,
            practice_id: user.practice_id.as_ref(),
            subscription: &user.subscription,
            usage: &user.usage,
            clerk: (include == Include::Clerk).then(|| mirrored(user, reader)),
        }
    }
}

/// Clerk's object; for its owner without what Clerk keeps from the owner's browser too.
fn mirrored(user: &User, reader: Reader) -> Value {
    let mut object: Map<String, Value> = serde_json::from_str(user.clerk.as_str()).unwrap_or_default();
    if reader == Reader::Owner {
        object.remove("private_metadata");
        object.remove("unsafe_metadata");
    }
    Value::Object(object)
}

/// What to add to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Include {
    #[default]
    #[serde(skip)]
    Nothing,
    Clerk,
}

/// The schema of [`Include`].
pub(super) fn include(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "enum": ["clerk"], "description": "Adds Clerk's object as received, less secrets, as `clerk`." })
}
