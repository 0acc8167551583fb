//! Rows in columns, for people.

use std::io::{self, Write};

/// Writes the rows, each column as wide as its widest cell.
pub(super) fn write<const N: usize>(rows: &[[String; N]], out: &mut (dyn Write + Send)) -> io::Result<()> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; N] = std::array::from_fn(width);
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// Text as a terminal may show it: no control characters, which could rewrite the line, and none that turn the direction
/// of writing, which could make it read as another.
pub(super) fn printable(text: &str) -> String {
    let misleads = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if misleads(c) { '\u{fffd}' } else { c }).collect()
}
