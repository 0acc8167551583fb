//! Entries of the book as lists show them: people by name, changes in words. All that is known of one is on a page of its
//! own, where its number leads.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::brief::{brief, weight};
use super::view::{self, number};
use super::when::When;
use crate::audit::{Actor, Entry, Source};
use crate::clock::Timestamp;
use crate::http::problem::Problem;
use crate::store::{self, Store};
use crate::user::{ClerkId, User, UserId};

/// What a name may weigh, in bytes of HTML.
const NAME: usize = 96;

/// The heaviest value shown in a line.
const VALUE: usize = 64;

/// What all values of a line may weigh.
const VALUES: usize = 256;

/// So many names of changed fields are shown in a line.
const NAMES: usize = 6;

/// The address of an entry's page begins so, and goes on with its number.
pub(super) const ENTRY: &str = "/admin/audit/";

/// An entry for a list.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) seq: u64,
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
    /// Names of fields that changed, where no values are shown.
    pub(super) changed: Vec<String>,
    /// Values before and after, as far as they fit into a line.
    pub(super) changes: Vec<Change>,
    /// How many more fields changed.
    pub(super) more: usize,
    /// How many of what there were, in words.
    pub(super) count: Option<String>,
    pub(super) reason: Option<String>,
    /// Whether the log was reviewed up to here.
    pub(super) reviewed: bool,
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

/// A field with its values before and after.
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
        let target = leaf.target.filter(|_| target_user.is_none() || target_user.as_ref() != self.about);
        let (changes, of) = detail.as_ref().map(short_changes).unwrap_or_default();
        let all = leaf.changed.len().max(of);
        let mut names = if changes.is_empty() { leaf.changed } else { Vec::new() };
        names.truncate(NAMES);
        Ok(Row {
            seq,
            number: number(seq),
            at: When::second(leaf.at, self.now),
            tone: tone(&leaf.outcome),
            notable: !matches!(leaf.outcome.as_str(), "ok" | "applied" | "recorded"),
            actor: self.party(leaf.actor, actor_user.as_ref())?,
            impersonator: self.optional(leaf.impersonator, impersonator_user.as_ref())?,
            target: self.optional(target, target_user.as_ref())?,
            count: leaf.count.and_then(|count| counted(&leaf.action, count)),
            reason: leaf.reason.map(|reason| spoken(&leaf.action, reason)),
            action: leaf.action,
            outcome: leaf.outcome,
            more: all - changes.len().max(names.len()),
            changes,
            changed: names,
            reviewed: false,
        })
    }

    fn optional(&mut self, reference: Option<String>, person: Option<&ClerkId>) -> Result<Option<Party>, Problem> {
        reference.map(|reference| self.party(reference, person)).transpose()
    }

    fn party(&mut self, reference: String, person: Option<&ClerkId>) -> Result<Party, Problem> {
        let Some(id) = person else {
            let page = [("key:", "/admin/keys"), ("target:", "/admin/targets")];
            let page = page.into_iter().find(|(kind, _)| reference.starts_with(kind));
            let href = page.map(|(_, page)| page.to_owned());
            return Ok(Party { name: in_words(&reference), href, reference });
        };
        let name = if let Some(known) = self.people.get(id) {
            known.clone()
        } else {
            let found = readable(self.store.user(UserId::of(id)))?.map(|user| brief(&call_name(&user), NAME));
            self.people.insert(id.clone(), found.clone());
            found
        };
        let (name, href) = match (name, Actor::acting(id).word()) {
            (Some(name), _) => (name, Some(format!("{}{}", view::USER, UserId::of(id)))),
            // One of us, who acts as somebody: what they did so.
            (None, Some(word)) => (in_words(&word), Some(format!("/admin/audit?subject={id}"))),
            (None, None) => (id.to_string(), None),
        };
        Ok(Party { name, href, reference })
    }
}

/// What to call somebody or something that is no person we know.
fn in_words(reference: &str) -> String {
    match reference {
        "clerk" => "Clerk".to_owned(),
        "cli" => "somebody at the terminal".to_owned(),
        "system" => "Rollbook itself".to_owned(),
        "anonymous" => "a stranger".to_owned(),
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

/// Somebody whom a list only names: one whose row cannot be read is named as if they had none, and the rest of the list is
/// still there for whoever has to find out what happened.
///
/// # Errors
/// When the file as a whole cannot be read.
pub(super) fn readable(found: Result<Option<User>, store::Error>) -> Result<Option<User>, store::Error> {
    match found {
        Err(store::Error::Corrupt(cause)) => {
            tracing::warn!(cause, "admin.unreadable_row");
            Ok(None)
        }
        found => found,
    }
}

/// What an entry of that action counts. Where it stands for several of its kind, it says so with a sign.
fn counted(action: &str, count: u64) -> Option<String> {
    let (one, many) = match action {
        "events.read" => ("event", "events"),
        "user.erased" | "audit.reviewed" | "log.pruned" | "log.verified" => ("entry", "entries"),
        "value.looked_up" => ("found", "found"),
        "sync.finished" | "sync.drift" => ("user differed", "users differed"),
        action if action.ends_with(".listed") => ("shown", "shown"),
        _ => return (count != 1).then(|| format!("× {}", number(count))),
    };
    Some(format!("{} {}", number(count), if count == 1 { one } else { many }))
}

/// A reason as people say it, if it is one of our words and no sentence of theirs.
fn spoken(action: &str, reason: String) -> String {
    if action == "backup.made"
        && let Some(words) = no_backup(&reason)
    {
        return words.to_owned();
    }
    let is_word = reason.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if is_word { reason.replace('_', " ") } else { reason }
}

/// Why there is no backup.
fn no_backup(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "folder" => "the folder does not take files",
        "taken" => "something has that name already",
        "no_room" => "there is too little room",
        "write" => "the copy could not be written",
        "unsound" => "the copy’s log is not whole, or could not be checked",
        "in_doubt" => "the log is in doubt",
        "stopped" => "stopped before it was done",
        "store" => "the data file could not be read or written",
        _ => return None,
    })
}

pub(super) fn tone(outcome: &str) -> &'static str {
    match outcome {
        "ok" | "applied" => "good",
        "denied" | "quarantined" => "warn",
        "error" => "bad",
        _ => "quiet",
    }
}

pub(super) fn source(source: Source) -> &'static str {
    match source {
        Source::Webhook => "webhook",
        Source::Api => "API",
        Source::Admin => "admin page",
        Source::Cli => "command line",
        Source::Sync => "sync",
        Source::System => "Rollbook itself",
    }
}

/// The changes whose values fit into a line, and how many there are in all.
fn short_changes(detail: &Map<String, Value>) -> (Vec<Change>, usize) {
    let all = changes(detail);
    let (of, mut left) = (all.len(), VALUES);
    let fits = |change: &Change| {
        let values = [weight(&change.before), weight(&change.after)];
        let sum: usize = values.iter().sum();
        let fits = values.iter().all(|value| *value <= VALUE) && sum <= left;
        left -= if fits { sum } else { 0 };
        fits
    };
    let plain = |name: &String| detail.get("changes").and_then(|fields| fields.get(name)).is_some_and(is_plain);
    (all.into_iter().filter(|change| plain(&change.name)).filter(fits).collect(), of)
}

/// Whether neither the value before nor the one after has parts.
fn is_plain(values: &Value) -> bool {
    let has_parts = |which| matches!(values.get(which), Some(Value::Array(_) | Value::Object(_)));
    !has_parts("before") && !has_parts("after")
}

/// The changes that a detail tells, in words.
pub(super) fn changes(detail: &Map<String, Value>) -> Vec<Change> {
    let Some(Value::Object(fields)) = detail.get("changes") else { return Vec::new() };
    let change = |(name, values): (&String, &Value)| Change {
        name: name.clone(),
        before: in_line(name, values.get("before")),
        after: in_line(name, values.get("after")),
    };
    fields.iter().map(change).collect()
}

/// A value in one line.
fn in_line(name: &str, value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "none".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "empty".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => match other.as_i64() {
            Some(at) if name.ends_with("_at") => When::minute(Timestamp::from_seconds_or_millis(at)).words,
            _ => other.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_count_says_what_was_counted() {
        let said = |action, count| counted(action, count).unwrap_or_default();
        assert_eq!(said("users.listed", 1), "1 shown");
        assert_eq!(said("events.read", 1_000), "1,000 events");
        assert_eq!((said("user.erased", 1), said("audit.reviewed", 2)), ("1 entry".into(), "2 entries".into()));
        assert_eq!(
            (said("sync.finished", 0), said("sync.drift", 1)),
            ("0 users differed".into(), "1 user differed".into())
        );
        assert_eq!((said("api.denied", 1), said("api.denied", 3)), (String::new(), "× 3".into()));
    }

    #[test]
    fn reasons_are_said_in_words_and_names_as_they_are() {
        assert_eq!(spoken("api.denied", "other_instance".into()), "other instance");
        assert_eq!(spoken("user.erased", "They asked: ada_l.".into()), "They asked: ada_l.");
        assert_eq!(spoken("backup.made", "folder".into()), "the folder does not take files");
        assert_eq!(spoken("backup.removed", "folder".into()), "folder");
        assert_eq!((in_words("admin:admin"), in_words("admin:ada")), ("admin admin".into(), "admin ada".into()));
    }

    #[test]
    fn short_changes_are_told_in_a_line() {
        let detail = serde_json::json!({ "ip": "192.0.2.1", "changes": {
            "banned": { "before": false, "after": true },
            "created_at": { "before": null, "after": 1_716_883_200_000_i64 },
            "email_addresses": { "before": [], "after": [1] },
            "first_name": { "before": null, "after": "Ada" },
            "last_name": { "after": "x".repeat(VALUE + 1) },
            "username": { "before": "a".repeat(VALUE), "after": "b".repeat(VALUE) },
            "web3": { "before": "a".repeat(VALUE), "after": "b".repeat(VALUE) },
        }});
        let (told, of) = short_changes(detail.as_object().unwrap());
        assert_eq!(of, 7);
        let told: Vec<_> = told.into_iter().map(|c| (c.name, c.before, c.after)).collect();
        let line = |name: &str, before: &str, after: &str| (name.to_owned(), before.to_owned(), after.to_owned());
        let expected = [
            line("banned", "false", "true"),
            line("created_at", "none", "28 May 2024, 08:00"),
            line("first_name", "none", "Ada"),
            line("username", &"a".repeat(VALUE), &"b".repeat(VALUE)),
        ];
        assert_eq!(told, expected);
    }
}
