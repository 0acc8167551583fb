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

/// So often it is looked whether something is due, and so long after the start for the first time: whoever is started again
/// and again asks nothing of Clerk.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// So often the users are counted.
const COUNT_EVERY: Duration = Duration::from_hours(1);

/// So long it is waited before a number that is not Clerk's is asked for again: webhooks may be on their way.
const DOUBLE_CHECK: Duration = Duration::from_mins(1);

/// The first pause after a walk that did not come to its end. Each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_mins(2);

/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// What a count came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// When.
    pub at: Timestamp,
    /// How many users Clerk has.
    pub theirs: u64,
    /// How many are on the roll, and how many Clerk has who were deleted or erased here.
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
    count_at: Instant,
    /// Not before.
    walk_at: Instant,
    pause: Duration,
}

/// Compares every so many hours, until `stopped`. Returns at once when it is never to be done, or cannot be.
pub async fn keep(desk: Desk, hours: Option<NonZeroU32>, mut stopped: watch::Receiver<()>) {
    let Some(hours) = hours.filter(|_| desk.has_key()) else { return };
    let now = Instant::now();
    let mut plan = Plan { count_at: now + COUNT_EVERY, walk_at: now, pause: FIRST_PAUSE };
    while timeout(LOOK_EVERY, stopped.changed()).await.is_err() {
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
        let apart = self.store().last_walk()?.map_or(0, |walked| walked.report.apart);
        let counted = Counted { at: self.now(), theirs, ours: self.store().counts().users + apart };
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
            plan.pause = FIRST_PAUSE;
            plan.count_at = Instant::now() + COUNT_EVERY;
        } else {
            plan.walk_at = Instant::now() + plan.pause;
            plan.pause = (plan.pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn count_as_planned(&self, plan: &mut Plan) {
        plan.count_at = Instant::now() + COUNT_EVERY;
        match self.count_twice().await {
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

    async fn count_twice(&self) -> Result<Counted, Error> {
        let counted = self.count().await?;
        if counted.difference() == 0 {
            return Ok(counted);
        }
        sleep(DOUBLE_CHECK).await;
        self.count().await
    }
}

/// The server itself.
const fn ourselves() -> By {
    By { actor: Actor::System, source: Source::System }
}
