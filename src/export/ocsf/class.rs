//! Which class an entry is of, and which of the class's activities it is.

use serde_json::Value;

use super::OTHER;
use crate::audit::Entry;

/// The classes used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Something became of somebody's account.
    AccountChange,
    /// Somebody signed in or out.
    Authentication,
    /// Anything else.
    ApiActivity,
}

impl Class {
    /// The class's number, and its category's.
    pub(super) const fn uids(self) -> (u32, u32) {
        match self {
            Self::AccountChange => (3001, 3),
            Self::Authentication => (3002, 3),
            Self::ApiActivity => (6003, 6),
        }
    }
}

/// What was done, in the terms of a class.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Activity<'a> {
    pub(super) class: Class,
    pub(super) id: u8,
    pub(super) name: &'a str,
}

/// The entry's activity. One that the class has no number for keeps our own word for it.
pub(super) fn activity(entry: &Entry) -> Activity<'_> {
    let action = entry.leaf.action.as_str();
    let verb = action.rsplit_once('.').map_or(action, |(_, verb)| verb);
    let account = |(id, name)| Activity { class: Class::AccountChange, id, name };
    let authentication = |(id, name)| Activity { class: Class::Authentication, id, name };
    match action {
        "user.created" | "user.provisioned" | "sync.user_created" | "admin.added" => account((1, "Create")),
        "user.deleted" | "sync.user_deleted" | "admin.removed" => account((6, "Delete")),
        "user.updated" | "sync.user_updated" => account(update(entry).unwrap_or((OTHER, verb))),
        "admin.password_set" | "admin.password_changed" => account((3, "Password Change")),
        "admin.link_minted" | "admin.link_refused" => account((4, "Password Reset")),
        "user.assigned" | "user.erased" | "admin.password_rehashed" => account((OTHER, verb)),
        "session.created" | "admin.signed_in" | "admin.sign_in_failed" => authentication((1, "Logon")),
        "session.ended" | "session.removed" | "session.revoked" | "admin.signed_out" => authentication((2, "Logoff")),
        _ if action.starts_with("session.") => authentication((OTHER, verb)),
        // What was asked for is not known when it was refused.
        "api.denied" | "api.limited" | "api.unauthenticated" | "webhook.rejected" => {
            Activity { class: Class::ApiActivity, id: 0, name: "Unknown" }
        }
        _ => {
            let (id, name) = verb.split('_').find_map(crud).unwrap_or((OTHER, verb));
            Activity { class: Class::ApiActivity, id, name }
        }
    }
}

/// What a change of the user's record at Clerk comes to, if the values before and after are known and say so. Of
/// several, the one that keeps somebody out comes first.
fn update(entry: &Entry) -> Option<(u8, &'static str)> {
    let changes = entry.detail.as_ref()?.get("changes")?;
    let became = |field: &str, value: bool| {
        let change = changes.get(field);
        change.and_then(|change| change.get("after")).and_then(Value::as_bool) == Some(value)
    };
    [
        (became("banned", true), (5, "Disable")),
        (became("locked", true), (9, "Lock")),
        (became("banned", false), (2, "Enable")),
        (became("two_factor_enabled", false), (11, "Auth Factor Disable")),
        (became("two_factor_enabled", true), (10, "Auth Factor Enable")),
        (changes.get("password_last_updated_at").is_some(), (3, "Password Change")),
    ]
    .into_iter()
    .find_map(|(is_so, activity)| is_so.then_some(activity))
}

/// The activity that one word of an action stands for.
fn crud(word: &str) -> Option<(u8, &'static str)> {
    match word {
        "created" | "made" | "minted" | "sent" => Some((1, "Create")),
        "read" | "listed" | "streamed" | "exported" | "looked" | "verified" | "downloaded" => Some((2, "Read")),
        "updated" | "changed" | "set" | "accepted" | "rotated" | "active" | "pastDue" | "canceled" | "upcoming"
        | "ended" | "abandoned" | "incomplete" | "freeTrialEnding" => Some((3, "Update")),
        "deleted" | "removed" | "revoked" | "pruned" | "erased" | "retired" => Some((4, "Delete")),
        _ => None,
    }
}
