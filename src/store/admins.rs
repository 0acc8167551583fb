//! Admins of the page, the links that let them set a password, and their sessions. Tokens are kept as hashes only.

use redb::ReadableTable as _;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::Store;
use super::error::Error;
use super::tables::{self, open};
use super::tx::Tx;
use crate::audit::Draft;
use crate::clock::Timestamp;

/// SHA-256 of a random token that only its bearer knows.
pub type TokenHash = [u8; 32];

/// An admin of the page.
#[derive(Clone, Serialize, Deserialize)]
pub struct Admin {
    /// The name they sign in with.
    pub name: String,
    /// The password's hash, a PHC string.
    pub password: String,
    /// When the password was last set.
    pub changed_at: Timestamp,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A single-use link to set an admin's password.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Link {
    /// The admin it is for.
    pub admin: String,
    /// Until when it works.
    pub expires_at: Timestamp,
}

/// An admin's session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AdminSession {
    /// The admin.
    pub admin: String,
    /// When they signed in.
    pub opened_at: Timestamp,
    /// When they were last seen, to the minute.
    pub used_at: Timestamp,
}

impl Store {
    /// Whether anybody has set an admin's password yet.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn has_admin(&self) -> Result<bool, Error> {
        self.read(|txn| Ok(open(txn, tables::admins())?.range::<&str>(..)?.next().transpose()?.is_some()))
    }

    /// The admin of that name.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn admin(&self, name: &str) -> Result<Option<Admin>, Error> {
        self.read(|txn| open(txn, tables::admins())?.get(name)?.map(|row| decode(row.value())).transpose())
    }

    /// Keeps an admin as given.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn put_admin(&self, admin: Admin, entry: Draft) -> Result<(), Error> {
        let now = self.now();
        self.write(move |tx| {
            tx.tables.admins.insert(admin.name.as_str(), &encode(&admin)[..])?;
            tx.append(&entry, now).map(drop)
        })
        .await
    }

    /// Keeps a link.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn put_link(&self, hash: TokenHash, link: Link, entry: Draft) -> Result<(), Error> {
        let now = self.now();
        self.write(move |tx| {
            tx.drop_links(now, &link.admin)?;
            tx.tables.admin_links.insert(&hash, &encode(&link)[..])?;
            tx.append(&entry, now).map(drop)
        })
        .await
    }

    /// The link, if it was not used.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn link(&self, hash: &TokenHash) -> Result<Option<Link>, Error> {
        self.read(|txn| open(txn, tables::admin_links())?.get(hash)?.map(|row| decode(row.value())).transpose())
    }

    /// Uses a link up: keeps the admin as given and ends all their sessions. `false`, and nothing done,
    /// when the link is gone, expired, or another admin's.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn redeem_link(
        &self,
        hash: TokenHash,
        admin: Admin,
        now: Timestamp,
        entry: Draft,
    ) -> Result<bool, Error> {
        self.write(move |tx| {
            let link: Option<Link> = tx.tables.admin_links.get(&hash)?.map(|row| decode(row.value())).transpose()?;
            if !link.is_some_and(|link| link.expires_at > now && link.admin == admin.name) {
                return Ok(false);
            }
            tx.drop_links(now, &admin.name)?;
            tx.end_sessions_of(&admin.name)?;
            tx.tables.admins.insert(admin.name.as_str(), &encode(&admin)[..])?;
            tx.append(&entry, now)?;
            Ok(true)
        })
        .await
    }

    /// Opens a session.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn open_session(&self, hash: TokenHash, session: AdminSession, entry: Draft) -> Result<(), Error> {
        let now = self.now();
        self.write_beside(Some(entry), move |tx| {
            tx.drop_old_sessions(now)?;
            tx.tables.admin_sessions.insert(&hash, &encode(&session)[..])?;
            Ok(())
        })
        .await
    }

    /// The session, if it is open.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn admin_session(&self, hash: &TokenHash) -> Result<Option<AdminSession>, Error> {
        self.read(|txn| open(txn, tables::admin_sessions())?.get(hash)?.map(|row| decode(row.value())).transpose())
    }

    /// Notes that a session was in use; nothing happens when it was closed meanwhile.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn touch_session(&self, hash: TokenHash, used_at: Timestamp) -> Result<(), Error> {
        self.write_beside(None, move |tx| {
            let session: Option<AdminSession> =
                tx.tables.admin_sessions.get(&hash)?.map(|row| decode(row.value())).transpose()?;
            if let Some(session) = session {
                let session = AdminSession { used_at, ..session };
                tx.tables.admin_sessions.insert(&hash, &encode(&session)[..])?;
            }
            Ok(())
        })
        .await
    }

    /// Closes a session.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn close_session(&self, hash: TokenHash, entry: Draft) -> Result<(), Error> {
        self.write_beside(Some(entry), move |tx| {
            tx.tables.admin_sessions.remove(&hash)?;
            Ok(())
        })
        .await
    }
}

impl Tx<'_> {
    /// Drops every link that has expired, and every one of that admin's: a new link, or a new password, is
    /// often the answer to a link in the wrong hands.
    fn drop_links(&mut self, now: Timestamp, admin: &str) -> Result<(), Error> {
        let stays = |row: &[u8]| decode::<Link>(row).is_ok_and(|link| link.expires_at > now && link.admin != admin);
        self.tables.admin_links.retain(|_, row| stays(row))?;
        Ok(())
    }

    /// Sessions that nobody shows again would stay for ever. A day is longer than any may last.
    fn drop_old_sessions(&mut self, now: Timestamp) -> Result<(), Error> {
        let yesterday = now.plus_millis(-24 * 60 * 60 * 1000);
        let live = |row: &[u8]| decode::<AdminSession>(row).is_ok_and(|session| session.opened_at > yesterday);
        self.tables.admin_sessions.retain(|_, row| live(row))?;
        Ok(())
    }

    fn end_sessions_of(&mut self, admin: &str) -> Result<(), Error> {
        let others = |row: &[u8]| decode::<AdminSession>(row).is_ok_and(|session| session.admin != admin);
        self.tables.admin_sessions.retain(|_, row| others(row))?;
        Ok(())
    }
}

fn decode<T: DeserializeOwned>(row: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(row).map_err(|_| Error::Corrupt("an admin's row"))
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
