//! What else an entry is found by: who did it, where that is no person, and from which address. A person's entries are found
//! by their number, and Clerk's are most of the log.
//!
//! An address is in the entry's detail, and its row goes when that goes.

use std::net::IpAddr;

use redb::ReadableTable as _;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::Error;
use super::tables::Tables;
use super::tx::Tx;
use crate::audit::{Actor, Leaf};

/// The facet of entries that were done by that one, as a leaf says it; `None` for those who have none.
pub(super) fn actor_facet(actor: &str) -> Option<String> {
    let is_elsewhere = actor.starts_with("user:") || Actor::Clerk.word().as_deref() == Some(actor);
    (!is_elsewhere).then(|| format!("actor:{actor}"))
}

/// The facet of entries that were done from that address, however it was written.
pub(super) fn address_facet(address: IpAddr) -> String {
    format!("ip:{}", address.to_canonical())
}

/// The address that a detail tells, if it is one.
pub(super) fn address_in(detail: &Map<String, Value>) -> Option<IpAddr> {
    read_address(detail.get("ip"))
}

/// The facet of a detail's row. One that cannot be read has none: to find that is a verifier's work, and whoever wants to be
/// rid of it should not be held up by it.
pub(super) fn row_facet(row: &[u8]) -> Option<String> {
    let told: Told = serde_json::from_slice(row.get(32..)?).ok()?;
    read_address(told.ip.as_ref()).map(address_facet)
}

impl Tx<'_> {
    /// Lists the entry by who did it.
    pub(super) fn list_by_actor(&mut self, seq: u64, leaf: &Leaf) -> Result<(), Error> {
        if let Some(facet) = actor_facet(&leaf.actor) {
            self.tables.audit_by_facet.insert((facet.as_str(), seq), ())?;
        }
        Ok(())
    }

    /// Takes the entry out of the list of who did it.
    pub(super) fn unlist_by_actor(&mut self, seq: u64, leaf: &Leaf) -> Result<(), Error> {
        if let Some(facet) = actor_facet(&leaf.actor) {
            self.tables.audit_by_facet.remove((facet.as_str(), seq))?;
        }
        Ok(())
    }

    /// Lists the entry by the address that its detail tells.
    pub(super) fn list_by_address(&mut self, seq: u64, detail: &Map<String, Value>) -> Result<(), Error> {
        if let Some(address) = address_in(detail) {
            self.tables.audit_by_facet.insert((address_facet(address).as_str(), seq), ())?;
        }
        Ok(())
    }

    /// Removes an entry's detail and what was found by it; says whether there was one.
    pub(super) fn remove_detail(&mut self, seq: u64) -> Result<bool, Error> {
        let Some(row) = self.tables.audit_detail.remove(seq)? else { return Ok(false) };
        if let Some(facet) = row_facet(row.value()) {
            self.tables.audit_by_facet.remove((facet.as_str(), seq))?;
        }
        Ok(true)
    }
}

impl Tables<'_> {
    /// Lists every entry there is, as a file of an earlier schema needs it, as far as it can be read.
    pub(super) fn list_by_facets(&mut self) -> Result<(), Error> {
        for row in self.audit_leaf.iter()? {
            let (seq, row) = row?;
            let leaf = serde_json::from_slice::<Leaf>(row.value()).ok();
            if let Some(facet) = leaf.and_then(|leaf| actor_facet(&leaf.actor)) {
                self.audit_by_facet.insert((facet.as_str(), seq.value()), ())?;
            }
        }
        for row in self.audit_detail.iter()? {
            let (seq, row) = row?;
            if let Some(facet) = row_facet(row.value()) {
                self.audit_by_facet.insert((facet.as_str(), seq.value()), ())?;
            }
        }
        Ok(())
    }
}

/// What of a detail's row it takes to know the address.
#[derive(Deserialize)]
struct Told {
    ip: Option<Value>,
}

fn read_address(value: Option<&Value>) -> Option<IpAddr> {
    value?.as_str()?.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}
