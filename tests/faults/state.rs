//! What a data file says, without what was left to chance: two files that were made alike are in the same state. Salts,
//! references, keys and all that follows from them differ from file to file; that they are right is said elsewhere.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use redb::{Database, ReadableDatabase as _};
use serde_json::Value;

use super::script::OLD;
use crate::file::{self, rows};

/// Table → a hash over what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State(BTreeMap<String, u64>);

impl State {
    pub(crate) fn of(db: &Database) -> Self {
        let mut tables = file::hashes(db);
        let txn = db.begin_read().unwrap();
        let people: BTreeMap<String, String> =
            rows::<&str, &str, _>(&txn, "subject_refs-1", |reference, id| (reference.to_owned(), id.to_owned()))
                .into_iter()
                .collect();
        let known = |json: &[u8]| known(json, &people);
        // What was there before is to the byte what it was.
        let entry = |seq: u64, json: &[u8]| match seq {
            ..OLD => format!("{seq} {}", hash(&[String::from_utf8_lossy(json).into_owned()])),
            OLD.. => format!("{seq} {}", known(json)),
        };
        let mut put = |name: &str, mut rows: Vec<String>| {
            rows.sort();
            assert!(tables.insert(name.to_owned(), hash(&rows)).is_some());
        };
        put("audit_leaf", rows::<u64, &[u8], _>(&txn, "audit_leaf-1", |seq, leaf| entry(seq, leaf)));
        put("audit_detail", rows::<u64, &[u8], _>(&txn, "audit_detail-1", |seq, row| entry(seq, &row[32..])));
        put(
            "audit_checkpoint",
            rows::<(u64, u64), &[u8], _>(&txn, "audit_checkpoint-1", |key, row| format!("{key:?} {:?}", &row[..8])),
        );
        put("subjects", rows::<&str, &[u8], _>(&txn, "subjects-1", |id, row| format!("{id} {:?}", &row[..8])));
        put("subject_refs", people.values().cloned().collect());
        put("api_keys", rows::<&[u8; 32], &[u8], _>(&txn, "api_keys-1", |_, row| known(row)));
        let tags = rows::<(u64, &[u8; 32]), (u64, u64), _>(&txn, "value_tags-1", |(person, _), between| {
            format!("{person} {between:?}")
        });
        put("value_tags", tags);
        // Of the head, the size; whether the root is right is another question.
        put(
            "audit_meta",
            rows::<&str, &[u8], _>(&txn, "audit_meta-1", |name, row| match name {
                "head" => format!("{:?}", &row[..8]),
                "identity" => known(row),
                _ => format!("{name} {row:?}"),
            }),
        );
        put(
            "audit_tile",
            rows::<(u8, u64), &[u8], _>(&txn, "audit_tile-1", |key, row| format!("{key:?} {}", row.len())),
        );
        Self(tables)
    }

    /// The tables in which it differs from another.
    pub(crate) fn differs_from(&self, other: &Self) -> Vec<&str> {
        self.0.iter().filter(|(name, hash)| other.0[*name] != **hash).map(|(name, _)| name.as_str()).collect()
    }
}

fn hash(rows: &[String]) -> u64 {
    let mut hasher = DefaultHasher::new();
    rows.hash(&mut hasher);
    hasher.finish()
}

/// A JSON text in which people go by their ids, and what was made up by chance is left out.
fn known(json: &[u8], people: &BTreeMap<String, String>) -> String {
    let mut value: Value = serde_json::from_slice(json).unwrap();
    for name in ["detail", "tags", "vkey", "former", "id"] {
        if let Some(value) = value.get_mut(name) {
            *value = true.into();
        }
    }
    rename(&mut value, people);
    value.to_string()
}

fn rename(value: &mut Value, people: &BTreeMap<String, String>) {
    match value {
        Value::String(text) => {
            let reference = text.strip_prefix("user:").unwrap_or(text);
            if reference.starts_with("s1.") {
                *text = people.get(reference).cloned().unwrap_or_else(|| "somebody".to_owned());
            } else if text.starts_with("key:") {
                text.truncate(4);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| rename(value, people)),
        Value::Object(members) => members.values_mut().for_each(|value| rename(value, people)),
        _ => {}
    }
}
