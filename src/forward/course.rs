//! How far a target has come, and when that is written down: at once when its state changes, and else now and then, since
//! what was taken and not written down is only told once more.

use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::worker::{Failure, Worker};
use crate::audit::{Actor, Draft, Source};
use crate::target::Failing;

/// So many deliveries may be told once more after a crash.
const MOST_UNWRITTEN: u64 = 100;

/// So long a delivery may wait to be written down.
const SOON: Duration = Duration::from_millis(250);

/// So long entries that were nothing to tell may: looking at them again costs little.
const LATER: Duration = Duration::from_mins(1);

/// An outage is told in the log at this attempt: one that is over sooner is none.
const OUTAGE: u64 = 3;

/// What is not written down yet.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    delivered: u64,
    delivered_since: Option<Instant>,
    passed_since: Option<Instant>,
}

impl Unwritten {
    /// When it is to be written down, if there is anything.
    pub(super) fn due(&self) -> Option<Instant> {
        let soon = self.delivered_since.map(|since| since + SOON);
        soon.or_else(|| self.passed_since.map(|since| since + LATER))
    }

    fn is_due(&self) -> bool {
        self.delivered >= MOST_UNWRITTEN || self.due().is_some_and(|due| due <= Instant::now())
    }
}

impl Worker {
    /// Everything up to that entry was told or is nothing to tell.
    pub(super) fn passed(&mut self, seq: u64) {
        let mut standing = self.live.lock();
        if standing.course.after < Some(seq) {
            standing.course.after = Some(seq);
            self.unwritten.passed_since.get_or_insert_with(Instant::now);
        }
    }

    /// The target took that entry.
    pub(super) async fn delivered(&mut self, seq: u64) {
        let ended = {
            let mut standing = self.live.lock();
            standing.course.after = Some(seq);
            standing.course.delivered += 1;
            standing.course.delivered_at = Some(self.forwarder.0.clock.now());
            standing.said = None;
            standing.course.failing.take()
        };
        self.unwritten.delivered += 1;
        self.unwritten.delivered_since.get_or_insert_with(Instant::now);
        match ended {
            Some(outage) if outage.attempts >= OUTAGE => {
                let entry = self.entry("target.recovered").with("since", Some(outage.since.to_string()));
                self.write_down(Some(entry.with("attempts", Some(outage.attempts)))).await;
            }
            Some(_) => self.write_down(None).await,
            None if self.unwritten.is_due() => self.write_down(None).await,
            None => {}
        }
    }

    /// The target did not take that entry. Returns how long to wait before it is tried again.
    pub(super) async fn refused(&mut self, seq: u64, failure: &Failure) -> Duration {
        let now = self.forwarder.0.clock.now();
        // What was asked for before this failure is not about it.
        let _ = self.retry.notified().now_or_never();
        let (failing, pause) = {
            let mut standing = self.live.lock();
            let (since, attempts) =
                standing.course.failing.as_ref().map_or((now, 0), |failing| (failing.since, failing.attempts));
            let failing = Failing { since, attempts: attempts + 1, seq, why: failure.why.clone() };
            standing.said.clone_from(&failure.said);
            standing.failures += 1;
            standing.course.failing = Some(failing.clone());
            let pause = failure.pause(failing.attempts);
            standing.next_try_at = Some(now.plus_millis(i64::try_from(pause.as_millis()).unwrap_or_default()));
            (failing, pause)
        };
        let (name, attempts) = (&self.target.name, failing.attempts);
        tracing::info!(%name, seq, attempts, why = failure.why, wait_ms = pause.as_millis(), "forward.again");
        let entry = (failing.attempts == OUTAGE).then(|| {
            let entry = self.entry("target.failing").ended("error", "not_taken");
            entry.with("why", Some(failing.why)).with("seq", Some(seq)).with("since", Some(failing.since.to_string()))
        });
        self.write_down(entry).await;
        pause
    }

    /// Writes down how far the target has come, with an entry if something is to be said of it.
    pub(super) async fn write_down(&mut self, entry: Option<Draft>) {
        let course = self.live.lock().course.clone();
        self.unwritten = Unwritten::default();
        let put = self.forwarder.0.store.put_course(self.target.name.clone(), course, entry).await;
        if let Err(cause) = put {
            tracing::warn!(%cause, name = %self.target.name, "forward.not_written");
        }
    }

    /// An entry that says something became of the target by itself.
    pub(super) fn entry(&self, action: &str) -> Draft {
        super::change::about(&self.target, Draft::new(action, Actor::System, Source::System))
    }
}
