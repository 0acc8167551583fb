//! What admins do with targets. Each change ends the task that tells the target, is written down with its entry, and begins
//! the task anew: there is never more than one who writes down how far a target has come.

use serde_json::Value;

use super::compose;
use super::{Error, Forwarder, Line, MOST, Origin, Start, Stuck};
use crate::audit::{Draft, Target as Subject};
use crate::clerk::courier::{Answer, Courier};
use crate::event::ObjectKey;
use crate::store::By;
use crate::target::{Course, Kind, Target, TargetName};

use super::{Secret, SecretsError};

impl Forwarder {
    /// Adds a target, which is told what comes from `start` on. Returns its secret, the one given or a new one, which is
    /// not shown again.
    ///
    /// # Errors
    /// When there is one of that name, it cannot be called so, or nothing can be written.
    pub async fn add(&self, target: Target, secret: Option<Secret>, start: Start, by: By) -> Result<Secret, Error> {
        self.apart(async move |this| {
            this.check(&target)?;
            this.room_for(&target.name)?;
            this.usable().await.map_err(Error::Stuck)?;
            let secret = secret.map_or_else(Secret::random, Ok)?;
            let course = Course { after: this.before(start).await?, ..Course::default() };
            this.keep(target.name.clone(), secret.clone()).await?;
            let entry = about(&target, by.entry("target.created")).with("after", course.after);
            let added = this.0.store.add_target(target.clone(), course.clone(), entry).await;
            if !matches!(added, Ok(true)) {
                this.forget(target.name).await?;
                return added.map_or_else(|error| Err(error.into()), |_| Err(Error::Taken));
            }
            let name = target.name.clone();
            this.put_line(target, Origin::Page, None, course);
            this.run(&name);
            Ok(secret)
        })
        .await
    }

    /// Puts a target in the place of the one of the same name. It goes on where that was, with the same secret.
    ///
    /// # Errors
    /// When there is none, it is that of the settings, it cannot be called so, or nothing can be written.
    pub async fn change(&self, target: Target, by: By) -> Result<(), Error> {
        self.apart(async move |this| {
            this.check(&target)?;
            let name = target.name.clone();
            this.of_page(&name)?;
            let entry = about(&target, by.entry("target.changed"));
            let (_, _, course) = this.halt(&name).await?;
            // What failed was told to the former one.
            let course = Course { failing: None, ..course };
            let put = this.0.store.put_target(target.clone(), course.clone(), entry).await;
            if put.is_ok() {
                this.put_line(target, Origin::Page, None, course);
            }
            this.run(&name);
            Ok(put?)
        })
        .await
    }

    /// Removes a target: it is told nothing any more, and where it was is forgotten.
    ///
    /// # Errors
    /// When there is none, it is that of the settings, or nothing can be written.
    pub async fn remove(&self, name: TargetName, by: By) -> Result<(), Error> {
        self.apart(async move |this| {
            let target = this.of_page(&name)?;
            let _ = this.halt(&name).await?;
            let removed = this.0.store.remove_target(name.clone(), about(&target, by.entry("target.removed"))).await;
            if let Err(error) = removed {
                this.run(&name);
                return Err(error.into());
            }
            this.lines().remove(&name);
            // Who puts the file right finds a secret that nothing goes by.
            if this.usable().await.is_ok() { this.forget(name).await } else { Ok(()) }
        })
        .await
    }

    /// Sends nothing to a target until it is resumed.
    ///
    /// # Errors
    /// When there is none, or nothing can be written.
    pub async fn pause(&self, name: TargetName, by: By) -> Result<(), Error> {
        self.move_on(name, by.entry("target.paused"), |course, _| {
            course.paused = true;
            course.paused_for = None;
            Ok(())
        })
        .await
    }

    /// Goes on with a target that was paused.
    ///
    /// # Errors
    /// When there is none, or nothing can be written.
    pub async fn resume(&self, name: TargetName, by: By) -> Result<(), Error> {
        self.move_on(name, by.entry("target.resumed"), |course, _| {
            course.paused = false;
            course.paused_for = None;
            Ok(())
        })
        .await
    }

    /// Passes over the entry that a target fails at, which is the one of that number.
    ///
    /// # Errors
    /// When there is no such target, it does not fail at that entry (any more), or nothing can be written.
    pub async fn skip(&self, name: TargetName, seq: u64, by: By) -> Result<(), Error> {
        let entry = skipped(by.entry("target.skipped"), seq, seq);
        self.move_on(name, entry, move |course, _| {
            course.failing.take_if(|failing| failing.seq == seq).ok_or(Error::NotFailing)?;
            course.after = Some(seq);
            Ok(())
        })
        .await
    }

    /// Tells a target again what it was told before, or passes over what it was not, from there on.
    ///
    /// # Errors
    /// When there is no such target or place, or nothing can be written.
    pub async fn replay(&self, name: TargetName, start: Start, by: By) -> Result<(), Error> {
        let after = self.before(start).await?;
        let entry = by.entry("target.replayed").with("after", after);
        self.move_on(name, entry, move |course, _| {
            course.after = after;
            course.failing = None;
            Ok(())
        })
        .await
    }

    /// Tries a target again now that waits after a failure, or stands still. One that is well goes on as it does.
    ///
    /// # Errors
    /// When there is none.
    pub fn retry_now(&self, name: &TargetName) -> Result<(), Error> {
        let lines = self.lines();
        let line = lines.get(name).ok_or(Error::Unknown)?;
        let waits = {
            let standing = line.live.lock();
            standing.next_try_at.is_some() || standing.stuck.is_some()
        };
        // Kept by one that does not wait, it would cut its next wait short.
        if waits {
            line.retry.notify_one();
        }
        Ok(())
    }

    /// Gives a target another secret, the one given or a new one, and returns it; it is not shown again. For a day the
    /// former one signs too.
    ///
    /// # Errors
    /// When there is none, it is that of the settings, or nothing can be written.
    pub async fn renew_secret(&self, name: TargetName, secret: Option<Secret>, by: By) -> Result<Secret, Error> {
        self.apart(async move |this| {
            let target = this.of_page(&name)?;
            let secret = secret.map_or_else(Secret::random, Ok)?;
            this.usable().await.map_err(Error::Stuck)?;
            let entry = about(&target, by.entry("target.changed")).with("secret", Some("renewed"));
            let before = this.secrets().find(&name).cloned();
            let (kept, now, at) = (secret.clone(), this.0.clock.now(), name.clone());
            this.file(move |this| this.secrets().renew(at, kept, now)).await?;
            if let Err(error) = this.0.store.record(entry).await {
                this.file(move |this| this.secrets().restore(name, before)).await?;
                return Err(error.into());
            }
            let _ = this.halt(&name).await?;
            this.run(&name);
            Ok(secret)
        })
        .await
    }

    /// Sends a target a message of the type `rollbook.test`, signed as all are; one that is called is only looked at,
    /// with a `GET` of its address.
    ///
    /// # Errors
    /// When there is none, nothing can be sent to it, or no answer came.
    pub async fn test(&self, name: &TargetName) -> Result<Answer, Error> {
        let (target, set) = {
            let lines = self.lines();
            let Line { target, set, .. } = lines.get(name).ok_or(Error::Unknown)?;
            (target.clone(), set.clone())
        };
        let kept = match set {
            Some(set) => Some(set),
            None => self.kept(name).await.map_err(Error::Stuck)?,
        };
        let courier = self.courier(&target, kept.as_ref()).await.map_err(Error::Stuck)?;
        let now = self.0.clock.now();
        match target.kind {
            Kind::Events => Ok(courier.send(&compose::test(self.0.mark, now), now).await?),
            Kind::Api => Ok(courier.knock().await?),
        }
    }

    /// What calls a target, if it can be.
    pub(super) async fn courier(&self, target: &Target, kept: Option<&super::Kept>) -> Result<Courier, Stuck> {
        let address = self.address(target)?;
        let secrets: Vec<String> = match kept {
            Some(kept) => kept.signing(self.0.clock.now()).map(str::to_owned).collect(),
            None => return Err(Stuck::NoSecret),
        };
        if target.bearer && self.0.backend.is_none() {
            return Err(Stuck::NoKey);
        }
        let made = move || Courier::new(&address, secrets.iter().map(String::as_str));
        Ok(tokio::task::spawn_blocking(made).await.map_err(|_| Stuck::Store)??)
    }

    /// Changes how far a target has come, as it stands once nothing is sent to it any more.
    async fn move_on(
        &self,
        name: TargetName,
        entry: Draft,
        change: impl FnOnce(&mut Course, &Target) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        self.apart(async move |this| {
            let (target, _, mut course) = this.halt(&name).await?;
            let changed = match change(&mut course, &target) {
                Ok(()) => {
                    let entry = about(&target, entry);
                    let put = this.0.store.put_course(name.clone(), course.clone(), Some(entry)).await;
                    put.map_err(Error::from)
                }
                Err(error) => Err(error),
            };
            if changed.is_ok()
                && let Some(line) = this.lines().get(&name)
            {
                let mut standing = line.live.lock();
                *standing = super::Standing { course, failures: standing.failures, ..super::Standing::default() };
            }
            this.run(&name);
            changed
        })
        .await
    }

    /// Does a change when no other is made, and to its end, also when whoever asked does not wait for that.
    async fn apart<T, F>(&self, change: impl FnOnce(Self) -> F + Send + 'static) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send,
    {
        let this = self.clone();
        let done = tokio::spawn(async move {
            let _turn = this.0.turn.lock().await;
            if this.0.stopping.load(std::sync::atomic::Ordering::SeqCst) {
                return Err(Error::Stopping);
            }
            change(this.clone()).await
        });
        done.await.unwrap_or(Err(Error::Store(crate::store::Error::Panicked)))
    }

    /// The place that is told before that start; `None` for the beginning.
    async fn before(&self, start: Start) -> Result<Option<u64>, Error> {
        let end = self.0.store.counts().entries;
        let first = match start {
            Start::Now => end,
            Start::Beginning => 0,
            Start::At(seq) if seq > end => return Err(Error::Ahead),
            Start::At(seq) => seq,
            Start::Since(at) => self.0.store.place_at(Some(at)).await?,
        };
        let oldest = self.0.store.place_at(None).await?;
        Ok(Some(first).filter(|first| *first > oldest).and_then(|first| first.checked_sub(1)))
    }

    fn room_for(&self, name: &TargetName) -> Result<(), Error> {
        let lines = self.lines();
        match () {
            () if lines.contains_key(name) || *name == TargetName::of_settings() => Err(Error::Taken),
            () if lines.len() >= MOST => Err(Error::TooMany),
            () => Ok(()),
        }
    }

    /// The target of that name, if it was added here.
    fn of_page(&self, name: &TargetName) -> Result<Target, Error> {
        match self.lines().get(name) {
            None => Err(Error::Unknown),
            Some(line) if line.origin == Origin::Settings => Err(Error::OfSettings),
            Some(line) => Ok(line.target.clone()),
        }
    }

    /// What a target of the page signs with.
    pub(super) async fn kept(&self, name: &TargetName) -> Result<Option<super::Kept>, Stuck> {
        self.usable().await?;
        Ok(self.secrets().find(name).cloned())
    }

    /// Whether the file of the secrets can be used.
    async fn usable(&self) -> Result<(), Stuck> {
        let this = self.clone();
        let usable = tokio::task::spawn_blocking(move || this.secrets().usable()).await;
        usable.map_err(|_| Stuck::Store)?.map_err(Stuck::Secrets)
    }

    async fn keep(&self, name: TargetName, secret: Secret) -> Result<(), Error> {
        self.file(move |this| this.secrets().put(name, secret)).await
    }

    async fn forget(&self, name: TargetName) -> Result<(), Error> {
        self.file(move |this| this.secrets().remove(&name)).await
    }

    /// Changes the file of the secrets, on a thread that may block.
    async fn file(&self, change: impl FnOnce(&Self) -> Result<(), SecretsError> + Send + 'static) -> Result<(), Error> {
        let this = self.clone();
        let changed = tokio::task::spawn_blocking(move || change(&this)).await;
        Ok(changed.map_err(|_| crate::store::Error::Panicked)??)
    }
}

/// The entry with which target it is about, and what that is.
pub(super) fn about(target: &Target, mut entry: Draft) -> Draft {
    let id = target.name.as_str().parse().ok();
    entry.target = id.map(|id| Subject::Object(ObjectKey { kind: "target".to_owned(), id }));
    let is_new = matches!(entry.action.as_str(), "target.created" | "target.changed");
    let of_new = |value: Value| Some(value).filter(|_| is_new);
    entry
        .with("url", Some(target.url.as_str()))
        .with("kind", of_new(serde_json::json!(target.kind)))
        .with("types", of_new(target.types.to_string().into()).filter(|_| !target.types.are_all()))
        .with("bearer", of_new(target.bearer.into()))
}

/// The entry with which entries were passed over.
pub(super) fn skipped(mut entry: Draft, from: u64, to: u64) -> Draft {
    entry.count = Some(to.saturating_sub(from).saturating_add(1));
    entry.with("from", Some(from)).with("to", Some(to))
}
