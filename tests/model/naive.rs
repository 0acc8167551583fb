//! What should be there, in maps and lists.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest_state_machine::ReferenceStateMachine;
use serde_json::Value;

use crate::common::{deleted_event, user_event};
use crate::disk::{Call, Fault, Survival};
use crate::site::T;

const DAY: i64 = 24 * 60 * 60 * 1000;

/// People go by letters.
pub(crate) const PEOPLE: [&str; 4] = ["user_ann", "user_bo", "user_cy", "user_di"];
const NAMES: [&str; 3] = ["Ann", "Bo", "Cy"];

/// What Clerk sends.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    pub(crate) id: String,
    says: Says,
}

#[derive(Debug, Clone, PartialEq)]
enum Says {
    Saved { who: usize, updated_at: i64, at: i64, name: usize },
    Deleted { who: usize, at: i64 },
    Nonsense,
}

impl Message {
    pub(crate) fn body(&self) -> String {
        match &self.says {
            Says::Saved { who, updated_at, at, name } => {
                let mut event = user_event("user.updated", PEOPLE[*who], *updated_at, NAMES[*name]);
                event["timestamp"] = Value::from(*at);
                event.to_string()
            }
            Says::Deleted { who, at } => deleted_event(PEOPLE[*who], *at).to_string(),
            Says::Nonsense => "{\"nothing\":".to_owned(),
        }
    }
}

/// Something that is done to the store.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Messages that come at the same time: new, repeated, late, in any order.
    Deliver(Vec<Message>),
    Provision(usize),
    SetRole(usize, bool),
    Erase(usize),
    /// Throws away the oldest delivery in quarantine.
    Discard,
    Publish,
    Rotate,
    Prune,
    /// The clock goes on so many milliseconds, or a little back.
    Wait(i64),
    Restart,
    /// A copy is made, and put in the file's place.
    Restore,
    /// The disk fails during the act, and so much is left; then the file is opened again and whoever has no answer tries
    /// again.
    Crash(Fault, Survival, Box<Self>),
}

/// An entry of the log, as far as it can be foretold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    pub(crate) action: String,
    pub(crate) outcome: &'static str,
    pub(crate) reason: Option<&'static str>,
    pub(crate) who: Option<usize>,
    pub(crate) request: Option<String>,
    pub(crate) at: i64,
}

/// `updated_at`, `timestamp`, message.
type Version = (i64, i64, String);

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Person {
    /// `None` while only a token has told of them.
    pub(crate) version: Option<Version>,
    pub(crate) name: usize,
    pub(crate) is_admin: bool,
    pub(crate) deleted_at: Option<i64>,
}

#[derive(Debug, Clone)]
pub(crate) struct Model {
    /// Whether deleted people's records go.
    pub(crate) is_hard: bool,
    pub(crate) now: i64,
    latest: i64,
    pub(crate) people: BTreeMap<usize, Person>,
    pub(crate) tombstones: BTreeMap<usize, i64>,
    pub(crate) erased: BTreeSet<usize>,
    /// Whom the log can name.
    named: BTreeSet<usize>,
    /// Message → its entry.
    pub(crate) seen: BTreeMap<String, u64>,
    pub(crate) quarantine: BTreeMap<u64, String>,
    /// Every entry there ever was.
    pub(crate) log: Vec<Line>,
    /// The first that is kept.
    pub(crate) first: u64,
    /// Until when a former key signs.
    retires_at: Option<i64>,
    /// Everything that was ever sent.
    sent: Vec<Message>,
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Act;

    fn init_state() -> BoxedStrategy<Self> {
        (any::<bool>(), prop_oneof![3 => Just(0), 1 => Just(270_usize)])
            .prop_map(|(is_hard, old)| Self::new(is_hard, old))
            .boxed()
    }

    fn transitions(model: &Self) -> BoxedStrategy<Act> {
        let (deliver, crashed) = (model.deliveries(), model.deliveries());
        let who = || 0..PEOPLE.len();
        let alone = prop_oneof![
            2 => who().prop_map(Act::Provision),
            2 => (who(), any::<bool>()).prop_map(|(who, is_admin)| Act::SetRole(who, is_admin)),
            1 => who().prop_map(Act::Erase),
            1 => Just(Act::Discard),
            2 => Just(Act::Publish),
        ]
        .boxed();
        let crash = (fault(), survival(), prop_oneof![2 => crashed, 1 => alone.clone()])
            .prop_map(|(fault, survival, act)| Act::Crash(fault, survival, Box::new(act)));
        prop_oneof![
            8 => deliver,
            5 => alone,
            6 => crash,
            1 => Just(Act::Rotate),
            2 => Just(Act::Prune),
            2 => select(vec![-800, 1, 5_000, 40 * DAY, 100 * DAY]).prop_map(Act::Wait),
            2 => Just(Act::Restart),
            1 => Just(Act::Restore),
        ]
        .boxed()
    }

    fn apply(mut model: Self, act: &Act) -> Self {
        model.perform(act);
        model
    }

    fn preconditions(model: &Self, act: &Act) -> bool {
        // A clock that is turned back further is told of in the log, at most once a minute of a clock that nobody sets.
        !matches!(act, Act::Wait(by) if model.now + by < model.latest - 900)
    }
}

fn fault() -> impl Strategy<Value = Fault> {
    let call = || select(vec![Call::Write, Call::Sync, Call::Read, Call::Resize]);
    prop_oneof![
        3 => (call(), 0..60_u64).prop_map(|(call, after)| Fault::Breaks(call, after)),
        1 => (call(), 0..60_u64).prop_map(|(call, after)| Fault::Hiccups(call, after)),
        1 => (0..30_usize).prop_map(Fault::Full),
    ]
}

fn survival() -> impl Strategy<Value = Survival> {
    prop_oneof![
        Just(Survival::All),
        Just(Survival::None),
        any::<u64>().prop_map(Survival::Some),
        any::<u64>().prop_map(Survival::First),
        any::<u64>().prop_map(Survival::Torn),
    ]
}

impl Model {
    fn new(is_hard: bool, old: usize) -> Self {
        let mut model = Self {
            is_hard,
            now: T,
            latest: T,
            people: BTreeMap::new(),
            tombstones: BTreeMap::new(),
            erased: BTreeSet::new(),
            named: BTreeSet::new(),
            seen: BTreeMap::new(),
            quarantine: BTreeMap::new(),
            log: Vec::new(),
            first: 0,
            retires_at: None,
            sent: Vec::new(),
        };
        model.note("log.key_made", "ok", None);
        let says = |n: usize| Says::Saved { who: n % 3, updated_at: T - 1_000, at: T, name: n % 2 };
        let old: Vec<Message> = (0..old).map(|n| Message { id: format!("old_{n}"), says: says(n) }).collect();
        model.perform(&Act::Deliver(old));
        model
    }

    /// What was sent before the first act.
    pub(crate) fn old(&self) -> Vec<Message> {
        self.sent.clone()
    }

    /// Some messages, of which some were sent before.
    fn deliveries(&self) -> BoxedStrategy<Act> {
        let who = 0..PEOPLE.len();
        let says = prop_oneof![
            6 => (who.clone(), 0..4_i64, 0..3_i64, 0..NAMES.len())
                .prop_map(|(who, updated_at, at, name)| Says::Saved { who, updated_at: T + updated_at, at: T + at, name }),
            2 => (who, 0..3_i64).prop_map(|(who, at)| Says::Deleted { who, at: T + at }),
            1 => Just(Says::Nonsense),
        ];
        // Of two messages alike in all else the greater id wins, which need not be the later one's.
        let new = (any::<u32>(), says).prop_map(|(id, says)| Message { id: format!("msg_{id:08x}"), says });
        let message = if self.sent.is_empty() {
            new.boxed()
        } else {
            prop_oneof![4 => new, 1 => select(self.sent.clone())].boxed()
        };
        prop_oneof![
            9 => vec(message.clone(), 1..6),
            1 => vec(message, 60..130),
        ]
        .prop_map(Act::Deliver)
        .boxed()
    }

    fn perform(&mut self, act: &Act) {
        match act {
            Act::Deliver(messages) => messages.iter().for_each(|message| self.deliver(message)),
            Act::Provision(who) => self.provision(*who),
            Act::SetRole(who, is_admin) => self.set_role(*who, *is_admin),
            Act::Erase(who) => self.erase(*who),
            Act::Discard => {
                if let Some((_, id)) = self.quarantine.pop_first() {
                    self.note("quarantine.discarded", "ok", None);
                    self.last().request = Some(id);
                }
            }
            Act::Publish => self.retire_key(),
            Act::Rotate => {
                self.retire_key();
                if self.retires_at.is_none() {
                    self.retires_at = Some(self.now + 30 * DAY);
                    self.note("log.key_rotated", "ok", None);
                }
            }
            Act::Prune => self.prune(),
            Act::Wait(by) => {
                self.now += by;
                self.latest = self.latest.max(self.now);
            }
            Act::Restart | Act::Restore => {}
            Act::Crash(_, _, act) => self.perform(act),
        }
    }

    /// Where the next entry will be.
    fn next(&self) -> u64 {
        self.log.len() as u64
    }

    fn note(&mut self, action: &str, outcome: &'static str, who: Option<usize>) {
        let at = self.log.last().map_or(self.now, |last| last.at.max(self.now));
        self.named.extend(who);
        self.log.push(Line { action: action.to_owned(), outcome, reason: None, who, request: None, at });
    }

    fn last(&mut self) -> &mut Line {
        self.log.last_mut().unwrap()
    }

    fn deliver(&mut self, message: &Message) {
        if !self.sent.contains(message) {
            self.sent.push(message.clone());
        }
        if self.seen.contains_key(&message.id) {
            return;
        }
        let place = self.next();
        self.seen.insert(message.id.clone(), place);
        let (action, (outcome, reason), who) = match &message.says {
            Says::Nonsense => {
                self.quarantine.insert(place, message.id.clone());
                ("webhook.quarantined", ("quarantined", Some("unparsable")), None)
            }
            Says::Saved { who, .. } if self.erased.contains(who) => ("user.updated", ("stale", Some("erased")), None),
            Says::Deleted { who, .. } if self.erased.contains(who) => ("user.deleted", ("stale", Some("erased")), None),
            Says::Saved { who, updated_at, at, name } => {
                let version = (*updated_at, *at, message.id.clone());
                ("user.updated", self.save(*who, version, *name), Some(*who))
            }
            Says::Deleted { who, at } => ("user.deleted", self.delete(*who, *at), Some(*who)),
        };
        self.note(action, outcome, who);
        self.last().reason = reason;
        self.last().request = Some(message.id.clone());
    }

    fn save(&mut self, who: usize, version: Version, name: usize) -> (&'static str, Option<&'static str>) {
        let gone = self.tombstones.get(&who).copied();
        if gone.is_some() && self.is_hard {
            return ("stale", Some("deleted"));
        }
        let kept = self.people.get(&who).cloned();
        if kept.as_ref().and_then(|kept| kept.version.as_ref()).is_some_and(|kept| version <= *kept) {
            return ("stale", Some("older"));
        }
        let is_alike = kept.as_ref().is_some_and(|kept| kept.name == name);
        let is_admin = kept.is_some_and(|kept| kept.is_admin);
        self.people.insert(who, Person { version: Some(version), name, is_admin, deleted_at: gone });
        match gone {
            Some(_) => ("stale", Some("deleted")),
            None if is_alike => ("unchanged", None),
            None => ("applied", None),
        }
    }

    fn delete(&mut self, who: usize, at: i64) -> (&'static str, Option<&'static str>) {
        let told = self.tombstones.get(&who).copied();
        let first = told.map_or(at, |told| told.min(at));
        self.tombstones.insert(who, first);
        if self.is_hard {
            self.people.remove(&who);
        } else if let Some(person) = self.people.get_mut(&who) {
            person.deleted_at = Some(first);
        }
        if told.is_some_and(|told| told <= at) { ("stale", Some("deleted")) } else { ("applied", None) }
    }

    fn provision(&mut self, who: usize) {
        let is_gone = self.tombstones.contains_key(&who) || self.erased.contains(&who);
        if !is_gone && !self.people.contains_key(&who) {
            self.people.insert(who, Person { version: None, name: 0, is_admin: false, deleted_at: None });
            self.note("user.provisioned", "ok", Some(who));
        }
    }

    fn set_role(&mut self, who: usize, is_admin: bool) {
        if let Some(person) = self.people.get_mut(&who) {
            let action = if person.is_admin == is_admin { "user.read" } else { "user.assigned" };
            person.is_admin = is_admin;
            self.note(action, "ok", Some(who));
        }
    }

    fn erase(&mut self, who: usize) {
        if self.named.contains(&who) || self.people.contains_key(&who) {
            self.people.remove(&who);
            self.tombstones.remove(&who);
            self.note("user.erased", "ok", Some(who));
            self.erased.insert(who);
            self.named.remove(&who);
        }
    }

    fn retire_key(&mut self) {
        if self.retires_at.is_some_and(|at| at <= self.now) {
            self.retires_at = None;
            self.note("log.key_retired", "ok", None);
        }
    }

    /// The begin of the day before which entries may go.
    pub(crate) fn cutoff(&self) -> i64 {
        (self.now - 91 * DAY).div_euclid(DAY) * DAY
    }

    fn prune(&mut self) {
        let cutoff = self.cutoff();
        let older = self.log.iter().take_while(|line| line.at < cutoff).count() as u64;
        let end = older / 256 * 256;
        if end > self.first {
            self.note("log.pruned", "ok", None);
            self.first = end;
            self.seen.retain(|_, place| *place >= end);
            self.quarantine.retain(|place, _| *place >= end);
        }
    }
}
