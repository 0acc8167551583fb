//! JSON as evidence: what is taken means the same to another reader, its canonical form is one, and what two objects
//! differ in is all they differ in. The input is one text, or two with a line break between.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rollbook::clerk::clean;
use rollbook::json::{Object, changes, parse_strict, whole_number};
use serde_json::{Map, Value};

fuzz_target!(|text: &str| {
    let (first, second) = text.split_once('\n').unwrap_or((text, ""));
    let (one, other) = (object(first), object(second));
    if let (Some(one), Some(other)) = (one, other) {
        differ(&one, &other);
    }
    let scrubbed = clean::scrub_text(text);
    assert_eq!(clean::scrub_text(&scrubbed), scrubbed);
});

fn object(text: &str) -> Option<Map<String, Value>> {
    let value = parse_strict(text).ok()?;
    // Of keys that stand twice the other reader takes the last, so that equal values have no such keys.
    assert_eq!(serde_json::from_str::<Value>(text).unwrap(), value);
    let canonical = value.to_string();
    assert_eq!(parse_strict(&canonical).unwrap(), value);
    if let Some(number) = whole_number(&value) {
        assert!(value.as_i64() == Some(number) || value.as_f64().is_some_and(|n| n == number as f64));
    }
    let Value::Object(object) = value else { return None };
    let kept = Object::new(object.clone());
    assert_eq!(kept.as_str(), canonical);
    assert_eq!(Object::new(serde_json::from_str(kept.as_str()).unwrap()), kept);
    for kind in ["user.updated", "session.created", "email.created", "other"] {
        let mut once = object.clone();
        clean::clean(kind, &mut once);
        let mut twice = once.clone();
        clean::clean(kind, &mut twice);
        assert_eq!(once, twice, "{kind}");
    }
    Some(object)
}

fn differ(one: &Map<String, Value>, other: &Map<String, Value>) {
    let (before, after) = (Object::new(one.clone()), Object::new(other.clone()));
    let (before_fields, after_fields) = (before.fields(), after.fields());
    let found = changes(&before_fields, &after_fields, &[]);
    assert_eq!(found.is_empty(), before == after);
}
