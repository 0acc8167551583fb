//! The same done to a real store, and compared.

use std::collections::BTreeMap;
use std::fs;

use futures_util::future::join_all;
use proptest_state_machine::StateMachineTest;
use rollbook::audit::retention::Cutoff;
use rollbook::audit::{Actor, Draft, Source};
use rollbook::clock::{Clock, Timestamp};
use rollbook::json::Object;
use rollbook::notary;
use rollbook::store::{By, EraseError, Order, Told, UserPatch};
use rollbook::sync::{DeletePolicy, Policy};
use rollbook::tlog::checkpoint::Checkpoint;
use rollbook::user::UserId;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::naive::{Act, Line, Message, Model, PEOPLE};
use crate::common::{clerk_id, user_event};
use crate::deliveries::received;
use crate::disk::{Disk, Survival};
use crate::file::{self, Witness};
use crate::site::{Place, Site, T};

/// A real store, and what has been seen of it.
pub(crate) struct Real {
    runtime: Runtime,
    place: Place,
    /// There is one but in between.
    site: Option<Site>,
    clock: Clock,
    policy: Policy,
    /// Every leaf there ever was, and that none has changed.
    witness: Witness,
    /// Every checkpoint that was told.
    published: Vec<String>,
    /// How many entries the model had.
    size: u64,
}

impl StateMachineTest for Real {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(model: &Model) -> Self {
        let clock = Clock::fixed(Timestamp::from_millis(model.now));
        let delete = if model.is_hard { DeletePolicy::Hard } else { DeletePolicy::Soft };
        let mut real = Self {
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            place: Place::new(),
            site: None,
            clock,
            policy: Policy { delete, ..Policy::default() },
            witness: Witness::default(),
            published: Vec::new(),
            size: 0,
        };
        real.open();
        real.perform(&Act::Deliver(model.old()), model).unwrap();
        real
    }

    fn apply(mut real: Self, model: &Model, act: Act) -> Self {
        real.clock.set(Timestamp::from_millis(model.now));
        match &act {
            Act::Wait(_) => {}
            Act::Restart => {
                real.close();
                real.open();
            }
            Act::Restore => real.restore(),
            Act::Crash(fault, survival, act) => {
                real.place.disk.suffer(*fault);
                let answer = real.perform(act, model);
                let left = real.place.disk.salvage(*survival);
                real.close();
                real.crash(left, act, &answer, model);
            }
            act => real.perform(act, model).unwrap(),
        }
        real
    }

    fn check_invariants(real: &Self, model: &Model) {
        // What would be there after a power cut now.
        let db = file::open_disk(&real.place.disk.salvage(Survival::None));
        let people = people(&db);
        let name = |who: &usize| PEOPLE[*who].to_owned();
        let kept = &model.log[usize::try_from(model.first).unwrap()..];
        let found: Vec<Line> = file::leaves(&db).iter().map(|leaf| line(leaf, &people)).collect();
        let known = |line: &Line| Line { who: line.who.filter(|who| !model.erased.contains(who)), ..line.clone() };
        for (place, (found, expected)) in found.iter().zip(kept).enumerate() {
            assert_eq!(*found, known(expected), "entry {place}");
        }
        assert_eq!(found.len(), kept.len(), "the log, which ends with {:?}", model.log.last());
        assert_eq!(file::first(&db), model.first);
        let expected = model.people.iter().map(|(who, person)| {
            let delivery = person.version.as_ref().map_or("", |(_, _, id)| id).to_owned();
            (name(who), (delivery, ["Ann", "Bo", "Cy"][person.name].to_owned(), person.is_admin, person.deleted_at))
        });
        let found = file::users(&db).into_iter().map(|(id, row)| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let version = text(&row["version"]["delivery"]);
            (id, (version, text(&row["clerk"]["first_name"]), row["role"] == "ADMIN", row["deleted_at"].as_i64()))
        });
        assert_eq!(found.collect::<BTreeMap<_, _>>(), expected.collect(), "the roll");
        let tombstones = model.tombstones.iter().map(|(who, at)| (name(who), *at));
        assert_eq!(file::tombstones(&db), tombstones.collect(), "the tombstones");
        assert_eq!(file::deliveries(&db), model.seen, "the messages seen");
        assert_eq!(file::quarantined(&db), model.quarantine.keys().copied().collect::<Vec<_>>());
        assert_eq!(file::dump(&db)["erased"].len(), model.erased.len());
        let mut witness = real.witness.clone();
        witness.follow(&db);
        let keys = real.site().notary.verifiers();
        for note in real.published.iter().rev().take(4) {
            let Ok(checkpoint) = Checkpoint::open(note, &keys) else { continue };
            let size = usize::try_from(checkpoint.size).unwrap();
            assert_eq!(witness.root_at(size), checkpoint.root, "a checkpoint");
            let marked = Checkpoint::open(&real.place.mark().unwrap(), &keys).unwrap();
            assert!(marked.size >= checkpoint.size, "the mark is behind");
        }
        let counts = real.site().store.counts();
        let deleted = model.people.values().filter(|person| person.deleted_at.is_some()).count();
        assert_eq!(counts.entries, model.log.len() as u64);
        assert_eq!((counts.users, counts.deleted), ((model.people.len() - deleted) as u64, deleted as u64));
        assert_eq!(counts.quarantined, model.quarantine.len() as u64);
    }

    fn teardown(mut real: Self, _: Model) {
        real.close();
    }
}

impl Real {
    fn site(&self) -> &Site {
        self.site.as_ref().unwrap()
    }

    fn open(&mut self) {
        let opened = self.runtime.block_on(Site::open_with(&self.place, self.policy.clone(), self.clock.clone()));
        let site = opened.unwrap();
        assert_eq!(site.store.doubt(), None);
        self.site = Some(site);
    }

    fn close(&mut self) {
        if let Some(site) = self.site.take() {
            self.runtime.block_on(site.close());
        }
    }

    /// A copy in the place of the file. Nothing was written since, so nothing is missing from it.
    fn restore(&mut self) {
        let copy = self.place.data().with_extension("copy");
        self.site().store.copy_to(&copy, &mut |_, _| true).unwrap();
        self.close();
        self.place.disk = Disk::of(fs::read(&copy).unwrap());
        fs::remove_file(copy).unwrap();
        self.open();
    }

    /// Goes on with what is left. Whoever was told that it was done finds it done; whoever was not, does it again.
    fn crash(&mut self, left: Disk, act: &Act, answer: &Result<(), String>, model: &Model) {
        let after = model.log.len() as u64;
        self.place.disk = left;
        self.open();
        let found = self.site().store.counts().entries;
        assert!(self.size <= found && found <= after, "{found} entries, not {}..={after}", self.size);
        if answer.is_ok() {
            assert_eq!(found, after, "what was acknowledged is lost");
        } else if matches!(act, Act::Deliver(_)) || found < after || self.size == after {
            self.perform(act, model).unwrap();
        }
    }

    /// Does it; what went wrong if the store failed.
    fn perform(&mut self, act: &Act, model: &Model) -> Result<(), String> {
        let Self { runtime, site, published, size, witness, place, .. } = self;
        let site = site.as_ref().unwrap();
        let done = runtime.block_on(async {
            match act {
                Act::Deliver(messages) => deliver(site, messages).await,
                Act::Provision(who) => provision(site, *who).await,
                Act::SetRole(who, is_admin) => set_role(site, *who, *is_admin).await,
                Act::Erase(who) => erase(site, *who).await,
                Act::Discard => {
                    let page = rollbook::page::PageRequest { limit: rollbook::page::Limit::MAX, cursor: None };
                    let all = site.store.quarantine(page).await.map_err(debug)?.items;
                    match all.iter().map(|item| item.seq).min() {
                        Some(oldest) => site.store.discard(oldest, by()).await.map(drop).map_err(debug),
                        None => Ok(()),
                    }
                }
                Act::Publish => {
                    let told = site.notary.publish().await.map_err(debug)?;
                    published.push(told.note.clone());
                    Ok(())
                }
                Act::Rotate => match site.notary.rotate(by()).await {
                    Ok(_) | Err(notary::Error::Rotating) => Ok(()),
                    Err(error) => Err(debug(error)),
                },
                Act::Prune => {
                    let now = Timestamp::from_millis(model.now);
                    let day = Timestamp::from_millis(model.cutoff()).to_string()[..10].parse().unwrap();
                    let cutoff = Cutoff::new(day, now, true).unwrap();
                    site.store.prune(cutoff, by(), |_, _| {}).await.map(drop).map_err(debug)
                }
                Act::Wait(_) | Act::Restart | Act::Restore | Act::Crash(..) => unreachable!(),
            }
        });
        if done.is_ok() {
            *size = model.log.len() as u64;
            witness.follow(&file::open_disk(&place.disk.salvage(Survival::None)));
        }
        done
    }
}

async fn deliver(site: &Site, messages: &[Message]) -> Result<(), String> {
    // A task that has asked for much is made to wait, and others of its messages would get in line first.
    for messages in messages.chunks(64) {
        let calls = messages.iter().map(|message| site.store.ingest(received(&message.id, &message.body())));
        join_all(calls).await.into_iter().try_for_each(|answer| answer.map(drop).map_err(debug))?;
    }
    Ok(())
}

async fn provision(site: &Site, who: usize) -> Result<(), String> {
    let id = clerk_id(PEOPLE[who]);
    let event = user_event("user.updated", PEOPLE[who], T, "Ann");
    let told = Told::ByToken(Object::new(event["data"].as_object().unwrap().clone()));
    let entry = Draft::new("user.provisioned", Actor::System, Source::System).about(&id);
    site.store.provision(id, told, entry).await.map(drop).map_err(debug)
}

async fn set_role(site: &Site, who: usize, is_admin: bool) -> Result<(), String> {
    let role = if is_admin { "ADMIN" } else { "USER" };
    let patch = UserPatch { role: Some(role.parse().unwrap()), ..UserPatch::default() };
    let id = UserId::of(&clerk_id(PEOPLE[who]));
    site.store.set_user(id, patch, None, by().entry("user.assigned")).await.map(drop).map_err(debug)
}

async fn erase(site: &Site, who: usize) -> Result<(), String> {
    let order = Order { by: by(), reason: None, even_if_live: true, even_if_untold: true };
    match site.store.erase(&PEOPLE[who].parse().unwrap(), order, |_| {}).await {
        Ok(_) | Err(EraseError::Unknown) => Ok(()),
        Err(error) => Err(debug(error)),
    }
}

fn by() -> By {
    By { actor: Actor::Cli, source: Source::Cli }
}

fn debug(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

/// Reference → whom it means.
fn people(db: &redb::Database) -> BTreeMap<String, usize> {
    let refs = &file::dump(db)["subject_refs"];
    let quoted = |text: &str| text.trim_matches('"').to_owned();
    refs.iter()
        .filter_map(|(reference, id)| Some((quoted(reference), PEOPLE.iter().position(|who| who == id)?)))
        .collect()
}

/// A leaf, as far as it can be foretold.
fn line(leaf: &[u8], people: &BTreeMap<String, usize>) -> Line {
    let leaf: Value = serde_json::from_slice(leaf).unwrap();
    let word = |name: &str, words: &[&'static str]| {
        let found = leaf[name].as_str()?;
        Some(*words.iter().find(|word| **word == found).unwrap_or_else(|| panic!("{found}")))
    };
    Line {
        action: leaf["action"].as_str().unwrap().to_owned(),
        outcome: word("outcome", &["ok", "applied", "stale", "unchanged", "quarantined"]).unwrap(),
        reason: word("reason", &["deleted", "older", "erased", "unparsable"]),
        who: leaf["target"].as_str().and_then(|target| people.get(target).copied()),
        request: leaf["request"].as_str().map(str::to_owned),
        at: leaf["at"].as_i64().unwrap(),
    }
}
