//! Data files as earlier versions of Rollbook wrote them, made out of one of this version.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use redb::{Database, ReadableTable as _, TableDefinition, TableHandle as _, WriteTransaction};
use serde_json::Value;

/// The schema that this version writes.
pub const CURRENT: u32 = 5;

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta-1");
const LOG: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("audit_meta-1");
const USERS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("users-1");
const INDEX: TableDefinition<'_, (&str, u128), ()> = TableDefinition::new("user_index-1");

/// The tables that each schema brought.
pub const BROUGHT: [(u32, &[&str]); 4] = [
    (2, &["audit_checkpoint-1", "value_tags-1", "erased-1"]),
    (3, &["api_keys-1"]),
    (4, &["audit_by_facet-1", "hours-1"]),
    (5, &["walk_marks-1", "targets-1", "target_courses-1"]),
];

/// Makes the file at `path` what the version of that schema would have left. One of schema 1 signed nothing: it has
/// no key and no mark beside it.
pub fn make_older(path: &Path, schema: u32) {
    change(path, |txn| downgrade(txn, schema));
    if schema < 2 {
        for suffix in [".key", ".hwm"] {
            let mut beside = path.as_os_str().to_owned();
            beside.push(suffix);
            fs::remove_file(beside).unwrap();
        }
    }
}

/// The same inside of a transaction.
pub fn downgrade(txn: &WriteTransaction, schema: u32) {
    for (_, names) in BROUGHT.iter().filter(|(brought, _)| *brought > schema) {
        for name in *names {
            drop_table(txn, name);
        }
    }
    if schema < 3 {
        list_users_as_of_schema_2(txn);
    }
    if schema < 2 {
        drop(txn.open_table(LOG).unwrap().remove("identity").unwrap());
    }
    stamp(txn, schema);
}

/// Says of the file that it is of that schema.
pub fn stamp(txn: &WriteTransaction, schema: u32) {
    drop(txn.open_table(META).unwrap().insert("schema", &schema.to_be_bytes()[..]).unwrap());
}

/// Removes a table, whatever its rows are.
pub fn drop_table(txn: &WriteTransaction, name: &str) {
    let table = txn.list_tables().unwrap().find(|table| table.name() == name).unwrap();
    assert!(txn.delete_table(table).unwrap());
}

/// Other facets, and no word of Clerk Billing's.
fn list_users_as_of_schema_2(txn: &WriteTransaction) {
    assert!(txn.delete_table(INDEX).unwrap());
    let (mut index, mut users) = (txn.open_table(INDEX).unwrap(), txn.open_table(USERS).unwrap());
    let row = |row: &[u8]| serde_json::from_slice::<Value>(row).unwrap();
    let rows: Vec<(u128, Value)> =
        users.iter().unwrap().map(Result::unwrap).map(|(id, text)| (id.value(), row(text.value()))).collect();
    for (id, mut row) in rows {
        for facet in ["la", "lrUSER", "ltann tester"] {
            index.insert((facet, id), ()).unwrap();
        }
        row.as_object_mut().unwrap().remove("subscription");
        users.insert(id, serde_json::to_string(&row).unwrap().as_bytes()).unwrap();
    }
}

/// Changes a file by hand.
pub fn change(path: &Path, change: impl FnOnce(&WriteTransaction)) {
    let db = Database::create(path).unwrap();
    let txn = db.begin_write().unwrap();
    change(&txn);
    txn.commit().unwrap();
}
