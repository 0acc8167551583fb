//! What tells one target: reads a stretch of the feed, makes its calls one by one, and waits: for the log to grow, for a
//! target that fails, or for its end.

use std::time::Duration;

use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::bearer::NoBearer;
use super::compose::{self, Step};
use super::course::Unwritten;
use super::secrets::Kept;
use super::{Forwarder, Live, Stuck, change};
use crate::clerk::backend;
use crate::clerk::courier::{Answer, Courier, Message, NoAnswer, Verb};
use crate::clerk::http::shortened;
use crate::clock::Timestamp;
use crate::page::Limit;
use crate::store::{FeedError, FeedItem, FeedPage, FeedRequest, Subject};
use crate::target::Target;
use crate::user::{ClerkId, User, UserId};

/// The first pause after a failure. Each is twice as long as the one before, and shortened by chance.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_mins(15);

/// The longest that an answer may ask for.
const LONGEST_ASKED: Duration = Duration::from_hours(1);

/// What was read so long ago is read anew before it is told: people are changed and erased meanwhile.
const FRESH: Duration = Duration::from_secs(5);

/// How long to wait before something that is wrong at this end is looked at again.
const LATER: Duration = Duration::from_mins(1);

/// What tells one target. There is one for each at most.
pub(super) struct Worker {
    pub(super) forwarder: Forwarder,
    pub(super) target: Target,
    kept: Option<Kept>,
    pub(super) live: Live,
    pub(super) retry: Arc<Notify>,
    stopped: watch::Receiver<bool>,
    size: watch::Receiver<u64>,
    courier: Option<(Courier, Option<Timestamp>)>,
    pub(super) unwritten: Unwritten,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Over,
}

/// What became of an entry.
enum Told {
    /// The target took it.
    Taken,
    /// There is nothing to tell.
    Nothing,
    /// The target wants nothing any more.
    Gone,
    /// It was not taken.
    Failed(Failure),
}

/// Why an entry was not taken.
#[derive(Debug)]
pub(super) struct Failure {
    /// In a few words of our own.
    pub(super) why: String,
    /// How the answer begins.
    pub(super) said: Option<String>,
    /// How long the other side asks to be left alone.
    wait: Option<Duration>,
}

impl Worker {
    pub(super) fn new(
        forwarder: Forwarder,
        target: Target,
        kept: Option<Kept>,
        live: Live,
        retry: Arc<Notify>,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        let size = forwarder.0.store.size();
        Self { forwarder, target, kept, live, retry, stopped, size, courier: None, unwritten: Unwritten::default() }
    }

    /// Tells the target until it is stopped.
    pub(super) async fn run(mut self) {
        while self.round().await == Flow::On {}
        if self.unwritten.due().is_some() {
            self.write_down(None).await;
        }
    }

    async fn round(&mut self) -> Flow {
        if self.live.lock().course.paused {
            return self.rest(None).await;
        }
        if let Err(stuck) = self.make_ready().await {
            let time = matches!(stuck, Stuck::Secrets(_)).then_some(LATER);
            return self.stand(stuck, time).await;
        }
        if self.forwarder.0.store.doubt().is_some() {
            return self.stand(Stuck::Doubt, Some(LATER)).await;
        }
        // What is committed from here on is seen in the next round.
        self.size.borrow_and_update();
        let request = FeedRequest {
            after: self.live.lock().course.after,
            types: compose::types(&self.target),
            limit: Limit::default(),
        };
        match self.forwarder.0.store.feed(request).await {
            Ok(page) => {
                self.live.lock().stuck = None;
                self.tell_all(page).await
            }
            Err(FeedError::Pruned) => self.jump().await,
            Err(FeedError::Ahead) => self.stand(Stuck::Ahead, None).await,
            Err(FeedError::Store(cause)) => {
                tracing::warn!(%cause, name = %self.target.name, "forward.not_read");
                self.stand(Stuck::Store, Some(LATER)).await
            }
        }
    }

    /// Has at hand what calls the target, with the secrets that sign now.
    async fn make_ready(&mut self) -> Result<(), Stuck> {
        let now = self.forwarder.0.clock.now();
        if self.courier.as_ref().is_none_or(|(_, until)| until.is_some_and(|until| until <= now)) {
            if self.kept.is_none() {
                self.kept = self.forwarder.kept(&self.target.name).await?;
            }
            let courier = self.forwarder.courier(&self.target, self.kept.as_ref()).await?;
            self.courier = Some((courier, self.kept.as_ref().and_then(|kept| kept.changes_at(now))));
        }
        Ok(())
    }

    /// Tells what is in a stretch of the feed, as long as all goes well.
    async fn tell_all(&mut self, page: FeedPage) -> Flow {
        let read_at = Instant::now();
        for item in &page.items {
            if read_at.elapsed() > FRESH {
                return Flow::On;
            }
            let mut stopped = self.stopped.clone();
            let told = tokio::select! {
                biased;
                _ = stopped.wait_for(|stop| *stop) => return Flow::Over,
                told = self.tell(item) => told,
            };
            let seq = item.entry.seq;
            match told {
                Told::Taken => self.delivered(seq).await,
                Told::Nothing => self.passed(seq),
                Told::Gone => return self.pause().await,
                Told::Failed(failure) => return self.wait_after(seq, &failure).await,
            }
        }
        if let Some(seq) = page.next_after {
            self.passed(seq);
        }
        if page.is_end { self.rest_until_grown().await } else { Flow::On }
    }

    async fn tell(&self, item: &FeedItem) -> Told {
        let (inner, entry) = (&self.forwarder.0, &item.entry);
        match compose::step(&self.target, entry) {
            Step::Pass => Told::Nothing,
            Step::Event => {
                let message = compose::event(inner.mark, &inner.shape, item, inner.clock.now());
                self.send(&message).await.map_or_else(Told::Failed, |answer| judge(answer, Verb::Post))
            }
            Step::Save(id, verb) => self.save(item, &id, verb).await.unwrap_or_else(Told::Failed),
            Step::Delete(id) => {
                let message = compose::delete(inner.mark, entry, &id);
                self.send(&message).await.map_or_else(Told::Failed, |answer| judge(answer, Verb::Delete))
            }
        }
    }

    /// Creates or updates a user at the target, as they are now.
    async fn save(&self, item: &FeedItem, id: &ClerkId, verb: Verb) -> Result<Told, Failure> {
        let (inner, seq) = (&self.forwarder.0, item.entry.seq);
        let Some(user) = self.user(item, id)? else { return Ok(Told::Nothing) };
        let mut bearer = None;
        if self.target.bearer {
            match self.forwarder.bearer(id).await {
                Ok(token) => bearer = Some(token),
                // Nobody can speak for them now; their next sign-in brings them again.
                Err(NoBearer::NoSession) => return Ok(Told::Nothing),
                Err(cause) => return Err(cause.into()),
            }
        }
        let message = compose::save(inner.mark, seq, &user, verb, bearer.clone());
        let answer = self.send(&message).await?;
        if verb == Verb::Patch && answer.status == 404 {
            let message = compose::save(inner.mark, seq, &user, Verb::Post, bearer);
            return Ok(judge_creation(self.send(&message).await?));
        }
        Ok(if verb == Verb::Post { judge_creation(answer) } else { judge(answer, verb) })
    }

    /// The user that an entry is about as they are now, unless they were deleted since: that is told by an entry behind.
    fn user(&self, item: &FeedItem, id: &ClerkId) -> Result<Option<User>, Failure> {
        let user = match &item.subject {
            Some(Subject::User(_, user)) => user.as_deref().cloned(),
            _ => {
                self.forwarder.0.store.user(UserId::of(id)).map_err(|_| Failure::of("the data file cannot be read"))?
            }
        };
        Ok(user.filter(|user| user.deleted_at.is_none()))
    }

    async fn send(&self, message: &Message) -> Result<Answer, Failure> {
        let Some((courier, _)) = &self.courier else { return Err(Failure::of("it cannot be called")) };
        Ok(courier.send(message, self.forwarder.0.clock.now()).await?)
    }

    /// Passes over what is not there any more.
    async fn jump(&mut self) -> Flow {
        let Ok(oldest) = self.forwarder.0.store.place_at(None).await else {
            return self.stand(Stuck::Store, Some(LATER)).await;
        };
        let before = self.live.lock().course.after;
        let from = before.map_or(0, |after| after.saturating_add(1));
        self.live.lock().course.after = oldest.checked_sub(1);
        let entry = change::skipped(self.entry("target.skipped"), from, oldest.saturating_sub(1));
        self.write_down(Some(entry.ended("ok", "pruned"))).await;
        Flow::On
    }

    /// Sends nothing more until an admin resumes it: the other side asked for that.
    async fn pause(&mut self) -> Flow {
        {
            let course = &mut self.live.lock().course;
            course.paused = true;
            course.paused_for = Some("it answered 410 (gone)".to_owned());
        }
        let entry = self.entry("target.paused").ended("ok", "gone");
        self.write_down(Some(entry)).await;
        Flow::On
    }

    /// Waits before the same is tried again.
    async fn wait_after(&mut self, seq: u64, failure: &Failure) -> Flow {
        let pause = self.refused(seq, failure).await;
        let flow = self.rest(Some(pause)).await;
        self.live.lock().next_try_at = None;
        flow
    }

    /// Sends nothing for now, for a reason at this end.
    async fn stand(&mut self, stuck: Stuck, time: Option<Duration>) -> Flow {
        self.live.lock().stuck = Some(stuck);
        self.rest(time).await
    }

    /// Waits that long, or until it is to be tried at once; without a time, until the end.
    async fn rest(&mut self, time: Option<Duration>) -> Flow {
        tokio::select! {
            biased;
            _ = self.stopped.wait_for(|stop| *stop) => Flow::Over,
            () = self.retry.notified() => Flow::On,
            () = sleep(time.unwrap_or_default()), if time.is_some() => Flow::On,
        }
    }

    /// Waits for the log to grow, and meanwhile writes down what is to be written.
    async fn rest_until_grown(&mut self) -> Flow {
        loop {
            let due = self.unwritten.due();
            tokio::select! {
                biased;
                _ = self.stopped.wait_for(|stop| *stop) => return Flow::Over,
                grown = self.size.changed() => return if grown.is_ok() { Flow::On } else { Flow::Over },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
            self.write_down(None).await;
        }
    }
}

/// What an answer means for what was to be done.
fn judge(answer: Answer, verb: Verb) -> Told {
    match answer.status {
        200..=299 => Told::Taken,
        // Whoever is not there is deleted.
        404 | 410 if verb == Verb::Delete => Told::Taken,
        410 => Told::Gone,
        300..=399 => Told::Failed(Failure {
            why: format!("it answers {}, and no redirect is followed", answer.status),
            ..answer.into()
        }),
        _ => Told::Failed(answer.into()),
    }
}

/// The same for a creation. Whoever is there already is created.
fn judge_creation(answer: Answer) -> Told {
    if answer.status == 409 { Told::Taken } else { judge(answer, Verb::Post) }
}

/// How long to wait after so many failures in a row: twice as long each time.
fn pause_after(attempts: u64) -> Duration {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(20);
    shortened(FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE))
}

impl Failure {
    fn of(why: &str) -> Self {
        Self { why: why.to_owned(), said: None, wait: None }
    }

    /// How long to wait after so many of them in a row, and as long as the other side asks for.
    pub(super) fn pause(&self, attempts: u64) -> Duration {
        pause_after(attempts).max(self.wait.unwrap_or_default().min(LONGEST_ASKED))
    }
}

impl From<Answer> for Failure {
    fn from(answer: Answer) -> Self {
        Self { why: format!("it answers {}", answer.status), said: answer.said, wait: answer.wait }
    }
}

impl From<NoAnswer> for Failure {
    fn from(cause: NoAnswer) -> Self {
        Self::of(&cause.to_string())
    }
}

impl From<NoBearer> for Failure {
    fn from(cause: NoBearer) -> Self {
        let cause = match cause {
            // It is not waited for longer, whatever is asked for.
            NoBearer::Clerk(backend::Error::Limited(wait)) => backend::Error::Limited(wait.min(LONGEST_ASKED)).into(),
            cause => cause,
        };
        let wait = match &cause {
            NoBearer::Clerk(backend::Error::Limited(wait)) => Some(*wait),
            _ => None,
        };
        Self { wait, ..Self::of(&cause.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_quarter_of_an_hour() {
        for (attempts, longest) in [(1, 1), (2, 2), (3, 4), (10, 512), (11, 900), (12, 900), (u64::MAX, 900)] {
            let pause = pause_after(attempts);
            let longest = Duration::from_secs(longest);
            assert!(pause <= longest && pause >= longest / 2, "{attempts}: {pause:?}");
        }
    }
}
