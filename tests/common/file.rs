//! The data file as a stranger finds it: read with redb, and checked with other people's SHA-256, Merkle
//! tree and canonical JSON. Nothing here calls the code under test.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use redb::{Database, Key, ReadTransaction, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use redb::{StorageBackend, TableHandle as _, Value as Stored};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

type Bytes = &'static [u8];
type Text = &'static str;

/// A table as text: its keys as they print, its values with every byte visible.
pub type Table = BTreeMap<String, String>;

/// Opens the file at `path`, which nobody may be using.
pub fn open(path: &Path) -> Database {
    Database::open(path).unwrap()
}

/// Opens the file that the disk holds.
pub fn open_disk(disk: &(impl StorageBackend + Clone)) -> Database {
    Database::builder().create_with_backend(disk.clone()).unwrap()
}

/// What `$make` makes of each table, by its name.
macro_rules! all_tables {
    ($make:ident, $txn:expr) => {
        BTreeMap::from(
            [
                ("meta", $make::<Text, Bytes>($txn, "meta-1")),
                ("users", $make::<u128, Bytes>($txn, "users-1")),
                ("user_tombstones", $make::<Text, i64>($txn, "user_tombstones-1")),
                ("erased", $make::<u128, i64>($txn, "erased-1")),
                ("user_index", $make::<(Text, u128), ()>($txn, "user_index-1")),
                ("sign_ins", $make::<Text, i64>($txn, "sign_ins-1")),
                ("objects", $make::<(Text, Text), Bytes>($txn, "objects-1")),
                ("object_children", $make::<(Text, Text, Text), ()>($txn, "object_children-1")),
                ("deliveries", $make::<Text, u64>($txn, "deliveries-1")),
                ("hours", $make::<u64, Bytes>($txn, "hours-1")),
                ("quarantine", $make::<u64, Bytes>($txn, "quarantine-1")),
                ("audit_leaf", $make::<u64, Bytes>($txn, "audit_leaf-1")),
                ("audit_detail", $make::<u64, Bytes>($txn, "audit_detail-1")),
                ("audit_tile", $make::<(u8, u64), Bytes>($txn, "audit_tile-1")),
                ("audit_meta", $make::<Text, Bytes>($txn, "audit_meta-1")),
                ("audit_checkpoint", $make::<(u64, u64), Bytes>($txn, "audit_checkpoint-1")),
                ("audit_by_subject", $make::<(u64, u64), ()>($txn, "audit_by_subject-1")),
                ("audit_by_action", $make::<(Text, u64), ()>($txn, "audit_by_action-1")),
                ("audit_by_facet", $make::<(Text, u64), ()>($txn, "audit_by_facet-1")),
                ("subjects", $make::<Text, Bytes>($txn, "subjects-1")),
                ("subject_refs", $make::<Text, Text>($txn, "subject_refs-1")),
                ("value_tags", $make::<(u64, &'static [u8; 32]), (u64, u64)>($txn, "value_tags-1")),
                ("walk_marks", $make::<(u8, u128), ()>($txn, "walk_marks-1")),
                ("targets", $make::<Text, Bytes>($txn, "targets-1")),
                ("target_courses", $make::<Text, Bytes>($txn, "target_courses-1")),
                ("admins", $make::<Text, Bytes>($txn, "admins-1")),
                ("admin_links", $make::<&'static [u8; 32], Bytes>($txn, "admin_links-1")),
                ("admin_sessions", $make::<&'static [u8; 32], Bytes>($txn, "admin_sessions-1")),
                ("api_keys", $make::<&'static [u8; 32], Bytes>($txn, "api_keys-1")),
            ]
            .map(|(name, made)| (name.to_owned(), made)),
        )
    };
}

/// Everything in the file, table by table. Fails when the file has a table that is not known here: it
/// would go unchecked.
pub fn dump(db: &Database) -> BTreeMap<String, Table> {
    let txn = db.begin_read().unwrap();
    let tables = all_tables!(table, &txn);
    let known: BTreeSet<String> = tables.keys().map(|name| format!("{name}-1")).collect();
    let found: BTreeSet<String> = txn.list_tables().unwrap().map(|table| table.name().to_owned()).collect();
    assert_eq!(known, found);
    tables
}

/// Everything in the file of a server that runs, but for what it adds of itself while time passes: the entries and hours in
/// which strangers are counted, and checkpoints. Tiles, head and indexes follow from the leaves.
pub fn state(path: &Path) -> BTreeMap<String, Table> {
    // A copy that was the same twice was not written to meanwhile.
    let read = || std::fs::read(path).unwrap();
    let mut bytes = read();
    loop {
        let again = read();
        if again == bytes {
            break;
        }
        bytes = again;
    }
    let copy = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(copy.path(), bytes).unwrap();
    let mut tables = dump(&open(copy.path()));
    let follow = |name: &str| name.starts_with("audit_") && !matches!(name, "audit_leaf" | "audit_detail");
    tables.retain(|name, _| name != "hours" && !follow(name));
    let leaves = tables.get_mut("audit_leaf").unwrap();
    let counted: Vec<_> =
        leaves.extract_if(.., |_, leaf| leaf.contains(r#"\"actor\":\"anonymous\""#)).map(|(seq, _)| seq).collect();
    tables.get_mut("audit_detail").unwrap().retain(|seq, _| !counted.contains(seq));
    tables
}

fn table<K: Key + 'static, V: Stored + 'static>(txn: &ReadTransaction, name: &str) -> Table {
    let rows = txn.open_table(TableDefinition::<K, V>::new(name)).unwrap();
    let shown = |value: V::SelfType<'_>| V::as_bytes(&value).as_ref().escape_ascii().to_string();
    let rows = rows.iter().unwrap().map(Result::unwrap);
    rows.map(|(key, value)| (format!("{:?}", key.value()), shown(value.value()))).collect()
}

/// A hash over each table, which tells quickly whether two of them are the same.
pub fn hashes(db: &Database) -> BTreeMap<String, u64> {
    let txn = db.begin_read().unwrap();
    all_tables!(hash, &txn)
}

fn hash<K: Key + 'static, V: Stored + 'static>(txn: &ReadTransaction, name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    let rows = txn.open_table(TableDefinition::<K, V>::new(name)).unwrap();
    for row in rows.iter().unwrap() {
        let (key, value) = row.unwrap();
        K::as_bytes(&key.value()).as_ref().hash(&mut hasher);
        V::as_bytes(&value.value()).as_ref().hash(&mut hasher);
    }
    hasher.finish()
}

/// All rows of a table, in the table's order, each made into something that outlives the transaction.
pub fn rows<K: Key + 'static, V: Stored + 'static, T>(
    txn: &ReadTransaction,
    name: &str,
    make: impl Fn(K::SelfType<'_>, V::SelfType<'_>) -> T,
) -> Vec<T> {
    let rows = txn.open_table(TableDefinition::<K, V>::new(name)).unwrap();
    rows.iter().unwrap().map(Result::unwrap).map(|(key, value)| make(key.value(), value.value())).collect()
}

/// svix-id → the entry it left.
pub fn deliveries(db: &Database) -> BTreeMap<String, u64> {
    let txn = db.begin_read().unwrap();
    rows::<Text, u64, _>(&txn, "deliveries-1", |id, seq| (id.to_owned(), seq)).into_iter().collect()
}

/// The roll, with JSON read and our ids replaced by Clerk's.
#[derive(Debug, PartialEq)]
pub struct Roll {
    /// Clerk id → row.
    pub users: BTreeMap<String, Value>,
    /// Clerk id → when the user was deleted.
    pub tombstones: BTreeMap<String, i64>,
    /// Facet and Clerk id.
    pub index: BTreeSet<(String, String)>,
    /// Clerk id → the newest sign-in of somebody not on the roll.
    pub sign_ins: BTreeMap<String, i64>,
    /// Kind and Clerk id → row.
    pub objects: BTreeMap<(String, String), Value>,
    /// Parent, kind and Clerk id.
    pub children: BTreeSet<(String, String, String)>,
}

pub fn roll(db: &Database) -> Roll {
    let txn = db.begin_read().unwrap();
    let json = |row: &[u8]| serde_json::from_slice::<Value>(row).unwrap();
    let users = rows::<u128, Bytes, _>(&txn, "users-1", |id, row| (id, json(row)));
    let name = |id: u128| match users.iter().find(|(number, _)| *number == id) {
        Some((_, row)) => row["clerk_id"].as_str().unwrap().to_owned(),
        None => format!("nobody: {id}"),
    };
    let index = rows::<(Text, u128), (), _>(&txn, "user_index-1", |(facet, id), ()| (facet.to_owned(), name(id)));
    let object = |(kind, id): (&str, &str), row: &[u8]| ((kind.to_owned(), id.to_owned()), json(row));
    let child = |(parent, kind, id): (&str, &str, &str), ()| (parent.to_owned(), kind.to_owned(), id.to_owned());
    Roll {
        index: index.into_iter().collect(),
        sign_ins: rows::<Text, i64, _>(&txn, "sign_ins-1", |id, at| (id.to_owned(), at)).into_iter().collect(),
        objects: rows::<(Text, Text), Bytes, _>(&txn, "objects-1", object).into_iter().collect(),
        children: rows::<(Text, Text, Text), (), _>(&txn, "object_children-1", child).into_iter().collect(),
        tombstones: tombstones(db),
        users: users.iter().map(|(id, row)| (name(*id), row.clone())).collect(),
    }
}

/// Clerk id → row.
pub fn users(db: &Database) -> BTreeMap<String, Value> {
    let txn = db.begin_read().unwrap();
    let row = |_, row: &[u8]| serde_json::from_slice::<Value>(row).unwrap();
    let rows = rows::<u128, Bytes, _>(&txn, "users-1", row);
    rows.into_iter().map(|row| (row["clerk_id"].as_str().unwrap().to_owned(), row)).collect()
}

/// Clerk id → when the user was deleted.
pub fn tombstones(db: &Database) -> BTreeMap<String, i64> {
    let txn = db.begin_read().unwrap();
    rows::<Text, i64, _>(&txn, "user_tombstones-1", |id, at| (id.to_owned(), at)).into_iter().collect()
}

/// The entries whose deliveries are in quarantine.
pub fn quarantined(db: &Database) -> Vec<u64> {
    let txn = db.begin_read().unwrap();
    rows::<u64, Bytes, _>(&txn, "quarantine-1", |seq, _| seq)
}

/// Subject number and tag → the entries between which the person had the value.
pub fn tags(db: &Database) -> BTreeMap<(u64, [u8; 32]), (u64, u64)> {
    let txn = db.begin_read().unwrap();
    let row = |(person, tag): (u64, &[u8; 32]), between: (u64, u64)| ((person, *tag), between);
    rows::<(u64, &'static [u8; 32]), (u64, u64), _>(&txn, "value_tags-1", row).into_iter().collect()
}

/// Clerk id → subject number.
pub fn subjects(db: &Database) -> BTreeMap<String, u64> {
    let txn = db.begin_read().unwrap();
    let number = |id: &str, row: &[u8]| (id.to_owned(), u64::from_be_bytes(row[..8].try_into().unwrap()));
    rows::<Text, Bytes, _>(&txn, "subjects-1", number).into_iter().collect()
}

/// The place of the oldest leaf that was not pruned.
pub fn first(db: &Database) -> u64 {
    let txn = db.begin_read().unwrap();
    let meta = rows::<Text, Bytes, _>(&txn, "audit_meta-1", |name, row| (name.to_owned(), row.to_vec()));
    let first = meta.into_iter().find(|(name, _)| name == "first");
    first.map_or(0, |(_, row)| u64::from_be_bytes(row.try_into().unwrap()))
}

/// All leaves that were not pruned, in the log's order.
pub fn leaves(db: &Database) -> Vec<Vec<u8>> {
    let txn = db.begin_read().unwrap();
    let leaves = rows::<u64, Bytes, _>(&txn, "audit_leaf-1", |seq, leaf| (seq, leaf.to_vec()));
    assert!((first(db)..).zip(&leaves).all(|(place, (seq, _))| place == *seq), "the log has a gap");
    leaves.into_iter().map(|(_, leaf)| leaf).collect()
}

/// An observer of the log, who remembers what it said before: nothing of that may ever change.
#[derive(Clone)]
pub struct Witness {
    tree: MemoryBackedTree<Sha256, Vec<u8>>,
    hashes: Vec<[u8; 32]>,
    last_at: i64,
}

impl Default for Witness {
    fn default() -> Self {
        Self { tree: MemoryBackedTree::new(), hashes: Vec::new(), last_at: 0 }
    }
}

impl Witness {
    /// How many entries the log had when last seen.
    pub fn size(&self) -> usize {
        self.tree.items().len()
    }

    /// The root that the log had when it had so many entries.
    pub fn root_at(&self, size: usize) -> [u8; 32] {
        root(&self.hashes[..size])
    }

    /// Checks all that the log promises, and that it only grew since the last time, but for what was pruned.
    pub fn follow(&mut self, db: &Database) {
        let txn = db.begin_read().unwrap();
        let (first, leaves) = (first(db), leaves(db));
        let pruned = usize::try_from(first).unwrap();
        assert!(leaves.starts_with(&self.tree.items()[pruned..]), "the log's past has changed");
        let parsed: Vec<Value> = leaves.iter().map(|leaf| serde_json::from_slice(leaf).unwrap()).collect();
        for (leaf, value) in leaves.into_iter().zip(&parsed).skip(self.size() - pruned) {
            assert_eq!(serde_json_canonicalizer::to_vec(value).unwrap(), leaf, "a leaf is not canonical JSON");
            let at = value["at"].as_i64().unwrap();
            assert!(at >= self.last_at, "the log's time goes back");
            self.last_at = at;
            self.hashes.push(Sha256::new().chain_update([0]).chain_update(&leaf).finalize().into());
            self.tree.push(leaf);
        }
        self.check_head(&txn);
        self.check_tiles(&txn);
        let parsed: Vec<(u64, Value)> = (first..).zip(parsed).collect();
        check_first(&txn, &parsed);
        let erased = Erased::of(&txn, &parsed);
        check_details(&txn, &parsed, &erased);
        check_lists(&txn, &parsed, &erased);
        check_deliveries(db, &parsed);
    }

    fn check_head(&self, txn: &ReadTransaction) {
        let meta = rows::<Text, Bytes, _>(txn, "audit_meta-1", |name, row| (name.to_owned(), row.to_vec()));
        let meta: BTreeMap<_, _> = meta.into_iter().collect();
        let head = [&(self.size() as u64).to_be_bytes()[..], &self.tree.root().as_bytes()[..]].concat();
        assert_eq!(meta.get("head"), (self.size() > 0).then_some(&head), "the root does not follow from the leaves");
        let last_at = self.last_at.to_be_bytes().to_vec();
        assert_eq!(meta.get("last_at"), (self.size() > 0).then_some(&last_at));
    }

    /// The rows of tlog-tiles: the hashes of each level in tiles of 256, the last one as far as it goes.
    fn check_tiles(&self, txn: &ReadTransaction) {
        let mut expected = BTreeMap::new();
        let (mut level, mut hashes) = (0_u8, self.hashes.clone());
        while !hashes.is_empty() {
            for (index, tile) in (0_u64..).zip(hashes.chunks(256)) {
                expected.insert((level, index), tile.concat());
            }
            hashes = hashes.as_chunks::<256>().0.iter().map(|tile| root(tile)).collect();
            level += 1;
        }
        let found = rows::<(u8, u64), Bytes, _>(txn, "audit_tile-1", |key, row| (key, row.to_vec()));
        assert!(found.into_iter().collect::<BTreeMap<_, _>>() == expected, "the tiles do not follow from the leaves");
    }
}

/// The root over these leaves or full subtrees, RFC 6962 §2.1.
fn root(hashes: &[[u8; 32]]) -> [u8; 32] {
    if let [] | [_] = hashes {
        return hashes.first().copied().unwrap_or_else(|| Sha256::digest([]).into());
    }
    let (left, right) = hashes.split_at(hashes.len().next_power_of_two() / 2);
    Sha256::new().chain_update([1]).chain_update(root(left)).chain_update(root(right)).finalize().into()
}

/// What is gone was announced before it went, in whole bundles.
fn check_first(txn: &ReadTransaction, leaves: &[(u64, Value)]) {
    let first = leaves.first().map_or(0, |(first, _)| *first);
    let details = rows::<u64, Bytes, _>(txn, "audit_detail-1", |seq, row| (seq, row[32..].to_vec()));
    let details: BTreeMap<u64, Vec<u8>> = details.into_iter().collect();
    let announced = leaves.iter().filter(|(_, leaf)| leaf["action"] == "log.pruned").map(|(seq, _)| {
        let detail: Value = serde_json::from_slice(&details[seq]).unwrap();
        detail["first"].as_u64().unwrap()
    });
    assert!(first.is_multiple_of(256) && first <= announced.max().unwrap_or_default(), "{first} was not announced");
}

/// What erasures say is gone: the places of details, and people's references.
struct Erased {
    details: BTreeSet<u64>,
    people: BTreeSet<String>,
}

impl Erased {
    /// Reads it from the entries that erasures leave, as anybody could who knows the rule.
    fn of(txn: &ReadTransaction, leaves: &[(u64, Value)]) -> Self {
        let details = rows::<u64, Bytes, _>(txn, "audit_detail-1", |seq, row| (seq, row[32..].to_vec()));
        let details: BTreeMap<u64, Vec<u8>> = details.into_iter().collect();
        let mut erased = Self { details: BTreeSet::new(), people: BTreeSet::new() };
        let is_erasure = |leaf: &Value| leaf["action"] == "user.erased" && leaf["source"] != "webhook";
        for (seq, leaf) in leaves.iter().filter(|(_, leaf)| is_erasure(leaf)) {
            erased.people.insert(leaf["target"].as_str().unwrap().to_owned());
            let detail = details.get(seq).map(|json| serde_json::from_slice::<Value>(json).unwrap());
            let text = detail.as_ref().and_then(|detail| detail["entries"].as_str()).unwrap_or_default();
            let mut listed = BTreeSet::new();
            for range in text.split(',').filter(|range| !range.is_empty()) {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                listed.extend(first.parse::<u64>().unwrap()..=last.parse().unwrap());
            }
            assert_eq!(
                leaf["count"].as_u64().unwrap_or(0),
                listed.len() as u64,
                "an erasure counts other than it lists"
            );
            assert!(listed.last().is_none_or(|last| last < seq), "an erasure speaks of what is behind it");
            erased.details.extend(listed);
        }
        erased
    }
}

/// Every detail is bound by its leaf, and every leaf that binds one has it, unless an erasure names it.
fn check_details(txn: &ReadTransaction, leaves: &[(u64, Value)], erased: &Erased) {
    let commitment = |_, row: &[u8]| URL_SAFE_NO_PAD.encode(Sha256::digest(row));
    let found = rows::<u64, Bytes, _>(txn, "audit_detail-1", |seq, row| (seq, commitment(seq, row)));
    let found: BTreeMap<u64, String> = found.into_iter().collect();
    let said = leaves.iter().filter_map(|(seq, leaf)| Some((*seq, leaf["detail"].as_str()?.to_owned())));
    let (gone, said): (BTreeMap<_, _>, BTreeMap<_, _>) = said.partition(|(seq, _)| erased.details.contains(seq));
    assert_eq!(found, said, "a detail is not what its leaf says");
    // Of what was erased, the oldest may have been pruned since.
    let kept: BTreeSet<u64> =
        leaves.first().map_or_else(BTreeSet::new, |(first, _)| erased.details.range(first..).copied().collect());
    assert_eq!(gone.into_keys().collect::<BTreeSet<u64>>(), kept, "what is said to be erased never was there");
}

/// The log's indexes say what the leaves and the details say, and a person's reference is their salted hash, unless an erasure names it.
fn check_lists(txn: &ReadTransaction, leaves: &[(u64, Value)], erased: &Erased) {
    let by_action = rows::<(Text, u64), (), _>(txn, "audit_by_action-1", |(action, seq), ()| (action.to_owned(), seq));
    let said = leaves.iter().map(|(seq, leaf)| (leaf["action"].as_str().unwrap().to_owned(), *seq));
    assert_eq!(by_action.into_iter().collect::<BTreeSet<(String, u64)>>(), said.collect());

    let by_facet = rows::<(Text, u64), (), _>(txn, "audit_by_facet-1", |(facet, seq), ()| (facet.to_owned(), seq));
    let actors = leaves.iter().filter_map(|(seq, leaf)| {
        let actor = leaf["actor"].as_str().filter(|actor| *actor != "clerk" && !actor.starts_with("user:"))?;
        Some((format!("actor:{actor}"), *seq))
    });
    let told = rows::<u64, Bytes, _>(txn, "audit_detail-1", |seq, row| {
        let detail: Value = serde_json::from_slice(&row[32..]).unwrap();
        Some((format!("ip:{}", detail["ip"].as_str()?.parse::<IpAddr>().ok()?.to_canonical()), seq))
    });
    let said: BTreeSet<(String, u64)> = actors.chain(told.into_iter().flatten()).collect();
    assert_eq!(by_facet.into_iter().collect::<BTreeSet<_>>(), said);

    let number = |row: &[u8]| u64::from_be_bytes(row[..8].try_into().unwrap());
    let subject = |id: &str, row: &[u8]| {
        let salted = Sha256::digest([&row[8..40], id.as_bytes()].concat());
        let reference = format!("s1.{}", URL_SAFE_NO_PAD.encode(salted));
        assert_eq!(reference.as_bytes(), &row[40..]);
        (reference, (number(row), id.to_owned()))
    };
    let subjects: BTreeMap<_, _> = rows::<Text, Bytes, _>(txn, "subjects-1", subject).into_iter().collect();
    let refs = rows::<Text, Text, _>(txn, "subject_refs-1", |reference, id| (reference.to_owned(), id.to_owned()));
    assert_eq!(refs, subjects.iter().map(|(r, (_, id))| (r.clone(), id.clone())).collect::<Vec<_>>());

    let mut said = BTreeSet::new();
    for (seq, leaf) in leaves {
        let people = ["target", "actor", "impersonator"].map(|name| leaf[name].as_str().unwrap_or_default());
        for person in people.map(|text| text.trim_start_matches("user:")).into_iter().filter(|p| p.starts_with("s1.")) {
            match subjects.get(person) {
                Some((number, _)) => drop(said.insert((*number, *seq))),
                None => assert!(erased.people.contains(person), "entry {seq} is about somebody unknown"),
            }
        }
    }
    let by_subject = rows::<(u64, u64), (), _>(txn, "audit_by_subject-1", |key, ()| key);
    assert_eq!(by_subject.into_iter().collect::<BTreeSet<_>>(), said);

    let known: BTreeSet<u64> = subjects.values().map(|(number, _)| *number).collect();
    let tagged = rows::<(u64, &'static [u8; 32]), (u64, u64), _>(txn, "value_tags-1", |(number, _), _| number);
    assert!(tagged.iter().all(|number| known.contains(number)), "a tag is nobody's");
}

/// Each delivery left exactly one entry, and another one where an admin had it applied later. No entry of a webhook is
/// without its delivery.
fn check_deliveries(db: &Database, leaves: &[(u64, Value)]) {
    let mut once: BTreeMap<String, u64> = BTreeMap::new();
    // How often a delivery was told of, less how often it was taken out of quarantine.
    let mut told: BTreeMap<&str, i64> = BTreeMap::new();
    for (seq, leaf) in leaves {
        let request = leaf["request"].as_str().unwrap_or_default();
        if leaf["source"] == "webhook" && leaf["actor"] == "clerk" {
            once.entry(request.to_owned()).or_insert(*seq);
            *told.entry(request).or_default() += 1;
        } else if leaf["action"] == "quarantine.reprocessed" && leaf["outcome"] != "quarantined" {
            *told.entry(request).or_default() -= 1;
        }
    }
    assert!(told.values().all(|times| *times == 1), "a delivery has two entries");
    assert_eq!(once, deliveries(db), "deliveries and entries differ");
}
