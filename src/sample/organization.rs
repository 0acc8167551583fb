//! Events about organisations: themselves, their domains, members, invitations, roles and permissions.

use serde_json::{Value, json};

use super::{Scene, person};
use crate::clock::Timestamp;

const WEEK: i64 = 7 * 24 * 3_600_000;

pub(super) fn saved_or_deleted(verb: &str, scene: &Scene, at: Timestamp) -> Value {
    if verb == "deleted" {
        let (id, slug) = (scene.organization_id(), scene.company().slug);
        return json!({ "object": "organization", "id": id, "slug": slug, "deleted": true });
    }
    organization(scene, at, if verb == "created" { 1 } else { 2 })
}

fn organization(scene: &Scene, at: Timestamp, members: usize) -> Value {
    json!({
        "object": "organization", "id": scene.organization_id(),
        "name": scene.company().name, "slug": scene.company().slug, "image_url": image_url(scene), "has_image": true,
        "members_count": members, "pending_invitations_count": 0, "max_allowed_memberships": 25,
        "missing_member_with_elevated_permissions": false, "admin_delete_enabled": true,
        "public_metadata": { "sample": true }, "private_metadata": {}, "created_by": scene.user_id(),
        "created_at": scene.organization.since.as_millis(), "updated_at": at.as_millis(),
    })
}

fn image_url(scene: &Scene) -> String {
    format!("https://img.example.com/organizations/{}.png", scene.company().slug)
}

fn public_data(scene: &Scene) -> Value {
    json!({
        "id": scene.organization_id(), "name": scene.company().name, "slug": scene.company().slug,
        "image_url": image_url(scene), "has_image": true,
    })
}

pub(super) fn domain(verb: &str, scene: &Scene, at: Timestamp) -> Value {
    let id = scene.organizations("orgdmn", "domain");
    if verb == "deleted" {
        return json!({ "object": "organization_domain", "id": id, "deleted": true });
    }
    let verification = (verb == "updated")
        .then(|| json!({ "status": "verified", "strategy": "email_code", "attempts": 1, "expire_at": null }));
    json!({
        "object": "organization_domain", "id": id, "organization_id": scene.organization_id(),
        "name": scene.company().domain, "enrollment_mode": "automatic_suggestion",
        "affiliation_email_address": format!("office@{}", scene.company().domain),
        "affiliation_verification": verification, "ownership_verification": null, "verification": verification,
        "total_pending_invitations": 0, "total_pending_suggestions": 0, "public_organization_data": public_data(scene),
        "created_at": scene.organization.since.as_millis(), "updated_at": at.as_millis(),
    })
}

/// The role as key, name and permissions: the first of the cast is in charge, and whoever is promoted.
fn rank(chief: bool) -> (&'static str, &'static str, &'static [&'static str]) {
    if chief {
        ("org:admin", "Admin", &["org:sys_memberships:manage", "org:sys_profile:manage", "org:charts:file"])
    } else {
        ("org:member", "Member", &["org:sys_memberships:read", "org:charts:read"])
    }
}

pub(super) fn membership(verb: &str, scene: &Scene, at: Timestamp) -> Value {
    let who = scene.who();
    let (role, role_name, permissions) = rank(scene.person.number == 0 || verb == "updated");
    let id = format!("organization/{}/member/{}", scene.organization.number, scene.person.number);
    let since = scene.organization.since.max(scene.person.since);
    json!({
        "object": "organization_membership", "id": scene.id("orgmem", &id, since),
        "role": role, "role_name": role_name, "permissions": permissions,
        "public_metadata": {}, "private_metadata": {},
        "organization": organization(scene, at, 2),
        "public_user_data": {
            "user_id": scene.user_id(), "first_name": who.first, "last_name": who.last,
            "profile_image_url": person::image_url(scene), "image_url": person::image_url(scene),
            "has_image": who.google, "identifier": scene.email(), "username": scene.username(),
        },
        "created_at": since.as_millis(), "updated_at": at.as_millis(),
    })
}

pub(super) fn invitation(verb: &str, scene: &Scene, at: Timestamp) -> Value {
    let id = format!("organization/{}/invitation/{}", scene.organization.number, scene.person.number);
    let since = scene.organization.since;
    let (role, role_name, _) = rank(false);
    let mut invitation = json!({
        "object": "organization_invitation", "id": scene.id("orginv", &id, since),
        "email_address": scene.email(), "role": role, "role_name": role_name,
        "organization_id": scene.organization_id(), "inviter_id": null,
        "status": if verb == "created" { "pending" } else { verb },
        "public_metadata": {}, "private_metadata": {},
        "url": person::ticket_url(&scene.code("organization invitation")),
        "expires_at": since.plus_millis(4 * WEEK).as_millis(),
        "created_at": since.as_millis(), "updated_at": at.as_millis(),
    });
    if verb == "accepted" {
        invitation["user_id"] = scene.user_id().into();
        invitation["data"] = json!({ "public_organization_data": public_data(scene) });
    }
    invitation
}

pub(super) fn role(verb: &str, scene: &Scene, at: Timestamp) -> Value {
    let id = scene.organizations("role", "role");
    if verb == "deleted" {
        return json!({ "object": "role", "id": id, "slug": "org:records_clerk", "deleted": true });
    }
    let description = if verb == "created" { "Files charts" } else { "Files charts and finds them again" };
    json!({
        "object": "role", "id": id, "name": "Records clerk", "key": "org:records_clerk", "description": description,
        "is_creator_eligible": false, "permissions": [permission("created", scene, at)],
        "created_at": scene.organization.since.as_millis(), "updated_at": at.as_millis(),
    })
}

pub(super) fn permission(verb: &str, scene: &Scene, at: Timestamp) -> Value {
    let id = scene.organizations("perm", "permission");
    if verb == "deleted" {
        return json!({ "object": "permission", "id": id, "deleted": true });
    }
    let name = if verb == "created" { "File charts" } else { "File and move charts" };
    json!({
        "object": "permission", "id": id, "name": name, "key": "org:charts:file", "type": "custom",
        "description": "Put a chart where it belongs",
        "created_at": scene.organization.since.as_millis(), "updated_at": at.as_millis(),
    })
}
