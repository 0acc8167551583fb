//! The week that the demo plays: what happened in a small application, told in order, but for what is told late, twice, not at
//! all, or by somebody else.

use std::io::Write;

use super::Error;
use crate::clerk::sender::Sender;
use crate::clock::{Clock, Timestamp};
use crate::sample::{self, PEOPLE, Scene};
use crate::stand_in::StandIn;

/// The Clerk instance that the stand-in plays.
pub(super) const INSTANCE: &str = "ins_demo";

/// Another one, whose events are put aside.
const ANOTHER: &str = "ins_somebody_elses";

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// When the server is to have been started: before anything happened, since no entry of its log may be older than the one
/// before.
pub(super) fn opens(now: Timestamp) -> Timestamp {
    let days = i64::try_from(PEOPLE.len()).unwrap_or_default();
    now.plus_millis(-days * DAY - HOUR)
}

/// Who plays, and for whom.
pub(super) struct Stage<'a> {
    /// Where things happen before they are told.
    pub(super) clerk: &'a StandIn,
    pub(super) sender: Sender,
    pub(super) seed: Vec<u8>,
    pub(super) now: Timestamp,
    /// The server's clock, which is put back to when each thing happened.
    pub(super) clock: Clock,
}

/// Something that happened.
#[derive(Clone, Copy)]
struct Turn {
    at: Timestamp,
    kind: &'static str,
    person: usize,
    /// During which of the person's visits.
    visit: (usize, Timestamp),
}

impl Stage<'_> {
    /// The scene of one person's first visit, when they signed up some days ago.
    pub(super) fn person(&self, number: usize) -> Scene {
        let since = self.signed_up(number);
        self.scene(number, (0, since))
    }

    /// Plays the week, and leaves the clock right.
    ///
    /// # Errors
    /// When an event cannot be sent, or the server does not take it.
    pub(super) async fn play(&self, out: &mut (dyn Write + Send)) -> Result<(), Error> {
        let (mut week, mut visits) = (self.week(), 0);
        week.sort_by_key(|turn| turn.at);
        for turn in week {
            self.clock.set(turn.at);
            self.happen(turn)?;
            let outcome = self.send(turn, INSTANCE).await?;
            if turn.visit.0 == 0 { tell(out, turn, &outcome)? } else { visits += 1 }
        }
        self.clock.set_right();
        writeln!(out, "  {:32} {:24} applied", "session.created, session.ended", format!("({visits} more)"))?;
        let (gone, old) = (PEOPLE.len() - 1, self.turn(2, "user.updated", self.ago(2 * MINUTE)));
        let (late, deleted) = (Turn { person: gone, ..old }, self.turn(gone, "user.deleted", self.ago(MINUTE)));
        let lost = self.turn(3, "user.updated", self.ago(3 * MINUTE / 2));
        for turn in [old, late, lost, deleted] {
            self.happen(turn)?;
        }
        for turn in [old, old] {
            tell(out, turn, &self.send(turn, INSTANCE).await?)?;
        }
        tell(out, lost, "lost on the way")?;
        for turn in [deleted, late] {
            tell(out, turn, &self.send(turn, INSTANCE).await?)?;
        }
        let theirs = self.turn(4, "user.updated", self.ago(MINUTE / 2));
        tell(out, theirs, &self.send(theirs, ANOTHER).await?)
    }

    fn week(&self) -> Vec<Turn> {
        let mut week = vec![
            self.turn(0, "organization.created", self.ago(2 * DAY)),
            self.turn(1, "subscriptionItem.active", self.ago(2 * DAY)),
            self.turn(2, "organizationMembership.created", self.ago(DAY)),
            self.turn(1, "email.created", self.ago(3 * MINUTE)),
        ];
        for number in 0..PEOPLE.len() {
            let signed_up = self.signed_up(number);
            week.push(self.turn(number, "user.created", signed_up));
            week.push(self.turn(number, "session.created", signed_up.plus_millis(MINUTE)));
            week.extend(self.visits(number));
        }
        week
    }

    /// Everybody comes back at their own pace, and stays for a while.
    fn visits(&self, person: usize) -> impl Iterator<Item = Turn> {
        let habit = i64::try_from(person).unwrap_or_default();
        let (since, pace) = (self.signed_up(person), 11 * HOUR + habit * 97 * MINUTE);
        let begun = (1_usize..).zip((1..).map(move |nth| since.plus_millis(nth * pace + nth * nth * 7 * MINUTE)));
        let last = self.ago(2 * HOUR);
        begun.take_while(move |(_, at)| *at < last).flat_map(move |visit| {
            let (nth, at) = visit;
            let stay = (17 + 13 * (i64::try_from(nth).unwrap_or_default() % 5)) * MINUTE;
            let turn = Turn { at, kind: "session.created", person, visit };
            [turn, Turn { at: at.plus_millis(stay), kind: "session.ended", ..turn }]
        })
    }

    fn turn(&self, person: usize, kind: &'static str, at: Timestamp) -> Turn {
        Turn { at, kind, person, visit: (0, self.signed_up(person)) }
    }

    fn signed_up(&self, number: usize) -> Timestamp {
        self.ago(DAY * i64::try_from(PEOPLE.len() - number).unwrap_or_default())
    }

    fn ago(&self, millis: i64) -> Timestamp {
        self.now.plus_millis(-millis)
    }

    fn scene(&self, number: usize, (visit, since): (usize, Timestamp)) -> Scene {
        let scene = Scene::new(&self.seed, self.ago(10 * DAY)).instance(INSTANCE);
        scene.person(number, self.signed_up(number)).visit(visit, since)
    }

    /// Makes it so at Clerk.
    fn happen(&self, Turn { at, kind, person, visit }: Turn) -> Result<(), Error> {
        let event = sample::event(kind, &self.scene(person, visit), at).unwrap_or_default();
        Ok(self.clerk.apply(&event)?)
    }

    /// Sends it as the event of an instance: what became of it.
    async fn send(&self, turn: Turn, instance: &str) -> Result<String, Error> {
        let Turn { at, kind, person, visit } = turn;
        let scene = self.scene(person, visit).instance(instance);
        let event = sample::event(kind, &scene, at).unwrap_or_default();
        // Signed now, whatever the server's clock says: a signature lasts five minutes.
        let signed_at = Clock::system().now();
        let answer = self.sender.send(&scene.message_id(kind, at), signed_at, &event).await?;
        if answer.status != 200 {
            return Err(Error::Refused { kind, status: answer.status, body: answer.body });
        }
        let outcome: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
        Ok(outcome["outcome"].as_str().unwrap_or("taken").to_owned())
    }
}

fn tell(out: &mut (dyn Write + Send), turn: Turn, outcome: &str) -> Result<(), Error> {
    Ok(writeln!(out, "  {:32} {:24} {outcome}", turn.kind, PEOPLE[turn.person % PEOPLE.len()].email)?)
}
