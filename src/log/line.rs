//! How a line is written.

use std::fmt::{self, Write as _};

use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::clock::Clock;

/// One JSON object: `timestamp`, `level`, `event`, then the fields in the order they were given. `event` is
/// the field of that name, else the message; a field named `timestamp` stands for the time of writing.
pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::of(event);
        let timestamp = fields.take("timestamp").unwrap_or_else(|| Content::Text(Clock::system().now().to_string()));
        let name = fields.take("event").or_else(|| fields.take("message"));
        let level = event.metadata().level();
        let mut line = format!(r#"{{"timestamp":{},"level":"{level}""#, timestamp.json());
        if let Some(name) = name {
            write!(line, r#","event":{}"#, name.json())?;
        }
        for (name, content) in fields.0.iter().filter(|(name, _)| *name != "level") {
            let nested = if *name == "details" { content.nested() } else { None };
            write!(line, ",{}:{}", quoted(name), nested.unwrap_or_else(|| content.json()))?;
        }
        line.push_str("}\n");
        writer.write_str(&line)
    }
}

/// The fields of a line of text: the event's name, then `name=value`.
pub(super) struct Text;

impl<'w> FormatFields<'w> for Text {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut fields = Fields::of(fields);
        // The formatter around has already written the time.
        fields.take("timestamp");
        if let Some(name) = fields.take("event").or_else(|| fields.take("message")) {
            let (Content::Text(text) | Content::Bare(text)) = name;
            writer.write_str(&escaped(&text))?;
        }
        fields.0.iter().try_for_each(|(name, content)| write!(writer, " {name}={}", content.plain()))
    }
}

/// The fields of one event, in order.
#[derive(Default)]
struct Fields(Vec<(&'static str, Content)>);

enum Content {
    /// Text of any content.
    Text(String),
    /// A number or a truth value, in JSON.
    Bare(String),
}

impl Fields {
    fn of(fields: impl RecordFields) -> Self {
        let mut this = Self::default();
        fields.record(&mut this);
        this
    }

    fn take(&mut self, name: &str) -> Option<Content> {
        let at = self.0.iter().position(|(n, _)| *n == name)?;
        Some(self.0.remove(at).1)
    }

    /// Keeps the first field of a name: an object that names a member twice means nothing.
    fn put(&mut self, field: &Field, content: Content) {
        if !self.0.iter().any(|(name, _)| *name == field.name()) {
            self.0.push((field.name(), content));
        }
    }

    fn put_bare(&mut self, field: &Field, value: impl Into<Value>) {
        self.put(field, Content::Bare(value.into().to_string()));
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put_bare(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put_bare(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put_bare(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put_bare(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Content::Text(value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Content::Text(format!("{value:?}")));
    }
}

impl Content {
    fn json(&self) -> String {
        match self {
            Self::Text(text) => quoted(text),
            Self::Bare(json) => json.clone(),
        }
    }

    /// A text that is itself a JSON object, as an object.
    fn nested(&self) -> Option<String> {
        let Self::Text(text) = self else { return None };
        let value: Value = serde_json::from_str(text).ok()?;
        value.is_object().then(|| escaped(&value.to_string()))
    }

    /// The text as it stands if that is one clear word, else in quotes and escaped.
    fn plain(&self) -> String {
        match self {
            Self::Bare(json) => json.clone(),
            Self::Text(text)
                if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c == '"' || is_unsafe(c)) =>
            {
                quoted(text)
            }
            Self::Text(text) => text.clone(),
        }
    }
}

/// The text as a JSON string.
fn quoted(text: &str) -> String {
    escaped(&Value::from(text).to_string())
}

/// Text or JSON in which the characters that terminals and readers of logs act upon are escaped. JSON
/// escapes some of them itself; the others can only stand inside its strings.
fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if is_unsafe(c) {
            // All of them are below U+10000.
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// Control characters, line and paragraph separators, and those that turn the direction of writing.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Format;
    use super::super::tests::written;

    /// What an attacker would call themselves.
    const NAME: &str = "a\n{\"level\":\"ERROR\"}\r\u{1b}[2J\u{9b}31m\u{2028}\u{202e}\u{7f}\\";

    #[test]
    fn whatever_a_value_holds_it_is_one_line_of_json() {
        let lines = written("info", Format::Json, || {
            tracing::info!(name = NAME, display = %NAME, debug = ?Some(1), ok = true, n = -1, f = f64::NAN, "said {NAME}");
        });
        assert_eq!((lines.lines().count(), lines.ends_with("}\n")), (1, true));
        assert!(lines.trim_end().chars().all(|c| !super::is_unsafe(c)), "{lines}");
        let line: serde_json::Value = serde_json::from_str(&lines).unwrap();
        assert_eq!((line["name"].as_str(), line["display"].as_str()), (Some(NAME), Some(NAME)));
        assert_eq!(line["event"], format!("said {NAME}"));
        assert_eq!((&line["debug"], &line["ok"], &line["n"]), (&"Some(1)".into(), &true.into(), &(-1).into()));
        assert!(line["f"].is_null() && line["level"] == "INFO");
        assert!(line["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    }

    #[test]
    fn a_field_cannot_pass_for_another() {
        let lines = written("info", Format::Json, || {
            tracing::warn!(event = "a.b", level = "none", details = r#"{"x":["\u2028",{}]}"#, "c");
            tracing::warn!(details = "not json", "d");
            tracing::warn!(details = "1", "e");
        });
        let lines: Vec<&str> = lines.lines().map(|line| line.split_once(',').unwrap().1).collect();
        assert_eq!(lines[0], r#""level":"WARN","event":"a.b","message":"c","details":{"x":["\u2028",{}]}}"#);
        assert_eq!(lines[1], r#""level":"WARN","event":"d","details":"not json"}"#);
        assert_eq!(lines[2], r#""level":"WARN","event":"e","details":"1"}"#);
    }

    #[test]
    fn text_for_a_terminal_is_escaped_too() {
        let lines = written("info", Format::Text, || {
            tracing::info!(name = NAME, display = %NAME, plain = "word", "listening on {NAME}");
        });
        assert_eq!(lines.lines().count(), 1);
        assert!(lines.contains("listening on a\\u000a{") && lines.contains("plain=word"), "{lines}");
        // The formatter's own colours are left; nothing of the value's is.
        assert!(!lines.contains("\u{1b}[2J") && !lines.contains('\u{9b}') && !lines.contains('\u{202e}'), "{lines}");
    }
}
