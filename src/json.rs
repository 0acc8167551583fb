//! JSON as evidence: read strictly (no key twice), kept in one canonical form (keys sorted, no spaces),
//! looked into without trusting its shape.

use std::borrow::{Borrow, Cow};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Reads one JSON value, refusing objects that name a key twice: two readers could see two meanings.
///
/// # Errors
/// When the text is not one JSON value, nests deeper than 128, holds a number no double can, or names a key twice.
pub fn parse_strict(text: &str) -> serde_json::Result<Value> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value without repeated keys")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(v.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Strict)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value_seed(Strict)?;
            if object.insert(key, value).is_some() {
                return Err(A::Error::custom("a key stands twice in one object"));
            }
        }
        Ok(Value::Object(object))
    }
}

/// The whole number that a value is, however it is written: some writers of JSON give one a fraction of zero. Beyond 2^53
/// such a fraction proves nothing, and there is none.
#[must_use]
pub fn whole_number(value: &Value) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "whole, and within what a double holds exactly")]
    let whole = || value.as_f64().filter(|n| n.fract() == 0.0 && n.abs() < EXACT).map(|n| n as i64);
    value.as_i64().or_else(whole)
}

/// A JSON object in canonical form: keys sorted, no white space. Two equal objects are equal bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Object(Box<RawValue>);

impl Object {
    /// The canonical form of `object`.
    #[must_use]
    pub fn new(object: Map<String, Value>) -> Self {
        // serde_json's map sorts its keys unless a crate in the tree asks for `preserve_order`; a test watches that.
        let text = Value::Object(object).to_string();
        Self(RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// The object as raw JSON, to be sent as it stands.
    #[must_use]
    pub fn raw(&self) -> &RawValue {
        &self.0
    }

    /// The members of the object, each as raw JSON.
    #[must_use]
    pub fn fields(&self) -> Fields<'_> {
        Fields(serde_json::from_str(self.as_str()).unwrap_or_default())
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Object {}

/// The members of one object, to be asked for by name and type. A member of another type than asked for
/// counts as absent: Clerk's own samples break Clerk's own schema.
#[derive(Debug, Clone, Default)]
pub struct Fields<'a>(BTreeMap<Name<'a>, &'a RawValue>);

/// A member's name: borrowed from the text unless it is written with escapes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl Borrow<str> for Name<'_> {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl<'a> Fields<'a> {
    /// The members of what is written there; none when that is no object.
    #[must_use]
    pub fn read(raw: &'a RawValue) -> Self {
        Fields(serde_json::from_str(raw.get()).unwrap_or_default())
    }

    /// The member as a `T`, if it is one.
    #[must_use]
    pub fn value<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.0.get(name)?.get()).ok()
    }

    /// The member as text; an empty string counts as absent, as in Clerk's billing payloads.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<String> {
        self.value::<String>(name).filter(|s| !s.is_empty())
    }

    /// The member as it stands.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(name).copied()
    }

    /// The members of the member, if that is an object.
    #[must_use]
    pub fn object(&self, name: &str) -> Fields<'a> {
        self.raw(name).map(Fields::read).unwrap_or_default()
    }

    /// Every member, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> + '_ {
        self.0.iter().map(|(name, raw)| (name.borrow(), *raw))
    }
}

/// One member that differs between two objects: its name, and what it was and is. `None` where it is absent.
#[derive(Debug, Clone)]
pub struct Change<'a> {
    /// The member's name.
    pub name: &'a str,
    /// What it was.
    pub before: Option<&'a RawValue>,
    /// What it is.
    pub after: Option<&'a RawValue>,
}

/// The members that differ between `before` and `after`, by name, those in `ignored` left out.
#[must_use]
pub fn changes<'a>(before: &'a Fields<'a>, after: &'a Fields<'a>, ignored: &[&str]) -> Vec<Change<'a>> {
    let names: BTreeSet<&str> = before.iter().chain(after.iter()).map(|(name, _)| name).collect();
    names
        .into_iter()
        .filter(|name| !ignored.contains(name))
        .map(|name| Change { name, before: before.raw(name), after: after.raw(name) })
        .filter(|change| change.before.map(RawValue::get) != change.after.map(RawValue::get))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn refuses_what_two_readers_could_read_two_ways() {
        for bad in [r#"{"a":1,"a":2}"#, r#"[{"b":{"c":1,"c":1}}]"#, r#""\ud800""#, "1e400", "{} {}", "\u{feff}{}"] {
            assert!(parse_strict(bad).is_err(), "{bad}");
        }
        assert!(parse_strict(&format!("{}{}", "[".repeat(200), "]".repeat(200))).is_err());
        assert_eq!(
            parse_strict(r#"{"a":[1,-2,0.5,null,true,"x"]}"#).unwrap().to_string(),
            r#"{"a":[1,-2,0.5,null,true,"x"]}"#
        );
    }

    #[test]
    fn numbers_are_kept_as_they_came() {
        // Fails without serde_json's `float_roundtrip`.
        for exact in ["2.29993852292432e-9", "92086.79475904467", "9007199254740991", "0.1"] {
            assert_eq!(parse_strict(exact).unwrap().to_string(), exact);
        }
        assert_eq!(whole_number(&parse_strict("9007199254740991.0").unwrap()), Some(9_007_199_254_740_991));
    }

    #[test]
    fn maps_keep_their_keys_sorted() {
        // Fails when a dependency turns on serde_json's `preserve_order`, which would change stored bytes.
        assert_eq!(serde_json::from_str::<Value>(r#"{"b":1,"a":2}"#).unwrap().to_string(), r#"{"a":2,"b":1}"#);
    }

    #[test]
    fn names_what_changed() {
        let object = |text| Object::new(serde_json::from_str(text).unwrap());
        let (before, after) = (object(r#"{"a":1,"b":2,"t":1}"#), object(r#"{"b":3,"c":null,"t":2}"#));
        let (before, after) = (before.fields(), after.fields());
        let names: Vec<_> = changes(&before, &after, &["t"]).iter().map(|c| c.name).collect();
        assert_eq!(names, ["a", "b", "c"]);
    }

    #[test]
    fn reads_names_written_with_escapes() {
        let object = Object::new(serde_json::from_str(r#"{"a\"\u000ab":1,"id":"x"}"#).unwrap());
        assert_eq!(object.fields().text("id").as_deref(), Some("x"));
    }
}
