//! One walk, from its beginning or from where it was broken off to its end.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::Error;
use super::desk::Step;
use super::pace::Pace;
use crate::audit::Actor;
use crate::clerk::backend::{self, Backend, Patience};
use crate::clock::Clock;
use crate::store::{self, By, Store, Unmarked};
use crate::sync::{Found, Named, Stage, Walk, Walked};
use crate::user::{ClerkId, UserId};

/// So many users are applied in one transaction: those who wait for the writer should not notice.
const AT_ONCE: usize = 100;

/// A walk that was broken off so long ago, in milliseconds, begins anew: too much of what it met may have changed.
const TOO_OLD: i64 = 24 * 60 * 60 * 1000;

/// How often a walk begins anew because the user is gone behind whom it was to go on.
const BEGINNINGS: u32 = 3;

/// So many users in a row may be not answered for; then it is not they.
const FAILURES: u32 = 5;

/// So many users may be in Clerk's number and not in its list, or a hundredth of them: people go while it is read.
const UNLISTED: u64 = 10;

/// So many missing users may be asked for, or a tenth of the roll, by a walk that nobody asked for.
const MISSING: u64 = 100;

/// Of whom Clerk told lately, in milliseconds, it may not know yet when it is asked.
const LATELY: i64 = 10 * 60 * 1000;

/// How long they are left to it.
const PAUSE: Duration = Duration::from_secs(3);

/// Somebody who walks.
pub(super) struct Walker<'a> {
    store: &'a Store,
    backend: &'a Backend,
    clock: &'a Clock,
    by: By,
    watch: &'a watch::Sender<Option<Step>>,
    pace: Pace,
    /// How many users Clerk said it has.
    of: Option<u64>,
    /// The instance that the key is of, as far as Clerk told.
    instance: Option<String>,
}

impl<'a> Walker<'a> {
    pub(super) fn new(
        store: &'a Store,
        backend: &'a Backend,
        clock: &'a Clock,
        by: By,
        watch: &'a watch::Sender<Option<Step>>,
    ) -> Self {
        Self { store, backend, clock, by, watch, pace: Pace::new(), of: None, instance: None }
    }

    /// Walks, and names some of those whom a dry walk found. It may be dropped at any `await`, and then goes on another time,
    /// unless it is dry.
    pub(super) async fn walk(mut self, is_dry: bool) -> Result<(Walked, Named), Error> {
        self.ensure_instance().await?;
        self.pace.turn().await;
        self.of = Some(self.backend.count(Patience::Long).await?);
        let mut walk = match self.suspended(is_dry)? {
            Some(walk) => walk,
            None => self.begin(is_dry).await?,
        };
        let mut beginnings = 1;
        walk = loop {
            match self.read_list(walk).await {
                Err(Error::Clerk(error)) if is_about_cursor(&error) && beginnings < BEGINNINGS => {
                    beginnings += 1;
                    walk = self.begin(is_dry).await?;
                }
                read => break read?,
            }
        };
        self.ensure_plausible(&walk).await?;
        self.ensure_few_missing(&walk).await?;
        let walk = self.ask_for_missing(walk).await?;
        let named = walk.named.clone();
        let walked = self.store.finish_walk(walk, self.by.clone()).await?;
        self.forget_marks(is_dry).await?;
        Ok((walked, named))
    }

    /// Refuses a key of another instance than the one whose events come here.
    async fn ensure_instance(&mut self) -> Result<(), Error> {
        self.pace.turn().await;
        self.instance = self.backend.instance(Patience::Long).await?;
        self.ensure_same()
    }

    fn ensure_same(&self) -> Result<(), Error> {
        match (self.store.instance()?, self.instance.clone()) {
            (Some(ours), Some(theirs)) if theirs != ours => Err(Error::OtherInstance { ours, theirs }),
            _ => Ok(()),
        }
    }

    /// Refuses a list that lacks too many of those whom Clerk counts: whoever is not in it may be there all the same. The
    /// next walk begins anew.
    async fn ensure_plausible(&mut self, walk: &Walk) -> Result<(), Error> {
        let listed = walk.report.fetched + walk.report.failed;
        let is_plausible = |counted: u64| counted.saturating_sub(listed) <= UNLISTED.max(counted / 100);
        if walk.stage != Stage::Missing(None) || self.of.is_none_or(is_plausible) {
            return Ok(());
        }
        self.pace.turn().await;
        let counted = self.backend.count(Patience::Long).await?;
        if is_plausible(counted) {
            return Ok(());
        }
        if !walk.is_dry {
            self.store.abandon_walk().await?;
        }
        Err(Error::Implausible { counted, listed })
    }

    /// Refuses to ask for very many unless somebody wants it.
    async fn ensure_few_missing(&self, walk: &Walk) -> Result<(), Error> {
        let Stage::Missing(mut after) = walk.stage.clone() else { return Ok(()) };
        if self.by.actor != Actor::System {
            return Ok(());
        }
        let (mut missing, most) = (0, MISSING.max(self.store.counts().users / 10));
        loop {
            let unmarked = self.store.unmarked(walk, after).await?;
            missing += unmarked.users.len() as u64;
            after = unmarked.next;
            if after.is_none() {
                break;
            }
        }
        if missing > most { Err(Error::TooManyMissing(missing)) } else { Ok(()) }
    }

    /// The walk to go on with, if one was broken off lately.
    fn suspended(&self, is_dry: bool) -> Result<Option<Walk>, Error> {
        let now = self.clock.now().as_millis();
        let is_recent = |walk: &Walk| (0..TOO_OLD).contains(&(now - walk.started_at.as_millis()));
        Ok(if is_dry { None } else { self.store.suspended_walk()?.filter(is_recent) })
    }

    async fn begin(&self, is_dry: bool) -> Result<Walk, Error> {
        self.forget_marks(is_dry).await?;
        let walk = self.store.begin_walk(is_dry, self.instance.clone(), self.by.clone()).await?;
        // An event may have named another meanwhile.
        self.ensure_same()?;
        Ok(walk)
    }

    async fn forget_marks(&self, is_dry: bool) -> Result<(), store::Error> {
        while self.store.forget_marks(is_dry).await? {}
        Ok(())
    }

    /// Goes through the rest of Clerk's list. While a page is applied, the next one is fetched.
    async fn read_list(&mut self, mut walk: Walk) -> Result<Walk, Error> {
        let Stage::List(after) = walk.stage.clone() else { return Ok(walk) };
        self.pace.turn().await;
        let mut page = self.backend.users(after.as_ref()).await?;
        while let Some(after) = page.next.clone() {
            self.pace.turn().await;
            let (applied, next) = tokio::join!(self.apply(walk, page), self.backend.users(Some(&after)));
            // What was applied is kept, whatever becomes of the next one.
            (walk, page) = (applied?, next?);
        }
        self.apply(walk, page).await
    }

    /// Applies a page of Clerk's list, some users at a time.
    async fn apply(&self, mut walk: Walk, page: backend::Users) -> Result<Walk, Error> {
        let backend::Users { mut users, unreadable, next } = page;
        while !users.is_empty() {
            let rest = users.split_off(users.len().min(AT_ONCE));
            let stage = Stage::List(users.last().map(|last| last.id.clone()));
            walk = self.reconcile(walk, users.into_iter().map(Found::User).collect(), stage).await?;
            users = rest;
        }
        let stage = next.map_or(Stage::Missing(None), |next| Stage::List(Some(next)));
        if unreadable == 0 && walk.stage == stage {
            return Ok(walk);
        }
        self.reconcile(walk, vec![Found::Failed(unreadable)], stage).await
    }

    /// Asks for those who are here and were not in the list.
    async fn ask_for_missing(&mut self, mut walk: Walk) -> Result<Walk, Error> {
        let mut failures = 0;
        while let Stage::Missing(after) = walk.stage {
            let unmarked = self.store.unmarked(&walk, after).await?;
            let next = unmarked.next;
            walk = self.ask_for_each(walk, unmarked, &mut failures).await?;
            let Some(next) = next else { break };
            walk = self.go_on(walk, next).await?;
        }
        Ok(walk)
    }

    /// Asks for each of these. Those of whom Clerk told lately are asked for once more before they count as gone, all after
    /// one pause; until then the walk stays before the first of them, where it would go on.
    async fn ask_for_each(&mut self, mut walk: Walk, unmarked: Unmarked, failures: &mut u32) -> Result<Walk, Error> {
        let mut doubtful = Vec::new();
        for unmet in unmarked.users {
            let found = self.ask_for(unmet.clerk_id, failures).await?;
            match found {
                Found::Nobody(id) if self.clock.now().as_millis() - unmet.told_at.as_millis() < LATELY => {
                    doubtful.push(id);
                }
                found => {
                    let is_sure = doubtful.is_empty();
                    let stage = if is_sure { Stage::Missing(Some(unmet.id)) } else { walk.stage.clone() };
                    walk = self.reconcile(walk, vec![found], stage).await?;
                }
            }
        }
        if !doubtful.is_empty() {
            sleep(PAUSE).await;
        }
        for id in doubtful {
            let found = self.ask_for(id, failures).await?;
            let stage = walk.stage.clone();
            walk = self.reconcile(walk, vec![found], stage).await?;
        }
        Ok(walk)
    }

    /// What Clerk says of one user. That nothing can be made out of them counts against them; when it is so of one after
    /// the other, it is Clerk that is out of order.
    async fn ask_for(&mut self, id: ClerkId, failures: &mut u32) -> Result<Found, Error> {
        self.pace.turn().await;
        let error = match self.backend.user(&id, Patience::Long).await {
            Ok(answer) => {
                *failures = 0;
                return Ok(answer.map_or(Found::Nobody(id), Found::User));
            }
            Err(error) => error,
        };
        *failures += 1;
        let is_theirs = matches!(
            error,
            backend::Error::Broken(_)
                | backend::Error::TooSlow
                | backend::Error::Unreadable
                | backend::Error::Refused { .. }
        );
        if is_theirs && *failures < FAILURES { Ok(Found::Failed(1)) } else { Err(error.into()) }
    }

    /// Takes down that all up to that user were looked at.
    async fn go_on(&self, walk: Walk, next: UserId) -> Result<Walk, Error> {
        let stage = Stage::Missing(Some(next));
        if walk.stage == stage { Ok(walk) } else { self.reconcile(walk, Vec::new(), stage).await }
    }

    async fn reconcile(&self, walk: Walk, found: Vec<Found>, stage: Stage) -> Result<Walk, Error> {
        let walk = self.store.reconcile(walk, found, stage).await?;
        self.watch.send_replace(Some(Step::of(&walk, self.of)));
        Ok(walk)
    }
}

/// Whether the list is refused for the user behind whom it was asked for.
const fn is_about_cursor(error: &backend::Error) -> bool {
    matches!(error, backend::Error::NotFound | backend::Error::Refused { status: 400 | 404 | 410 | 422, .. })
}
