//! Finding what there is of a person. Only reads, in steps of their own transactions, so that neither the writer waits
//! nor pages pile up that could be used again. What changes behind its back leaves entries, and those the writer looks
//! at before it erases anything.

use std::collections::BTreeSet;
use std::ops::Bound;

use memchr::memmem;
use redb::{Key, ReadTransaction, ReadableTable as _, ReadableTableMetadata as _, TableDefinition};
use serde_json::{Map, Value};

use super::super::Store;
use super::super::error::Error;
pub(super) use super::super::mirror::decode as mirrored;
use super::super::quarantine::Quarantined;
use super::super::tables::{self, open};
use super::super::targets;
use super::super::tx::read_subject;
use super::super::users::decode;
use super::search::Search;
use super::{Extent, MANY, Progress};
use crate::audit::{Erasure, Leaf, Ranges};
use crate::target::TargetName;
use crate::user::{ClerkId, Handle, UserId, UserRef, handles_within};

/// So many rows are looked at in one read transaction.
const STEP: usize = 5_000;

/// What there is of a person, as of the log's size `until`.
pub(super) struct Survey {
    pub(super) person: ClerkId,
    /// Everything they go or went by.
    pub(super) handles: BTreeSet<Handle>,
    /// What they are looked for by.
    pub(super) search: Search,
    /// Handles that somebody else has as well: what stands elsewhere may be about the other.
    pub(super) shared: BTreeSet<Handle>,
    /// Entries from here on were not looked at.
    pub(super) until: u64,
    /// Entries whose details speak of the person.
    pub(super) details: Ranges,
    /// Mirrored objects that name the person, by kind and id, and are not theirs.
    pub(super) objects: BTreeSet<(String, String)>,
    /// Other people whose records name the person.
    pub(super) users: BTreeSet<u128>,
    /// Deliveries in quarantine that name the person.
    pub(super) quarantine: Ranges,
    pub(super) extent: Extent,
}

/// What the indexes and the record say of a person.
struct Known {
    /// As far as they tell.
    extent: Extent,
    number: Option<u64>,
    reference: String,
    handles: BTreeSet<Handle>,
    until: u64,
    /// How many rows there are to look at.
    rows: u64,
}

impl Survey {
    /// Everything there is of the person; `None` when neither the roll nor the log knows them.
    pub(super) fn make(store: &Store, who: &UserRef, progress: &dyn Fn(Progress)) -> Result<Option<Self>, Error> {
        let Some(known) = store.read(|txn| Known::find(txn, who))? else { return Ok(None) };
        let mut walk = Walk { store, progress, done: 0, of: known.rows };
        let (details, past) = match known.number {
            Some(number) => walk.own_details(number, &known.reference)?,
            None => Default::default(),
        };
        let person = known.extent.person.clone();
        let handles: BTreeSet<Handle> = known.handles.union(&past).cloned().collect();
        let mut survey = Self {
            search: Search::new(person.clone(), handles.clone()),
            handles,
            shared: BTreeSet::new(),
            person,
            until: known.until,
            details,
            objects: BTreeSet::new(),
            users: BTreeSet::new(),
            quarantine: Ranges::default(),
            extent: known.extent,
        };
        // First of all the other people: who shares a handle decides what is looked for in the rest.
        survey.look_at_users(&mut walk)?;
        survey.search = survey.search.without(&survey.shared);
        survey.look_at_objects(&mut walk)?;
        survey.look_at_details(&mut walk)?;
        survey.look_at_quarantine(&mut walk)?;
        survey.extent.details = survey.details.count();
        survey.extent.mentions = (survey.users.len() + survey.objects.len()) as u64;
        survey.extent.quarantined = survey.quarantine.count();
        survey.extent.shared = survey.shared.len() as u64;
        Ok(Some(survey))
    }

    /// Whether the text, which stays, would tell who the person was.
    pub(super) fn is_named_in(&self, text: &str) -> bool {
        let is_mark = |c: char| c.is_whitespace() || ",;:()<>\"'".contains(c);
        let words: BTreeSet<String> = text.split(is_mark).map(|word| word.trim_matches('.').to_lowercase()).collect();
        self.search.is_in_text(text)
            || self.handles.iter().any(|handle| words.contains(&handle.as_str().to_lowercase()))
    }

    fn look_at_users(&mut self, walk: &mut Walk<'_>) -> Result<(), Error> {
        let (own, mut lower) = (UserId::of(&self.person).as_u128(), Vec::new());
        walk.rows(tables::users(), |_, id, row| {
            if id != own && self.search.may_be_in(row, &mut lower) {
                let user = decode(id, row)?;
                let theirs = handles_within(&object(user.clerk.as_str())?);
                self.shared.extend(self.search.handles().intersection(&theirs).cloned());
                if self.search.without(&theirs).is_in(&object(user.clerk.as_str())?) {
                    self.users.insert(id);
                }
            }
            Ok(())
        })
    }

    fn look_at_objects(&mut self, walk: &mut Walk<'_>) -> Result<(), Error> {
        let (parent, mut lower) = (parent(&self.person), Vec::new());
        walk.rows(tables::objects(), |txn, (kind, id), row| {
            if self.search.may_be_in(row, &mut lower)
                && let Some(body) = mirrored(row)?.body
                && self.search.is_in(&object(body.as_str())?)
                && open(txn, tables::object_children())?.get((parent.as_str(), kind, id))?.is_none()
            {
                self.objects.insert((kind.to_owned(), id.to_owned()));
            }
            Ok(())
        })
    }

    fn look_at_details(&mut self, walk: &mut Walk<'_>) -> Result<(), Error> {
        let mut lower = Vec::new();
        walk.rows(tables::audit_detail(), |_, seq, row| {
            if seq < self.until && self.search.may_be_in(text(row)?, &mut lower) {
                let detail = detail(row)?;
                if !Erasure::is_list(&detail) && self.search.is_in(&Value::Object(detail)) {
                    self.details.insert(seq);
                }
            }
            Ok(())
        })
    }

    fn look_at_quarantine(&mut self, walk: &mut Walk<'_>) -> Result<(), Error> {
        let mut lower = Vec::new();
        walk.rows(tables::quarantine(), |_, seq, row| {
            if self.search.may_be_in(row, &mut lower) && self.search.is_in_text(&quarantined(row)?.body) {
                self.quarantine.insert(seq);
            }
            Ok(())
        })
    }
}

impl Known {
    fn find(txn: &ReadTransaction, who: &UserRef) -> Result<Option<Self>, Error> {
        let users = open(txn, tables::users())?;
        let id = who.id().as_u128();
        let record = users.get(id)?.map(|row| decode(id, row.value())).transpose()?;
        let person = match (who, &record) {
            (_, Some(user)) => user.clerk_id.clone(),
            (UserRef::Clerk(id), None) => id.clone(),
            (UserRef::Id(_), None) => return Ok(None),
        };
        let row = open(txn, tables::subjects())?.get(person.as_str())?;
        let subject = row.map(|row| read_subject(row.value())).transpose()?;
        if record.is_none() && subject.is_none() {
            return Ok(None);
        }
        let extent = Extent {
            live: open(txn, tables::user_tombstones())?.get(person.as_str())?.is_none(),
            record: record.is_some(),
            untold: match &subject {
                Some(subject) => untold(txn, subject.number, &subject.reference)?,
                None => Vec::new(),
            },
            details: 0,
            objects: count_objects(txn, &person)?,
            mentions: 0,
            quarantined: 0,
            shared: 0,
            person,
        };
        Ok(Some(Self {
            extent,
            number: subject.as_ref().map(|subject| subject.number),
            reference: subject.map(|subject| subject.reference).unwrap_or_default(),
            handles: match &record {
                Some(user) => handles_within(&object(user.clerk.as_str())?),
                None => BTreeSet::new(),
            },
            until: open(txn, tables::audit_leaf())?.last()?.map_or(0, |row| row.0.value() + 1),
            rows: users.len()?
                + open(txn, tables::objects())?.len()?
                + open(txn, tables::audit_detail())?.len()?
                + open(txn, tables::quarantine())?.len()?,
        }))
    }
}

/// What the indexes say of a person, with at most [`MANY`] details.
pub(super) fn outline(txn: &ReadTransaction, who: &UserRef) -> Result<Option<Extent>, Error> {
    let Some(Known { mut extent, number, .. }) = Known::find(txn, who)? else { return Ok(None) };
    if let Some(number) = number {
        let details = open(txn, tables::audit_detail())?;
        for row in open(txn, tables::audit_by_subject())?.range((number, 0)..=(number, u64::MAX))?.rev() {
            let has_one = details.get(row?.0.value().1)?.is_some();
            extent.details += u64::from(has_one);
            if extent.details == MANY {
                break;
            }
        }
    }
    Ok(Some(extent))
}

/// The targets that are still to be told something about the person: of whom nothing is left, nothing can be told.
fn untold(txn: &ReadTransaction, number: u64, reference: &str) -> Result<Vec<TargetName>, Error> {
    let (entries, leaves) = (open(txn, tables::audit_by_subject())?, open(txn, tables::audit_leaf())?);
    let mut untold = Vec::new();
    for target in targets::every(txn)? {
        let after = targets::course(txn, &target.name)?.unwrap_or_default().after;
        let next = after.map_or(0, |after| after.saturating_add(1));
        for row in entries.range((number, next)..=(number, u64::MAX))? {
            let Some(leaf) = leaves.get(row?.0.value().1)? else { continue };
            let leaf = leaf_of(leaf.value())?;
            if leaf.target.as_deref() == Some(reference) && target.is_told(&leaf) {
                untold.push(target.name);
                break;
            }
        }
    }
    Ok(untold)
}

/// How many mirrored objects are listed by the person.
fn count_objects(txn: &ReadTransaction, person: &ClerkId) -> Result<u64, Error> {
    let parent = parent(person);
    let children = open(txn, tables::object_children())?;
    let own = children.range((parent.as_str(), "", "")..)?;
    let own = own.take_while(|row| row.as_ref().map_or(true, |row| row.0.value().0 == parent));
    own.map(|row| Ok(row.map(|_| 1)?)).sum()
}

/// A walk through the file, and whom to tell how far it is.
struct Walk<'a> {
    store: &'a Store,
    progress: &'a dyn Fn(Progress),
    done: u64,
    of: u64,
}

impl Walk<'_> {
    /// Every row of the table, in the order of its keys. Rows that come behind the walk's back are not seen.
    fn rows<K: Key + 'static>(
        &mut self,
        table: TableDefinition<'static, K, &'static [u8]>,
        mut each: impl FnMut(&ReadTransaction, K::SelfType<'_>, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let (seen, last) = self.store.read(|txn| {
                let rows = open(txn, table)?;
                let from = after.as_deref().map_or(Bound::Unbounded, |key| Bound::Excluded(K::from_bytes(key)));
                let (mut seen, mut last) = (0_usize, None);
                for row in rows.range::<K::SelfType<'_>>((from, Bound::Unbounded))?.take(STEP) {
                    let (key, row) = row?;
                    seen += 1;
                    last = Some(K::as_bytes(&key.value()).as_ref().to_vec());
                    each(txn, key.value(), row.value())?;
                }
                Ok((seen, last))
            })?;
            self.done += seen as u64;
            // Both grow while it goes on.
            (self.progress)(Progress { done: self.done.min(self.of), of: self.of });
            if seen < STEP {
                // The end. What has come there since is not chased: it left entries.
                return Ok(());
            }
            after = last;
        }
    }

    /// The entries about or by the person that have a detail, and the handles that entries about them say they had.
    fn own_details(&self, number: u64, reference: &str) -> Result<(Ranges, BTreeSet<Handle>), Error> {
        let (mut details, mut handles) = (Ranges::default(), BTreeSet::new());
        let mut next = 0;
        loop {
            let seen = self.store.read(|txn| {
                let (entries, rows) = (open(txn, tables::audit_by_subject())?, open(txn, tables::audit_detail())?);
                let leaves = open(txn, tables::audit_leaf())?;
                let mut seen = 0;
                for row in entries.range((number, next)..=(number, u64::MAX))?.take(STEP) {
                    let seq = row?.0.value().1;
                    (next, seen) = (seq + 1, seen + 1);
                    let Some(row) = rows.get(seq)? else { continue };
                    let leaf = leaves.get(seq)?.map(|leaf| leaf_of(leaf.value())).transpose()?;
                    if leaf.as_ref().is_some_and(is_erasure) {
                        continue;
                    }
                    details.insert(seq);
                    if leaf.is_some_and(|leaf| is_about_record(&leaf, reference)) && may_tell_handles(row.value()) {
                        handles.extend(handles_within(&Value::Object(detail(row.value())?)));
                    }
                }
                Ok(seen)
            })?;
            if seen < STEP {
                break;
            }
        }
        Ok((details, handles))
    }
}

/// Whether the entry tells how the record of the person with that reference changed.
fn is_about_record(leaf: &Leaf, reference: &str) -> bool {
    leaf.target.as_deref() == Some(reference) && leaf.action.starts_with("user.")
}

fn may_tell_handles(row: &[u8]) -> bool {
    [&b"\"changes\""[..], b"\"note\""].iter().any(|name| memmem::find(row, name).is_some())
}

/// Whether the entry is one that an erasure leaves.
pub(super) fn is_erasure(leaf: &Leaf) -> bool {
    leaf.action == Erasure::ACTION && leaf.source != crate::audit::Source::Webhook
}

/// What a person is called as the parent of objects.
pub(super) fn parent(person: &ClerkId) -> String {
    format!("user:{person}")
}

pub(super) fn leaf_of(row: &[u8]) -> Result<Leaf, Error> {
    serde_json::from_slice(row).map_err(|_| Error::Corrupt("a leaf"))
}

/// The JSON of a detail's row.
pub(super) fn text(row: &[u8]) -> Result<&[u8], Error> {
    row.get(32..).ok_or(Error::Corrupt("a detail"))
}

pub(super) fn detail(row: &[u8]) -> Result<Map<String, Value>, Error> {
    serde_json::from_slice(text(row)?).map_err(|_| Error::Corrupt("a detail"))
}

pub(super) fn quarantined(row: &[u8]) -> Result<Quarantined, Error> {
    serde_json::from_slice(row).map_err(|_| Error::Corrupt("a quarantined delivery"))
}

pub(super) fn object(text: &str) -> Result<Value, Error> {
    serde_json::from_str(text).map_err(|_| Error::Corrupt("an object"))
}
