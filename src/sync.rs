//! The operator's policy, and which of two states wins. Pure rules: the same deliveries, in whatever order and however often they
//! come, must end in the same place.

mod report;
mod walk;

use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::event::{Outcome, Version};
use crate::json::Object;

pub use self::report::{Fetched, Named, Report};
pub use self::walk::{Found, Stage, UNTOLD, Walk, Walked};

/// What happens to a user's record when Clerk deletes the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeletePolicy {
    /// The record stays, without its Clerk id.
    #[default]
    Soft,
    /// The record goes; only the fact of the deletion stays.
    Hard,
}

/// What the log keeps of changed values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum History {
    /// Old and new values, in the erasable detail.
    #[default]
    Full,
    /// The names of the fields alone.
    Fields,
}

/// The operator's choices that the store goes by.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// What a deletion does.
    pub delete: DeletePolicy,
    /// What is kept of changed values.
    pub history: History,
    /// The Clerk instance whose events are applied; the first one seen when `None`.
    pub instance: Option<String>,
}

/// What to do with a state that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the newest known: keep it.
    Newer,
    /// Something newer is known.
    Older,
}

/// Compares what came in with what is kept.
#[must_use]
pub fn judge(kept: Option<&Version>, came: &Version) -> Verdict {
    if kept.is_none_or(|kept| came > kept) { Verdict::Newer } else { Verdict::Older }
}

/// When something was deleted, after one more word of it: the earliest time said. A deletion is never undone.
#[must_use]
pub fn deletion(kept: Option<Timestamp>, came: Timestamp) -> (Timestamp, Outcome) {
    match kept {
        Some(kept) if kept <= came => (kept, Outcome::Stale),
        _ => (came, Outcome::Applied),
    }
}

/// What is known of a user whom only tokens have spoken of, after the `claims` of another token, both in the form of
/// Clerk's user object; `None` when that is no younger, or says nothing new. What it does not name stays as it was: not
/// every token names everything.
#[must_use]
pub fn told(kept: &Object, claims: &Object) -> Option<Object> {
    let read = |object: &Object| serde_json::from_str::<Map<String, Value>>(object.as_str()).unwrap_or_default();
    let (mut known, said) = (read(kept), read(claims));
    let said_at = |object: &Map<String, Value>| {
        let at = object.get("updated_at").or_else(|| object.get("created_at"));
        at.and_then(Value::as_i64).unwrap_or(i64::MIN)
    };
    if said_at(&said) <= said_at(&known) {
        return None;
    }
    let mut is_news = false;
    for (name, value) in said.into_iter().filter(|(name, _)| name != "created_at") {
        is_news |= name != "updated_at" && known.get(&name) != Some(&value);
        known.insert(name, value);
    }
    is_news.then(|| Object::new(known))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn version(updated_at: i64, event_at: i64, delivery: &str) -> Version {
        let at = Timestamp::from_millis;
        Version { updated_at: at(updated_at), event_at: at(event_at), delivery: delivery.to_owned() }
    }

    #[test]
    fn versions_are_ordered_by_update_then_event_then_message() {
        let kept = version(5, 5, "b");
        for newer in [version(6, 0, "a"), version(5, 6, "a"), version(5, 5, "c")] {
            assert_eq!(judge(Some(&kept), &newer), Verdict::Newer, "{newer:?}");
        }
        for older in [version(4, 9, "z"), version(5, 4, "z"), version(5, 5, "a"), kept.clone()] {
            assert_eq!(judge(Some(&kept), &older), Verdict::Older, "{older:?}");
        }
        assert_eq!(judge(None, &Version::none()), Verdict::Newer);
    }

    #[test]
    fn a_deletion_keeps_its_earliest_time() {
        let at = Timestamp::from_millis;
        assert_eq!(deletion(None, at(5)), (at(5), Outcome::Applied));
        assert_eq!(deletion(Some(at(5)), at(6)), (at(5), Outcome::Stale));
        assert_eq!(deletion(Some(at(5)), at(5)), (at(5), Outcome::Stale));
        assert_eq!(deletion(Some(at(5)), at(4)), (at(4), Outcome::Applied));
    }

    #[test]
    fn a_token_tells_what_is_new_since_the_last() {
        let object = |value: Value| Object::new(value.as_object().unwrap().clone());
        let says = |at: i64, name: &str| {
            object(json!({ "id": "user_1", "first_name": name, "created_at": at, "updated_at": at }))
        };
        let silent = |at: i64| object(json!({ "id": "user_1", "created_at": at, "updated_at": at }));
        let kept = says(5, "Ann");
        let expected = object(json!({ "id": "user_1", "first_name": "Anne", "created_at": 5, "updated_at": 6 }));
        assert_eq!(told(&kept, &says(6, "Anne")), Some(expected.clone()));
        for nothing in [says(5, "Anne"), says(4, "Anne"), says(6, "Ann"), silent(6)] {
            assert_eq!(told(&kept, &nothing), None, "{nothing:?}");
        }
        // Records from before tokens left their time have that of the first one.
        assert_eq!(
            told(&object(json!({ "id": "user_1", "first_name": "Ann", "created_at": 5 })), &says(6, "Anne")),
            Some(expected)
        );
    }
}
