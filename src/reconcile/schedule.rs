//! When the server compares the users by itself: their number every hour, each of them once a day, and at once when the
//! number is not Clerk's.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::Error;
use super::desk::Desk;
use crate::audit::{Actor, Source};
use crate::clerk::backend::Patience;
use crate::clock::Timestamp;
use crate::store::By;

/// How long it is waited for what.
struct Waits {
    /// So often it is looked whether something is due, and so long after the start for the first time: whoever is started
    /// again and again asks nothing of Clerk.
    look_every: Duration,
    /// So often the users are counted.
    count_every: Duration,
    /// Before a number that is not Clerk's is asked for again: webhooks may be on their way.
    double_check: Duration,
    /// After a walk that did not come to its end. Each pause is twice as long as the one before.
    first_pause: Duration,
    longest_pause: Duration,
}

const USUAL: Waits = Waits {
    look_every: Duration::from_mins(1),
    count_every: Duration::from_hours(1),
    double_check: Duration::from_mins(1),
    first_pause: Duration::from_mins(2),
    longest_pause: Duration::from_hours(1),
};

/// What a count came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// When.
    pub at: Timestamp,
    /// How many users Clerk has.
    pub theirs: u64,
    /// How many are on the roll, and how many Clerk has who were deleted or erased here, or who cannot be read.
    pub ours: u64,
}

impl Counted {
    /// By how many the two differ.
    #[must_use]
    pub const fn difference(&self) -> u64 {
        self.theirs.abs_diff(self.ours)
    }
}

/// What is due when.
struct Plan {
    waits: Waits,
    count_at: Instant,
    /// Not before.
    walk_at: Instant,
    pause: Duration,
}

/// Compares every so many hours, until `stopped`. Returns at once when it is never to be done, or cannot be.
pub async fn keep(desk: Desk, hours: Option<NonZeroU32>, stopped: watch::Receiver<()>) {
    keep_at(USUAL, desk, hours, stopped).await;
}

async fn keep_at(waits: Waits, desk: Desk, hours: Option<NonZeroU32>, mut stopped: watch::Receiver<()>) {
    let Some(hours) = hours.filter(|_| desk.has_key()) else { return };
    let now = Instant::now();
    let mut plan = Plan { count_at: now + waits.count_every, walk_at: now, pause: waits.first_pause, waits };
    while timeout(plan.waits.look_every, stopped.changed()).await.is_err() {
        tokio::select! {
            () = desk.look_after(hours, &mut plan) => {}
            _ = stopped.changed() => return,
        }
    }
}

impl Desk {
    /// Counts the users here and at Clerk.
    ///
    /// # Errors
    /// When Clerk or the file does not tell.
    pub async fn count(&self) -> Result<Counted, Error> {
        let Some(backend) = self.backend() else { return Err(Error::Stopped) };
        let theirs = backend.count(Patience::Long).await?;
        let known = self.store().counts().users;
        let ours = self.store().last_walk()?.map_or(known, |walked| walked.report.counted(known, theirs));
        let counted = Counted { at: self.now(), theirs, ours };
        self.note_count(counted);
        Ok(counted)
    }

    async fn look_after(&self, hours: NonZeroU32, plan: &mut Plan) {
        if self.running().is_some() {
            return;
        }
        match self.is_due(hours) {
            Ok(true) if Instant::now() >= plan.walk_at => self.walk_as_planned(plan).await,
            Ok(_) if Instant::now() >= plan.count_at => self.count_as_planned(plan).await,
            Ok(_) => {}
            Err(cause) => tracing::warn!(%cause, "sync.not_planned"),
        }
    }

    /// Whether a walk was broken off, or the last one ended too long ago.
    fn is_due(&self, hours: NonZeroU32) -> Result<bool, Error> {
        if self.store().suspended_walk()?.is_some() {
            return Ok(true);
        }
        let since = |ended: Timestamp| self.now().as_millis() - ended.as_millis();
        let last = self.store().last_walk()?;
        Ok(last.is_none_or(|last| since(last.ended_at) >= i64::from(hours.get()) * 60 * 60 * 1000))
    }

    async fn walk_as_planned(&self, plan: &mut Plan) {
        let Ok(outcome) = self.follow(false, ourselves(), |_| ()).await else { return };
        if outcome.result.is_ok() {
            plan.pause = plan.waits.first_pause;
            plan.count_at = Instant::now() + plan.waits.count_every;
        } else {
            plan.walk_at = Instant::now() + plan.pause;
            plan.pause = (plan.pause * 2).min(plan.waits.longest_pause);
        }
    }

    async fn count_as_planned(&self, plan: &mut Plan) {
        plan.count_at = Instant::now() + plan.waits.count_every;
        match self.count_twice(plan.waits.double_check).await {
            Ok(counted) if counted.difference() == 0 => {}
            Ok(counted) => {
                let mut entry = ourselves()
                    .entry("sync.drift")
                    .with("theirs", Some(counted.theirs))
                    .with("ours", Some(counted.ours));
                entry.count = Some(counted.difference());
                if let Err(cause) = self.store().record(entry).await {
                    tracing::warn!(%cause, "audit.not_written");
                }
                self.walk_as_planned(plan).await;
            }
            Err(cause) => tracing::warn!(%cause, "sync.not_counted"),
        }
    }

    async fn count_twice(&self, pause: Duration) -> Result<Counted, Error> {
        let counted = self.count().await?;
        if counted.difference() == 0 {
            return Ok(counted);
        }
        sleep(pause).await;
        self.count().await
    }
}

/// The server itself.
const fn ourselves() -> By {
    By { actor: Actor::System, source: Source::System }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::clerk::backend::Backend;
    use crate::clock::Clock;
    use crate::stand_in::StandIn;
    use crate::store::Store;
    use crate::sync::Policy;

    /// As usual, but for somebody in a hurry.
    const HURRIED: Waits = Waits {
        look_every: Duration::from_millis(5),
        count_every: Duration::from_millis(20),
        double_check: Duration::from_millis(5),
        first_pause: Duration::from_millis(10),
        longest_pause: Duration::from_millis(20),
    };

    struct House {
        clerk: StandIn,
        clock: Clock,
        store: Store,
        desk: Desk,
        _dir: tempfile::TempDir,
    }

    impl House {
        async fn build(key: Option<&str>) -> Self {
            let clock = Clock::fixed(Clock::system().now());
            let clerk = StandIn::start("ins_1", clock.clone()).await.unwrap();
            clerk.allow(10_000);
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("rollbook.redb");
            let store = Store::open(&path, 1 << 20, Policy::default(), clock.clone()).unwrap();
            let backend = Backend::new(&clerk.url, key.unwrap_or(clerk.secret_key()), clock.clone()).unwrap();
            let desk = Desk::new(store.clone(), Some(backend), clock.clone());
            Self { clerk, clock, store, desk, _dir: dir }
        }

        fn sign_up(&self, id: &str) {
            let user = json!({ "object": "user", "id": id, "created_at": 1, "updated_at": 1 });
            self.clerk.put_user(user.as_object().unwrap().clone()).unwrap();
        }

        /// The schedule, kept until what is returned is dropped.
        fn keep(&self) -> watch::Sender<()> {
            let (stop, stopped) = watch::channel(());
            tokio::spawn(keep_at(HURRIED, self.desk.clone(), NonZeroU32::new(24), stopped));
            stop
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn everybody_is_compared_at_first_and_then_daily() {
        let house = House::build(None).await;
        house.sign_up("user_1");
        let stop = house.keep();
        house.store.told("sync.finished", 1).await;
        assert_eq!(house.store.counts().users, 1);
        let asked = house.clerk.requests();
        // From now on they are only counted.
        while house.clerk.requests() < asked + 5 {
            sleep(HURRIED.look_every).await;
        }
        assert_eq!(house.store.told("sync.started", 1).await.len(), 1);
        house.clock.set(house.clock.now().plus_millis(24 * 60 * 60 * 1000));
        house.store.told("sync.finished", 2).await;
        let started = house.store.told("sync.started", 2).await;
        assert!(started.iter().all(|entry| entry.leaf.actor == "system"));
        drop(stop);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_number_that_differs_is_said_and_seen_to() {
        let house = House::build(None).await;
        let stop = house.keep();
        house.store.told("sync.finished", 1).await;
        house.sign_up("user_1");
        house.sign_up("user_2");
        let drift = house.store.told("sync.drift", 1).await.remove(0);
        let detail = drift.detail.unwrap();
        assert_eq!((drift.leaf.count, &detail["theirs"], &detail["ours"]), (Some(2), &json!(2), &json!(0)));
        house.store.told("sync.finished", 2).await;
        assert_eq!(house.store.counts().users, 2);
        drop(stop);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_fails_is_tried_again() {
        let house = House::build(Some("sk_test_another")).await;
        let stop = house.keep();
        let failed = house.store.told("sync.finished", 3).await;
        assert!(failed.iter().all(|entry| entry.leaf.reason.as_deref() == Some("key_refused")));
        drop(stop);
        house.desk.idle().await;
    }

    #[tokio::test]
    async fn without_key_or_hours_nothing_is_done() {
        let house = House::build(None).await;
        let (_stop, stopped) = watch::channel(());
        keep_at(HURRIED, house.desk.clone(), None, stopped.clone()).await;
        let keyless = Desk::new(house.store.clone(), None, house.clock.clone());
        keep_at(HURRIED, keyless, NonZeroU32::new(1), stopped).await;
        assert_eq!(house.clerk.requests(), 0);
    }
}
