//! API keys.

use super::answer::cli;
use super::{Desk, Reply};
use crate::api_key::{KeyId, Wanted};
use crate::audit::Draft;
use crate::store::{By, Error};

impl Desk {
    /// Makes a key.
    pub(super) async fn create_key(&self, wanted: Wanted) -> Reply {
        match self.store.create_api_key(wanted, entry("key.created")).await {
            Ok((key, secret)) => Reply::KeyCreated { key, secret },
            Err(error) => Reply::Refused { reason: error.to_string() },
        }
    }

    /// All keys.
    pub(super) async fn keys(&self) -> Result<Reply, Error> {
        Ok(Reply::Keys { keys: self.store.api_keys().await? })
    }

    /// Revokes a key.
    pub(super) async fn revoke_key(&self, id: KeyId) -> Result<Reply, Error> {
        let revoked = self.store.revoke_api_key(id, entry("key.revoked")).await?;
        let unknown = || Reply::Refused { reason: "there is no such key".to_owned() };
        Ok(revoked.map_or_else(unknown, |key| Reply::KeyRevoked { key }))
    }
}

fn entry(action: &str) -> Draft {
    let By { actor, source } = cli();
    Draft::new(action, actor, source)
}
