//! What a person goes by: the values that identify somebody. They are what an erasure looks for, and what "was this
//! address ever on file?" is asked about.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json::{Fields, Object};

/// Members of Clerk's user object that hold handles.
const MEMBERS: [&str; 4] = ["email_addresses", "external_id", "phone_numbers", "username"];

/// What kind of value it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HandleKind {
    /// An e-mail address.
    Email,
    /// A phone number (E.164).
    Phone,
    /// A user name.
    Username,
    /// The operator's own id for the person, as told to Clerk.
    ExternalId,
}

/// Text that names no kind of handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("one of email, phone, username and external-id")]
pub struct BadHandleKind;

impl HandleKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Email, Self::Phone, Self::Username, Self::ExternalId];

    /// The member in which Clerk's objects hold a value of this kind.
    #[must_use]
    pub const fn member(self) -> &'static str {
        match self {
            Self::Email => "email_address",
            Self::Phone => "phone_number",
            Self::Username => "username",
            Self::ExternalId => "external_id",
        }
    }

    /// The kind of value that a member of that name holds.
    #[must_use]
    pub fn of_member(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.member() == name)
    }
}

impl fmt::Display for HandleKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Username => "username",
            Self::ExternalId => "external-id",
        })
    }
}

impl FromStr for HandleKind {
    type Err = BadHandleKind;

    fn from_str(s: &str) -> Result<Self, BadHandleKind> {
        Self::ALL.into_iter().find(|kind| kind.to_string() == s).ok_or(BadHandleKind)
    }
}

/// One such value in the form it is compared in: e-mail addresses in lower case, the rest as Clerk has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle {
    kind: HandleKind,
    text: String,
}

impl Handle {
    /// The value in the form it is compared in; `None` when nothing is left of it.
    #[must_use]
    pub fn new(kind: HandleKind, text: &str) -> Option<Self> {
        let text = text.trim();
        let text = if kind == HandleKind::Email { text.to_lowercase() } else { text.to_owned() };
        (!text.is_empty()).then_some(Self { kind, text })
    }

    /// What somebody may mean who typed this: of the kind they say, else of every kind it could be. Phone numbers may
    /// be typed with spaces and marks.
    #[must_use]
    pub fn typed(text: &str, kind: Option<HandleKind>) -> Vec<Self> {
        let text = text.trim();
        let phone = || text.chars().filter(|c| *c == '+' || c.is_ascii_digit()).collect::<String>();
        let kinds = match kind {
            Some(HandleKind::Phone) => return Self::new(HandleKind::Phone, &phone()).into_iter().collect(),
            Some(kind) => vec![kind],
            None if text.starts_with('+') => return Self::new(HandleKind::Phone, &phone()).into_iter().collect(),
            None if text.contains('@') => vec![HandleKind::Email],
            None => vec![HandleKind::Username, HandleKind::ExternalId],
        };
        kinds.into_iter().filter_map(|kind| Self::new(kind, text)).collect()
    }

    /// What kind of value it is.
    #[must_use]
    pub const fn kind(&self) -> HandleKind {
        self.kind
    }

    /// The value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// The handles that Clerk's user object puts on file: every address and number, the user name, the external id.
#[must_use]
pub fn handles(clerk: &Object) -> BTreeSet<Handle> {
    of_fields(&clerk.fields())
}

/// Every handle that stands anywhere in `value`, which is a user object or says how one changed. Those of accounts
/// elsewhere are among them; metadata is the application's own and is not looked into.
#[must_use]
pub fn handles_within(value: &Value) -> BTreeSet<Handle> {
    let mut found = BTreeSet::new();
    collect(value, None, &mut found);
    found
}

/// Handles that came on file for a person, or were taken away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HandleChanges {
    /// On file from now on.
    pub came: Vec<Handle>,
    /// No longer on file.
    pub went: Vec<Handle>,
    /// On file at some time before, as late news says.
    pub were: Vec<Handle>,
}

impl HandleChanges {
    /// From one user object to another; `None` where there is none.
    #[must_use]
    pub fn between(before: Option<&Object>, after: Option<&Object>) -> Self {
        let (before, after) = (before.map(Object::fields), after.map(Object::fields));
        Self::of(before.as_ref(), after.as_ref())
    }

    /// The same for objects whose members were already read.
    #[must_use]
    pub fn of(before: Option<&Fields<'_>>, after: Option<&Fields<'_>>) -> Self {
        if MEMBERS.iter().all(|name| text(before, name) == text(after, name)) {
            return Self::default();
        }
        let before = before.map(of_fields).unwrap_or_default();
        let after = after.map(of_fields).unwrap_or_default();
        Self {
            came: after.difference(&before).cloned().collect(),
            went: before.difference(&after).cloned().collect(),
            were: Vec::new(),
        }
    }

    /// What a user object says that is older than the one on file.
    #[must_use]
    pub fn late(clerk: &Object) -> Self {
        Self { were: handles(clerk).into_iter().collect(), ..Self::default() }
    }

    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.came.is_empty() && self.went.is_empty() && self.were.is_empty()
    }
}

fn text<'a>(fields: Option<&Fields<'a>>, name: &str) -> Option<&'a str> {
    Some(fields?.raw(name)?.get())
}

fn of_fields(user: &Fields<'_>) -> BTreeSet<Handle> {
    let mut found = BTreeSet::new();
    for name in MEMBERS {
        if let Some(value) = user.value::<Value>(name) {
            collect(&value, HandleKind::of_member(name), &mut found);
        }
    }
    found
}

/// `kind`: what texts here are, by the member they stand in.
fn collect(value: &Value, kind: Option<HandleKind>, found: &mut BTreeSet<Handle>) {
    match value {
        Value::String(text) => found.extend(kind.and_then(|kind| Handle::new(kind, text))),
        Value::Array(items) => items.iter().for_each(|item| collect(item, kind, found)),
        Value::Object(members) => {
            for (name, value) in members.iter().filter(|(name, _)| !name.ends_with("_metadata")) {
                collect(value, HandleKind::of_member(name).or(kind), found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn object(value: &Value) -> Object {
        Object::new(value.as_object().unwrap().clone())
    }

    fn said(handles: impl IntoIterator<Item = Handle>) -> Vec<String> {
        handles.into_iter().map(|handle| format!("{} {}", handle.kind(), handle.as_str())).collect()
    }

    #[test]
    fn a_user_object_puts_addresses_numbers_and_names_on_file() {
        let user = json!({
            "username": "ada", "external_id": "crm-1", "first_name": "Ada",
            "email_addresses": [{ "email_address": "Ada@Example.org", "linked_to": [{ "type": "oauth_google" }] }],
            "phone_numbers": [{ "phone_number": "+15555550101" }],
            "external_accounts": [{ "email_address": "ada@example.com", "username": "lovelace" }],
            "public_metadata": { "email_address": "boss@example.org" },
        });
        let own = ["email ada@example.org", "phone +15555550101", "username ada", "external-id crm-1"];
        assert_eq!(said(handles(&object(&user))), own);
        let all = said(handles_within(&user));
        assert_eq!(all.len(), 6, "{all:?}");
        assert!(all.iter().any(|h| h == "email ada@example.com") && all.iter().any(|h| h == "username lovelace"));
    }

    #[test]
    fn changes_say_what_came_and_what_went() {
        let user =
            |email: &str| json!({ "username": "ada", "email_addresses": [{ "id": "1", "email_address": email }] });
        let (before, after) = (object(&user("a@example.org")), object(&user("b@example.org")));
        let changes = HandleChanges::between(Some(&before), Some(&after));
        assert_eq!(
            (said(changes.came), said(changes.went)),
            (vec!["email b@example.org".into()], vec!["email a@example.org".into()])
        );
        let case = object(&user("A@example.org"));
        assert!(HandleChanges::between(Some(&before), Some(&case)).is_empty());
        assert_eq!(HandleChanges::between(None, Some(&after)).came.len(), 2);
        assert_eq!(HandleChanges::between(Some(&before), None).went.len(), 2);
        let values = json!({ "username": { "before": "ada", "after": null } });
        assert_eq!(said(handles_within(&values)), ["username ada"]);
    }

    #[test]
    fn what_is_typed_is_taken_for_what_it_looks_like() {
        assert_eq!(said(Handle::typed(" Ada@Example.org ", None)), ["email ada@example.org"]);
        assert_eq!(said(Handle::typed("+1 (555) 555-0101", None)), ["phone +15555550101"]);
        assert_eq!(said(Handle::typed("ada", None)), ["username ada", "external-id ada"]);
        assert_eq!(said(Handle::typed("a@b", Some(HandleKind::ExternalId))), ["external-id a@b"]);
        assert!(Handle::typed(" ", None).is_empty());
        assert_eq!("external-id".parse(), Ok(HandleKind::ExternalId));
        assert_eq!("Email".parse::<HandleKind>(), Err(BadHandleKind));
    }
}
