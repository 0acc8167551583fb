//! The search form over the log: what its six fields mean, in the words that people type.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::super::{link, when};
use crate::api_key::KeyId;
use crate::audit::{Actions, Actor, Filter};
use crate::http::call::Call;
use crate::http::problem::Problem;
use crate::page::PageRequest;
use crate::store::{Store, UserFilter};
use crate::user::{ClerkId, UserId, UserRef};

/// The form's fields, in its order. What they are called is what the API calls them.
const FIELDS: [&str; 7] = ["action", "subject", "actor", "address", "from", "to", "looks"];

/// Actors that have a name of their own: what is offered first, then what else may be typed.
const ACTORS: [(&[&str], Actor); 4] = [
    (&["clerk"], Actor::Clerk),
    (&["terminal", "cli", "the terminal", "command line"], Actor::Cli),
    (&["system", "rollbook"], Actor::System),
    (&["stranger", "strangers", "anonymous"], Actor::Anonymous),
];

/// What is offered for the field of who did it, while typing. Admins and keys besides.
pub(super) fn actors() -> impl Iterator<Item = &'static str> {
    ACTORS.into_iter().map(|(words, _)| words[0])
}

/// What the address of a page asks for: the form's fields, and others that the page knows.
#[derive(Debug, Default)]
pub(super) struct Search(BTreeMap<String, String>);

impl Search {
    /// Reads the query, in which `more` may stand besides the form's fields.
    ///
    /// # Errors
    /// 400 for an unknown field, or one that stands twice.
    pub(super) fn read(call: &Call, more: &[&str]) -> Result<Self, Problem> {
        let wrong = || Problem::bad_request("A query parameter is unknown or given twice.");
        let mut fields = BTreeMap::new();
        for (name, value) in call.query::<Vec<(String, String)>>()? {
            let known = FIELDS.contains(&&*name) || more.contains(&&*name);
            if !known || fields.insert(name, value).is_some() {
                return Err(wrong());
            }
        }
        Ok(Self(fields))
    }

    /// What was typed, as it was typed.
    pub(super) fn typed(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// The field as it stands in the address, if it is there.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The field's value, trimmed, unless it is empty.
    fn filled(&self, name: &str) -> Option<&str> {
        Some(self.typed(name).trim()).filter(|text| !text.is_empty())
    }

    /// The fields of the form that are filled in, by name.
    pub(super) fn filters(&self) -> Vec<(&'static str, &str)> {
        FIELDS.into_iter().filter_map(|name| Some((name, self.filled(name)?))).collect()
    }

    /// What the fields ask for, or what is wrong with them.
    ///
    /// # Errors
    /// 503 when the store cannot be read.
    pub(super) async fn filter(&self, store: &Store) -> Result<Result<Filter, &'static str>, Problem> {
        let mut filter = match self.plain() {
            Ok(filter) => filter,
            Err(alert) => return Ok(Err(alert)),
        };
        if let Some(action) = filter.action {
            filter.action = Some(group(store, action).await?);
        }
        if let Some(text) = self.filled("subject") {
            match person(store, text).await? {
                Ok(id) => filter.subject = Some(id),
                Err(alert) => return Ok(Err(alert)),
            }
        }
        if let Some(text) = self.filled("actor") {
            match actor(store, text).await? {
                Ok(actor) => filter.actor = Some(actor),
                Err(alert) => return Ok(Err(alert)),
            }
        }
        Ok(Ok(filter))
    }

    /// The same, as far as the store need not be asked.
    fn plain(&self) -> Result<Filter, &'static str> {
        let day = "A day is written like 2024-05-28.";
        let action = self.filled("action").map(str::parse).transpose();
        let without_looks = match self.filled("looks") {
            None => false,
            Some("without") => true,
            Some(_) => return Err("Entries are shown with those that say only that somebody looked, or without."),
        };
        let address = self.filled("address").map(str::parse::<IpAddr>).transpose();
        let from = self.filled("from").map(|text| when::day_begins(text).ok_or(day)).transpose()?;
        let to = self.filled("to").map(|text| when::day_ends(text).ok_or(day)).transpose()?;
        if from.zip(to).is_some_and(|(from, to)| from >= to) {
            return Err("The first day is after the last.");
        }
        Ok(Filter {
            action: action.map_err(|_| "An action is written like user.created, or user.* for all that begin so.")?,
            address: address.map_err(|_| "A network address is written like 192.0.2.7 or 2001:db8::7.")?,
            from,
            to,
            without_looks,
            ..Filter::default()
        })
    }
}

/// A word without a dot stands for all actions that begin so, unless it is an action itself: some type of Clerk's might be.
async fn group(store: &Store, action: Actions) -> Result<Actions, Problem> {
    Ok(match action {
        Actions::Named(word) if !word.contains('.') && !store.actions().await?.contains(&word) => {
            Actions::Beginning(format!("{word}."))
        }
        action => action,
    })
}

/// Who is meant: by a word of its own, as the log has it (`admin:ada`), by the name of an admin or API key, or as
/// [`person`] has it.
async fn actor(store: &Store, text: &str) -> Result<Result<Actor, &'static str>, Problem> {
    let word = text.to_lowercase();
    if let Some((_, actor)) = ACTORS.into_iter().find(|(words, _)| words.contains(&&*word)) {
        return Ok(Ok(actor));
    }
    let admin = |name: &str| link::is_admin_name(name).then(|| Actor::Admin(name.to_owned()));
    let key = |id: &str| id.parse::<KeyId>().ok().map(Actor::Key);
    if let Some((sort, name)) = text.split_once(':') {
        let named = match sort.trim() {
            "admin" => admin(name.trim()),
            "key" => key(name.trim()),
            "user" => return Ok(person(store, name.trim()).await?.map(Actor::User)),
            _ => None,
        };
        return Ok(named.ok_or(NOBODY));
    }
    if let Some(key) = key(text) {
        return Ok(Ok(key));
    }
    if link::is_admin_name(text) && store.admin(text)?.is_some() {
        return Ok(Ok(Actor::Admin(text.to_owned())));
    }
    if let Some(key) = store.api_keys().await?.into_iter().find(|key| key.name.as_str() == text) {
        return Ok(Ok(Actor::Key(key.id)));
    }
    let is_person = text.contains('@') || text.starts_with("user_") || matches!(text.parse(), Ok(UserRef::Id(_)));
    if is_person {
        return Ok(person(store, text).await?.map(Actor::User));
    }
    // An admin that was, perhaps.
    Ok(admin(text).ok_or(NOBODY))
}

/// What is said where an actor is not understood.
const NOBODY: &str = "Who did it is clerk, terminal, system or stranger, the name of an admin or API key, or a person by \
                      e-mail address or id.";

/// What is said where a person is not understood.
const NO_PERSON: &str = "A person is meant by e-mail address or id.";

/// The person meant by an e-mail address, by our id or by Clerk's. What looks like none of them is refused unless somebody is
/// called so: the search is noted in the log with whom it was about, and a name typed by mistake would stand there.
async fn person(store: &Store, text: &str) -> Result<Result<ClerkId, &'static str>, Problem> {
    if text.contains('@') {
        let mut found = Vec::new();
        for deleted in [false, true] {
            let filter = UserFilter { email: Some(text.to_owned()), deleted, ..UserFilter::default() };
            found.extend(store.users(filter, PageRequest::default()).await?.items);
        }
        return Ok(match &found[..] {
            [user] => Ok(user.clerk_id.clone()),
            [] => Err("Nobody on the roll has that address."),
            _ => Err("Several people have or had that address. Please use the id of the one you mean."),
        });
    }
    Ok(match text.parse() {
        Ok(UserRef::Clerk(id)) => {
            let is_known = text.starts_with("user_")
                || !matches!(Actor::acting(&id), Actor::User(_))
                || store.user(UserId::of(&id))?.is_some()
                || store.deleted_at(&id)?.is_some();
            is_known.then_some(id).ok_or(NO_PERSON)
        }
        Ok(UserRef::Id(id)) => store.user(id)?.map(|user| user.clerk_id).ok_or("Nobody on the roll has that id."),
        Err(_) => Err(NO_PERSON),
    })
}
