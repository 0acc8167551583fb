//! The writer's part of an erasure.

use std::collections::BTreeSet;

use redb::ReadableTable as _;
use serde_json::Value;

use super::super::error::Error;
use super::super::tx::{Tx, read_subject};
use super::survey::{Survey, detail, is_erasure, leaf_of, mirrored, object, parent, quarantined, text};
use super::{Extent, Order};
use crate::audit::{Draft, Erasure, Leaf, Ranges};
use crate::clock::Timestamp;
use crate::event::{Mirrored, ObjectKey};
use crate::json::Object;
use crate::user::{ClerkId, Handle, User, UserId, handles_within};

/// What came to light since the survey.
#[derive(Default)]
struct News {
    details: Ranges,
    objects: Vec<(String, String)>,
    users: Vec<u128>,
    quarantine: Vec<u64>,
}

impl Tx<'_> {
    /// Erases some of the details ahead of the rest, and says how many went.
    pub(super) fn erase_part(
        &mut self,
        survey: &Survey,
        order: &Order,
        part: &Ranges,
        give_reason: bool,
        now: Timestamp,
    ) -> Result<u64, Error> {
        self.state_reason(survey, order, give_reason, now)?;
        let gone = self.erase_details(&survey.person, part)?;
        for entry in Erasure::announce(&survey.person, &gone, &announcement(order)) {
            self.append(&entry, now)?;
        }
        Ok(gone.count())
    }

    /// Erases the rest of the details and everything else; `None`, with nothing done, when what was surveyed is no longer
    /// what there is.
    pub(super) fn erase_rest(
        &mut self,
        survey: &Survey,
        order: &Order,
        rest: &Ranges,
        give_reason: bool,
        now: Timestamp,
    ) -> Result<Option<Extent>, Error> {
        let person = &survey.person;
        let record = self.user(UserId::of(person))?;
        if !is_current(survey, record.as_ref())? {
            return Ok(None);
        }
        let Some(news) = self.since(survey)? else { return Ok(None) };
        let mut details = rest.clone();
        details.unite(&news.details);
        let gone = self.erase_details(person, &details)?;
        let quarantined = self.drop_quarantined(survey.quarantine.iter().chain(news.quarantine.iter().copied()))?;
        let objects = self.erase_objects(person)?;
        let mentions = self.blank_objects(survey, &news)? + self.blank_users(survey, &news)?;
        let extent = Extent { details: gone.count(), objects, mentions, quarantined, ..survey.extent.clone() };
        self.state_reason(survey, order, give_reason, now)?;
        self.conclude(&extent, order, &gone, now)?;
        self.forget(person, record.as_ref(), now)?;
        Ok(Some(extent))
    }

    fn state_reason(&mut self, survey: &Survey, order: &Order, give_reason: bool, now: Timestamp) -> Result<(), Error> {
        if let Some(reason) = order.reason.as_deref().filter(|_| give_reason) {
            let entry = announcement(order).about(&survey.person).with("reason", Some(reason));
            self.append(&entry, now)?;
        }
        Ok(())
    }

    /// The last entries: there is always one, so that the person's reference is known for an erased one.
    fn conclude(&mut self, extent: &Extent, order: &Order, gone: &Ranges, now: Timestamp) -> Result<(), Error> {
        let mut entries = Erasure::announce(&extent.person, gone, &announcement(order));
        if entries.is_empty() {
            let mut entry = announcement(order).about(&extent.person);
            entry.count = Some(0);
            entries.push(entry);
        }
        if let Some(last) = entries.last_mut() {
            for (name, count) in
                [("objects", extent.objects), ("mentions", extent.mentions), ("quarantined", extent.quarantined)]
            {
                last.detail.insert(name.to_owned(), count.into());
            }
        }
        for entry in entries {
            self.append(&entry, now)?;
        }
        Ok(())
    }

    /// Erases the details of those entries, as far as they have one and are not themselves about this erasure.
    fn erase_details(&mut self, person: &ClerkId, places: &Ranges) -> Result<Ranges, Error> {
        let reference = self.reference(person)?;
        let mut gone = Ranges::default();
        for seq in places.iter() {
            if self.is_kept(seq, reference.as_deref())? {
                continue;
            }
            if self.remove_detail(seq)? {
                gone.insert(seq);
            }
        }
        Ok(gone)
    }

    /// Whether the detail is one that an erasure left: of this person, or with a list of what is gone.
    fn is_kept(&self, seq: u64, reference: Option<&str>) -> Result<bool, Error> {
        if self.tables.audit_by_action.get((Erasure::ACTION, seq))?.is_none() {
            return Ok(false);
        }
        let Some(leaf) = self.leaf(seq)?.filter(is_erasure) else { return Ok(false) };
        let is_list = match self.tables.audit_detail.get(seq)? {
            Some(row) => Erasure::is_list(&detail(row.value())?),
            None => false,
        };
        Ok(is_list || leaf.target.as_deref() == reference)
    }

    /// What entries since the survey say; `None` when they change what to look for.
    fn since(&self, survey: &Survey) -> Result<Option<News>, Error> {
        let mut news = News::default();
        let mut lower = Vec::new();
        if let Some(row) = self.tables.subjects.get(survey.person.as_str())? {
            let number = read_subject(row.value())?.number;
            for row in self.tables.audit_by_subject.range((number, survey.until)..=(number, u64::MAX))? {
                news.details.insert(row?.0.value().1);
            }
        }
        for seq in survey.until..self.state.log.size() {
            let Some(leaf) = self.leaf(seq)? else { continue };
            let mut about = leaf.target.clone();
            if let Some(row) = self.tables.audit_detail.get(seq)? {
                let detail = detail(row.value())?;
                about = detail.get("object").and_then(Value::as_str).map(str::to_owned).or(about);
                if survey.search.may_be_in(text(row.value())?, &mut lower)
                    && !Erasure::is_list(&detail)
                    && survey.search.is_in(&Value::Object(detail))
                {
                    news.details.insert(seq);
                }
            }
            if let Some(row) = self.tables.quarantine.get(seq)?
                && survey.search.is_in_text(&quarantined(row.value())?.body)
            {
                news.quarantine.push(seq);
            }
            news.objects.extend(about.and_then(|key| key.split_once(':').map(|(k, id)| (k.to_owned(), id.to_owned()))));
            if let Some(other) = self.other_person(&leaf, survey)? {
                if handles_of(&other)?.intersection(survey.search.handles()).next().is_some() {
                    return Ok(None);
                }
                news.users.push(other.id.as_u128());
            }
        }
        Ok(Some(news))
    }

    /// The person an entry is about, when that is another one and on the roll.
    fn other_person(&self, leaf: &Leaf, survey: &Survey) -> Result<Option<User>, Error> {
        let Some(reference) = leaf.target.as_deref().filter(|target| target.starts_with("s1.")) else {
            return Ok(None);
        };
        let id: Option<ClerkId> = match self.tables.subject_refs.get(reference)? {
            Some(id) => Some(id.value().parse().map_err(|_| Error::Corrupt("a reference"))?),
            None => None,
        };
        match id.filter(|id| *id != survey.person) {
            Some(id) => self.user(UserId::of(&id)),
            None => Ok(None),
        }
    }

    fn drop_quarantined(&mut self, places: impl Iterator<Item = u64>) -> Result<u64, Error> {
        let mut dropped = 0;
        for seq in places {
            dropped += u64::from(self.tables.quarantine.remove(seq)?.is_some());
        }
        self.state.stats.quarantined = self.state.stats.quarantined.saturating_sub(dropped);
        Ok(dropped)
    }

    /// Erases the mirrored objects that are listed by the person.
    fn erase_objects(&mut self, person: &ClerkId) -> Result<u64, Error> {
        let parent = parent(person);
        let mut own: Vec<ObjectKey> = Vec::new();
        for row in self.tables.object_children.range((parent.as_str(), "", "")..)? {
            let row = row?.0;
            let (listed_by, kind, id) = row.value();
            if listed_by != parent {
                break;
            }
            own.push(ObjectKey { kind: kind.to_owned(), id: id.parse().map_err(|_| Error::Corrupt("an object"))? });
        }
        for key in &own {
            let (kind, id) = (key.kind.as_str(), key.id.as_str());
            let parents = match self.tables.objects.remove((kind, id))? {
                Some(row) => mirrored(row.value())?.parents,
                None => Vec::new(),
            };
            for listed_by in parents.iter().map(ToString::to_string).chain([parent.clone()]) {
                self.tables.object_children.remove((listed_by.as_str(), kind, id))?;
            }
        }
        Ok(own.len() as u64)
    }

    /// Blanks the person in mirrored objects that are not theirs.
    fn blank_objects(&mut self, survey: &Survey, news: &News) -> Result<u64, Error> {
        let mut blanked = 0;
        for (kind, id) in survey.objects.iter().chain(&news.objects) {
            let key = (kind.as_str(), id.as_str());
            let kept = self.tables.objects.get(key)?.map(|row| mirrored(row.value())).transpose()?;
            let Some(Mirrored { version, deleted_at, parents, body: Some(body) }) = kept else { continue };
            if let Some(body) = blank(survey, &body)? {
                let after = Mirrored { version, deleted_at, parents, body: Some(body) };
                let row = serde_json::to_vec(&after).unwrap_or_default();
                self.tables.objects.insert(key, &row[..])?;
                blanked += 1;
            }
        }
        Ok(blanked)
    }

    /// Blanks the person in other people's records; what those have as their own stays theirs.
    fn blank_users(&mut self, survey: &Survey, news: &News) -> Result<u64, Error> {
        let mut blanked = 0;
        for id in survey.users.iter().chain(&news.users) {
            let Some(before) = self.user(UserId::from_u128(*id))? else { continue };
            let search = survey.search.without(&handles_of(&before)?);
            let mut clerk = serde_json::from_str(before.clerk.as_str()).map_err(|_| Error::Corrupt("a user"))?;
            if search.blank(&mut clerk) {
                let after = User { clerk: Object::new(clerk), ..before.clone() };
                self.put_user(Some(&before), &after)?;
                blanked += 1;
            }
        }
        Ok(blanked)
    }

    /// Takes the person off the roll and out of every index, and remembers only that they were erased.
    fn forget(&mut self, person: &ClerkId, record: Option<&User>, now: Timestamp) -> Result<(), Error> {
        if let Some(user) = record {
            self.remove_user(user)?;
        }
        self.tables.sign_ins.remove(person.as_str())?;
        let deleted_at = self.tombstone(person)?.unwrap_or(now);
        self.tables.user_tombstones.remove(person.as_str())?;
        self.tables.erased.insert(UserId::of(person).as_u128(), deleted_at.as_millis())?;
        let subject = self.tables.subjects.remove(person.as_str())?.map(|row| read_subject(row.value())).transpose()?;
        if let Some(subject) = subject {
            self.tables.subject_refs.remove(subject.reference.as_str())?;
            let number = subject.number;
            self.tables.audit_by_subject.retain_in((number, 0)..=(number, u64::MAX), |_, ()| false)?;
            self.tables.value_tags.retain_in((number, &[0; 32])..=(number, &[u8::MAX; 32]), |_, _| false)?;
        }
        Ok(())
    }

    fn reference(&self, person: &ClerkId) -> Result<Option<String>, Error> {
        let row = self.tables.subjects.get(person.as_str())?;
        Ok(row.map(|row| read_subject(row.value())).transpose()?.map(|subject| subject.reference))
    }

    fn leaf(&self, seq: u64) -> Result<Option<Leaf>, Error> {
        self.tables.audit_leaf.get(seq)?.map(|row| leaf_of(row.value())).transpose()
    }
}

/// What the entries of an erasure have in common.
fn announcement(order: &Order) -> Draft {
    Draft::new(Erasure::ACTION, order.by.actor.clone(), order.by.source)
}

/// Whether the record still says nothing that was not looked for.
fn is_current(survey: &Survey, record: Option<&User>) -> Result<bool, Error> {
    Ok(match record {
        Some(user) => handles_of(user)?.is_subset(&survey.handles),
        None => true,
    })
}

fn handles_of(user: &User) -> Result<BTreeSet<Handle>, Error> {
    Ok(handles_within(&object(user.clerk.as_str())?))
}

/// The object with the person blanked, if it named them.
fn blank(survey: &Survey, body: &Object) -> Result<Option<Object>, Error> {
    let mut members = serde_json::from_str(body.as_str()).map_err(|_| Error::Corrupt("a mirrored object"))?;
    Ok(survey.search.blank(&mut members).then(|| Object::new(members)))
}
