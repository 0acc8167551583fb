//! `rollbook scrub`: rewrites the data file, so that nothing of removed rows is left in it.

use std::io::{self, Write};

use super::local::{self, Error, answer_at_length};
use crate::config::Local;
use crate::control::Request;

/// Does it.
///
/// # Errors
/// When there is no data file, or it cannot be rewritten; then it is as it was.
pub async fn run(local: &Local, out: &mut (dyn Write + Send)) -> Result<(), Error> {
    let what = Some("rewriting rows");
    let (reply, ()) = answer_at_length(local, Request::Scrub, what, (), |(), _| Ok(())).await?;
    local::show(reply, out)
}

/// Tells what came of it.
pub(super) fn show(before: u64, after: u64, out: &mut (dyn Write + Send)) -> io::Result<()> {
    writeln!(
        out,
        "rewritten: {} on the disk before, {} now; no byte of removed rows is left",
        size(before),
        size(after)
    )
}

/// So many bytes, for people.
fn size(bytes: u64) -> String {
    const KIB: u64 = 1024;
    match bytes {
        ..KIB => format!("{bytes} bytes"),
        KIB..=0xf_ffff => format!("{} KiB", bytes / KIB),
        _ => format!("{}.{} MiB", bytes / (KIB * KIB), bytes % (KIB * KIB) * 10 / (KIB * KIB)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        let said = [0, 1023, 1024, 1_048_575, 1_048_576, 1_992_294, 5_368_709_120].map(size);
        assert_eq!(said, ["0 bytes", "1023 bytes", "1 KiB", "1023 KiB", "1.0 MiB", "1.8 MiB", "5120.0 MiB"]);
    }
}
