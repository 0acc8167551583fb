//! Admins of the page, the links that let them set a password, and their sessions. Tokens are kept as hashes only.
//!
//! Whatever one admin does to another is done in the name of a session that must be there still when it is done: who was
//! removed meanwhile, or whose password was set anew, does nothing more.

mod sessions;

use redb::ReadableTable as _;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use self::sessions::AdminSession;
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
    /// When they were last seen, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<Timestamp>,
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
    /// The admin who made it; `None` for one made at the terminal, and for those made before this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Everybody who may sign in or be signed in.
#[derive(Debug)]
pub struct Admins {
    /// Those who have a password, by name.
    pub admins: Vec<Admin>,
    /// Links, also those that have expired.
    pub links: Vec<Link>,
    /// Sessions by their names, also those that nobody ended and that may have run out.
    pub sessions: Vec<(TokenHash, AdminSession)>,
}

/// Why nothing was done to an admin.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The session of the admin who asked is gone.
    #[error("the session of the admin who asked has ended")]
    Ended,
    /// There is no such admin, and no link for one.
    #[error("there is no such admin")]
    Unknown,
    /// The name is another's, but for upper and lower case.
    #[error("there is an admin of that name already, written in other upper and lower case")]
    Taken,
    /// Nobody would be left who could sign in.
    #[error("there would be no admin left")]
    Last,
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] Error),
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

    /// Everybody who may sign in, and where they are signed in.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn admins(&self) -> Result<Admins, Error> {
        self.scan(|txn| {
            let admins = open(txn, tables::admins())?.range::<&str>(..)?.map(|row| decode(row?.1.value()));
            let links = open(txn, tables::admin_links())?.range::<&TokenHash>(..)?.map(|row| decode(row?.1.value()));
            let session = |row: (redb::AccessGuard<'_, &TokenHash>, redb::AccessGuard<'_, &[u8]>)| {
                Ok((*row.0.value(), decode(row.1.value())?))
            };
            let sessions = open(txn, tables::admin_sessions())?.range::<&TokenHash>(..)?.map(|row| session(row?));
            Ok(Admins {
                admins: admins.collect::<Result<_, Error>>()?,
                links: links.collect::<Result<_, Error>>()?,
                sessions: sessions.collect::<Result<_, Error>>()?,
            })
        })
        .await
    }

    /// Keeps the same password under another hash. `false`, and nothing done, when the hash is not `was` any more.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn rehash_password(
        &self,
        name: String,
        was: String,
        password: String,
        entry: Draft,
    ) -> Result<bool, Error> {
        let now = self.now();
        self.write(move |tx| {
            let Some(admin) = tx.admin(&name)?.filter(|admin| admin.password == was) else { return Ok(false) };
            tx.put_admin(&Admin { password: password.clone(), ..admin })?;
            tx.append(&entry, now)?;
            Ok(true)
        })
        .await
    }

    /// Keeps an admin's new password, set after the one before it whatever the clock says. Their sessions end, and their
    /// links; `session` begins.
    ///
    /// # Errors
    /// When the session `by` has ended, or the store takes no writes.
    pub async fn change_password(
        &self,
        by: TokenHash,
        admin: Admin,
        session: (TokenHash, AdminSession),
        entry: Draft,
    ) -> Result<(), AdminError> {
        let now = self.now();
        self.write(move |tx| {
            if !tx.has_session(&by)? {
                return Ok(Err(AdminError::Ended));
            }
            tx.drop_links(now, &admin.name)?;
            tx.end_sessions_of(&admin.name)?;
            let changed_at = tx.put_password(&admin)?;
            let opened_at = session.1.opened_at.max(changed_at);
            tx.put_session(&session.0, &AdminSession { opened_at, ..session.1.clone() })?;
            tx.append(&entry, now)?;
            Ok(Ok(()))
        })
        .await?
    }

    /// Takes somebody's password, sessions and links away, and the links they made for others.
    ///
    /// # Errors
    /// When the session `by` has ended, there is nobody of that name, or nobody else; or the store takes no writes.
    pub async fn remove_admin(&self, by: TokenHash, name: String, entry: Draft) -> Result<(), AdminError> {
        let now = self.now();
        self.write(move |tx| {
            if !tx.has_session(&by)? {
                return Ok(Err(AdminError::Ended));
            }
            let is_admin = tx.admin(&name)?.is_some();
            if !is_admin && !tx.has_link(&name)? {
                return Ok(Err(AdminError::Unknown));
            }
            if is_admin && tx.tables.admins.range::<&str>(..)?.nth(1).transpose()?.is_none() {
                return Ok(Err(AdminError::Last));
            }
            tx.tables.admins.remove(name.as_str())?;
            tx.drop_links(now, &name)?;
            tx.drop_links_by(&name)?;
            tx.end_sessions_of(&name)?;
            tx.append(&entry, now)?;
            Ok(Ok(()))
        })
        .await?
    }

    /// Keeps a link; the older ones of that admin's end. `by` is the session of the admin who asks for it, if one does.
    ///
    /// # Errors
    /// When that session has ended, the name is another's but for upper and lower case, or the store takes no writes.
    pub async fn put_link(
        &self,
        by: Option<TokenHash>,
        hash: TokenHash,
        link: Link,
        entry: Draft,
    ) -> Result<(), AdminError> {
        let now = self.now();
        self.write(move |tx| {
            if let Some(by) = &by
                && !tx.has_session(by)?
            {
                return Ok(Err(AdminError::Ended));
            }
            if tx.is_taken(now, &link.admin)? {
                return Ok(Err(AdminError::Taken));
            }
            tx.drop_links(now, &link.admin)?;
            tx.tables.admin_links.insert(&hash, &encode(&link)[..])?;
            tx.append(&entry, now)?;
            Ok(Ok(()))
        })
        .await?
    }

    /// The link, if it was not used.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn link(&self, hash: &TokenHash) -> Result<Option<Link>, Error> {
        self.read(|txn| open(txn, tables::admin_links())?.get(hash)?.map(|row| decode(row.value())).transpose())
    }

    /// Uses a link up: keeps the admin as given, with a password set after the one before it whatever the clock says, and
    /// ends all their sessions. Returns when that was; `None`, and nothing done, when the link is gone, expired, or another
    /// admin's.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn redeem_link(
        &self,
        hash: TokenHash,
        admin: Admin,
        now: Timestamp,
        entry: Draft,
    ) -> Result<Option<Timestamp>, Error> {
        self.write(move |tx| {
            let link: Option<Link> = tx.tables.admin_links.get(&hash)?.map(|row| decode(row.value())).transpose()?;
            if !link.is_some_and(|link| link.expires_at > now && link.admin == admin.name) {
                return Ok(None);
            }
            tx.drop_links(now, &admin.name)?;
            tx.end_sessions_of(&admin.name)?;
            let changed_at = tx.put_password(&admin)?;
            tx.append(&entry, now)?;
            Ok(Some(changed_at))
        })
        .await
    }
}

impl Tx<'_> {
    fn admin(&self, name: &str) -> Result<Option<Admin>, Error> {
        self.tables.admins.get(name)?.map(|row| decode(row.value())).transpose()
    }

    fn put_admin(&mut self, admin: &Admin) -> Result<(), Error> {
        self.tables.admins.insert(admin.name.as_str(), &encode(admin)[..])?;
        Ok(())
    }

    /// Puts a new password in the place of the old one. Sessions are told apart by which of the two they are of, so it is
    /// the younger also where the clock was turned back in between; returns when it was set.
    fn put_password(&mut self, admin: &Admin) -> Result<Timestamp, Error> {
        let after = self.admin(&admin.name)?.map(|old| old.changed_at.plus_millis(1));
        let changed_at = after.map_or(admin.changed_at, |after| after.max(admin.changed_at));
        self.put_admin(&Admin { changed_at, ..admin.clone() })?;
        Ok(changed_at)
    }

    fn has_link(&self, admin: &str) -> Result<bool, Error> {
        for row in self.tables.admin_links.iter()? {
            if decode::<Link>(row?.1.value())?.admin == admin {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether somebody else has that name in other upper and lower case. Who has it as it is written keeps it.
    fn is_taken(&self, now: Timestamp, name: &str) -> Result<bool, Error> {
        let mut is_taken = false;
        for row in self.tables.admins.range::<&str>(..)? {
            let admin = row?.0;
            if admin.value() == name {
                return Ok(false);
            }
            is_taken |= admin.value().eq_ignore_ascii_case(name);
        }
        for row in self.tables.admin_links.iter()? {
            let link: Link = decode(row?.1.value())?;
            if link.expires_at > now {
                if link.admin == name {
                    return Ok(false);
                }
                is_taken |= link.admin.eq_ignore_ascii_case(name);
            }
        }
        Ok(is_taken)
    }

    /// Drops the links that an admin made, whomever they are for: one for a name of their own would let them in again.
    fn drop_links_by(&mut self, admin: &str) -> Result<(), Error> {
        let others = |row: &[u8]| decode::<Link>(row).is_ok_and(|link| link.by.as_deref() != Some(admin));
        self.tables.admin_links.retain(|_, row| others(row))?;
        Ok(())
    }

    /// Drops every link that has expired, and every one of that admin's: a new link, or a new password, is
    /// often the answer to a link in the wrong hands.
    fn drop_links(&mut self, now: Timestamp, admin: &str) -> Result<(), Error> {
        let stays = |row: &[u8]| decode::<Link>(row).is_ok_and(|link| link.expires_at > now && link.admin != admin);
        self.tables.admin_links.retain(|_, row| stays(row))?;
        Ok(())
    }
}

fn decode<T: DeserializeOwned>(row: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(row).map_err(|_| Error::Corrupt("an admin's row"))
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
