//! log
use crate::audit::Leaf;
use std::time::Duration;
/// entry
pub fn entry(seq: u64, leaf: &Leaf, took: Duration) {
    tracing::info!(seq, event = leaf.action, ?took);
}
