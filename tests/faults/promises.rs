//! What must hold of a file whatever befell the disk under it:
//!
//! - what was acknowledged is there, and nothing is there by halves: [`Course::place_of`];
//! - a user's row changes with its entry in the log, and never without: [`Course::changes_are_told`];
//! - a message has one entry, and every entry of a message has its mark: [`Witness::follow`];
//! - the root in the head follows from the entries: [`Witness::follow`];
//! - every checkpoint that was published is of a beginning of the log: [`published_are_beginnings`];
//! - the high-water mark is not below any checkpoint that was published: [`mark_is_not_behind`];
//! - the log's time never goes back: [`Witness::follow`];
//! - no tile holds more, or less, than the head says: [`Witness::follow`].

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use redb::Database;
use rollbook::tlog::checkpoint::Checkpoint;
use rollbook::tlog::note::VerifierKey;
use serde_json::Value;

use super::script::{SCRIPT, Step, WORKED_IN, deliver, worked_in};
use super::site::{Site, run};
use super::state::State;
use crate::disk::{Disk, Survival};
use crate::file::{self, Witness};

/// The states that the script brings a file through, in their order. Whatever happens on the way, a file can be in no
/// other.
pub(crate) struct Course {
    states: Vec<State>,
    /// How many of them there are by the end of each thing done, message by message.
    ends: Vec<usize>,
    /// How many entries the log had when last seen.
    size: usize,
}

/// What the script does when nothing is wrong.
pub(crate) static COURSE: LazyLock<Course> = LazyLock::new(|| {
    let place = worked_in();
    place.disk.keep_states();
    let mut course = Course { states: vec![state_of(&place.disk)], ends: Vec::new(), size: witness().size() };
    run(async {
        let site = Site::open(&place).await.unwrap();
        for step in &*SCRIPT {
            match step {
                Step::Deliver(messages) => {
                    for message in messages {
                        deliver(&site.store, std::slice::from_ref(message)).await.remove(0).unwrap();
                        course.follow(&place.disk);
                    }
                }
                Step::Do((name, deed)) => {
                    deed(&site).await.unwrap_or_else(|error| panic!("{name}: {error}"));
                    course.follow(&place.disk);
                }
            }
        }
        assert_eq!(site.store.first_entry().unwrap(), 256, "nothing was pruned");
        site.close().await;
    });
    course
});

/// The state of the file on that disk, as it would be found after a power cut now.
fn state_of(disk: &Disk) -> State {
    State::of(&file::open_disk(&disk.salvage(Survival::None)))
}

impl Course {
    /// Adds the states that the disk has gone through since, at the end of another thing done.
    fn follow(&mut self, disk: &Disk) {
        for disk in disk.kept_states() {
            let db = file::open_disk(&disk);
            let (state, before) = (State::of(&db), self.states.last().unwrap());
            if *before != state {
                self.changes_are_told(before, &state, &file::leaves(&db), file::first(&db));
                self.size = file::leaves(&db).len() + usize::try_from(file::first(&db)).unwrap();
                self.states.push(state);
            }
        }
        self.ends.push(self.states.len());
    }

    /// Between two states, what changed of people is in the log, and what the log says was changed has changed.
    fn changes_are_told(&self, before: &State, after: &State, leaves: &[Vec<u8>], first: u64) {
        let changed = after.differs_from(before);
        let new = leaves.iter().skip(self.size - usize::try_from(first).unwrap());
        let new: Vec<Value> = new.map(|leaf| serde_json::from_slice(leaf).unwrap()).collect();
        let has_changed = ["users", "user_tombstones", "erased"].iter().any(|table| changed.contains(table));
        let is_told = |leaf: &Value| {
            let action = leaf["action"].as_str().unwrap();
            let of_people = action.starts_with("user.") || action.starts_with("sync.user_");
            of_people && (leaf["outcome"] == "applied" || leaf["outcome"] == "ok")
        };
        if new.iter().any(is_told) {
            assert!(has_changed, "nothing was changed, and the log says {new:?}");
        }
        if has_changed {
            assert!(!new.is_empty(), "{changed:?} have changed, and the log does not say so");
        }
    }

    /// The states in which a file may be when so many things are done and acknowledged, and the next `under_way` things
    /// are not: none, one or more of those may have happened.
    pub(crate) fn allowed(&self, done: usize, under_way: usize) -> RangeInclusive<usize> {
        let end = |things: usize| things.checked_sub(1).map_or(0, |last| self.ends[last.min(self.ends.len() - 1)] - 1);
        end(done)..=end(done + under_way)
    }

    /// Which of the states allowed the file is in. Says what is wrong when it is in none of them: then something that was
    /// acknowledged is lost, or is there in part.
    pub(crate) fn place_of(&self, db: &Database, allowed: RangeInclusive<usize>) -> Result<usize, String> {
        let found = State::of(db);
        let place = allowed.clone().find(|place| self.states[*place] == found);
        place.ok_or_else(|| {
            let elsewhere = self.states.iter().position(|state| *state == found);
            let differences: Vec<_> = allowed.clone().map(|place| self.states[place].differs_from(&found)).collect();
            format!("in state {elsewhere:?}, not in {allowed:?}; in those, other are {differences:?}")
        })
    }
}

/// A witness who knows the log from its beginning, also what may be pruned by now.
pub(crate) fn witness() -> Witness {
    static WITNESS: LazyLock<Witness> = LazyLock::new(|| {
        let mut witness = Witness::default();
        witness.follow(&file::open_disk(&WORKED_IN.disk.salvage(Survival::None)));
        witness
    });
    WITNESS.clone()
}

/// Every checkpoint is signed, and the log had that root when it had that size.
pub(crate) fn published_are_beginnings(notes: &[String], keys: &[VerifierKey], witness: &Witness, case: &str) {
    for note in notes {
        let checkpoint = Checkpoint::open(note, keys).unwrap_or_else(|error| panic!("{case}: {error}: {note}"));
        let size = usize::try_from(checkpoint.size).unwrap();
        assert!(size <= witness.size(), "{case}: {size} entries were signed for, and {} are there", witness.size());
        assert_eq!(witness.root_at(size), checkpoint.root, "{case}: a checkpoint of another past was published");
    }
}

/// The mark is at least as far as every checkpoint.
pub(crate) fn mark_is_not_behind(mark: Option<&str>, notes: &[String], keys: &[VerifierKey], case: &str) {
    let size = |note: &str| Checkpoint::open(note, keys).unwrap_or_else(|error| panic!("{case}: {error}")).size;
    let furthest = notes.iter().map(|note| size(note)).max().unwrap_or_default();
    let marked = mark.map(size).unwrap_or_default();
    assert!(furthest <= marked, "{case}: {furthest} entries were signed for, and the mark says {marked}");
}
