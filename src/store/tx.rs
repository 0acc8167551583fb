//! One transaction of the writer: the tables, the state it will leave behind, and the log's append.

use std::time::Instant;

use redb::{ReadableTable as _, WriteTransaction};

use super::error::Error;
use super::state::{State, join_head};
use super::tables::Tables;
use crate::audit::{self, Actor, Draft, Leaf, MAX_DETAIL, Salt, Target};
use crate::clock::Timestamp;
use crate::merkle::{Tile, leaf_hash};
use crate::user::ClerkId;

/// A transaction under way.
pub(super) struct Tx<'txn> {
    pub(super) tables: Tables<'txn>,
    pub(super) state: &'txn mut State,
    /// When the operation now running was asked for.
    pub(super) since: Instant,
    full_tiles: Vec<Tile>,
    written: Vec<Written>,
}

/// An entry that this transaction appends.
pub(super) struct Written {
    pub(super) seq: u64,
    pub(super) leaf: Leaf,
    /// When the operation that appends it was asked for.
    pub(super) since: Instant,
}

/// How a person stands in the log.
pub(super) struct Subject {
    pub(super) number: u64,
    pub(super) salt: Salt,
    pub(super) reference: String,
}

/// Whom an entry names, as its leaf says it.
struct Named {
    target: Option<String>,
    actor: String,
    impersonator: Option<String>,
    people: Vec<Subject>,
    /// Whether nobody was left out for having been erased.
    all_known: bool,
}

impl<'txn> Tx<'txn> {
    pub(super) fn open(txn: &'txn WriteTransaction, state: &'txn mut State) -> Result<Self, Error> {
        let tables = Tables::open(txn)?;
        Ok(Self { tables, state, since: Instant::now(), full_tiles: Vec::new(), written: Vec::new() })
    }

    /// Writes what the operations left to the end: the log's tiles and head, the counts.
    pub(super) fn finish(mut self) -> Result<Vec<Written>, Error> {
        if !self.written.is_empty() {
            for tile in self.full_tiles.drain(..).chain(self.state.log.take_partial()) {
                self.tables.audit_tile.insert((tile.level, tile.index), tile.hashes.as_flattened())?;
            }
            let head = join_head(self.state.log.size(), &self.state.log.root());
            self.tables.audit_meta.insert("head", &head[..])?;
            self.tables.audit_meta.insert("last_at", &self.state.last_at.as_millis().to_be_bytes()[..])?;
        }
        let stats = serde_json::to_vec(&self.state.stats).unwrap_or_default();
        self.tables.meta.insert("stats", &stats[..])?;
        self.put_hour()?;
        Ok(self.written)
    }

    /// Appends an entry to the log and returns its place. If the clock was turned back, an entry before it says so.
    pub(super) fn append(&mut self, draft: &Draft, now: Timestamp) -> Result<u64, Error> {
        // Without an entry there are as many users as in the hour before.
        self.note_hour(now)?;
        if let Some(step) = self.state.wall.step() {
            self.append_alone(&step, now)?;
        }
        self.append_alone(draft, now)
    }

    fn append_alone(&mut self, draft: &Draft, now: Timestamp) -> Result<u64, Error> {
        let seq = self.state.log.size();
        let Named { target, actor, impersonator, people, all_known } = self.named(draft)?;
        // What is told of somebody erased, who cannot be found by it any more, could never be erased again.
        let detail = if all_known { self.put_detail(seq, draft)? } else { None };
        // The log's time never goes back, whatever the clock does, so that it can be searched by time.
        self.state.last_at = self.state.last_at.max(now);
        let leaf = Leaf {
            action: draft.action.clone(),
            actor,
            at: self.state.last_at,
            changed: draft.changed.clone(),
            count: draft.count,
            detail,
            event_at: draft.event_at,
            impersonator,
            outcome: draft.outcome.to_owned(),
            reason: draft.reason.map(str::to_owned),
            request: draft.request.clone(),
            source: draft.source,
            target,
            v: 1,
        };
        self.put_leaf(seq, leaf, &people)?;
        Ok(seq)
    }

    /// Everybody the entry names, by their references, which are made up at their first mention.
    fn named(&mut self, draft: &Draft) -> Result<Named, Error> {
        let mut people: Vec<Subject> = Vec::new();
        let mut all_known = true;
        let mut refer = |tx: &mut Self, id: &ClerkId| -> Result<Option<String>, Error> {
            let Some(subject) = tx.subject(id)? else {
                all_known = false;
                return Ok(None);
            };
            let reference = subject.reference.clone();
            people.push(subject);
            Ok(Some(reference))
        };
        let target = match &draft.target {
            Some(Target::User(id)) => refer(self, id)?,
            Some(Target::Object(key)) => Some(key.to_string()),
            Some(Target::Key(id)) => Some(format!("key:{id}")),
            None => None,
        };
        let reference = match &draft.actor {
            Actor::User(id) => refer(self, id)?.map(|reference| format!("user:{reference}")),
            other => other.word(),
        };
        let actor = reference.unwrap_or_else(|| "anonymous".to_owned());
        let impersonator = match &draft.impersonator {
            Some(id) => refer(self, id)?,
            None => None,
        };
        Ok(Named { target, actor, impersonator, people, all_known })
    }

    fn put_leaf(&mut self, seq: u64, leaf: Leaf, people: &[Subject]) -> Result<(), Error> {
        let bytes = leaf.to_bytes();
        if bytes.len() > audit::MAX_LEAF {
            return Err(Error::Corrupt("an entry is too long"));
        }
        self.tables.audit_leaf.insert(seq, &bytes[..])?;
        self.state.log.push(leaf_hash(&bytes), &mut self.full_tiles);
        self.tables.audit_by_action.insert((leaf.action.as_str(), seq), ())?;
        for subject in people {
            self.tables.audit_by_subject.insert((subject.number, seq), ())?;
        }
        self.list_by_actor(seq, &leaf)?;
        self.written.push(Written { seq, leaf, since: self.since });
        Ok(())
    }

    /// Stores an entry's detail with a fresh salt, and returns the commitment to it.
    fn put_detail(&mut self, seq: u64, draft: &Draft) -> Result<Option<String>, Error> {
        let whole = self.detail(seq, draft)?;
        if whole.is_empty() {
            return Ok(None);
        }
        self.list_by_address(seq, &whole)?;
        let mut detail = serde_json::to_vec(&whole).unwrap_or_default();
        if detail.len() > MAX_DETAIL {
            // Only what was sent can be that long; the record itself still holds the new values.
            let mut shorter = whole.into_owned();
            for long in ["changes", "note", "envelope"] {
                shorter.remove(long);
            }
            shorter.insert("truncated".to_owned(), true.into());
            detail = serde_json::to_vec(&shorter).unwrap_or_default();
            if detail.len() > MAX_DETAIL {
                // Their own table has them all.
                shorter.remove("tags");
                detail = serde_json::to_vec(&shorter).unwrap_or_default();
            }
        }
        let salt = fresh_salt()?;
        self.tables.audit_detail.insert(seq, &[&salt[..], &detail].concat()[..])?;
        Ok(Some(audit::commitment(&salt, &detail)))
    }

    /// How a person stands in the log, made up at their first mention; `None` for somebody who was erased.
    pub(super) fn subject(&mut self, id: &ClerkId) -> Result<Option<Subject>, Error> {
        if let Some(row) = self.tables.subjects.get(id.as_str())? {
            return read_subject(row.value()).map(Some);
        }
        if self.erased_at(id)?.is_some() {
            return Ok(None);
        }
        self.state.stats.subjects += 1;
        let number = self.state.stats.subjects;
        let salt = fresh_salt()?;
        let reference = audit::subject_ref(&salt, id);
        let row = [&number.to_be_bytes()[..], &salt, reference.as_bytes()].concat();
        self.tables.subjects.insert(id.as_str(), &row[..])?;
        self.tables.subject_refs.insert(reference.as_str(), id.as_str())?;
        Ok(Some(Subject { number, salt, reference }))
    }
}

/// Reads a row of the subjects' table.
pub(super) fn read_subject(row: &[u8]) -> Result<Subject, Error> {
    let corrupt = || Error::Corrupt("a subject");
    let (number, rest) = row.split_at_checked(8).ok_or_else(corrupt)?;
    let (salt, reference) = rest.split_at_checked(32).ok_or_else(corrupt)?;
    Ok(Subject {
        number: u64::from_be_bytes(number.try_into().map_err(|_| corrupt())?),
        salt: salt.try_into().map_err(|_| corrupt())?,
        reference: String::from_utf8(reference.to_vec()).map_err(|_| corrupt())?,
    })
}

fn fresh_salt() -> Result<Salt, Error> {
    let mut salt = [0; 32];
    // Without randomness a salt would hide nothing, so nothing is written.
    getrandom::fill(&mut salt).map_err(|_| Error::Corrupt("no randomness for a salt"))?;
    Ok(salt)
}
