//! What a target is sent for an entry of the log, if anything.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::audit::Entry;
use crate::audit::feed::Types;
use crate::clerk::courier::{Bearer, Family, Message, Verb};
use crate::clock::Timestamp;
use crate::store::FeedItem;
use crate::target::{Kind, Target};
use crate::user::{ClerkId, User};

use super::Shape;

/// The types out of which calls are made: what becomes of users.
const OF_CALLS: &str = "user.*,sync.*";

/// The same, and sign-ins, which make calls possible that were put off.
const OF_CALLS_WITH_TOKENS: &str = "user.*,sync.*,session.created";

/// What tells the events of one log from those of others.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark(u32);

impl Mark {
    /// That of the log of this name.
    pub(super) fn of(log: &str) -> Self {
        let mut first = [0; 4];
        first.copy_from_slice(&digest(&SHA256, log.as_bytes()).as_ref()[..4]);
        Self(u32::from_be_bytes(first))
    }

    /// What the event of that number is known by, at every try and replay.
    pub(super) fn id(self, seq: u64) -> String {
        format!("evt_{self}_{seq}")
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// What is to be done for an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Pass,
    /// To send the event.
    Event,
    /// To create that user, or to update them; whoever is not there to be updated is created.
    Save(ClerkId, Verb),
    /// To delete that user.
    Delete(ClerkId),
}

/// The types that a target is to be asked about.
pub(super) fn types(target: &Target) -> Types {
    match target.kind {
        Kind::Events => target.types.clone(),
        Kind::Api => {
            let types = if target.bearer { OF_CALLS_WITH_TOKENS } else { OF_CALLS };
            // Without types all are read, and the others passed over one by one.
            types.parse().unwrap_or_default()
        }
    }
}

/// What is to be done for an entry that the feed tells.
pub(super) fn step(target: &Target, entry: &Entry) -> Step {
    match target.kind {
        Kind::Events => Step::Event,
        Kind::Api => call(target, entry).unwrap_or(Step::Pass),
    }
}

fn call(target: &Target, entry: &Entry) -> Option<Step> {
    let user = entry.target_user.clone().filter(|_| target.is_told(&entry.leaf))?;
    // No path can name them: these would lead to what stands above.
    if matches!(user.as_str(), "." | "..") {
        return None;
    }
    Some(match entry.leaf.action.as_str() {
        // Whoever had no session when they came is created once they have one.
        "user.created" | "user.provisioned" | "sync.user_created" | "session.created" => Step::Save(user, Verb::Post),
        "user.updated" | "sync.user_updated" => Step::Save(user, Verb::Patch),
        "user.deleted" | "sync.user_deleted" => Step::Delete(user),
        _ => return None,
    })
}

/// The message that brings an event.
pub(super) fn event(mark: Mark, shape: &Shape, item: &FeedItem, now: Timestamp) -> Message {
    let mut event = shape(item, now);
    if let Value::Object(members) = &mut event {
        members.insert("timestamp".to_owned(), item.entry.leaf.at.to_string().into());
    }
    Message {
        verb: Verb::Post,
        path: Vec::new(),
        family: Family::Standard,
        id: mark.id(item.entry.seq),
        body: event.to_string(),
        bearer: None,
    }
}

/// The message by which a target's readiness is tried out.
pub(super) fn test(mark: Mark, now: Timestamp) -> Message {
    Message {
        verb: Verb::Post,
        path: Vec::new(),
        family: Family::Standard,
        id: format!("evt_{mark}_test_{}", now.as_millis()),
        body: json!({
            "seq": null, "type": "rollbook.test", "at": now.to_string(), "event_at": null, "outcome": "ok",
            "reason": null, "request": null, "user": null, "object": null, "changed": [], "changes": null,
            "data": null, "timestamp": now.to_string(),
        })
        .to_string(),
        bearer: None,
    }
}

/// The call that creates or updates a user.
pub(super) fn save(mark: Mark, seq: u64, user: &User, verb: Verb, bearer: Option<Bearer>) -> Message {
    let profile = user.profile();
    let body = json!({
        "clerk_user_id": user.clerk_id.as_str(),
        "email": profile.email,
        "first_name": profile.first_name,
        "last_name": profile.last_name,
        "username": profile.username,
        "image_url": profile.image_url,
    });
    let mut path = vec!["users".to_owned()];
    path.extend((verb == Verb::Patch).then(|| user.clerk_id.to_string()));
    Message { verb, path, family: Family::Svix, id: mark.id(seq), body: body.to_string(), bearer }
}

/// The call that deletes a user: an event as Clerk sends it.
pub(super) fn delete(mark: Mark, entry: &Entry, user: &ClerkId) -> Message {
    let at = entry.leaf.event_at.unwrap_or(entry.leaf.at);
    let body = json!({
        "data": { "deleted": true, "id": user.as_str(), "object": "user" },
        "object": "event",
        "timestamp": at.as_millis(),
        "type": "user.deleted",
    });
    Message {
        verb: Verb::Delete,
        path: vec!["users".to_owned(), "webhook".to_owned(), user.to_string()],
        family: Family::Svix,
        id: mark.id(entry.seq),
        body: body.to_string(),
        bearer: None,
    }
}
