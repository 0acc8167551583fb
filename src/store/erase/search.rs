//! What a person is looked for by, and where it counts as found.
//!
//! What is found is erased, so a person must not be able to choose a user name by which other people's entries go: a user
//! name or external id counts only where something says that it is one. An id, an address or a number counts wherever
//! it stands by itself.

use std::collections::BTreeSet;

use memchr::memmem::{self, Finder};
use serde_json::{Map, Value};

use super::super::erased::BLANK;
use crate::user::{ClerkId, Handle, HandleKind};

/// What is shorter could be part of anything, in bytes.
const SHORTEST: usize = 5;

/// A person's Clerk id and handles, ready to be looked for.
pub(super) struct Search {
    id: ClerkId,
    handles: BTreeSet<Handle>,
    /// Each of them in lower case, as it stands in JSON and as it stands in JSON that is quoted in JSON.
    finders: Vec<Finder<'static>>,
}

impl Search {
    pub(super) fn new(id: ClerkId, mut handles: BTreeSet<Handle>) -> Self {
        handles.retain(|handle| handle.as_str().len() >= SHORTEST);
        let mut forms = BTreeSet::new();
        for text in handles.iter().map(Handle::as_str).chain([id.as_str()]) {
            let lower = text.to_lowercase();
            let once = quoted(&lower);
            forms.insert(quoted(&once));
            forms.insert(once);
            forms.insert(lower);
        }
        let finders = forms.iter().map(|form| Finder::new(form.as_bytes()).into_owned()).collect();
        Self { id, handles, finders }
    }

    /// The same search for all but those handles.
    pub(super) fn without(&self, others: &BTreeSet<Handle>) -> Self {
        Self::new(self.id.clone(), self.handles.difference(others).cloned().collect())
    }

    /// What is looked for besides the id.
    pub(super) const fn handles(&self) -> &BTreeSet<Handle> {
        &self.handles
    }

    /// Whether a row could hold any of it: quick, and never wrong when it says no. `lower` is room to work in.
    pub(super) fn may_be_in(&self, row: &[u8], lower: &mut Vec<u8>) -> bool {
        lower.clear();
        if row.is_ascii() {
            lower.extend(row.iter().map(u8::to_ascii_lowercase));
        } else {
            lower.extend(String::from_utf8_lossy(row).to_lowercase().bytes());
        }
        self.finders.iter().any(|finder| finder.find(lower).is_some())
    }

    /// Whether the JSON value speaks of the person.
    pub(super) fn is_in(&self, value: &Value) -> bool {
        self.is_under(value, None)
    }

    fn is_under(&self, value: &Value, kind: Option<HandleKind>) -> bool {
        match value {
            Value::String(text) => self.names(text, kind),
            Value::Array(items) => items.iter().any(|item| self.is_under(item, kind)),
            Value::Object(members) => members.iter().any(|(name, value)| {
                self.names(name, None) || self.is_under(value, HandleKind::of_member(name).or(kind))
            }),
            _ => false,
        }
    }

    /// Whether the text, which may be no JSON, speaks of the person.
    pub(super) fn is_in_text(&self, text: &str) -> bool {
        match serde_json::from_str::<Value>(text) {
            Ok(value) => self.is_in(&value),
            Err(_) => self.names(text, None),
        }
    }

    /// Blanks every text in the object that speaks of the person; in an object inside it that describes the person,
    /// such as a member of an organisation, every text there is. Says whether there was anything.
    pub(super) fn blank(&self, object: &mut Map<String, Value>) -> bool {
        let mut found = false;
        for (name, mut value) in std::mem::take(object) {
            found |= self.blank_value(&mut value, HandleKind::of_member(&name));
            let named = self.names(&name, None);
            found |= named;
            object.insert(if named { BLANK.to_owned() } else { name }, value);
        }
        found
    }

    fn blank_value(&self, value: &mut Value, kind: Option<HandleKind>) -> bool {
        match value {
            Value::String(text) if self.names(text, kind) => {
                BLANK.clone_into(text);
                true
            }
            Value::Array(items) => items.iter_mut().fold(false, |found, item| self.blank_value(item, kind) | found),
            Value::Object(members) if self.is_described(members) => {
                members.values_mut().for_each(blank_all);
                true
            }
            Value::Object(members) => self.blank(members),
            _ => false,
        }
    }

    fn is_described(&self, object: &Map<String, Value>) -> bool {
        ["user_id", "id"].iter().any(|name| object.get(*name).and_then(Value::as_str) == Some(self.id.as_str()))
    }

    /// Whether a text names the person; `kind` is what the member it stands in says it is.
    fn names(&self, text: &str, kind: Option<HandleKind>) -> bool {
        stands_in(text, self.id.as_str(), |c| c.is_ascii_alphanumeric() || c == '_')
            || self.handles.iter().any(|handle| match handle.kind() {
                HandleKind::Email => {
                    let part_of_address = |c: char| c.is_alphanumeric() || "._%+-".contains(c);
                    stands_in(&text.to_lowercase(), handle.as_str(), part_of_address)
                }
                HandleKind::Phone => stands_in(text, handle.as_str(), |c| c.is_ascii_digit()),
                named => kind == Some(named) && text.to_lowercase() == handle.as_str().to_lowercase(),
            })
    }
}

/// Whether `wanted` stands in the text and is not part of something longer of its kind.
fn stands_in(text: &str, wanted: &str, is_part: impl Fn(char) -> bool) -> bool {
    memmem::find_iter(text.as_bytes(), wanted).any(|at| {
        let before = text[..at].chars().next_back();
        let mut after = text[at + wanted.len()..].chars();
        // A full stop behind it ends a sentence, unless something follows.
        let goes_on = match after.next() {
            Some('.') => is_part('.') && after.next().is_some_and(char::is_alphanumeric),
            next => next.is_some_and(&is_part),
        };
        !before.is_some_and(&is_part) && !goes_on
    })
}

fn blank_all(value: &mut Value) {
    match value {
        Value::String(text) => BLANK.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(blank_all),
        Value::Object(members) => members.values_mut().for_each(blank_all),
        _ => {}
    }
}

/// The text as it stands between the quotes of a JSON string.
fn quoted(text: &str) -> String {
    let json = Value::from(text).to_string();
    json[1..json.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn ada() -> Search {
        let handle = |(kind, text)| Handle::new(kind, text).unwrap();
        let handles = [
            (HandleKind::Email, "ada@example.org"),
            (HandleKind::Email, "\"a b\"@example.org"),
            (HandleKind::Email, "Éva@example.org"),
            (HandleKind::Phone, "+15555550101"),
            (HandleKind::Username, "verified"),
            (HandleKind::ExternalId, "instance"),
            (HandleKind::ExternalId, "7"),
        ];
        Search::new("user_Ada1".parse().unwrap(), handles.map(handle).into())
    }

    #[test]
    fn ids_addresses_and_numbers_are_found_wherever_they_stand_alone() {
        let yes = [
            json!("user_Ada1"),
            json!({ "a": [{ "b": "https://img.example.com/user_Ada1.png" }] }),
            json!("ADA@Example.org"),
            json!("mailto:ada@example.org."),
            json!("Ada <ada@example.org>, ada@example.com"),
            json!({ "ada@example.org": 1 }),
            json!("Éva@example.org"),
            json!("\"a b\"@example.org"),
            json!("tel:+15555550101"),
        ];
        let no = [
            json!("user_Ada12"),
            json!("user_ada1"),
            json!("ada@example.org.uk"),
            json!("granada@example.org"),
            json!("x.ada@example.org"),
            json!("+155555501011"),
            json!(15_555_550_101_i64),
        ];
        for (value, expected) in yes.into_iter().map(|v| (v, true)).chain(no.into_iter().map(|v| (v, false))) {
            assert_eq!(ada().is_in(&value), expected, "{value}");
            let (row, quoted) = (value.to_string(), Value::from(value.to_string()).to_string());
            let may = [row, quoted].map(|row| ada().may_be_in(row.as_bytes(), &mut Vec::new()));
            assert!(!expected || may == [true, true], "{value}");
        }
    }

    #[test]
    fn a_chosen_name_counts_only_where_it_is_said_to_be_one() {
        for (value, expected) in [
            (json!({ "status": "verified" }), false),
            (json!({ "instance": "x", "verified": "verified" }), false),
            (json!({ "username": "Verified" }), true),
            (json!({ "changes": { "username": { "before": "verified", "after": null } } }), true),
            (json!({ "username": "verified too" }), false),
            (json!({ "external_id": "instance" }), true),
            (json!({ "external_id": "7" }), false),
        ] {
            assert_eq!(ada().is_in(&value), expected, "{value}");
        }
    }

    #[test]
    fn text_that_is_no_json_is_searched_too() {
        assert!(ada().is_in_text("{ broken: ada@example.org"));
        assert!(ada().is_in_text(r#"{"a":"ada@example.org"}"#));
        assert!(!ada().is_in_text("{ broken: verified"));
    }

    #[test]
    fn what_names_the_person_is_blanked_and_nothing_else() {
        let object = json!({
            "id": "org_1", "created_by": "user_Ada1", "name": "Ada & Co", "user_Ada1": 1,
            "members": [
                { "user_id": "user_Ada1", "first_name": "Ada", "identifier": "x", "n": 7, "more": ["Ada"] },
                { "user_id": "user_Bob1", "first_name": "Bob", "manager": "Ada@example.org" },
            ],
        });
        let mut object = object.as_object().unwrap().clone();
        assert!(ada().blank(&mut object));
        let blanked = json!({
            "id": "org_1", "created_by": "[erased]", "name": "Ada & Co", "[erased]": 1,
            "members": [
                { "user_id": "[erased]", "first_name": "[erased]", "identifier": "[erased]", "n": 7, "more": ["[erased]"] },
                { "user_id": "user_Bob1", "first_name": "Bob", "manager": "[erased]" },
            ],
        });
        assert_eq!(Value::Object(object.clone()), blanked);
        assert!(!ada().blank(&mut object));
        let others = BTreeSet::from([Handle::new(HandleKind::Email, "ada@example.org").unwrap()]);
        assert!(!ada().without(&others).is_in(&json!("ada@example.org")));
    }
}
