//! What a user has subscribed to: what the mirrored objects of Clerk Billing say, unless an operator has said otherwise
//! since. It is worked out anew from all of them each time, so the order in which they came leaves no trace.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::clock::Timestamp;
use crate::event::{Mirrored, ObjectKey, Version};
use crate::json::{Fields, Object};

/// The kinds of mirrored objects that say something of a subscription.
pub const BILLING: [&str; 2] = ["subscription", "subscriptionItem"];

/// The longest name of a plan that is taken from Clerk, in bytes; the mirrored object has the rest.
const MAX_PLAN: usize = 128;

/// What a user has subscribed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// The plan's name, `free` for everybody at first.
    pub plan: String,
    /// The subscription's state, `active` at first.
    pub status: String,
}

impl Default for Subscription {
    fn default() -> Self {
        Self { plan: "free".to_owned(), status: "active".to_owned() }
    }
}

impl Subscription {
    /// The subscription of a user of whom an operator said that and Clerk Billing these objects. An operator's word
    /// stands until what Billing says is newer (`updated_at`) than it.
    #[must_use]
    pub fn of(assigned: Option<&Assignment>, billing: &[(ObjectKey, Mirrored)]) -> Self {
        let billed = best(billing);
        match (assigned, billed) {
            (Some(assigned), Some(item)) if item.version.updated_at > assigned.at => item.subscription(),
            (Some(assigned), _) => assigned.subscription.clone(),
            (None, Some(item)) => item.subscription(),
            (None, None) => Self::default(),
        }
    }

    /// The version (`updated_at`) of what these objects say; `None` when they say nothing.
    #[must_use]
    pub fn billed_at(billing: &[(ObjectKey, Mirrored)]) -> Option<Timestamp> {
        best(billing).map(|item| item.version.updated_at)
    }
}

/// What an operator said of a user's subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// What they said.
    #[serde(flatten)]
    pub subscription: Subscription,
    /// When.
    pub at: Timestamp,
}

/// The states of a subscription item that count, the better the greater. One that is `upcoming`, `incomplete` or
/// `abandoned` is none yet, or never was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Status {
    Ended,
    Canceled,
    PastDue,
    Active,
}

impl Status {
    fn read(text: &str) -> Option<Self> {
        Some(match text {
            "active" => Self::Active,
            "past_due" => Self::PastDue,
            "canceled" => Self::Canceled,
            "ended" => Self::Ended,
            _ => return None,
        })
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::PastDue => "past_due",
            Self::Canceled => "canceled",
            Self::Ended => "ended",
        }
    }

    /// The state of an item of a subscription of which that was said later. It speaks for the items that run; those
    /// already cancelled can only end.
    const fn within(self, whole: Self) -> Self {
        match (self, whole) {
            (Self::Active | Self::PastDue, whole) => whole,
            (Self::Canceled, Self::Ended) => Self::Ended,
            (own, _) => own,
        }
    }
}

/// A subscription item, as an event of its own or as one of a subscription's `items`.
struct Item {
    status: Option<Status>,
    plan: Option<String>,
    period_start: Option<Timestamp>,
    /// The subscription it belongs to.
    of: Option<String>,
    version: Version,
}

impl Item {
    fn read(item: &Fields<'_>, of: Option<String>, version: Version) -> Self {
        let plan = item.object("plan");
        Self {
            status: item.text("status").and_then(|status| Status::read(&status)),
            plan: plan.text("slug").or_else(|| plan.text("name")).map(bounded),
            period_start: item.value("period_start").map(Timestamp::from_seconds_or_millis),
            of,
            version,
        }
    }

    fn subscription(&self) -> Subscription {
        let status = self.status.map_or("", Status::as_str).to_owned();
        Subscription { plan: self.plan.clone().unwrap_or_default(), status }
    }
}

/// The item that counts: the one in the best state, then the one whose period began last.
fn best(billing: &[(ObjectKey, Mirrored)]) -> Option<Item> {
    let mut items = items(billing);
    for (key, whole, body) in bodies(billing, "subscription") {
        let Some(status) = body.fields().text("status").and_then(|status| Status::read(&status)) else { continue };
        for item in items.values_mut().filter(|item| item.of.as_deref() == Some(key.id.as_str())) {
            if let Some(own) = item.status
                && whole.version.updated_at > item.version.updated_at
            {
                item.status = Some(own.within(status));
                item.version = whole.version.clone();
            }
        }
    }
    let counting = items.into_iter().filter(|(_, item)| item.status.is_some() && item.plan.is_some());
    let rank = |(id, item): &(String, Item)| (item.status, item.period_start, item.version.clone(), id.clone());
    counting.max_by_key(rank).map(|(_, item)| item)
}

/// The newest that is known of each item, by its id.
fn items(billing: &[(ObjectKey, Mirrored)]) -> BTreeMap<String, Item> {
    let mut items = BTreeMap::new();
    let mut take = |id: String, item: Item| match items.get_mut(&id) {
        None => drop(items.insert(id, item)),
        Some(kept) if item.version > kept.version => {
            let of = item.of.clone().or_else(|| kept.of.take());
            *kept = Item { of, ..item };
        }
        Some(kept) => kept.of = kept.of.take().or(item.of),
    };
    for (key, own, body) in bodies(billing, "subscriptionItem") {
        let body = body.fields();
        take(key.id.to_string(), Item::read(&body, body.text("subscription_id"), own.version.clone()));
    }
    for (key, whole, body) in bodies(billing, "subscription") {
        let listed: Vec<&RawValue> =
            body.fields().raw("items").and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
        for raw in listed {
            let item = Fields::read(raw);
            let Some(id) = item.text("id") else { continue };
            let updated_at = item.value("updated_at").map(Timestamp::from_seconds_or_millis);
            let version =
                Version { updated_at: updated_at.unwrap_or(whole.version.updated_at), ..whole.version.clone() };
            take(id, Item::read(&item, Some(key.id.to_string()), version));
        }
    }
    items
}

/// The objects of that kind which are there.
fn bodies<'a>(
    billing: &'a [(ObjectKey, Mirrored)],
    kind: &'static str,
) -> impl Iterator<Item = (&'a ObjectKey, &'a Mirrored, &'a Object)> {
    let of_kind = billing.iter().filter(move |(key, _)| key.kind == kind);
    of_kind.filter_map(|(key, mirrored)| mirrored.body.as_ref().map(|body| (key, mirrored, body)))
}

fn bounded(mut plan: String) -> String {
    plan.retain(|c| !c.is_control());
    plan.truncate(plan.floor_char_boundary(MAX_PLAN));
    plan
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    fn mirrored(kind: &str, updated_at: i64, body: &Value) -> (ObjectKey, Mirrored) {
        let key = ObjectKey { kind: kind.to_owned(), id: body["id"].as_str().unwrap().parse().unwrap() };
        let at = Timestamp::from_millis(updated_at);
        let version = Version { updated_at: at, event_at: at, delivery: format!("msg_{updated_at}") };
        let body = Some(Object::new(body.as_object().unwrap().clone()));
        (key, Mirrored { version, deleted_at: None, parents: Vec::new(), body })
    }

    /// Times in milliseconds, long after those that would be taken for seconds.
    const T: i64 = 1_750_000_000_000;

    fn item(id: &str, status: &str, plan: &str, since: i64, updated_at: i64) -> (ObjectKey, Mirrored) {
        let body = json!({ "id": id, "status": status, "plan": { "slug": plan }, "period_start": T + since,
            "subscription_id": "csub_1", "updated_at": T + updated_at });
        mirrored("subscriptionItem", T + updated_at, &body)
    }

    fn says(assigned: Option<&Assignment>, billing: &[(ObjectKey, Mirrored)]) -> String {
        let Subscription { plan, status } = Subscription::of(assigned, billing);
        format!("{plan} {status}")
    }

    #[test]
    fn the_best_item_counts_and_what_is_not_yet_does_not() {
        let upcoming = item("i_4", "upcoming", "gold", 9, 9);
        assert_eq!(says(None, &[]), "free active");
        assert_eq!(says(None, std::slice::from_ref(&upcoming)), "free active");
        let list = [item("i_1", "ended", "old", 8, 8), item("i_2", "past_due", "pro", 1, 1), upcoming];
        assert_eq!(says(None, &list), "pro past_due");
        let newer = item("i_3", "past_due", "team", 2, 0);
        assert_eq!(says(None, &[&list[..], &[newer]].concat()), "team past_due");
        let nameless = mirrored("subscriptionItem", T, &json!({ "id": "i_5", "status": "active", "plan": null }));
        assert_eq!(says(None, &[&list[..], &[nameless]].concat()), "pro past_due");
    }

    #[test]
    fn a_subscription_speaks_for_its_items() {
        let whole = |status: &str, updated_at: i64, listed: &Value| {
            let body = json!({ "id": "csub_1", "status": status, "items": listed, "updated_at": T + updated_at });
            mirrored("subscription", T + updated_at, &body)
        };
        let listed = json!([{ "id": "i_1", "status": "active", "plan": { "slug": "pro" }, "updated_at": T + 5 }]);
        assert_eq!(says(None, &[whole("active", 5, &listed)]), "pro active");
        assert_eq!(says(None, &[whole("past_due", 6, &listed)]), "pro past_due");
        // What the item said itself, and later, counts for more.
        assert_eq!(says(None, &[whole("active", 5, &listed), item("i_1", "canceled", "pro", 0, 7)]), "pro canceled");
        assert_eq!(says(None, &[whole("active", 5, &listed), item("i_1", "canceled", "pro", 0, 4)]), "pro active");
        // An item that is over does not come back because the subscription goes on.
        assert_eq!(says(None, &[whole("active", 9, &json!([])), item("i_1", "ended", "pro", 0, 7)]), "pro ended");
        assert_eq!(says(None, &[whole("ended", 9, &json!([])), item("i_1", "canceled", "pro", 0, 7)]), "pro ended");
    }

    #[test]
    fn an_operators_word_stands_until_billing_has_newer() {
        let subscription = Subscription { plan: "gift".to_owned(), status: "active".to_owned() };
        let word = Assignment { subscription, at: Timestamp::from_millis(T + 5) };
        assert_eq!(says(Some(&word), &[]), "gift active");
        assert_eq!(says(Some(&word), &[item("i_1", "active", "pro", 0, 5)]), "gift active");
        assert_eq!(says(Some(&word), &[item("i_1", "active", "pro", 0, 6)]), "pro active");
        assert_eq!(says(Some(&word), &[item("i_1", "upcoming", "pro", 0, 6)]), "gift active");
    }
}
