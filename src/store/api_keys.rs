//! API keys: by the hash of the secret, which is all that is kept of it. A row stays when its key was revoked or has
//! expired: the log goes on naming the key, and the row says whose it was.

use redb::ReadableTable as _;

use super::Store;
use super::error::Error;
use super::tables::{self, open};
use super::tx::Tx;
use crate::api_key::{ApiKey, KeyId, Secret, SecretHash, Wanted};
use crate::audit::{Draft, Target};
use crate::clock::Timestamp;

/// Why a key was not made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It would have expired before it was made.
    #[error("the time at which the key is to expire has passed")]
    Past,
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] Error),
}

impl Store {
    /// Makes a key, and returns it with its secret, which is not kept: nobody can ask for it again. `entry` says who did
    /// it; what was made is added to it.
    ///
    /// # Errors
    /// When the key would be expired already, or the store takes no writes.
    pub async fn create_api_key(&self, wanted: Wanted, entry: Draft) -> Result<(ApiKey, Secret), KeyError> {
        let now = self.now();
        if wanted.expires_at.is_some_and(|at| at <= now) {
            return Err(KeyError::Past);
        }
        let secret = Secret::new(&random()?);
        let key = ApiKey {
            id: KeyId::from_u64(u64::from_be_bytes(random()?)),
            name: wanted.name,
            scopes: wanted.scopes,
            created_at: now,
            created_by: entry.actor.word().unwrap_or_else(|| "user".to_owned()),
            expires_at: wanted.expires_at,
            last_used_at: None,
            revoked_at: None,
        };
        let (row, hash, entry) = (key.clone(), secret.hash(), about(&key, entry));
        self.write(move |tx| {
            tx.put_api_key(&hash, &row)?;
            tx.append(&entry, now).map(drop)
        })
        .await?;
        Ok((key, secret))
    }

    /// The key whose secret has that hash, also when it is revoked or expired.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn api_key(&self, hash: &SecretHash) -> Result<Option<ApiKey>, Error> {
        self.read(|txn| open(txn, tables::api_keys())?.get(hash)?.map(|row| decode(row.value())).transpose())
    }

    /// Every key, the newest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn api_keys(&self) -> Result<Vec<ApiKey>, Error> {
        let mut keys: Vec<ApiKey> = self
            .scan(|txn| {
                open(txn, tables::api_keys())?.range::<&[u8; 32]>(..)?.map(|row| decode(row?.1.value())).collect()
            })
            .await?;
        keys.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        Ok(keys)
    }

    /// Revokes a key, which is refused from then on, and returns it; `None` when there is none of that id. One that was
    /// revoked before stays as it is, and no entry is written. It is done also while the log is in doubt.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn revoke_api_key(&self, id: KeyId, entry: Draft) -> Result<Option<ApiKey>, Error> {
        let find = move |txn: &redb::ReadTransaction| {
            for row in open(txn, tables::api_keys())?.range::<&[u8; 32]>(..)? {
                let (hash, row) = row?;
                let key = decode(row.value())?;
                if key.id == id {
                    return Ok(Some((*hash.value(), key)));
                }
            }
            Ok(None)
        };
        let Some((hash, key)) = self.scan(find).await? else { return Ok(None) };
        if key.revoked_at.is_some() {
            return Ok(Some(key));
        }
        let now = self.now();
        self.write_beside(Some(about(&key, entry)), move |tx| {
            tx.change_api_key(&hash, |key| key.revoked_at = key.revoked_at.or(Some(now)))
        })
        .await?;
        Ok(Some(ApiKey { revoked_at: Some(now), ..key }))
    }

    /// Notes that a key was in use.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn note_api_key_use(&self, hash: SecretHash, at: Timestamp) -> Result<(), Error> {
        self.write_beside(None, move |tx| {
            tx.change_api_key(&hash, |key| key.last_used_at = key.last_used_at.max(Some(at)))
        })
        .await
    }
}

impl Tx<'_> {
    fn put_api_key(&mut self, hash: &SecretHash, key: &ApiKey) -> Result<(), Error> {
        let row = serde_json::to_vec(key).unwrap_or_default();
        self.tables.api_keys.insert(hash, &row[..])?;
        Ok(())
    }

    /// Changes the row as it is now, not as somebody read it before.
    fn change_api_key(&mut self, hash: &SecretHash, change: impl FnOnce(&mut ApiKey)) -> Result<(), Error> {
        let Some(mut key) = self.tables.api_keys.get(hash)?.map(|row| decode(row.value())).transpose()? else {
            return Ok(());
        };
        change(&mut key);
        self.put_api_key(hash, &key)
    }
}

/// The entry with which key it is about, and what that may do.
fn about(key: &ApiKey, mut entry: Draft) -> Draft {
    entry.target = Some(Target::Key(key.id.clone()));
    entry
        .with("name", Some(key.name.as_str()))
        .with("scopes", Some(key.scopes.iter().map(|scope| scope.as_str().into()).collect::<Vec<serde_json::Value>>()))
        .with("expires_at", key.expires_at.map(|at| at.to_string()))
}

fn decode(row: &[u8]) -> Result<ApiKey, Error> {
    serde_json::from_slice(row).map_err(|_| Error::Corrupt("an API key's row"))
}

fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| Error::Corrupt("no randomness for a key"))?;
    Ok(bytes)
}
