//! Clerk's other objects in our own words: sessions, organizations and their members. What Clerk leaves out, or sends in
//! another type than it documents, is `null`.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::event::{Mirrored, ObjectKey};
use crate::json::{Fields, Object};
use crate::user::{ClerkId, UserId};

/// The kinds that have a form of their own.
pub(super) const SESSION: &str = "session";
pub(super) const ORGANIZATION: &str = "organization";
pub(super) const MEMBERSHIP: &str = "organizationMembership";

/// Who reads a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// Somebody who may know of everybody.
    Admin,
    /// The person whose session it is. Who impersonates them, and from where, is not told.
    Owner,
}

/// A session of a user's.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ClerkSession")]
pub(super) struct SessionJson {
    id: String,
    user_id: Option<String>,
    clerk_user_id: Option<String>,
    client_id: Option<String>,
    /// What Clerk said last; `expired` or `abandoned` once its time is over.
    status: Option<String>,
    created_at: Option<String>,
    updated_at: Option<String>,
    last_active_at: Option<String>,
    expires_at: Option<String>,
    abandon_at: Option<String>,
    impersonated: bool,
    /// Who impersonates the user in it; for admins.
    actor: Option<PersonJson>,
    latest_activity: Option<ActivityJson>,
    last_active_organization_id: Option<String>,
}

/// A person by both ids.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Person")]
pub(super) struct PersonJson {
    /// Ours.
    pub(super) id: String,
    /// Clerk's.
    pub(super) clerk_user_id: String,
}

/// Where a session was last used from.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Activity")]
pub(super) struct ActivityJson {
    pub(super) browser: Option<String>,
    pub(super) device: Option<String>,
    pub(super) ip: Option<String>,
    pub(super) city: Option<String>,
    pub(super) country: Option<String>,
}

/// An organization.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Organization")]
pub(super) struct OrganizationJson {
    id: String,
    name: Option<String>,
    slug: Option<String>,
    image_url: Option<String>,
    /// As Clerk says.
    members_count: Option<u64>,
    max_allowed_memberships: Option<u64>,
    created_by: Option<String>,
    public_metadata: Option<Map<String, Value>>,
    private_metadata: Option<Map<String, Value>>,
    created_at: Option<String>,
    updated_at: Option<String>,
    /// Whether events of its own have come, or a membership alone has spoken of it so far.
    source: Word,
}

/// What is said of an organization, and where.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "OrganizationSource")]
enum Word {
    /// By events of its own.
    Organization,
    /// By a membership alone, so far.
    Membership,
}

/// A membership.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Member")]
pub(super) struct MemberJson {
    id: String,
    organization_id: Option<String>,
    role: Option<String>,
    role_name: Option<String>,
    permissions: Vec<String>,
    public_metadata: Option<Map<String, Value>>,
    private_metadata: Option<Map<String, Value>>,
    user: MemberUserJson,
    created_at: Option<String>,
    updated_at: Option<String>,
}

/// The member, as the membership describes them.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "MemberUser")]
struct MemberUserJson {
    id: Option<String>,
    clerk_user_id: Option<String>,
    identifier: Option<String>,
    username: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    image_url: Option<String>,
}

impl SessionJson {
    /// The session as of `now`: one that Clerk last called active may have run out since, which no event says.
    pub(super) fn new(key: &ObjectKey, body: &Object, reader: Reader, now: Timestamp) -> Self {
        let session = body.fields();
        let user = id(&session, "user_id");
        let actor = id(&session.object("actor"), "sub");
        let impersonated = session.value::<Map<String, Value>>("actor").is_some();
        let (expires_at, abandon_at) = (at(&session, "expire_at"), at(&session, "abandon_at"));
        let activity =
            session.value::<Map<String, Value>>("latest_activity").map(|_| session.object("latest_activity"));
        let shown = reader == Reader::Admin || !impersonated;
        Self {
            id: key.id.to_string(),
            user_id: user.as_ref().map(|id| UserId::of(id).to_string()),
            clerk_user_id: user.map(|id| id.to_string()),
            client_id: session.text("client_id"),
            status: session.text("status").map(|status| as_of(now, status, expires_at, abandon_at)),
            created_at: time(&session, "created_at"),
            updated_at: time(&session, "updated_at"),
            last_active_at: time(&session, "last_active_at"),
            expires_at: expires_at.map(|at| at.to_string()),
            abandon_at: abandon_at.map(|at| at.to_string()),
            impersonated,
            actor: actor.filter(|_| shown).as_ref().map(PersonJson::new),
            latest_activity: activity.filter(|_| shown).as_ref().map(ActivityJson::new),
            last_active_organization_id: session.text("last_active_organization_id"),
        }
    }
}

/// The status that a session Clerk called `status` has by now.
pub(super) fn as_of(
    now: Timestamp,
    status: String,
    expires_at: Option<Timestamp>,
    abandon_at: Option<Timestamp>,
) -> String {
    let is_over = |end: Option<Timestamp>| end.is_some_and(|end| end <= now);
    match status.as_str() {
        "active" | "pending" if is_over(expires_at) => "expired".to_owned(),
        "active" | "pending" if is_over(abandon_at) => "abandoned".to_owned(),
        _ => status,
    }
}

impl PersonJson {
    /// The person Clerk calls so.
    pub(super) fn new(id: &ClerkId) -> Self {
        Self { id: UserId::of(id).to_string(), clerk_user_id: id.to_string() }
    }
}

impl ActivityJson {
    pub(super) fn new(activity: &Fields<'_>) -> Self {
        let browser = [activity.text("browser_name"), activity.text("browser_version")];
        let browser: Vec<String> = browser.into_iter().flatten().collect();
        Self {
            browser: (!browser.is_empty()).then(|| browser.join(" ")),
            device: activity.text("device_type"),
            ip: activity.text("ip_address"),
            city: activity.text("city"),
            country: activity.text("country"),
        }
    }
}

impl OrganizationJson {
    /// The organization as its own events have it.
    pub(super) fn new(key: &ObjectKey, body: &Object) -> Self {
        Self::of(&key.id, &body.fields(), Word::Organization)
    }

    /// The organization as one of its memberships has it.
    pub(super) fn within(key: &ObjectKey, membership: &Object) -> Self {
        Self::of(&key.id, &membership.fields().object("organization"), Word::Membership)
    }

    fn of(id: &ClerkId, organization: &Fields<'_>, source: Word) -> Self {
        Self {
            id: id.to_string(),
            name: organization.text("name"),
            slug: organization.text("slug"),
            image_url: organization.text("image_url"),
            members_count: organization.value("members_count"),
            max_allowed_memberships: organization.value("max_allowed_memberships"),
            created_by: organization.text("created_by"),
            public_metadata: organization.value("public_metadata"),
            private_metadata: organization.value("private_metadata"),
            created_at: time(organization, "created_at"),
            updated_at: time(organization, "updated_at"),
            source,
        }
    }
}

impl MemberJson {
    pub(super) fn new(key: &ObjectKey, body: &Object) -> Self {
        let membership = body.fields();
        let person = membership.object("public_user_data");
        let user = id(&person, "user_id");
        Self {
            id: key.id.to_string(),
            organization_id: membership.object("organization").text("id"),
            role: membership.text("role"),
            role_name: membership.text("role_name"),
            permissions: membership.value("permissions").unwrap_or_default(),
            public_metadata: membership.value("public_metadata"),
            private_metadata: membership.value("private_metadata"),
            user: MemberUserJson {
                id: user.as_ref().map(|id| UserId::of(id).to_string()),
                clerk_user_id: user.map(|id| id.to_string()),
                identifier: person.text("identifier"),
                username: person.text("username"),
                first_name: person.text("first_name"),
                last_name: person.text("last_name"),
                image_url: person.text("image_url"),
            },
            created_at: time(&membership, "created_at"),
            updated_at: time(&membership, "updated_at"),
        }
    }
}

/// The person whom a membership makes a member.
pub(super) fn member(membership: &Mirrored) -> Option<ClerkId> {
    id(&membership.body.as_ref()?.fields().object("public_user_data"), "user_id")
}

/// Any mirrored object as an admin sees it: in our words where there are some, else in Clerk's. `None` once deleted.
pub(super) fn show(key: &ObjectKey, object: &Mirrored, now: Timestamp) -> Option<Value> {
    let body = object.body.as_ref()?;
    let shown = match key.kind.as_str() {
        SESSION => serde_json::to_value(SessionJson::new(key, body, Reader::Admin, now)),
        ORGANIZATION => serde_json::to_value(OrganizationJson::new(key, body)),
        MEMBERSHIP => serde_json::to_value(MemberJson::new(key, body)),
        _ => serde_json::from_str(body.as_str()),
    };
    shown.ok()
}

fn id(fields: &Fields<'_>, name: &str) -> Option<ClerkId> {
    fields.text(name)?.parse().ok()
}

/// The moment that a member tells.
pub(super) fn at(fields: &Fields<'_>, name: &str) -> Option<Timestamp> {
    fields.value(name).map(Timestamp::from_seconds_or_millis)
}

fn time(fields: &Fields<'_>, name: &str) -> Option<String> {
    at(fields, name).map(|at| at.to_string())
}
