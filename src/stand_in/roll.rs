//! The users, in the order in which they signed up.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::json;
use crate::sample::Scene;

/// Between two people of a crowd, in milliseconds.
const APART: i64 = 1000;

/// When somebody signed up, and their id.
type Key = (i64, Arc<str>);

#[derive(Debug, Default)]
pub(super) struct Roll {
    users: BTreeMap<Key, Record>,
    signed_up: HashMap<Arc<str>, i64>,
}

/// What is known of a user, in as little room as that takes.
#[derive(Debug)]
pub(super) enum Record {
    /// The object, as text.
    Text(Box<str>),
    /// An invented person of that number, who is as they signed up.
    Invented(Arc<Scene>, usize),
}

/// A user of the roll.
#[derive(Debug, Clone, Copy)]
pub(super) struct User<'a> {
    pub(super) id: &'a str,
    created_at: i64,
    record: &'a Record,
}

impl Roll {
    /// `None` when the object says neither who it is nor since when.
    pub(super) fn put(&mut self, user: Map<String, Value>) -> Option<()> {
        let id: Arc<str> = user.get("id")?.as_str()?.into();
        let created_at = user.get("created_at").and_then(json::whole_number)?;
        self.insert(id, created_at, Record::Text(Value::Object(user).to_string().into()));
        Some(())
    }

    pub(super) fn put_crowd(&mut self, scene: &Scene, people: usize, since: Timestamp) {
        let scene = Arc::new(scene.clone());
        for (number, nth) in (0..people).zip(0_i64..) {
            let since = since.plus_millis(nth * APART);
            let id = scene.as_ref().clone().person(number, since).user_id().into();
            self.insert(id, since.as_millis(), Record::Invented(Arc::clone(&scene), number));
        }
    }

    fn insert(&mut self, id: Arc<str>, created_at: i64, record: Record) {
        if let Some(before) = self.signed_up.insert(Arc::clone(&id), created_at) {
            self.users.remove(&(before, Arc::clone(&id)));
        }
        self.users.insert((created_at, id), record);
    }

    pub(super) fn delete(&mut self, id: &str) -> bool {
        let known = self.signed_up.remove_entry(id);
        known.is_some_and(|(id, created_at)| self.users.remove(&(created_at, id)).is_some())
    }

    pub(super) fn user(&self, id: &str) -> Option<User<'_>> {
        let (id, created_at) = self.signed_up.get_key_value(id)?;
        let record = self.users.get(&(*created_at, Arc::clone(id)))?;
        Some(User { id, created_at: *created_at, record })
    }

    pub(super) fn len(&self) -> usize {
        self.users.len()
    }

    /// Those who signed up after that one, or all; the oldest first.
    pub(super) fn oldest_first(&self, after: Option<User<'_>>) -> impl Iterator<Item = User<'_>> {
        let bound = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.key()));
        self.users.range((bound, Bound::Unbounded)).map(User::of)
    }

    /// The same the other way round.
    pub(super) fn newest_first(&self, after: Option<User<'_>>) -> impl Iterator<Item = User<'_>> {
        let bound = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.key()));
        self.users.range((Bound::Unbounded, bound)).rev().map(User::of)
    }

    pub(super) fn all(&self) -> Vec<Map<String, Value>> {
        self.oldest_first(None).map(User::object).collect()
    }
}

impl<'a> User<'a> {
    fn of(((created_at, id), record): (&'a Key, &'a Record)) -> Self {
        Self { id, created_at: *created_at, record }
    }

    fn key(self) -> Key {
        (self.created_at, self.id.into())
    }

    /// The object as JSON.
    pub(super) fn text(self) -> Cow<'a, str> {
        match self.record {
            Record::Text(text) => Cow::Borrowed(text),
            Record::Invented(..) => Cow::Owned(Value::Object(self.object()).to_string()),
        }
    }

    pub(super) fn object(self) -> Map<String, Value> {
        let made = match self.record {
            Record::Text(text) => serde_json::from_str(text).unwrap_or_default(),
            Record::Invented(scene, number) => {
                let since = Timestamp::from_millis(self.created_at);
                scene.as_ref().clone().person(*number, since).visit(0, since).user(since)
            }
        };
        if let Value::Object(user) = made { user } else { Map::new() }
    }
}
