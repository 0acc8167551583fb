//! Entries of the book as the page shows them: people by name, changes in words, the rest on request.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::view::{self, number};
use super::when::When;
use crate::audit::{Entry, Source};
use crate::clock::Timestamp;
use crate::http::problem::Problem;
use crate::store::Store;
use crate::user::{ClerkId, User, UserId};

/// The longest value shown in a line, in characters.
const SHORT: usize = 60;

/// An entry for a list.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) number: String,
    pub(super) at: When,
    pub(super) action: String,
    pub(super) outcome: String,
    /// How the outcome looks: `good`, `quiet`, `warn` or `bad`.
    pub(super) tone: &'static str,
    /// Whether the outcome is worth a word: the ordinary ones are not.
    pub(super) notable: bool,
    pub(super) actor: Party,
    pub(super) impersonator: Option<Party>,
    pub(super) target: Option<Party>,
    pub(super) source: &'static str,
    pub(super) changed: Vec<String>,
    pub(super) changes: Vec<Change>,
    pub(super) count: Option<String>,
    pub(super) event_at: Option<When>,
    pub(super) reason: Option<String>,
    pub(super) request: Option<String>,
    pub(super) commitment: Option<String>,
    pub(super) detail: Option<String>,
}

/// Somebody or something an entry names.
#[derive(Debug)]
pub(super) struct Party {
    pub(super) name: String,
    /// Our page about them.
    pub(super) href: Option<String>,
    /// As the leaf has it.
    pub(super) reference: String,
}

/// A field whose values before and after fit into a line.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) name: String,
    pub(super) before: String,
    pub(super) after: String,
}

/// Makes rows out of entries; looks every person up once.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    store: &'a Store,
    now: Timestamp,
    people: BTreeMap<ClerkId, Option<String>>,
    about: Option<&'a ClerkId>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(store: &'a Store, now: Timestamp) -> Self {
        Self { store, now, people: BTreeMap::new(), about: None }
    }

    /// The same for a page about that person, where entries need not say whom they are about.
    pub(super) fn about(self, person: &'a ClerkId) -> Self {
        Self { about: Some(person), ..self }
    }

    /// The entries as rows.
    ///
    /// # Errors
    /// 503 when a person cannot be looked up.
    pub(super) fn of(mut self, entries: Vec<Entry>) -> Result<Vec<Row>, Problem> {
        entries.into_iter().map(|entry| self.row(entry)).collect()
    }

    /// The day of a moment.
    pub(super) fn day(&self, at: Timestamp) -> When {
        When::day(at, self.now)
    }

    /// One entry as a row.
    ///
    /// # Errors
    /// 503 when a person cannot be looked up.
    pub(super) fn row(&mut self, entry: Entry) -> Result<Row, Problem> {
        let Entry { seq, leaf, bytes: _, detail, target_user, actor_user, impersonator_user } = entry;
        let now = self.now;
        let target = leaf.target.filter(|_| target_user.is_none() || target_user.as_ref() != self.about);
        Ok(Row {
            number: number(seq),
            at: When::second(leaf.at, now),
            tone: tone(&leaf.outcome),
            notable: !matches!(leaf.outcome.as_str(), "ok" | "applied" | "recorded"),
            actor: self.party(leaf.actor, actor_user.as_ref())?,
            impersonator: self.optional(leaf.impersonator, impersonator_user.as_ref())?,
            target: self.optional(target, target_user.as_ref())?,
            action: leaf.action,
            outcome: leaf.outcome,
            source: source(leaf.source),
            changes: detail.as_ref().map(changes).unwrap_or_default(),
            changed: leaf.changed,
            count: leaf.count.map(number),
            event_at: leaf.event_at.map(|at| When::second(at, now)),
            reason: leaf.reason,
            request: leaf.request,
            commitment: leaf.detail,
            detail: detail.map(|detail| view::pretty(&Value::Object(detail))),
        })
    }

    fn optional(&mut self, reference: Option<String>, person: Option<&ClerkId>) -> Result<Option<Party>, Problem> {
        reference.map(|reference| self.party(reference, person)).transpose()
    }

    fn party(&mut self, reference: String, person: Option<&ClerkId>) -> Result<Party, Problem> {
        let Some(id) = person else {
            let href = reference.starts_with("key:").then(|| "/admin/keys".to_owned());
            return Ok(Party { name: in_words(&reference), href, reference });
        };
        let name = if let Some(known) = self.people.get(id) {
            known.clone()
        } else {
            let found = self.store.user(UserId::of(id))?.map(|user| call_name(&user));
            self.people.insert(id.clone(), found.clone());
            found
        };
        let href = name.is_some().then(|| format!("{}{}", view::USER, UserId::of(id)));
        Ok(Party { name: name.unwrap_or_else(|| id.to_string()), href, reference })
    }
}

/// What to call somebody or something that is no person we know.
fn in_words(reference: &str) -> String {
    match reference {
        "clerk" => "Clerk".to_owned(),
        "cli" => "somebody at the terminal".to_owned(),
        "system" => "Rollbook itself".to_owned(),
        "anonymous" => "a stranger".to_owned(),
        "admin:admin" => "the admin".to_owned(),
        person if person.starts_with("s1.") || person.starts_with("user:") => "an erased person".to_owned(),
        other => match other.strip_prefix("key:") {
            Some(id) => format!("API key {id}"),
            None => other.replacen(':', " ", 1),
        },
    }
}

/// What to call a person in one line.
pub(super) fn call_name(user: &User) -> String {
    let profile = user.profile();
    let name = profile.full_name().or(profile.email).or(profile.username).or(profile.phone);
    name.unwrap_or_else(|| user.clerk_id.to_string())
}

fn tone(outcome: &str) -> &'static str {
    match outcome {
        "ok" | "applied" => "good",
        "denied" | "quarantined" => "warn",
        "error" => "bad",
        _ => "quiet",
    }
}

fn source(source: Source) -> &'static str {
    match source {
        Source::Webhook => "webhook",
        Source::Api => "API",
        Source::Admin => "admin page",
        Source::Cli => "command line",
        Source::Sync => "sync",
        Source::System => "Rollbook itself",
    }
}

/// The changes whose values fit into a line.
fn changes(detail: &Map<String, Value>) -> Vec<Change> {
    let Some(Value::Object(fields)) = detail.get("changes") else { return Vec::new() };
    let short = |value: Option<&Value>| {
        let text = match value {
            None | Some(Value::Null) => "none".to_owned(),
            Some(Value::String(text)) if text.is_empty() => "empty".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(_) | Value::Object(_)) => return None,
            Some(other) => other.to_string(),
        };
        (text.chars().count() <= SHORT).then_some(text)
    };
    let shown = |name: &str, value: Option<&Value>| match value.and_then(Value::as_i64) {
        Some(at) if name.ends_with("_at") => Some(When::minute(Timestamp::from_seconds_or_millis(at)).words),
        _ => short(value),
    };
    let change = |(name, values): (&String, &Value)| {
        let value = |which| shown(name, values.get(which));
        Some(Change { name: name.clone(), before: value("before")?, after: value("after")? })
    };
    fields.iter().filter_map(change).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn short_changes_are_told_in_a_line() {
        let detail = serde_json::json!({ "ip": "192.0.2.1", "changes": {
            "banned": { "before": false, "after": true },
            "created_at": { "before": null, "after": 1_716_883_200_000_i64 },
            "email_addresses": { "before": [], "after": [1] },
            "first_name": { "before": null, "after": "Ada" },
            "last_name": { "after": "x".repeat(61) },
        }});
        let told: Vec<_> =
            changes(detail.as_object().unwrap()).into_iter().map(|c| (c.name, c.before, c.after)).collect();
        let line = |name: &str, before: &str, after: &str| (name.to_owned(), before.to_owned(), after.to_owned());
        let expected = [
            line("banned", "false", "true"),
            line("created_at", "none", "28 May 2024, 08:00"),
            line("first_name", "none", "Ada"),
        ];
        assert_eq!(told, expected);
    }
}
