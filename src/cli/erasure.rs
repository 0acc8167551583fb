//! What an erasure takes, in words.

use std::io::{self, Write};

use crate::store::Extent;

/// Tells what went, or what would.
pub(super) fn show(extent: &Extent, done: bool, out: &mut (dyn Write + Send)) -> io::Result<()> {
    writeln!(out, "{} of {}:", if done { "Erased" } else { "To be erased" }, extent.person)?;
    writeln!(out, "  {}", if extent.record { "the record" } else { "no record, for there is none" })?;
    for (count, one, several) in [
        (extent.objects, "mirrored object (session, membership, …)", "mirrored objects (sessions, memberships, …)"),
        (extent.details, "entry’s detail", "entries’ details"),
        (extent.quarantined, "delivery in quarantine", "deliveries in quarantine"),
        (extent.mentions, "mention in what is kept of others", "mentions in what is kept of others"),
    ] {
        writeln!(out, "  {count} {}", if count == 1 { one } else { several })?;
    }
    if extent.shared > 0 {
        writeln!(
            out,
            "{} of their addresses or names others have too; where only those stand, they stay.",
            extent.shared
        )?;
    }
    if done {
        writeln!(out, "The log's entries are all there, and its proof holds; none of them leads to the person.")?;
        return writeln!(out, "Their bytes may still be in the data file; `rollbook scrub` rewrites it without them.");
    }
    if extent.live {
        writeln!(out, "Clerk has not deleted this user: delete them there first, or add --still-at-clerk.")?;
    }
    if !extent.untold.is_empty() {
        let names = extent.untold_names();
        writeln!(out, "Not everything about this user was told yet to: {names}. Let them catch up, or add --untold.")?;
    }
    writeln!(out, "The log's entries themselves stay. Make sure that you need not keep the rest (HIPAA: six years).")
}
