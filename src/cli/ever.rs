//! Who had a value on file, in lines.

use std::io::{self, Write};

use crate::store::{Moment, Sightings};

/// A line for each person.
pub(super) fn show(sightings: &Sightings, out: &mut (dyn Write + Send)) -> io::Result<()> {
    if sightings.items.is_empty() {
        return writeln!(out, "never on file");
    }
    let moment = |moment: Moment| match moment.at {
        Some(at) => format!("{at} (entry {})", moment.seq),
        None => format!("entry {}, which was pruned,", moment.seq),
    };
    for sighting in &sightings.items {
        let until = sighting.until.map_or_else(|| "now".to_owned(), moment);
        writeln!(out, "{}  from {} until {until}", sighting.user, moment(sighting.from))?;
    }
    let more = sightings.count.saturating_sub(sightings.items.len() as u64);
    if more > 0 { writeln!(out, "and {more} more") } else { Ok(()) }
}
