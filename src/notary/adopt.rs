//! The way out of a doubt: the operator takes the file as it is for the log, under another name.

use std::sync::Arc;

use super::key_file::Keys;
use super::lost::emptied;
use super::recognise::read_mark;
use super::{Error, Notary, Published};
use crate::audit::Draft;
use crate::store::{By, Identity};
use crate::tlog::checkpoint::Checkpoint;
use crate::tlog::note::SigningKey;

impl Notary {
    /// Takes the data file as it is, for the given reason. The log goes on under the name of the next epoch, so that
    /// nothing signed from here on contradicts what was signed under the name before; its next entry says what was
    /// found and why that was taken. The key stays when there is one.
    ///
    /// # Errors
    /// When nothing is in doubt; when the file has no entry although some were signed; when a file or the store cannot be written.
    pub async fn adopt(&self, reason: &str, by: By) -> Result<Arc<Published>, Error> {
        let _turn = self.0.turn.lock().await;
        let store = &self.0.store;
        let doubt = store.doubt().ok_or(Error::NoDoubt)?;
        let (known, head) = {
            let evidence = store.evidence()?;
            (evidence.identity()?, evidence.head()?)
        };
        if head.size == 0
            && let Some(lost) = emptied(store.path())?
        {
            return Err(lost.into());
        }
        let mark = read_mark(&self.0.mark_path)?;
        let epoch = 1 + self.last_epoch(known.as_ref(), mark.as_deref());
        let active = match self.keys() {
            Some(keys) => keys.active.renamed(&self.name(epoch))?,
            None => SigningKey::generate(&self.name(epoch))?,
        };
        let keys = self.replace_keys(Keys::of(active)).await?;
        let vkey = keys.active.verifier().to_string();
        let entry = Draft::new("log.forked", by.actor, by.source)
            .with("doubt", Some(doubt.to_string()))
            .with("why", Some(reason))
            .with("size", Some(head.size))
            .with("mark", mark)
            .with("former", known.as_ref().map(|identity| identity.vkey.clone()))
            .with("vkey", Some(vkey.clone()));
        let former = known.into_iter().flat_map(|known| known.former.into_iter().chain([known.vkey])).collect();
        store.adopt(Identity { epoch, vkey, former }, entry).await?;
        self.0.published.send_replace(None);
        self.sign().await
    }

    /// The last epoch that anything here knows of: the file may be a copy from before it was adopted another time, and
    /// what was signed since then must not get a namesake.
    fn last_epoch(&self, known: Option<&Identity>, mark: Option<&str>) -> u64 {
        let marked = mark.and_then(|note| Checkpoint::unverified(note).ok()).and_then(|mark| epoch_in(&mark.origin));
        let signing = self.keys().and_then(|keys| epoch_in(keys.active.verifier().name()));
        [known.map(|identity| identity.epoch), marked, signing].into_iter().flatten().max().unwrap_or(1)
    }
}

/// The epoch in a log's name.
fn epoch_in(name: &str) -> Option<u64> {
    let (_, epoch) = name.rsplit_once("/log-")?;
    // Whatever stands there by somebody else's hand, there has to be a next one.
    epoch.parse::<u32>().ok().map(u64::from)
}
