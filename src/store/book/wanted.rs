//! From a filter to the entries that fit it: by which lists they are found, and what is checked of each.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::Range;

use redb::ReadOnlyTable;

use super::super::by_facet::{actor_facet, address_facet, address_in};
use super::super::error::Error;
use super::super::places::{First, Order, Places};
use super::super::tx::{Subject, read_subject};
use super::Book;
use crate::audit::{Actions, Actor, Entry, Filter, Leaf, is_look};
use crate::user::ClerkId;

/// What a filter asks for besides times, with people as the log knows them.
#[derive(Default)]
pub(in crate::store) struct Wanted {
    action: Option<Actions>,
    /// Numbers of people whom the entries are about or by.
    people: Vec<u64>,
    /// Who did it, as a leaf says it.
    actor: Option<String>,
    address: Option<IpAddr>,
    without_looks: bool,
}

impl Wanted {
    /// Whether the leaf fits, as far as a leaf tells.
    fn fits_leaf(&self, leaf: &Leaf) -> bool {
        self.action.as_ref().is_none_or(|actions| actions.fit(&leaf.action))
            && self.actor.as_ref().is_none_or(|actor| *actor == leaf.actor)
            && !(self.without_looks && is_look(&leaf.action))
    }

    /// Whether the rest of the entry does.
    fn fits_detail(&self, entry: &Entry) -> bool {
        self.address.is_none_or(|address| entry.detail.as_ref().and_then(address_in) == Some(address))
    }
}

impl Book {
    /// What the filter asks for; `None` when it names somebody of whom the log knows nothing.
    pub(in crate::store) fn wanted(&self, filter: &Filter) -> Result<Option<Wanted>, Error> {
        let address = filter.address.map(|address| address.to_canonical());
        let without_looks = filter.without_looks;
        let mut wanted = Wanted { action: filter.action.clone(), address, without_looks, ..Wanted::default() };
        if let Some(id) = &filter.subject {
            let Some(person) = self.subject(id)? else { return Ok(None) };
            wanted.people.push(person.number);
        }
        wanted.actor = match &filter.actor {
            Some(Actor::User(id)) => {
                let Some(person) = self.subject(id)? else { return Ok(None) };
                wanted.people.push(person.number);
                Some(format!("user:{}", person.reference))
            }
            Some(other) => other.word(),
            None => None,
        };
        Ok(Some(wanted))
    }

    /// Where in the range entries may be that fit: where all lists agree that what is wanted leads to, the shortest first.
    pub(in crate::store) fn places(
        &self,
        wanted: &Wanted,
        range: Range<u64>,
        order: Order,
    ) -> Result<Places<'_>, Error> {
        let mut places = Places::new(order, range);
        for number in &wanted.people {
            places = places.among([self.of_person(*number, order)])?;
        }
        let actor = wanted.actor.as_deref().and_then(actor_facet);
        for facet in wanted.address.map(address_facet).into_iter().chain(actor) {
            places = places.among([of_text(&self.by_facet, facet, order)])?;
        }
        match &wanted.action {
            Some(actions) => self.among_actions(places, self.actions(actions)?, order),
            None if places.has_lists() => Ok(places),
            None => places.among([self.of_all(order)]),
        }
    }

    /// Those of the places where entries with one of these actions are.
    pub(in crate::store) fn among_actions<'a>(
        &'a self,
        places: Places<'a>,
        actions: BTreeSet<String>,
        order: Order,
    ) -> Result<Places<'a>, Error> {
        places.among(actions.into_iter().map(|action| of_text(&self.by_action, action, order)))
    }

    /// Those of the actions that entries can be found by. With a beginning, each is found by one look behind the one before,
    /// however many entries that has.
    pub(in crate::store) fn actions(&self, wanted: &Actions) -> Result<BTreeSet<String>, Error> {
        let beginning = match wanted {
            Actions::Named(name) => return Ok(BTreeSet::from([name.clone()])),
            Actions::Beginning(beginning) => beginning,
        };
        let (mut found, mut from) = (BTreeSet::new(), beginning.clone());
        while let Some(row) = self.by_action.range((from.as_str(), 0)..)?.next().transpose()? {
            let action = row.0.value().0.to_owned();
            if !action.starts_with(beginning) {
                break;
            }
            from = format!("{action}\0");
            found.insert(action);
        }
        Ok(found)
    }

    /// The entry at a place that what is wanted led to, if it fits.
    pub(in crate::store) fn entry_that_fits(&self, seq: u64, wanted: &Wanted) -> Result<Option<Entry>, Error> {
        let entry = self.entry_if(seq, |leaf| wanted.fits_leaf(leaf))?;
        Ok(entry.filter(|entry| wanted.fits_detail(entry)))
    }

    /// The list of every entry.
    pub(in crate::store) fn of_all(&self, order: Order) -> First<'_> {
        Box::new(move |range| Ok(order.first(self.leaves.range(range)?).transpose()?.map(|row| row.0.value())))
    }

    fn of_person(&self, number: u64, order: Order) -> First<'_> {
        Box::new(move |Range { start, end }| {
            let rows = self.by_subject.range((number, start)..(number, end))?;
            Ok(order.first(rows).transpose()?.map(|row| row.0.value().1))
        })
    }

    fn subject(&self, id: &ClerkId) -> Result<Option<Subject>, Error> {
        self.subjects.get(id.as_str())?.map(|row| read_subject(row.value())).transpose()
    }
}

/// The list of the entries that a table has under that text.
fn of_text<'a>(list: &'a ReadOnlyTable<(&'static str, u64), ()>, text: String, order: Order) -> First<'a> {
    Box::new(move |Range { start, end }| {
        let rows = list.range((text.as_str(), start)..(text.as_str(), end))?;
        Ok(order.first(rows).transpose()?.map(|row| row.0.value().1))
    })
}
