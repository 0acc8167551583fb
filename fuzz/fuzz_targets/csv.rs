//! CSV: another reader finds the cells as they were, but for the mark that keeps a spreadsheet from calculating, and no
//! cell begins a formula. The input is cells with U+001E between.
#![no_main]

use csv::{ReaderBuilder, StringRecord};
use libfuzzer_sys::fuzz_target;
use rollbook::export::users::{Format, head, rows};
use serde_json::{Value, json};

/// The places of the cells in a record, and in a line.
const CELLS: [(&str, usize); 5] =
    [("email", 2), ("username", 5), ("first_name", 6), ("last_name", 7), ("external_id", 9)];

fuzz_target!(|text: &str| {
    let mut cells = [""; 5];
    cells.iter_mut().zip(text.split('\u{1e}')).for_each(|(cell, text)| *cell = text);
    let written = record(&cells.map(str::to_owned));
    let marked = record(&cells.map(|cell| format!("'{cell}")));
    let found = read(&[written, marked]);
    for ((_, place), cell) in CELLS.iter().zip(cells) {
        let (shown, other) = (&found[1][*place], &found[2][*place]);
        assert!(shown == cell || shown.strip_prefix('\'') == Some(cell), "{cell:?} became {shown:?}");
        // Who takes the mark away has to know that it is one.
        assert_ne!(shown, other);
        let seen = shown.trim_start();
        assert!(!seen.starts_with(['=', '+', '-', '@']), "{shown:?}");
        assert!(!shown.starts_with(['\t', '\r', '\n', '\0']), "{shown:?}");
    }
});

fn record(cells: &[String; 5]) -> Value {
    let mut record = json!({});
    for ((name, _), cell) in CELLS.iter().zip(cells) {
        record[name] = json!(cell);
    }
    record
}

/// The line of names, and a line for each record.
fn read(records: &[Value]) -> Vec<StringRecord> {
    let bytes = [head(Format::Csv), rows(Format::Csv, records)].concat();
    let mut reader = ReaderBuilder::new().has_headers(false).from_reader(bytes.as_slice());
    let found: Vec<StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(found.len(), 1 + records.len());
    assert!(CELLS.iter().all(|(name, place)| found[0][*place] == **name));
    found
}
