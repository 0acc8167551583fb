//! Changing the signing key: for thirty days both keys sign, so that whoever knows the old one can get to know the new
//! one from a checkpoint that they still can check.

use std::sync::Arc;

use super::key_file::Keys;
use super::{Error, Notary};
use crate::audit::{Actions, Actor, Doubt, Draft, Filter, Source};
use crate::clock::Timestamp;
use crate::page::{Limit, PageRequest};
use crate::store::{By, Identity};
use crate::tlog::note::{SigningKey, VerifierKey};

/// How long a key signs beside the one that replaced it, in milliseconds.
const RETIREMENT: i64 = 30 * 24 * 60 * 60 * 1000;

/// What the log calls it when a key signs no more.
const RETIRED: &str = "log.key_retired";

impl Notary {
    /// Changes the signing key, and returns what the new one's signatures are checked with.
    ///
    /// # Errors
    /// While the key before still signs; when the log is in doubt; when a file or the store cannot be written.
    pub async fn rotate(&self, by: By) -> Result<VerifierKey, Error> {
        let _turn = self.0.turn.lock().await;
        if let Some(doubt) = self.0.store.doubt() {
            return Err(Error::InDoubt(doubt));
        }
        let now = self.0.clock.now();
        self.retire_key(now).await?;
        let keys = self.keys().ok_or(Error::InDoubt(Doubt::NoKey))?;
        if keys.retiring.is_some() {
            return Err(Error::Rotating);
        }
        let active = Arc::new(SigningKey::generate(keys.active.verifier().name())?);
        let retiring = Some((keys.active.clone(), now.plus_millis(RETIREMENT)));
        let keys = self.replace_keys(Keys { active, retiring }).await?;
        self.announce(&keys, by).await?;
        // Under both signatures, at once: the announcement is of use to whoever knows the former key alone.
        self.sign().await?;
        Ok(keys.active.verifier().clone())
    }

    /// Announces a key that was put into the key file by a change that got no further.
    pub(super) async fn finish_rotation(&self) -> Result<(), Error> {
        let Some(keys) = self.keys() else { return Ok(()) };
        let known = self.0.store.evidence()?.identity()?.map(|identity| identity.vkey);
        if known == Some(keys.active.verifier().to_string()) {
            return Ok(());
        }
        self.announce(&keys, By { actor: Actor::System, source: Source::System }).await
    }

    async fn announce(&self, keys: &Arc<Keys>, by: By) -> Result<(), Error> {
        let store = &self.0.store;
        let vkey = keys.active.verifier().to_string();
        let Some(known) = store.evidence()?.identity()? else { return Ok(()) };
        let entry = Draft::new("log.key_rotated", by.actor, by.source)
            .with("vkey", Some(vkey.clone()))
            .with("former", Some(known.vkey.clone()))
            .with("until", keys.retiring.as_ref().map(|(_, until)| until.to_string()));
        let former = known.former.into_iter().chain([known.vkey]).collect();
        Ok(store.identify(Identity { epoch: known.epoch, vkey, former }, entry).await?)
    }

    /// Signs no longer with a key whose time is over.
    pub(super) async fn retire_key(&self, now: Timestamp) -> Result<(), Error> {
        let Some(keys) = self.keys() else { return Ok(()) };
        let Some((former, _)) = keys.retiring.as_ref().filter(|(_, until)| *until <= now) else { return Ok(()) };
        let vkey = former.verifier().to_string();
        // First the entry, then the file: a key that is out of the file could not be told of any more.
        if !self.is_retirement_told(&vkey).await? {
            let entry = Draft::new(RETIRED, Actor::System, Source::System).with("vkey", Some(vkey));
            self.0.store.record(entry).await?;
        }
        self.replace_keys(Keys { active: keys.active.clone(), retiring: None }).await?;
        Ok(())
    }

    /// Whether the log says already that this key is out of use: a start before may have got no further.
    async fn is_retirement_told(&self, vkey: &str) -> Result<bool, Error> {
        let filter = Filter { action: Some(Actions::Named(RETIRED.to_owned())), ..Filter::default() };
        let newest = PageRequest { limit: Limit::MAX, cursor: None };
        let told = self.0.store.audit(filter, newest).await?.items;
        Ok(told.iter().any(|entry| {
            entry.detail.as_ref().is_some_and(|detail| detail.get("vkey").is_some_and(|told| told == vkey))
        }))
    }
}
