//! Sessions of admins: opened, used, ended.

use std::net::IpAddr;

use redb::ReadableTable as _;
use serde::{Deserialize, Serialize};

use super::super::Store;
use super::super::error::Error;
use super::super::tables::{self, open};
use super::super::tx::Tx;
use super::{Admin, TokenHash, decode, encode};
use crate::audit::Draft;
use crate::clock::Timestamp;

/// An admin's session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AdminSession {
    /// The admin.
    pub admin: String,
    /// When they signed in.
    pub opened_at: Timestamp,
    /// When they were last seen, to the minute.
    pub used_at: Timestamp,
    /// The address they were last seen at. Not known of sessions opened before this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    /// What the browser called itself when they signed in, bounded by whoever opens the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

impl Store {
    /// Opens a session.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn open_session(&self, hash: TokenHash, session: AdminSession, entry: Draft) -> Result<(), Error> {
        let now = self.now();
        self.write_beside(Some(entry), move |tx| {
            tx.drop_old_sessions(now)?;
            tx.put_session(&hash, &session)
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

    /// Notes that a session was in use, and from where; nothing happens when it was closed meanwhile.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn touch_session(&self, hash: TokenHash, used_at: Timestamp, ip: IpAddr) -> Result<(), Error> {
        self.write_beside(None, move |tx| match tx.session(&hash)? {
            Some(session) => tx.put_session(&hash, &AdminSession { used_at, ip: Some(ip), ..session }),
            None => Ok(()),
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

    /// Closes every session of an admin's.
    ///
    /// # Errors
    /// When the store takes no writes.
    pub async fn close_sessions_of(&self, admin: String, entry: Draft) -> Result<(), Error> {
        self.write_beside(Some(entry), move |tx| tx.end_sessions_of(&admin)).await
    }
}

impl Tx<'_> {
    pub(super) fn has_session(&self, hash: &TokenHash) -> Result<bool, Error> {
        Ok(self.tables.admin_sessions.get(hash)?.is_some())
    }

    fn session(&self, hash: &TokenHash) -> Result<Option<AdminSession>, Error> {
        self.tables.admin_sessions.get(hash)?.map(|row| decode(row.value())).transpose()
    }

    /// Writes a session, and in its admin's row when they were seen.
    pub(super) fn put_session(&mut self, hash: &TokenHash, session: &AdminSession) -> Result<(), Error> {
        self.tables.admin_sessions.insert(hash, &encode(session)[..])?;
        match self.admin(&session.admin)? {
            Some(admin) => self.put_admin(&Admin { seen_at: admin.seen_at.max(Some(session.used_at)), ..admin }),
            None => Ok(()),
        }
    }

    /// Sessions that nobody shows again would stay for ever. A day is longer than any may last.
    fn drop_old_sessions(&mut self, now: Timestamp) -> Result<(), Error> {
        let yesterday = now.plus_millis(-24 * 60 * 60 * 1000);
        let live = |row: &[u8]| decode::<AdminSession>(row).is_ok_and(|session| session.opened_at > yesterday);
        self.tables.admin_sessions.retain(|_, row| live(row))?;
        Ok(())
    }

    pub(super) fn end_sessions_of(&mut self, admin: &str) -> Result<(), Error> {
        let others = |row: &[u8]| decode::<AdminSession>(row).is_ok_and(|session| session.admin != admin);
        self.tables.admin_sessions.retain(|_, row| others(row))?;
        Ok(())
    }
}
