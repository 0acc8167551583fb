//! Where settings come from: a flag, else the environment, else the `.env` file. The process's own
//! environment is never changed: what is in `.env` is not handed on to child processes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;

use super::{Fault, Faults, settings};

/// The values of all settings, from wherever they come.
#[derive(Clone, Default)]
pub struct Sources {
    flags: BTreeMap<&'static str, String>,
    environment: BTreeMap<String, String>,
    file: BTreeMap<String, String>,
}

/// Where a setting was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On the command line.
    Flag,
    /// In the process's environment.
    Environment,
    /// In `.env`.
    File,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The values are secrets, some of them.
        f.debug_struct("Sources").field("flags", &self.flags.keys()).finish_non_exhaustive()
    }
}

impl Sources {
    /// Flags by the name of their setting, the environment, and the text of a `.env` file. Where the file
    /// names a variable twice, the last one counts, as in a shell.
    ///
    /// # Errors
    /// When the file has a line that is not `NAME=VALUE`.
    pub fn new(
        flags: BTreeMap<&'static str, String>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        file: &str,
    ) -> Result<Self, Faults> {
        // A value that is not UTF-8 keeps a mark of it (U+FFFD), which no setting accepts.
        let text = |s: OsString| s.to_string_lossy().into_owned();
        let environment = environment.into_iter().map(|(name, value)| (text(name), text(value))).collect();
        let file = dotenvy::from_read_iter(file.trim_start_matches('\u{feff}').as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| Faults::from(unreadable_line(file, &error)))?;
        Ok(Self { flags, environment, file })
    }

    /// The same with the file at `path`, which need not exist.
    ///
    /// # Errors
    /// When there is a file that cannot be read, or one with a line that is not `NAME=VALUE`.
    pub fn with_file(
        flags: BTreeMap<&'static str, String>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        path: &Path,
    ) -> Result<Self, Faults> {
        let file = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Fault::new(path.display(), format!("cannot be read: {error}")).into()),
        };
        Self::new(flags, environment, &file)
    }

    /// The value of the variable `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        self.flags.get(name).or_else(|| self.environment.get(name)).or_else(|| self.file.get(name)).cloned()
    }

    /// Where that value is from; `None` when there is none.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<Place> {
        let found = [
            (self.flags.contains_key(name), Place::Flag),
            (self.environment.contains_key(name), Place::Environment),
            (self.file.contains_key(name), Place::File),
        ];
        found.into_iter().find_map(|(is_there, place)| is_there.then_some(place))
    }

    /// One warning for every variable that looks like a setting and is none.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        settings::unknown(self.environment.keys().chain(self.file.keys()).map(String::as_str))
    }
}

/// Says which line of `.env` cannot be read. Not what stands there: it may be a secret.
fn unreadable_line(file: &str, error: &dotenvy::Error) -> Fault {
    let line = match error {
        dotenvy::Error::LineParse(text, _) => {
            let first = text.trim().lines().next().unwrap_or_default();
            file.lines().position(|line| line.trim() == first)
        }
        _ => None,
    };
    let which = line.map_or_else(|| "a line".to_owned(), |at| format!("line {}", at + 1));
    Fault::new(".env", format!("{which} cannot be read; write NAME=VALUE, a value with spaces in quotes"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn environment(values: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        values.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn a_flag_beats_the_environment_beats_the_file() {
        let file = "\u{feff}A=file\nB=file\nC=\"file\\nlines\" # why\nC2=1\nC2=2\n";
        let sources =
            Sources::new([("A", "flag".to_owned())].into(), environment(&[("A", "env"), ("B", "env")]), file).unwrap();
        let get = |name| sources.get(name).unwrap();
        assert_eq!([get("A"), get("B"), get("C"), get("C2")], ["flag", "env", "file\nlines", "2"]);
        assert_eq!(sources.get("D"), None);
        assert!(!format!("{sources:?}").contains("env\""));
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named_by_its_number() {
        let file = "# comment\nA=1\n\nCLERK_WEBHOOK_SECRET whsec_canary\n";
        let error = Sources::new(BTreeMap::new(), [], file).unwrap_err().to_string();
        assert!(error.contains("line 4") && !error.contains("canary"), "{error}");
    }

    #[test]
    fn the_file_need_not_exist() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".env");
        let read = || Sources::with_file(BTreeMap::new(), [], &path);
        assert_eq!(read().unwrap().get("ROLLBOOK_NEW"), None);
        std::fs::write(&path, "ROLLBOOK_NEW=1").unwrap();
        assert_eq!(read().unwrap().get("ROLLBOOK_NEW").as_deref(), Some("1"));
        assert_eq!(read().unwrap().warnings().len(), 1);
        assert!(Sources::with_file(BTreeMap::new(), [], dir.path()).is_err());
    }
}
