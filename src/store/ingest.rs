//! A delivery becomes state: the one place where what Clerk says changes what Rollbook knows.

use redb::ReadableTable as _;
use serde_json::{Map, Value, json};

use super::Ingested;
use super::billing::Moved;
use super::error::Error;
use super::tx::Tx;
use crate::audit::{Actor, Draft, Source, Target, field_names};
use crate::clock::Timestamp;
use crate::event::{Change, Delivery, DeliveryId, Event, Mirrored, ObjectKey, Outcome, Reason, Unusable, Version};
use crate::json::{self, Fields, Object};
use crate::sync::{DeletePolicy, History, Policy, Verdict, deletion, judge};
use crate::traffic;
use crate::user::{self, ClerkId, HandleChanges, User, UserId};

/// What an event did, and what the log should say of it.
pub(super) struct Effect {
    outcome: Outcome,
    reason: Option<&'static str>,
    pub(super) changed: Vec<String>,
    pub(super) values: Map<String, Value>,
    handles: HandleChanges,
    /// Whom it touched besides the person it is about.
    others: Vec<ClerkId>,
}

impl Effect {
    fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            reason: None,
            changed: Vec::new(),
            values: Map::new(),
            handles: HandleChanges::default(),
            others: Vec::new(),
        }
    }

    fn because(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    fn filing(self, handles: HandleChanges) -> Self {
        Self { handles, ..self }
    }

    /// The same, and it moved subscriptions: that of the person it is about, and those of others.
    fn moving(mut self, moved: Vec<Moved>, subject: Option<&ClerkId>, policy: &Policy) -> Self {
        if !moved.is_empty() {
            self.outcome = Outcome::Applied;
        }
        for Moved { user, before, after } in moved {
            if subject == Some(&user) {
                self.changed = field_names(["subscription"].into_iter().chain(self.changed.iter().map(String::as_str)));
                if policy.history == History::Full {
                    let values = json!({ "before": before, "after": after });
                    self.values.insert("subscription".to_owned(), values);
                }
            } else {
                self.others.push(user);
            }
        }
        self
    }
}

impl Tx<'_> {
    /// Applies a delivery once: whatever was seen before changes nothing. Counts it.
    pub(super) fn ingest(&mut self, delivery: &Delivery, now: Timestamp, policy: &Policy) -> Result<Ingested, Error> {
        // Before there are other users than at the end of the hour before.
        self.note_hour(now)?;
        let ingested = self.take(delivery, now, policy)?;
        self.hour(now)?.outcomes.note(ingested.outcome, is_own(delivery));
        Ok(ingested)
    }

    fn take(&mut self, delivery: &Delivery, now: Timestamp, policy: &Policy) -> Result<Ingested, Error> {
        if let Some(seen) = self.tables.deliveries.get(delivery.id.as_str())? {
            return Ok(Ingested { outcome: Outcome::Duplicate, seq: seen.value() });
        }
        if !is_own(delivery) {
            self.state.stats.last_event_at = Some(now);
        }
        let ingested = match self.attempt(delivery, now, policy)? {
            Ok(ingested) => ingested,
            Err(unusable) => self.set_aside(&delivery.id, &unusable, now)?,
        };
        self.tables.deliveries.insert(delivery.id.as_str(), ingested.seq)?;
        Ok(ingested)
    }

    /// Applies what a delivery says; gives it back when that cannot be done.
    pub(super) fn attempt(
        &mut self,
        delivery: &Delivery,
        now: Timestamp,
        policy: &Policy,
    ) -> Result<Result<Ingested, Unusable>, Error> {
        let ingested = match &delivery.content {
            Ok(event) if !self.is_our_instance(event, policy)? => {
                let (kind, body) = (Some(event.kind.clone()), event.to_json());
                return Ok(Err(Unusable { reason: Reason::OtherInstance, kind, body }));
            }
            Ok(event) if self.is_about_erased(event)? => self.pass_over(&delivery.id, event, now)?,
            Ok(event) => self.apply(&delivery.id, &*self.without_erased(event)?, now, policy)?,
            Err(unusable) => return Ok(Err(unusable.clone())),
        };
        Ok(Ok(ingested))
    }

    /// Whether the event comes from the instance Rollbook serves: the one set, else the first one seen.
    fn is_our_instance(&mut self, event: &Event, policy: &Policy) -> Result<bool, Error> {
        let Some(instance) = &event.instance else { return Ok(true) };
        if let Some(ours) = policy.instance.as_ref().or(self.state.instance.as_ref()) {
            Ok(ours == instance)
        } else {
            self.tables.meta.insert("instance", instance.as_bytes())?;
            self.state.instance = Some(instance.clone());
            Ok(true)
        }
    }

    fn apply(&mut self, id: &DeliveryId, event: &Event, now: Timestamp, policy: &Policy) -> Result<Ingested, Error> {
        let version = |updated_at| Version {
            updated_at,
            event_at: event.timestamp.unwrap_or_default(),
            delivery: id.to_string(),
        };
        let effect = match &event.change {
            Change::UserSaved { id, updated_at, clerk } => self.save_user(id, version(*updated_at), clerk, policy)?,
            Change::UserDeleted { id, .. } => self.delete_user(id, event.at, policy)?,
            Change::ObjectSaved { key, updated_at, parents, signed_in_at, body } => {
                let (effect, moved) = self.save_object(key, version(*updated_at), parents, body, policy)?;
                let mut effect = effect.moving(moved, event.subject.as_ref(), policy);
                if let (Some(user), Some(at)) = (&event.subject, signed_in_at)
                    && self.sign_in(user, *at, policy)?
                {
                    // However old the news of the session is, the sign-in was news.
                    effect.outcome = Outcome::Applied;
                    effect.reason = None;
                }
                effect
            }
            Change::ObjectDeleted { key, .. } => self.delete_object(key, event.at)?,
            Change::Recorded { .. } => Effect::of(Outcome::Recorded),
        };
        let outcome = effect.outcome;
        let seq = self.append(&entry(id, event, effect), now)?;
        Ok(Ingested { outcome, seq })
    }

    fn save_user(&mut self, id: &ClerkId, version: Version, clerk: &Object, policy: &Policy) -> Result<Effect, Error> {
        let gone = self.tombstone(id)?;
        if gone.is_some() && policy.delete == DeletePolicy::Hard {
            return Ok(Effect::of(Outcome::Stale).because("deleted"));
        }
        let kept = self.user(UserId::of(id))?;
        if judge(kept.as_ref().map(|user| &user.version), &version) == Verdict::Older {
            return Ok(Effect::of(Outcome::Stale).because("older").filing(HandleChanges::late(clerk)));
        }
        let (before, after) = (kept.as_ref().map(|user| user.clerk.fields()), clerk.fields());
        let handles = HandleChanges::of(before.as_ref(), Some(&after));
        let mut effect = match &before {
            Some(before) => compare(before, &after, policy),
            None => Effect::of(Outcome::Applied),
        };
        let mut user = match &kept {
            Some(kept) => User { version, clerk: clerk.clone(), source: user::Source::Webhook, ..kept.clone() },
            None => self.new_user(id, user::Source::Webhook, version, clerk.clone())?,
        };
        if gone.is_some() {
            // A deleted person's record still takes in what was said late, or its content would depend on
            // the order of arrival. It stays deleted.
            user.deleted_at = gone;
            effect = Effect::of(Outcome::Stale).because("deleted");
        }
        self.put_user(kept.as_ref(), &user)?;
        Ok(effect.filing(handles))
    }

    fn delete_user(&mut self, id: &ClerkId, at: Timestamp, policy: &Policy) -> Result<Effect, Error> {
        let (outcome, handles) = self.take_off_roll(id, at, policy)?;
        let effect = Effect::of(outcome).filing(handles);
        Ok(if outcome == Outcome::Stale { effect.because("deleted") } else { effect })
    }

    /// Takes a user off the roll, as far as the policy goes: what came of it, and what is no longer on file.
    pub(super) fn take_off_roll(
        &mut self,
        id: &ClerkId,
        at: Timestamp,
        policy: &Policy,
    ) -> Result<(Outcome, HandleChanges), Error> {
        let (at, outcome) = deletion(self.tombstone(id)?, at);
        self.tables.user_tombstones.insert(id.as_str(), at.as_millis())?;
        if policy.delete == DeletePolicy::Hard {
            self.tables.sign_ins.remove(id.as_str())?;
        }
        let mut handles = HandleChanges::default();
        if let Some(kept) = self.user(UserId::of(id))? {
            match policy.delete {
                DeletePolicy::Hard => {
                    self.remove_user(&kept)?;
                    handles = HandleChanges::between(Some(&kept.clerk), None);
                }
                DeletePolicy::Soft => {
                    let user = User { deleted_at: Some(at), ..kept.clone() };
                    self.put_user(Some(&kept), &user)?;
                }
            }
        }
        Ok((outcome, handles))
    }

    /// When the user was deleted, if so.
    pub(super) fn tombstone(&self, id: &ClerkId) -> Result<Option<Timestamp>, Error> {
        Ok(self.tables.user_tombstones.get(id.as_str())?.map(|at| Timestamp::from_millis(at.value())))
    }

    /// Moves the user's last sign-in forward, never back; says whether it moved. A session may come before its user.
    fn sign_in(&mut self, id: &ClerkId, at: Timestamp, policy: &Policy) -> Result<bool, Error> {
        if let Some(kept) = self.user(UserId::of(id))? {
            if kept.signed_in_at >= Some(at) {
                return Ok(false);
            }
            let user = User { signed_in_at: Some(at), ..kept.clone() };
            self.put_user(Some(&kept), &user)?;
            return Ok(true);
        }
        if policy.delete == DeletePolicy::Hard && self.tombstone(id)?.is_some() {
            return Ok(false);
        }
        let known = self.tables.sign_ins.get(id.as_str())?.map(|known| known.value());
        if known >= Some(at.as_millis()) {
            return Ok(false);
        }
        self.tables.sign_ins.insert(id.as_str(), at.as_millis())?;
        Ok(true)
    }

    fn save_object(
        &mut self,
        key: &ObjectKey,
        version: Version,
        parents: &[ObjectKey],
        body: &Object,
        policy: &Policy,
    ) -> Result<(Effect, Vec<Moved>), Error> {
        let kept = self.object(key)?;
        if kept.as_ref().is_some_and(|kept| kept.deleted_at.is_some()) {
            return Ok((Effect::of(Outcome::Stale).because("deleted"), Vec::new()));
        }
        if judge(kept.as_ref().map(|kept| &kept.version), &version) == Verdict::Older {
            return Ok((Effect::of(Outcome::Stale).because("older"), Vec::new()));
        }
        let effect = match kept.as_ref().and_then(|kept| kept.body.as_ref()) {
            Some(kept) => compare(&kept.fields(), &body.fields(), policy),
            None => Effect::of(Outcome::Applied),
        };
        let after = Mirrored { version, deleted_at: None, parents: parents.to_vec(), body: Some(body.clone()) };
        self.put_object(key, kept.as_ref(), &after)?;
        Ok((effect, self.settle_payers(key, kept.as_ref(), &after)?))
    }

    fn delete_object(&mut self, key: &ObjectKey, at: Timestamp) -> Result<Effect, Error> {
        let kept = self.object(key)?;
        let (at, outcome) = deletion(kept.as_ref().and_then(|kept| kept.deleted_at), at);
        if outcome == Outcome::Stale {
            return Ok(Effect::of(outcome).because("deleted"));
        }
        // The version of a deletion decides nothing any more; only its time is kept.
        let version = Version { updated_at: Timestamp::default(), event_at: at, delivery: String::new() };
        let after = Mirrored { version, deleted_at: Some(at), parents: Vec::new(), body: None };
        self.put_object(key, kept.as_ref(), &after)?;
        Ok(Effect::of(outcome))
    }
}

/// Whether it is a test that Rollbook sent to itself: it says nothing of whether Clerk's arrive.
fn is_own(delivery: &Delivery) -> bool {
    delivery.kind().is_some_and(traffic::is_own)
}

/// How a newer version differs from the one kept: what changed, and from what to what. `updated_at` alone
/// is no change.
pub(super) fn compare(before: &Fields<'_>, after: &Fields<'_>, policy: &Policy) -> Effect {
    let changes = json::changes(before, after, &["updated_at"]);
    if changes.is_empty() {
        return Effect::of(Outcome::Unchanged);
    }
    let mut effect = Effect::of(Outcome::Applied);
    effect.changed = field_names(changes.iter().map(|change| change.name));
    if policy.history == History::Full {
        let value = |raw: Option<&serde_json::value::RawValue>| {
            raw.and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok()).unwrap_or_default()
        };
        for change in &changes {
            let values = json!({ "before": value(change.before), "after": value(change.after) });
            effect.values.insert(change.name.to_owned(), values);
        }
    }
    effect
}

/// What the log says of an event.
fn entry(id: &DeliveryId, event: &Event, effect: Effect) -> Draft {
    let object = match &event.change {
        Change::ObjectSaved { key, .. } | Change::ObjectDeleted { key, .. } => Some(key),
        _ => None,
    };
    let target = match (&event.subject, object) {
        (Some(user), _) => Some(Target::User(user.clone())),
        (None, Some(key)) => Some(Target::Object(key.clone())),
        (None, None) => None,
    };
    let actor = if traffic::is_own(&event.kind) { Actor::System } else { Actor::Clerk };
    let mut draft = Draft::new(event.action(), actor, Source::Webhook)
        .with("ip", event.client.ip.clone())
        .with("user_agent", event.client.user_agent.clone())
        .with("instance", event.instance.clone())
        .with("object", object.filter(|_| event.subject.is_some()).map(ToString::to_string))
        .with("type", (event.action() != event.kind).then(|| event.kind.clone()))
        .with("changes", (!effect.values.is_empty()).then_some(effect.values));
    if !event.more.is_empty() {
        draft = draft.with("envelope", Some(event.more.clone()));
    }
    if let Change::Recorded { note } | Change::UserDeleted { note, .. } | Change::ObjectDeleted { note, .. } =
        &event.change
    {
        draft = draft.with("note", serde_json::from_str::<Value>(note.as_str()).ok().filter(|n| *n != json!({})));
    }
    draft.outcome = effect.outcome.as_str();
    draft.reason = effect.reason;
    draft.changed = effect.changed;
    draft.handles = effect.handles;
    draft.members = effect.others;
    draft.target = target;
    draft.impersonator.clone_from(&event.impersonator);
    draft.event_at = Some(event.at);
    draft.request = Some(id.to_string());
    draft
}
