//! CSV: RFC 4180, and safe to open in a spreadsheet.
//!
//! A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a formula, and some look past white space, control
//! characters and quotation marks before it. Such a cell, and one that begins with a control character, gets a `'` in
//! front, which spreadsheets take for "this is text". Who reads the file with a program and wants the exact values takes
//! one `'` away where what follows it is such a cell: [`guarded`] is made so that this is never wrong.

use std::borrow::Cow;

use csv::{Terminator, Writer, WriterBuilder};
use serde_json::Value;

/// A column: its name, and where its value is in a row (RFC 6901).
pub(super) type Column = (&'static str, &'static str);

/// The line of names.
pub(super) fn head(columns: &[Column]) -> Vec<u8> {
    let mut writer = writer();
    // Writing to memory does not fail.
    let _ = writer.write_record(columns.iter().map(|(name, _)| name));
    writer.into_inner().unwrap_or_default()
}

/// A line for each row.
pub(super) fn rows<'a>(columns: &[Column], rows: impl IntoIterator<Item = &'a Value>) -> Vec<u8> {
    let mut writer = writer();
    for row in rows {
        let cells = columns.iter().map(|(_, place)| cell(row.pointer(place).unwrap_or_default()));
        let _ = writer.write_record(cells.map(|cell| guarded(&cell).into_owned()));
    }
    writer.into_inner().unwrap_or_default()
}

fn writer() -> Writer<Vec<u8>> {
    WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new())
}

/// A value as text: nothing for null, a list of words with spaces between, anything else as JSON.
fn cell(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => Cow::Borrowed(""),
        Value::String(text) => Cow::Borrowed(text),
        Value::Array(words) if words.iter().all(Value::is_string) => {
            Cow::Owned(words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "))
        }
        other => Cow::Owned(other.to_string()),
    }
}

/// The text, with a `'` in front if a spreadsheet could take it for a formula.
fn guarded(text: &str) -> Cow<'_, str> {
    // Spreadsheets in East Asian languages take the wide forms too.
    const BEGINS_A_FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
    let looked_past = |c: char| c == '\'' || c == '"' || c.is_whitespace() || c.is_control() || is_invisible(c);
    let first = text.chars().find(|c| !looked_past(*c));
    let begins_with_control = text.trim_start_matches('\'').starts_with(|c: char| c.is_control());
    if begins_with_control || first.is_some_and(|c| BEGINS_A_FORMULA.contains(&c)) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Takes no room on the screen: marks of direction, joiners, the mark of byte order.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use csv::{ReaderBuilder, StringRecord};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// The cells as their writer had them.
    fn unguarded(cell: &str) -> &str {
        match cell.strip_prefix('\'') {
            Some(rest) if matches!(guarded(rest), Cow::Owned(_)) => rest,
            _ => cell,
        }
    }

    fn read(bytes: &[u8]) -> Vec<StringRecord> {
        let mut reader = ReaderBuilder::new().has_headers(false).from_reader(bytes);
        reader.records().map(Result::unwrap).collect()
    }

    #[test]
    fn what_could_be_a_formula_is_marked_as_text() {
        for formula in [
            "=1+1",
            "+1",
            "-1",
            "@SUM(A1)",
            "\t=1",
            "\rx",
            "\nx",
            "\0x",
            " =1",
            "\u{a0}=1",
            "\u{feff}=1",
            "\"=1",
            "'=1",
            "''@x",
            "＝1",
            "-",
        ] {
            assert_eq!(guarded(formula), format!("'{formula}"), "{formula:?}");
        }
        for text in ["", "a=b", "1-2", "Ann-Marie", "'t Hooft", "O'Brien", " x", "\u{200b}x", "{\"a\":\"=1\"}"] {
            assert_eq!(guarded(text), text);
        }
    }

    #[test]
    fn a_value_is_shown_as_text() {
        let columns = [("a", "/a"), ("b", "/b/c"), ("none", "/none")];
        let row = json!({ "a": ["x", "y"], "b": { "c": 7 } });
        assert_eq!(head(&columns), b"a,b,none\r\n");
        assert_eq!(rows(&columns, [&row]), b"x y,7,\r\n");
        let row = json!({ "a": true, "b": { "c": { "d": "," } } });
        assert_eq!(rows(&columns, [&row]), b"true,\"{\"\"d\"\":\"\",\"\"}\",\r\n");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_was_written_is_read(cells in prop::collection::vec("(['\"=+\\- \t\r\n\0,@]|.){0,8}", 2..5)) {
            let row = json!(cells);
            let columns: Vec<Column> = ["/0", "/1", "/2", "/3"][..cells.len()].iter().map(|at| ("x", *at)).collect();
            let found = read(&[head(&columns), rows(&columns, [&row, &row])].concat());
            prop_assert_eq!(found.len(), 3);
            for record in &found[1..] {
                let read: Vec<&str> = record.iter().map(unguarded).collect();
                prop_assert_eq!(&read, &cells);
                prop_assert!(record.iter().all(|cell| !cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '\0'])));
            }
        }
    }
}
