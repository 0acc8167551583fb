//! Walks over Clerk's users, as they come to the roll ([`crate::sync::Walk`]). Each user that a walk meets gets a mark; who
//! is on the roll and has none in the end is somebody whom Clerk may not have any more. What a walk found, its marks and how
//! far it is go to the disk together, so that it can be broken off anywhere.

use redb::ReadableTable as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::Error;
use super::ingest::compare;
use super::tables::{self, open};
use super::tx::Tx;
use super::users::decode;
use super::{By, Store, UserFilter};
use crate::audit::{Actor, Draft, Source};
use crate::clock::Timestamp;
use crate::json::{self, Object};
use crate::sync::{Fetched, Found, Named, Policy, Report, Stage, UNTOLD, Verdict, Walk, Walked, judge};
use crate::user::{self, ClerkId, HandleChanges, User, UserId};

/// The rows of `meta`.
const WALK: &str = "walk";
const LAST: &str = "sync";

/// So many marks go in one transaction.
const MARKS_AT_ONCE: usize = 5_000;

/// So many users are looked at for missing ones in one read.
const ROWS: usize = 5_000;

/// So many missing ones are named at once.
const ITEMS: usize = 100;

/// Users on the roll whom a walk has not met.
#[derive(Debug, Clone)]
pub struct Unmarked {
    /// Some of them, in the order of their ids.
    pub users: Vec<Unmet>,
    /// Behind whom to look on; `None` when there are no more.
    pub next: Option<UserId>,
}

/// Somebody on the roll whom a walk has not met.
#[derive(Debug, Clone)]
pub struct Unmet {
    /// Our id.
    pub id: UserId,
    /// Clerk's id.
    pub clerk_id: ClerkId,
    /// The newest time that is known of them, by Clerk's clock.
    pub told_at: Timestamp,
}

impl Unmet {
    fn new(user: User) -> Self {
        let created_at = user.profile().created_at.unwrap_or_default();
        let told_at = user.version.event_at.max(user.version.updated_at).max(created_at);
        Self { id: user.id, clerk_id: user.clerk_id, told_at }
    }
}

/// What a user whom Clerk has comes to here.
enum Met {
    /// Deleted or erased here, and stays so.
    Apart,
    /// Nothing came of them so far.
    New,
    /// As Clerk has them, or newer than what was fetched.
    Same,
    /// What differs is nothing that is told of.
    Moved(User),
    /// Out of date.
    Behind(User),
}

impl Store {
    /// The walk that was broken off, if one was.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn suspended_walk(&self) -> Result<Option<Walk>, Error> {
        self.meta(WALK)
    }

    /// The last walk that came to its end and was not dry.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn last_walk(&self) -> Result<Option<Walked>, Error> {
        self.meta(LAST)
    }

    /// The Clerk instance whose events are applied: the one that is set, else the one whose came first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn instance(&self) -> Result<Option<String>, Error> {
        if let Some(set) = &self.0.policy.instance {
            return Ok(Some(set.clone()));
        }
        let kept = self.read(|txn| Ok(open(txn, tables::meta())?.get("instance")?.map(|row| row.value().to_vec())))?;
        Ok(kept.map(|id| String::from_utf8_lossy(&id).into_owned()))
    }

    /// Begins a walk in the place of the one under way, if there is one, and says so in the log. There must be no marks of
    /// another. Until an event has said which Clerk instance is served here, it is that `instance`, unless the walk is dry.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn begin_walk(&self, is_dry: bool, instance: Option<String>, by: By) -> Result<Walk, Error> {
        let (now, is_set) = (self.now(), self.0.policy.instance.is_some());
        self.write(move |tx| {
            let is_first = tx.tables.meta.get(LAST)?.is_none();
            let (stage, report, named) = (Stage::List(None), Report::default(), Named::default());
            let walk = Walk { started_at: now, is_dry, is_first, stage, report, named };
            if let Some(instance) = instance.as_ref().filter(|_| !is_dry && !is_set && tx.state.instance.is_none()) {
                tx.tables.meta.insert("instance", instance.as_bytes())?;
                tx.state.instance = Some(instance.clone());
            }
            tx.append(&by.entry("sync.started").with("dry_run", is_dry.then_some(true)), now)?;
            tx.keep_walk(&walk)?;
            Ok(walk)
        })
        .await
    }

    /// Forgets the walk that was broken off: the next one begins anew.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn abandon_walk(&self) -> Result<(), Error> {
        self.write(|tx| {
            tx.tables.meta.remove(WALK)?;
            Ok(())
        })
        .await
    }

    /// Applies what a walk found, which brings it to that stage: what differs becomes as Clerk has it. A dry walk only
    /// takes down what it would do. In one transaction, so there should be no more than a hundred.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn reconcile(&self, walk: Walk, found: Vec<Found>, stage: Stage) -> Result<Walk, Error> {
        let (now, policy) = (self.now(), self.0.policy.clone());
        self.write(move |tx| {
            let mut walk = Walk { stage: stage.clone(), ..walk.clone() };
            for found in &found {
                match found {
                    Found::User(fetched) => tx.meet(&mut walk, fetched, now, &policy)?,
                    Found::Nobody(id) => tx.miss(&mut walk, id, now, &policy)?,
                    Found::Failed(many) => walk.report.failed += many,
                }
            }
            tx.keep_walk(&walk)?;
            Ok(walk)
        })
        .await
    }

    /// The next users behind `after` who are on the roll and whom the walk has not met. Who came to Clerk behind its back is
    /// among them, and has to be asked for like the others.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn unmarked(&self, walk: &Walk, after: Option<UserId>) -> Result<Unmarked, Error> {
        let pass = pass(walk.is_dry);
        self.scan(move |txn| {
            let (users, index) = (open(txn, tables::users())?, open(txn, tables::user_index())?);
            let marks = open(txn, tables::walk_marks())?;
            let scope = UserFilter::default().scope();
            let from = after.map_or(0, |id| id.as_u128().saturating_add(1));
            let mut found = Unmarked { users: Vec::new(), next: None };
            for row in index.range((scope.as_str(), from)..=(scope.as_str(), u128::MAX))?.take(ROWS) {
                let id = row?.0.value().1;
                found.next = Some(UserId::from_u128(id));
                if marks.get((pass, id))?.is_none()
                    && let Some(row) = users.get(id)?
                {
                    found.users.push(Unmet::new(decode(id, row.value())?));
                }
                if found.users.len() == ITEMS {
                    break;
                }
            }
            Ok(found)
        })
        .await
    }

    /// Ends a walk: its report is kept, unless it was dry, and is in the log.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn finish_walk(&self, walk: Walk, by: By) -> Result<Walked, Error> {
        let now = self.now();
        self.write(move |tx| {
            let Walk { started_at, is_dry, is_first, report, .. } = walk;
            let walked = Walked { started_at, ended_at: now, is_dry, is_first, report };
            if !is_dry {
                tx.put_meta(LAST, &walked)?;
                tx.tables.meta.remove(WALK)?;
            }
            tx.append(&told(&walked, by.entry("sync.finished")), now)?;
            Ok(walked)
        })
        .await
    }

    /// Forgets some of the marks of walks of that kind; says whether there may be more.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn forget_marks(&self, is_dry: bool) -> Result<bool, Error> {
        let pass = pass(is_dry);
        self.write(move |tx| {
            let marks = tx.tables.walk_marks.range((pass, 0)..=(pass, u128::MAX))?.take(MARKS_AT_ONCE);
            let marks: Vec<u128> = marks.map(|row| Ok(row?.0.value().1)).collect::<Result<_, redb::StorageError>>()?;
            for id in &marks {
                tx.tables.walk_marks.remove((pass, *id))?;
            }
            Ok(marks.len() == MARKS_AT_ONCE)
        })
        .await
    }

    fn meta<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Error> {
        let row = self.read(|txn| Ok(open(txn, tables::meta())?.get(name)?.map(|row| row.value().to_vec())))?;
        row.map(|row| serde_json::from_slice(&row).map_err(|_| Error::Corrupt("a walk"))).transpose()
    }
}

impl Tx<'_> {
    /// Forgets that walks have met somebody.
    pub(super) fn unmark(&mut self, id: u128) -> Result<(), Error> {
        for pass in [pass(false), pass(true)] {
            self.tables.walk_marks.remove((pass, id))?;
        }
        Ok(())
    }

    fn meet(&mut self, walk: &mut Walk, fetched: &Fetched, now: Timestamp, policy: &Policy) -> Result<(), Error> {
        walk.report.fetched += 1;
        let clerk = self.without_erased_ids(&fetched.clerk)?;
        let met = self.compared(fetched, &clerk)?;
        if walk.is_dry {
            match &met {
                Met::New => Named::add(&mut walk.named.created, &fetched.id),
                Met::Behind(_) => Named::add(&mut walk.named.updated, &fetched.id),
                Met::Apart | Met::Same | Met::Moved(_) => {}
            }
        }
        let count = match &met {
            Met::Apart => &mut walk.report.apart,
            Met::New => &mut walk.report.created,
            Met::Same | Met::Moved(_) => &mut walk.report.unchanged,
            Met::Behind(_) => &mut walk.report.updated,
        };
        *count += 1;
        if matches!(met, Met::Apart) {
            return Ok(());
        }
        if !walk.is_dry {
            self.bring_up(met, fetched, clerk, now, policy)?;
        }
        self.tables.walk_marks.insert((pass(walk.is_dry), UserId::of(&fetched.id).as_u128()), ())?;
        Ok(())
    }

    fn compared(&self, fetched: &Fetched, clerk: &Object) -> Result<Met, Error> {
        if self.tombstone(&fetched.id)?.is_some() || self.erased_at(&fetched.id)?.is_some() {
            return Ok(Met::Apart);
        }
        let Some(kept) = self.user(UserId::of(&fetched.id))? else { return Ok(Met::New) };
        let is_same = kept.version.updated_at == fetched.updated_at && kept.clerk == *clerk;
        if is_same || judge(Some(&kept.version), &fetched.version()) == Verdict::Older {
            return Ok(Met::Same);
        }
        let ignored: Vec<&str> = UNTOLD.into_iter().chain(["updated_at"]).collect();
        let is_behind = !json::changes(&kept.clerk.fields(), &clerk.fields(), &ignored).is_empty();
        Ok(if is_behind { Met::Behind(kept) } else { Met::Moved(kept) })
    }

    /// Makes the user what Clerk has.
    fn bring_up(
        &mut self,
        met: Met,
        fetched: &Fetched,
        clerk: Object,
        now: Timestamp,
        policy: &Policy,
    ) -> Result<(), Error> {
        let (id, version) = (&fetched.id, fetched.version());
        match met {
            Met::Apart | Met::Same => Ok(()),
            Met::New => {
                let user = self.new_user(id, user::Source::Sync, version, clerk)?;
                self.put_user(None, &user)?;
                let entry = entry("sync.user_created", id).filing(None, Some(&user.clerk));
                self.append(&entry, now).map(drop)
            }
            Met::Moved(kept) => {
                // What Clerk itself has said is no word of a token's any more.
                let source = if kept.source == user::Source::Token { user::Source::Sync } else { kept.source };
                self.put_user(Some(&kept), &User { source, version, clerk, ..kept.clone() })
            }
            Met::Behind(kept) => {
                let (before, after) = (kept.clerk.fields(), clerk.fields());
                let effect = compare(&before, &after, policy);
                let mut entry = entry("sync.user_updated", id)
                    .with("changes", (!effect.values.is_empty()).then_some(effect.values));
                entry.changed = effect.changed;
                entry.handles = HandleChanges::of(Some(&before), Some(&after));
                let user = User { source: user::Source::Sync, version, clerk: clerk.clone(), ..kept.clone() };
                self.put_user(Some(&kept), &user)?;
                self.append(&entry, now).map(drop)
            }
        }
    }

    /// Takes somebody off the roll whom Clerk does not have, unless they are gone by now.
    fn miss(&mut self, walk: &mut Walk, id: &ClerkId, now: Timestamp, policy: &Policy) -> Result<(), Error> {
        if self.user(UserId::of(id))?.is_none_or(|user| user.deleted_at.is_some()) {
            return Ok(());
        }
        walk.report.deleted += 1;
        if walk.is_dry {
            Named::add(&mut walk.named.deleted, id);
            return Ok(());
        }
        let (_, handles) = self.take_off_roll(id, now, policy)?;
        let mut entry = entry("sync.user_deleted", id);
        entry.handles = handles;
        self.append(&entry, now).map(drop)
    }

    fn without_erased_ids(&self, clerk: &Object) -> Result<Object, Error> {
        match self.blanked(clerk.as_str())? {
            Some(text) => Ok(Object::new(serde_json::from_str(&text).map_err(|_| Error::Corrupt("a user"))?)),
            None => Ok(clerk.clone()),
        }
    }

    /// A dry walk is kept by whoever walks.
    fn keep_walk(&mut self, walk: &Walk) -> Result<(), Error> {
        if walk.is_dry { Ok(()) } else { self.put_meta(WALK, walk) }
    }

    fn put_meta(&mut self, name: &str, value: &impl Serialize) -> Result<(), Error> {
        self.tables.meta.insert(name, &serde_json::to_vec(value).unwrap_or_default()[..])?;
        Ok(())
    }
}

/// What marks of such walks stand under.
const fn pass(is_dry: bool) -> u8 {
    is_dry as u8
}

fn entry(action: &str, about: &ClerkId) -> Draft {
    Draft::new(action, Actor::System, Source::Sync).about(about)
}

/// The entry with what came of the walk.
fn told(walked: &Walked, mut entry: Draft) -> Draft {
    entry.count = Some(walked.drift());
    entry
        .with("dry_run", walked.is_dry.then_some(true))
        .with("first", walked.is_first.then_some(true))
        .with("report", serde_json::to_value(walked.report).ok())
        .with("took_ms", Some(walked.ended_at.as_millis() - walked.started_at.as_millis()))
}
