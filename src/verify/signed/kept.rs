//! Checkpoints that somebody kept elsewhere: one in a file of its own, many behind each other, or in the lines that a
//! server wrote to its standard output.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::tlog::checkpoint::Checkpoint;

/// What a line of signatures begins with.
const SIGNATURE: &str = "\u{2014} ";

/// A checkpoint and where it was found. Nobody has checked its signature yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The file.
    pub file: String,
    /// Its line there, from 1, when there are several.
    pub line: Option<u64>,
    /// The signed note.
    pub note: String,
}

/// Why there is nothing to hold a log against.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoCheckpoint {
    /// Nothing looks like one.
    #[error("there is no checkpoint in {0}")]
    None(String),
    /// Something that looks like one is none.
    #[error("{file}, line {line}: {why}")]
    Malformed {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        why: String,
    },
}

impl Kept {
    /// All checkpoints in the text of that file.
    ///
    /// # Errors
    /// When there is none, or something that should be one is not.
    pub fn read(file: &str, text: &str) -> Result<Vec<Self>, NoCheckpoint> {
        let mut found = Vec::new();
        let lines: Vec<&str> = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
        let mut at = 0;
        while let Some(line) = lines.get(at) {
            let start = at;
            let note = if line.starts_with(SIGNATURE) {
                // Its text is the lines above, up to three of them and an empty one.
                while lines.get(at + 1).is_some_and(|line| line.starts_with(SIGNATURE)) {
                    at += 1;
                }
                Some(lines[start.saturating_sub(4)..=at].join("\n") + "\n")
            } else {
                logged(line)
            };
            at += 1;
            let Some(note) = note else { continue };
            let line = start as u64 + 1;
            if let Err(error) = Checkpoint::unverified(&note) {
                return Err(NoCheckpoint::Malformed { file: file.to_owned(), line, why: error.to_string() });
            }
            found.push(Self { file: file.to_owned(), line: Some(line), note });
        }
        match &mut found[..] {
            [] => return Err(NoCheckpoint::None(file.to_owned())),
            [one] => one.line = None,
            _ => {}
        }
        Ok(found)
    }
}

/// The note in a line of a server's log, in either of its forms.
fn logged(line: &str) -> Option<String> {
    if line.starts_with('{') {
        let line: Value = serde_json::from_str(line).ok()?;
        return Some(line.get("checkpoint")?.as_str()?.to_owned());
    }
    let (_, value) = line.split_once(" checkpoint=")?;
    serde_json::Deserializer::from_str(value).into_iter::<String>().next()?.ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::tlog::note::SigningKey;

    fn note(size: u64) -> String {
        let key = SigningKey::generate("log.example.org/log-1").unwrap();
        let other = SigningKey::generate("log.example.org/log-1").unwrap();
        let origin = key.verifier().name().to_owned();
        Checkpoint { origin, size, root: [7; 32] }.sign(&[&key, &other]).unwrap()
    }

    #[test]
    fn one_by_itself() {
        let note = note(5);
        let one = vec![Kept { file: "a".to_owned(), line: None, note: note.clone() }];
        for text in [note.clone(), note.trim_end().to_owned(), note.replace('\n', "\r\n"), format!("\n\n{note}\n")] {
            assert_eq!(Kept::read("a", &text).unwrap(), one, "{text:?}");
        }
    }

    #[test]
    fn many_in_any_form() {
        let notes: Vec<String> = (1..=5).map(note).collect();
        let text = format!(
            "{}{}some words\n{{\"event\":\"log.checkpoint\",\"size\":3,\"checkpoint\":{}}}\n{{\"event\":\"x\"}}\n\
             2026-11-21T09:33:34Z  INFO log.checkpoint size=4 checkpoint={} x=1\n\n{}",
            notes[0],
            notes[1],
            Value::from(&*notes[2]),
            Value::from(&*notes[3]),
            notes[4]
        );
        let found = Kept::read("a", &text).unwrap();
        assert_eq!(found.iter().map(|kept| &kept.note).collect::<Vec<_>>(), notes.iter().collect::<Vec<_>>());
        assert_eq!(found.iter().map(|kept| kept.line.unwrap()).collect::<Vec<_>>(), [5, 11, 14, 16, 22]);
    }

    #[test]
    fn what_is_none_is_said_to_be_none() {
        assert_eq!(Kept::read("a", "dear diary\n"), Err(NoCheckpoint::None("a".to_owned())));
        assert_eq!(Kept::read("a", ""), Err(NoCheckpoint::None("a".to_owned())));
        let good = note(5);
        for bad in
            [good.replacen("\n5\n", "\n05\n", 1), good[..good.len() - 10].to_owned(), "\u{2014} x y\n".to_owned()]
        {
            let text = format!("{good}{bad}");
            assert!(matches!(Kept::read("a", &text), Err(NoCheckpoint::Malformed { .. })), "{bad:?}");
        }
        let cut = format!("{{\"checkpoint\":{}}}\n", Value::from(&good[..20]));
        assert!(matches!(Kept::read("a", &cut), Err(NoCheckpoint::Malformed { line: 1, .. })));
    }
}
