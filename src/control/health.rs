//! Whether all is well with a running server.

use super::message::{Found, Health};
use super::{Desk, Reply};
use crate::http::admin::checks;

impl Desk {
    /// What the page of checks shows, and what the doctor compares with elsewhere.
    pub(super) async fn health(&self) -> Reply {
        let Some(app) = &self.server else {
            return Reply::Refused { reason: "no server runs on this data file".to_owned() };
        };
        let (Ok(checks), Ok(last), Ok(instance)) = (checks(app).await, self.store.last_walk(), self.store.instance())
        else {
            return Reply::Refused { reason: "the running server cannot look at its data file".to_owned() };
        };
        Reply::Checks(Health {
            checks: checks.iter().map(Found::from).collect(),
            users: self.store.counts().users,
            apart: last.map_or(0, |last| last.report.apart),
            failed: last.map_or(0, |last| last.report.failed),
            instance,
        })
    }
}
